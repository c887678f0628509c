package agent

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestDirectoryIsTheEdgesAlone(t *testing.T) { // L09, O04
	if runtime.GOOS == "windows" {
		t.Skip("access is not in the mode there")
	}
	for name, c := range map[string]struct {
		make func(dir string) error
		own  bool // ownDirectory takes it and shuts it
	}{
		"new":   {func(string) error { return nil }, true},
		"empty": {func(dir string) error { return os.Mkdir(dir, 0o755) }, true},
		"an edge's": {func(dir string) error {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, configFile), nil, 0o600)
		}, true},
		"somebody's home": {func(dir string) error {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o644)
		}, false},
	} {
		dir := filepath.Join(t.TempDir(), "dir")
		if err := c.make(dir); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Stat(dir)
		if err := ownDirectory(dir); (err == nil) != c.own {
			t.Errorf("%s: got %v, want taken %v", name, err, c.own)
		}
		if err := checkDirectory(dir); (err == nil) != c.own {
			t.Errorf("%s: afterwards %v", name, err)
		}
		if after, _ := os.Stat(dir); !c.own && after.Mode() != before.Mode() {
			t.Errorf("%s: its mode was changed from %v to %v", name, before.Mode(), after.Mode())
		}
	}
}
