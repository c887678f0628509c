package accounting

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// minGrant is the least worth a signature and a reserve, and enough that its price is not rounded to nothing.
	minGrant = 64 << 10
	// maxPartnerGrants bounds the live grants of a partner: one or two at each relay it uses.
	maxPartnerGrants = 1024
	// maxGrantChannels bounds the channels that can claim bytes on one grant in its day, reconnecting edges included.
	maxGrantChannels = 1 << 16
	defaultGrantLife = 30 * time.Minute
)

// Authorise is a relay's question whether it may serve a partner: it checks name and key and reserves up to want bytes of
// the balance.
func (b *Book) Authorise(ctx context.Context, relay identity.ID, name, key string, want uint64) (Allowance, error) {
	if _, err := b.Authenticate(name, key); err != nil {
		return Allowance{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.issueLocked(ctx, name, relay, want)
	if err != nil {
		return Allowance{}, err
	}
	return Allowance{g, b.termsLocked(b.state.byName[name])}, nil
}

// IssueGrant reserves up to want bytes of a partner's balance for one relay; what the balance does not cover is left off,
// and with nothing left the code is balance_exhausted. The hub's own crawler, whose partners have shown their key at its
// API, asks in this way.
func (b *Book) IssueGrant(ctx context.Context, name string, relay identity.ID, want uint64) (SignedGrant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.issueLocked(ctx, name, relay, want)
}

func (b *Book) issueLocked(ctx context.Context, name string, relay identity.ID, want uint64) (SignedGrant, error) {
	p := b.state.byName[name]
	if p == nil {
		return SignedGrant{}, errNoPartner
	}
	affordable := b.state.prices[b.state.price].Buys(b.state.ledger.balances[partnerAccount(p.id)])
	if affordable < minGrant {
		return SignedGrant{}, errBalance
	}
	if p.live >= maxPartnerGrants {
		return SignedGrant{}, wire.Errorf(wire.PartnerLimit, "the partner has %d live grants", p.live)
	}
	room, err := b.roomLocked(p)
	if err != nil {
		return SignedGrant{}, err
	}
	now := b.nowLocked()
	g := Grant{
		Issuer:      b.cfg.Key.ID(),
		Relay:       relay,
		Purpose:     p.purpose,
		Price:       b.state.price,
		Limit:       min(max(want, minGrant), affordable, room),
		Issued:      now,
		NotAfter:    now + b.cfg.GrantLife.Milliseconds(),
		MaxChannels: maxGrantChannels,
	}
	rand.Read(g.ID[:])
	rand.Read(g.Account[:]) // another pseudonym for each grant: edges cannot follow a partner from one to the next
	return b.grantLocked(ctx, p.id, g)
}

// Renew extends a grant: up to want bytes more, as far as the balance goes, and a later end, at most [MaxGrantLife] after
// its issue. Only the relay that holds the grant may ask.
func (b *Book) Renew(ctx context.Context, relay identity.ID, id GrantID, want uint64) (Allowance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.renewLocked(ctx, relay, id, want)
	if err != nil {
		return Allowance{}, err
	}
	return Allowance{g, b.termsLocked(b.state.partners[b.state.grants[id].partner])}, nil
}

func (b *Book) renewLocked(ctx context.Context, relay identity.ID, id GrantID, want uint64) (SignedGrant, error) {
	now := b.nowLocked()
	held := b.state.grants[id]
	if held == nil || held.Relay != relay || held.phase != grantOpen || now >= held.NotAfter {
		return SignedGrant{}, wire.Errorf(wire.GrantInvalid, "no such live grant at this relay")
	}
	g, price := held.Grant, b.state.prices[held.Price]
	// The reserve holds the cost of the whole limit, so what can be added is a difference of costs.
	before, err := price.Cost(g.Limit)
	if err != nil {
		return SignedGrant{}, err
	}
	affordable := price.Buys(before + b.state.ledger.balances[partnerAccount(held.partner)])
	if affordable < g.Limit+minGrant {
		return SignedGrant{}, errBalance
	}
	room, err := b.roomLocked(b.state.partners[held.partner])
	if err != nil {
		return SignedGrant{}, err
	}
	g.Limit = min(g.Limit+min(max(want, minGrant), MaxGrantBytes, room), affordable)
	g.NotAfter = max(g.NotAfter, min(now+b.cfg.GrantLife.Milliseconds(), g.Issued+MaxGrantLife.Milliseconds()))
	return b.grantLocked(ctx, held.partner, g)
}

func (b *Book) grantLocked(ctx context.Context, p PartnerID, g Grant) (SignedGrant, error) {
	signed := SignGrant(b.cfg.Network, b.cfg.Key, g)
	switch err := b.decideLocked(ctx, &grantEvent{Partner: p, Grant: signed}); {
	case errors.Is(err, errBalance):
		return SignedGrant{}, errBalance
	case errors.Is(err, ErrRelay):
		return SignedGrant{}, errNoRelay
	case err != nil:
		return SignedGrant{}, err
	}
	return signed, nil
}

// Release gives back what is left of a grant. finals names the channels on which it was used; the rest returns to the
// partner when their receipts are on file, and at the latest [lateGrants] after the grant's end.
//
// An edge that holds a receipt which its relay did not name must have handed it in before: nothing is paid on a closed
// grant. Edges settle every few minutes, and a relay that names too little is caught by the receipt it co-signed.
func (b *Book) Release(ctx context.Context, relay identity.ID, id GrantID, finals []Final) (Released, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.state.grants[id]
	if g == nil || g.Relay != relay {
		return Released{}, wire.Errorf(wire.GrantInvalid, "no such grant at this relay")
	}
	if len(finals) > MaxFinals {
		return Released{}, wire.Errorf(wire.BadRequest, "more than %d channels", MaxFinals)
	}
	if g.phase == grantOpen {
		held := b.state.ledger.balances[reserveAccount(id)]
		if err := b.decideLocked(ctx, &releaseEvent{Grant: id, Finals: slices.Clone(finals)}); err != nil {
			return Released{}, err
		}
		if g.phase == grantClosed {
			return Released{Closed: true, Returned: held}, nil
		}
	}
	return Released{Closed: g.phase == grantClosed}, nil // said again: nothing more to do
}

// Run closes what is over, once a minute, until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	const pause = time.Minute
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if err := b.expireOnce(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// expireOnce returns the reserves of grants that are a day past their end, and forgets what is over.
func (b *Book) expireOnce(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.state.due(b.nowLocked()) {
		return nil
	}
	return b.decideLocked(ctx, &expireEvent{})
}
