package crawler

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sward/internal/wire"
)

// alarmAfter is how long a running job may settle no address before somebody is told why.
const alarmAfter = 2 * time.Minute

// alarm finds the jobs that make no progress, notes for their partners what they wait for, and tells the operator once.
func (c *Crawler) alarm(ctx context.Context, now time.Time) error {
	stuck, err := c.jobs.list(ctx, "state = 0 AND progress <= ?", now.Add(-alarmAfter).UnixMilli())
	if err != nil {
		return err
	}
	for _, j := range stuck {
		why, err := c.why(ctx, j, now)
		if err != nil {
			return err
		}
		if why == j.waiting {
			continue
		}
		var told int64
		err = c.store.update(func(tx *tx) (err error) {
			told, err = tx.do("UPDATE jobs SET waiting = ? WHERE id = ? AND state = 0 AND progress = ?", why, j.id, j.progress.UnixMilli())
			return err
		})
		if err != nil {
			return err
		}
		if j.waiting == "" && told > 0 {
			c.cfg.Log.Warn("a crawl job makes no progress", "job", j.name, "reason", why, "since", j.progress)
		}
	}
	return nil
}

func reason(name, sentence string) string { return name + ": " + sentence }

// why says what a job waits for: its account, an edge, the index, its site, or its turn.
func (c *Crawler) why(ctx context.Context, j *job, now time.Time) (string, error) {
	if j.resume.After(now) {
		return reason(wire.PartnerCap.Name(), wire.PartnerCap.Meaning()), nil
	}
	if !j.stalled.IsZero() {
		return reason(wire.NoEdge.Name(), wire.NoEdge.Meaning()), nil
	}
	if c.cfg.Store != nil {
		waiting, err := c.outboxLen(ctx)
		if err != nil {
			return "", err
		}
		if waiting >= maxOutbox {
			return reason("index_behind", "the index takes no pages at the moment"), nil
		}
	}
	if c.frontier.inFlight(j.id) > 0 {
		return reason("fetching", "an edge waits for the site's answer"), nil
	}
	var ready, delay int64
	var failures, strain int
	err := c.store.row(ctx, `SELECT ready_at, delay, failures, strain FROM hosts
		WHERE host = (SELECT host FROM urls WHERE job = ? AND state = 0 LIMIT 1)`, j.id).Scan(&ready, &delay, &failures, &strain)
	if errors.Is(err, sql.ErrNoRows) {
		return reason("queued", "its addresses wait for their turn"), nil
	}
	if err != nil {
		return "", fmt.Errorf("read frontier: %w", err)
	}
	next := time.UnixMilli(ready).UTC().Format(time.TimeOnly)
	switch {
	case ready <= now.UnixMilli():
		return reason("queued", "its addresses wait for their turn"), nil
	case failures > 0:
		return reason("host_unreachable", "the site did not answer, it is tried again at "+next+" UTC"), nil
	case strain > 0:
		return reason("host_busy", "the site asked for patience, until "+next+" UTC"), nil
	case delay > 0:
		return reason("crawl_delay", "the site's robots.txt asks for pauses, the next ends at "+next+" UTC"), nil
	}
	return reason("host_pause", "the site is left alone until "+next+" UTC"), nil
}
