package relay

import (
	"math/rand/v2"
	"sync"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
	"sward/relay/gateway"
)

// maxEdges bounds the table: at 64 KiB of memory for an idle edge this is what one relay of 1 GiB can keep.
const maxEdges = 16384

// edge is one connected edge. Its session, identity and class never change; the rest is under mu.
type edge struct {
	id      identity.ID
	session session
	class   uint16
	limit   int // streams, the smaller of what both sides allow
	pulse   pulse

	mu      sync.Mutex
	apps    wire.Apps
	paused  bool
	room    uint64
	streams int
	meter   *accounting.Meter // nil until the channel is open: a session has one channel
	live    map[*conn]struct{}
}

// line is what a partner is told of the edge.
func (e *edge) line() gateway.Line { return gateway.Line{Edge: e.id.String()} }

// candidate copies what Pick looks at.
func (e *edge) candidate() Candidate {
	e.mu.Lock()
	defer e.mu.Unlock()
	ready := e.meter != nil && !e.session.Draining()
	return Candidate{
		ID: e.id, Apps: e.apps, Paused: e.paused || !ready || e.pulse.suspected(), Room: e.room, Streams: e.streams, Limit: e.limit,
		Class: e.class,
	}
}

// setStatus takes over what the edge last said of itself.
func (e *edge) setStatus(s wire.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.paused, e.room, e.apps = s.Flags&wire.StatusPaused != 0, s.Room, s.Apps
}

// channel is the meter of the session's channel, nil before both sides have signed it.
func (e *edge) channel() *accounting.Meter {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.meter
}

func (e *edge) setChannel(m *accounting.Meter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.meter = m
}

// take counts a stream in; release counts it out.
func (e *edge) take() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.streams++
}

func (e *edge) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.streams--
}

// watch keeps c among the streams whose delivery is read again before each receipt; unwatch drops it.
func (e *edge) watch(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.live[c] = struct{}{}
}

func (e *edge) unwatch(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.live, c)
}

// refresh reads again what each partner's socket has acknowledged, so that a receipt does not lag behind idle streams.
func (e *edge) refresh() {
	e.mu.Lock()
	live := make([]*conn, 0, len(e.live))
	for c := range e.live {
		live = append(live, c)
	}
	e.mu.Unlock()
	for _, c := range live {
		c.countDelivered()
	}
}

// table holds the connected edges. An identity has one live session: a newer one takes the older one's place, since
// an edge that lost its line comes back before its old session has timed out.
type table struct {
	mu        sync.Mutex
	edges     map[identity.ID]*edge
	suspended map[identity.ID]bool // by the hub; outlives sessions
	rnd       *rand.Rand
	snapshot  []Candidate // reused from choice to choice
}

func newTable() *table {
	return &table{
		edges: map[identity.ID]*edge{},
		rnd:   rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), //nolint:gosec // spreading load needs no secrecy
	}
}

func (t *table) add(e *edge) error {
	t.mu.Lock()
	old, again := t.edges[e.id]
	if !again && len(t.edges) >= maxEdges {
		t.mu.Unlock()
		return wire.Errorf(wire.DoorFull, "this relay keeps %d edges already", maxEdges)
	}
	t.edges[e.id] = e
	t.mu.Unlock()
	if again && !old.session.Draining() {
		// An edge that leaves in good order has said Bye before it comes back. This one has crashed or lost its line, and
		// whoever waits on its streams should not wait for the old session to time out.
		old.session.Close(wire.EdgeGone, "a newer session of this edge took over")
	}
	return nil
}

// drop removes e unless a newer session has already taken its place.
func (t *table) drop(e *edge) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.edges[e.id] == e {
		delete(t.edges, e.id)
	}
}

// suspend replaces the set of edges that get no work, as the hub last told it.
func (t *table) suspend(ids []identity.ID) {
	suspended := make(map[identity.ID]bool, len(ids))
	for _, id := range ids {
		suspended[id] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.suspended = suspended
}

func (t *table) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.edges)
}

// pick chooses an edge for w. The snapshot is taken anew for each choice: at the sizes of today copying is cheaper
// than being wrong about who is full.
func (t *table) pick(w Want) (*edge, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.snapshot = t.snapshot[:0]
	for id, e := range t.edges {
		if !t.suspended[id] {
			t.snapshot = append(t.snapshot, e.candidate())
		}
	}
	chosen, ok := Pick(t.snapshot, w, t.rnd)
	if !ok {
		return nil, false
	}
	e := t.edges[chosen.ID]
	e.take()
	return e, true
}

func (t *table) all() []*edge {
	t.mu.Lock()
	defer t.mu.Unlock()
	edges := make([]*edge, 0, len(t.edges))
	for _, e := range t.edges {
		edges = append(edges, e)
	}
	return edges
}
