package edge

import (
	"context"
	"sync"

	"sward/internal/wire"
)

// live is the set of running streams. It holds them to the owner's number and can cut them all at once.
type live struct {
	limit int

	mu      sync.Mutex
	cancels map[*context.CancelCauseFunc]struct{}
}

func newLive(limit int) *live {
	return &live{limit: limit, cancels: map[*context.CancelCauseFunc]struct{}{}}
}

// enter admits one more stream. The returned context ends when the stream is cut; leave follows in any case. A stream
// that enters before a pause is cut by it, and one that enters after sees it: the caller looks at the switch after
// entering.
func (l *live) enter(ctx context.Context) (context.Context, func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cancels) >= l.limit {
		return nil, nil, wire.Errorf(wire.StreamLimit, "%d streams are running", l.limit)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	l.cancels[&cancel] = struct{}{}
	return ctx, func() {
		cancel(nil)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.cancels, &cancel)
	}, nil
}

// cutAll ends all running streams with why.
func (l *live) cutAll(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for cancel := range l.cancels {
		(*cancel)(why)
	}
}

func (l *live) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.cancels)
}
