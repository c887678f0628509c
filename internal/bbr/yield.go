package bbr

import "time"

const (
	// leastHeadroom is the queue that a window always allows for: radios and schedulers hand packets on in bunches of
	// some milliseconds, and a window without room for them would leave the line idle between two. It takes the place
	// of the draft's estimate of aggregation, which grows to whatever a bad minute has shown.
	leastHeadroom = 10 * time.Millisecond
	// keptShare is the part of the path's best rate that a session keeps when others fill the queue: an eighth.
	keptShare = 1.0 / 8
	// lostShare is the part of what we offer that must arrive for that rate to be believed. A line that carries less
	// of our eighth is not what it was.
	lostShare = 0.8
	// poorRounds is for how many rounds it must be missing.
	poorRounds = 4
	// floorWait and floorSpare are the longest queue that the floor is kept up behind, and how much longer it may have
	// grown since the last round.
	floorWait  = time.Second
	floorSpare = 1.25
	// cutShare bounds how far one overloaded round lowers the rate (BBRBeta of the draft), if it has not measured more.
	cutShare = 0.7
	// cutEnough is a rate so far below the path's that loss which goes on there is not of our making, usualMargin how
	// much more than that usual loss is ours again, and usualKept what is left of the belief at the next probe.
	cutEnough   = 0.75
	usualMargin = 1.5
	usualKept   = 0.9
	// ambientRounds is how many rounds it takes to learn what an empty queue loses, ambientLeast how many packets a
	// round must have to say. More than muchLoss is not learned in this way.
	ambientRounds = 16
	ambientLeast  = 32
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
	poor     int           // rounds in which less than the floor arrived
}

func (y *yield) exceeded(queue time.Duration) bool { return y.bound >= 0 && queue > y.bound }

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
	if c.phase.name == cruise && !v.crowded && c.sampler.delivered-r.bytes >= ambientLeast*c.packet {
		y.ambient += (min(v.loss, muchLoss) - y.ambient) / ambientRounds
	}
	if !c.phase.filled || r.delivered == 0 || r.appLimited {
		return
	}
	rate := c.rate()
	switch {
	case v.standing && c.phase.name != cruise: // a probe's own queue, or startup's: it is being drained
	case v.standing:
		if floor := y.floor(); rate > floor || r.delivered >= floor*lostShare {
			y.poor = 0
		} else if y.poor++; y.poor >= poorRounds {
			y.best, y.poor = r.delivered, 0 // an eighth of what it was is more than the line has
		}
		y.held, y.queued = max(min(rate, r.delivered), y.floor()), true
	case v.overloaded && y.usual >= v.loss: // just learned
	case v.overloaded:
		// Never below what arrived, nor below the draft's share of the filter's rate in one probe's time.
		y.held = max(min(rate, max(r.delivered, cutShare*rate)), cutShare*c.max.rate())
	}
}

// overflow bounds what is in flight when that was too much for some buffer on the way: a short queue in a router, or that
// of a receiver who does not keep up (inflight_longterm of the draft). Probes lift the bound.
func (y *yield) overflow(c *Control, r *round, v verdict) {
	slow := r.appLimited || c.rate() < cutEnough*c.max.rate()
	switch {
	case v.overloaded && !r.marked && slow && y.most > 0 && r.inFlight <= c.leastFlight():
		// Neither the rate nor what is in flight is what fills a queue here: this is how the path is.
		y.usual = max(y.usual, v.loss)
		y.held, y.most = 0, 0
	case v.overloaded:
		y.most = max(int64(cutShare*float64(r.inFlight)), c.leastFlight())
	case y.most > 0 && c.phase.name == up:
		if y.most += y.most / 4; y.most > 2*c.window {
			y.most = 0
		}
	}
}

// leastFlight is what must be in flight for the rate's sake, and for two bursts to be on their way.
func (c *Control) leastFlight() int64 {
	return c.pipe() + 2*c.pacer.quantum
}

// muchLoss is the share of a round's bytes whose loss means a full queue. Where one packet in a hundred is lost at random,
// every thirtieth round loses two, and must not be taken for one. A bad radio loses more than that at any rate: once it
// was seen at a rate well below the path's, following the loss would only follow it to nothing.
func (y *yield) muchLoss() float64 { return muchLoss + usualMargin*max(y.ambient, y.usual) }

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

// headroom is the queue, in time, that the window allows for.
func (c *Control) headroom() time.Duration {
	h := max(c.base.rtt, leastHeadroom)
	if c.yield.bound < 0 {
		return h
	}
	h = min(h, c.yield.bound)
	if c.phase.name == up {
		// A probe of a long path has to put a quarter more in flight to see whether it arrives.
		h = max(h, c.base.rtt/4)
	}
	return h
}

// target is what may be in flight, in bytes.
func (c *Control) target() int64 {
	burst := c.pacer.quantum
	if c.phase.name == startup {
		// Twice what fills the pipe, as far as known: the queue that this builds is gone in two round trips, and a
		// bound would have the search for a long path's rate last for seconds.
		return c.rate().over(2*c.base.rtt) + 3*burst
	}
	if c.phase.name == look {
		return c.looking()
	}
	w := c.rate().over(c.base.rtt) + max(c.rate().over(c.headroom()), 2*burst)
	if c.yield.most > 0 {
		w = min(w, c.yield.most)
	}
	if y := &c.yield; c.pressed() {
		// The floor is a rate: behind a neighbour's queue it takes a window as long as that queue.
		w = max(w, (y.floor() * floorSpare).over(min(y.trip, floorWait)))
	}
	return w
}

// open lets the window grow with what arrives, up to the target, and takes it back at once.
func (c *Control) open(fresh int64) {
	target := c.target()
	switch {
	case c.phase.filled || c.phase.name == look:
		c.window = min(c.window+fresh, target)
	case c.window < target || c.sampler.delivered < initialWindow*c.packet:
		c.window += fresh
	}
	c.window = min(max(c.window, minWindow*c.packet), maxWindow*c.packet)
}

// pace sets the pacer's rate from the model.
func (c *Control) pace() {
	r := c.rate()
	if r == 0 { // nothing measured: the window over a round trip
		rtt := c.base.rtt
		if rtt == 0 {
			rtt = unknownRTT
		}
		r = perSecond(c.window, rtt)
	}
	r *= rate(c.phase.gain())
	if !c.phase.filled && r < c.pacer.rate {
		return // a first, poor measurement is no reason to slow down
	}
	c.pacer.set(r, c.packet)
}
