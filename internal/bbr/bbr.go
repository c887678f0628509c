// Package bbr decides how fast a tunnel sends: at the rate that the path delivers, whatever it loses on the way, and with
// a bound on the queue that this builds in front of a home's line.
//
// CUBIC takes every lost packet for a full queue and halves; a home's radio loses one packet in a hundred with the queue
// empty, and CUBIC then carries 4 of 100 Mbit/s. The controller here keeps a model of the path instead: the highest rate
// at which it delivered lately, and the shortest time in which it answered. It sends at the one, and keeps no more in
// flight than the two of them and a small headroom ask for. The story of one acknowledgement:
//
//	sampler   which packets it covers, and so how fast the path delivers    sample.go
//	maxRate   the highest of those rates over the last two probes           filter.go
//	baseRTT   the shortest round trip, and when to look for it afresh       rtt.go
//	round     what one round trip has shown: rate, loss, standing queue     round.go
//	phase     fill, drain, cruise, probe: which rate to try next            phase.go
//	yield     how long a queue may be, and what is left to others           yield.go
//	          which loss means a full queue, and which a bad radio          loss.go
//	window    how much may be in flight, and at which rate it leaves        window.go
//	pacer     when the next burst may leave                                 pacer.go
//
// It follows draft-ietf-ccwg-bbr and draft-cheng-iccrg-delivery-rate-estimation in method, RFC 9002 in terms and RFC 6817
// in manners. Where it departs from them, the file says why; docs/design/congestion.md has the numbers.
//
// A Control belongs to its connection's goroutine, as quic-go calls it. InFlight alone may be read from anywhere.
package bbr

import (
	"cmp"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/apernet/quic-go/congestion"
	"github.com/apernet/quic-go/monotime"
)

const (
	// initialWindow is how many packets leave before the first answer: quic-go's own choice, about 45 KB. The pacer
	// spreads them over a round trip.
	initialWindow = 32
	// minWindow is how many packets are always allowed, so that acknowledgements keep coming: two for each that the
	// peer sends.
	minWindow = 4
	// maxWindow bounds what is in flight, in packets, to what quic-go keeps records of without refusing to send.
	maxWindow = congestion.MaxCongestionWindowPackets
	// unknownRTT stands in until the path has answered once.
	unknownRTT = 100 * time.Millisecond

	// DefaultYield is the queue that a session may build in front of its line. A video call's own play-out buffer
	// takes 25 ms without a word; RFC 6817 allows 100.
	DefaultYield = 25 * time.Millisecond
)

// Config of a Control.
type Config struct {
	// PacketSize is the datagram that the connection starts with, in bytes: quic.Conn.InitialPacketSize.
	PacketSize congestion.ByteCount
	// Yield bounds the queue that this connection's traffic builds, as the time that it adds to the shortest round
	// trip; 0 is DefaultYield. A path whose queue is longer because of others is left to them, but for an eighth. Negative:
	// no bound but the window, and a fair share is fought for.
	Yield time.Duration

	seed uint64 // of the time between probes; tests set it
}

// Control is a congestion controller for one connection on one path.
type Control struct {
	cfg      Config
	stats    congestion.RTTStatsProvider
	inFlight atomic.Int64 // bytes
	packet   int64        // size of a full datagram, bytes
	window   int64        // bytes that may be in flight
	random   *rand.PCG

	sampler sampler
	max     maxRate
	base    baseRTT
	round   round
	phase   phase
	yield   yield
	pacer   pacer

	// granted counts the questions "may I send?" that were answered yes and not followed by a packet.
	granted int
}

var _ congestion.CongestionControlEx = (*Control)(nil)

// New makes a controller that knows nothing of the path.
func New(cfg Config) *Control {
	cfg.PacketSize = cmp.Or(cfg.PacketSize, congestion.InitialPacketSize)
	cfg.Yield = cmp.Or(cfg.Yield, DefaultYield)
	cfg.seed = cmp.Or(cfg.seed, rand.Uint64())
	c := &Control{
		cfg:    cfg,
		packet: int64(cfg.PacketSize),
		random: rand.NewPCG(cfg.seed, 0),
		yield:  yield{bound: cfg.Yield, ambient: muchLoss / 2},
	}
	c.base.forget = forgetAfter
	if cfg.Yield < 0 {
		c.base.forget = lookAgain
	}
	c.window = initialWindow * c.packet
	c.pacer.budget = burstPackets * c.packet
	c.pace()
	return c
}

// InFlight is how many bytes are sent and neither acknowledged nor given up, as of the last packet or acknowledgement.
// Any goroutine may ask.
func (c *Control) InFlight() int64 { return c.inFlight.Load() }

// SetRTTStatsProvider is called once, when the controller is installed: the handshake may have measured the path by then.
func (c *Control) SetRTTStatsProvider(p congestion.RTTStatsProvider) {
	c.stats = p
	if measured(p) {
		c.base.begin(p.MinRTT(), monotime.Now())
	}
	c.pace()
}

// measured reports whether quic-go has timed the path: until then its answers are a default of 100 ms, with which a longer
// path would look like a queue. A first measurement sets the deviation, too.
func measured(p congestion.RTTStatsProvider) bool { return p != nil && p.MeanDeviation() > 0 }

// CanSend reports whether the window has room.
func (c *Control) CanSend(inFlight congestion.ByteCount) bool {
	if int64(inFlight) < c.window {
		return true
	}
	c.granted = 0
	return false
}

// HasPacingBudget is the last question before a packet; see pacer.ready.
func (c *Control) HasPacingBudget(now monotime.Time) bool {
	if !c.pacer.ready(now) {
		c.granted = 0
		return false
	}
	c.granted++
	return true
}

// TimeUntilSend is when HasPacingBudget will say yes.
func (c *Control) TimeUntilSend(congestion.ByteCount) monotime.Time { return c.pacer.next() }

// OnPacketSent takes note of a packet. inFlight counts it already, if it counts (acknowledgements alone do not).
func (c *Control) OnPacketSent(now monotime.Time, inFlight congestion.ByteCount, number congestion.PacketNumber, size congestion.ByteCount, counts bool) {
	if !counts {
		// Acknowledgements alone are not paced, and cost nothing: a receiver's own rate is what little it has said,
		// and what it owed for its acknowledgements would hold up the windows that it opens.
		return
	}
	prior := int64(inFlight - size)
	dry := false
	if prior <= 0 {
		dry = !c.pacer.holding(now)
		c.pacer.idle(now)
		c.base.looked(now)
		c.sampler.idle(now)
	}
	c.notice(max(prior, 0), dry)
	c.granted = 0
	c.pacer.sent(now, int64(size))
	c.inFlight.Store(int64(inFlight))
	c.sampler.sent(now, int64(number), int64(size))
}

// notice marks what is sent from now on as sent by a sender with too little to say: it has run dry, or left permissions to
// send unused until less was in flight than fills the path. One that paused for breath above that has lost nothing. Nothing
// in flight alone is no sign: at a rate that has less than a burst on its way, it is so whenever the pacer opens.
func (c *Control) notice(inFlight int64, dry bool) {
	share := dryPipe
	if c.phase.name == startup || c.phase.name == up {
		share = dryProbe
	}
	if dry || c.granted > unusedGrants && float64(inFlight) < share*float64(c.pipe()) {
		c.sampler.markAppLimited(inFlight)
	}
}

// unusedGrants is how many unused permissions to send are no sign of a sender that has run dry: quic-go stops in the
// midst of a burst to read what has arrived, and asks twice. dryPipe is the share of what fills the path below which
// the path notices; at a rate somewhat below its own it is never quite full. While more is looked for, as much as is known
// is not enough: a sender that is fed in drops fills what its own drops have shown (dryProbe).
const (
	unusedGrants = 2
	dryPipe      = 0.75
	dryProbe     = 1.25
)

// OnCongestionEventEx takes one acknowledgement, or one run of the loss timer. prior is what was in flight before.
func (c *Control) OnCongestionEventEx(prior congestion.ByteCount, now monotime.Time, acked []congestion.AckedPacketInfo, lost []congestion.LostPacketInfo) {
	inFlight := int64(prior)
	c.notice(inFlight, inFlight == 0)
	c.round.inFlight = max(c.round.inFlight, inFlight)
	c.sampler.begin()
	var fresh int64
	for _, p := range acked {
		inFlight -= int64(p.BytesAcked)
		fresh += int64(p.BytesAcked)
		c.sampler.acked(now, int64(p.PacketNumber), int64(p.BytesAcked))
	}
	for _, p := range lost {
		inFlight -= int64(p.BytesLost)
		c.sampler.lost(int64(p.PacketNumber))
		if int64(p.BytesLost) <= c.packet { // larger ones are probes of the path's MTU, lost by intent
			c.round.lose(int64(p.PacketNumber), int64(p.BytesLost))
		}
	}
	inFlight = max(inFlight, 0)
	c.inFlight.Store(inFlight)

	if s, ok := c.sampler.sample(now); ok {
		rtt := c.withoutAckDelay(s.rtt)
		c.base.take(rtt, now)
		c.round.take(rtt, s)
		if s.rate > 0 && s.interval >= c.base.rtt && (!s.appLimited || s.rate >= c.max.rate()) {
			c.max.take(s.rate)
		}
		if s.newRound {
			c.endRound(now)
		}
	}
	c.step(now, inFlight)
	c.pace()
	c.open(fresh)
}

// withoutAckDelay takes the peer's own waiting out of a round trip, as quic-go has measured it (RFC 9002 §5.3).
func (c *Control) withoutAckDelay(rtt time.Duration) time.Duration {
	if !measured(c.stats) {
		return rtt
	}
	if latest := c.stats.LatestRTT(); latest > 0 && latest < rtt && rtt-latest <= c.stats.MaxAckDelay() {
		return latest
	}
	return rtt
}

// OnCongestionEvent hears of a router that marks packets instead of dropping them (lost is 0 then). Lost packets come
// in OnCongestionEventEx, where they stand beside those that arrived.
func (c *Control) OnCongestionEvent(_ congestion.PacketNumber, lost, _ congestion.ByteCount) {
	if lost == 0 {
		c.round.marked = true
	}
}

// SetMaxDatagramSize hears of a larger path MTU, or of a path that has to start again from a small one.
func (c *Control) SetMaxDatagramSize(size congestion.ByteCount) {
	if size <= 0 {
		return
	}
	c.packet = int64(size)
	c.window = max(c.window, minWindow*c.packet)
	c.pace()
}

// OnRetransmissionTimeout does nothing: a probe timeout is a question, not a loss (RFC 9002 §7.5), and often a spurious
// one on a radio that slept. If the flight was lost, the answer to the probe says so packet by packet.
func (c *Control) OnRetransmissionTimeout(bool) {}

// OnPacketAcked does nothing: OnCongestionEventEx has the whole acknowledgement.
func (c *Control) OnPacketAcked(congestion.PacketNumber, congestion.ByteCount, congestion.ByteCount, monotime.Time) {
}

// MaybeExitSlowStart does nothing: phases end with a round.
func (c *Control) MaybeExitSlowStart() {}

// InSlowStart reports whether the path's rate is still being looked for.
func (c *Control) InSlowStart() bool { return c.phase.name == startup }

// InRecovery reports whether the last round lost so much that the rate was held back.
func (c *Control) InRecovery() bool { return c.yield.held > 0 }

// GetCongestionWindow is how many bytes may be in flight.
func (c *Control) GetCongestionWindow() congestion.ByteCount { return congestion.ByteCount(c.window) }
