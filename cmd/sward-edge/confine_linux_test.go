package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRootServesWithoutItsPowers: who starts the edge as root gets one that may do no more than an ordinary user, and can
// get nothing back; for a directory that belongs to somebody, it is that somebody's.
func TestRootServesWithoutItsPowers(t *testing.T) { // O07
	if os.Geteuid() != 0 {
		t.Skip("skipped: only root has powers to give up")
	}
	const nobody = 65534
	for name, owner := range map[string]int{"root's own": 0, "somebody's": nobody} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "edge")
			for path := dir; strings.HasPrefix(path, os.TempDir()+"/"); path = filepath.Dir(path) {
				os.Chmod(path, 0o755) // for the other user to get there
			}
			// Without a terminal init agrees to nothing, and leaves the settings.
			exec.CommandContext(t.Context(), "sward-edge", "init", invited, "--dir", dir).Run()
			replaceInFile(t, filepath.Join(dir, "edge.yaml"), "127.0.0.1:7411", "127.0.0.1:0")
			for _, path := range []string{dir, filepath.Join(dir, "key"), filepath.Join(dir, "edge.yaml")} {
				if err := os.Chown(path, owner, owner); err != nil {
					t.Fatal(err)
				}
			}
			edge := exec.CommandContext(t.Context(), "sward-edge", "run", "--dir", dir)
			if err := edge.Start(); err != nil {
				t.Fatal(err)
			}
			defer edge.Wait()
			defer edge.Process.Signal(os.Interrupt)
			for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
				if _, err := os.Stat(filepath.Join(dir, "control.json")); err == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatal("the edge did not start")
				}
			}
			status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(edge.Process.Pid), "status"))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{
				`(?m)^CapPrm:\t0+$`, `(?m)^CapEff:\t0+$`, `(?m)^CapInh:\t0+$`, `(?m)^CapAmb:\t0+$`, `(?m)^NoNewPrivs:\t1$`,
				`(?m)^Uid:\t` + strings.Repeat(strconv.Itoa(owner)+`\t`, 3) + strconv.Itoa(owner) + `$`,
			} {
				if !regexp.MustCompile(want).Match(status) {
					t.Errorf("no %q in\n%s", want, status)
				}
			}
		})
	}
}

func replaceInFile(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, new)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
