package relay

import (
	"crypto/sha256"
	"maps"
	"net/netip"
	"sync"
	"time"

	"sward/internal/wire"
)

const (
	// freePerName is how many wrong keys a name may be tried with from one source before there is a pause, freePerSource
	// how many a source may try in all: a misconfigured client behind a company's address must not shut the whole company
	// out at once.
	freePerName   = 5
	freePerSource = 50
	// firstPause doubles with every further wrong key, up to longestPause.
	firstPause   = time.Second
	longestPause = 15 * time.Minute
	// guessMemory is how long a source must be quiet to be forgiven.
	guessMemory = 15 * time.Minute
	// maxGuesses bounds each of the two tables, at some 150 bytes an entry.
	maxGuesses = 8192
)

// guesses slow down who tries keys. They are counted by source, and by name and source, never by name alone: a count by
// name would let anybody lock a partner out by guessing at its name, from anywhere. The price is that a thousand sources
// have a thousand times as many tries; a key is 160 random bits, so that is no way in, only noise, which this bounds.
//
// A source is an IPv4 address or an IPv6 /64, which one customer has all of. While a pause lasts no key is looked at, the
// right one neither: to hear it would tell a guess from the key. But while a source is paused for the many names it tries,
// a name and key that this relay has confirmed before are heard, so that a guesser does not shut out its neighbours.
type guesses struct {
	mu      sync.Mutex
	sources map[netip.Prefix]*tries
	names   map[nameAt]*tries
	swept   sweep
}

type nameAt struct {
	name   [sha256.Size]byte // a hash: what is typed into a name field by mistake may be a key
	source netip.Prefix
}

type tries struct {
	wrong int
	last  time.Time
	until time.Time // paused
}

func newGuesses() *guesses {
	return &guesses{sources: map[netip.Prefix]*tries{}, names: map[nameAt]*tries{}}
}

// check refuses a source that has to wait, before its key is looked at. known is a name and key that were confirmed.
func (g *guesses) check(name string, from netip.Addr, known bool, now time.Time) error {
	source := sourceOf(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sources[source] == nil {
		return nil // nothing wrong has come from there
	}
	until := time.Time{}
	if t := g.names[nameAt{sha256.Sum256([]byte(name)), source}]; t != nil {
		until = t.until
	}
	if t := g.sources[source]; !known && t.until.After(until) {
		until = t.until
	}
	if wait := until.Sub(now); wait > 0 {
		return later(wire.TooManyAttempts, wait, "too many wrong names or keys came from this address")
	}
	return nil
}

// wrong notes a wrong name or key: which of the two it was makes no difference.
func (g *guesses) wrong(name string, from netip.Addr, now time.Time) {
	source := sourceOf(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	if full := max(len(g.sources), len(g.names)) >= maxGuesses; full && g.swept.due(now) {
		over := func(t *tries) bool { return now.Sub(t.last) > guessMemory && now.After(t.until) }
		maps.DeleteFunc(g.sources, func(_ netip.Prefix, t *tries) bool { return over(t) })
		maps.DeleteFunc(g.names, func(_ nameAt, t *tries) bool { return over(t) })
	}
	note(g.sources, source, freePerSource, now)
	note(g.names, nameAt{sha256.Sum256([]byte(name)), source}, freePerName, now)
}

// right forgives a name at a source. The source goes on being watched: who has one key may guess at others.
func (g *guesses) right(name string, from netip.Addr) {
	source := sourceOf(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sources[source] != nil {
		delete(g.names, nameAt{sha256.Sum256([]byte(name)), source})
	}
}

func note[K comparable](all map[K]*tries, key K, free int, now time.Time) {
	t := all[key]
	if t == nil {
		t = &tries{}
		for k := range all {
			if len(all) < maxGuesses {
				break
			}
			delete(all, k) // any one: who is forgotten early has a few tries more
		}
		all[key] = t
	}
	if now.Sub(t.last) > guessMemory {
		t.wrong = 0
	}
	t.wrong++
	t.last = now
	if over := t.wrong - free; over > 0 {
		t.until = now.Add(min(firstPause<<min(over-1, 20), longestPause))
	}
}

// sourceOf is what one customer of a network has: an IPv4 address, an IPv6 /64.
func sourceOf(a netip.Addr) netip.Prefix {
	if a = a.Unmap(); a.Is4() {
		return netip.PrefixFrom(a, 32)
	}
	return netip.PrefixFrom(a, 64).Masked()
}
