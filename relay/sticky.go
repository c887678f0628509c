package relay

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
	"sward/relay/gateway"
)

const (
	// A session that asks for nothing lasts ten minutes from its first request, and ends with an idle minute: what most
	// networks do that a partner may come from. One that asks for a time has all of it, unless it asks for an idle end too.
	sessionTTL  = 10 * time.Minute
	sessionIdle = time.Minute
	// What may be asked for.
	minSession = time.Second
	maxSession = 24 * time.Hour
	// goneRest is how long at most the word of a hard session stays refused after its edge has left. It is told in Retry-After.
	goneRest = 10 * time.Minute
	// maxSessions bounds the table, at about 300 bytes each; maxAccountSessions is one account's share of it.
	maxSessions        = 65536
	maxAccountSessions = 4096
	// comingBack is how long after its start a relay waits for the edges of the sessions that it has kept: they come
	// back within a minute, each after its own delay.
	comingBack = 90 * time.Second
)

// tag is an account as relays know it, whatever key it came with.
type tag = accounting.AccountTag

// stayKey names a session: a hash of the account, its word, and where it is to be. The same word for another country is
// another session.
type stayKey [16]byte

func stayKeyOf(who tag, word string, where Where) stayKey {
	b := append([]byte("sward/session\n"), who[:]...)
	for _, s := range []string{word, where.Country, where.Region, where.City, string(where.Class)} {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	h := sha256.Sum256(binary.BigEndian.AppendUint32(b, where.ASN))
	return stayKey(h[:16])
}

// stay is one sticky session: a run of requests that leave from one edge. The table's lock guards it.
type stay struct {
	key   stayKey
	owner tag
	edge  identity.ID // zero before the first choice
	hard  bool
	ends  time.Time
	idle  time.Duration // 0: it does not end by idleness
	used  time.Time
	open  int       // streams of it that run
	gone  time.Time // until when its word is refused; zero while its edge is there
	kept  bool      // from before this start: its edge may be on its way back
	place *list.Element
}

func (s *stay) over(now time.Time) bool {
	if !s.gone.IsZero() {
		return !now.Before(s.gone)
	}
	return !now.Before(s.ends) || s.idle > 0 && s.open == 0 && now.Sub(s.used) >= s.idle
}

// stays is the table of sticky sessions. Its lock is taken before the edges' table's.
type stays struct {
	now   func() time.Time
	since time.Time // this start

	mu     sync.Mutex
	all    map[stayKey]*stay
	byUse  *list.List // of *stay, the one used longest ago in front
	owners map[tag]*stayOwner
	dirty  bool // since the last snapshot
}

// stayOwner is an account's share.
type stayOwner struct {
	stays map[stayKey]*stay
	edges map[identity.ID]int // that its sessions leave from
	swept time.Time
}

func newStays(now func() time.Time) *stays {
	return &stays{now: now, since: now(), all: map[stayKey]*stay{}, byUse: list.New(), owners: map[tag]*stayOwner{}}
}

// enter finds the session that exit asks for, or begins it, and counts a stream in; leave counts it out. It is nil when
// exit asks for none.
func (t *stays) enter(who tag, exit gateway.Exit) (*stay, error) {
	if exit.Session == "" {
		return nil, nil
	}
	ttl, idle, err := terms(exit)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now, key := t.now(), stayKeyOf(who, exit.Session, whereOf(exit))
	s := t.all[key]
	if s != nil && s.over(now) {
		t.end(s)
		s = nil
	}
	if s == nil {
		if err := t.makeRoom(who, now); err != nil {
			return nil, err
		}
		s = &stay{key: key, owner: who, hard: exit.Hard, ends: now.Add(ttl), idle: idle}
		t.begin(s)
	}
	if !s.gone.IsZero() {
		return nil, goneError(s, now)
	}
	s.used = now
	s.open++
	t.byUse.MoveToBack(s.place)
	return s, nil
}

// terms are a session's times, as asked for or as usual.
func terms(exit gateway.Exit) (ttl, idle time.Duration, err error) {
	ttl, idle = exit.TTL, exit.Idle
	for _, d := range []time.Duration{ttl, idle} {
		if d != 0 && (d < minSession || d > maxSession) {
			return 0, 0, wire.Errorf(wire.BadParameter, "a session lasts %s to %s, not %s", minSession, maxSession, d)
		}
	}
	if ttl == 0 {
		ttl = sessionTTL
		if idle == 0 {
			idle = sessionIdle
		}
	}
	return ttl, idle, nil
}

func goneError(s *stay, now time.Time) error {
	err := wire.Errorf(wire.SessionGone, "the edge of this session has left: use another session name")
	err.Edge, err.After = wire.ID(s.edge), s.gone.Sub(now)
	return err
}

func (t *stays) leave(s *stay) {
	if s == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.open--
	s.used = t.now()
}

// makeRoom makes sure that who may begin one more.
func (t *stays) makeRoom(who tag, now time.Time) error {
	if o := t.owners[who]; o != nil && len(o.stays) >= maxAccountSessions {
		if now.Sub(o.swept) >= time.Second { // one look a second at what has ended, however often it is tried
			o.swept = now
			for _, s := range o.stays {
				if s.over(now) {
					t.end(s)
				}
			}
		}
		if len(o.stays) >= maxAccountSessions {
			return wire.Errorf(wire.PartnerLimit, "the account has %d sessions, as many as it may: let some end", maxAccountSessions)
		}
	}
	if len(t.all) >= maxSessions {
		t.end(t.byUse.Front().Value.(*stay))
	}
	return nil
}

func (t *stays) begin(s *stay) {
	o := t.owners[s.owner]
	if o == nil {
		o = &stayOwner{stays: map[stayKey]*stay{}, edges: map[identity.ID]int{}}
		t.owners[s.owner] = o
	}
	o.stays[s.key], t.all[s.key] = s, s
	s.place = t.byUse.PushBack(s)
	if !s.edge.IsZero() {
		o.edges[s.edge]++
	}
	t.dirty = true
}

// end forgets s. Streams of it run on.
func (t *stays) end(s *stay) {
	t.bind(s, identity.ID{})
	delete(t.all, s.key)
	o := t.owners[s.owner]
	if delete(o.stays, s.key); len(o.stays) == 0 {
		delete(t.owners, s.owner)
	}
	t.byUse.Remove(s.place)
	t.dirty = true
}

// bind makes s leave from edge from now on.
func (t *stays) bind(s *stay, edge identity.ID) {
	if s.edge == edge || t.all[s.key] != s { // it has ended while one of its streams was being opened
		return
	}
	o := t.owners[s.owner]
	if !s.edge.IsZero() {
		if o.edges[s.edge]--; o.edges[s.edge] == 0 {
			delete(o.edges, s.edge)
		}
	}
	if s.edge = edge; !edge.IsZero() {
		o.edges[edge]++
	}
	s.kept, t.dirty = false, true
}

// sweep ends what is over.
func (t *stays) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for _, s := range t.all {
		if s.over(now) {
			t.end(s)
		}
	}
}

func (t *stays) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// pick chooses an edge for a stream of s, which may be nil. Of a session it is always the same one while that is there;
// the choice and its being kept are one step, so that two first requests at once get one edge.
//
// aside lets this stream of a soft session leave from elsewhere, because its edge has refused it: the session stays.
func (t *stays) pick(edges *table, w *Want, s *stay, aside bool) (*edge, error) {
	if s == nil {
		return edges.pick(w)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if !s.gone.IsZero() {
		return nil, goneError(s, now)
	}
	if owner := t.owners[s.owner]; owner != nil {
		w.taken = func(id identity.ID) bool { return owner.edges[id] > 0 && id != s.edge }
		defer func() { w.taken = nil }()
	}
	if !s.edge.IsZero() && !aside {
		same := *w
		same.Edge = s.edge
		e, err := edges.pick(&same)
		w.asked = same.asked
		if err == nil {
			return e, nil
		}
		switch state := edges.stateOf(&same); {
		case state == edgeBusy && s.hard:
			return nil, wire.Errorf(wire.StreamLimit, "the edge of this session carries as many streams as it may")
		case state == edgeBusy:
			aside = true
		case state == edgeAway && s.hard:
			return nil, wire.Errorf(wire.Paused, "the edge of this session takes nothing now")
		case state == edgeGone && s.hard && s.kept && now.Sub(t.since) < comingBack:
			return nil, wire.Errorf(wire.NoEdge, "the edge of this session is not back yet from a restart of the relay")
		case state == edgeGone && s.hard:
			t.lose(s, now)
			return nil, goneError(s, now)
		}
	}
	e, err := edges.pick(w)
	if err == nil && !aside {
		t.bind(s, e.id)
	}
	return e, err
}

// wants is the one edge that a stream is to leave from, zero for any.
func (t *stays) wants(w *Want, s *stay) identity.ID {
	if s == nil {
		return w.Edge
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.gone.IsZero() {
		return identity.ID{}
	}
	return s.edge
}

// lose ends a hard session whose edge has left: its word is refused until its time is over, or has rested long enough.
func (t *stays) lose(s *stay, now time.Time) {
	s.gone = s.ends
	if rest := now.Add(goneRest); rest.Before(s.gone) {
		s.gone = rest
	}
	t.dirty = true
}

// failed tells that e could not serve s. A soft session moves on with its next choice, unless its edge has a newer session.
func (t *stays) failed(s *stay, e *edge) {
	if s == nil || s.hard || !e.table.has(e) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.edge == e.id { // another stream may have moved it already
		t.bind(s, identity.ID{})
	}
}
