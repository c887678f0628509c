package diary

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// days are those on disk, and a check that nothing else is there.
func (w *world) days() []string {
	w.t.Helper()
	days, err := Days(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, sub := range []string{"days", "keys"} {
		entries, err := os.ReadDir(filepath.Join(w.dir, sub))
		if err != nil || len(entries) != len(days) {
			w.t.Errorf("%s holds %v (%v), want the days %v", sub, entries, err, days)
		}
	}
	return days
}

func TestOldDaysGoAtMidnightAndAtStart(t *testing.T) {
	w := open(t, t.TempDir(), 3)
	for range 5 {
		w.add("shop.example", 1, 1)
		w.tend()
		w.now = w.now.AddDate(0, 0, 1)
		w.tend() // midnight has passed, with no stream
	}
	if got, want := w.days(), []string{"2026-11-26", "2026-11-25"}; !cmp.Equal(got, want) {
		t.Errorf("on the 27th: %v, want %v: three days, and nothing today", got, want)
	}
	later, err := Open(w.dir, 3, func() time.Time { return noon.AddDate(0, 0, 6) })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.days(), []string{"2026-11-26"}; !cmp.Equal(got, want) {
		t.Errorf("at a start on the 28th: %v, want %v", got, want)
	}
	if err := later.Keep(MaxKeep + 1); err == nil {
		t.Error("more than a year was taken")
	}
}

func TestKeepingNothingWritesNothing(t *testing.T) {
	w := open(t, t.TempDir(), DefaultKeep)
	w.add("shop.example", 1, 1)
	w.tend()
	if err := w.Keep(0); err != nil {
		t.Fatal(err)
	}
	w.add("shop.example", 1, 1)
	w.tend()
	if got := w.days(); len(got) != 0 {
		t.Errorf("kept %v, want nothing", got)
	}
	if lines, _, err := w.Lines(today); len(lines) != 0 || err != nil {
		t.Errorf("in memory: %v, %v; want nothing", lines, err)
	}
	if err := w.Keep(1); err != nil {
		t.Fatal(err)
	}
	w.add("shop.example", 1, 1)
	w.tend()
	if got := w.days(); !cmp.Equal(got, []string{today}) {
		t.Errorf("kept %v, want today", got)
	}
}

func TestAForgottenDayStaysForgotten(t *testing.T) {
	forget := map[string]func(*world) error{
		"by the edge":            func(w *world) error { return w.Forget(today) },
		"all by the edge":        func(w *world) error { return w.ForgetAll() },
		"by another program":     func(w *world) error { return Forget(w.dir, today) },
		"its key lost by itself": func(w *world) error { return os.Remove(keyPath(w.dir, today)) },
	}
	for name, do := range forget {
		t.Run(name, func(t *testing.T) {
			w := open(t, t.TempDir(), DefaultKeep)
			w.add("secret.example", 1, 1)
			w.tend()
			dayKey, err := readKey(w.dir, today)
			if err != nil {
				t.Fatal(err)
			}
			copied, err := os.ReadFile(recordsPath(w.dir, today)) // a backup of days/
			if err != nil {
				t.Fatal(err)
			}
			if err := do(w); err != nil {
				t.Fatal(err)
			}
			w.tend()
			w.add("next.example", 1, 1)
			w.tend()
			if got := w.lines(today); len(got) != 1 || got[0].Site != "next.example" || got[0].Streams != 1 {
				t.Errorf("after forgetting: %v, want next.example alone", got)
			}
			if next, err := readKey(w.dir, today); err != nil || cmp.Equal(next, dayKey) {
				t.Errorf("the key is the old one (%v)", err)
			}
			if err := os.WriteFile(recordsPath(w.dir, today), copied, 0o600); err != nil {
				t.Fatal(err)
			}
			if lines, damaged, err := Read(w.dir, today); len(lines) != 0 || damaged != 1 || err != nil {
				t.Errorf("a backup brought back %v (%d damaged, %v)", lines, damaged, err)
			}
		})
	}
	if err := Forget(t.TempDir(), "../../etc/passwd"); err == nil {
		t.Error("a path was taken for a day")
	}
}

func TestTheKeyIsWrittenOver(t *testing.T) {
	w := open(t, t.TempDir(), DefaultKeep)
	w.add("secret.example", 1, 1)
	w.tend()
	same := filepath.Join(t.TempDir(), "same-blocks")
	if err := os.Link(keyPath(w.dir, today), same); err != nil {
		t.Skipf("hard links are needed: %v", err)
	}
	if err := w.Forget(today); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(same); err != nil || !cmp.Equal(got, make([]byte, keyBytes)) {
		t.Errorf("the blocks hold %x (%v), want zeros", got, err)
	}
}
