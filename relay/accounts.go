package relay

import (
	"context"
	"crypto/sha256"
	"sync"
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
	// maxAccounts bounds the cache.
	maxAccounts = 4096
)

// account is one name and key as a partner presented them, with what the hub said of it.
type account struct {
	name, key string

	mu      sync.Mutex // held while the hub is asked: one partner never asks twice at once
	checked time.Time
	refused error
	grant   *grant
}

// accounts caches what the hub said, by a hash of name and key: a wrong key is another entry, never a hit.
type accounts struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*account
}

func (a *accounts) find(name, key string) *account {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{0}) // a name holds no NUL, so no two pairs share a hash
	h.Write([]byte(key))
	at := [sha256.Size]byte(h.Sum(nil))
	a.mu.Lock()
	defer a.mu.Unlock()
	if found, ok := a.all[at]; ok {
		return found
	}
	if len(a.all) >= maxAccounts {
		for old := range a.all { // any: a wrongly evicted one costs its partner one question to the hub
			delete(a.all, old)
			break
		}
	}
	made := &account{name: name, key: key}
	a.all[at] = made
	return made
}

// authorise confirms a partner, from the cache while that is fresh, and has a grant ready for its next stream.
func (r *Relay) authorise(ctx context.Context, name, key string) (*account, error) {
	a := r.accounts.find(name, key)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := r.cfg.Clock()
	if a.refused != nil && now.Sub(a.checked) < refusalLife {
		return nil, a.refused
	}
	if a.grant != nil && a.grant.usable(now) && now.Sub(a.checked) < accountLife {
		return a, nil
	}
	signed, err := r.cfg.Hub.Authorise(ctx, name, key, firstGrant)
	if err == nil {
		err = r.checkGrant(signed)
	}
	if wire.CodeOf(err) == wire.HubAway {
		if a.grant != nil && a.grant.usable(now) {
			return a, nil // what was granted stays good while it lasts
		}
		return nil, err
	}
	a.checked, a.refused = now, err
	if err != nil {
		return nil, err
	}
	a.grant = r.adopt(signed)
	return a, nil
}

func (a *account) current() *grant {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.grant
}
