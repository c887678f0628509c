package crawler

import (
	"context"
	"encoding/json"
	"fmt"
)

// outboxBatch is how many pages are handed to the index at a time.
const outboxBatch = 64

// feedIndex hands settled pages to the index, in order and at least once: a page leaves the outbox
// only when Store has returned, and Store puts it under its URL, so twice is the same as once.
func (c *Crawler) feedIndex(ctx context.Context) error {
	if c.cfg.Store == nil {
		<-ctx.Done()
		return nil
	}
	failing := false
	for {
		n, err := c.feedOnce(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped: what was not handed over waits for the next start
		}
		if err != nil && !failing {
			c.cfg.Log.Error("the index takes no pages, they wait", "error", err)
		}
		failing = err != nil
		if n == outboxBatch && err == nil {
			continue
		}
		if failing {
			sleep(ctx, storePause)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.filled:
		}
	}
}

// feedOnce moves one batch and returns how many pages that were.
func (c *Crawler) feedOnce(ctx context.Context) (int, error) {
	rows, err := c.store.rows(ctx, "SELECT id, page FROM outbox ORDER BY id LIMIT ?", outboxBatch)
	if err != nil {
		return 0, fmt.Errorf("read outbox: %w", err)
	}
	defer rows.Close()
	var last int64
	var pages []Page
	for rows.Next() {
		var packed []byte
		if err := rows.Scan(&last, &packed); err != nil {
			return 0, fmt.Errorf("read outbox: %w", err)
		}
		text, err := unpack(packed)
		if err != nil {
			return 0, fmt.Errorf("read outbox: %w", err)
		}
		var p Page
		if err := json.Unmarshal(text, &p); err != nil {
			return 0, fmt.Errorf("read outbox: %w", err)
		}
		pages = append(pages, p)
	}
	if err := rows.Err(); err != nil || len(pages) == 0 {
		return 0, err
	}
	if err := c.cfg.Store(ctx, pages...); err != nil {
		return 0, err
	}
	err = c.store.update(func(tx *tx) error {
		_, err := tx.do("DELETE FROM outbox WHERE id <= ?", last)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("empty outbox: %w", err)
	}
	return len(pages), nil
}

// outboxLen is how many pages wait at most: ids are given in order and taken from the front.
func (c *Crawler) outboxLen(ctx context.Context) (n int, err error) {
	err = c.store.row(ctx,
		"SELECT coalesce((SELECT max(id) FROM outbox) - (SELECT min(id) FROM outbox) + 1, 0)").Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("read outbox: %w", err)
	}
	return n, nil
}

func packPage(p Page) []byte {
	b, _ := json.Marshal(p) // strings, times and numbers: cannot fail
	return pack(b)
}
