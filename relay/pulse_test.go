package relay

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestSilentEdgeIsProbedSuspectedAndGone(t *testing.T) {
	type step struct {
		at             time.Duration // since the beginning
		received       uint64
		used           bool
		probe, gone    bool
		suspectedAfter bool
	}
	for name, steps := range map[string][]step{
		"killed while it carries streams": {
			{0, 10, true, false, false, false},
			{1 * time.Second, 12, true, false, false, false},
			{2 * time.Second, 12, true, false, false, false},
			{3 * time.Second, 12, true, true, false, false},
			{4 * time.Second, 12, true, false, false, false},
			{5 * time.Second, 12, true, false, false, false},
			{6 * time.Second, 12, true, false, false, true},
			{9 * time.Second, 12, true, false, false, true},
			{12 * time.Second, 12, true, false, false, true},
			{15 * time.Second, 12, true, false, false, true},
			{18 * time.Second, 12, true, false, false, true},
			{20 * time.Second, 12, true, false, false, true},
			{21 * time.Second, 12, true, false, true, true},
		},
		"quiet, and answers the probe": {
			{0, 10, true, false, false, false},
			{2 * time.Second, 10, true, true, false, false},
			{3 * time.Second, 11, true, false, false, false},
			{5 * time.Second, 11, true, true, false, false},
			{6 * time.Second, 12, true, false, false, false},
		},
		"lost its line for ten seconds": {
			{0, 10, true, false, false, false},
			{3 * time.Second, 10, true, true, false, false},
			{6 * time.Second, 10, true, false, false, true},
			{9 * time.Second, 10, true, false, false, true},
			{10 * time.Second, 11, true, false, false, false},
		},
		"idle": {
			{0, 10, false, false, false, false},
			{time.Hour, 10, false, false, false, false},
			{time.Hour + time.Second, 10, true, false, false, false}, // the silence begins with the use
			{time.Hour + 2*time.Second, 10, true, true, false, false},
		},
		"a line with a round trip of two seconds and some": {
			{0, 10, true, false, false, false},
			{2 * time.Second, 10, true, true, false, false},
			{3 * time.Second, 10, true, false, false, false},
			{4 * time.Second, 10, true, false, false, false}, // the answer is all but there
			{5 * time.Second, 11, true, false, false, false},
		},
		"the relay was stopped while it waited for the answer": {
			{0, 10, true, false, false, false},
			{2 * time.Second, 10, true, true, false, false},
			{time.Minute, 10, true, false, false, false}, // the answer lies in the socket
			{time.Minute + time.Second, 11, true, false, false, false},
		},
		"the relay was stopped, and the edge has died": {
			{0, 10, true, false, false, false},
			{2 * time.Second, 10, true, true, false, false},
			{time.Minute, 10, true, false, false, false},
			{time.Minute + time.Second, 10, true, false, false, false},
			{time.Minute + 3*time.Second, 10, true, false, false, true},
		},
		// A process that stood still for a minute has heard nothing either: the edge is asked before it is judged.
		"the relay was stopped": {
			{0, 10, true, false, false, false},
			{time.Minute, 10, true, true, false, false},
			{time.Minute + time.Second, 11, true, false, false, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var p pulse
			begin := time.Now()
			for _, s := range steps {
				probe, gone := p.look(begin.Add(s.at), s.received, s.used)
				if probe != s.probe || gone != s.gone || p.suspected() != s.suspectedAfter {
					t.Fatalf("after %s: got probe %v, gone %v, suspected %v; want %v, %v, %v", s.at, probe, gone, p.suspected(), s.probe, s.gone, s.suspectedAfter)
				}
			}
		})
	}
}

func TestWhoWaitsForASilentEdgeIsToldSo(t *testing.T) {
	var p pulse
	begin := time.Now()
	p.look(begin, 1, false)
	ctx, done := p.opening(t.Context())
	defer done()
	p.look(begin.Add(time.Second), 1, false) // somebody waits: that is use
	p.look(begin.Add(3*time.Second), 1, false)
	if ctx.Err() != nil {
		t.Fatal("given up before the edge was suspected")
	}
	p.look(begin.Add(6*time.Second), 1, false)
	if !errors.Is(context.Cause(ctx), errSilent) {
		t.Errorf("the wait ended with %v, want %v", context.Cause(ctx), errSilent)
	}
	after, done := p.opening(t.Context())
	defer done()
	if after.Err() != nil {
		t.Error("a later wait has ended at once")
	}
}
