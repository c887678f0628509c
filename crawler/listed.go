package crawler

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// defaultAddresses is how many a Map lists unless its order says otherwise, Firecrawl's default.
const defaultAddresses = 5000

// Address is the one spelling under which the crawler keeps an address, or says why it cannot be fetched.
func Address(raw string) (string, error) { return startAddress(raw) }

// settleAddresses puts the order's addresses into their one spelling, and returns the start of the kinds that have one.
func (o *Order) settleAddresses(k Kind) (start string, err error) {
	if k != Batch {
		if o.URL, err = startAddress(o.URL); err != nil {
			return "", err
		}
		if o.URLs = nil; k == Map {
			o.Scrape = ScrapeOptions{Formats: []Format{FormatWARC}} // nobody reads the start page's text
		}
		return o.URL, nil
	}
	if len(o.URLs) == 0 || len(o.URLs) > maxLimit {
		return "", fmt.Errorf("urls has from 1 to %d entries, not %d", maxLimit, len(o.URLs))
	}
	if o.URLs, err = addresses(o.URLs); err != nil {
		return "", err
	}
	limit := len(o.URLs)
	exact := false
	o.URL, o.CrawlEntireDomain = o.URLs[0], true // by which lists of jobs show it; it bounds nothing
	o.Limit, o.IgnoreQueryParameters, o.DeduplicateSimilarURLs = &limit, false, &exact
	return "", nil
}

func addresses(raw []string) ([]string, error) {
	list := make([]string, 0, len(raw))
	for i, address := range raw {
		known, err := startAddress(address)
		if err != nil {
			return nil, fmt.Errorf("urls[%d]: %w", i, err)
		}
		list = append(list, known)
	}
	return list, nil
}

// Extend adds pages to a running Batch. One that has ended is ErrEnded; a page that it has already is not fetched again.
func (c *Crawler) Extend(ctx context.Context, j Job, urls []string) (Job, error) {
	row, err := c.jobs.byName(ctx, j.Account, j.ID)
	switch {
	case err != nil:
		return Job{}, err
	case row.kind != Batch:
		return Job{}, &OrderError{errors.New("only a batch can be extended")}
	}
	urls, err = addresses(urls)
	if err != nil {
		return Job{}, &OrderError{err}
	}
	leads, err := listed(urls, row.order)
	if err != nil {
		return Job{}, &OrderError{err}
	}
	err = c.store.update(func(tx *tx) error {
		fresh := &job{id: row.id, kind: Batch}
		err := tx.query("SELECT state, quota, discovered FROM jobs WHERE id = ?", row.id).Scan(&fresh.state, &fresh.quota, &fresh.discovered)
		switch {
		case err != nil:
			return err
		case fresh.state != Scraping:
			return fmt.Errorf("%w: %s", ErrEnded, fresh.state)
		case fresh.discovered+len(leads) > maxLimit:
			return &OrderError{fmt.Errorf("a batch has at most %d pages", maxLimit)}
		}
		fresh.quota += len(leads)
		return tx.extend(fresh, leads, c.cfg.Clock())
	})
	if err != nil {
		return Job{}, err
	}
	signal(c.wake)
	return c.Job(ctx, j.Account, j.ID)
}

// extend queues what a partner lists for a batch, whose limit is the number of its pages.
func (t *tx) extend(j *job, leads []lead, now time.Time) error {
	n, err := t.discover(j, leads, 0, now)
	if err != nil {
		return err
	}
	j.pages += n
	j.quota = j.discovered
	_, err = t.do("UPDATE jobs SET quota = ? WHERE id = ?", j.quota, j.id)
	return err
}

// Addresses returns up to n of the addresses that a Map found, from the skip-th on, in the order of their discovery.
func (c *Crawler) Addresses(ctx context.Context, j Job, skip, n int) ([]string, error) {
	row, err := c.jobs.byName(ctx, j.Account, j.ID)
	if err != nil {
		return nil, err
	}
	rows, err := c.store.rows(ctx, "SELECT url FROM urls WHERE job = ? AND state = ? ORDER BY id LIMIT ? OFFSET ?", row.id, urlListed, n, skip)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var address string
		if err := rows.Scan(&address); err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		list = append(list, address)
	}
	return list, rows.Err()
}
