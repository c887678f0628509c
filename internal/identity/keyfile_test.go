package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

const goldenKeyFile = "sward-ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"

func TestLoadKeyGolden(t *testing.T) {
	for name, text := range map[string]string{
		"as written":      goldenKeyFile,
		"windows editor":  strings.ReplaceAll(goldenKeyFile, "\n", "\r\n"),
		"no end of line":  strings.TrimSpace(goldenKeyFile),
		"two line breaks": goldenKeyFile + "\n",
	} {
		k, err := LoadKey(keyFile(t, text, 0o600))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := k.ID(), testKey(t, 1).ID(); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestLoadKeyRefusesLooseMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("mode bits carry no meaning on windows")
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o620, 0o601} {
		path := keyFile(t, goldenKeyFile, mode)
		_, err := LoadKey(path)
		if err == nil {
			t.Errorf("mode %04o was accepted", mode)
			continue
		}
		wantSentence(t, err, path)
	}
	if _, err := LoadKey(keyFile(t, goldenKeyFile, 0o400)); err != nil {
		t.Errorf("mode 0400 is stricter than asked, got %v", err)
	}
}

func TestLoadKeyRefusesMalformedFile(t *testing.T) {
	for name, text := range map[string]string{
		"empty":           "",
		"no prefix":       "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n",
		"other format":    "-----BEGIN PRIVATE KEY-----\n",
		"short seed":      "sward-ed25519:AQEB\n",
		"long seed":       "sward-ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n",
		"not base64":      "sward-ed25519:!QEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n",
		"loose last bits": "sward-ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF=\n",
		"two keys":        goldenKeyFile + goldenKeyFile,
		"megabytes":       strings.Repeat(goldenKeyFile, 1<<14),
	} {
		path := keyFile(t, text, 0o600)
		_, err := LoadKey(path)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantSentence(t, err, path)
		if strings.Contains(err.Error(), "QEBAQEB") {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

func TestLoadKeyMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.key")
	_, err := LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want fs.ErrNotExist", err)
	}
	wantSentence(t, err, path)
	if _, err := LoadKey(t.TempDir()); err == nil {
		t.Error("a directory was accepted as a key file")
	}
}

func TestLoadOrCreateKeyKeepsTheKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "node.key")
	first, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode is %04o, want 0600", got)
	}
	again, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID() != again.ID() {
		t.Errorf("second start has key %s, want %s", again.ID(), first.ID())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) != 0 {
		t.Errorf("temporary files left behind: %v", left)
	}
}

func TestLoadOrCreateKeyNeverOverwrites(t *testing.T) {
	path := keyFile(t, "something else\n", 0o600)
	if _, err := LoadOrCreateKey(path); err == nil {
		t.Error("a malformed key file was accepted")
	}
	if got, _ := os.ReadFile(path); string(got) != "something else\n" {
		t.Errorf("the file now holds %q", got)
	}
}

func TestLoadOrCreateKeyAgreesAcrossStarters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	var (
		wg  sync.WaitGroup
		ids [8]ID
	)
	for i := range ids {
		wg.Go(func() {
			k, err := LoadOrCreateKey(path)
			if err != nil {
				t.Error(err)
			}
			ids[i] = k.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id.IsZero() {
			t.Fatalf("starters hold different keys: %v", ids)
		}
	}
}

func keyFile(t *testing.T, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // past the umask
		t.Fatal(err)
	}
	return path
}

// wantSentence: one line that names the file, once.
func wantSentence(t *testing.T, err error, path string) {
	t.Helper()
	if s := err.Error(); strings.Count(s, path) != 1 || strings.Contains(s, "\n") {
		t.Errorf("error is %q, want one line that names %s once", s, path)
	}
}
