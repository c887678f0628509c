package crawler

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"sward/crawler/trust"
	"sward/internal/wire"
)

const (
	maxEdges    = 100_000             // whose standing is kept; beyond that a new edge stays new
	maxSites    = 4096                // whose disputes are kept
	edgeMemory  = 90 * 24 * time.Hour // how long an edge that is away is remembered
	pardonAfter = time.Hour           // since its last page: an edge that is offered again then was let in again
	maxOffers   = 3                   // edges declined for one lease before any will do
	saveEvery   = 5 * time.Second     // of standings in which nothing but good words is new
	unproven    = 0.5 * trust.Guilty  // what stands against a pardoned edge: one good proof suspends it again
)

// edgeBook keeps the standing of every edge: in memory for the decisions, in the store for the next process.
type edgeBook struct {
	store *store
	cfg   Config

	mu      sync.Mutex
	edges   map[string]*trust.Standing
	sites   map[string]*trust.Site
	misses  map[string]map[string]int // by edge and site: pages that others got
	missing map[int64][]string        // edges that failed an address, by its id
	doubted map[string]bool           // edges that are watched or suspended
	changed map[string]bool           // edges whose row is older than what is here
	saved   time.Time
}

func openEdgeBook(s *store, cfg Config) (*edgeBook, error) {
	b := &edgeBook{
		store: s, cfg: cfg, edges: map[string]*trust.Standing{}, sites: map[string]*trust.Site{},
		misses: map[string]map[string]int{}, missing: map[int64][]string{}, changed: map[string]bool{}, doubted: map[string]bool{},
	}
	err := s.update(func(tx *tx) error {
		_, err := tx.do("DELETE FROM edges WHERE seen_at < ? AND suspended = 0", cfg.Clock().Add(-edgeMemory).UnixMilli())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read edges: %w", err)
	}
	rows, err := s.rows(context.Background(), `SELECT edge, pages, matches, mismatches, clean, evidence, missed, seen_at, suspended
		FROM edges ORDER BY seen_at DESC LIMIT ?`, maxEdges)
	if err != nil {
		return nil, fmt.Errorf("read edges: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var edge string
		var seen, suspended int64
		var e trust.Standing
		if err := rows.Scan(&edge, &e.Pages, &e.Matches, &e.Mismatches, &e.Clean, &e.Sum, &e.Missed, &seen, &suspended); err != nil {
			return nil, fmt.Errorf("read edges: %w", err)
		}
		e.Seen, e.Suspended = time.UnixMilli(seen), suspended != 0
		b.edges[edge] = &e
		b.noteLocked(edge, &e)
	}
	return b, rows.Err()
}

// save writes what has changed. What a crash takes is good words, and strikes are written at once.
func (b *edgeBook) save() error {
	b.mu.Lock()
	b.saved = b.cfg.Clock()
	due := make(map[string]trust.Standing, len(b.changed))
	for edge := range b.changed {
		due[edge] = *b.edges[edge]
	}
	clear(b.changed)
	b.mu.Unlock()
	if len(due) == 0 {
		return nil
	}
	err := b.store.update(func(tx *tx) error {
		for edge, e := range due {
			suspended := 0
			if e.Suspended {
				suspended = 1
			}
			_, err := tx.do(`INSERT INTO edges (edge, pages, matches, mismatches, clean, evidence, missed, seen_at, suspended)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (edge) DO UPDATE SET pages = excluded.pages, matches = excluded.matches, mismatches = excluded.mismatches,
				clean = excluded.clean, evidence = excluded.evidence,
				missed = excluded.missed, seen_at = excluded.seen_at, suspended = excluded.suspended`,
				edge, e.Pages, e.Matches, e.Mismatches, e.Clean, e.Sum, e.Missed, e.Seen.UnixMilli(), suspended)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.mu.Lock()
		for edge := range due {
			b.changed[edge] = true
		}
		b.mu.Unlock()
		return fmt.Errorf("write edges: %w", err)
	}
	return nil
}

// saveSoon is save, when the last is long enough ago.
func (b *edgeBook) saveSoon() error {
	b.mu.Lock()
	soon := b.cfg.Clock().Sub(b.saved) < saveEvery
	b.mu.Unlock()
	if soon {
		return nil
	}
	return b.save()
}

// ofLocked is an edge's standing, to read or to change.
func (b *edgeBook) ofLocked(edge string) *trust.Standing {
	e := b.edges[edge]
	if e == nil {
		e = &trust.Standing{}
		if len(b.edges) < maxEdges {
			b.edges[edge] = e
		}
	}
	return e
}

func (b *edgeBook) changeLocked(edge string, do func(*trust.Standing)) {
	e := b.ofLocked(edge)
	do(e)
	e.Seen = b.cfg.Clock()
	if b.edges[edge] != nil {
		b.changed[edge] = true
		b.noteLocked(edge, e)
	}
}

func (b *edgeBook) noteLocked(edge string, e *trust.Standing) {
	if e.Doubted() {
		b.doubted[edge] = true
	} else {
		delete(b.doubted, edge)
	}
}

// doubtful lists edges that make poor witnesses: a few, if there are many.
func (b *edgeBook) doubtful() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for edge := range b.doubted {
		if list = append(list, edge); len(list) == wire.MaxAvoid/2 {
			break
		}
	}
	return list
}

func (b *edgeBook) siteLocked(site string) *trust.Site {
	s := b.sites[site]
	if s == nil {
		for other := range b.sites { // any one: a dispute that is forgotten begins anew with the next strike
			if len(b.sites) < maxSites {
				break
			}
			delete(b.sites, other)
		}
		s = &trust.Site{}
		b.sites[site] = s
	}
	return s
}

// page notes a page that an edge has attested.
func (b *edgeBook) page(edge string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changeLocked(edge, func(e *trust.Standing) { e.Pages++ })
}

// rate is the share of pages of a site that are to be checked when an edge brings them.
func (b *edgeBook) rate(edge, site string) float64 {
	if b.cfg.AuditRate < 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sites[site]; s != nil && s.Disputed(b.cfg.Clock()) {
		return 1
	}
	return b.ofLocked(edge).Rate(b.cfg.AuditRate, b.cfg.FirstPages)
}

// watched reports whether nothing of an edge is to be delivered unchecked.
func (b *edgeBook) watched(edge string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ofLocked(edge).Doubted()
}

// match notes that a page was checked and is the site's.
func (b *edgeBook) match(edge, site string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changeLocked(edge, func(e *trust.Standing) { e.Match() })
	if s := b.sites[site]; s != nil {
		s.Match(edge)
	}
}

// strike notes a page that is not the site's. It reports whether the edge is to be suspended.
func (b *edgeBook) strike(edge, site string, lease int64, weight float64) (guilty bool, err error) {
	b.mu.Lock()
	weight = b.siteLocked(site).Mismatch(edge, lease, weight, b.cfg.Clock())
	b.changeLocked(edge, func(e *trust.Standing) { guilty = e.Mismatch(weight) })
	b.mu.Unlock()
	return guilty, b.save()
}

// forged notes a page that the edge did not sign as it came. It reports whether the edge is to be suspended.
func (b *edgeBook) forged(edge string) (guilty bool, err error) {
	b.mu.Lock()
	b.changeLocked(edge, func(e *trust.Standing) { guilty = e.Forged() })
	b.mu.Unlock()
	return guilty, b.save()
}

// takes decides whether an edge that a relay offers gets this lease.
func (b *edgeBook) takes(edge string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.ofLocked(edge)
	if e.Suspended && b.cfg.Clock().Sub(e.Seen) > pardonAfter {
		// The books let it in again, or never heard of the suspension: it begins under watch.
		b.changeLocked(edge, func(e *trust.Standing) { e.Suspended, e.Sum = false, unproven })
	}
	share := e.Share()
	return share == 1 || rand.Float64() < share
}

// suspended reports whether an edge is to be given nothing.
func (b *edgeBook) suspended(edge string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ofLocked(edge).Suspended
}

// changedCanary reports whether a page is not what the operator knows it to be.
func (c *Crawler) changedCanary(a arrival) bool {
	want, known := c.cfg.Canaries[a.asked]
	return known && a.Code == wire.OK && a.Status == http.StatusOK && a.truncated() == "" && sha256.Sum256(a.Body) != want
}
