package edge

import (
	"testing"
	"time"
)

func TestAnEdgeRestsInEachSilenceAndNotTooOften(t *testing.T) {
	var r rest
	now, begun := time.Now(), uint64(0)
	rests := 0
	pass := func(d time.Duration, streams int) {
		for end := now.Add(d); now.Before(end); now = now.Add(saveEvery) {
			if r.look(now, func() (int, uint64) { return streams, begun }) {
				rests++
			}
		}
	}
	for _, step := range []struct {
		what    string
		d       time.Duration
		streams int
		begun   uint64 // in between
		want    int
	}{
		{"a start", restAfter - saveEvery, 0, 0, 0},
		{"and nothing to do", restAgain, 0, 0, 1},
		{"and still nothing", 3 * restAgain, 0, 0, 4},
		{"work", time.Hour, 3, 3, 4},
		{"a short silence", restAfter - saveEvery, 0, 0, 4},
		{"work again", saveEvery, 1, 1, 4},
		{"a long silence", restAgain, 0, 0, 5},
		{"a stream that nobody saw running", restAfter, 0, 1, 5},
		{"and silence", restAfter, 0, 0, 6},
	} {
		begun += step.begun
		if pass(step.d, step.streams); rests != step.want {
			t.Errorf("after %s: rested %d times, want %d", step.what, rests, step.want)
		}
	}
}
