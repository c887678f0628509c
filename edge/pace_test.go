package edge

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRateHoldsOverTenSeconds(t *testing.T) { // H02
	synctest.Test(t, func(t *testing.T) {
		const rate = 125_000 // 1 Mbit/s
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		p := newPace(rate)
		moved := make([]int, 8)
		var streams sync.WaitGroup
		for i := range moved {
			streams.Go(func() {
				mine := paced{pace: p}
				defer mine.end()
				for {
					n, err := mine.allow(ctx, 32<<10)
					if err != nil {
						return
					}
					n = max(n/(i+1), 1) // short reads cost what they move
					mine.moved(n)
					moved[i] += n
				}
			})
		}
		streams.Wait()
		total := 0
		for _, n := range moved {
			total += n
		}
		if limit := rate * 10 * 105 / 100; total > limit || total < rate*10*90/100 {
			t.Errorf("8 streams moved %d bytes in 10 s at %d/s, want at most %d and at least 90%%", total, rate, limit)
		}
	})
}

func TestShortReadsAreNotChargedForFullBuffers(t *testing.T) {
	p := newPace(64 << 10)
	mine := paced{pace: p}
	before := p.now.Load().limiter.Tokens()
	for range 100 {
		if _, err := mine.allow(t.Context(), 4<<10); err != nil {
			t.Fatal(err)
		}
		mine.moved(1)
	}
	if spent := before - p.now.Load().limiter.Tokens(); spent > 4<<10+100 {
		t.Errorf("100 bytes in 100 reads cost %.0f tokens, want one buffer and what moved", spent)
	}
	mine.end()
	other := paced{pace: p}
	tokens := p.now.Load().limiter.Tokens()
	if _, err := other.allow(t.Context(), 3<<10); err != nil {
		t.Fatal(err)
	}
	if spent := tokens - p.now.Load().limiter.Tokens(); spent > 0 {
		t.Errorf("a new stream paid %.0f tokens although the one before left enough", spent)
	}
}

func TestWithoutARateNothingWaits(t *testing.T) {
	mine := paced{pace: newPace(0)}
	n, err := mine.allow(t.Context(), 1<<20)
	if err != nil || n != maxQuantum {
		t.Errorf("got %d, %v; want a full buffer", n, err)
	}
}
