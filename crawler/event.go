package crawler

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// hookCall is the body of a call, in Firecrawl's shape.
type hookCall struct {
	Success   bool              `json:"success"`
	Type      string            `json:"type"` // crawl.page, batch_scrape.completed, …
	ID        string            `json:"id"`   // of the job
	WebhookID string            `json:"webhookId"`
	Data      []json.RawMessage `json:"data"`
	Metadata  json.RawMessage   `json:"metadata,omitempty"`
	Error     string            `json:"error,omitempty"`
}

// eventBody is what a call says; nil where what it would tell of is gone.
func (c *Crawler) eventBody(ctx context.Context, j *job, w Webhook, e event) ([]byte, error) {
	call := hookCall{
		Success: true, ID: j.name, WebhookID: eventID(j.name, e), Data: []json.RawMessage{}, Metadata: w.Metadata,
		Type: map[Kind]string{Crawl: "crawl.", Batch: "batch_scrape."}[j.kind] +
			map[int]string{eventStarted: "started", eventPage: "page", eventPageFailed: "page", eventCompleted: "completed", eventFailed: "failed"}[e.kind],
	}
	switch e.kind {
	case eventPage:
		var body []byte
		err := c.store.row(ctx, "SELECT body FROM documents WHERE job = ? AND seq = ?", j.id, e.ref).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		var text []byte
		if err == nil {
			text, err = unpack(body)
		}
		if err != nil {
			return nil, fmt.Errorf("read document of event: %w", err)
		}
		call.Data = append(call.Data, text)
	case eventPageFailed:
		var url, code, owner, detail string
		err := c.store.row(ctx, "SELECT url, code, owner, detail FROM errors WHERE id = ?", e.ref).Scan(&url, &code, &owner, &detail)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read error of event: %w", err)
		}
		page, err := json.Marshal(map[string]any{"metadata": map[string]string{"sourceURL": url, "error": detail, "code": code, "owner": owner}})
		if err != nil {
			return nil, fmt.Errorf("write event: %w", err)
		}
		call.Success, call.Error, call.Data = false, detail, append(call.Data, page)
	case eventFailed:
		call.Success, call.Error = false, c.view(j).Explain()
	}
	return json.Marshal(call)
}

// eventID is the same for every attempt to tell of one event, and for no other: a UUID of the kind that is made from a name
// (RFC 9562 §5.8). The row's number would not do: numbers of rows that are gone are given again.
func eventID(job string, e event) string {
	u := sha256.Sum256(fmt.Appendf(nil, "sward event %s %d %d", job, e.kind, e.ref))
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

func (c *Crawler) hookTLS() *tls.Config {
	return &tls.Config{RootCAs: c.cfg.Roots, MinVersion: tls.VersionTLS12}
}
