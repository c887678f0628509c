package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestALogTakesABoundedPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.log")
	l, err := OpenLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l.max = 1000
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 500 {
				if _, err := fmt.Fprintf(l, "writer %d record %03d\n", w, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if _, err := l.Write([]byte(strings.Repeat("x", 5000) + "\n")); err != nil {
		t.Errorf("a record larger than a file: %v", err)
	}
	if _, err := fmt.Fprintln(l, "last"); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1+keptLogs {
		t.Errorf("%v (%v), want %d files", entries, err, 1+keptLogs)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(path), e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 1000 && !strings.HasPrefix(string(data), "xxx") || !strings.HasSuffix(string(data), "\n") {
			t.Errorf("%s has %d bytes, or a torn record", e.Name(), len(data))
		}
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "last\n" {
		t.Errorf("the newest file holds %q (%v)", data, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Write([]byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if l, err = OpenLogFile(path); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := fmt.Fprintln(l, "a new start"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "last\na new start\n" {
		t.Errorf("after a new start: %q (%v)", data, err)
	}
}

func TestALogThatCannotBeTurnedOverStaysBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.log")
	l, err := OpenLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.max = 100
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path+".2", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := fmt.Fprintln(l, "ten bytes"); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 100 || info.Size() == 0 {
		t.Errorf("%v, %v; want 10 to 100 bytes", info.Size(), err)
	}
}
