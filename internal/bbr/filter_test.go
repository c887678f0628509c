package bbr

import (
	"testing"
	"time"
)

func TestMaxRateRemembersTwoProbes(t *testing.T) {
	var m maxRate
	for i, step := range []struct {
		take    rate
		advance bool
		want    rate
	}{
		{take: 10, want: 10},
		{take: 30, want: 30},
		{take: 20, want: 30},
		{advance: true, want: 30},
		{advance: true, want: 30}, // nothing was measured in between: nothing is forgotten
		{take: 5, want: 30},
		{advance: true, want: 5},
		{take: 7, want: 7},
		{advance: true, want: 7},
	} {
		if step.take > 0 {
			m.take(step.take)
		}
		if step.advance {
			m.advance()
		}
		if got := m.rate(); got != step.want {
			t.Errorf("step %d: rate %v, want %v", i, got, step.want)
		}
	}
}

func TestRate(t *testing.T) {
	if got := perSecond(1250, 100*time.Microsecond); got != 12_500_000 {
		t.Errorf("1250 bytes in 100 µs are %v a second", got)
	}
	if got := rate(12_500_000).over(50 * ms); got != 625_000 {
		t.Errorf("100 Mbit/s carry %d bytes in 50 ms", got)
	}
}
