package bbr

import (
	"time"

	"github.com/apernet/quic-go/monotime"
)

// name is what the controller is about.
type name uint8

const (
	startup name = iota // double the rate each round trip, until the path delivers no more
	drain               // let the queue go that this has built
	down                // after a probe: somewhat below the rate, until the queue is gone
	cruise              // at the rate
	refill              // one round trip at the full rate, so that a probe finds the pipe full
	up                  // a quarter above the rate: is there more?
	look                // hold back, to see the path's own round trip (ProbeRTT)
)

// gains are the share of the measured rate at which a phase sends (draft-ietf-ccwg-bbr §5.6). What follows startup stays
// a hundredth below, so that a queue that slipped in drains by itself.
var gains = [...]float64{
	startup: 2.77, // 4·ln 2: the lowest that doubles what is delivered each round trip
	drain:   0.5,
	down:    0.9,
	cruise:  0.99,
	refill:  0.99,
	up:      1.25,
	look:    0.99,
}

// crowdedGain is cruise's share while a queue stands: if it is ours it drains, and if not, we make room.
const crowdedGain = 0.95

func (p *phase) gain() float64 {
	if p.name == cruise && p.crowded {
		return crowdedGain
	}
	return gains[p.name]
}

const (
	// grown is by how much a rate must rise to count as rising, and stillRounds for how many rounds it may fail to
	// before startup believes that this is all.
	grown       = 1.25
	stillRounds = 3
	// probeGrown is the same for a probe, which sends only a quarter more, and probeRounds how many rounds it lasts
	// at least: the first hears of packets that left before it.
	probeGrown  = 1.05
	probeRounds = 2
	// lookFor is how long the session holds back for a look at the path's own round trip, lookWindow at which share
	// of what fills the pipe: 0.2 s at a half, each 10 s at most, cost one percent.
	lookFor    = 200 * time.Millisecond
	lookWindow = 0.5
	// A probe begins 2 to 3 s after the last, at random so that neighbours do not probe as one
	// (draft-ietf-ccwg-bbr §5.3.3.5.1).
	probeEvery  = 2 * time.Second
	probeSpread = time.Second
	// downRounds bounds the time below the rate after a probe: what is in flight by then is the path's, not ours.
	downRounds = 3
)

// phase is where the controller is in its cycle.
type phase struct {
	name    name
	rounds  int           // that have ended in it
	probeAt monotime.Time // when the next probe is due
	before  rate          // what the path delivered before this probe's last round
	still   int           // startup: rounds without growth
	advance bool          // a probe has ended: its measurements close a share of the filter's memory
	until   monotime.Time // look: how long; 0: what is in flight has not drained yet
	crowded bool          // the last round's packets all waited in a queue
	filled  bool          // startup has ended
}

// endRound moves on at the end of a round trip.
func (p *phase) endRound(c *Control, now monotime.Time, v verdict) {
	p.rounds++
	p.crowded = v.crowded
	best := c.max.rate()
	switch p.name {
	case startup:
		if !c.round.appLimited {
			p.stillGrowing(best)
		}
		// Loss alone ends nothing: the line that this is made for loses one packet in a hundred all the time, and a
		// short round two of them. With the rate standing still too, the queue is full and short. A queue that stands
		// for a whole round trip means the same, on a line with a long one, if there is enough of ours in it.
		if p.still >= stillRounds || v.overloaded && (p.still > 0 || v.crowded) || v.crowded && c.overfull() {
			p.filled = true
			p.to(drain)
		}
	case refill:
		p.before = best
		p.to(up)
	case up:
		// A queue means that there is no more, but from others.
		still := best < p.before*probeGrown || v.overloaded || v.crowded
		if v.standing || still && p.rounds >= probeRounds {
			if !v.standing && !c.round.appLimited {
				c.yield.probed(best)
			}
			p.advance = true
			p.to(down)
			p.schedule(c, now)
		}
		p.before = best
	case down:
		if p.advance && !c.round.appLimited {
			p.advance = false
			c.max.advance()
		}
		if p.rounds >= downRounds {
			p.to(cruise)
		}
	case cruise:
		if p.advance && !c.round.appLimited {
			p.advance = false
			c.max.advance()
		}
		if now < p.probeAt || c.yield.yielding || c.round.appLimited {
			return
		}
		if v.crowded {
			// The pipe is full, and a probe could only take from others. What the next two find is less, so that
			// a neighbour who fills the queue comes by his share.
			p.advance = true
			p.to(down)
			p.schedule(c, now)
			return
		}
		c.yield.release(&c.max)
		p.to(refill)
	case drain, look: // end by what is in flight, in step
	}
}

// overfull reports whether the round put so much more in flight than fills the path, as far as known, that a queue is ours:
// a sender that is fed in drops sees the jitter of a busy machine, and would stop here at the rate of the drops.
func (c *Control) overfull() bool {
	const share, trips = 1.25, 8
	return c.round.rtts >= trips && float64(c.round.inFlight) > share*float64(c.pipe())
}

// stillGrowing counts the rounds in which startup found no more.
func (p *phase) stillGrowing(best rate) {
	if best >= p.before*grown {
		p.before, p.still = best, 0
		return
	}
	p.still++
}

// step moves on by what is in flight and by the clock, at each acknowledgement.
func (c *Control) step(now monotime.Time, inFlight int64) {
	p := &c.phase
	switch p.name {
	case drain, down:
		if inFlight <= c.pipe() {
			if p.name == drain {
				p.schedule(c, now)
			}
			p.to(cruise)
		}
	case look:
		c.sampler.markAppLimited(inFlight) // what is delivered now is not what the path could
		switch {
		case p.until == 0 && inFlight <= max(c.looking(), minWindow*c.packet):
			p.until = now.Add(max(lookFor, c.base.rtt))
		case p.until != 0 && now >= p.until:
			c.base.looked(now)
			p.to(cruise)
			if !p.filled {
				p.to(startup)
			}
		}
		return
	case startup, cruise, refill, up:
	}
	// A session that yields has nothing of its own in the queue to drain.
	if c.base.stale(now) && !c.yield.yielding {
		p.until = 0
		p.to(look)
	}
}

func (p *phase) to(n name) { p.name, p.rounds = n, 0 }

// schedule sets the time of the next probe.
func (p *phase) schedule(c *Control, now monotime.Time) {
	p.probeAt = now.Add(probeEvery + time.Duration(c.random.Uint64()%uint64(probeSpread)))
}

// pipe is what fills the path at the rate that we send at, in bytes: rate times shortest round trip.
func (c *Control) pipe() int64 {
	return max(c.rate().over(c.base.rtt), minWindow*c.packet)
}

// looking is the window of look.
func (c *Control) looking() int64 {
	return max(int64(lookWindow*float64(c.pipe())), minWindow*c.packet)
}
