package edge

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"sward/internal/wire"
)

// The edge is attacked as it runs. To break its seal the attack takes the machine to be in a network that the gate has not
// been told of, which is what a gate that fails to follow the machine would look like.
func TestABrokenSealStopsServiceUntilItIsWholeAgain(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	awaitSealed(t, s, true)
	running, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := running.Write([]byte("still there")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(running, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}

	if err := e.seal.Attack(t.Context(), []netip.Prefix{netip.MustParsePrefix("2a02:8071:1:2::10/64")}); err != nil {
		t.Fatal(err)
	}
	if report := e.Seal(); report.Whole() {
		t.Fatalf("the seal is whole after %d attacks on a home that the gate does not know", report.Attacks)
	}
	running.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := running.Read(make([]byte, 1)); wire.CodeOf(err) != wire.Paused {
		t.Errorf("the running stream: got %v, want it cut with %s", err, wire.Paused)
	}
	running.end()
	if _, err := s.open(t.Context(), r.grant(), "site.example", 80); wire.CodeOf(err) != wire.Paused {
		t.Errorf("a new stream: got %v, want %s", err, wire.Paused)
	}
	awaitSealed(t, s, false)
	if status := e.Status(t.Context()); status.Serving || status.Why != holdSeal || status.Seal.Whole() {
		t.Errorf("the owner is told: %+v", status)
	}

	if err := e.seal.Attack(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	awaitSealed(t, s, true)
	again, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatalf("with the seal whole again: %v", err)
	}
	again.end()
}

func awaitSealed(t *testing.T, s *testSession, sealed bool) {
	t.Helper()
	for {
		select {
		case m := <-s.statuses:
			if m.Flags&wire.StatusSealed != 0 == sealed {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the relay was not told sealed = %v", sealed)
		}
	}
}
