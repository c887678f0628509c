package crawler

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sward/crawler/link"
)

// Bounds on what pages and sitemaps may add to a job (attack J05: a site that invents addresses).
const (
	maxPerDocument = 10_000 // new addresses taken from one page or sitemap
	maxQueueFactor = 20     // addresses queued for each document asked for …
	minQueue       = 1000   // … and at least this many
)

// A lead is an address on its way into the frontier.
// sameness is how much may differ between two addresses of one page of the job.
func (o Order) sameness() link.Sameness {
	return link.Sameness{IgnoreQuery: o.IgnoreQueryParameters, Similar: o.similarAreSame()}
}

// pageKey is what makes two addresses one page for a job. The kind is part of it: a sitemap that is also linked is also
// a page.
func pageKey(address string, kind int, o Order) []byte {
	if kind == kindPage {
		address = link.Identity(address, o.sameness())
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", kind, address))
	return sum[:16] // 128 bits: addresses of one job never meet by chance
}

type lead struct {
	kind  int
	url   string
	host  string
	key   []byte
	depth int
	shape string  // if a program could fill it in without end
	worth float64 // from -1 to 1, as its site says; 0: it does not
}

func newLead(address string, kind, depth int, o Order) (lead, error) {
	host, err := link.HostOf(address)
	if err != nil {
		return lead{}, err
	}
	return lead{kind: kind, url: address, host: host, key: pageKey(address, kind, o), depth: depth}, nil
}

// listed are the leads to addresses that a partner names.
func listed(addresses []string, o Order) ([]lead, error) {
	leads := make([]lead, 0, len(addresses))
	for _, address := range addresses {
		l, err := newLead(address, kindPage, 0, o)
		if err != nil {
			return nil, err
		}
		leads = append(leads, l)
	}
	return leads, nil
}

// discover queues addresses that the job does not have yet and returns how many those were. j's
// counters follow.
func (t *tx) discover(j *job, links []lead, via int64, now time.Time) (int, error) {
	bound := max(minQueue, maxQueueFactor*j.quota)
	if via != 0 { // what a partner names is no trap
		var err error
		if links, err = t.withoutTraps(j, links, now); err != nil {
			return 0, err
		}
	}
	added := make(map[[2]string]int) // new addresses by host and shape
	all := 0
	for len(links) > 0 {
		room := bound - j.discovered
		if j.kind == Map {
			room = min(room, j.quota-j.completed)
		}
		n := min(len(links), maxRows, room)
		if n <= 0 {
			break
		}
		for _, size := range rowSizes {
			if n >= size {
				n = size
				break
			}
		}
		chunk := links[:n]
		links = links[n:]
		fresh, err := t.queue(j, chunk, via)
		if err != nil {
			return 0, err
		}
		for _, l := range fresh {
			added[[2]string{l.host, everyShape}]++
			if l.shape != "" {
				added[[2]string{l.host, l.shape}]++
			}
		}
		all += len(fresh)
	}
	for at, n := range added {
		host, shape := at[0], at[1]
		if err := t.count(j.id, host, shape, n); err != nil {
			return 0, err
		}
		if shape == everyShape {
			if err := t.wakeHost(host, now.UnixMilli()); err != nil {
				return 0, err
			}
		}
	}
	return all, nil
}

// Rows go into the table by the dozen, because each statement costs a round trip to a database server. The sizes are few,
// so that statements are prepared once.
const maxRows = 32

var rowSizes = []int{maxRows, 8, 1}

// queue adds one chunk, whose length is one of rowSizes, and returns what was new. What was not is worth more by one link.
func (t *tx) queue(j *job, chunk []lead, via int64) ([]lead, error) {
	args := make([]any, 0, 9*len(chunk))
	for _, l := range chunk {
		args = append(args, j.id, l.key, l.kind, l.url, l.host, l.depth, via, j.stateOf(l, via), l.rank())
	}
	known := make(map[string]lead, len(chunk))
	for _, l := range chunk {
		if _, twice := known[string(l.key)]; !twice {
			known[string(l.key)] = l
		}
	}
	keys, err := t.keys(`INSERT INTO urls (job, key, kind, url, host, depth, via, state, ready_at) VALUES `+
		repeat("(?, ?, ?, ?, ?, ?, ?, ?, ?)", len(chunk))+` ON CONFLICT (job, key) DO NOTHING RETURNING key`, args...)
	if err != nil {
		return nil, err
	}
	fresh := make([]lead, 0, len(keys))
	for _, key := range keys {
		fresh = append(fresh, known[key])
		delete(known, key)
	}
	if err := t.raise(j, slices.Sorted(maps.Keys(known)), len(chunk)); err != nil {
		return nil, err
	}
	return fresh, t.counted(j, fresh, via)
}

// keys runs a query for keys.
func (t *tx) keys(query string, args ...any) (list []string, err error) {
	rows, err := t.list(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		list = append(list, string(key))
	}
	return list, rows.Err()
}

// stateOf is what an address of a job begins as.
func (j *job) stateOf(l lead, via int64) int {
	if j.kind == Map && l.kind == kindPage && via != 0 {
		return urlListed
	}
	return urlQueued
}

// counted adds new addresses to their job's counters.
func (t *tx) counted(j *job, fresh []lead, via int64) error {
	pages, seeds, found := 0, 0, 0
	for _, l := range fresh {
		switch {
		case j.stateOf(l, via) == urlListed:
			found++
		case l.kind == kindPage:
			pages++
		default:
			seeds++
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	_, err := t.do("UPDATE jobs SET discovered = discovered + ?, pages = pages + ?, seeds = seeds + ?, completed = completed + ? WHERE id = ?",
		len(fresh), pages, seeds, found, j.id)
	j.discovered += len(fresh)
	j.completed += found
	return err
}

// repeat is a list of n times the same in SQL.
func repeat(what string, n int) string { return strings.Repeat(what+", ", n-1) + what }
