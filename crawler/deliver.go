package crawler

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	signatureHeader = "X-Firecrawl-Signature" // sha256= and the HMAC-SHA256 of the body in hexadecimal
	hookAgent       = "Sward-Webhook/1.0"
	hookTimeout     = 10 * time.Second // for one call, Firecrawl's
	hookTurn        = 20 * time.Second // for the calls of one job, before other jobs have their turn
	hooksAtOnce     = 8                // jobs whose events are being sent
	hookLook        = 15 * time.Second // longest sleep: a bound on what a lost signal costs
	hookBatch       = 64               // events of one job that are read at a time
	maxHookAnswer   = 64 << 10         // bytes of an answer that are read, so that its connection can be used again
)

// hookRetries are the pauses before another attempt, Firecrawl's. After the last the event is given up.
var hookRetries = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute}

// deliver posts events until ctx ends. Events of one job go out one after another in the order in which they happened; one
// that fails is repeated later, and the job's others wait for a minute, since it is the same server. Each goes out at least
// once: a call whose answer was lost is made again, with the same webhookId.
func (c *Crawler) deliver(ctx context.Context) error {
	if c.cfg.DialHook == nil {
		<-ctx.Done()
		return nil
	}
	client := &http.Client{
		Timeout: hookTimeout,
		Transport: &http.Transport{
			DialContext: c.cfg.DialHook, TLSClientConfig: c.hookTLS(), MaxIdleConns: hooksAtOnce, IdleConnTimeout: hookTurn,
			ResponseHeaderTimeout: hookTimeout, MaxResponseHeaderBytes: maxHookAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a redirect is no answer
	}
	defer client.CloseIdleConnections()
	last := int64(0) // job that had its turn
	for failing := false; ; {
		sent, err := c.deliverOnce(ctx, client, last)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped: what was not sent waits for the next start
		}
		if err != nil && !failing {
			c.cfg.Log.Error("webhook events cannot be read or settled, they wait", "error", err)
		}
		if failing = err != nil; sent != 0 {
			last = sent
		}
		if !failing && sent != 0 {
			continue
		}
		timer := time.NewTimer(hookLook)
		select {
		case <-ctx.Done():
		case <-c.hooked:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// deliverOnce gives the next jobs with due events their turn, and returns the last of them: 0, if there are none.
func (c *Crawler) deliverOnce(ctx context.Context, client *http.Client, after int64) (last int64, err error) {
	due, err := c.callsDue(ctx, after)
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	if len(due) == 0 {
		return 0, nil
	}
	failed := make([]error, len(due))
	var calling sync.WaitGroup
	for i, id := range due {
		calling.Go(func() { failed[i] = c.call(ctx, client, id) })
	}
	calling.Wait()
	return due[len(due)-1], errors.Join(failed...)
}

// callsDue lists the next jobs after last that have a due event, in a circle: one that has always more events, and a server
// that takes its time with each, has its turn like any other.
func (c *Crawler) callsDue(ctx context.Context, last int64) (due []int64, err error) {
	now := c.cfg.Clock().UnixMilli()
	rows, err := c.store.rows(ctx, `SELECT job FROM events WHERE ready_at <= ? GROUP BY job
		ORDER BY CASE WHEN job > ? THEN 0 ELSE 1 END, job LIMIT ?`, now, last, hooksAtOnce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		due = append(due, id)
	}
	return due, rows.Err()
}

// event is a row of events.
type event struct {
	id, ref       int64
	kind, attempt int
}

// call sends the due events of one job, until one fails or its turn is over. Its error is of the store.
func (c *Crawler) call(ctx context.Context, client *http.Client, id int64) error {
	j, err := c.jobs.byID(ctx, id)
	if err != nil {
		return err
	}
	var text string
	var hook Webhook
	if err := c.store.row(ctx, "SELECT hook FROM hooks WHERE job = ?", id).Scan(&text); err != nil {
		return fmt.Errorf("read webhook: %w", err)
	}
	type stored Webhook
	if err := json.Unmarshal([]byte(text), (*stored)(&hook)); err != nil {
		return fmt.Errorf("read webhook: %w", err)
	}
	due, err := c.eventsDue(ctx, id)
	if err != nil {
		return err
	}
	for end := time.Now().Add(hookTurn); len(due) > 0 && time.Now().Before(end); due = due[1:] {
		if taken, err := c.tell(ctx, client, j, hook, due[0]); err != nil || !taken {
			return err
		}
	}
	return nil
}

// tell makes one call and settles it. It reports whether the event was taken; one that was cut off by the end of ctx is
// neither taken nor failed, and is told again.
func (c *Crawler) tell(ctx context.Context, client *http.Client, j *job, hook Webhook, e event) (taken bool, err error) {
	body, err := c.eventBody(ctx, j, hook, e)
	if err != nil {
		return false, err
	}
	var refused error
	if body != nil {
		refused = c.post(ctx, client, j.account, hook, body)
	}
	if ctx.Err() != nil {
		return false, nil //nolint:nilerr // the end of the program is no failure of the call
	}
	return refused == nil, c.called(j.id, e, refused)
}

func (c *Crawler) eventsDue(ctx context.Context, job int64) (due []event, err error) {
	rows, err := c.store.rows(ctx, "SELECT id, kind, ref, attempt FROM events WHERE job = ? AND ready_at <= ? ORDER BY id LIMIT ?",
		job, c.cfg.Clock().UnixMilli(), hookBatch)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e event
		if err := rows.Scan(&e.id, &e.kind, &e.ref, &e.attempt); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		due = append(due, e)
	}
	return due, rows.Err()
}

// called settles a call: an event that was taken, or given up, is forgotten; any other has its next attempt, and the job's
// further events wait until the server had a minute.
func (c *Crawler) called(job int64, e event, failure error) error {
	result := "taken"
	err := c.store.update(func(tx *tx) error {
		if failure != nil && e.attempt < len(hookRetries) {
			result = "failed"
			now := c.cfg.Clock()
			if _, err := tx.do("UPDATE events SET attempt = attempt + 1, ready_at = ? WHERE id = ?", now.Add(hookRetries[e.attempt]).UnixMilli(), e.id); err != nil {
				return err
			}
			rest := now.Add(hookRetries[0]).UnixMilli()
			_, err := tx.do("UPDATE events SET ready_at = ? WHERE job = ? AND ready_at < ?", rest, job, rest)
			return err
		}
		if failure != nil {
			result = "given up"
		}
		_, err := tx.do("DELETE FROM events WHERE id = ?", e.id)
		return err
	})
	if err != nil {
		return fmt.Errorf("settle event: %w", err)
	}
	c.metrics.calls.WithLabelValues(result).Inc()
	return nil
}

// post makes one call. Whoever answers with 2xx has taken it.
func (c *Crawler) post(ctx context.Context, client *http.Client, a Account, w Webhook, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call webhook: %w", err)
	}
	for name, value := range w.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", hookAgent)
	if c.cfg.HookSecret != nil {
		mac := hmac.New(sha256.New, []byte(c.cfg.HookSecret(a)))
		mac.Write(body)
		r.Header.Set(signatureHeader, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("call webhook: %w", err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxHookAnswer)) //nolint:errcheck // what it says is of no use
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("call webhook: answer %d", answer.StatusCode)
	}
	return nil
}
