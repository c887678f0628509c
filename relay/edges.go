package relay

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/wire"
	"sward/relay/gateway"
)

const (
	// maxEdges bounds the table: at 64 KiB of memory for an idle edge this is what one relay of 1 GiB can keep.
	maxEdges = 16384
)

// edge is one connected edge. Its session and identity never change.
type edge struct {
	id      identity.ID
	session session
	class   uint16
	limit   int // streams, the smaller of what both sides allow
	pulse   pulse
	apps    wire.Apps // as of its hello
	table   *table    // once it is in one
	facts   Candidate // all that the choice knows; under the table's lock
	rolling bool      // says that its next session is about to come; under the table's lock
	chance  chance    // what it had of the demand; under the table's lock
	rules   [32]byte  // digest of its owner's rules, as it last said; under the table's lock

	mu    sync.Mutex
	meter *accounting.Meter // nil until the channel is open: a session has one channel
	live  map[*conn]struct{}

	reach   wire.Reach // how other relays get to it, as it last said
	reaches bool       // the hub is to hear of that
	told    time.Time  // when it last did
	knocked time.Time  // when it was last dialled back
}

// line is what a partner is told of the edge.
func (e *edge) line() gateway.Line { return lineOf(e.candidate()) }

// candidate is a copy of what the choice knows of e.
func (e *edge) candidate() Candidate {
	if e.table == nil {
		return e.facts
	}
	e.table.mu.Lock()
	defer e.table.mu.Unlock()
	return e.facts
}

// setStatus takes over what the edge last said of itself.
func (e *edge) setStatus(s wire.Status) { e.table.status(e, s) }

// channel is the meter of the session's channel, nil before both sides have signed it.
func (e *edge) channel() *accounting.Meter {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.meter
}

// setChannel opens e for streams. A session that was announced takes the place of the one before it only now.
func (e *edge) setChannel(m *accounting.Meter) {
	e.mu.Lock()
	e.meter = m
	e.mu.Unlock()
	e.table.promote(e)
}

// setSilent says whether e has fallen silent: nothing new goes to it until it is heard again.
func (e *edge) setSilent(silent bool) { e.table.setSilent(e, silent) }

// release counts a stream out that a choice has counted in.
func (e *edge) release() { e.table.release(e) }

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

// table holds the connected edges. An identity has one session that is chosen: a newer one takes the older one's place,
// since an edge that lost its line comes back before its old session has timed out. An edge that announced its next
// session (StatusRolling) keeps the old one in place until the new one's channel is open, and both while the old one's
// streams end.
type table struct {
	place func(identity.ID, netip.Addr) geo.Place
	now   func() time.Time

	mu        sync.Mutex
	edges     map[identity.ID]*edge
	coming    map[identity.ID]*edge // announced, without a channel yet
	parting   map[identity.ID]*edge // replaced in good order; its streams run on
	suspended map[identity.ID]bool  // by the hub; outlives sessions
	index     index                 // of edges that take streams; a paused, full or silent one is off it until that changes
	here      index                 // of all
	prefixes  map[netip.Prefix]*int
	networks  map[uint32]*int
	policies  map[[32]byte]*rules
	numbered  uint32 // the number that a digest was given last
	refusals  refusals
	proofs    proofs
	recents   map[tag]*recent
	demand    *demand // since the last look
	usual     usual
	rnd       *rand.Rand
}

func newTable() *table {
	return &table{
		place: func(identity.ID, netip.Addr) geo.Place { return geo.Place{Class: geo.Unknown} }, now: time.Now,
		edges: map[identity.ID]*edge{}, coming: map[identity.ID]*edge{}, parting: map[identity.ID]*edge{},
		index:    newIndex(func(c *Candidate) *listing { return &c.offered }),
		here:     newIndex(func(c *Candidate) *listing { return &c.here }),
		prefixes: map[netip.Prefix]*int{}, networks: map[uint32]*int{},
		policies: map[[32]byte]*rules{}, refusals: refusals{}, proofs: proofs{}, recents: map[tag]*recent{},
		demand: newDemand(time.Now()),
		rnd:    rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), //nolint:gosec // spreading load needs no secrecy
	}
}

// add lets e in. What is in its way is closed once the lock is free.
func (t *table) add(e *edge) error {
	from := addressOf(e)
	place, prefix := t.place(e.id, from), prefixOf(from)
	e.table = t

	t.mu.Lock()
	e.facts.ID, e.facts.Class, e.facts.Limit, e.facts.Apps = e.id, e.class, e.limit, e.apps
	e.facts.Place, e.facts.Prefix, e.facts.Far = place, prefix, e.far()
	old, again := t.edges[e.id]
	if !again && len(t.edges) >= maxEdges {
		t.mu.Unlock()
		return wire.Errorf(wire.DoorFull, "this relay keeps %d edges already", maxEdges)
	}
	if again && old.rolling && !old.session.Draining() {
		other := t.coming[e.id]
		t.coming[e.id] = e
		old = other // who announces one session and opens two keeps the last
	} else {
		if again {
			t.leave(old)
		}
		t.enter(e)
	}
	t.mu.Unlock()
	if old != nil && !old.session.Draining() {
		// An edge that leaves in good order has said Bye before it comes back. This one has crashed or lost its line, and
		// whoever waits on its streams should not wait for the old session to time out.
		old.session.Close(wire.EdgeGone, "a newer session of this edge took over")
	}
	return nil
}

// promote makes e, whose channel is open now, the session of its edge that is chosen. The one before it gets nothing new.
func (t *table) promote(e *edge) {
	ready := e.channel() != nil
	t.mu.Lock()
	e.facts.Ready = ready
	var former, replaced *edge
	if t.coming[e.id] == e {
		delete(t.coming, e.id)
		if old := t.edges[e.id]; old != nil {
			t.leave(old)
			replaced = old
			former, t.parting[e.id] = t.parting[e.id], old
			e.facts.score = old.facts.score // the same line
		}
		t.enter(e)
		if replaced != nil {
			e.chance = replaced.chance // goes on
			t.keepChance(e)
		}
	} else if t.edges[e.id] == e {
		t.relist(e)
	}
	t.mu.Unlock()
	if former != nil { // an edge that rolls and rolls, and ends nothing, has no more than these two
		former.session.Close(wire.EdgeGone, "a newer session of this edge took over")
	}
}

// drop removes e, wherever it is. A session that was announced takes its place.
func (t *table) drop(e *edge) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keepRules(e, [32]byte{})
	if t.parting[e.id] == e {
		delete(t.parting, e.id)
	}
	if t.coming[e.id] == e {
		delete(t.coming, e.id)
	}
	if t.edges[e.id] != e {
		return
	}
	t.leave(e)
	delete(t.edges, e.id)
	if next := t.coming[e.id]; next != nil {
		delete(t.coming, e.id)
		t.enter(next)
	}
}

// enter makes e the one that is chosen for its identity; leave undoes all of that but the entry itself.
func (t *table) enter(e *edge) {
	t.edges[e.id] = e
	c := &e.facts
	c.Ready, c.Suspended = c.Ready || e.channel() != nil, t.suspended[e.id]
	t.here.put(c, 0)
	t.beginChance(e)
	c.neighbour, c.fellow = nil, nil
	if c.Prefix.IsValid() {
		c.neighbour = counter(t.prefixes, c.Prefix)
	}
	if c.Place.ASN != 0 {
		c.fellow = counter(t.networks, c.Place.ASN)
	}
	t.relist(e)
}

func (t *table) leave(e *edge) {
	c := &e.facts
	t.index.take(c)
	t.here.take(c)
	if c.neighbour != nil {
		uncount(t.prefixes, c.Prefix)
	}
	if c.fellow != nil {
		uncount(t.networks, c.Place.ASN)
	}
	c.neighbour, c.fellow = nil, nil
}

func counter[K comparable](all map[K]*int, k K) *int {
	n := all[k]
	if n == nil {
		n = new(int)
		all[k] = n
	}
	*n++
	return n
}

func uncount[K comparable](all map[K]*int, k K) {
	if n := all[k]; n != nil {
		if *n--; *n == 0 {
			delete(all, k)
		}
	}
}

// appsOf lists what apps holds.
func appsOf(apps wire.Apps) (all []wire.App) {
	for _, app := range []wire.App{wire.AppProxy, wire.AppCrawl} {
		if apps.Has(app) {
			all = append(all, app)
		}
	}
	return all
}

// relist puts e on the index or takes it off, by what it offers now.
func (t *table) relist(e *edge) {
	c := &e.facts
	t.keepChance(e)
	listed := len(c.offered.shelves) > 0
	if offers := t.edges[e.id] == e && c.offers() && !c.Far; offers == listed {
		return
	} else if offers {
		t.index.put(c, appsOf(c.Apps)...)
	} else {
		t.index.take(c)
	}
}

// status takes over what e last said of itself.
func (t *table) status(e *edge, s wire.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &e.facts
	if c.Apps != s.Apps {
		t.index.take(c)
	}
	c.Paused, c.Sealed, c.Room, c.Apps = s.Flags&wire.StatusPaused != 0, s.Flags&wire.StatusSealed != 0, s.Room, s.Apps
	t.keepRules(e, s.Policy)
	e.rolling = s.Flags&wire.StatusRolling != 0
	t.relist(e)
}

// rules are those of one digest. They have a number while a connected edge says that they are its own, so that an edge
// which says something else each second takes up no more room than any other.
type rules struct {
	number uint32
	edges  int
}

// keepRules notes the digest of an edge's rules. No digest has number 0, of which nothing is learnt.
func (t *table) keepRules(e *edge, digest [32]byte) {
	if e.rules == digest {
		return
	}
	if old := t.policies[e.rules]; old != nil {
		if old.edges--; old.edges == 0 {
			delete(t.policies, e.rules)
		}
	}
	e.rules, e.facts.Policy = digest, 0
	if digest == [32]byte{} {
		return
	}
	now := t.policies[digest]
	if now == nil {
		t.numbered++
		now = &rules{number: t.numbered}
		t.policies[digest] = now
	}
	now.edges++
	e.facts.Policy = now.number
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
	for id, e := range t.edges {
		if e.facts.Suspended != suspended[id] {
			e.facts.Suspended = suspended[id]
			t.relist(e)
		}
	}
}

func (t *table) setSilent(e *edge, silent bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.facts.Silent = silent
	t.relist(e)
}

func (t *table) release(e *edge) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.facts.Streams--
	t.relist(e)
}

// newest is the session of an edge that is chosen, nil for none.
func (t *table) newest(id identity.ID) *edge {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.edges[id]
}

// connected tells whether an edge has a session that is not on its way out.
func (t *table) connected(id identity.ID) bool {
	e := t.newest(id)
	return e != nil && !e.session.Draining()
}

// serving tells whether it has one whose channel is open, and has said what it allows.
func (t *table) serving(id identity.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.edges[id]
	return e != nil && e.facts.Ready && (e.facts.offers() || e.facts.Paused)
}

func (t *table) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.edges)
}

// all are the edges that have a session, those included that are about to take another's place or have given it up.
func (t *table) all() []*edge {
	t.mu.Lock()
	defer t.mu.Unlock()
	edges := make([]*edge, 0, len(t.edges)+len(t.coming)+len(t.parting))
	for _, of := range []map[identity.ID]*edge{t.edges, t.coming, t.parting} {
		for _, e := range of {
			edges = append(edges, e)
		}
	}
	return edges
}

// counts is how many edges are connected by place.
func (t *table) counts() map[shelf]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := make(map[shelf]int, len(t.here.shelves))
	for s, list := range t.here.shelves {
		counts[s] = len(list)
	}
	return counts
}
