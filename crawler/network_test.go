package crawler

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sward/crawler/fetch"
	"sward/internal/wire"
)

// network is what a crawler sees of the world in a test: a site on loopback and edges that fetch from
// it for real, each over an in-memory stream.
type network struct {
	site *httptest.Server

	mu      sync.Mutex
	edges   []*testEdge
	next    int
	away    wire.Code // not OK: no road can be had, for this reason
	suspect map[string]string
	hits    map[string]int // requests by path
	stored  map[string]int // pages handed to the index by URL
	opens   int
	audits  int
}

// testEdge is honest unless one of its tricks is set.
type testEdge struct {
	name string
	key  ed25519.PrivateKey

	lies  bool                     // changes bodies before it signs them
	forge bool                     // signs with another key
	wrap  func(net.Conn) net.Conn  // of its end of each stream
	allow func(u *url.URL) error   // the owner's word
	dead  atomic.Bool              // takes no more streams
	dial  func() (net.Conn, error) // to the site
}

func newNetwork(t *testing.T, site http.Handler, edges ...*testEdge) *network {
	t.Helper()
	n := &network{suspect: map[string]string{}, hits: map[string]int{}, stored: map[string]int{}}
	n.site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.hits[r.URL.RequestURI()]++
		n.mu.Unlock()
		site.ServeHTTP(w, r)
	}))
	t.Cleanup(n.site.Close)
	if len(edges) == 0 {
		edges = []*testEdge{{}, {}}
	}
	for i, e := range edges {
		e.name = fmt.Sprintf("edge-%d", i)
		e.key = seededKey(i)
		e.dial = func() (net.Conn, error) { return net.Dial("tcp", n.site.Listener.Addr().String()) }
		if e.lies {
			liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := httptest.NewRecorder()
				site.ServeHTTP(answer, r)
				for name, values := range answer.Header() {
					w.Header()[name] = values
				}
				w.WriteHeader(answer.Code)
				w.Write(bytes.ReplaceAll(answer.Body.Bytes(), []byte("honest"), []byte("tampered with, so that nothing of this text is the same any more")))
			}))
			t.Cleanup(liar.Close)
			e.dial = func() (net.Conn, error) { return net.Dial("tcp", liar.Listener.Addr().String()) }
		}
	}
	n.edges = edges
	return n
}

// seededKey is the same in every process of a test.
func seededKey(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i)}, ed25519.SeedSize))
}

func (n *network) pick(avoid []string) (*testEdge, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away != wire.OK {
		return nil, wire.Errorf(n.away, "switched off by the test")
	}
	for range n.edges {
		e := n.edges[n.next%len(n.edges)]
		n.next++
		if !e.dead.Load() && !slices.Contains(avoid, e.name) {
			return e, nil
		}
	}
	return nil, wire.Errorf(wire.NoEdge, "none left")
}

func (n *network) setAway(c wire.Code) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = c
}

func (n *network) openCrawl(ctx context.Context, _ Account, avoid []string) (net.Conn, string, error) {
	e, err := n.pick(avoid)
	if err != nil {
		return nil, "", err
	}
	n.mu.Lock()
	n.opens++
	n.mu.Unlock()
	near, far := net.Pipe()
	if e.wrap != nil {
		far = e.wrap(far)
	}
	f := fetch.New(fetch.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return e.dial() }})
	sign := func(body []byte) []byte {
		if e.forge {
			return make([]byte, ed25519.SignatureSize)
		}
		return ed25519.Sign(e.key, body)
	}
	go func() {
		defer far.Close()
		fetch.Serve(context.WithoutCancel(ctx), far, f, [32]byte{1}, sign, e.allow) // its error is what the crawler sees too
	}()
	return near, e.name, nil
}

func (n *network) openTunnel(_ context.Context, _ Account, _ string, avoid []string) (net.Conn, string, error) {
	e, err := n.pick(avoid)
	if err != nil {
		return nil, "", err
	}
	n.mu.Lock()
	n.audits++
	n.mu.Unlock()
	conn, err := e.dial()
	return conn, e.name, err
}

func (n *network) verify(edge string, attest, sig []byte) bool {
	for _, e := range n.edges {
		if e.name == edge {
			return ed25519.Verify(e.key.Public().(ed25519.PublicKey), attest, sig)
		}
	}
	return false
}

func (n *network) authorise(_ context.Context, key string) (Account, error) {
	switch key {
	case "broke":
		return Account{}, wire.Errorf(wire.BalanceExhausted, "no points left")
	case "alice", "bob":
		return Account{ID: "id-" + key, Name: key, Purpose: "search-index"}, nil
	case "trainer":
		return Account{ID: "id-trainer", Name: key, Purpose: "ai-training"}, nil
	}
	return Account{}, wire.Errorf(wire.AuthFailed, "unknown")
}

// config is a crawler's view of n, without the pauses that only politeness to strangers needs.
func (n *network) config(dir string) Config {
	return Config{
		Dir: dir, OpenCrawl: n.openCrawl, OpenTunnel: n.openTunnel, Verify: n.verify, Authorise: n.authorise,
		Suspect: func(_ context.Context, edge, reason string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.suspect[edge] = reason
		},
		Store: func(_ context.Context, pages ...Page) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, p := range pages {
				if !p.Withdrawn {
					n.stored[p.URL]++
				}
			}
			return nil
		},
		AuditRate: -1, Delay: time.Millisecond, RetryDelay: 5 * time.Millisecond, PageTimeout: 2 * time.Second,
	}
}

func (n *network) suspected() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[string]string{}
	for edge, reason := range n.suspect {
		out[edge] = reason
	}
	return out
}

// partner is a client of a running crawler.
type partner struct {
	t   *testing.T
	c   *Crawler
	api *httptest.Server
	key string
}

// start runs a crawler until the test ends.
func start(t *testing.T, cfg Config) *partner {
	t.Helper()
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	api := httptest.NewServer(c.Handler())
	t.Cleanup(func() {
		api.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: got %v, want nil", err)
		}
	})
	return &partner{t: t, c: c, api: api, key: "alice"}
}

// call sends a request and decodes the JSON answer.
func (p *partner) call(method, path string, body any) (int, map[string]any) {
	p.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = bytes.NewBufferString(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			p.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	address := path
	if path[0] == '/' {
		address = p.api.URL + path
	}
	r, err := http.NewRequest(method, address, in)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.key != "" {
		r.Header.Set("Authorization", "Bearer "+p.key)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		p.t.Fatalf("%s %s: answer %d is not JSON: %v", method, path, resp.StatusCode, err)
	}
	return resp.StatusCode, out
}

type object = map[string]any

// begin starts a crawl and returns its id.
func (p *partner) begin(order object) string {
	p.t.Helper()
	status, got := p.call("POST", "/v2/crawl", order)
	if status != 200 || got["success"] != true {
		p.t.Fatalf("POST /v2/crawl: got %d %v, want 200", status, got)
	}
	return got["id"].(string)
}

// result waits for the end of a crawl and collects its documents over all pages, as an SDK does.
func (p *partner) result(id string) (status object, documents []object) {
	p.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		code, got := p.call("GET", "/v2/crawl/"+id, nil)
		if code != 200 || got["success"] != true {
			p.t.Fatalf("poll: got %d %v, want 200", code, got)
		}
		if got["status"] != "scraping" {
			status = got
			break
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the crawl does not end: %v of %v", got["completed"], got["total"])
		}
		time.Sleep(10 * time.Millisecond) // the API is polled; there is nothing else to wait on
	}
	for page := status; ; {
		for _, d := range page["data"].([]any) {
			documents = append(documents, d.(object))
		}
		next, more := page["next"].(string)
		if !more {
			return status, documents
		}
		code, got := p.call("GET", next, nil)
		if code != 200 || got["success"] != true {
			p.t.Fatalf("next: got %d %v, want 200", code, got)
		}
		page = got
	}
}

// crawl is begin and result.
func (p *partner) crawl(order object) (object, []object) {
	p.t.Helper()
	return p.result(p.begin(order))
}

// paths are the sorted paths and queries of documents' final addresses.
func paths(documents []object) []string {
	list := []string{}
	for _, d := range documents {
		u, err := url.Parse(d["metadata"].(object)["url"].(string))
		if err != nil {
			list = append(list, err.Error())
			continue
		}
		list = append(list, u.RequestURI())
	}
	slices.Sort(list)
	return list
}

// pages is a site: path and query to the body of an HTML page. What is missing is 404.
type pages map[string]string

func (s pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := s[r.URL.RequestURI()]
	if !ok {
		http.NotFound(w, r)
		return
	}
	switch r.URL.Path {
	case "/robots.txt":
		w.Header().Set("Content-Type", "text/plain")
	case "/sitemap.xml":
		w.Header().Set("Content-Type", "application/xml")
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	io.WriteString(w, body)
}

func page(title string, links ...string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!doctype html><html lang=en><head><title>%s</title></head><body><main><h1>%s</h1>", title, title)
	fmt.Fprintf(&b, "<p>This is an honest text about %s, long enough for a reader to see what the page is for.</p>", title)
	for _, l := range links {
		fmt.Fprintf(&b, `<p><a href="%s">to %s</a></p>`, l, l)
	}
	b.WriteString("</main></body></html>")
	return b.String()
}

// tree is a site of n pages in which each leads to three more, to its parent, and to the root.
func tree(n int) (pages, []string) {
	site, all := pages{}, []string{}
	address := func(i int) string {
		if i == 0 {
			return "/"
		}
		return fmt.Sprintf("/p/%d.html", i)
	}
	for i := range n {
		links := []string{"/", address((i - 1) / 3), "/p/logo.png", "mailto:x@site.test", "http://elsewhere.test/"}
		for k := 3*i + 1; k <= 3*i+3 && k < n; k++ {
			links = append(links, address(k)+"#part")
		}
		site[address(i)] = page(fmt.Sprintf("page %d", i), links...)
		all = append(all, address(i))
	}
	slices.Sort(all)
	return site, all
}
