package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"sward/crawler"
	"sward/crawler/text"
)

const (
	maxWatchers  = 500                    // connections that watch jobs, of all accounts together
	maxWatchEach = 100                    // of one account; those that say no key are one
	watchEvery   = 300 * time.Millisecond // between two looks at a job: faster than a person sees, one row each
	watchWrite   = 20 * time.Second       // for a message: a client that takes none is gone
	watchPing    = 25 * time.Second       // below the minute after which proxies drop a silent connection
	maxReason    = 120                    // bytes of a close reason, RFC 6455 §5.5.1 allows 123
	maxMessage   = 32 << 10               // bytes of what a client may say, which is nothing
	closeUnknown = websocket.StatusCode(1008)
	closeNoKey   = websocket.StatusCode(3000)
)

// watchers are the connections that watch jobs: an HTTP server forgets a connection that has become a WebSocket, so that
// they are kept here to be ended with it.
type watchers struct {
	ctx  context.Context
	stop context.CancelFunc

	mu    sync.Mutex
	open  int
	each  map[string]int // open, by account; none is 0
	ended sync.WaitGroup
}

func newWatchers() *watchers {
	w := &watchers{each: make(map[string]int)}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

// enter takes a place for an account, if there is one.
func (w *watchers) enter(account string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open >= maxWatchers || w.each[account] >= maxWatchEach || w.ctx.Err() != nil {
		return false
	}
	w.open++
	w.each[account]++
	w.ended.Add(1)
	return true
}

func (w *watchers) leave(account string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open--
	if w.each[account]--; w.each[account] == 0 {
		delete(w.each, account)
	}
	w.ended.Done()
}

// Close ends all connections that watch jobs. Call it when the server takes no more requests.
func (s *API) Close() error {
	s.watchers.mu.Lock()
	s.watchers.stop() // under the lock: nobody enters from here on
	s.watchers.mu.Unlock()
	s.watchers.ended.Wait()
	return nil
}

func isUpgrade(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// message is what is said on a watching connection.
type message struct {
	Type  string `json:"type"` // catchup, document, done or error
	Data  any    `json:"data,omitempty"`
	Error string `json:"error,omitempty"`
}

// watch follows a job over a WebSocket. A browser's client cannot set a header, so that the key is the sub-protocol; it
// has to be echoed, or newer clients take the connection for broken.
func (s *API) watch(w http.ResponseWriter, r *http.Request) {
	key, _, _ := strings.Cut(r.Header.Get("Sec-Websocket-Protocol"), ",")
	key = strings.TrimSpace(key)
	options := &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the key is said, not kept by the browser: another site's page has none
		CompressionMode:    websocket.CompressionDisabled,
	}
	if key != "" {
		options.Subprotocols = []string{key}
	} else {
		key = bearer(r)
	}
	account, refused := s.authorise(r, key) // before a place is taken: strangers have few
	if !s.watchers.enter(account.ID) {
		w.Header().Set("Retry-After", accountsRetry)
		refuse(w, http.StatusServiceUnavailable, "RATE_LIMITED", "too many connections watch jobs")
		return
	}
	defer s.watchers.leave(account.ID)
	conn, err := websocket.Accept(w, r, options)
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow() //nolint:errcheck // after a Close it is nothing
	conn.SetReadLimit(maxMessage)
	ctx, cancel := context.WithCancel(conn.CloseRead(s.watchers.ctx))
	defer cancel()
	if refused != nil {
		closeWith(conn, closeNoKey, message{Type: "error", Error: "Unauthorized"})
		return
	}
	j, err := s.c.Job(ctx, account, r.PathValue("id"))
	if err != nil || j.Kind != crawler.Crawl && j.Kind != crawler.Batch {
		closeWith(conn, closeUnknown, message{Type: "error", Error: "Job not found"})
		return
	}
	viewer := viewer{s: s, conn: conn, v1: isV1(r), job: j}
	viewer.follow(ctx)
}

func closeWith(conn *websocket.Conn, code websocket.StatusCode, m message) {
	m.Error = text.Line(m.Error, maxReason/2)
	reason, err := json.Marshal(m)
	if err != nil || len(reason) > maxReason {
		reason = []byte(`{"type":"error","error":"the job failed"}`)
	}
	conn.Close(code, string(reason)) //nolint:errcheck // a client who has gone hears no reason
}

// viewer is one connection that follows one job.
type viewer struct {
	s    *API
	conn *websocket.Conn
	v1   bool
	job  crawler.Job
	sent int // documents
}

// follow says what there is, then each document as it comes, then the end.
func (v *viewer) follow(ctx context.Context) {
	if err := v.catchUp(ctx); err != nil {
		return
	}
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	ping := time.NewTicker(watchPing)
	defer ping.Stop()
	for {
		if err := v.documents(ctx); err != nil {
			return
		}
		if v.job.State != crawler.Scraping {
			v.end(ctx)
			return
		}
		select {
		case <-ctx.Done():
			v.conn.Close(websocket.StatusGoingAway, "") //nolint:errcheck // nothing is lost: a client polls, or comes again
			return
		case <-ping.C:
			alive, cancel := context.WithTimeout(ctx, watchWrite)
			err := v.conn.Ping(alive)
			cancel()
			if err != nil {
				return
			}
		case <-look.C:
			j, err := v.s.c.Job(ctx, v.job.Account, v.job.ID)
			if err != nil {
				closeWith(v.conn, websocket.StatusInternalError, message{Type: "error", Error: "the job cannot be read"})
				return
			}
			v.job = j
		}
	}
}

// catchUp is the status with the first documents. The others follow one by one, so that no message is too long to take.
func (v *viewer) catchUp(ctx context.Context) error {
	st := newStatus(v.job, time.Now())
	if v.job.State != crawler.Scraping && !v.v1 {
		st.Status = crawler.Scraping.String() // or the client would close before it has the rest
	}
	served, err := v.s.fill(ctx, &st, v.job, 0, crawler.MaxDocuments)
	if err != nil {
		return err
	}
	v.sent = served
	return v.say(ctx, message{Type: "catchup", Data: st})
}

func (v *viewer) documents(ctx context.Context) error {
	for v.sent < v.job.Completed {
		chunk, err := v.s.c.Documents(ctx, v.job, v.sent, min(crawler.MaxDocuments, v.job.Completed-v.sent))
		if err != nil || len(chunk) == 0 {
			return err
		}
		for _, d := range chunk {
			if err := v.say(ctx, message{Type: "document", Data: d}); err != nil {
				return err
			}
		}
		v.sent += len(chunk)
	}
	return nil
}

// end says how the job ended. Clients of version 1 read it off the close. Those of version 2 read it off a last status,
// whose documents they know already, up to a chunk of them: their users find them where the job's result is.
func (v *viewer) end(ctx context.Context) {
	last := message{Type: "done"}
	switch v.job.State {
	case crawler.Failed:
		last = message{Type: "error", Error: v.job.Explain()}
	case crawler.Cancelled:
		last = message{Type: "error", Error: "the job was cancelled"}
	}
	if !v.v1 {
		st := newStatus(v.job, time.Now())
		if _, err := v.s.fill(ctx, &st, v.job, 0, crawler.MaxDocuments); err != nil || v.say(ctx, message{Type: "catchup", Data: st}) != nil {
			return
		}
		if v.say(ctx, last) != nil {
			return // the client took the status for the end, as it may
		}
	}
	closeWith(v.conn, websocket.StatusNormalClosure, last)
}

func (v *viewer) say(ctx context.Context, m message) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, watchWrite)
	defer cancel()
	return v.conn.Write(ctx, websocket.MessageText, raw)
}
