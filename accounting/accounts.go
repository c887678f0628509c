package accounting

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"net"
	"slices"
	"strings"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	keyPrefix = "swd_"
	keyBytes  = 20 // 160 bits from the system's random source: a plain hash of it is as good as a slow one

	inviteLife  = 7 * 24 * time.Hour
	maxInvites  = 100_000   // codes that nobody has redeemed yet
	maxPartners = 1_000_000 // they are kept in memory
	maxRelays   = 10_000    // they are all in the directory
	shownDays   = 31        // days of usage in an answer
	shownEdges  = 100       // edges in a summary
	shownGrants = 100       // grants in a usage
)

var (
	errBadName   = wire.Errorf(wire.BadRequest, "a partner's name is 1 to %d letters, digits, dots, hyphens and underscores", maxName)
	errNameTaken = wire.Errorf(wire.BadRequest, "the name is taken")
	errBadCode   = wire.Errorf(wire.NoConsent, "the code is unknown, used or too old")
	errBalance   = wire.Errorf(wire.BalanceExhausted, "the balance does not cover it")
	errAuth      = wire.Errorf(wire.AuthFailed, "the name or the key is wrong")
	errNoPartner = wire.Errorf(wire.BadRequest, "no partner has this name")
	errNoRelay   = wire.Errorf(wire.AuthFailed, "not an admitted relay")
)

// Partner is who may use the network, as the hub's own rooms need it.
type Partner struct {
	ID      PartnerID
	Name    string
	Purpose uint16
}

func (p *partner) public() Partner { return Partner{p.id, p.name, p.purpose} }

// AddPartner opens an account and returns its key. The book keeps a hash only: the key is shown this once.
func (b *Book) AddPartner(ctx context.Context, name string, purpose uint16) (key string, err error) {
	if err := wire.CheckPartnerName(name); err != nil {
		return "", err
	}
	if purpose == 0 {
		return "", wire.Errorf(wire.BadRequest, "a partner needs a purpose")
	}
	key = newKey()
	added := &partnerEvent{Purpose: purpose, Key: keyHash(key), Name: name}
	rand.Read(added.ID[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.state.partners) >= maxPartners {
		return "", wire.Errorf(wire.PartnerLimit, "the book holds as many partners as it may")
	}
	return key, b.decideLocked(ctx, added)
}

// Credit adds what bytes cost today to a partner's balance.
func (b *Book) Credit(ctx context.Context, name string, bytes uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.state.byName[name]
	if p == nil {
		return errNoPartner
	}
	price := b.state.prices[b.state.price]
	amount, err := price.Worth(bytes)
	if err != nil || amount == 0 {
		return wire.Errorf(wire.BadRequest, "a deposit is of 1 to %d bytes", uint64(MaxGrantBytes))
	}
	return b.decideLocked(ctx, &depositEvent{Partner: p.id, Bytes: bytes, Price: price.ID, Amount: amount})
}

// Authenticate finds a partner by name and key. It takes the same steps for a name that does not exist.
func (b *Book) Authenticate(name, key string) (Partner, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.state.byName[name]
	known := p != nil
	if !known {
		p = &b.nobody
	}
	hash := keyHash(key)
	if same := subtle.ConstantTimeCompare(hash[:], p.key[:]) == 1; !same || !known {
		return Partner{}, errAuth
	}
	return p.public(), nil
}

// PartnerByKey finds a partner by its key alone, as the crawl API's bearer tokens need it. Only the hash of what was
// presented is looked up, so how long it takes tells nothing about the keys that exist.
func (b *Book) PartnerByKey(_ context.Context, key string) (Partner, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.state.byKey[keyHash(key)]
	if p == nil {
		return Partner{}, errAuth
	}
	return p.public(), nil
}

// Left is how many bytes a partner can still use: those that its balance buys, and those that its live grants hold.
func (b *Book) Left(name string) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.state.byName[name]
	if p == nil {
		return 0, errNoPartner
	}
	return b.state.prices[b.state.price].Buys(b.state.ledger.balances[partnerAccount(p.id)]) + p.held, nil
}

// Usage is a partner's account.
func (b *Book) Usage(ctx context.Context, name string) (Usage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.state
	p := s.byName[name]
	if p == nil {
		return Usage{}, errNoPartner
	}
	u := Usage{Name: p.name, Purpose: p.purpose, Limits: p.limits.over(b.cfg.Limits), Own: p.limits, Balance: s.ledger.balances[partnerAccount(p.id)]}
	u.Today, _ = p.pace.on(b.nowLocked())
	u.Refunded, u.Pending = p.refunds.paid, p.refunds.due
	u.Bytes = s.prices[s.price].Buys(u.Balance)
	for _, g := range s.grants {
		if g.partner != p.id || g.phase == grantClosed {
			continue
		}
		u.Reserved += s.ledger.balances[reserveAccount(g.ID)]
		u.Grants = append(u.Grants, GrantUsage{
			ID: g.ID, Relay: g.Relay, Limit: g.Limit, Used: g.used, Closing: g.phase == grantClosing,
			Issued: time.UnixMilli(g.Issued).UTC(), NotAfter: time.UnixMilli(g.NotAfter).UTC(),
		})
	}
	slices.SortFunc(u.Grants, func(x, y GrantUsage) int {
		return cmp.Or(y.Issued.Compare(x.Issued), slices.Compare(x.ID[:], y.ID[:]))
	})
	u.Grants = u.Grants[:min(len(u.Grants), shownGrants)]
	total, days, err := b.store.usage(ctx, partnerAccount(p.id))
	u.Up, u.Down, u.Charged, u.Days = total.Up, total.Down, total.Micro, days
	return u, err
}

// Invite makes a code with which an owner registers one edge, once, within a week. The book keeps a hash only.
func (b *Book) Invite(ctx context.Context) (Invite, error) {
	var code [codeBytes]byte
	rand.Read(code[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.state.invites) >= maxInvites {
		return Invite{}, wire.Errorf(wire.PartnerLimit, "too many codes are waiting to be redeemed")
	}
	expires := b.cfg.Clock().Add(inviteLife)
	err := b.decideLocked(ctx, &inviteEvent{Code: sha256.Sum256(code[:]), Expires: expires.UnixMilli()})
	if err != nil {
		return Invite{}, err
	}
	return Invite{Code: formatCode(code), Expires: expires.UTC().Truncate(time.Millisecond)}, nil
}

// RedeemConsent registers an edge with an owner's code and the hash of the terms the owner agreed to.
func (b *Book) RedeemConsent(ctx context.Context, text string, edge identity.ID, consent Hash) error {
	code, ok := parseCode(text)
	if !ok {
		return errBadCode
	}
	if !b.acceptsConsent(consent) {
		return wire.Errorf(wire.NoConsent, "these are not the terms of today")
	}
	return b.decide(ctx, &consentEvent{Code: sha256.Sum256(code[:]), Edge: edge, Consent: consent})
}

// acceptsConsent: a network that names no terms takes any.
func (b *Book) acceptsConsent(consent Hash) bool {
	return len(b.cfg.Consents) == 0 || slices.Contains(b.cfg.Consents, consent)
}

// AdmitRelay lets a relay in, or changes what the directory says about it. An empty field leaves what is known.
func (b *Book) AdmitRelay(ctx context.Context, info RelayInfo) error {
	if info.ID.IsZero() {
		return wire.Errorf(wire.BadRequest, "a relay needs an identity")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.admitLocked(ctx, info)
}

func (b *Book) admitLocked(ctx context.Context, info RelayInfo) error {
	for _, place := range []string{info.Proxy, info.Tunnel} {
		if _, _, err := net.SplitHostPort(place); place != "" && err != nil || len(place) > maxPlace {
			return wire.Errorf(wire.BadRequest, "an address of a relay is not host:port")
		}
	}
	if len(info.Region) > wire.MaxRegion {
		return wire.Errorf(wire.BadRequest, "a region has at most %d bytes", wire.MaxRegion)
	}
	if known := b.state.relays[info.ID]; known != nil {
		info.Proxy = cmp.Or(info.Proxy, known.Proxy)
		info.Tunnel = cmp.Or(info.Tunnel, known.Tunnel)
		info.Region = cmp.Or(info.Region, known.Region)
		if info == known.RelayInfo {
			return nil
		}
	} else if len(b.state.relays) >= maxRelays {
		return wire.Errorf(wire.BadRequest, "the network has as many relays as it may")
	}
	b.directory = SignedDirectory{} // signed anew when it is next asked for
	return b.decideLocked(ctx, &relayEvent{Relay: info})
}

// Suspend keeps an edge or a relay from opening channels, and an edge from being served by any relay. What it has
// delivered until now is still settled. An empty reason lets it back in.
func (b *Book) Suspend(ctx context.Context, peer identity.ID, reason string) error {
	if peer.IsZero() || len(reason) > maxReason {
		return wire.Errorf(wire.BadRequest, "a suspension needs a peer, and a reason of at most %d bytes", maxReason)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.directory = SignedDirectory{}
	return b.decideLocked(ctx, &suspendEvent{Peer: peer, Reason: reason})
}

// PointsOf is what the network owes an edge's owner.
func (b *Book) PointsOf(edge identity.ID) Micro {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.ledger.balances[edgeAccount(edge)]
}

// EdgeAccount is an edge's account as its owner may see it.
func (b *Book) EdgeAccount(ctx context.Context, edge identity.ID) (EdgeAccount, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := EdgeAccount{Edge: edge, Points: b.state.ledger.balances[edgeAccount(edge)]}
	if row := b.state.edges[edge]; row != nil {
		a.Registered, a.Suspended = row.consented != 0, row.suspended
	}
	total, days, err := b.store.usage(ctx, edgeAccount(edge))
	a.Bytes, a.Days = total.Up+total.Down, days
	return a, err
}

// History is what a relay may know of an edge before it trusts it with a window. The devices of one household have one
// reputation: the best of theirs, since they are one owner's. A suspension is of the one device alone.
func (b *Book) History(ctx context.Context, edge identity.ID) (History, error) {
	a, err := b.EdgeAccount(ctx, edge)
	h := History{Bytes: a.Bytes, Suspended: a.Suspended != ""}
	if err != nil || b.cfg.Kin == nil {
		return h, err
	}
	for _, id := range b.cfg.Kin(edge) {
		other, err := b.EdgeAccount(ctx, id)
		if err != nil {
			return h, err
		}
		h.Bytes = max(h.Bytes, other.Bytes)
	}
	return h, nil
}

// usage is the sum of an account's days, and the latest of them.
func (d *store) usage(ctx context.Context, a account) (total UsageDay, days []UsageDay, err error) {
	const query = "SELECT day, up, down, amount FROM usage WHERE account = ? ORDER BY day DESC"
	err = d.each(ctx, query, func(values []any) error {
		c := cells{values: values}
		day := UsageDay{Day: c.text(), Up: uint64(c.int()), Down: uint64(c.int()), Micro: Micro(c.int())}
		total.Up, total.Down, total.Micro = total.Up+day.Up, total.Down+day.Down, total.Micro+day.Micro
		if len(days) < shownDays {
			days = append(days, day)
		}
		return c.err
	}, a.String())
	return total, days, err
}

// newKey draws a partner's key: letters and digits only, so that it needs no escaping in a header, a URL or a shell.
func newKey() string {
	var secret [keyBytes]byte
	rand.Read(secret[:])
	return keyPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(secret[:]))
}

func keyHash(key string) Hash { return sha256.Sum256([]byte(key)) }

// validName is what a journal may hold: names were given before some of them had a meaning at the door. A name is a user name in a proxy URL, a metric label and a word in a shell.
func validName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
