package crawler

import (
	"context"
	"time"

	"sward/internal/wire"
)

// The bounds of an order at which its job completes with what it has.
const (
	stoppedLimit = "limit"
	stoppedTime  = "max_time"
	stoppedBytes = "max_bytes"
)

const (
	capLook     = 10 * time.Minute      // before a used-up cap is asked again: its day may end, or its operator raise it
	tidySoonest = 10 * time.Millisecond // between two looks for jobs whose time is over
)

// stop completes a job at one of its bounds.
func (t *tx) stop(id int64, at string, now time.Time) error {
	ended, err := t.finish(id, Completed, "", now)
	if err == nil && ended {
		_, err = t.do("UPDATE jobs SET stopped = ? WHERE id = ?", at, id)
	}
	return err
}

// late ends a job whose time is over: with what it has, if that was its order's word, and otherwise as failed.
func (t *tx) late(j *job, now time.Time) (State, error) {
	if j.order.MaxTime > 0 {
		return Completed, t.stop(j.id, stoppedTime, now)
	}
	_, err := t.finish(j.id, Failed, wire.FetchTimeout.Name(), now)
	return Failed, err
}

// endLate ends all jobs whose time is over.
func (c *Crawler) endLate(ctx context.Context, now time.Time) error {
	late, err := c.jobs.list(ctx, "state = 0 AND deadline <= ?", now.UnixMilli())
	if err != nil {
		return err
	}
	for _, j := range late {
		var to State
		var ended bool
		err := c.store.update(func(tx *tx) error {
			var state State
			err := tx.query("SELECT state FROM jobs WHERE id = ?", j.id).Scan(&state)
			if err != nil || state != Scraping {
				return err
			}
			ended = true
			to, err = tx.late(j, now)
			return err
		})
		if err != nil {
			return err
		}
		if ended {
			c.over(ctx, j.id, j.account, to)
		}
	}
	return nil
}

// untilDeadline is how long no job's time will be over.
func (c *Crawler) untilDeadline(ctx context.Context) time.Duration {
	var first int64
	err := c.store.row(ctx, "SELECT coalesce(min(deadline), 0) FROM jobs WHERE state = 0").Scan(&first)
	if err != nil || first == 0 {
		return tidyEvery
	}
	return max(time.UnixMilli(first).Sub(c.cfg.Clock()), tidySoonest)
}

// hold notes that no road was to be had for a job, and since when. One whose account has used up its cap waits for the
// cap's next day, and that counts for no stall.
func (t *tx) hold(job int64, why wire.Code, now time.Time) error {
	if why == wire.PartnerCap {
		again := now.Add(capLook)
		if day := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour); day.Before(again) {
			again = day
		}
		_, err := t.do("UPDATE jobs SET resume_at = ?, waiting = ?, stalled = 0 WHERE id = ?", again.UnixMilli(), reason(why.Name(), why.Meaning()), job)
		return err
	}
	_, err := t.do("UPDATE jobs SET stalled = ? WHERE id = ? AND stalled = 0", now.UnixMilli(), job)
	return err
}
