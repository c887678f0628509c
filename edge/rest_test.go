package edge

import (
	"testing"
	"time"
)

func TestAnEdgeRestsOnceForEachSilence(t *testing.T) {
	var r rest
	now := time.Now()
	rests := 0
	pass := func(d time.Duration, streams int) {
		for end := now.Add(d); now.Before(end); now = now.Add(saveEvery) {
			if r.look(now, streams) {
				rests++
			}
		}
	}
	for _, step := range []struct {
		what    string
		d       time.Duration
		streams int
		want    int
	}{
		{"a start", restAfter - saveEvery, 0, 0},
		{"and nothing to do", time.Hour, 0, 1},
		{"work", time.Hour, 3, 1},
		{"a short silence", restAfter - saveEvery, 0, 1},
		{"work again", saveEvery, 1, 1},
		{"a long silence", time.Hour, 0, 2},
	} {
		if pass(step.d, step.streams); rests != step.want {
			t.Errorf("after %s: rested %d times, want %d", step.what, rests, step.want)
		}
	}
}
