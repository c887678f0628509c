package relay

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/wire"
)

const (
	// firstGrant is what a partner gets on its first request: small, since a reserve is balance that no other relay
	// can use. A grant that runs low is extended by as much as it had, up to maxExtension at a time.
	firstGrant   = 64 << 20
	maxExtension = 1 << 30
	// lowWater is the share of a grant (one over this) below which it is extended before it runs out.
	lowWater = 4
	// extendWait is how long a stream on an empty grant waits for the hub's answer before it is cut.
	extendWait = 10 * time.Second
	// extendPause is how long a hub that is away is left alone before it is asked again.
	extendPause = time.Second
	// grantMargin is how long before its expiry a grant is not given to new streams any more.
	grantMargin = time.Minute
	// finalPause is how long a refusal to extend a grant is taken for the last word on it: a balance is paid in, a day of
	// volume begins, and another relay gives back what it held.
	finalPause = 10 * time.Second
	// lastRest is the least rest of a grant that is not extended any more with which a stream still starts: with less it
	// would end in its first answer, and say of a grant what is to be said of the balance or the day.
	lastRest = 32 << 10
	// grantIdle is how long a grant lies unused before its rest goes back to the partner's balance.
	grantIdle = time.Minute
)

// grant is what this relay may still deliver on one signed grant. Streams reserve from it before they read, so that
// all of them together never deliver more than the hub reserved.
type grant struct {
	id accounting.GrantID

	mu        sync.Mutex
	account   accounting.AccountTag  // who pays, for those who came in at the door; the hub's streams tell only a grant
	signed    accounting.SignedGrant // the latest version: the hub extends a grant by signing its id again
	used      uint64                 // delivered, or reserved by running streams
	open      int                    // streams that run on it
	idleSince time.Time
	retired   bool                                       // nothing new starts on it
	released  bool                                       // and the hub knows
	extending chan struct{}                              // closed when the hub has answered; nil when nobody asks
	final     error                                      // the hub's reason for not extending it
	finalAt   time.Time                                  // when it said so
	channels  map[accounting.ChannelID]*accounting.Meter // that count bytes on it
}

// reserve takes up to max bytes, asking for more in the background when little is left, and waiting for the answer
// only when nothing is.
func (r *Relay) reserve(ctx context.Context, g *grant, max int) (int, error) {
	var late <-chan time.Time // over all answers together
	for {
		g.mu.Lock()
		left := g.signed.Limit - g.used
		if left < g.signed.Limit/lowWater && g.extending == nil && g.mayAskLocked(r.cfg.Clock()) {
			g.extending = make(chan struct{})
			r.background(func() { r.extend(g) })
		}
		if left > 0 {
			take := min(uint64(max), left)
			g.used += take
			g.mu.Unlock()
			return int(take), nil
		}
		answer, final := g.extending, g.final
		g.mu.Unlock()
		if answer == nil {
			return 0, wire.Errorf(wire.OverLimit, "the grant is used up: %v", final)
		}
		if late == nil {
			timer := time.NewTimer(extendWait)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-answer:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-late:
			return 0, wire.Errorf(wire.HubAway, "the grant is used up and the hub did not extend it in time")
		}
	}
}

// mayAskLocked reports whether the hub may say something else of an extension than it last did.
func (g *grant) mayAskLocked(now time.Time) bool {
	switch wire.CodeOf(g.final) {
	case wire.OK:
		return true
	case wire.BalanceExhausted, wire.PartnerCap:
		return now.Sub(g.finalAt) >= finalPause
	}
	return false
}

// settle gives back what was reserved and did not move.
func (g *grant) settle(reserved, moved int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= uint64(reserved - moved)
}

// extend asks the hub to reserve more on g. A hub that is away is asked once a pause, however many streams would know.
func (r *Relay) extend(g *grant) {
	ctx, cancel := context.WithTimeout(r.ctx, extendWait)
	defer cancel()
	g.mu.Lock()
	want := min(g.signed.Limit, maxExtension)
	g.mu.Unlock()
	more, err := r.cfg.Hub.Renew(ctx, g.id, want)
	if err == nil {
		err = r.checkGrant(more.SignedGrant)
	}
	if wire.CodeOf(err) == wire.HubAway {
		pause(r.ctx, extendPause)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.signed, g.final = more.SignedGrant, nil
		r.limits.standings.update(more.Terms, r.cfg.Clock())
		r.regrant(g)
	case wire.CodeOf(err) != wire.HubAway:
		g.final, g.finalAt = err, r.cfg.Clock()
		if s := r.limits.standings.of(g.account); s != nil && wire.CodeOf(err) == wire.BalanceExhausted {
			s.exhausted()
		}
	}
	close(g.extending)
	g.extending = nil
}

// regrant tells the edges that serve on g of its new limit. Nobody waits for them: an edge that meets the old limit waits
// for the new one, and one that does not listen holds up no other. Called with g.mu held.
func (r *Relay) regrant(g *grant) {
	frame := wire.Regrant{Grant: g.signed.Bytes()}
	for _, e := range r.edges.all() {
		if m := e.channel(); m != nil && g.channels[m.ID()] != nil {
			r.background(func() { e.session.Send(frame) }) //nolint:errcheck // a session that is gone needs no limit
		}
	}
}

// enter counts a stream in that is about to open on the channel of m. A retired grant takes no more.
func (g *grant) enter(m *accounting.Meter) (accounting.SignedGrant, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return accounting.SignedGrant{}, wire.Errorf(wire.GrantInvalid, "the grant has been released")
	}
	g.open++
	g.channels[m.ID()] = m
	return g.signed, nil
}

func (g *grant) leave(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	g.idleSince = now
}

// of notes whose grant it is.
func (g *grant) of(account accounting.AccountTag) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.account = account
}

// payer is the account that came in at the door; zero for the hub's streams.
func (g *grant) payer() accounting.AccountTag {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.account
}

// rest is what may still be delivered on g.
func (g *grant) rest() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return 0
	}
	return g.signed.Limit - g.used
}

// usable reports whether a new stream may start on g. A grant that one is about to start on is not idle: the upkeep must
// not release it under way.
func (g *grant) usable(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	alive := now.Add(grantMargin).UnixMilli() < g.signed.NotAfter
	least := uint64(1)
	if g.final != nil {
		least = lastRest
	}
	usable := !g.retired && alive && g.signed.Limit-g.used >= least
	if usable {
		g.idleSince = now
	}
	return usable
}

// finals are how far each channel got that counts bytes on g, so that the hub knows when it has seen the last of them.
func (g *grant) finals() []accounting.Final {
	g.mu.Lock()
	defer g.mu.Unlock()
	var signed []accounting.Receipt
	for _, m := range g.channels {
		last := m.Last()
		if slices.ContainsFunc(last.Tallies, func(t accounting.Tally) bool { return t.Grant == g.id }) {
			signed = append(signed, last.Receipt)
		}
	}
	return newest(signed)
}

// newest names the receipts that were signed last, as many as the hub lets a release name. Over the day of a grant a
// partner uses thousands of channels, and the receipts of the older ones went in hours ago.
func newest(signed []accounting.Receipt) []accounting.Final {
	slices.SortFunc(signed, func(a, b accounting.Receipt) int { return cmp.Compare(b.Time, a.Time) })
	signed = signed[:min(len(signed), accounting.MaxFinals)]
	finals := make([]accounting.Final, len(signed))
	for i, r := range signed {
		finals[i] = accounting.Final{Channel: r.Channel, Serial: r.Serial}
	}
	return finals
}

// retireIdle lets nothing new start on g when nothing runs on it and nothing has for a while, or at once when the relay
// is leaving. It reports whether the hub is to be told.
func (g *grant) retireIdle(now time.Time, leaving bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.retired && g.open == 0 && (leaving || now.Sub(g.idleSince) >= grantIdle) {
		g.retired = true
	}
	return g.retired && !g.released
}

// done notes that the hub has heard of the release.
func (g *grant) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.released = true
}

// over reports whether g can be forgotten: nothing runs on it, nobody may bring it again, and the hub has heard that its
// rest is free, which a hub that was away for long has not.
func (g *grant) over(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open == 0 && g.released && now.UnixMilli() >= g.signed.NotAfter
}

// checkGrant refuses a grant that the hub did not sign, that names another relay, or that has run out.
func (r *Relay) checkGrant(g accounting.SignedGrant) error {
	if err := g.Verify(r.cfg.Network, r.cfg.HubID); err != nil {
		return wire.Errorf(wire.GrantInvalid, "%v", err)
	}
	if g.Relay != r.cfg.Key.ID() {
		return wire.Errorf(wire.GrantInvalid, "the grant names relay %s", g.Relay)
	}
	if r.cfg.Clock().UnixMilli() >= g.NotAfter {
		return wire.Errorf(wire.GrantInvalid, "the grant has expired")
	}
	return nil
}

// adopt enters a checked grant into the table, once: what was used on it is kept by its id, whoever brings it.
func (r *Relay) adopt(signed accounting.SignedGrant) *grant {
	r.grantsMu.Lock()
	defer r.grantsMu.Unlock()
	if g, known := r.grants[signed.ID]; known {
		return g
	}
	g := &grant{
		id: signed.ID, signed: signed, idleSince: r.cfg.Clock(), channels: map[accounting.ChannelID]*accounting.Meter{},
	}
	r.grants[signed.ID] = g
	if err := r.held.take(signed.ID); err != nil {
		r.cfg.Log.Warn("the list of grants cannot be written", "err", err)
	}
	return g
}

// releaseIdle returns the rest of idle grants to their partners' balances. A released grant stays in the table until it
// expires: its signature is still good, and must not start a second life with nothing used.
func (r *Relay) releaseIdle(ctx context.Context, leaving bool) {
	if !leaving {
		r.releaseOrphans(ctx)
	}
	now := r.cfg.Clock()
	var idle []*grant
	r.grantsMu.Lock()
	for id, g := range r.grants {
		if g.retireIdle(now, leaving) {
			idle = append(idle, g)
		}
		if g.over(now) {
			delete(r.grants, id)
		}
	}
	r.grantsMu.Unlock()
	for _, g := range idle {
		_, err := r.cfg.Hub.Release(ctx, g.id, g.finals())
		if wire.CodeOf(err) == wire.HubAway {
			return // this one and the others are released the next time
		}
		r.gone(g.id)
		if g.done(); err != nil {
			r.cfg.Log.Debug("grant not released, the hub will after its expiry", "grant", g.id, "err", err)
		}
	}
}
