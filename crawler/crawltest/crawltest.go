// Package crawltest is the world a crawler sees in a test: a site on loopback, and edges that fetch from it for real,
// each over an in-memory stream and with a signature of its own. It does not know the crawler, so that the crawler's
// own tests and those of its doors are built on the same world; what joins the two is a few lines in each.
//
// Edges are honest unless one of their tricks is set, and the test may take them away, all or one, while it runs.
package crawltest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"sward/crawler/fetch"
	"sward/internal/wire"
)

// Network is a site and the edges that fetch from it.
type Network struct {
	Site  *httptest.Server // nil in a process that only fetches
	Edges []*Edge

	mu      sync.Mutex
	next    int
	away    wire.Code // not OK: no road can be had, for this reason
	suspect map[string]string
	hits    map[string]int // requests by path and query
	stored  map[string]int // pages handed to the index by URL
	opens   int
	audits  int
}

// Edge is honest unless one of its tricks is set.
type Edge struct {
	Name string
	Key  ed25519.PrivateKey

	Lies  bool                     // changes bodies before it signs them
	Forge bool                     // signs with another key
	Wrap  func(net.Conn) net.Conn  // of its end of each stream
	Allow func(u *url.URL) error   // the owner's word
	Dead  atomic.Bool              // takes no more streams
	Dial  func() (net.Conn, error) // to the site
	Pass  func() (net.Conn, error) // to the site for a tunnel, where that is not Dial
	Roots *x509.CertPool           // for TLS of its own
}

// New starts a site with edges before it: two, if none are given.
func New(t testing.TB, site http.Handler, edges ...*Edge) *Network {
	t.Helper()
	if len(edges) == 0 {
		edges = []*Edge{{}, {}}
	}
	n := Before("", edges...)
	n.Site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.hits[r.URL.RequestURI()]++
		n.mu.Unlock()
		site.ServeHTTP(w, r)
	}))
	t.Cleanup(n.Site.Close)
	for _, e := range edges {
		front := n.Site
		if e.Lies {
			front = httptest.NewServer(tampered(site))
			t.Cleanup(front.Close)
		}
		e.Dial = func() (net.Conn, error) { return dial(front.Listener.Addr().String()) }
	}
	return n
}

// Before is edges before a site that another process serves at hostport.
func Before(hostport string, edges ...*Edge) *Network {
	n := &Network{Edges: edges, suspect: map[string]string{}, hits: map[string]int{}, stored: map[string]int{}}
	for i, e := range edges {
		e.Name = fmt.Sprintf("edge-%d", i)
		e.Key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i)}, ed25519.SeedSize)) // the same in every process of a test
		e.Dial = func() (net.Conn, error) { return dial(hostport) }
	}
	return n
}

// tampered is the site as a lying edge shows it.
func tampered(site http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		site.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(bytes.ReplaceAll(answer.Body.Bytes(), []byte("honest"), []byte("tampered with, so that nothing of this text is the same any more")))
	})
}

func (n *Network) pick(avoid []string) (*Edge, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away != wire.OK {
		return nil, wire.Errorf(n.away, "switched off by the test")
	}
	for range n.Edges {
		e := n.Edges[n.next%len(n.Edges)]
		n.next++
		if !e.Dead.Load() && !slices.Contains(avoid, e.Name) {
			return e, nil
		}
	}
	return nil, wire.Errorf(wire.NoEdge, "none left")
}

// SetAway takes all roads away, for a reason; wire.OK brings them back.
func (n *Network) SetAway(c wire.Code) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = c
}

// OpenCrawl opens a crawl stream to an edge that is not in avoid.
func (n *Network) OpenCrawl(ctx context.Context, avoid []string) (net.Conn, string, error) {
	e, err := n.pick(avoid)
	if err != nil {
		return nil, "", err
	}
	n.mu.Lock()
	n.opens++
	n.mu.Unlock()
	near, far := net.Pipe()
	if e.Wrap != nil {
		far = e.Wrap(far)
	}
	f := fetch.New(fetch.Config{Roots: e.Roots, Dial: func(context.Context, string, string) (net.Conn, error) { return e.Dial() }})
	sign := func(body []byte) []byte {
		if e.Forge {
			return make([]byte, ed25519.SignatureSize)
		}
		return ed25519.Sign(e.Key, body)
	}
	go func() {
		defer far.Close()
		_ = fetch.Serve(context.WithoutCancel(ctx), far, f, [32]byte{1}, sign, e.Allow) // its error is what the crawler sees too
	}()
	return near, e.Name, nil
}

// OpenTunnel opens a connection to the site through an edge that is not in avoid.
func (n *Network) OpenTunnel(avoid []string) (net.Conn, string, error) {
	e, err := n.pick(avoid)
	if err != nil {
		return nil, "", err
	}
	n.mu.Lock()
	n.audits++
	n.mu.Unlock()
	conn, err := e.pass()
	return conn, e.Name, err
}

// OpenThrough opens a connection to the site through one certain edge.
func (n *Network) OpenThrough(name string) (net.Conn, error) {
	for _, e := range n.Edges {
		if e.Name == name && !e.Dead.Load() {
			return e.pass()
		}
	}
	return nil, wire.Errorf(wire.NoEdge, "%s is not there", name)
}

func (e *Edge) pass() (net.Conn, error) {
	if e.Pass != nil {
		return e.Pass()
	}
	return e.Dial()
}

// Verify checks an edge's signature.
func (n *Network) Verify(edge string, attest, sig []byte) bool {
	for _, e := range n.Edges {
		if e.Name == edge {
			return ed25519.Verify(e.Key.Public().(ed25519.PublicKey), attest, sig)
		}
	}
	return false
}

func dial(hostport string) (net.Conn, error) {
	return new(net.Dialer).DialContext(context.Background(), "tcp", hostport)
}
