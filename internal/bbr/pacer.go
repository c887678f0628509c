package bbr

import (
	"time"

	"github.com/apernet/quic-go/monotime"
)

const (
	// burstTime is how much of the rate leaves at once: a timer for each packet would cost more than the packet.
	burstTime = time.Millisecond
	// maxBurst bounds that, to what segmentation offload takes in one call of the kernel.
	maxBurst = 64 << 10
	// minBurst is in packets: acknowledgements are for two.
	minBurst = 2
	// burstPackets may leave at once after a pause (RFC 9002 §7.2 allows as many to begin with).
	burstPackets = 10
	// lateness is how much of the rate a late timer may make good: a busy machine wakes us some milliseconds late, and
	// a bucket that had overflowed by then would turn that into a slower line.
	lateness = 4 * time.Millisecond
)

// pacer spreads packets at a rate: a bucket of bytes that fills at the rate. Once empty it stays shut until it has a
// whole burst, so that what leaves is a few large batches and not, at each acknowledgement, the packet that it made
// room for.
type pacer struct {
	rate    rate
	quantum int64 // bytes of a burst
	depth   int64 // bytes that the bucket holds
	packet  int64
	budget  int64
	at      monotime.Time // when budget was true
	shut    bool
}

func (p *pacer) set(r rate, packet int64) {
	p.rate, p.packet = r, packet
	p.quantum = max(min(r.over(burstTime), maxBurst), minBurst*packet)
	p.depth = max(p.quantum+r.over(lateness), burstPackets*packet)
}

// fill adds what the time since the last look is worth.
func (p *pacer) fill(now monotime.Time) {
	if p.at == 0 {
		p.at = now
	}
	if d := now.Sub(p.at); d > 0 {
		if d > time.Second { // the bucket is full long before, and the product stays small
			p.budget = p.depth
			p.at = now
		} else if n := p.rate.over(d); n > 0 {
			p.budget += n
			p.at = now
		}
	}
	p.budget = min(p.budget, p.depth)
}

// ready reports whether a packet may leave.
func (p *pacer) ready(now monotime.Time) bool {
	p.fill(now)
	if p.shut && p.budget < p.quantum {
		return false
	}
	p.shut = p.budget < p.packet
	return !p.shut
}

// next is when ready will say yes; 0 is now.
func (p *pacer) next() monotime.Time {
	if !p.shut || p.budget >= p.quantum {
		return 0
	}
	wait := float64(p.quantum-p.budget) / float64(p.rate) * float64(time.Second)
	return p.at.Add(time.Duration(wait) + 2) // rounded up: woken early, we would have to sleep again
}

func (p *pacer) sent(now monotime.Time, size int64) {
	p.fill(now)
	// Probes leave without asking: what they owe is at most a burst.
	p.budget = max(p.budget-size, -p.quantum)
	if p.budget < p.packet {
		p.shut = true
	}
}

// idle takes back what a pause has saved up, but for a first burst.
func (p *pacer) idle(now monotime.Time) {
	p.fill(now)
	p.budget = min(p.budget, max(p.quantum, burstPackets*p.packet))
}

// holding reports whether a sender with nothing in flight has waited for the pacer alone: the bucket holds little more
// than the burst for which it opened. After a pause it is full.
func (p *pacer) holding(now monotime.Time) bool {
	p.fill(now)
	return p.budget < p.quantum+max(p.rate.over(lateness), p.packet)
}
