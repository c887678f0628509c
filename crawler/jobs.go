package crawler

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"sward/internal/wire"
)

// MaxActive is how many jobs of one account may run at the same time: a loop in somebody's script
// must not fill the store.
const MaxActive = 200

// Refusals of the job table.
var (
	errTooMany = wire.Errorf(wire.PartnerLimit, "the account has %d running jobs", MaxActive)
)

// jobTable is the jobs of the store, and the compiled scopes and waiting callers of those running.
type jobTable struct {
	store *store

	mu      sync.Mutex
	scopes  map[int64]*scope
	waiting map[int64][]chan struct{} // closed when the job leaves Scraping
}

func newJobTable(s *store) *jobTable {
	return &jobTable{store: s, scopes: make(map[int64]*scope), waiting: make(map[int64][]chan struct{})}
}

// create stores a job and its start address. When it returns, the job survives any crash.
func (t *jobTable) create(a Account, kind Kind, o Order, start string, now time.Time, maxAge time.Duration) (*job, error) {
	addresses := o.URLs
	if o.URLs = nil; kind != Batch {
		addresses = []string{start}
	}
	leads, err := listed(addresses, o)
	if err != nil {
		return nil, fmt.Errorf("create job: %w", err)
	}
	request, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("create job: %w", err)
	}
	owner, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("create job: %w", err)
	}
	j := &job{
		name: newJobName(), kind: kind, account: a, order: o, base: start, quota: o.limit(),
		created: now, deadline: now.Add(maxAge),
	}
	err = t.store.update(func(tx *tx) error {
		var active int
		if err := tx.query("SELECT count(*) FROM jobs WHERE account = ? AND state = 0", a.ID).Scan(&active); err != nil {
			return err
		}
		if active >= MaxActive {
			return errTooMany
		}
		if err := tx.once(a, o.Once, j.name, now); err != nil {
			return err
		}
		err := tx.query(`INSERT INTO jobs (name, kind, account, owner, request, base, state, created, progress, deadline, quota)
			VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?) RETURNING id`,
			j.name, kind, a.ID, string(owner), string(request), start, now.UnixMilli(), now.UnixMilli(), j.deadline.UnixMilli(), j.quota).Scan(&j.id)
		if err != nil {
			return err
		}
		if err := errors.Join(tx.hook(j, now), tx.openRefunds(a)); err != nil {
			return err
		}
		if kind == Batch {
			return tx.extend(j, leads, now)
		}
		j.pages, err = tx.discover(j, leads, 0, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create job: %w", err)
	}
	return j, nil
}

const jobColumns = `id, name, kind, owner, request, base, state, failure, created, deadline, finished, stalled,
	resume_at, progress, waiting, stopped, quota, bytes, completed, remembered, failed, discovered, pages, seeds`

func scanJob(scan func(...any) error) (*job, error) {
	var j job
	var owner, request string
	var created, deadline, finished, stalled, resume, progress int64
	err := scan(&j.id, &j.name, &j.kind, &owner, &request, &j.base, &j.state, &j.failure, &created, &deadline, &finished,
		&stalled, &resume, &progress, &j.waiting, &j.stopped, &j.quota, &j.bytes, &j.completed, &j.remembered, &j.failed, &j.discovered, &j.pages, &j.seeds)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoJob
	}
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	if err := errors.Join(json.Unmarshal([]byte(owner), &j.account), json.Unmarshal([]byte(request), &j.order)); err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	j.created, j.deadline = time.UnixMilli(created), time.UnixMilli(deadline)
	j.resume, j.progress = time.UnixMilli(resume), time.UnixMilli(progress)
	if finished != 0 {
		j.finished = time.UnixMilli(finished)
	}
	if stalled != 0 {
		j.stalled = time.UnixMilli(stalled)
	}
	return &j, nil
}

func (t *jobTable) byID(ctx context.Context, id int64) (*job, error) {
	return scanJob(t.store.row(ctx, "SELECT "+jobColumns+" FROM jobs WHERE id = ?", id).Scan)
}

// byName finds a job of an account. Another account's job is ErrNoJob, like one that never was.
func (t *jobTable) byName(ctx context.Context, a Account, name string) (*job, error) {
	return scanJob(t.store.row(ctx,
		"SELECT "+jobColumns+" FROM jobs WHERE name = ? AND account = ?", name, a.ID).Scan)
}

// list returns the jobs that match a condition on jobs, oldest first.
func (t *jobTable) list(ctx context.Context, where string, args ...any) (jobs []*job, err error) {
	rows, err := t.store.rows(ctx, "SELECT "+jobColumns+" FROM jobs WHERE "+where+" ORDER BY id", args...)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		j, err := scanJob(rows.Scan)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// scope returns the compiled scope of a running job.
func (t *jobTable) scope(j *job) (*scope, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.scopes[j.id]; s != nil && s.base == j.base {
		return s, nil
	}
	s, err := newScope(j.order, j.base)
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	t.scopes[j.id] = s
	return s, nil
}

// wait returns a channel that is closed when the job has left Scraping.
func (t *jobTable) wait(ctx context.Context, id int64) (<-chan struct{}, error) {
	done := make(chan struct{})
	t.mu.Lock()
	t.waiting[id] = append(t.waiting[id], done)
	t.mu.Unlock()
	j, err := t.byID(ctx, id) // after the wait is noted: an end in between is either seen here or told
	if err == nil && j.state != Scraping {
		t.over(id)
	}
	return done, err
}

// over forgets what was kept for a running job and calls those who wait for it.
func (t *jobTable) over(id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.scopes, id)
	for _, done := range t.waiting[id] {
		close(done)
	}
	delete(t.waiting, id)
}

// finish ends a job once, in whatever way comes first; what is still queued is given up. It reports
// whether this call ended it.
func (t *tx) finish(id int64, to State, failure string, now time.Time) (bool, error) {
	n, err := t.do(`UPDATE jobs SET state = ?, failure = ?, finished = ?, pages = 0, seeds = 0 WHERE id = ? AND state = 0`,
		int(to), failure, now.UnixMilli(), id)
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := t.do("UPDATE urls SET state = ? WHERE job = ? AND state = 0", urlSkipped, id); err != nil {
		return false, err
	}
	switch to {
	case Completed:
		err = t.emit(id, eventCompleted, 0, now)
	case Failed:
		err = t.emit(id, eventFailed, 0, now)
	}
	return true, err
}

// end finishes a job outside of a settlement: a partner's cancel, a deadline, a closed account.
func (c *Crawler) end(ctx context.Context, j *job, to State, code wire.Code) error {
	failure := ""
	if code != wire.OK {
		failure = code.Name()
	}
	var ended bool
	err := c.store.update(func(tx *tx) (err error) {
		ended, err = tx.finish(j.id, to, failure, c.cfg.Clock())
		return err
	})
	if err != nil {
		return fmt.Errorf("end job: %w", err)
	}
	if ended {
		c.over(ctx, j.id, j.account, to)
	}
	return nil
}

// over is everything that follows the end of a job and is not on disk.
func (c *Crawler) over(ctx context.Context, id int64, a Account, as State) {
	signal(c.hooked)
	c.jobs.over(id)
	c.metrics.ended.WithLabelValues(as.String()).Inc()
	var active int
	err := c.store.row(ctx, "SELECT count(*) FROM jobs WHERE account = ? AND state = 0", a.ID).Scan(&active)
	if err == nil && active == 0 {
		c.cfg.Release(ctx, a)
	}
}
