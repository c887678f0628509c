package bbr

import "time"

// rate is in bytes a second.
type rate float64

// over is how many bytes the rate carries in d.
func (r rate) over(d time.Duration) int64 { return int64(float64(r) * d.Seconds()) }

// perSecond is n bytes in d as a rate.
func perSecond(n int64, d time.Duration) rate { return rate(float64(n) / d.Seconds()) }

// maxRate is the highest rate since the probe before the last one. A path that gave more once and no longer does is
// forgotten after two probes; noise that is lower than the truth, which is nearly all noise, never counts.
type maxRate struct {
	now, before rate
}

func (m *maxRate) rate() rate  { return max(m.now, m.before) }
func (m *maxRate) take(r rate) { m.now = max(m.now, r) }

// advance begins a new probe's share of the memory. A share in which nothing was measured forgets nothing: a session
// that sat idle wakes up with what it knew.
func (m *maxRate) advance() {
	if m.now > 0 {
		m.before, m.now = m.now, 0
	}
}
