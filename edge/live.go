package edge

import (
	"context"
	"sync"

	"sward/internal/wire"
	"sward/policy"
)

// live is the set of running streams. It holds them to the owner's number and can cut them all at once.
type live struct {
	mu      sync.Mutex
	limit   int
	begun   uint64 // streams
	cancels map[*context.CancelCauseFunc]struct{}
	ways    map[*way]struct{}
}

// way is one connection to a target, under way or made, as the owner's rules see it.
type way struct {
	live     *live
	cut      context.CancelCauseFunc
	requests []policy.Request // what it does: where it was sent, and what its handshake names
}

func newLive(limit int) *live {
	return &live{limit: limit, cancels: map[*context.CancelCauseFunc]struct{}{}, ways: map[*way]struct{}{}}
}

// setLimit changes how many streams may run. Those that run finish.
func (l *live) setLimit(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
}

// watch has cut called when a change of rules denies the request. It goes before the rules are asked about it, so that a
// change in between is not missed; forget follows in any case.
func (l *live) watch(r policy.Request, cut context.CancelCauseFunc) *way {
	w := &way{live: l, cut: cut, requests: []policy.Request{r}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ways[w] = struct{}{}
	return w
}

// also says what else the connection does.
func (w *way) also(r policy.Request) {
	w.live.mu.Lock()
	defer w.live.mu.Unlock()
	w.requests = append(w.requests, r)
}

// made says that the connection stands and how it is cut from now on; false when a change of rules came before.
func (w *way) made(cut context.CancelCauseFunc) bool {
	w.live.mu.Lock()
	defer w.live.mu.Unlock()
	_, open := w.live.ways[w]
	w.cut = cut
	return open
}

func (w *way) forget() {
	w.live.mu.Lock()
	defer w.live.mu.Unlock()
	delete(w.live.ways, w)
}

// review asks about every way that is open, and cuts those that are denied.
func (l *live) review(check func(policy.Request) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.ways {
		for _, r := range w.requests {
			if err := check(r); err != nil {
				w.cut(err)
				delete(l.ways, w)
				break
			}
		}
	}
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
	l.begun++
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

// activity is how many streams run, and how many ever have.
func (l *live) activity() (running int, begun uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.cancels), l.begun
}

func (l *live) count() int {
	running, _ := l.activity()
	return running
}
