package tunnel

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// writeFor takes a turn, holds it for some time, and gives it back.
func writeFor(q *turns, t *turn, d time.Duration) {
	q.take(t)
	time.Sleep(d)
	q.give(t)
}

func TestFewStreamsWriteAtATimeAndEachAsMuch(t *testing.T) {
	const streams, each = 32, time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		var (
			q        turns
			wg       sync.WaitGroup
			writing  atomic.Int32
			wrote    [streams]int
			deadline = time.Now().Add(time.Second)
		)
		for i := range streams {
			wg.Go(func() {
				var own turn
				for time.Now().Before(deadline) {
					q.take(&own)
					if n := writing.Add(1); n > writers {
						t.Errorf("%d streams write at once, want %d at the most", n, writers)
					}
					time.Sleep(each)
					wrote[i]++
					writing.Add(-1)
					q.give(&own)
				}
			})
		}
		wg.Wait()
		least, most := wrote[0], wrote[0]
		for _, n := range wrote {
			least, most = min(least, n), max(most, n)
		}
		if most-least > 1 {
			t.Errorf("some streams wrote %d times and some %d, want as often", most, least)
		}
		if want := int(time.Second/each) * writers / streams; least < want {
			t.Errorf("a stream wrote %d times, want %d: places stood empty", least, want)
		}
	})
}

// A stream that its peer does not read holds its turn for a moment, and may then write on for as long as it likes.
func TestStuckStreamLosesItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			q     turns
			wg    sync.WaitGroup
			stuck [100]turn
		)
		for i := range stuck {
			wg.Go(func() { writeFor(&q, &stuck[i], time.Hour) })
		}
		synctest.Wait()
		began := time.Now()
		var other turn
		for range 10 {
			writeFor(&q, &other, 0)
		}
		// Fifty pairs are stuck one after the other. Once they have lost their turns, they stand in nobody's way.
		if took, most := time.Since(began), time.Duration(len(stuck)/writers)*2*longTurn; took > most {
			t.Errorf("a stream that moves waited %v behind those that do not, want %v at the most", took, most)
		}
		wg.Wait()
		if q.first != nil || q.holders != [writers]*turn{} {
			t.Error("somebody holds or awaits a turn after the last write")
		}
	})
}

func TestStuckStreamTakesItsTurnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			q  turns
			wg sync.WaitGroup
			a  [writers]turn
		)
		for i := range a {
			wg.Go(func() {
				writeFor(&q, &a[i], time.Second) // loses the turn to b
				writeFor(&q, &a[i], time.Millisecond)
			})
		}
		synctest.Wait()
		var b turn
		for range 500 {
			writeFor(&q, &b, time.Millisecond)
		}
		wg.Wait()
	})
}

func TestLoneStreamNeverWaits(t *testing.T) {
	var (
		q   turns
		own turn
	)
	if n := testing.AllocsPerRun(100, func() { q.take(&own); q.give(&own) }); n != 0 {
		t.Errorf("a turn that is free costs %v allocations", n)
	}
	if q.timer != nil {
		t.Error("a timer was made for nobody")
	}
}
