package crawler

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"sward/crawler/fetch"
	"sward/crawler/rights"
	"sward/crawler/text"
)

// How long a card counts, and how much is kept of it.
const (
	cardLife    = 24 * time.Hour   // of robots.txt (RFC 9309 §2.4), and of a form of it that is no longer seen
	cardKeep    = 30 * cardLife    // of the last word of a site that does not answer
	cardRetry   = 10 * time.Minute // after a look that the site did not answer
	maxLooks    = 3                // at one origin in a card's life, where an edge contradicts it
	maxCards    = 4096             // in memory
	maxVariants = 8                // forms of one file
	maxAITxt    = 1024             // bytes of an ai.txt that a document repeats
	maxLicences = 4                // RSL documents that one robots.txt names
)

// Files of an origin. Numbers are stored.
const (
	fileRobots  = 1
	fileTDM     = 2
	fileAI      = 3
	fileLicence = 4
)

// A card is what the hub knows of one origin. It does not change: a new look makes another.
type card struct {
	origin   string
	fresh    time.Time // until then nobody looks again
	looks    int
	lookers  []string // edges through which it was looked
	robots   []*fetch.Robots
	files    rights.Files
	sitemaps []string
	licensed map[string]time.Time // until when each RSL document was good when the card was made
}

// denies tests an address against every robots.txt of the origin that was seen in a day; a site that shows each reader
// another one is taken at its strictest (J09).
func (c *card) denies(agent string, at *url.URL) (rule string, denied bool) {
	if c == nil {
		return "", false
	}
	for _, r := range c.robots {
		if v := r.Test(agent, at.RequestURI()); !v.Allowed {
			return v.Rule, true
		}
	}
	return "", false
}

// terms are the origin's files for rights.Read, nil where none are known.
func (c *card) terms() *rights.Files {
	if c == nil {
		return nil
	}
	return &c.files
}

// sites keeps the cards.
type sites struct {
	store *store
	agent string
	now   func() time.Time

	mu      sync.Mutex
	cards   map[string]*card
	changes int                      // to what is stored: a card that was read across one is not kept
	looking map[string]chan struct{} // closed when the look at this origin has ended
}

func newSites(s *store, c Config) *sites {
	return &sites{store: s, agent: c.Agent, now: c.Clock, cards: map[string]*card{}, looking: map[string]chan struct{}{}}
}

// originOf is the key of a card.
func originOf(u *url.URL) string { return u.Scheme + "://" + u.Host }

// card returns what is known of an origin, nil if nobody has looked, and whether somebody should look (again).
func (s *sites) card(ctx context.Context, origin string) (known *card, stale bool, err error) {
	s.mu.Lock()
	known = s.cards[origin]
	s.mu.Unlock()
	if known == nil {
		if known, err = s.load(ctx, origin); err != nil {
			return nil, false, err
		}
	}
	return known, known == nil || !s.now().Before(known.fresh), nil
}

// begin asks for the right to look at an origin. Whoever does not get it may wait for the other's look to end.
func (s *sites) begin(origin string) (mine bool, ended <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.looking[origin]; other != nil {
		return false, other
	}
	s.looking[origin] = make(chan struct{})
	return true, nil
}

func (s *sites) end(origin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.looking[origin])
	delete(s.looking, origin)
}

// siteFile is a file as one look found it. One without a body is not there: the site said so.
type siteFile struct {
	origin string
	kind   int
	body   []byte
}

// note stores what a look found. answered says that the site said something of its robots.txt: then the card is good for a
// day; otherwise somebody looks again soon. A form that was not seen for a day gives way to the site's new word on that file,
// and to nothing else: a site that does not answer has taken nothing back.
func (s *sites) note(origin, edge string, answered bool, found []siteFile) error {
	now := s.now()
	next := now.Add(cardRetry)
	if answered {
		next = now.Add(cardLife)
	}
	err := s.store.update(func(t *tx) error {
		old := now.Add(-cardKeep).UnixMilli()
		for _, expire := range []string{"DELETE FROM sites WHERE seen_at < ?", "DELETE FROM site_files WHERE seen_at < ?"} {
			if _, err := t.do(expire, old); err != nil {
				return err
			}
		}
		var looks int
		var lookers string
		var due int64
		err := t.query("SELECT looks, lookers, next_at FROM sites WHERE origin = ?", origin).Scan(&looks, &lookers, &due)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if due <= now.UnixMilli() { // a new card
			looks, lookers = 0, ""
		}
		if edge != "" && len(strings.Fields(lookers)) < maxAvoid {
			lookers += " " + edge
		}
		_, err = t.do(`INSERT INTO sites (origin, seen_at, next_at, looks, lookers) VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin)
			DO UPDATE SET seen_at = excluded.seen_at, next_at = excluded.next_at, looks = excluded.looks, lookers = excluded.lookers`,
			origin, now.UnixMilli(), next.UnixMilli(), looks+1, lookers)
		if err != nil {
			return err
		}
		for _, f := range found {
			_, err := t.do("DELETE FROM site_files WHERE origin = ? AND kind = ? AND seen_at < ?", f.origin, f.kind, now.Add(-cardLife).UnixMilli())
			if err != nil {
				return err
			}
			if len(f.body) == 0 {
				continue
			}
			sum := sha256.Sum256(f.body)
			if _, err := t.do(`INSERT INTO site_files (origin, kind, digest, seen_at, body) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (origin, kind, digest) DO UPDATE SET seen_at = excluded.seen_at`,
				f.origin, f.kind, sum[:], now.UnixMilli(), pack(f.body)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what a site says: %w", err)
	}
	s.forget(origin)
	return nil
}

// forget drops a card from memory: the next reader makes the new one.
func (s *sites) forget(origin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cards, origin)
	s.changes++
}

// load makes a card of what is stored, nil if nothing is.
func (s *sites) load(ctx context.Context, origin string) (*card, error) {
	c := &card{origin: origin, files: rights.Files{Origin: origin}, licensed: map[string]time.Time{}}
	s.mu.Lock()
	changes := s.changes
	s.mu.Unlock()
	var fresh int64
	var lookers string
	err := s.store.row(ctx, "SELECT next_at, looks, lookers FROM sites WHERE origin = ? AND seen_at >= ?",
		origin, s.now().Add(-2*cardLife).UnixMilli()).Scan(&fresh, &c.looks, &lookers)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the card of a site: %w", err)
	}
	c.fresh, c.lookers = time.UnixMilli(fresh), strings.Fields(lookers)
	bodies, err := s.bodies(ctx, origin)
	if err != nil {
		return nil, err
	}
	for _, f := range bodies {
		c.add(f, s.agent)
	}
	for _, at := range c.licences(s.agent) {
		licence, _, err := s.card(ctx, at)
		if err != nil {
			return nil, err
		}
		if licence != nil {
			c.licensed[at] = licence.fresh
		}
		bodies, err := s.bodies(ctx, at)
		if err != nil {
			return nil, err
		}
		for _, f := range bodies {
			if l, err := rights.ParseRSL(at, f.body); err == nil {
				c.files.Licences = append(c.files.Licences, l)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes != changes {
		return c, nil
	}
	for other := range s.cards {
		if len(s.cards) < maxCards {
			break
		}
		delete(s.cards, other)
	}
	s.cards[origin] = c
	return c, nil
}

func (s *sites) bodies(ctx context.Context, origin string) ([]siteFile, error) {
	rows, err := s.store.rows(ctx, "SELECT kind, body FROM site_files WHERE origin = ? ORDER BY seen_at DESC LIMIT ?", origin, 3*maxVariants)
	if err != nil {
		return nil, fmt.Errorf("read the files of a site: %w", err)
	}
	defer rows.Close()
	var list []siteFile
	for rows.Next() {
		f := siteFile{origin: origin}
		if err := rows.Scan(&f.kind, &f.body); err != nil {
			return nil, fmt.Errorf("read the files of a site: %w", err)
		}
		if f.body, err = unpack(f.body); err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, rows.Err()
}

// add puts one form of a file on the card.
func (c *card) add(f siteFile, agent string) {
	switch f.kind {
	case fileRobots:
		r := fetch.Parse(f.body)
		c.robots = append(c.robots, r)
		c.files.Robots = append(c.files.Robots, r.Signals(agent))
		for _, at := range r.Sitemaps {
			if !slices.Contains(c.sitemaps, at) {
				c.sitemaps = append(c.sitemaps, at)
			}
		}
	case fileTDM:
		if rules, err := rights.ParseTDM(f.body); err == nil {
			c.files.TDM = append(c.files.TDM, rules)
		}
	case fileAI:
		if c.files.AITxt == "" {
			c.files.AITxt = text.Line(string(f.body[:min(len(f.body), maxAITxt)]), maxAITxt)
		}
	}
}

// licences are the addresses of the RSL documents that the origin's robots.txt names.
func (c *card) licences(agent string) (list []string) {
	base, err := url.Parse(c.origin + "/robots.txt")
	if err != nil {
		return nil
	}
	for _, r := range c.robots {
		for _, line := range r.Signals(agent) {
			key, value, _ := strings.Cut(line, ":")
			if !strings.EqualFold(strings.TrimSpace(key), "license") || len(list) >= maxLicences {
				continue
			}
			at, err := base.Parse(strings.TrimSpace(value))
			if err == nil && reachable(at) == nil && !slices.Contains(list, at.String()) {
				list = append(list, at.String())
			}
		}
	}
	return list
}
