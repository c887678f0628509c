package bbr

import (
	"testing"
	"time"
)

// run sends all that a pacer allows for a while, waking when it says and late by so much, and returns the bytes and the
// bursts that they left in.
func (p *pacer) run(d, late time.Duration) (sent int64, bursts int) {
	for now := dawn; now < dawn.Add(d); {
		n := 0
		for p.ready(now) {
			p.sent(now, p.packet)
			sent += p.packet
			n++
		}
		if n > 0 {
			bursts++
		}
		now = p.next().Add(late)
	}
	return sent, bursts
}

func TestPacerKeepsTheRateInBursts(t *testing.T) {
	for _, tc := range []struct {
		name  string
		mbit  float64
		late  time.Duration
		burst int64 // packets, about
	}{
		{"slow", 2, 0, 2},
		{"the goal", 100, 0, 9},
		{"gigabit", 1000, 0, 44}, // 64 KiB
		{"two gigabits", 2000, 0, 44},
		{"the goal, woken late", 100, 2 * ms, 26},
		{"two gigabits, woken late", 2000, 2 * ms, 360},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pacer{}
			p.set(rate(tc.mbit*1e6/8), 1452)
			sent, bursts := p.run(2*time.Second, tc.late)
			got := float64(sent) * 8 / 2e6
			if got < tc.mbit*0.98 || got > tc.mbit*1.02 {
				t.Errorf("sent %.1f Mbit/s, want %v", got, tc.mbit)
			}
			burst := sent / 1452 / int64(bursts)
			if burst < tc.burst-1-tc.burst/10 || burst > tc.burst+1+tc.burst/10 {
				t.Errorf("%d packets in a burst, want %d", burst, tc.burst)
			}
		})
	}
}

func TestPacerForgetsAPause(t *testing.T) {
	p := pacer{}
	p.set(12_500_000, 1452)
	p.run(100*ms, 0)
	now := dawn.Add(time.Hour)
	p.idle(now)
	n := 0
	for p.ready(now) {
		p.sent(now, 1452)
		n++
	}
	if n != burstPackets {
		t.Errorf("%d packets at once after an hour, want %d", n, burstPackets)
	}
	if p.next() <= now {
		t.Error("an empty bucket says now")
	}
}

// What leaves unasked, as probes and acknowledgements do, is owed, but not for ever.
func TestPacerDebtIsBounded(t *testing.T) {
	p := pacer{}
	p.set(125_000, 1452)
	for range 1000 {
		p.sent(dawn, 1452)
	}
	if wait := p.next().Sub(dawn); wait > 100*ms {
		t.Errorf("a thousand probes stop the line for %v", wait)
	}
}
