package edge

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

const (
	maxQuantum = 32 << 10 // bytes moved at once, the size of a copy buffer
	minQuantum = 2 << 10  // below this a slow line would spend its time in system calls
)

// pace holds one direction of all streams together to the owner's rate. Bytes are paid for before they move; what a
// stream paid for and did not move it keeps for its next read, and leaves to the others when it ends. So the rate is
// never passed by more than one burst, and small reads are not charged for full buffers.
type pace struct {
	now atomic.Pointer[tempo]

	mu  sync.Mutex
	pot int // paid for by streams that ended
}

// tempo is one rate and the piece that is moved at once at it.
type tempo struct {
	limiter *rate.Limiter // nil: no limit
	quantum int
}

// newPace limits to bytesPerSecond; 0 is no limit.
func newPace(bytesPerSecond int64) *pace {
	p := &pace{}
	p.set(bytesPerSecond)
	return p
}

// set changes the rate. A stream that waits for its piece gets it at the old rate, which is one piece.
func (p *pace) set(bytesPerSecond int64) {
	if before := p.now.Load(); before != nil && before.rate() == max(bytesPerSecond, 0) {
		return
	}
	t := &tempo{quantum: maxQuantum}
	if bytesPerSecond > 0 {
		t.quantum = int(min(max(bytesPerSecond/16, minQuantum), maxQuantum))
		t.limiter = rate.NewLimiter(rate.Limit(bytesPerSecond), t.quantum)
	}
	p.now.Store(t)
}

func (t *tempo) rate() int64 {
	if t.limiter == nil {
		return 0
	}
	return int64(t.limiter.Limit())
}

// paced is one stream's share of a pace. It is not safe for concurrent use.
type paced struct {
	pace *pace
	paid int
}

// allow waits until up to limit bytes may move, and says how many.
func (p *paced) allow(ctx context.Context, limit int) (int, error) {
	now := p.pace.now.Load()
	n := min(limit, now.quantum)
	if now.limiter == nil || n <= p.paid {
		return n, nil
	}
	p.paid += p.pace.fromPot(n - p.paid)
	if owed := n - p.paid; owed > 0 {
		if err := now.limiter.WaitN(ctx, owed); err != nil {
			return 0, err
		}
		p.paid = n
	}
	return n, nil
}

// moved takes n bytes off what was paid for.
func (p *paced) moved(n int) { p.paid = max(p.paid-n, 0) }

// end leaves the rest to the others.
func (p *paced) end() {
	p.pace.mu.Lock()
	defer p.pace.mu.Unlock()
	p.pace.pot = min(p.pace.pot+p.paid, p.pace.now.Load().quantum) // a pot without bound would be a burst without bound
	p.paid = 0
}

func (p *pace) fromPot(want int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(want, p.pot)
	p.pot -= n
	return n
}
