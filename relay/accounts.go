package relay

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sward/internal/wire"
)

const (
	// accountLife is how long a confirmed name and key are trusted without asking the hub again: the ten minutes that a
	// hub may be away without stopping a running partner.
	accountLife = 10 * time.Minute
	// refusalLife is how long a refused name and key are refused without asking again, so that a client with a wrong
	// key in a loop costs the hub one question.
	refusalLife = 5 * time.Second
	// maxAccounts bounds the partners that are remembered, maxStrangers the names and keys that were never confirmed.
	maxAccounts  = 4096
	maxStrangers = 1024
)

// pair is a hash of a name and a key.
type pair [sha256.Size]byte

// account is one name and key as a partner presented them, with what the hub said of it.
type account struct {
	at     pair
	stands atomic.Pointer[standing] // nil until it was confirmed

	mu      sync.Mutex // held while the hub is asked: one partner never asks twice at once
	checked time.Time
	refused error
	grant   *grant
}

// accounts caches what the hub said, by name and key: a wrong key is another entry, never a hit. Who guesses at the door
// pushes out other guesses and no partner: a partner that is forgotten has its balance reserved a second time.
type accounts struct {
	mu        sync.Mutex
	partners  map[pair]*account
	strangers map[pair]*account
}

func newAccounts() *accounts {
	return &accounts{partners: map[pair]*account{}, strangers: map[pair]*account{}}
}

// find returns the entry of a name and key. known says that they have been confirmed, however long ago.
func (a *accounts) find(name, key string) (found *account, known bool) {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{0}) // a name holds no NUL, so no two pairs share a hash
	h.Write([]byte(key))
	at := pair(h.Sum(nil))
	a.mu.Lock()
	defer a.mu.Unlock()
	if found, ok := a.partners[at]; ok {
		return found, true
	}
	if found, ok := a.strangers[at]; ok {
		return found, false
	}
	makeRoom(a.strangers, maxStrangers)
	made := &account{at: at}
	a.strangers[at] = made
	return made, false
}

// confirm remembers one among the partners.
func (a *accounts) confirm(found *account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.strangers, found.at)
	if a.partners[found.at] == nil {
		makeRoom(a.partners, maxAccounts)
	}
	a.partners[found.at] = found
}

// makeRoom drops any one entry of a full table: a wrongly dropped one costs a question to the hub.
func makeRoom(table map[pair]*account, most int) {
	if len(table) < most {
		return
	}
	for at := range table {
		delete(table, at)
		return
	}
}

// authorise confirms a partner, from the cache while that is fresh, and has a grant ready for its next stream. Who has
// tried too many wrong keys waits first.
func (r *Relay) authorise(ctx context.Context, name, key string, from netip.Addr) (*account, error) {
	a, known := r.accounts.find(name, key)
	if err := r.limits.guesses.check(name, from, known, r.cfg.Clock()); err != nil {
		return nil, err
	}
	err := r.confirm(ctx, a, name, key)
	switch wire.CodeOf(err) {
	case wire.OK:
		r.limits.guesses.right(name, from)
		return a, nil
	case wire.AuthFailed:
		r.limits.guesses.wrong(name, from, r.cfg.Clock())
	}
	return nil, err
}

// confirm asks the hub, where the cache does not know.
func (r *Relay) confirm(ctx context.Context, a *account, name, key string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := r.cfg.Clock()
	if a.refused != nil && now.Sub(a.checked) < refusalLife {
		return a.refused
	}
	usable := a.grant != nil && a.grant.usable(now)
	if usable && now.Sub(a.checked) < accountLife {
		return nil
	}
	allowed, err := r.cfg.Hub.Authorise(ctx, name, key, firstGrant)
	if err == nil {
		err = r.checkGrant(allowed.SignedGrant)
	}
	switch wire.CodeOf(err) {
	case wire.HubAway:
		if usable {
			return nil // what was granted stays good while it lasts
		}
		return err
	case wire.BalanceExhausted, wire.PartnerCap:
		if usable { // name and key are right, and the rest of the balance or of the day is in this very grant
			if wire.CodeOf(err) == wire.BalanceExhausted {
				a.standing().exhausted()
			}
			a.checked, a.refused = now, nil
			return nil
		}
	}
	a.checked, a.refused = now, err
	if err != nil {
		return err
	}
	a.stands.Store(r.limits.standings.update(allowed.Terms, now))
	a.grant = r.adopt(allowed.SignedGrant)
	a.grant.of(allowed.Account)
	r.accounts.confirm(a)
	return nil
}

func (a *account) current() *grant {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.grant
}

// standing is how the account stands; only a confirmed one is asked.
func (a *account) standing() *standing { return a.stands.Load() }

// LowBalance is how many bytes the account can still pay for, when it is time to say so: what the hub said last, and what
// is left of the grant here. What other relays have used since is not in it.
func (a *account) LowBalance() (bytes uint64, low bool) {
	left, threshold := a.standing().balance()
	if g := a.current(); g != nil {
		left += g.rest()
	}
	return left, left < threshold
}
