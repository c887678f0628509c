package crawler

import (
	"context"
	"fmt"
	"time"

	"sward/internal/wire"
)

const (
	tidyEvery  = 30 * time.Second
	tidyChunk  = 2000           // rows removed in one transaction, so that results never wait long
	hostMemory = 24 * time.Hour // how long an idle host's delay and failures are remembered, RFC 9309 §2.4
)

// tidy ends jobs that would otherwise never end, and forgets what nobody may ask for any more.
func (c *Crawler) tidy(ctx context.Context) error {
	var next time.Time // when the rest is looked at
	for ctx.Err() == nil {
		var err error
		if now := c.cfg.Clock(); now.Before(next) {
			err = c.endLate(ctx, now)
		} else {
			next = now.Add(tidyEvery)
			err = c.tidyOnce(ctx)
		}
		if err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("crawl store cannot be tidied", "error", err)
			sleep(ctx, storePause)
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.timed: // a job with less time than all others may have come
		case <-time.After(min(next.Sub(c.cfg.Clock()), c.untilDeadline(ctx))):
		}
	}
	return nil
}

func (c *Crawler) tidyOnce(ctx context.Context) error {
	now := c.cfg.Clock()
	stalled, err := c.jobs.list(ctx, "state = 0 AND stalled > 0 AND stalled <= ?", now.Add(-c.cfg.MaxStall).UnixMilli())
	if err != nil {
		return err
	}
	for _, j := range stalled {
		if err := c.end(ctx, j, Failed, wire.NoEdge); err != nil {
			return err
		}
	}
	if err := c.endLate(ctx, now); err != nil {
		return err
	}
	if err := c.alarm(ctx, now); err != nil {
		return err
	}
	expired, err := c.jobs.list(ctx, "state > 0 AND finished <= ?", now.Add(-c.cfg.Keep).UnixMilli())
	if err != nil {
		return err
	}
	for _, j := range expired {
		if err := c.forget(ctx, j.id); err != nil {
			return err
		}
	}
	if err := c.tidyMemory(ctx, now); err != nil {
		return err
	}
	return c.store.update(func(tx *tx) error {
		if err := tx.forgetNames(now); err != nil {
			return err
		}
		for _, table := range []string{"hosts", "domains"} {
			if _, err := tx.do("DELETE FROM "+table+" WHERE wake_at IS NULL AND ready_at <= ?", now.Add(-hostMemory).UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

// forget removes a job and all that hangs on it, a chunk at a time; the job itself last, so that what
// a crash leaves is found again.
func (c *Crawler) forget(ctx context.Context, id int64) error {
	for _, table := range []string{"urls", "documents", "errors", "events", "texts", "shapes"} {
		for n := int64(tidyChunk); n == tidyChunk; {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			err := c.store.update(func(tx *tx) (err error) {
				n, err = tx.do("DELETE FROM "+table+" WHERE id IN (SELECT id FROM "+table+" WHERE job = ? LIMIT ?)", id, tidyChunk)
				return err
			})
			if err != nil {
				return fmt.Errorf("forget job: %w", err)
			}
		}
	}
	c.jobs.over(id) // a lease that came too late may have left its scope, and ids are given again
	return c.store.update(func(tx *tx) error {
		if _, err := tx.do("DELETE FROM hooks WHERE job = ?", id); err != nil {
			return err
		}
		_, err := tx.do("DELETE FROM jobs WHERE id = ?", id)
		return err
	})
}

// abandon fails everything that the job of l has queued on a host that cannot be reached.
func (c *Crawler) abandon(l *lease, code wire.Code) error {
	var state State
	err := c.store.update(func(tx *tx) error {
		now := c.cfg.Clock()
		var told, failed int64
		if err := tx.query("SELECT coalesce(max(id), 0) FROM errors").Scan(&told); err != nil {
			return err
		}
		if err := tx.query("SELECT failed FROM jobs WHERE id = ?", l.job.id).Scan(&failed); err != nil {
			return err
		}
		if _, err := tx.do(`INSERT INTO errors (job, url, code, owner, detail, at)
			SELECT job, url, ?, ?, ?, ? FROM urls WHERE host = ? AND job = ? AND state = 0 AND kind = 0 LIMIT ?`,
			code.Name(), string(code.Owner()), "the host was given up: "+code.Meaning(), now.UnixMilli(), l.host, l.job.id, max(0, maxErrors-failed)); err != nil {
			return err
		}
		if _, err := tx.do(`INSERT INTO events (job, kind, ref, ready_at) SELECT errors.job, ?, errors.id, ? FROM errors
			JOIN hooks ON hooks.job = errors.job WHERE errors.id > ? AND errors.job = ? AND hooks.events & ? > 0`,
			eventPageFailed, now.UnixMilli(), told, l.job.id, eventPageFailed); err != nil {
			return err
		}
		pages, err := tx.do("UPDATE urls SET state = ? WHERE host = ? AND job = ? AND state = 0 AND kind = 0", urlFailed, l.host, l.job.id)
		if err != nil {
			return err
		}
		seeds, err := tx.do("UPDATE urls SET state = ? WHERE host = ? AND job = ? AND state = 0", urlSkipped, l.host, l.job.id)
		if err != nil {
			return err
		}
		if _, err := tx.do("UPDATE jobs SET pages = pages - ?, seeds = seeds - ?, failed = failed + ? WHERE id = ? AND state = 0",
			pages, seeds, pages, l.job.id); err != nil {
			return err
		}
		j := &job{id: l.job.id, quota: l.job.quota}
		state, err = tx.conclude(j, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("give up host: %w", err)
	}
	if state != Scraping {
		c.over(context.Background(), l.job.id, l.job.account, state)
	}
	return nil
}
