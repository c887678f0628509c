package fetch

import (
	"context"
	"sync"
	"time"
)

// maxPaced is the number of hosts whose pace is remembered: far more than are leased
// to one edge in the hour for which a back-off can last.
const maxPaced = 4096

// pacer keeps requests to one host apart, whichever batch they are of.
type pacer struct {
	now func() time.Time

	mu   sync.Mutex
	free map[string]time.Time // when the host may be asked again
}

func newPacer(now func() time.Time) *pacer {
	return &pacer{now: now, free: make(map[string]time.Time)}
}

// tooSoonError says that a host may not be asked before ctx ends. It is a deadline
// that is known to be missed, without having waited for it.
type tooSoonError struct{ wait time.Duration }

func (e *tooSoonError) Error() string { return "the host's turn comes after the batch" }
func (e *tooSoonError) Unwrap() error { return context.DeadlineExceeded }

// wait takes the host's next turn and waits for it. Later turns come at least delay
// after this one. A turn beyond the deadline of ctx is not waited for: the error is
// then a *tooSoonError at once.
func (p *pacer) wait(ctx context.Context, host string, delay time.Duration) error {
	turn, err := p.take(ctx, host, delay)
	if err != nil || turn <= 0 {
		return err
	}
	timer := time.NewTimer(turn)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *pacer) take(ctx context.Context, host string, delay time.Duration) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	turn := max(p.free[host].Sub(now), 0)
	if deadline, ok := ctx.Deadline(); ok && turn > time.Until(deadline) {
		return 0, &tooSoonError{turn}
	}
	p.setLocked(host, now.Add(turn+delay))
	return turn, nil
}

// rest keeps everybody off the host for at least pause from now.
func (p *pacer) rest(host string, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := p.now().Add(pause); until.After(p.free[host]) {
		p.setLocked(host, until)
	}
}

// setLocked makes room by forgetting hosts that are free, or else the next to be.
func (p *pacer) setLocked(host string, free time.Time) {
	if _, known := p.free[host]; !known && len(p.free) >= maxPaced {
		now, soonest := p.now(), ""
		for h, at := range p.free {
			if at.Before(now) {
				delete(p.free, h)
			} else if soonest == "" || at.Before(p.free[soonest]) {
				soonest = h
			}
		}
		if len(p.free) >= maxPaced {
			delete(p.free, soonest)
		}
	}
	p.free[host] = free
}
