package crawler

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// fill gives l the addresses of one job: the next after last, in a circle, that has some due.
func (f *frontier) fill(ctx context.Context, l *lease, last int64, c Config, jobs *jobTable, now time.Time) error {
	queued, err := queues(l.host, func(query string, args ...any) (*sql.Rows, error) { return f.store.rows(ctx, query, args...) })
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
		if j.resume.After(now) || !j.deadline.After(now) {
			continue
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
func queues(host string, query func(string, ...any) (*sql.Rows, error)) (list []jobQueue, err error) {
	rows, err := query(`WITH RECURSIVE q (job) AS (
			SELECT min(job) FROM urls WHERE host = ?1 AND state = 0
			UNION ALL
			SELECT (SELECT min(u.job) FROM urls u WHERE u.host = ?1 AND u.state = 0 AND u.job > q.job) FROM q WHERE q.job IS NOT NULL)
		SELECT q.job, (SELECT min(u.ready_at) FROM urls u WHERE u.host = ?1 AND u.state = 0 AND u.job = q.job) FROM q WHERE q.job IS NOT NULL`, host)
	if err != nil {
		return nil, fmt.Errorf("read frontier: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var job, ready int64
		if err := rows.Scan(&job, &ready); err != nil {
			return nil, fmt.Errorf("read frontier: %w", err)
		}
		list = append(list, jobQueue{job, time.UnixMilli(ready)})
	}
	return list, rows.Err()
}

// batch takes addresses of j: as many as a lease may have, and no more pages than there is room for in the job's quota.
// Half of them may be ones that have waited for another attempt, which are rare; the rest is in the order of rank.
func (f *frontier) batch(ctx context.Context, l *lease, j *job, room int, c Config, now time.Time) error {
	delay := max(l.delay, time.Duration(j.order.Delay*float64(time.Second)))
	size := max(1, min(c.BatchSize, int(maxLease/max(delay, 1))))
	size = max(1, min(size, int(j.deadline.Sub(now)/max(delay, 1)))) // no more than it has time for
	l.pages = 0
	if err := f.pick(ctx, l, j, "ready_at >= ? AND ready_at <= ?", rankEnd, now.UnixMilli(), (size+1)/2, &room); err != nil {
		return err
	}
	if err := f.pick(ctx, l, j, "ready_at >= ? AND ready_at < ?", 0, rankEnd, size-len(l.items), &room); err != nil {
		return err
	}
	if len(l.items) > 0 { // otherwise another job has the lease, and its partner asked for no such delay
		l.delay = delay
	}
	return nil
}

// pick adds to l up to n addresses of j between two times.
func (f *frontier) pick(ctx context.Context, l *lease, j *job, between string, from, to int64, n int, room *int) error {
	rows, err := f.store.rows(ctx, `SELECT id, kind, url, depth, attempt, avoid FROM urls
		WHERE host = ? AND job = ? AND state = 0 AND `+between+` ORDER BY ready_at, id LIMIT ?`,
		l.host, j.id, from, to, n+f.away(l.domain))
	if err != nil {
		return fmt.Errorf("read frontier: %w", err)
	}
	defer rows.Close()
	for rows.Next() && n > 0 {
		var it item
		var avoid string
		if err := rows.Scan(&it.id, &it.kind, &it.url, &it.depth, &it.attempt, &avoid); err != nil {
			return fmt.Errorf("read frontier: %w", err)
		}
		if f.isOut(it.id) {
			continue
		}
		if it.kind == kindPage {
			if *room <= 0 {
				continue
			}
			*room--
			l.pages++
		}
		it.avoid = strings.Fields(avoid)
		l.items = append(l.items, it)
		n--
	}
	return rows.Err()
}
