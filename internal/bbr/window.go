package bbr

import "time"

const (
	// leastHeadroom is the queue that a window always allows for: radios and schedulers hand packets on in bunches of
	// some milliseconds, and a window without room for them would leave the line idle between two. It takes the place
	// of the draft's estimate of aggregation, which grows to whatever a bad minute has shown.
	leastHeadroom = 10 * time.Millisecond
	// receiverQueue is how much of the headroom a short path gets, in packets: a quic-go receiver that is busy keeps 256
	// and drops the rest, which nothing tells from a router's full queue. Where the path itself holds more, so many never
	// arrive at once.
	receiverQueue = 128
	// floorWait and floorSpare are the longest queue that the floor is kept up behind, and how much longer it may have
	// grown since the last round.
	floorWait  = time.Second
	floorSpare = 1.25
)

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
	pipe := c.rate().over(c.base.rtt)
	spare := min(c.rate().over(c.headroom()), max(pipe, receiverQueue*c.packet))
	w := pipe + max(spare, 2*burst)
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
