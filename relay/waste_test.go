package relay

import (
	"errors"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/wire"
)

// meterOf is a channel with a window.
func meterOf(t *testing.T, window uint32) *accounting.Meter {
	t.Helper()
	key := newKey(t)
	return accounting.NewMeter(accounting.MeterConfig{
		Side: accounting.RelaySide, Network: "test", Key: key,
		Channel: accounting.Channel{RelayKey: key.ID(), Window: window, Expires: 1 << 60},
	})
}

// An account that cuts off what an edge carries for it goes on with other edges, until what it takes or time makes up for
// it. Others, other edges and a new channel are not its concern.
func TestAccountThatWastesAnEdgeIsKeptFromIt(t *testing.T) {
	const size = 1 << 20
	var w waste
	m, edge, other := meterOf(t, size), newKey(t).ID(), newKey(t).ID()
	bad, good := tag{1}, tag{2}
	now := time.Unix(1e9, 0)
	over := func() bool { return w.over(bad, edge, m, now) != nil }
	waste := func(n int) {
		for range n {
			now = now.Add(time.Second)
			w.ended(bad, edge, m, 0, true, now)
		}
	}
	waste(wasteWindows)
	if over() {
		t.Errorf("over after %d windows, want one more second's worth of forgiveness", wasteWindows)
	}
	waste(1)
	err := w.over(bad, edge, m, now)
	if wire.CodeOf(err) != wire.PartnerLimit {
		t.Fatalf("after %d windows: got %v, want %s", wasteWindows+1, err, wire.PartnerLimit.Name())
	}
	coded, _ := errors.AsType[*wire.Error](err)
	after := coded.After
	if after <= 0 || after > wasteWindowTime {
		t.Errorf("may ask again after %s, want up to %s", after, wasteWindowTime)
	}
	for name, err := range map[string]error{
		"another account": w.over(good, edge, m, now), "another edge": w.over(bad, other, m, now),
		"a new channel": w.over(bad, edge, meterOf(t, size), now),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	now = now.Add(after + time.Second)
	if over() {
		t.Errorf("still over after the %s that it was told to wait", after)
	}
	waste(2)
	w.ended(bad, edge, m, 2*wasteShare*size, false, now)
	if over() {
		t.Errorf("over after it has taken what makes up for two windows")
	}
	for range 1000 { // at once: one window
		w.ended(good, other, m, 0, true, now)
	}
	if err := w.over(good, other, m, now); err != nil {
		t.Errorf("streams that were cut at one moment: %v", err)
	}
	w.ended(tag{3}, edge, m, size, false, now)
	if len(w.of[tag{3}]) != 0 {
		t.Error("an account that wastes nothing is remembered")
	}
}

func TestWasteIsBounded(t *testing.T) {
	var w waste
	m := meterOf(t, 1<<20)
	for n := range maxWasters + 10 {
		w.ended(tag{byte(n), byte(n >> 8), 1}, newKey(t).ID(), m, 0, true, time.Unix(1e9, 0))
	}
	one := tag{9, 9, 9}
	for range maxWasted + 10 {
		w.ended(one, newKey(t).ID(), m, 0, true, time.Unix(1e9, 0))
	}
	if len(w.of) > maxWasters || len(w.of[one]) > maxWasted {
		t.Errorf("%d accounts are remembered, and %d edges of one: want at most %d and %d", len(w.of), len(w.of[one]), maxWasters, maxWasted)
	}
}
