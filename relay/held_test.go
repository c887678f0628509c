package relay

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/wire"
)

func TestGrantsOfAKilledProcessAreKnownToTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), heldFile)
	first, err := openHeld(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range byte(5) {
		if err := first.take(accounting.GrantID{n}); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.give(accounting.GrantID{2}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path) // as a kill leaves it, in the middle of a line
	if err == nil {
		err = os.WriteFile(path, append(text, "+0102"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	next, err := openHeld(path)
	if err != nil {
		t.Fatal(err)
	}
	got := next.all()
	slices.SortFunc(got, func(a, b accounting.GrantID) int { return slices.Compare(a[:], b[:]) })
	if want := []accounting.GrantID{{0}, {1}, {3}, {4}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for range 3 * heldSlack {
		for _, err := range []error{next.take(accounting.GrantID{9}), next.give(accounting.GrantID{9})} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > (2*4+heldSlack+1)*int64(heldLine) {
		t.Errorf("the file has grown to %d bytes, %v", info.Size(), err)
	}
	if len(next.all()) != 4 {
		t.Errorf("%d grants are held, want 4", len(next.all()))
	}
}

// orphanHub notes what it is told to release.
type orphanHub struct {
	Hub
	away     bool
	released []accounting.GrantID
}

func (h *orphanHub) Release(_ context.Context, id accounting.GrantID, _ []accounting.Final) (accounting.Released, error) {
	if h.away {
		return accounting.Released{}, wire.Errorf(wire.HubAway, "connection refused")
	}
	h.released = append(h.released, id)
	return accounting.Released{Closed: true}, nil
}

func TestGrantsOfAKilledProcessGoBackWhenEdgesHaveSettled(t *testing.T) {
	r, _, pass := limitRelay(t, NoLimits(), accounting.Terms{})
	dir := t.TempDir()
	spool, err := accounting.OpenSpool(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	hub := &orphanHub{away: true}
	r.cfg.Hub, r.spool = hub, spool
	if r.held, err = openHeld(filepath.Join(dir, heldFile)); err != nil {
		t.Fatal(err)
	}
	defer r.held.close()
	inUse := accounting.GrantID{1} // which the hub has brought again
	for _, id := range []accounting.GrantID{inUse, {2}, {3}} {
		if err := r.held.take(id); err != nil {
			t.Fatal(err)
		}
	}
	r.orphans = orphans{ids: r.held.all(), from: r.cfg.Clock().Add(orphanWait)}
	r.releaseOrphans(t.Context())
	hub.away = false
	pass(orphanWait - time.Second)
	r.releaseOrphans(t.Context())
	if len(hub.released) > 0 {
		t.Errorf("%v were released before the edges had time to settle", hub.released)
	}
	pass(time.Second)
	hub.away = true
	r.releaseOrphans(t.Context())
	hub.away = false
	r.releaseOrphans(t.Context())
	r.releaseOrphans(t.Context())
	slices.SortFunc(hub.released, func(a, b accounting.GrantID) int { return slices.Compare(a[:], b[:]) })
	if want := []accounting.GrantID{{2}, {3}}; !slices.Equal(hub.released, want) {
		t.Errorf("released %v, want each of %v once", hub.released, want)
	}
	if left := r.held.all(); !slices.Equal(left, []accounting.GrantID{inUse}) {
		t.Errorf("on the list are %v, want the one in use", left)
	}
}

// Whatever a crash has left in the file, it is read as grants, and written anew it is the same ones.
func FuzzHeld(f *testing.F) {
	f.Add([]byte("+00000000000000000000000000000001\n-00000000000000000000000000000001\n+0"))
	f.Add([]byte("+0000000000000000000000000000000Z\n\n+"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), heldFile)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		first, err := openHeld(path)
		if err != nil {
			t.Fatal(err)
		}
		defer first.close()
		again, err := openHeld(path)
		if err != nil {
			t.Fatal(err)
		}
		defer again.close()
		if got, want := len(again.all()), len(first.all()); got != want {
			t.Errorf("%d grants the second time, %d the first", got, want)
		}
		for _, id := range first.all() {
			if !again.ids[id] {
				t.Errorf("grant %s is lost", id)
			}
		}
	})
}
