package crawler

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// A chunk of documents holds at most this much, so that an answer made of it stays within what a client's memory bears.
const (
	MaxDocuments  = 100
	maxChunkBytes = 10 << 20 // of documents' JSON; a single larger document still goes out
)

// Documents returns up to n of a job's documents as JSON, at most MaxDocuments, from the skip-th on, and fewer where they
// would be more than 10 MiB: at least one, if there is one.
func (c *Crawler) Documents(ctx context.Context, j Job, skip, n int) ([]json.RawMessage, error) {
	row, err := c.jobs.byName(ctx, j.Account, j.ID)
	if err != nil {
		return nil, err
	}
	return c.documents(ctx, row.id, skip, min(n, MaxDocuments))
}

// documents reads up to n documents from seq skip on, as far as they fit one chunk.
func (c *Crawler) documents(ctx context.Context, id int64, skip, n int) ([]json.RawMessage, error) {
	list := make([]json.RawMessage, 0, n)
	rows, err := c.store.rows(ctx,
		"SELECT size, body FROM documents WHERE job = ? AND seq >= ? ORDER BY seq LIMIT ?", id, skip, n)
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	defer rows.Close()
	for total := 0; rows.Next(); {
		var size int
		var body []byte
		if err := rows.Scan(&size, &body); err != nil {
			return nil, fmt.Errorf("read documents: %w", err)
		}
		if total += size; total > maxChunkBytes && len(list) > 0 {
			break
		}
		text, err := unpack(body)
		if err != nil {
			return nil, fmt.Errorf("read documents: %w", err)
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// PageError is one page that the partner does not get, and does not pay for.
type PageError struct {
	ID        string    `json:"id"`
	Timestamp time.Time `json:"timestamp"`
	URL       string    `json:"url"`
	Code      string    `json:"code"`
	Owner     string    `json:"owner"` // who can mend it: client, policy, edge, relay or target
	Error     string    `json:"error"`
	Price     string    `json:"price,omitempty"` // that the site asks for the page, in its words
}

// CodeNotRemembered is the code of a page that a partner wanted from memory alone (minAge), which does not have it.
const CodeNotRemembered = codeNotRemembered

// CodeUnsupported is the code of a page that is not of a kind from which text is read.
const CodeUnsupported = codeUnsupported

// Codes of pages that a site keeps from a job, for the doors.
const (
	CodeReserved = codeReserved
	CodeGranted  = codeGranted
	CodePayment  = codePayment
)

// Errors lists a job's failed pages, oldest first, at most maxErrors.
func (c *Crawler) Errors(ctx context.Context, j Job) ([]PageError, error) {
	row, err := c.jobs.byName(ctx, j.Account, j.ID)
	if err != nil {
		return nil, err
	}
	return c.errors(ctx, row.id)
}

func (c *Crawler) errors(ctx context.Context, id int64) ([]PageError, error) {
	rows, err := c.store.rows(ctx,
		"SELECT id, at, url, code, owner, detail, price FROM errors WHERE job = ? ORDER BY id LIMIT ?", id, maxErrors)
	if err != nil {
		return nil, fmt.Errorf("read errors: %w", err)
	}
	defer rows.Close()
	list := []PageError{}
	for rows.Next() {
		var e PageError
		var at int64
		if err := rows.Scan(&e.ID, &at, &e.URL, &e.Code, &e.Owner, &e.Error, &e.Price); err != nil {
			return nil, fmt.Errorf("read errors: %w", err)
		}
		e.Timestamp = time.UnixMilli(at).UTC()
		list = append(list, e)
	}
	return list, rows.Err()
}
