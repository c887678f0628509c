package crawler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sward/internal/wire"
)

// find answers 404 itself, also for jobs of other accounts.
func (c *Crawler) find(w http.ResponseWriter, r *http.Request, a Account, kind Kind) *job {
	j, err := c.jobs.byName(r.Context(), a, r.PathValue("id"))
	switch {
	case errors.Is(err, ErrNoJob), err == nil && j.kind != kind:
		refuse(w, http.StatusNotFound, apiNotFound, "Job not found")
		return nil
	case err != nil:
		c.broken(w, r, err)
		return nil
	}
	return j
}

func (c *Crawler) deleteCrawl(w http.ResponseWriter, r *http.Request, a Account) {
	j := c.find(w, r, a, Crawl)
	if j == nil {
		return
	}
	if j.state == Completed || j.state == Failed {
		refuse(w, http.StatusConflict, apiEnded, "the crawl has ended: "+j.state.String())
		return
	}
	if err := c.end(r.Context(), j, Cancelled, wire.OK); err != nil {
		c.broken(w, r, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"success": true, "status": Cancelled.String()})
}

func (c *Crawler) getErrors(w http.ResponseWriter, r *http.Request, a Account) {
	j := c.find(w, r, a, Crawl)
	if j == nil {
		return
	}
	list, err := c.errors(r.Context(), j.id)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	blocked := []string{}
	for _, e := range list {
		if e.Code == wire.RobotsDenied.Name() {
			blocked = append(blocked, e.URL)
		}
	}
	answer(w, http.StatusOK, map[string]any{"success": true, "errors": list, "robotsBlocked": blocked})
}

func (c *Crawler) errors(ctx context.Context, id int64) ([]PageError, error) {
	rows, err := c.store.rows(ctx,
		"SELECT id, at, url, code, owner, detail FROM errors WHERE job = ? ORDER BY id LIMIT ?", id, maxErrors)
	if err != nil {
		return nil, fmt.Errorf("read errors: %w", err)
	}
	defer rows.Close()
	list := []PageError{}
	for rows.Next() {
		var e PageError
		var at int64
		if err := rows.Scan(&e.ID, &at, &e.URL, &e.Code, &e.Owner, &e.Error); err != nil {
			return nil, fmt.Errorf("read errors: %w", err)
		}
		e.Timestamp = time.UnixMilli(at).UTC()
		list = append(list, e)
	}
	return list, rows.Err()
}

func (c *Crawler) getActive(w http.ResponseWriter, r *http.Request, a Account) {
	running, err := c.jobs.list(r.Context(), "account = ? AND state = 0", a.ID)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	type active struct {
		ID      string    `json:"id"`
		TeamID  string    `json:"teamId"`
		URL     string    `json:"url"`
		Created time.Time `json:"created_at"`
		Options Order     `json:"options"`
	}
	crawls := []active{}
	for _, j := range running {
		if j.kind == Crawl {
			crawls = append(crawls, active{j.name, a.ID, j.order.URL, j.created.UTC(), j.order})
		}
	}
	answer(w, http.StatusOK, map[string]any{"success": true, "crawls": crawls})
}
