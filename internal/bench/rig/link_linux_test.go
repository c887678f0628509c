package rig

import (
	"slices"
	"testing"
	"time"
)

func TestLineSpacesPacketsByItsRate(t *testing.T) {
	w := newWay(0, 0, 1)
	w.shape = Shape{Delay: 25 * time.Millisecond, Rate: 100e6, Queue: 10_000}
	now := time.Now()
	for range 3 {
		w.take(now, make([]byte, 1250)) // 100 µs each at 100 Mbit/s
	}
	for i, p := range w.waiting {
		if got, want := p.due.Sub(now), 25*time.Millisecond+time.Duration(i+1)*100*time.Microsecond; got != want {
			t.Errorf("packet %d is due after %s, want %s", i, got, want)
		}
	}
}

func TestLineDropsWhatItsQueueCannotHold(t *testing.T) {
	w := newWay(0, 0, 1)
	w.shape = Shape{Rate: 100e6, Queue: 5000}
	now := time.Now()
	for range 10 {
		w.take(now, make([]byte, 1000))
	}
	if w.carried != 5 || w.dropped != 5 {
		t.Errorf("carried %d, dropped %d, want 5 and 5", w.carried, w.dropped)
	}
	w.take(now.Add(time.Second), make([]byte, 1000))
	if w.carried != 6 {
		t.Errorf("carried %d after the queue had drained, want 6", w.carried)
	}
}

func TestLineLosesTheSamePacketsForTheSameSeed(t *testing.T) {
	fates := func(seed uint64) (lost []int) {
		w := newWay(0, 0, seed)
		w.shape = Shape{Loss: 0.01}
		for i := range 10_000 {
			before := w.lost
			w.take(time.Now(), make([]byte, 100))
			if w.lost > before {
				lost = append(lost, i)
			}
		}
		return lost
	}
	a, b, c := fates(1), fates(1), fates(2)
	if len(a) < 50 || len(a) > 200 {
		t.Errorf("%d of 10000 packets lost at 1 %%", len(a))
	}
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("luck does not follow from the seed")
	}
}
