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
	v, err := openVolume(filepath.Join(dir, volumeFile), caps, nil, clock)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// drain moves bytes in pieces of chunk until the cap refuses, and says how many it moved and under which rule it ended.
func drain(v *volume, way policy.Way, chunk int) (moved int64, rule string) {
	for {
		r, err := v.reserve(way, chunk)
		if err != nil {
			var d *policy.Denied
			if errors.As(err, &d) {
				return moved, d.Rule
			}
			return moved, err.Error()
		}
		used := (r.n + 1) / 2 // as if a read had come up short
		v.settle(r, used)
		moved += int64(used)
	}
}

// H01: sixty-four streams at once, half of them each way, against every kind of cap.
func TestParallelStreamsNeverPassACap(t *testing.T) {
	const limit, streams, piece = 37_000_001, 64, 1000
	for name, c := range map[string]struct {
		caps policy.Caps
		rule string
		of   func(Used) int64
	}{
		"day":        {policy.Caps{Day: limit, Month: 1e12}, "cap_day", func(u Used) int64 { return u.Bytes }},
		"month":      {policy.Caps{Day: 1e12, Month: limit}, "cap_month", func(u Used) int64 { return u.Bytes }},
		"both ways":  {policy.Caps{Month: limit, MonthUp: limit / 4}, "cap_month", func(u Used) int64 { return u.Bytes }},
		"down alone": {policy.Caps{DayDown: limit, DayUp: 1}, "cap_day", func(u Used) int64 { return u.Down }},
	} {
		t.Run(name, func(t *testing.T) {
			v := mustVolume(t, t.TempDir(), c.caps, fixed(noon))
			var total [2]atomic.Int64
			var running sync.WaitGroup
			for i := range streams {
				way := policy.Way(i % 2) //nolint:gosec // 0 or 1
				running.Go(func() {
					moved, rule := drain(v, way, piece+97*i)
					total[way].Add(moved)
					if rule != c.rule {
						t.Errorf("stream %d ended with %s, want %s", i, rule, c.rule)
					}
				})
			}
			running.Wait()
			today, _ := v.used().used()
			// What one stream gives back while the others find nothing may stay unused: less than a piece each.
			if got := c.of(today); got > limit || got < limit-streams*(piece+97*streams) {
				t.Errorf("64 streams moved %d bytes, want at most %d and nearly all of it", got, limit)
			}
			if today.Up != total[policy.Up].Load() || today.Down != total[policy.Down].Load() {
				t.Errorf("counted %d up and %d down, moved %d and %d", today.Up, today.Down, total[policy.Up].Load(), total[policy.Down].Load())
			}
			if up := max(c.caps.DayUp, c.caps.MonthUp); up > 0 && today.Up > up {
				t.Errorf("moved %d up, cap %d", today.Up, up)
			}
		})
	}
}

func TestCleanStopGivesTheLeaseBack(t *testing.T) {
	dir := t.TempDir()
	v := mustVolume(t, dir, policy.Caps{Day: 100e6}, fixed(noon))
	if _, err := v.reserve(policy.Down, 1000); err != nil {
		t.Fatal(err)
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
	again := mustVolume(t, dir, policy.Caps{Day: 100e6}, fixed(noon))
	if got := again.used().day; got.Total() != 1000 || got.Down != 1000 {
		t.Errorf("after a clean stop %+v counts, want 1000 down", got)
	}
	if _, err := v.reserve(policy.Down, 1); !errors.Is(err, errVolumeClosed) {
		t.Errorf("reserve after close: got %v, want %v", err, errVolumeClosed)
	}
}

func TestALeaseIsNotCarriedIntoTheNextDay(t *testing.T) {
	now := time.Date(2026, 11, 21, 23, 59, 59, 0, time.UTC)
	v := mustVolume(t, t.TempDir(), policy.Caps{Day: 1000, Month: 1e6}, func() time.Time { return now })
	old, err := v.reserve(policy.Up, 400)
	if err != nil || old.n != 400 {
		t.Fatalf("reserve: got %+v, %v; want 400", old, err)
	}
	now = now.Add(time.Second)
	first, err := v.reserve(policy.Up, 1000)
	if err != nil || first.n != 1000 {
		t.Fatalf("on the new day: got %+v, %v; want 1000", first, err)
	}
	v.settle(old, 100) // of the old day: not room of the new one
	if _, err := v.reserve(policy.Up, 1); !errors.Is(err, policy.ErrDenied) {
		t.Errorf("reserve beyond the new day's cap: got %v, want a refusal", err)
	}
	if _, month := v.used().used(); month.Bytes != 1100 {
		t.Errorf("the month counts %d bytes, want the 100 and the 1000 that moved", month.Bytes)
	}
}

// The owner turns the cap down under running streams, and up again: each piece obeys the cap of its moment.
func TestCapsChangeUnderRunningStreams(t *testing.T) {
	v := mustVolume(t, t.TempDir(), policy.Caps{Day: 1e9}, fixed(noon))
	r, err := v.reserve(policy.Down, 3000)
	if err != nil {
		t.Fatal(err)
	}
	v.change(policy.Caps{Day: 5000}, nil)
	v.settle(r, 1000) // 2000 come back, and are no lease of the old cap
	moved, rule := drain(v, policy.Up, 700)
	if used := v.used().day.Total(); rule != "cap_day" || moved+1000 != used || used > 5000 || used < 5000-700 {
		t.Errorf("after the cap was lowered %d bytes moved and %d count, ended by %s; want nearly 5000", moved+1000, used, rule)
	}
	v.change(policy.Caps{Day: 500}, nil)
	if _, err := v.reserve(policy.Down, 1); !errors.Is(err, policy.ErrDenied) {
		t.Errorf("under a cap that is passed already: got %v, want a refusal", err)
	}
	v.change(policy.Caps{}, nil)
	if r, err := v.reserve(policy.Down, 1<<20); err != nil || r.n != 1<<20 {
		t.Errorf("without caps: got %+v, %v", r, err)
	}
}

// H05 through the edge's own count: another billing day forgets no byte, and counts none twice.
func TestAnotherBillingDayCountsWhatMovedBefore(t *testing.T) {
	now := noon.AddDate(0, 0, -10) // the 11th
	clock := func() time.Time { return now }
	v := mustVolume(t, t.TempDir(), policy.Caps{Month: 10_000}, clock)
	for range 11 { // to the 21st, a hundred bytes a day
		r, err := v.reserve(policy.Down, 100)
		if err != nil {
			t.Fatal(err)
		}
		v.settle(r, 100)
		now = now.AddDate(0, 0, 1)
	}
	now = noon
	for billing, want := range map[int]int64{1: 1100, 15: 700, 21: 100, 22: 1100} {
		v.change(policy.Caps{Month: 10_000, BillingDay: billing}, nil)
		if _, month := v.used().used(); month.Bytes != want {
			t.Errorf("billed from day %d: %d bytes, want %d", billing, month.Bytes, want)
		}
	}
}

// In the soft band no new stream is taken, and those that run may use it up.
func TestTheLastOfACapIsForRunningStreams(t *testing.T) {
	v := mustVolume(t, t.TempDir(), policy.Caps{Day: 1_000_000}, fixed(noon))
	moved := 0
	for moved < 980_000 {
		r, err := v.reserve(policy.Down, 980_000-moved)
		if err != nil {
			t.Fatal(err)
		}
		moved += r.n
	}
	if room, err := v.room(); !errors.Is(err, policy.ErrDenied) {
		t.Errorf("with 20000 bytes left new streams have %d, %v; want a refusal", room, err)
	}
	if r, err := v.reserve(policy.Down, 30_000); err != nil || r.n != 20_000 {
		t.Errorf("a running stream got %+v, %v; want the last 20000", r, err)
	}
}

func TestADamagedCountStopsTheStart(t *testing.T) {
	for _, content := range []string{"{", `{"days":[{"date":"x"}]}`, `{"days":[{"date":"2026-11-21","up":-5}]}`, `{"days":[{"date":"2026-11-21"},{"date":"2026-11-20"}]}`, `{"lease":5}`} {
		path := filepath.Join(t.TempDir(), volumeFile)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := openVolume(path, policy.Caps{}, nil, fixed(noon)); err == nil {
			t.Errorf("%s: opened as %+v, want an error", content, v.state)
		}
	}
}

func TestNothingFlowsWhenTheCountCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	v := mustVolume(t, dir, policy.Caps{Day: 1e9}, fixed(noon)) // the directory does not exist
	if r, err := v.reserve(policy.Up, 10); err == nil {
		t.Errorf("reserved %d bytes that no disk remembers", r.n)
	}
	if used := v.used().day.Total(); used != 0 {
		t.Errorf("%d bytes count that nobody may move", used)
	}
}

// A lease is a write to disk: there are few on a fast line, and small ones again when it has become slow.
func TestLeaseFollowsTheRate(t *testing.T) {
	now := noon
	v := mustVolume(t, t.TempDir(), policy.Caps{Month: 1e12}, func() time.Time { return now })
	leases := func(total int, each time.Duration) (n int) {
		const piece = 1 << 20
		for moved := 0; moved < total; moved += piece {
			before := v.state.Lease
			for left := piece; left > 0; {
				r, err := v.reserve(policy.Down, left)
				if err != nil {
					t.Fatal(err)
				}
				left -= r.n
			}
			if now = now.Add(each); v.state.Lease > before {
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
		v.state.Lease = 0
		if _, err := v.reserve(policy.Down, 1); err != nil {
			t.Fatal(err)
		}
		if v.state.Lease > 1<<30/leaseShare {
			t.Fatalf("a lease of %d bytes was taken from a cap of 1 GiB", v.state.Lease)
		}
	}
}

// A count of the form before there were days goes on, and neither day nor month begins at zero.
func TestVolumeOfTheEarlierFormIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		stored     string
		day, month int64
	}{
		"today":            {`{"day":"2026-11-21","month":"2026-11","day_used":3000,"month_used":70000}`, 3000, 70000},
		"earlier":          {`{"day":"2026-11-03","month":"2026-11","day_used":3000,"month_used":70000}`, 0, 70000},
		"the first":        {`{"day":"2026-11-01","month":"2026-11","day_used":70000,"month_used":70000}`, 0, 70000},
		"month before":     {`{"day":"2026-10-31","month":"2026-10","day_used":3000,"month_used":70000}`, 0, 0},
		"nothing but days": {`{"days":[{"date":"2026-11-21","up":5,"down":6}],"lease":7}`, 18, 18},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, volumeFile), []byte(c.stored), 0o600); err != nil {
				t.Fatal(err)
			}
			v := mustVolume(t, dir, policy.Caps{Day: 1e6, Month: 1e6}, fixed(noon))
			if u := v.used(); u.day.Total() != c.day || u.month.Total() != c.month {
				t.Errorf("%d of this day and %d of this month are known, want %d and %d", u.day.Total(), u.month.Total(), c.day, c.month)
			}
		})
	}
	for _, bad := range []string{`{}x`, `{"day":"yesterday","month":"2026-11","day_used":1,"month_used":1}`, `{"day":"2026-11-21","month":"2026-11","day_used":-1,"month_used":1}`} {
		path := filepath.Join(t.TempDir(), volumeFile)
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openVolume(path, policy.Caps{}, nil, fixed(noon)); err == nil {
			t.Errorf("%s is read as a count", bad)
		}
	}
}

// A stream that was under way when a lease was written down is on disk with its way. What it gives back is not spent the other
// way before that is on disk, too: a kill would forget it there.
func TestKillDoesNotForgetWhichWayBytesWent(t *testing.T) {
	const limit = 8 << 20
	dir := t.TempDir()
	caps := policy.Caps{DayDown: limit, Month: 1e12}
	v := mustVolume(t, dir, caps, fixed(noon))
	var waiting []reserved // for bytes that never come
	for v.state.Lease > 0 || len(waiting) == 0 {
		r, err := v.reserve(policy.Up, 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, r)
	}
	down := func(v *volume) (moved int64) {
		r, err := v.reserve(policy.Down, 1000) // a lease is written down
		if err != nil {
			t.Fatal(err)
		}
		moved = int64(r.n)
		for _, r := range waiting {
			v.settle(r, 0)
		}
		waiting = nil
		for {
			if r, err = v.reserve(policy.Down, min(64<<10, max(int(v.state.Lease), 1))); err != nil {
				return moved
			}
			moved += int64(r.n)
			if v.state.Lease == 0 {
				return moved
			}
		}
	}
	moved := down(v)
	v = mustVolume(t, dir, caps, fixed(noon)) // killed
	for {
		r, err := v.reserve(policy.Down, 64<<10)
		if err != nil {
			break
		}
		moved += int64(r.n)
	}
	if moved > limit {
		t.Errorf("%d bytes went down, and the cap is %d", moved, limit)
	}
}
