package relay

import (
	"context"
	"sync"
	"time"

	"sward/internal/wire"
)

const (
	// pulseEvery is how often edges are looked at.
	pulseEvery = time.Second
	// probeAfter is the silence after which an edge with streams is sent a frame that its tunnel has to acknowledge.
	probeAfter = 2 * time.Second
	// suspectAfter is how long a probe may go unanswered before an edge gets no more streams, and those that wait for its
	// answer go to another one: a round trip and a half of the slowest lines that carry anything.
	suspectAfter = 3 * time.Second
	// goneAfter is the silence after which its streams are ended: long enough for a router to find its line again, short
	// enough for those who wait. A quiet edge, without streams, has the tunnel's own idle time.
	goneAfter = 20 * time.Second
	// stalledAfter is the time between two looks after which it was the relay that stood still, and may have answers lying
	// in its sockets: that time is no silence of the edge's.
	stalledAfter = 4 * pulseEvery
)

// errSilent is what those are told who wait for an edge that has fallen silent.
var errSilent error = &wire.Error{Code: wire.EdgeTimeout, Detail: "the edge has fallen silent"}

// pulse notices that an edge has died or lost its line. Nobody says goodbye then, and the tunnel itself takes up to a
// minute to notice; a partner who waits for an answer should not.
type pulse struct {
	mu      sync.Mutex
	suspect bool
	waiting map[*context.CancelCauseFunc]struct{} // for an answer to Open

	// Owned by the one who looks.
	received uint64    // as of heard
	heard    time.Time // when something last came, or nobody was waiting
	probed   time.Time // since then; zero: not
	looked   time.Time
}

// suspected reports whether the edge is to get no new streams.
func (p *pulse) suspected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.suspect
}

// opening is ctx for the time of waiting on the edge's answer: it ends early, with errSilent as its cause, when the edge
// falls silent.
func (p *pulse) opening(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[*context.CancelCauseFunc]struct{}{}
	}
	p.waiting[&cancel] = struct{}{}
	return ctx, func() {
		p.mu.Lock()
		delete(p.waiting, &cancel)
		p.mu.Unlock()
		cancel(nil)
	}
}

// set notes what the edge is held for now.
func (p *pulse) set(suspect bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.suspect = suspect
	if !suspect {
		return
	}
	for cancel := range p.waiting {
		(*cancel)(errSilent)
	}
}

// busy reports whether somebody waits for the edge's answer.
func (p *pulse) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > 0
}

// look judges an edge by how much has come from it so far. While nobody uses the edge its silence says nothing. probe is
// true once in a silence: the edge is to be made to answer.
func (p *pulse) look(now time.Time, received uint64, used bool) (probe, gone bool) {
	gap := now.Sub(p.looked)
	p.looked = now
	if received != p.received || p.heard.IsZero() || !used && !p.busy() {
		p.received, p.heard, p.probed = received, now, time.Time{}
		p.set(false)
		return false, false
	}
	probed := !p.probed.IsZero()
	if probed && gap > stalledAfter {
		p.heard, p.probed = p.heard.Add(gap), p.probed.Add(gap)
	}
	silence := now.Sub(p.heard)
	switch {
	case silence >= goneAfter && probed:
		return false, true
	case probed && now.Sub(p.probed) >= suspectAfter:
		p.set(true)
	case silence >= probeAfter && !probed:
		p.probed = now
		return true, false
	}
	return false, false
}

// pulseOnce looks at every edge.
func (r *Relay) pulseOnce(context.Context) error {
	now := time.Now()
	for _, e := range r.edges.all() {
		probe, gone := e.pulse.look(now, e.session.Received(), e.candidate().Streams > 0)
		e.setSilent(e.pulse.suspected())
		switch {
		case gone:
			r.background(func() { e.session.Close(wire.EdgeGone, "the edge has fallen silent") })
		case probe:
			r.background(func() { e.session.Probe() }) //nolint:errcheck // silence is what is looked for
		}
	}
	return nil
}
