package crawler

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kinds of address. Numbers are stored.
const (
	kindPage    = 0
	kindRobots  = 1 // robots.txt, read for its Sitemap lines; its rules are the edge's business
	kindSitemap = 2
)

// States of an address. Numbers are stored; urlQueued is also in the index of schema.sql.
const (
	urlQueued  = 0
	urlDone    = 1
	urlFailed  = 2
	urlListed  = 4 // of a Map: the address is the result, and is not fetched
	urlSkipped = 3 // it turned out to be a page already delivered, or nobody waits for it any more
)

const (
	maxBatch     = 30                     // addresses of one lease: with every one at link.MaxURL they still fit one frame
	maxLease     = 30 * time.Second       // of waiting between requests in one batch, so that other jobs get their turn
	lookahead    = 16                     // hosts looked at beyond those leased, in one reading of the table
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

// lease is the right to fetch from one host, over the whole network, until it is given back. It is
// kept in memory only: when the process dies all hosts are free and all their addresses still queued.
type lease struct {
	host       string
	job        *job
	scope      *scope
	items      []item
	pages      int           // items that count against the job's quota
	delay      time.Duration // between requests
	crawlDelay time.Duration // of the host's robots.txt, as far as known
	failures   int           // batches in a row in which the host could not be reached
}

// frontier hands out leases. It belongs to the scheduler's goroutine, except for what has the lock.
type frontier struct {
	store *store
	leases
}

func newFrontier(s *store) *frontier {
	return &frontier{store: s, leases: leases{hosts: make(map[string]bool), pages: make(map[int64]int)}}
}

// next leases the host that has been due longest, or tells for how long there is nothing to do.
func (f *frontier) next(ctx context.Context, c Config, jobs *jobTable) (*lease, time.Duration, error) {
	now := c.Clock()
	busy := f.busy() // before the rows are read: a host given back in between has newer rows than these
	queue, err := f.due(ctx, len(busy)+lookahead)
	if err != nil {
		return nil, 0, err
	}
	pause := idleLook
	if len(queue) == len(busy)+lookahead {
		pause = 0 // there are more than were looked at
	}
	var idle []string
	for _, d := range queue {
		if busy[d.host] {
			continue // its release looks again
		}
		if wait := d.wake.Sub(now); wait > 0 {
			pause = min(idleLook, wait) // the rest is due even later
			break
		}
		l := &lease{host: d.host, delay: max(c.Delay, d.delay), crawlDelay: d.delay, failures: d.failures}
		if err := f.fill(ctx, l, d.last, c, jobs, now); err != nil {
			return nil, 0, err
		}
		if len(l.items) > 0 {
			if err := f.sleep(idle, now); err != nil {
				return nil, 0, err
			}
			f.take(l)
			return l, 0, nil
		}
		idle = append(idle, d.host)
	}
	if len(idle) > 0 {
		pause = 0 // the next look finds when they are due
	}
	return nil, pause, f.sleep(idle, now)
}

// sleep moves hosts that had nothing to lease out of the way of those that have.
func (f *frontier) sleep(hosts []string, now time.Time) error {
	if len(hosts) == 0 {
		return nil
	}
	return f.store.update(func(tx *tx) error {
		for _, host := range hosts {
			if err := tx.sleepHost(host, now); err != nil {
				return err
			}
		}
		return nil
	})
}

type dueHost struct {
	host     string
	wake     time.Time
	delay    time.Duration
	failures int
	last     int64 // job whose turn it was
}

// due lists the hosts that have something queued, in the order in which they may be asked.
func (f *frontier) due(ctx context.Context, n int) ([]dueHost, error) {
	rows, err := f.store.rows(ctx, `SELECT host, wake_at, delay, failures, last_job FROM hosts
		WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT ?`, n)
	if err != nil {
		return nil, fmt.Errorf("read frontier: %w", err)
	}
	defer rows.Close()
	var list []dueHost
	for rows.Next() {
		var d dueHost
		var wake, delay int64
		if err := rows.Scan(&d.host, &wake, &delay, &d.failures, &d.last); err != nil {
			return nil, fmt.Errorf("read frontier: %w", err)
		}
		d.wake, d.delay = time.UnixMilli(wake), time.Duration(delay)*time.Millisecond
		list = append(list, d)
	}
	return list, rows.Err()
}

// fill gives l the addresses of one job: the next after last, in a circle, that has some due.
func (f *frontier) fill(ctx context.Context, l *lease, last int64, c Config, jobs *jobTable, now time.Time) error {
	queued, err := queues(l.host, func(query string, args ...any) *sql.Row { return f.store.row(ctx, query, args...) })
	if err != nil {
		return err
	}
	first := 0
	for first < len(queued) && queued[first].job <= last {
		first++
	}
	for i := range queued {
		q := queued[(first+i)%len(queued)]
		if q.ready.After(now) {
			continue
		}
		flying := f.inFlight(q.job) // before completed is read: a page settled in between counts twice, not never
		j, err := jobs.byID(ctx, q.job)
		if err != nil {
			return err
		}
		if err := f.batch(ctx, l, j, j.quota-j.completed-flying, c, now); err != nil {
			return err
		}
		if len(l.items) > 0 {
			l.job = j
			l.scope, err = jobs.scope(j)
			return err
		}
	}
	return nil
}

type jobQueue struct {
	job   int64
	ready time.Time // of its first address
}

// queues lists the jobs with addresses on host by skipping through the index: its cost is the number
// of jobs, not of addresses.
func queues(host string, query func(string, ...any) *sql.Row) ([]jobQueue, error) {
	var list []jobQueue
	for last := int64(0); ; {
		var ready int64
		err := query(`SELECT job, ready_at FROM urls WHERE host = ? AND job > ? AND state = 0
			ORDER BY job, ready_at LIMIT 1`, host, last).Scan(&last, &ready)
		if errors.Is(err, sql.ErrNoRows) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read frontier: %w", err)
		}
		list = append(list, jobQueue{last, time.UnixMilli(ready)})
	}
}

// batch takes addresses of j in the order in which they became due: as many as a lease may have, and
// no more pages than there is room for in the job's quota.
func (f *frontier) batch(ctx context.Context, l *lease, j *job, room int, c Config, now time.Time) error {
	delay := max(l.delay, time.Duration(j.order.Delay*float64(time.Second)))
	size := max(1, min(c.BatchSize, int(maxLease/max(delay, 1))))
	rows, err := f.store.rows(ctx, `SELECT id, kind, url, depth, attempt, avoid FROM urls
		WHERE host = ? AND job = ? AND state = 0 AND ready_at <= ? ORDER BY ready_at, id LIMIT ?`,
		l.host, j.id, now.UnixMilli(), size)
	if err != nil {
		return fmt.Errorf("read frontier: %w", err)
	}
	defer rows.Close()
	l.pages = 0
	for rows.Next() {
		var it item
		var avoid string
		if err := rows.Scan(&it.id, &it.kind, &it.url, &it.depth, &it.attempt, &avoid); err != nil {
			return fmt.Errorf("read frontier: %w", err)
		}
		if it.kind == kindPage {
			if l.pages >= room {
				continue
			}
			l.pages++
		}
		it.avoid = strings.Fields(avoid)
		l.items = append(l.items, it)
	}
	l.delay = delay
	return rows.Err()
}

// wakeHost makes sure that host is looked at when an address becomes due, and not before its pause
// has passed.
func (t *tx) wakeHost(host string, ready int64) error {
	_, err := t.do(`INSERT INTO hosts (host, wake_at) VALUES (?1, ?2)
		ON CONFLICT (host) DO UPDATE SET wake_at =
		CASE WHEN hosts.wake_at <= ?2 THEN hosts.wake_at WHEN hosts.ready_at > ?2 THEN hosts.ready_at ELSE ?2 END`, host, ready)
	return err
}

// sleepHost is for a host that had nothing to lease: either nothing is due, or all documents that its
// jobs may still have are being fetched from other hosts. It looks once more, inside the transaction,
// so that an address just added counts.
func (t *tx) sleepHost(host string, now time.Time) error {
	queued, err := queues(host, t.query)
	if err != nil {
		return err
	}
	var wake any // NULL: when an address is added
	for _, q := range queued {
		at := max(q.ready.UnixMilli(), now.Add(limitedPause).UnixMilli())
		if earliest, set := wake.(int64); !set || at < earliest {
			wake = at
		}
	}
	_, err = t.do("UPDATE hosts SET wake_at = ? WHERE host = ?", wake, host)
	return err
}

// rest records what a lease taught about its host and when the next may start. Whether an address is
// due by then is seen when the host is looked at.
func (t *tx) rest(l *lease, ready time.Time) error {
	_, err := t.do(`UPDATE hosts SET ready_at = ?2, delay = ?3, failures = ?4, last_job = ?5,
		wake_at = CASE WHEN EXISTS (SELECT 1 FROM urls WHERE host = ?1 AND state = 0) THEN CAST(?2 AS BIGINT) END WHERE host = ?1`,
		l.host, ready.UnixMilli(), l.crawlDelay.Milliseconds(), l.failures, l.job.id)
	return err
}
