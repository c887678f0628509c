package crawler

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Bounds of what a partner gives with a webhook.
const (
	maxHookURL      = 2048 // bytes
	maxHookHeaders  = 16
	maxHookHeader   = 1024    // bytes of a header's name and value
	maxHookMetadata = 8 << 10 // bytes of JSON, sent back with each call
)

// Kinds of event, each a bit. Numbers are stored.
const (
	eventStarted    = 1
	eventPage       = 2
	eventPageFailed = 4 // told as a page without success
	eventCompleted  = 8
	eventFailed     = 16
)

// hookEvents are the names under which partners choose, Firecrawl's.
var hookEvents = map[string]int{
	"started": eventStarted, "page": eventPage | eventPageFailed, "completed": eventCompleted, "failed": eventFailed,
}

// Webhook is where a job's events are posted. Firecrawl writes it as an address or as an object.
type Webhook struct {
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers,omitempty"`  // sent with each call
	Metadata json.RawMessage   `json:"metadata,omitempty"` // sent back in each call
	Events   []string          `json:"events,omitempty"`   // started, page, completed, failed; none: all
}

// UnmarshalJSON accepts both spellings.
func (w *Webhook) UnmarshalJSON(b []byte) error {
	var address string
	if json.Unmarshal(b, &address) == nil {
		*w = Webhook{URL: address}
		return nil
	}
	type object Webhook
	return json.Unmarshal(b, (*object)(w))
}

// ownHeaders are header fields that a call has already, or that belong to the connection.
var ownHeaders = []string{
	"Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade",
	"Proxy-Connection", "Proxy-Authorization", "Expect", "User-Agent", http.CanonicalHeaderKey(signatureHeader),
}

// hookPorts are those a call may go to: web servers', so that no webhook is made to talk to a mail or a database server.
var hookPorts = []string{"", "80", "443", "8080", "8443"}

// check names the first field a partner has to change. That the host is one which may be dialled at all is seen here where
// it can be, and again at each call.
func (w *Webhook) check() error {
	at, err := url.Parse(w.URL)
	switch {
	case len(w.URL) > maxHookURL:
		return fmt.Errorf("webhook: the url has %d bytes, at most %d", len(w.URL), maxHookURL)
	case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https":
		return errors.New("webhook: the url is not an http or https address")
	case at.User != nil:
		return errors.New("webhook: the url carries credentials: send them in headers")
	case !slices.Contains(hookPorts, at.Port()):
		return fmt.Errorf("webhook: port %s is not one of 80, 443, 8080 and 8443", at.Port())
	case len(w.Headers) > maxHookHeaders:
		return fmt.Errorf("webhook: %d headers, at most %d", len(w.Headers), maxHookHeaders)
	case len(w.Metadata) > maxHookMetadata:
		return fmt.Errorf("webhook: metadata has %d bytes, at most %d", len(w.Metadata), maxHookMetadata)
	}
	for name, value := range w.Headers {
		switch {
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || len(name)+len(value) > maxHookHeader:
			return fmt.Errorf("webhook: header %.40q is malformed or too long", name)
		case slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)):
			return fmt.Errorf("webhook: header %s is not yours to set", name)
		}
	}
	if _, err := w.mask(); err != nil {
		return err
	}
	if err := reachable(at); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

// mask is the wanted kinds as bits. Names may carry the job's kind in front, as in the events themselves.
func (w *Webhook) mask() (bits int, err error) {
	if len(w.Events) == 0 {
		return eventStarted | eventPage | eventPageFailed | eventCompleted | eventFailed, nil
	}
	for _, name := range w.Events {
		bit, known := hookEvents[name[strings.LastIndex(name, ".")+1:]]
		if !known {
			return 0, fmt.Errorf("webhook: event %.40q is not one of started, page, completed and failed", name)
		}
		bits |= bit
	}
	return bits, nil
}

// hook stores a new job's webhook and its first event.
func (t *tx) hook(j *job, now time.Time) error {
	w := j.order.Webhook
	if w == nil || j.kind != Crawl && j.kind != Batch {
		return nil
	}
	bits, err := w.mask()
	if err != nil {
		return err
	}
	text, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("keep webhook: %w", err)
	}
	if _, err := t.do("INSERT INTO hooks (job, hook, events) VALUES (?, ?, ?)", j.id, string(text), bits); err != nil {
		return err
	}
	return t.emit(j.id, eventStarted, 0, now)
}

// emit notes an event, if the job has a webhook that wants it, with what it tells of.
func (t *tx) emit(job int64, kind int, ref int64, now time.Time) error {
	_, err := t.do("INSERT INTO events (job, kind, ref, ready_at) SELECT job, ?, ?, ? FROM hooks WHERE job = ? AND events & ? > 0",
		kind, ref, now.UnixMilli(), job, kind)
	return err
}
