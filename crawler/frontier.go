package crawler

import (
	"context"
	"fmt"
	"time"
)

// Kinds of address. Numbers are stored.
const (
	kindPage    = 0
	_           = 1 // robots.txt, before a lease looked at it in front of its pages
	kindSitemap = 2
)

// States of an address. Numbers are stored; urlQueued is also in the index of schema.sql.
const (
	urlQueued  = 0
	urlDone    = 1
	urlFailed  = 2
	urlSkipped = 3 // it turned out to be a page already delivered, or nobody waits for it any more
	urlListed  = 4 // of a Map: the address is the result, and is not fetched
)

const (
	maxBatch     = 30                     // addresses of one lease: with every one at link.MaxURL they still fit one frame
	maxLease     = 30 * time.Second       // of waiting between requests in one batch, so that other jobs get their turn
	lookahead    = 16                     // domains looked at beyond those leased, in one reading of the table
	hostsLook    = 8                      // hosts of one domain, likewise
	limitedPause = 250 * time.Millisecond // before looking again at a host whose jobs have all they may have in flight
	idleLook     = 30 * time.Second       // longest sleep of the scheduler: a bound on what a lost signal costs
)

// item is one address of a lease.
type item struct {
	id      int64
	kind    int
	url     string
	depth   int
	attempt int
	avoid   []string
	known   *remembered // what an earlier fetch left; nil: nothing, or it was not looked up
}

// lease is the right to fetch from one host, alone in its domain over the whole network, until it is given back. It is
// kept in memory only: when the process dies all hosts are free and all their addresses still queued.
type lease struct {
	host       string
	domain     string
	job        *job
	scope      *scope
	items      []item
	out        []int64       // addresses that were leased, of which some need not be fetched
	pages      int           // items that count against the job's quota
	delay      time.Duration // between requests
	crawlDelay time.Duration // of the host's robots.txt, as far as known
	pace       time.Duration // between requests, as its answers' times ask for
	strain     int           // how many times the delay is doubled
	failures   int           // batches in a row in which the host could not be reached
	quiet      chan struct{} // closed when the host has been asked for all of them
	waste      int64         // bytes that crossed edges and brought the account nothing
}

// frontier hands out leases. It belongs to the scheduler's goroutine, except for what has the lock.
type frontier struct {
	store *store
	leases
}

func newFrontier(s *store) *frontier {
	return &frontier{store: s, leases: leases{domains: make(map[string]int), pages: make(map[int64]int), out: make(map[int64]bool)}}
}

// next leases a host of the domain that has been due longest, or tells for how long there is nothing to do.
func (f *frontier) next(ctx context.Context, c Config, jobs *jobTable) (*lease, time.Duration, error) {
	now := c.Clock()
	busy := f.busy(c.LeasesPerHost) // before the rows are read: a host given back in between has newer rows than these
	queue, err := f.due(ctx, len(busy)+lookahead)
	if err != nil {
		return nil, 0, err
	}
	pause := idleLook
	if len(queue) == len(busy)+lookahead {
		pause = 0 // there are more than were looked at
	}
	var idle []nap
	for _, d := range queue {
		if busy[d.domain] {
			continue // its release looks again
		}
		if wait := d.wake.Sub(now); wait > 0 {
			pause = min(idleLook, wait) // the rest is due even later
			break
		}
		l, looked, err := f.within(ctx, d.domain, c, jobs, now)
		if err != nil {
			return nil, 0, err
		}
		if l != nil {
			if len(looked) > 0 {
				idle = append(idle, nap{d.domain, looked})
			}
			f.take(l)
			return l, 0, f.sleep(idle, now)
		}
		idle = append(idle, nap{d.domain, looked})
	}
	if len(idle) > 0 {
		pause = 0 // the next look finds when they are due
	}
	return nil, pause, f.sleep(idle, now)
}

// nap is hosts of a domain that had nothing to lease.
type nap struct {
	domain string
	hosts  []string
}

// sleep moves what had nothing to lease out of the way of those that have.
func (f *frontier) sleep(idle []nap, now time.Time) error {
	if len(idle) == 0 {
		return nil
	}
	return f.store.update(func(tx *tx) error {
		for _, n := range idle {
			for _, host := range n.hosts {
				if err := tx.sleepHost(host, now); err != nil {
					return err
				}
			}
			if err := tx.wakeDomain(n.domain); err != nil {
				return err
			}
		}
		return nil
	})
}

type dueDomain struct {
	domain string
	wake   time.Time
}

// due lists the domains that have something queued, in the order in which they may be asked.
func (f *frontier) due(ctx context.Context, n int) ([]dueDomain, error) {
	rows, err := f.store.rows(ctx, "SELECT domain, wake_at FROM domains WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT ?", n)
	if err != nil {
		return nil, fmt.Errorf("read frontier: %w", err)
	}
	defer rows.Close()
	var list []dueDomain
	for rows.Next() {
		var d dueDomain
		var wake int64
		if err := rows.Scan(&d.domain, &wake); err != nil {
			return nil, fmt.Errorf("read frontier: %w", err)
		}
		d.wake = time.UnixMilli(wake)
		list = append(list, d)
	}
	return list, rows.Err()
}

// within leases the host of a domain that has been due longest, and names those before it that had nothing.
func (f *frontier) within(ctx context.Context, domain string, c Config, jobs *jobTable, now time.Time) (*lease, []string, error) {
	hosts, last, err := f.dueHosts(ctx, domain, now)
	if err != nil {
		return nil, nil, err
	}
	var idle []string
	for i, l := range hosts {
		l.delay = l.spacing(c)
		if err := f.fill(ctx, l, last[i], c, jobs, now); err != nil {
			return nil, nil, err
		}
		if len(l.items) > 0 {
			return l, idle, nil
		}
		idle = append(idle, l.host)
	}
	return nil, idle, nil
}

// dueHosts are empty leases of a domain's hosts, and the jobs that had the last turn on them.
func (f *frontier) dueHosts(ctx context.Context, domain string, now time.Time) (leases []*lease, last []int64, err error) {
	rows, err := f.store.rows(ctx, `SELECT host, delay, pace, strain, failures, last_job FROM hosts
		WHERE domain = ? AND wake_at <= ? ORDER BY wake_at LIMIT ?`, domain, now.UnixMilli(), hostsLook)
	if err != nil {
		return nil, nil, fmt.Errorf("read frontier: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		l := &lease{domain: domain}
		var delay, pace, job int64
		if err := rows.Scan(&l.host, &delay, &pace, &l.strain, &l.failures, &job); err != nil {
			return nil, nil, fmt.Errorf("read frontier: %w", err)
		}
		l.crawlDelay, l.pace = time.Duration(delay)*time.Millisecond, time.Duration(pace)*time.Millisecond
		leases, last = append(leases, l), append(last, job)
	}
	return leases, last, rows.Err()
}
