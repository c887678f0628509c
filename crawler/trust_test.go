package crawler

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
	"sward/crawler/trust"
)

const safe = "https://example.com/" // the name in the certificate of every httptest server

// secure serves a site over TLS and returns how to reach it.
func secure(t *testing.T, site http.Handler) (*httptest.Server, func() (net.Conn, error)) {
	t.Helper()
	s := httptest.NewTLSServer(site)
	t.Cleanup(s.Close)
	return s, func() (net.Conn, error) { return net.Dial("tcp", s.Listener.Addr().String()) }
}

// overTLS is a crawler before a site with TLS and three edges that reach it.
func overTLS(t *testing.T, site http.Handler) (*crawltest.Network, Config) {
	t.Helper()
	n := crawltest.New(t, site, &crawltest.Edge{}, &crawltest.Edge{}, &crawltest.Edge{})
	s, dial := secure(t, site)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for _, e := range n.Edges {
		e.Dial, e.Roots = dial, roots
	}
	cfg := config(n, t.TempDir())
	cfg.Roots, cfg.AuditRate = roots, 1
	cfg.OpenThrough = func(_ context.Context, _ Account, _, edge string) (net.Conn, error) { return n.OpenThrough(edge) }
	return n, cfg
}

func someSite(what string) crawltest.Site {
	return crawltest.Site{"/": crawltest.Page(what+" root", "/a", "/b", "/c"), "/a": crawltest.Page(what + " a"), "/b": crawltest.Page(what + " b"), "/c": crawltest.Page(what + " c")}
}

// crawlUntil crawls until an edge has brought pages, and holds every delivered page to the words it has to have.
func crawlUntil(t *testing.T, n *crawltest.Network, p *partner, edge string, words ...string) (e Edge, how []object) {
	t.Helper()
	for range 12 {
		_, documents := p.crawl(object{"url": safe, "sitemap": "skip"})
		if diff := cmp.Diff([]string{"/", "/a", "/b", "/c"}, paths(documents)); diff != "" {
			t.Fatalf("pages (-want +got):\n%s", diff)
		}
		for _, d := range documents {
			how = append(how, d["metadata"].(object)["provenance"].(object))
			text := d["markdown"].(string)
			for _, w := range words {
				if strings.Contains(text, w) {
					text = ""
				}
			}
			if text != "" {
				t.Errorf("delivered: got %q, want one of %q in it", text, words)
			}
		}
		for _, e := range p.c.Edges() {
			if e.ID == edge && e.Matches+e.Mismatches > 0 {
				return e, how
			}
		}
		if conn, _, err := n.OpenTunnel(nil); err == nil { // edges take turns: another one begins
			conn.Close()
		}
	}
	t.Fatalf("%s has brought nothing in 12 crawls", edge)
	return e, how
}

// I02: what an edge alters over TLS is proven by its own line, on which it can alter nothing.
func TestEdgeThatAltersOverTLSIsConvictedByItsOwnLine(t *testing.T) {
	n, cfg := overTLS(t, someSite("honest"))
	_, forged := secure(t, someSite("forged"))
	n.Edges[0].Pass, n.Edges[0].Dial = n.Edges[0].Dial, forged
	p := start(t, cfg)
	e, how := crawlUntil(t, n, p, n.Edges[0].Name, "honest")
	if e.Name != "watched" || e.Sum < trust.WeightOwnLine {
		t.Errorf("the liar is %s with %v against it, want watched with at least %v", e.Name, e.Sum, trust.WeightOwnLine)
	}
	found := false
	for _, h := range how {
		if h["audited"] == auditMismatch {
			found = true
			if h["execution"] != "tunnel" || h["edge"] != nil {
				t.Errorf("a page that the edge altered was delivered as %v, want one from the tunnel", h)
			}
		}
	}
	if diff := cmp.Diff([]string{n.Edges[0].Name}, doubted(p.c)); diff != "" || !found {
		t.Errorf("in doubt (-want +got):\n%s\nsome page is marked: %v", diff, found)
	}
}

// A site that shows one address another page accuses nobody: that address is asked.
func TestSiteThatKnowsWhereItsReadersAreAccusesNobody(t *testing.T) {
	n, cfg := overTLS(t, someSite("honest"))
	_, abroad := secure(t, someSite("foreign"))
	n.Edges[0].Dial = abroad // all of its connections end at the site's other face
	p := start(t, cfg)
	e, how := crawlUntil(t, n, p, n.Edges[0].Name, "honest", "foreign")
	if e.Mismatches > 0 || e.Matches == 0 || len(doubted(p.c)) > 0 {
		t.Errorf("%s: %+v, in doubt %v: want only matches", e.Name, e.Standing, doubted(p.c))
	}
	for _, h := range how {
		if h["audited"] != auditMatch {
			t.Errorf("audited: got %v, want %s", h["audited"], auditMatch)
		}
	}
}

// I03: on the tunnel road an edge with a certificate of its own, or with none, gets nowhere.
func TestEdgeThatEndsTLSItselfDeliversNothing(t *testing.T) {
	n, cfg := overTLS(t, someSite("honest"))
	plain := httptest.NewServer(someSite("stripped"))
	t.Cleanup(plain.Close)
	n.Edges[0].Dial = func() (net.Conn, error) { return net.Dial("tcp", plain.Listener.Addr().String()) }
	own := httptest.NewUnstartedServer(someSite("forged"))
	own.TLS = selfSigned(t)
	own.StartTLS()
	t.Cleanup(own.Close)
	n.Edges[1].Dial = func() (net.Conn, error) { return net.Dial("tcp", own.Listener.Addr().String()) }
	p := start(t, cfg)
	_, documents := p.crawl(object{"url": safe, "sitemap": "skip", "execution": "tunnel"})
	if diff := cmp.Diff([]string{"/", "/a", "/b", "/c"}, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	for _, d := range documents {
		if exit := d["metadata"].(object)["provenance"].(object)["exit"]; exit != n.Edges[2].Name {
			t.Errorf("exit: got %v, want the one edge that passes TLS on", exit)
		}
	}
}

// I05: what an edge cannot get and others can is noted against it, by site.
func TestEdgeThatBlocksSitesSilentlyIsShown(t *testing.T) {
	site, _ := crawltest.Tree(30)
	n := crawltest.New(t, site, &crawltest.Edge{}, &crawltest.Edge{})
	n.Edges[0].Dial = func() (net.Conn, error) { return nil, &net.DNSError{Err: "no such host", IsNotFound: true} }
	p := start(t, config(n, t.TempDir()))
	p.crawl(object{"url": root})
	for _, e := range p.c.Edges() {
		if (e.Missed > 0) != (e.ID == n.Edges[0].Name) || e.Missed > 0 && e.Sites["site.test"] == 0 {
			t.Errorf("%s has missed %d pages at %v, want only the edge that blocks", e.ID, e.Missed, e.Sites)
		}
	}
}

func TestStandingsOutliveTheProcess(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	dir := t.TempDir()
	c, err := Open(config(n, dir))
	if err != nil {
		t.Fatal(err)
	}
	c.edges.page("a")
	c.edges.match("a", "site.test")
	if guilty, err := c.edges.strike("b", "site.test", 1, trust.WeightTLS); guilty || err != nil {
		t.Fatalf("strike: got %v, %v", guilty, err)
	}
	if guilty, err := c.edges.forged("c"); !guilty || err != nil {
		t.Fatalf("forged: got %v, %v", guilty, err)
	}
	want := c.Edges()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(config(n, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got := again.Edges()
	for i := range got {
		got[i].Seen, want[i].Seen = want[i].Seen.Truncate(0), want[i].Seen.Truncate(0) // whole milliseconds are kept
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 3 {
		t.Errorf("standings after a restart (-before +after):\n%s", diff)
	}
	if again.edges.takes("c") || !again.edges.takes("a") {
		t.Error("leases: want none for the suspended edge, and one for the honest")
	}
}

// selfSigned is a certificate for the site's name that nobody has signed for.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
}

// I01: an edge that changes a page of which the operator knows the body is suspended at first sight, and the page is not
// delivered.
func TestEdgeThatChangesACanaryIsSuspendedAtOnce(t *testing.T) {
	site := crawltest.Site{"/": crawltest.Page("root")}
	n := crawltest.New(t, site, &crawltest.Edge{Lies: true}, &crawltest.Edge{})
	cfg := config(n, t.TempDir()) // no page is checked by a second road
	cfg.Canaries = map[string][32]byte{root: sha256.Sum256([]byte(site["/"]))}
	p := start(t, cfg)
	for range 4 {
		_, documents := p.crawl(object{"url": root, "sitemap": "skip"})
		if len(documents) != 1 || !strings.Contains(documents[0]["markdown"].(string), "honest") {
			t.Fatalf("delivered: got %v, want the site's own page", documents)
		}
	}
	if got := n.Suspected(); len(got) != 1 || got[n.Edges[0].Name] == "" {
		t.Errorf("suspended: got %v, want the liar alone", got)
	}
}

// The page is as the site sent it, and what the site says of its use is not in the head that the edge signed.
func TestEdgeCannotKeepBackWhatASiteReserves(t *testing.T) {
	site := crawltest.Site{"/": crawltest.Page("root")}
	reserving := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Usage", "train-ai=n")
		site.ServeHTTP(w, r)
	})
	n := crawltest.New(t, reserving, &crawltest.Edge{}, &crawltest.Edge{}, &crawltest.Edge{})
	stripping := httptest.NewServer(site)
	t.Cleanup(stripping.Close)
	n.Edges[0].Dial = func() (net.Conn, error) { return net.Dial("tcp", stripping.Listener.Addr().String()) }
	cfg := config(n, t.TempDir())
	cfg.AuditRate = 1
	p := start(t, cfg)
	p.account = trainer
	for range 12 { // edges take turns
		job, documents := p.crawl(object{"url": root, "sitemap": "skip", "limit": 1, "scrapeOptions": object{"maxAge": 0}})
		if len(documents) != 0 {
			t.Fatalf("job %s delivered a page whose site reserves it from training", job.ID)
		}
		for _, e := range p.c.Edges() {
			if e.ID == n.Edges[0].Name && e.Matches > 0 {
				return
			}
		}
		if conn, _, err := n.OpenTunnel(nil); err == nil { // another one begins
			conn.Close()
		}
	}
	t.Error("no page came through the edge that keeps back; the test shows nothing")
}
