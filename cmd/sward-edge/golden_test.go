package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the golden files in testdata anew")

// golden holds got against the file of that name in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; go test -update accepts it):\n%s", path, diff)
	}
}

func TestHelpOfEveryCommandIsAsReviewed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths in defaults are written otherwise there")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	settings, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	program := root()
	files := []string{}
	for _, cmd := range append([]*cobra.Command{program}, program.Commands()...) {
		words := strings.Fields(cmd.CommandPath())
		help, err := exec.CommandContext(t.Context(), words[0], append(words[1:], "--help")...).CombinedOutput()
		if err != nil {
			t.Errorf("%s --help: %v\n%s", cmd.CommandPath(), err, help)
		}
		file := strings.Join(words, "-") + ".txt"
		files = append(files, file)
		golden(t, filepath.Join("help", file), bytes.ReplaceAll(help, []byte(settings), []byte("CONFIG")))
	}
	entries, err := os.ReadDir(filepath.Join("testdata", "help"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(files, e.Name()) {
			t.Errorf("testdata/help/%s is of no command", e.Name())
		}
	}
}

// TestInitWritesTheDefaultsAsReviewed holds what an owner finds in edge.yaml, which init writes before it asks.
func TestInitWritesTheDefaultsAsReviewed(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "sward-edge", "init", "--dir", dir, "--hub", "hub.example:7400", "--hub-id", hub).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not agreed") {
		t.Fatalf("init without a terminal and without a code: got %v and\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "edge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "edge.yaml", text)
}
