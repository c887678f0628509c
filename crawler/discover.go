package crawler

import (
	"crypto/sha256"
	"fmt"
	"sward/crawler/link"
	"time"
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
	pages, seeds, found := 0, 0, 0
	bound := max(minQueue, maxQueueFactor*j.quota)
	for _, l := range links {
		if j.discovered+pages+seeds+found >= bound {
			break
		}
		state := urlQueued
		if j.kind == Map && l.kind == kindPage && via != 0 {
			if state = urlListed; j.completed+found >= j.quota {
				continue
			}
		}
		ready := now.UnixMilli()
		if l.kind != kindPage {
			ready = 0 // what a site says of itself comes before what its pages say
		}
		n, err := t.do(`INSERT INTO urls (job, key, kind, url, host, depth, via, state, ready_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (job, key) DO NOTHING`, j.id, l.key, l.kind, l.url, l.host, l.depth, via, state, ready)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			continue
		}
		if state == urlListed {
			found++
			continue
		}
		if l.kind == kindPage {
			pages++
		} else {
			seeds++
		}
		if err := t.wakeHost(l.host, ready); err != nil {
			return 0, err
		}
	}
	all := pages + seeds + found
	if all == 0 {
		return 0, nil
	}
	_, err := t.do("UPDATE jobs SET discovered = discovered + ?, pages = pages + ?, seeds = seeds + ?, completed = completed + ? WHERE id = ?",
		all, pages, seeds, found, j.id)
	j.discovered += all
	j.completed += found
	return all, err
}
