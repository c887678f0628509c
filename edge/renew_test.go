package edge

import (
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/wire"
)

// A session whose time has come says so, serves until the next one has its channel, and lets its streams finish.
func TestNextSessionTakesOverBeforeTheOldOneLeaves(t *testing.T) {
	r := newTestRelay(t)
	testEdge(t, r, echo(t), func(c *Config) { c.SessionLife = 500 * time.Millisecond })
	old := r.next()
	running, err := old.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	next := r.next() // its channel is open
	old.mu.Lock()
	flags := old.status.Flags
	old.mu.Unlock()
	if flags&wire.StatusRolling == 0 {
		t.Errorf("the last status before the next session came has flags %b, want rolling", flags)
	}
	// The next one serves, and until the edge has said goodbye on the old one that serves too.
	for name, s := range map[string]*testSession{"old": old, "next": next} {
		st, err := s.open(t.Context(), r.grant(), "site.example", 80)
		if err != nil {
			t.Fatalf("a stream on the %s session: %v", name, err)
		}
		if n, err := st.exchange(t.Context(), 10_000); n != 10_000 || err != nil {
			t.Errorf("on the %s session %d bytes came back, %v", name, n, err)
		}
		st.end()
	}
	eventually(t, "the edge says goodbye on the old session", func() bool { return old.Draining() })
	if n, err := running.exchange(t.Context(), 100_000); n != 100_000 || err != nil {
		t.Errorf("of a stream that ran before, %d bytes came back, %v", n, err)
	}
	running.end()
	select {
	case <-old.Done():
	case <-time.After(20 * time.Second):
		t.Error("the old session does not end with its last stream")
	}
	if next.Draining() && len(r.sessions) == 0 {
		t.Error("the next session has left before another came")
	}
}

func TestSessionMakesRoomForOneThatIsTrustedWithMore(t *testing.T) {
	const window = 512 << 10
	for _, c := range []struct {
		window uint32
		signed uint64
		want   bool
	}{
		{window, 0, false},
		{window, growAfter*window - 1, false},
		{window, growAfter * window, true},
		{2 * window, growAfter * window, false},
		{accounting.MaxWindow, 1 << 62, false},
	} {
		if got := outgrown(c.window, c.signed); got != c.want {
			t.Errorf("window %d, %d bytes signed: got %v, want %v", c.window, c.signed, got, c.want)
		}
	}
}
