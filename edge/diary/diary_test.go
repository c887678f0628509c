package diary

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/policy"
)

// noon is a Sunday in a time zone that is not UTC's.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.FixedZone("CET", 3600))

// world is a diary with a clock that the test turns.
type world struct {
	*Diary
	t   *testing.T
	dir string
	now time.Time
}

func open(t *testing.T, dir string, keep int) *world {
	t.Helper()
	w := &world{t: t, dir: dir, now: noon}
	var err error
	if w.Diary, err = Open(dir, keep, func() time.Time { return w.now }); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) add(name string, up, down int64) {
	w.t.Helper()
	w.Add(host(w.t, name), policy.AppProxy, "price-comparison", up, down)
}

func (w *world) tend() {
	w.t.Helper()
	if err := w.Tend(); err != nil {
		w.t.Fatal(err)
	}
}

// lines are those of a day as an edge that starts now would read them.
func (w *world) lines(day string) []Line {
	w.t.Helper()
	lines, damaged, err := Read(w.dir, day)
	if err != nil || damaged != 0 {
		w.t.Fatalf("read %s: %d damaged records, %v", day, damaged, err)
	}
	return lines
}

func host(t *testing.T, name string) policy.Host {
	t.Helper()
	h, err := policy.ParseHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const today = "2026-11-22"

func TestWhatWentThroughYesterdayIsToldBySite(t *testing.T) { // H15
	w := open(t, t.TempDir(), DefaultKeep)
	w.add("www.shop.co.uk", 10, 90)
	w.add("img.shop.co.uk", 10, 90)
	w.tend()
	w.add("shop.co.uk", 5, 5)
	w.Add(host(t, "shop.co.uk"), policy.AppCrawl, "search-index", 1, 2)
	w.add("93.184.216.34", 1, 1)
	w.add("login.tor2web.org", 3, 4)
	want := []Line{
		{Day: today, Site: "shop.co.uk", Category: "other", Purpose: "price-comparison", App: "proxy", Streams: 3, Up: 25, Down: 185},
		{Day: today, Site: "tor2web.org", Category: "tor-vpn-mining", Purpose: "price-comparison", App: "proxy", Streams: 1, Up: 3, Down: 4},
		{Day: today, Site: "shop.co.uk", Category: "other", Purpose: "search-index", App: "crawl", Streams: 1, Up: 1, Down: 2},
		{Day: today, Site: Addresses, Category: "other", Purpose: "price-comparison", App: "proxy", Streams: 1, Up: 1, Down: 1},
	}
	live, _, err := w.Lines(today)
	if diff := cmp.Diff(want, live); diff != "" || err != nil {
		t.Errorf("today, from memory: %s%v", diff, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, w.lines(today)); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	w = open(t, w.dir, DefaultKeep)
	w.add("shop.co.uk", 5, 5)
	w.now = noon.Add(24 * time.Hour)
	w.add("late.example", 1, 1)
	w.tend()
	want[0].Streams, want[0].Up, want[0].Down = 4, 30, 190
	yesterday, _, err := w.Lines(today)
	if diff := cmp.Diff(want, yesterday); diff != "" || err != nil {
		t.Errorf("yesterday: %s%v", diff, err)
	}
	if days, err := w.Days(); err != nil || !cmp.Equal(days, []string{"2026-11-23", today}) {
		t.Errorf("days: %v, %v", days, err)
	}
	w.now = noon // somebody sets the clock back: the day goes on where it was
	w.add("shop.co.uk", 1, 1)
	w.tend()
	if got := w.lines(today)[0]; got.Streams != 5 || got.Up != 31 {
		t.Errorf("after the clock was set back: %+v, want 5 streams and 31 bytes up", got)
	}
}

func TestTheFilesTellNothingWithoutTheKey(t *testing.T) {
	w := open(t, t.TempDir(), DefaultKeep)
	for _, name := range []string{"a.example", "a-very-long-name-that-would-tell-by-its-length.example"} {
		w.add(name, 1, 1)
	}
	w.tend()
	var size int64
	err := filepath.Walk(w.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			if err == nil && info.Mode().Perm() != 0o700 && path != w.dir {
				t.Errorf("%s has mode %o, want 700", path, info.Mode().Perm())
			}
			return err
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", path, info.Mode().Perm())
		}
		data, err := os.ReadFile(path)
		for _, secret := range []string{"example", "proxy", "price"} {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s tells %q", path, secret)
			}
		}
		if filepath.Base(filepath.Dir(path)) == "days" {
			size = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if size != 2*sealedBytes {
		t.Errorf("two sites take %d bytes, want %d whatever their names", size, 2*sealedBytes)
	}
	if err := os.Rename(recordsPath(w.dir, today), recordsPath(w.dir, "2026-11-21")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(keyPath(w.dir, today), keyPath(w.dir, "2026-11-21")); err != nil {
		t.Fatal(err)
	}
	if lines, damaged, err := Read(w.dir, "2026-11-21"); len(lines) != 0 || damaged != 2 || err != nil {
		t.Errorf("records moved to another day: %v, %d damaged, %v; want none and 2", lines, damaged, err)
	}
}

func TestDamageCostsOneRecord(t *testing.T) {
	w := open(t, t.TempDir(), DefaultKeep)
	for i := range 5 {
		w.add(fmt.Sprintf("site-%d.example", i), int64(100-i), 0)
		w.tend()
	}
	path := recordsPath(w.dir, today)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[2*sealedBytes+100] ^= 1 // the third is damaged, the fifth torn
	if err := os.WriteFile(path, data[:len(data)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	lines, damaged, err := Read(w.dir, today)
	var sites []string
	for _, l := range lines {
		sites = append(sites, l.Site)
	}
	if want := []string{"site-0.example", "site-1.example", "site-3.example"}; err != nil || damaged != 2 || !cmp.Equal(sites, want) {
		t.Errorf("read %v with %d damaged, %v; want %v with 2", sites, damaged, err, want)
	}
	w = open(t, w.dir, DefaultKeep)
	w.add("next.example", 1, 0)
	w.tend()
	if lines, damaged, err := Read(w.dir, today); len(lines) != 4 || damaged != 1 || err != nil {
		t.Errorf("after the next write: %d lines, %d damaged, %v; want 4 and 1: it goes over the torn one", len(lines), damaged, err)
	}
	if err := os.WriteFile(keyPath(w.dir, today), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if lines, damaged, err := Read(w.dir, today); len(lines) != 0 || damaged != 5 || err != nil {
		t.Errorf("without a key: %v, %d damaged, %v; want none and 5", lines, damaged, err)
	}
	w.add("after.example", 1, 0)
	w.tend() // the day begins anew, with all that is in memory
	if got := w.lines(today); len(got) != 5 {
		t.Errorf("after the key was lost: %d lines, want 5", len(got))
	}
}

func TestADayIsBounded(t *testing.T) {
	w := open(t, t.TempDir(), DefaultKeep)
	for round := range 6 {
		for i := range maxLines + 20 {
			w.add(fmt.Sprintf("www.site-%d.example", i), 1, 1)
		}
		w.tend()
		info, err := os.Stat(recordsPath(w.dir, today))
		if err != nil || info.Size() > maxDayFile {
			t.Fatalf("round %d: %d bytes (%v), at most %d", round, info.Size(), err, maxDayFile)
		}
	}
	lines := w.lines(today)
	if len(lines) != maxLines+1 || lines[0].Site != OtherSites || lines[0].Streams != 6*20 {
		t.Errorf("%d lines, the first %+v; want %d and the rest added up", len(lines), lines[0], maxLines)
	}
	for _, l := range lines[1:] {
		if l.Streams != 6 {
			t.Fatalf("%+v, want 6 streams", l)
		}
	}
}

func TestManyStreamsEndAtOnceOverMidnight(t *testing.T) {
	w := open(t, t.TempDir(), DefaultKeep)
	start := time.Now()
	var mu sync.Mutex
	w.clock = func() time.Time { // midnight passes while the streams end
		mu.Lock()
		defer mu.Unlock()
		if time.Since(start) > 20*time.Millisecond {
			return noon.Add(12 * time.Hour)
		}
		return noon.Add(12*time.Hour - time.Second)
	}
	shop := host(t, "shop.example")
	const workers = 8
	var each [workers]int64
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for time.Since(start) < 60*time.Millisecond {
				w.Add(shop, policy.AppProxy, "price-comparison", 1, 0)
				if each[i]++; each[i]%50 == 0 {
					if err := w.Tend(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var want, got int64
	for _, n := range each {
		want += n
	}
	for _, day := range []string{today, "2026-11-23"} {
		lines := w.lines(day)
		if len(lines) != 1 {
			t.Fatalf("%s has %v, want one line", day, lines)
		}
		got += lines[0].Streams
	}
	if got != want {
		t.Errorf("%d streams ended, %d are written down", want, got)
	}
}
