package relay

import (
	"hash/maphash"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"sward/accounting"
	"sward/internal/wire"
	"sward/policy"
)

const (
	// shortDown is what a tunnel brings back at most to count as short: a TLS handshake is 3 to 6 KiB, a "wrong password"
	// a few more. A page is longer.
	shortDown = 16 << 10
	// maxShorts bounds the pairs of an account and a host that are watched, at some 200 bytes each.
	maxShorts = 16384
)

// shorts find the shape of passwords being tried: one account that opens tunnel after tunnel to one host, sends a form and
// gets next to nothing back. What is in a tunnel is not seen, neither method nor path nor answer, so a program that asks
// an interface for single small values looks the same; it can keep its tunnel open, which costs it nothing and is not
// held back. Who tries passwords over one open tunnel is not seen here: the site itself sees one client then.
//
// Each short tunnel takes a token when it has ended; an account that owes tokens waits.
type shorts struct {
	limit rate.Limit // negative, as burst: none
	burst int
	seed  maphash.Seed

	mu    sync.Mutex
	all   map[shortKey]*short
	swept sweep
}

type shortKey struct {
	account accounting.AccountTag
	host    uint64 // a hash: names are not kept
}

type short struct {
	rate *rate.Limiter
	told time.Time // when an event was last noted
}

func newShorts(limit float64, burst int) *shorts {
	if burst < 0 {
		limit = -1
	}
	return &shorts{limit: rate.Limit(limit), burst: burst, seed: maphash.MakeSeed(), all: map[shortKey]*short{}}
}

// check refuses an account that owes tokens for a host.
func (s *shorts) check(account accounting.AccountTag, target policy.Target, now time.Time) error {
	if s.limit < 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.all[s.key(account, target)]
	if found == nil {
		return nil
	}
	if owed := -found.rate.TokensAt(now); owed > 0 {
		wait := time.Duration(owed / float64(s.limit) * float64(time.Second))
		return later(wire.TargetLimit, wait, "the account opens many short tunnels to this host: keep one open instead")
	}
	return nil
}

// ended notes a short tunnel. It reports true when that made the account owe, once a minute at most.
func (s *shorts) ended(account accounting.AccountTag, target policy.Target, now time.Time) (tripped bool) {
	if s.limit < 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.key(account, target)
	found := s.all[key]
	if found == nil {
		s.makeRoom(now)
		found = &short{rate: rate.NewLimiter(s.limit, s.burst)}
		s.all[key] = found
	}
	found.rate.ReserveN(now, 1) // into the red, if need be
	if found.rate.TokensAt(now) >= 0 || now.Sub(found.told) < time.Minute {
		return false
	}
	found.told = now
	return true
}

// makeRoom drops those that owe nothing, and then any one. Called with mu held.
func (s *shorts) makeRoom(now time.Time) {
	if len(s.all) >= maxShorts && s.swept.due(now) {
		maps.DeleteFunc(s.all, func(_ shortKey, old *short) bool { return old.rate.TokensAt(now) >= float64(s.burst) })
	}
	for key := range s.all {
		if len(s.all) < maxShorts {
			return
		}
		delete(s.all, key)
	}
}

func (s *shorts) key(account accounting.AccountTag, target policy.Target) shortKey {
	return shortKey{account, maphash.String(s.seed, target.Host.String())}
}
