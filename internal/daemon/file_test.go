package daemon

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestWriteFileReplacesWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "caps.json")
	for _, text := range []string{"first and longer", "second"} {
		if err := WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Fatalf("file holds %q, %v, want %q", got, err, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o640 && runtime.GOOS != "windows" {
		t.Errorf("mode is %04o, want 0640", got)
	}
	wantAlone(t, path)
}

func TestWriteFileFailureLeavesTheOldContent(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFile(filepath.Join(dir, "none", "x"), nil, 0o600); err == nil {
		t.Error("wrote into a directory that does not exist")
	}
	// A directory that is not empty cannot be renamed over.
	target := filepath.Join(dir, "state")
	inner := filepath.Join(target, "inner")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inner, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(target, []byte("new"), 0o600); err == nil {
		t.Error("replaced a directory by a file")
	}
	if got, err := os.ReadFile(inner); err != nil || string(got) != "kept" {
		t.Errorf("inner file holds %q, %v, want kept", got, err)
	}
	wantAlone(t, target)
}

// wantAlone: no temporary file beside path.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 1 {
		t.Errorf("directory holds %v, want %s alone", names, filepath.Base(path))
	}
}
