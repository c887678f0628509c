package bbr

import (
	"time"

	"github.com/apernet/quic-go/monotime"
)

const (
	// muchLoss is the share of a round's bytes that is taken for a full queue, and not for a bad radio
	// (draft-ietf-ccwg-bbr §2.7): the goal line loses half of it at random.
	muchLoss = 0.02
	// muchLossGaps is in how many places a round must lose: one burst of a radio is one place.
	muchLossGaps = 6
	// muchLossRun is how many packets make a run of losses a full queue all the same.
	muchLossRun = 16
	// fewRTTs is how many round trips must be measured before their shortest says that the queue stands.
	fewRTTs = 2
	// crowdedQueue is a queue that is there for a whole round trip and is no radio's jitter; an eighth of the round
	// trip on long paths.
	crowdedQueue = 5 * time.Millisecond
)

// round is what one round trip has shown.
type round struct {
	shortest   time.Duration // round trip
	rtts       int           // how many were measured
	delivered  rate          // the highest sample
	bytes      int64         // delivered at its beginning
	lostBytes  int64
	lostGaps   int
	lastLost   int64
	inFlight   int64 // at most, before an acknowledgement
	marked     bool  // a router said that it is congested (ECN)
	appLimited bool
}

func (r *round) take(rtt time.Duration, s sample) {
	if r.rtts == 0 || rtt < r.shortest {
		r.shortest = rtt
	}
	r.rtts++
	r.delivered = max(r.delivered, s.rate)
	r.appLimited = r.appLimited || s.appLimited
}

func (r *round) lose(number, size int64) {
	r.lostBytes += size
	if r.lostGaps == 0 || number != r.lastLost+1 {
		r.lostGaps++
	}
	r.lastLost = number
}

// loss is the share of the round's bytes that was lost.
func (r *round) loss(delivered int64) float64 {
	return float64(r.lostBytes) / float64(max(delivered-r.bytes+r.lostBytes, 1))
}

// verdict is what a round amounts to.
type verdict struct {
	loss       float64
	overloaded bool          // it lost more than a bad radio does, or a router said that it is congested
	waited     time.Duration // what its shortest round trip waited in queues
	standing   bool          // a queue stood above the bound all the time
	crowded    bool          // a queue stood all the time: the pipe is full
}

func (v verdict) queue(above time.Duration) bool { return above >= 0 && v.waited > above }

// endRound draws the conclusions of a round trip and begins the next.
func (c *Control) endRound(now monotime.Time) {
	r := &c.round
	v := verdict{loss: r.loss(c.sampler.delivered)}
	much := r.lostGaps >= muchLossGaps || r.lostBytes >= muchLossRun*c.packet
	v.overloaded = r.marked || much && v.loss >= c.yield.muchLoss()
	if r.rtts >= fewRTTs {
		v.waited = r.shortest - c.base.rtt
		v.crowded = v.waited > max(crowdedQueue, c.base.rtt/8)
		v.standing = !r.appLimited && v.queue(c.yield.bound)
		c.base.endRound(r.shortest, now)
	}
	c.yield.endRound(c, r, v)
	c.phase.endRound(c, now, v)
	c.round = round{bytes: c.sampler.delivered}
}
