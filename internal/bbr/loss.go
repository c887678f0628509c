package bbr

import "time"

const (
	// cutShare bounds how far one overloaded round lowers the rate (BBRBeta of the draft), if it has not measured more.
	cutShare = 0.7
	// cutEnough is a rate so far below the path's that loss which goes on there is not of our making, usualMargin how
	// much more than that usual loss is ours again, and usualKept what is left of the belief at the next probe.
	cutEnough   = 0.75
	usualMargin = 1.5
	usualKept   = 0.9
	// regrow is the time in which a rate that was held for loss doubles, while nothing more is lost than usual.
	regrow = time.Second
	// usualRounds is how many rounds it takes to believe that.
	usualRounds = 3
	// ambientRounds is how many rounds it takes to learn what an empty queue loses, ambientLeast how many packets a
	// round must have to say. More than muchLoss is not learned in this way.
	ambientRounds = 16
	ambientLeast  = 32
)

// overflow bounds what is in flight when that was too much for some buffer on the way: a short queue in a router, or that
// of a receiver who does not keep up (inflight_longterm of the draft). Probes lift the bound.
func (y *yield) overflow(c *Control, r *round, v verdict) {
	slow := r.appLimited || c.rate() < cutEnough*c.max.rate()
	switch {
	case v.overloaded && !r.marked && slow && y.most > 0 && r.inFlight <= c.leastFlight():
		// Neither the rate nor what is in flight is what fills a queue here: this is how the path is.
		if y.still++; y.still >= usualRounds {
			y.usual = max(y.usual, v.loss)
			y.held, y.most, y.still = 0, 0, 0
		}
	case v.overloaded:
		y.still = 0
		y.most = max(int64(cutShare*float64(r.inFlight)), c.leastFlight())
	case y.most > 0 && c.phase.name == up:
		if y.most += y.most / 4; y.most > 2*c.window {
			y.most = 0
		}
	}
}

// learnLoss takes note of what an empty queue loses.
func (y *yield) learnLoss(c *Control, r *round, v verdict) {
	if c.phase.name == cruise && !v.crowded && c.sampler.delivered-r.bytes >= ambientLeast*c.packet {
		y.ambient += (min(v.loss, muchLoss) - y.ambient) / ambientRounds
	}
}

// leastFlight is what must be in flight for the path's rate, and for two bursts to be on their way.
func (c *Control) leastFlight() int64 {
	return max(c.max.rate().over(c.base.rtt), minWindow*c.packet) + 2*c.pacer.quantum
}

// muchLoss is the share of a round's bytes whose loss means a full queue. Where one packet in a hundred is lost at random,
// every thirtieth round loses two, and must not be taken for one. A bad radio loses more than that at any rate: once it
// was seen at a rate well below the path's, following the loss would only follow it to nothing.
func (y *yield) muchLoss() float64 { return muchLoss + usualMargin*max(y.ambient, y.usual) }
