package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// A page that nobody signed, and one beside another of which only one would be looked at, are no proven pages.
func TestVerifyProvesNothingThatNobodySigned(t *testing.T) {
	for name, given := range map[string]struct{ text, says string }{
		"signed by nobody": {`{"markdown":"Buy now","metadata":{"provenance":{"execution":"tunnel","digests":{"markdown":"9c0e74e6c04b89e878f54ee908a8f8797e3c97219ff1b550b8939585abfd104f"}}}}`, "1 of 1 pages"},
		"two answers":      {`{"data":[{"markdown":"Buy now"}],"Data":[{"metadata":{"provenance":{}}}]}`, "stands twice"},
	} {
		cmd := verifyCommand()
		cmd.SetIn(strings.NewReader(given.text))
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetErr(io.Discard)
		cmd.SetArgs([]string{"-"})
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), given.says) {
			t.Errorf("%s: got %v, want %q", name, err, given.says)
		}
	}
}
