// Package client is a buyer's end of the crawl API: it starts a job, follows it, and brings its result home as one file, over
// connections that break and through restarts of either side.
//
// What it needs to go on stands beside the unfinished file: the job's name, and the ETag of the export, by which the rest
// of the very same bytes is asked for.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	askWait   = time.Minute            // for a small answer
	firstWait = 500 * time.Millisecond // before the second attempt, doubled for each further
	longWait  = 15 * time.Second       // between two attempts at most
	maxAnswer = 32 << 20               // bytes of a small answer: a list of ten thousand errors is 3 MiB
	maxText   = 300                    // bytes of a refusal's text that is shown
)

// Client calls a hub. API and Key are required.
type Client struct {
	API, Key string        // where, as a URL; as whom
	HTTP     *http.Client  // nil: one that follows no redirects, so that the key goes nowhere else
	Patience time.Duration // how long to try again without any progress; default 5 min

	firstWait, pollEvery time.Duration // tests do not wait
}

func (c *Client) withDefaults() *Client {
	d := *c
	if d.Patience <= 0 {
		d.Patience = 5 * time.Minute
	}
	if d.firstWait <= 0 {
		d.firstWait = firstWait
	}
	if d.pollEvery <= 0 {
		d.pollEvery = pollEvery
	}
	if d.HTTP == nil {
		d.HTTP = direct
	}
	return &d
}

// Refused is an answer that says no.
type Refused struct {
	Status     int // of HTTP
	Code, Text string
}

func (r *Refused) Error() string {
	if r.Text == "" {
		return fmt.Sprintf("the hub answers with status %d", r.Status)
	}
	return r.Text
}

// Status is where a job stands.
type Status struct {
	Status      string
	Completed   int
	Total       int
	CreditsUsed int
	Error       string // why it failed
	Waiting     string // why nothing happens
	Stopped     string // why it stopped before it had everything
	CreatedAt   time.Time
}

// Running reports whether there is something to wait for.
func (s Status) Running() bool { return s.Status == "scraping" }

// PageError is a page that was not delivered, and not charged.
type PageError struct{ URL, Code, Owner, Error string }

// Start starts a crawl with an order in the API's words, and returns its name. It asks once: a second request might be a
// second crawl.
func (c *Client) Start(ctx context.Context, order map[string]any) (string, error) {
	var job struct{ ID string }
	if err := c.once(ctx, http.MethodPost, "/v2/crawl", order, &job); err != nil {
		return "", fmt.Errorf("start crawl: %w", err)
	}
	if job.ID == "" {
		return "", errors.New("start crawl: the answer names no job")
	}
	return job.ID, nil
}

// Status asks where a job stands.
func (c *Client) Status(ctx context.Context, id string) (s Status, err error) {
	// Documents are not wanted yet: none lies beyond a billion.
	err = c.ask(ctx, jobPath(id)+"?skip=1000000000&limit=1", &s)
	return s, err
}

// Errors lists the pages that were not delivered.
func (c *Client) Errors(ctx context.Context, id string) ([]PageError, error) {
	var list struct{ Errors []PageError }
	err := c.ask(ctx, jobPath(id)+"/errors", &list)
	return list.Errors, err
}

// Cancel ends a job. What it has until then remains.
func (c *Client) Cancel(ctx context.Context, id string) error {
	return c.once(ctx, http.MethodDelete, jobPath(id), nil, nil)
}

func jobPath(id string) string { return "/v2/crawl/" + url.PathEscape(id) }

// ask is a GET that is tried again until patience ends.
func (c *Client) ask(ctx context.Context, path string, into any) error {
	return c.persist(ctx, func() (bool, error) { return false, c.once(ctx, http.MethodGet, path, nil, into) })
}

// persist tries until it works, is refused, or has not got on for as long as the client is patient.
func (c *Client) persist(ctx context.Context, try func() (progress bool, err error)) error {
	c = c.withDefaults()
	last, wait := time.Now(), c.firstWait
	for {
		progress, err := try()
		if err == nil || ctx.Err() != nil || !passing(err) {
			return err
		}
		if progress {
			last, wait = time.Now(), c.firstWait
		} else if time.Since(last)+wait > c.Patience {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, longWait)
	}
}

// passing reports whether it may go better next time.
func passing(err error) bool {
	no, refused := errors.AsType[*Refused](err)
	return !refused || no.Status >= 500 || no.Status == http.StatusTooManyRequests
}

// once sends one request and reads the answer's JSON.
func (c *Client) once(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	answer, err := c.send(ctx, method, path, sent, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return refusal(answer)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &Refused{Status: answer.StatusCode, Text: c.API + " does not speak the crawl API: " + err.Error()}
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.API, "/")+path, body)
	if err != nil {
		return nil, &Refused{Text: err.Error()}
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Authorization", "Bearer "+c.Key)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return c.withDefaults().HTTP.Do(request)
}

var direct = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// refusal reads what the hub says, or what stands before it.
func refusal(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // what came is all there is to say
	no := &Refused{Status: answer.StatusCode}
	var said struct{ Code, Error string }
	if json.Unmarshal(text, &said) == nil {
		no.Code, no.Text = said.Code, said.Error[:min(len(said.Error), maxText)]
	}
	return no
}
