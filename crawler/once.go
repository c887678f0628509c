package crawler

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// onceMemory is how long the name of an order is remembered: longer than any client goes on trying.
const onceMemory = 24 * time.Hour

// Partners' names and ours share the table: ours begin with a byte that no header can carry.
const heldName = "\x01held "

// once takes the name of an order for a job, or says that another has it. An empty name is nobody's.
func (t *tx) once(a Account, name, job string, now time.Time) error {
	if name == "" {
		return nil
	}
	n, err := t.do("INSERT INTO once (account, name, job, at) VALUES (?, ?, ?, ?) ON CONFLICT (account, name) DO NOTHING",
		a.ID, name, job, now.UnixMilli())
	if err == nil && n == 0 {
		return ErrRepeated
	}
	return err
}

// Hold keeps a job under a name that its partner can tell, for who asks for the same thing again.
func (c *Crawler) Hold(_ context.Context, j Job, name string) error {
	return c.store.update(func(tx *tx) error {
		_, err := tx.do(`INSERT INTO once (account, name, job, at) VALUES (?, ?, ?, ?)
			ON CONFLICT (account, name) DO UPDATE SET job = excluded.job, at = excluded.at`,
			j.Account.ID, heldName+name, j.ID, c.cfg.Clock().UnixMilli())
		return err
	})
}

// Held returns the job of a name, once: who asks again gets a new one.
func (c *Crawler) Held(ctx context.Context, a Account, name string) (Job, error) {
	var id string
	err := c.store.row(ctx, "SELECT job FROM once WHERE account = ? AND name = ?", a.ID, heldName+name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, ErrNoJob
	}
	if err != nil {
		return Job{}, fmt.Errorf("find a held job: %w", err)
	}
	err = c.store.update(func(tx *tx) error {
		_, err := tx.do("DELETE FROM once WHERE account = ? AND name = ?", a.ID, heldName+name)
		return err
	})
	if err != nil {
		return Job{}, err
	}
	return c.Job(ctx, a, id)
}

// Forget frees the name of a job's order, for who gives the order again.
func (c *Crawler) Forget(_ context.Context, j Job) error {
	return c.store.update(func(tx *tx) error {
		_, err := tx.do("DELETE FROM once WHERE account = ? AND job = ?", j.Account.ID, j.ID)
		return err
	})
}

// forgetNames frees the names that were taken long ago.
func (t *tx) forgetNames(now time.Time) error {
	_, err := t.do("DELETE FROM once WHERE at <= ?", now.Add(-onceMemory).UnixMilli())
	return err
}
