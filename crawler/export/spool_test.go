package export

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sward/crawler"
)

func tableIsMadeOnceAndKept(t *testing.T, e *Exporter, j crawler.Job, c *crawler.Crawler) {
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			f, err := e.tables.open(t.Context(), c, j, j.Completed)
			if err != nil {
				t.Error(err)
				return
			}
			f.Close()
		})
	}
	group.Wait()
	names, err := filepath.Glob(filepath.Join(e.cfg.Dir, "*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("got %v, %v, want one table", names, err)
	}
	before, err := os.Stat(names[0])
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(e.cfg.Dir, "unfinished-1") // by a process that was killed
	if err := os.WriteFile(left, []byte("PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(e.cfg)
	if err != nil {
		t.Fatal(err)
	}
	f, err := again.tables.open(t.Context(), c, j, j.Completed)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if after, err := os.Stat(names[0]); err != nil || !os.SameFile(before, after) {
		t.Errorf("the table was made again: %v", err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what was left unfinished: got %v, want it gone", err)
	}
	if err := again.tables.sweep(time.Now().Add(spoolKeep + time.Minute)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(names[0]); !os.IsNotExist(err) {
		t.Errorf("a day after its last use: got %v, want it gone", err)
	}
}
