package crawler

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
	"sward/internal/wire"
)

// cutConn closes itself after so many bytes were written.
type cutConn struct {
	net.Conn
	left atomic.Int64
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.left.Add(-int64(len(p))) < 0 {
		c.Close()
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(p)
}

// muteConn takes the batch and never says a word.
type muteConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *muteConn) Write([]byte) (int, error) {
	<-c.closed
	return 0, io.ErrClosedPipe
}

func (c *muteConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *muteConn) SetWriteDeadline(time.Time) error { return nil }

func TestCrawlMissesNothingWithHostileEdges(t *testing.T) {
	site, all := crawltest.Tree(60)
	honest := func() *crawltest.Edge { return &crawltest.Edge{} }
	tests := map[string]struct {
		edge    *crawltest.Edge
		suspect bool
		doubted bool // suspended by and by
	}{
		"dies in mid-batch":         {edge: &crawltest.Edge{Wrap: func(c net.Conn) net.Conn { x := &cutConn{Conn: c}; x.left.Store(3000); return x }}},
		"says nothing":              {edge: &crawltest.Edge{Wrap: func(c net.Conn) net.Conn { return &muteConn{Conn: c, closed: make(chan struct{})} }}},
		"signs with a foreign key":  {edge: &crawltest.Edge{Forge: true}, suspect: true},
		"changes pages":             {edge: &crawltest.Edge{Lies: true}, doubted: true},
		"its owner allows nothing":  {edge: &crawltest.Edge{Allow: denyAll}},
		"its DNS knows nothing":     {edge: &crawltest.Edge{}, suspect: false},
		"speaks something else":     {edge: &crawltest.Edge{Wrap: func(c net.Conn) net.Conn { return &babbler{c} }}, suspect: true},
		"closes without a sentence": {edge: &crawltest.Edge{Wrap: func(c net.Conn) net.Conn { x := &cutConn{Conn: c}; return x }}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := crawltest.New(t, site, test.edge, honest(), honest())
			if name == "its DNS knows nothing" {
				test.edge.Dial = func() (net.Conn, error) { return nil, &net.DNSError{Err: "no such host", IsNotFound: true} }
			}
			cfg := config(n, t.TempDir())
			cfg.AuditRate = 1
			if name == "says nothing" {
				cfg.PageTimeout = 200 * time.Millisecond
			}
			p := start(t, cfg)
			status, documents := p.crawl(object{"url": root})
			if diff := cmp.Diff(all, paths(documents)); diff != "" {
				t.Errorf("pages of a crawl that is %v (-want +got):\n%s", status.State, diff)
			}
			for _, d := range documents {
				if text := d["markdown"].(string); !strings.Contains(text, "honest") {
					t.Errorf("delivered text: got %q, want the site's own", text)
				}
				how := d["metadata"].(object)["provenance"].(object)
				if how["audited"] == auditMismatch && how["exit"] == "edge-0" {
					t.Errorf("a page that the audit refused was delivered: %v", how)
				}
			}
			if _, got := n.Suspected()["edge-0"]; got != test.suspect && !test.doubted {
				t.Errorf("suspected: got %v, want the hostile edge there: %v", n.Suspected(), test.suspect)
			}
			for _, e := range p.c.Edges() {
				if got := e.Doubted(); got != (e.ID == "edge-0" && (test.suspect || test.doubted)) {
					t.Errorf("%s is %s: %+v, want only an edge that changes pages in doubt", e.ID, e.Name, e.Standing)
				}
			}
			if _, got := n.Suspected()["edge-1"]; got {
				t.Errorf("suspected: got %v, want no honest edge", n.Suspected())
			}
		})
	}
}

// TestEdgeDoesNotSpeakForTheAccount: that a balance or a cap is used up, the books say.
func TestEdgeDoesNotSpeakForTheAccount(t *testing.T) {
	site, all := crawltest.Tree(20)
	for _, code := range []wire.Code{wire.BalanceExhausted, wire.AuthFailed, wire.PartnerCap} {
		t.Run(code.Name(), func(t *testing.T) {
			liar := &crawltest.Edge{Allow: func(*url.URL) error { return wire.Errorf(code, "so it says") }}
			n := crawltest.New(t, site, liar, &crawltest.Edge{}, &crawltest.Edge{})
			p := start(t, config(n, t.TempDir()))
			status, documents := p.crawl(object{"url": root})
			if diff := cmp.Diff(all, paths(documents)); diff != "" {
				t.Errorf("pages of a crawl that is %v, %s (-want +got):\n%s", status.State, status.Failure, diff)
			}
		})
	}
}

// A site that shows every reader another page, or lets one reader in and not the next, is no proof against an edge.
func TestChangeableSiteAccusesNoEdge(t *testing.T) {
	words := strings.Fields("anvil birch cobalt dune ember fjord garnet harbour indigo juniper kelp lagoon marble nettle opal prairie")
	var read, asked atomic.Int64
	mux := http.NewServeMux()
	mux.Handle("/", crawltest.Site{"/": crawltest.Page("root", "/moody", "/once")})
	mux.HandleFunc("/moody", func(w http.ResponseWriter, r *http.Request) {
		n := int(read.Add(1))
		text := strings.Repeat(words[n%len(words)]+" "+words[n*7%len(words)]+" "+words[n*5%len(words)]+" ", 20)
		crawltest.Site{"/moody": crawltest.Page(words[n%len(words)]) + text}.ServeHTTP(w, r)
	})
	mux.HandleFunc("/once", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			http.Error(w, "you are a robot", http.StatusForbidden)
			return
		}
		crawltest.Site{"/once": crawltest.Page("once")}.ServeHTTP(w, r)
	})
	n := crawltest.New(t, mux, &crawltest.Edge{}, &crawltest.Edge{}, &crawltest.Edge{})
	cfg := config(n, t.TempDir())
	cfg.AuditRate = 1
	p := start(t, cfg)
	_, documents := p.crawl(object{"url": root, "sitemap": "skip"})
	if diff := cmp.Diff([]string{"/", "/moody", "/once"}, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if got := n.Suspected(); len(got) != 0 {
		t.Errorf("suspected: got %v, want nobody", got)
	}
}

func denyAll(*url.URL) error { return wire.Errorf(wire.DomainDenied, "not here") }

// babbler answers with bytes that are no frames of the protocol.
type babbler struct{ net.Conn }

func (c *babbler) Write(p []byte) (int, error) {
	_, err := c.Conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwhat"))
	return len(p), err
}

func TestJobWaitsForEdgesWithoutCountingAttempts(t *testing.T) {
	site, all := crawltest.Tree(40)
	n := crawltest.New(t, site)
	n.SetAway(wire.NoEdge)
	p := start(t, config(n, t.TempDir()))
	job := p.begin(Crawl, object{"url": root})
	for range 3 * maxAttempts { // passes in which no road is to be had
		waitFor(t, "another look for an edge", func() bool { return stalled(t, p.c, job) })
	}
	n.SetAway(wire.OK)
	_, documents := p.result(job)
	if diff := cmp.Diff(all, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func stalled(t *testing.T, c *Crawler, j Job) bool {
	t.Helper()
	now, err := c.Job(t.Context(), alice, j.ID)
	if err != nil {
		t.Fatal(err)
	}
	return !now.Stalled.IsZero()
}

// waitFor polls a fact that another goroutine brings about.
func waitFor(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !fact(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

func TestJobFailsWhenNoEdgeComes(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	n.SetAway(wire.HubAway)
	cfg := config(n, t.TempDir())
	cfg.MaxStall = time.Millisecond
	var released sync.Map
	cfg.Release = func(_ context.Context, a Account) { released.Store(a.ID, true) }
	p := start(t, cfg)
	job := p.begin(Crawl, object{"url": root})
	waitFor(t, "the first look for an edge", func() bool { return stalled(t, p.c, job) })
	waitFor(t, "the end of the job", func() bool {
		if err := p.c.tidyOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		return p.status(job).State == Failed
	})
	if reason := p.status(job).Explain(); !strings.HasPrefix(reason, "no_edge") {
		t.Errorf("error: got %q, want it to start with no_edge", reason)
	}
	if _, ok := released.Load("id-alice"); !ok {
		t.Error("the account's grants were not released")
	}
}

func TestJobFailsWhenBalanceIsExhausted(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	n.SetAway(wire.BalanceExhausted)
	p := start(t, config(n, t.TempDir()))
	status, _ := p.crawl(object{"url": root})
	if reason := status.Explain(); status.State != Failed || !strings.HasPrefix(reason, "balance_exhausted") {
		t.Errorf("got %v %q, want failed, balance_exhausted", status.State, reason)
	}
}

func TestCrawlOfDeadSiteEnds(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	for _, e := range n.Edges {
		e.Dial = func() (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
	}
	p := start(t, config(n, t.TempDir()))
	status, documents := p.crawl(object{"url": root})
	if status.State != Failed || len(documents) != 0 {
		t.Errorf("got %v with %d documents, want failed with none", status.State, len(documents))
	}
}

func TestHostIsGivenUpWithAllItsPages(t *testing.T) {
	links := []string{}
	for i := range 100 {
		links = append(links, "/"+strings.Repeat("x", i+1))
	}
	var down atomic.Bool
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" { // the last page that anybody gets
			down.Store(true)
			w.Header().Set("Connection", "close")
		}
		crawltest.Site{"/": crawltest.Page("root", links...)}.ServeHTTP(w, r)
	}))
	for _, e := range n.Edges {
		dial := e.Dial
		e.Dial = func() (net.Conn, error) {
			if down.Load() {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
			}
			return dial()
		}
	}
	cfg := config(n, t.TempDir())
	cfg.BatchSize = 2
	p := start(t, cfg)
	job := p.begin(Crawl, object{"url": root, "sitemap": "skip"})
	status, documents := p.result(job)
	if failed := len(p.failed(job)); len(documents) != 1 || failed != 100 || status.State != Completed {
		t.Errorf("got %v with %d documents and %d errors, want completed with 1 and 100", status.State, len(documents), failed)
	}
	if n.Opens() > 2*maxHostFailures {
		t.Errorf("streams opened for a dead host: got %d, want at most %d", n.Opens(), 2*maxHostFailures)
	}
}

func TestHostIsFetchedByOneEdgeAtATime(t *testing.T) {
	site, _ := crawltest.Tree(40)
	var now, most atomic.Int32
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if in := now.Add(1); in > most.Load() {
			most.Store(in)
		}
		time.Sleep(time.Millisecond) // long enough for an impolite second request to meet this one
		site.ServeHTTP(w, r)
		now.Add(-1)
	}), &crawltest.Edge{}, &crawltest.Edge{}, &crawltest.Edge{}, &crawltest.Edge{})
	cfg := config(n, t.TempDir())
	cfg.BatchSize, cfg.AuditRate = 3, 0.5
	p := start(t, cfg)
	jobs := []Job{}
	for range 4 {
		jobs = append(jobs, p.begin(Crawl, object{"url": root}))
	}
	for _, job := range jobs {
		if _, documents := p.result(job); len(documents) != 40 {
			t.Errorf("documents: got %d, want 40", len(documents))
		}
	}
	if most.Load() != 1 {
		t.Errorf("requests at the same time: got %d, want 1", most.Load())
	}
}

func TestBusyHostIsLeftAlone(t *testing.T) {
	var asked atomic.Int32
	var first, second atomic.Int64
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		if asked.Add(1) == 1 {
			first.Store(time.Now().UnixNano())
			w.Header().Set("Retry-After", "1")
			http.Error(w, "busy", http.StatusTooManyRequests)
			return
		}
		second.Store(time.Now().UnixNano())
		crawltest.Site{"/": crawltest.Page("root")}.ServeHTTP(w, r)
	}))
	p := start(t, config(n, t.TempDir()))
	_, documents := p.crawl(object{"url": root, "sitemap": "skip"})
	if len(documents) != 1 || asked.Load() != 2 {
		t.Errorf("got %d documents after %d requests, want 1 after 2", len(documents), asked.Load())
	}
	if pause := time.Duration(second.Load() - first.Load()); pause < time.Second {
		t.Errorf("pause after Retry-After: 1: got %v, want at least 1 s", pause)
	}
}

func TestHostsCrawlDelayIsKeptForTheNextLease(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root"), "/robots.txt": "User-agent: *\nCrawl-delay: 1\n"})
	cfg := config(n, t.TempDir())
	p := start(t, cfg)
	before := time.Now().UnixMilli()
	p.crawl(object{"url": root, "sitemap": "skip"})
	waitFor(t, "the end of the lease", func() bool { return p.c.frontier.count() == 0 })
	var delay, ready int64
	if err := p.c.store.row(t.Context(), "SELECT delay, ready_at FROM hosts WHERE host = 'site.test'").Scan(&delay, &ready); err != nil {
		t.Fatal(err)
	}
	if delay != 1000 {
		t.Errorf("delay of the host: got %d ms, want 1000", delay)
	}
	if ready < before+1000 {
		t.Errorf("the host is ready %d ms after the crawl's start, want at least a second", ready-before)
	}
}

func TestTunnelExecutionFetchesEverythingHere(t *testing.T) {
	site, all := crawltest.Tree(20)
	n := crawltest.New(t, site)
	p := start(t, config(n, t.TempDir()))
	_, documents := p.crawl(object{"url": root, "execution": "tunnel"})
	if diff := cmp.Diff(all, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	for _, d := range documents {
		how := d["metadata"].(object)["provenance"].(object)
		if how["execution"] != "tunnel" || how["edge"] != nil || how["exit"] == "" {
			t.Errorf("provenance: got %v, want a tunnel through an edge that attests nothing", how)
		}
	}
	if n.Opens() != 0 {
		t.Errorf("crawl streams: got %d, want 0", n.Opens())
	}
}

func TestJudgeKnowsEveryCode(t *testing.T) {
	for _, code := range wire.Codes() {
		switch got := judge(code); {
		case code.Owner() == wire.OwnerTarget && got == wait:
			t.Errorf("%s: got wait, want an end: a target can let us wait for ever", code.Name())
		case code.Owner() == wire.OwnerRelay && got == fail:
			t.Errorf("%s: got fail, want patience: the page is not to blame", code.Name())
		}
	}
}
