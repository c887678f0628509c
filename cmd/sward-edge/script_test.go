package main

import (
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program: scripts run it as processes of their own.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"sward-edge": main}) }

// TestScripts reads the stories in testdata/script. An edge that meets its hub and a relay is in those of sward.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"waitfile": waitFile},
		Setup: func(env *testscript.Env) error {
			env.Setenv("HUB", hub)
			return nil
		},
	})
}

// hub is the identity of a hub that is nowhere.
const hub = "12D3KooWGqNECVsMMXfEjoN1hubayyvAf1JjcXL9NBExaiPVCJA9"

// patience is how long a process may take to come up, on a machine that is busy with other tests.
const patience = time.Minute

// waitFile FILE waits until there is a file of that name.
func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfile FILE")
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: not within %s", args[0], patience)
		}
	}
}
