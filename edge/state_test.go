package edge

import (
	"errors"
	"testing"

	"sward/internal/daemon"
)

func TestDirectoryBelongsToOneAgent(t *testing.T) {
	r := newTestRelay(t)
	first, _ := testEdge(t, r, echo(t))
	r.next() // it runs
	cfg := first.cfg
	second, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); !errors.Is(err, daemon.ErrLocked) {
		t.Errorf("a second agent on the same directory: %v, want %v", err, daemon.ErrLocked)
	}
}
