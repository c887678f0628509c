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

	"sward/internal/daemon"
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
	settings := ownersHome(t)
	var files []string
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		words := strings.Fields(cmd.CommandPath())
		help, err := exec.CommandContext(t.Context(), words[0], append(words[1:], "--help")...).CombinedOutput()
		if err != nil {
			t.Errorf("%s --help: %v\n%s", cmd.CommandPath(), err, help)
		}
		file := strings.Join(words, "-") + ".txt"
		files = append(files, file)
		golden(t, filepath.Join("help", file), bytes.ReplaceAll(help, []byte(settings), []byte("CONFIG")))
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit(root())
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

// ownersHome gives the processes to come a home, and returns where it has the settings of programs.
func ownersHome(t *testing.T) string {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	settings, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

func TestDefaultSettingsAreAsReviewed(t *testing.T) {
	hub, relay := defaultHubFile(), defaultRelayFile()
	for name, settings := range map[string]any{"hub.yaml": &hub, "relay.yaml": &relay} {
		text, err := daemon.MarshalConfig(settings)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, text)
	}
}

func TestDefaultSettingsReadBackAsTheyAre(t *testing.T) {
	var hub hubFile
	if err := daemon.LoadConfig(filepath.Join("testdata", "hub.yaml"), &hub); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(defaultHubFile(), hub); diff != "" {
		t.Errorf("hub.yaml (-want +got):\n%s", diff)
	}
	var relay relayFile
	if err := daemon.LoadConfig(filepath.Join("testdata", "relay.yaml"), &relay); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(defaultRelayFile(), relay); diff != "" {
		t.Errorf("relay.yaml (-want +got):\n%s", diff)
	}
}
