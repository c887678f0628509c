package edge

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sward/policy"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func fixed(t time.Time) func() time.Time { return func() time.Time { return t } }

func mustVolume(t *testing.T, dir string, caps policy.Caps, clock func() time.Time) *volume {
	t.Helper()
	v, err := openVolume(filepath.Join(dir, volumeFile), caps, clock)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// drain moves bytes in pieces of chunk until the cap refuses, and says how many it moved and under which rule it ended.
func drain(v *volume, chunk int) (moved int64, rule string) {
	for {
		n, epoch, err := v.reserve(chunk)
		if err != nil {
			var d *policy.Denied
			if errors.As(err, &d) {
				return moved, d.Rule
			}
			return moved, err.Error()
		}
		used := (n + 1) / 2 // as if a read had come up short
		v.giveBack(epoch, n-used)
		moved += int64(used)
	}
}

func TestParallelStreamsNeverPassACap(t *testing.T) { // H01
	const dayCap = 37_000_001
	v := mustVolume(t, t.TempDir(), policy.Caps{Day: dayCap, Month: 1e9}, fixed(noon))
	var total atomic.Int64
	var streams sync.WaitGroup
	for i := range 64 {
		streams.Go(func() {
			moved, rule := drain(v, 1000+97*i)
			total.Add(moved)
			if rule != "cap_day" {
				t.Errorf("stream %d ended with %s, want cap_day", i, rule)
			}
		})
	}
	streams.Wait()
	// What one stream gives back while the others find nothing may stay unused; that is less than one chunk each.
	if got := total.Load(); got > dayCap || got < dayCap-64*(1000+97*64) {
		t.Errorf("64 streams moved %d bytes, want at most %d and nearly all of it", got, dayCap)
	}
	if used := v.used().DayUsed; used != total.Load() {
		t.Errorf("counted %d, moved %d", used, total.Load())
	}
}

func TestKillForgetsNoByte(t *testing.T) { // H03
	const dayCap = 10_000_000
	dir := t.TempDir()
	var moved int64
	for kills := 0; ; kills++ {
		v := mustVolume(t, dir, policy.Caps{Day: dayCap}, fixed(noon)) // the one before is never closed
		n, _, err := v.reserve(300_000)
		if err != nil {
			if moved > dayCap {
				t.Errorf("moved %d bytes over %d kills, cap %d", moved, kills, dayCap)
			}
			return
		}
		if moved += int64(n); kills > 100 {
			t.Fatal("the cap was never reached")
		}
		if used := mustVolume(t, dir, policy.Caps{Day: dayCap}, fixed(noon)).state.DayUsed; used < moved {
			t.Fatalf("after kill %d the file counts %d bytes, %d moved", kills, used, moved)
		}
	}
}

func TestCleanStopGivesTheLeaseBack(t *testing.T) {
	dir := t.TempDir()
	v := mustVolume(t, dir, policy.Caps{Day: 100e6}, fixed(noon))
	if _, _, err := v.reserve(1000); err != nil {
		t.Fatal(err)
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
	again := mustVolume(t, dir, policy.Caps{Day: 100e6}, fixed(noon))
	if got := again.used().DayUsed; got != 1000 {
		t.Errorf("after a clean stop %d bytes count, want 1000", got)
	}
	if _, _, err := v.reserve(1); !errors.Is(err, errVolumeClosed) {
		t.Errorf("reserve after close: got %v, want %v", err, errVolumeClosed)
	}
}

func TestALeaseIsNotCarriedIntoTheNextDay(t *testing.T) {
	now := time.Date(2026, 11, 21, 23, 59, 59, 0, time.UTC)
	v := mustVolume(t, t.TempDir(), policy.Caps{Day: 1000}, func() time.Time { return now })
	n, epoch, err := v.reserve(400)
	if err != nil || n != 400 {
		t.Fatalf("reserve: got %d, %v; want 400", n, err)
	}
	now = now.Add(time.Second)
	first, _, err := v.reserve(1000)
	if err != nil || first != 1000 {
		t.Fatalf("on the new day: got %d, %v; want 1000", first, err)
	}
	v.giveBack(epoch, 400) // of the old day: not room of the new one
	if _, _, err := v.reserve(1); !errors.Is(err, policy.ErrDenied) {
		t.Errorf("reserve beyond the new day's cap: got %v, want a refusal", err)
	}
}

func TestADamagedCountStopsTheStart(t *testing.T) {
	for _, content := range []string{"{", `{"day":"x"}`, `{"day":"2026-11-21","month":"2026-11","day_used":-5}`} {
		path := filepath.Join(t.TempDir(), volumeFile)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := openVolume(path, policy.Caps{}, fixed(noon)); err == nil {
			t.Errorf("%s: opened as %+v, want an error", content, v.state)
		}
	}
}

func TestNothingFlowsWhenTheCountCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	v := mustVolume(t, dir, policy.Caps{Day: 1e9}, fixed(noon)) // the directory does not exist
	if n, _, err := v.reserve(10); err == nil {
		t.Errorf("reserved %d bytes that no disk remembers", n)
	}
}

// A lease is a write to disk: there are few on a fast line, and small ones again when it has become slow.
func TestLeaseFollowsTheRate(t *testing.T) {
	now := noon
	v := mustVolume(t, t.TempDir(), policy.Caps{Month: 1e12}, func() time.Time { return now })
	leases := func(total int, each time.Duration) (n int) {
		const piece = 1 << 20
		for moved := 0; moved < total; moved += piece {
			before := v.state.DayUsed
			for left := piece; left > 0; {
				got, _, err := v.reserve(left)
				if err != nil {
					t.Fatal(err)
				}
				left -= got
			}
			if now = now.Add(each); v.state.DayUsed != before {
				n++
			}
		}
		return n
	}
	if n := leases(1<<30, 8*time.Millisecond); n > 24 { // a gigabit
		t.Errorf("1 GiB in 8 s took %d leases, want few", n)
	}
	leases(1<<30, 80*time.Millisecond) // 100 Mbit/s
	if v.lease > 8*leaseSize {
		t.Errorf("at 100 Mbit/s a lease is %d bytes, want a few seconds' worth", v.lease)
	}
	leases(256<<20, time.Second)
	if v.lease != leaseSize {
		t.Errorf("on a slow line a lease is %d bytes, want %d", v.lease, leaseSize)
	}
}

// Near the end of a cap a lease is a small part of what is left: a crash must not cost the owner's buyers the rest.
func TestLeaseIsAPartOfTheRoom(t *testing.T) {
	v := mustVolume(t, t.TempDir(), policy.Caps{Day: 1 << 30}, fixed(noon)) // a clock that stands: every lease is short
	for range 40 {
		v.held = 0
		if _, _, err := v.reserve(1); err != nil {
			t.Fatal(err)
		}
		if v.held > 1<<30/leaseShare {
			t.Fatalf("a lease of %d bytes was taken from a cap of 1 GiB", v.held)
		}
	}
}
