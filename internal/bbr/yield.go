package bbr

import "time"

const (
	// keptShare is the part of the path's best rate that a session keeps when others fill the queue: an eighth.
	keptShare = 1.0 / 8
	// lostShare is the part of what we offer that must arrive for that rate to be believed. A line that carries less
	// of our eighth is not what it was.
	lostShare = 0.8
	// poorRounds is for how many rounds it must be missing.
	poorRounds = 4
)

// yield holds the rate below what the path once gave, because of a queue or of loss.
//
// The window does most of it: rate × (base + headroom) in flight cannot queue for longer than the headroom, if the rate
// is the path's. When a neighbour fills the queue the same window is worth less of the path, by as much as the round
// trip is longer than ours should be. A round in which the queue stood above the bound then lowers the rate to what it
// delivered, and the next window is smaller again: the queue is left to the neighbour within a few round trips, as
// LEDBAT would (RFC 6817 §2.4.2), down to a floor.
type yield struct {
	bound    time.Duration // negative: none
	held     rate          // what the rate is held at; 0: not held
	queued   bool          // held because of a queue: what the path gave before is not believed any more
	yielding bool          // the queue stands above the bound
	best     rate          // of the path, as long as no probe has had the path to itself and found less
	trip     time.Duration // the last round's shortest round trip
	most     int64         // bytes in flight beyond which a buffer has overflowed; 0: unknown
	ambient  float64       // share that is lost on an empty queue
	usual    float64       // share that the path loses however slowly we send
	still    int           // rounds that lost much at the least rate and flight
	poor     int           // rounds in which less than the floor arrived
}

// endRound hears what a round has shown.
func (y *yield) endRound(c *Control, r *round, v verdict) {
	y.best = max(y.best, c.max.rate())
	y.trip = r.shortest
	if v.standing && c.phase.name == cruise {
		y.yielding = true
	} else if !v.queue(y.bound) { // a sparse round's long trips tell nothing, its short ones do
		y.yielding = false
	}
	y.overflow(c, r, v)
	y.learnLoss(c, r, v)
	if !c.phase.filled || r.delivered == 0 || r.appLimited {
		return
	}
	now := c.rate()
	switch {
	case v.standing && c.phase.name != cruise: // a probe's own queue, or startup's: it is being drained
	case v.standing:
		if floor := y.floor(); now > floor || r.delivered >= floor*lostShare {
			y.poor = 0
		} else if y.poor++; y.poor >= poorRounds {
			y.best, y.poor = r.delivered, 0 // an eighth of what it was is more than the line has
		}
		y.held, y.queued = max(min(now, r.delivered), y.floor()), true
	case v.overloaded && y.usual >= v.loss: // just learned
	case v.overloaded:
		// Never below what arrived, nor below the draft's share of the filter's rate in one probe's time.
		y.held = max(min(now, max(r.delivered, cutShare*now)), cutShare*c.max.rate())
	case y.held > 0 && !y.queued && !v.crowded && c.phase.name == cruise:
		// A stop somewhere on the way, which an overflow was too: not worth the wait for a probe.
		y.held += y.held * rate(c.base.rtt.Seconds()/regrow.Seconds())
	}
}

// floor is the rate below which others do not push us.
func (y *yield) floor() rate { return y.best * keptShare }

// release lets go of what held the rate, for a probe.
func (y *yield) release(m *maxRate) {
	if y.held > 0 && y.queued {
		*m = maxRate{before: y.held}
	}
	y.held, y.queued = 0, false
	y.usual *= usualKept
}

// probed hears of a probe that had the path to itself, and what it found.
func (y *yield) probed(found rate) { y.best = found }

// rate is what the path is believed to give us now.
func (c *Control) rate() rate {
	r := c.max.rate()
	if c.yield.held > 0 {
		r = min(r, c.yield.held)
	}
	if c.pressed() {
		r = max(r, c.yield.floor())
	}
	return r
}

// pressed reports whether a queue stands that may be a neighbour's.
func (c *Control) pressed() bool { return c.yield.yielding || c.phase.crowded }
