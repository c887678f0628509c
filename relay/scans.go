package relay

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
	"sward/policy"
)

const (
	// scanWindow is how far back a scan is looked for, scanBytes what a connection must have carried to be none, and
	// scanPause how long the account is kept off the edge.
	scanWindow = 10 * time.Second
	scanBytes  = 1 << 10
	scanPause  = time.Minute
	// maxScans bounds the pairs of an account and an edge that are watched, at some 8 KiB each in the worst case.
	maxScans = 16384
)

// scans find port scans: an account that tries one host and port after the other through one edge, and does next to
// nothing with any of them. The owner of that line would be taken for the one who scans. A scan is kept off the edge that
// it has shown itself on; it shows itself on each edge again.
//
// What is seen: hosts, ports, and bytes. A scan that carries a kibibyte over each connection, or spreads over so many edges
// that each sees less than the limit, is not seen here; the account's own rate is its bound.
type scans struct {
	pairs int // allowed in the window; negative: any number
	seed  maphash.Seed

	mu    sync.Mutex
	all   map[scanKey]*scan
	swept sweep
}

type scanKey struct {
	account accounting.AccountTag
	edge    identity.ID
}

type scan struct {
	tried map[uint64]time.Time // by a hash of host and port: names are not kept
	until time.Time            // refused
}

func newScans(pairs int) *scans {
	return &scans{pairs: pairs, seed: maphash.MakeSeed(), all: map[scanKey]*scan{}}
}

// check notes that an account tries target through e. tripped is true once, when it has tried too many.
func (s *scans) check(account accounting.AccountTag, e *edge, target policy.Target, now time.Time) (tripped bool, err error) {
	if s.pairs < 0 {
		return false, nil
	}
	key := scanKey{account, e.id}
	s.mu.Lock()
	found := s.find(key, now)
	if now.Before(found.until) {
		defer s.mu.Unlock()
		return false, later(wire.ScanLimit, found.until.Sub(now), "the account tried too many hosts and ports through one edge")
	}
	found.tried[s.hash(target)] = now
	if len(found.tried) <= s.pairs {
		s.mu.Unlock()
		return false, nil
	}
	s.mu.Unlock()

	// Those that have carried something since are no scan, though they are still open. Asked for outside the lock: seldom.
	busy := e.busyTargets(account)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range busy {
		delete(found.tried, s.hash(t))
	}
	found.prune(now)
	if len(found.tried) <= s.pairs {
		return false, nil
	}
	clear(found.tried)
	found.until = now.Add(scanPause)
	return true, later(wire.ScanLimit, scanPause, "the account tried too many hosts and ports through one edge")
}

// carried notes that a connection has ended which was worth something.
func (s *scans) carried(account accounting.AccountTag, edge identity.ID, target policy.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.all[scanKey{account, edge}]; found != nil {
		delete(found.tried, s.hash(target))
	}
}

// find returns the watch over key. Called with mu held. In a full table the idle make room, and then any one.
func (s *scans) find(key scanKey, now time.Time) *scan {
	if found := s.all[key]; found != nil {
		return found
	}
	if len(s.all) >= maxScans && s.swept.due(now) {
		maps.DeleteFunc(s.all, func(_ scanKey, old *scan) bool {
			old.prune(now)
			return len(old.tried) == 0 && !now.Before(old.until)
		})
	}
	for k := range s.all {
		if len(s.all) < maxScans {
			break
		}
		delete(s.all, k)
	}
	made := &scan{tried: map[uint64]time.Time{}}
	s.all[key] = made
	return made
}

func (s *scan) prune(now time.Time) {
	for pair, at := range s.tried {
		if now.Sub(at) > scanWindow {
			delete(s.tried, pair)
		}
	}
}

func (s *scans) hash(t policy.Target) uint64 { return maphash.String(s.seed, t.String()) }

// busyTargets are the targets of an account's open connections on e that have carried more than a knock.
func (e *edge) busyTargets(account accounting.AccountTag) (all []policy.Target) {
	for _, c := range e.watched() {
		if up, down := c.flow.Totals(); up+down >= scanBytes && c.grant.payer() == account {
			all = append(all, c.target)
		}
	}
	return all
}

// watched are the streams whose bytes are on their way to a partner's socket.
func (e *edge) watched() []*conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.live))
}
