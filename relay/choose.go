package relay

import (
	"errors"
	"slices"
	"time"

	"sward/internal/wire"
)

// pick chooses an edge for w and counts a stream in on it. The error says which of three things is so: nobody is where w
// asks for, nobody of those can take it now, or all of them are known to refuse it.
func (t *table) pick(w *Want) (*edge, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if w.who != (tag{}) {
		w.recent = t.recentOf(w.who)
	}
	var (
		own     = len(w.refuse)
		refusal *wire.Error
	)
	if w.Edge.IsZero() { // who asks for one edge hears its own word
		w.refuse, refusal = t.refusals.known(w, t.proofs, w.refuse, now)
	}
	e := t.chooseApart(w, now)
	t.counted(w, e, w.refuse[own:])
	w.refuse = w.refuse[:own]
	if e == nil {
		if refusal != nil && t.chooseApart(w, now) != nil {
			return nil, refusal
		}
		return nil, t.nobody(w)
	}
	e.facts.Streams++
	t.relist(e)
	if w.recent != nil {
		w.recent.add(e.facts.Prefix)
	}
	return e, nil
}

// counted counts a request once, whichever edges it is tried on, and who was given it each time. refused are the policies that
// were passed over.
func (t *table) counted(w *Want, e *edge, refused []uint32) {
	first := !w.asked
	switch {
	case w.Edge.IsZero():
		if w.asked = true; first {
			t.demand.ask(w, e != nil)
			for i, policy := range refused {
				if !slices.Contains(refused[:i], policy) {
					t.demand.blocked[policy]++
				}
			}
		}
		if e != nil {
			e.chance.won++
		}
	case e != nil:
		if w.asked = true; first {
			t.demand.named++
		}
		e.chance.kept++
	}
}

// chooseApart prefers edges that do not serve another session of the account, and shares one rather than refusing.
func (t *table) chooseApart(w *Want, now time.Time) *edge {
	e := t.choose(w, now)
	if e == nil && w.taken != nil {
		sharing := *w
		sharing.taken = nil
		e = t.choose(&sharing, now)
		w.pool = sharing.pool
	}
	return e
}

// choose asks Pick until it names an edge whose session takes streams. One that has said goodbye is taken off the index:
// it never comes back.
func (t *table) choose(w *Want, now time.Time) *edge {
	if !w.Edge.IsZero() {
		e := t.edges[w.Edge]
		if e == nil || e.session.Draining() || !e.facts.serves(w, now) {
			return nil
		}
		return e
	}
	for {
		pool := t.index.pool(w.App, w.Where)
		w.pool = len(pool)
		c := Pick(pool, w, now, t.rnd)
		if c == nil {
			return nil
		}
		e := t.edges[c.ID]
		if !e.session.Draining() {
			return e
		}
		e.facts.Ready = false
		t.relist(e)
	}
}

// nobody says why there is nobody for w: no edge is where it asks for, or those that are cannot take it now.
func (t *table) nobody(w *Want) error {
	if !w.Edge.IsZero() || w.Where.anywhere() {
		return wire.Errorf(wire.NoEdge, "no connected edge can take this now")
	}
	for _, c := range t.here.pool(0, w.Where) {
		if w.Where.holds(c.Place) {
			return wire.Errorf(wire.NoEdge, "no edge that is there can take this now")
		}
	}
	return wire.Errorf(wire.NoMatch, "no connected edge is where the request asks for")
}

// The states of an edge that somebody asks for by its identity.
type edgeState int

const (
	edgeGone edgeState = iota // not connected, on its way out, or somewhere else now
	edgeAway                  // connected, and takes nothing
	edgeBusy                  // carries as many streams as it may
	edgeFree
)

// stateOf is the state of the one edge that w asks for.
func (t *table) stateOf(w *Want) edgeState {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.edges[w.Edge]
	switch {
	case e == nil || e.session.Draining() || !w.Where.holds(e.facts.Place):
		return edgeGone
	case e.facts.Ready && (e.facts.Streams >= e.facts.Limit || t.now().Before(e.facts.rests)):
		return edgeBusy
	case !e.facts.offers() || !e.facts.Apps.Has(w.App):
		return edgeAway
	}
	return edgeFree
}

// has reports whether e is the session of its edge that is chosen, and stays so.
func (t *table) has(e *edge) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.edges[e.id] == e && !e.session.Draining()
}

// count takes note of how an opening on e went. refused says that it was by its owner's policy, which is number policy.
func (t *table) count(e *edge, w *Want, err error, took time.Duration) (policy uint32, refused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, code := t.now(), wire.CodeOf(err)
	if code == wire.OK {
		t.usual.count(w.Site, took)
		t.proofs.note(&e.facts, w, now)
	}
	e.facts.score.count(w.Site, outcome{code, took}, t.usual[w.Site], now)
	if code == wire.StreamLimit {
		e.facts.rests = now.Add(fullRest)
	}
	coded, ok := errors.AsType[*wire.Error](err)
	if !ok {
		return 0, false
	}
	if policy = e.facts.Policy; policy == 0 { // it has not said which one is its own: it speaks for nobody else
		_, refused = refusedThing(code, w)
		return 0, refused
	}
	return policy, t.refusals.learn(&e.facts, w, coded, now)
}
