package crawler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sward/crawler/link"
	"sward/internal/wire"
	"sward/policy"
)

// A status answer holds at most this much; the rest is behind next.
const (
	maxChunkDocuments = 100
	maxChunkBytes     = 10 << 20 // of documents' JSON; a single larger document still goes out
)

// startAddress checks and canonicalises the address a job starts from.
func startAddress(raw string) (string, error) {
	if raw == "" {
		return "", errors.New("url is required")
	}
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw // as people write it, and as Firecrawl accepts it
	}
	start, err := link.Canonical(raw, nil)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	u, err := url.Parse(start)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	if err := reachable(u); err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	return start, nil
}

// refuseOrder tells the partner what to change. A destination that nobody may reach keeps its name.
func refuseOrder(w http.ResponseWriter, err error) {
	f := failure{Code: apiBadRequest, Error: err.Error()}
	if denied, ok := errors.AsType[*policy.Denied](err); ok {
		f.Details = map[string]string{"rule": denied.Rule}
	}
	answer(w, http.StatusBadRequest, f)
}

func (c *Crawler) postCrawl(w http.ResponseWriter, r *http.Request, a Account) {
	var o Order
	if !decode(w, r, &o) {
		return
	}
	start, err := startAddress(o.URL)
	if err == nil {
		err = o.check()
	}
	if err != nil {
		refuseOrder(w, err)
		return
	}
	o.URL = start
	j, err := c.jobs.create(a, Crawl, o, start, c.cfg.Clock(), c.cfg.MaxJobAge)
	if errors.Is(err, errTooMany) {
		refuseCode(w, wire.PartnerLimit)
		return
	}
	if err != nil {
		c.broken(w, r, err)
		return
	}
	signal(c.wake)
	answer(w, http.StatusOK, struct {
		Success bool   `json:"success"`
		ID      string `json:"id"`
		URL     string `json:"url"`
	}{true, j.name, origin(r) + "/v2/crawl/" + j.name})
}

// origin is the scheme and host under which the partner reaches us: next pages have to lead back here
// and not to what we happen to be called inside.
func origin(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	// A reverse proxy that ends TLS says so. Nobody but the caller is fooled by a false one.
	if forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ","); forwarded == "http" || forwarded == "https" {
		scheme = forwarded
	}
	return scheme + "://" + r.Host
}

// crawlStatus is the answer to a poll.
type crawlStatus struct {
	Success     bool              `json:"success"`
	Status      string            `json:"status"`
	Completed   int               `json:"completed"`
	Total       int               `json:"total"`
	CreditsUsed int               `json:"creditsUsed"`
	CreatedAt   time.Time         `json:"createdAt"`
	CompletedAt *time.Time        `json:"completedAt,omitempty"`
	ExpiresAt   time.Time         `json:"expiresAt"`
	Error       string            `json:"error,omitempty"`
	Next        string            `json:"next,omitempty"`
	Data        []json.RawMessage `json:"data"`
}

func (c *Crawler) getCrawl(w http.ResponseWriter, r *http.Request, a Account) {
	skip, err := queryInt(r, "skip", 0)
	if err == nil && skip < 0 {
		err = errors.New("skip is not negative")
	}
	limit, limitErr := queryInt(r, "limit", maxChunkDocuments)
	if limitErr == nil && limit < 1 {
		limitErr = errors.New("limit is at least 1")
	}
	if err := errors.Join(err, limitErr); err != nil {
		refuse(w, http.StatusBadRequest, apiBadRequest, err.Error())
		return
	}
	j := c.find(w, r, a, Crawl)
	if j == nil {
		return
	}
	s := crawlStatus{
		Success: true, Status: j.state.String(), Completed: j.completed, Total: j.total(), CreditsUsed: j.completed,
		CreatedAt: j.created.UTC(), ExpiresAt: c.expiry(j).UTC(),
	}
	if !j.finished.IsZero() {
		at := j.finished.UTC()
		s.CompletedAt = &at
	}
	if j.state == Failed {
		s.Error = explain(j.failure)
	}
	// Documents that were settled since the job was read wait for the next poll, so that completed
	// and data agree.
	if s.Data, err = c.documents(r.Context(), j.id, skip, min(limit, maxChunkDocuments, max(0, j.completed-skip))); err != nil {
		c.broken(w, r, err)
		return
	}
	if served := skip + len(s.Data); len(s.Data) > 0 && served < j.completed {
		s.Next = origin(r) + r.URL.Path + "?skip=" + strconv.Itoa(served)
		if r.URL.Query().Has("limit") {
			s.Next += "&limit=" + strconv.Itoa(limit)
		}
	}
	answer(w, http.StatusOK, s)
}

func queryInt(r *http.Request, name string, or int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return or, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number", name)
	}
	return n, nil
}

// expiry is until when the documents can be had.
func (c *Crawler) expiry(j *job) time.Time {
	if j.finished.IsZero() {
		return j.deadline.Add(c.cfg.Keep)
	}
	return j.finished.Add(c.cfg.Keep)
}

// explain turns the stored reason of a failed job into a sentence.
func explain(name string) string {
	if code, ok := wire.CodeByName(name); ok {
		return name + ": " + code.Meaning()
	}
	return name
}

// documents reads up to n documents from seq skip on, as far as they fit one chunk.
func (c *Crawler) documents(ctx context.Context, id int64, skip, n int) ([]json.RawMessage, error) {
	list := make([]json.RawMessage, 0, min(n, maxChunkDocuments))
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
