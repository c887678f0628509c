package edge

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sward/accounting"
	"sward/crawler/fetch"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/policy"
)

// crawlSite is a site with pages that try to lead an edge astray.
func crawlSite(t *testing.T, hits *atomic.Int32) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/robots.txt", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "User-agent: *\nDisallow: /secret\n")
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		fmt.Fprint(w, strings.Repeat("page ", 20_000))
	})
	for path, to := range map[string]string{
		"/meta": "http://169.254.169.254/latest", "/lan": "http://private.example/", "/bank": "https://www.chase.com/",
		"/mail": "http://site.example:25/",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestEdgeCrawlsWithinItsOwnersRules(t *testing.T) {
	var hits atomic.Int32
	r := newTestRelay(t)
	e, _ := testEdge(t, r, crawlSite(t, &hits))
	s := r.next()
	g := r.grant()
	st, _, err := s.Open(t.Context(), wire.Open{Grant: g.Bytes(), App: wire.AppCrawl, Hops: 1})
	if err != nil {
		t.Fatal(err)
	}
	flow, err := s.meter.Flow(st.ID(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	paid := paidByTest{st, flow}
	got := map[string]fetch.Result{}
	urls := []string{
		"http://site.example/page", "http://site.example/secret", // 0, 1
		"http://site.example/meta", "http://site.example/lan", "http://site.example/bank", "http://site.example/mail",
	}
	err = fetch.Remote(t.Context(), paid, fetch.Batch{Job: [16]byte{1}, URLs: urls, Deadline: time.Minute}, func(p fetch.Result) error {
		got[urls[p.Index]] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page := got["http://site.example/page"]
	if page.Code != wire.OK || page.Status != 200 || len(page.Body) != 100_000 {
		t.Errorf("page: got %s, status %d, %d bytes; want ok, 200, 100000", page.Code, page.Status, len(page.Body))
	}
	if !e.ID().Verify(testNetwork, "fetch", page.Attest, page.Sig) {
		t.Error("the page's attestation is not signed by this edge")
	}
	if attest, err := wire.ParseAttest(page.Attest); err != nil || attest.Channel != s.meter.ID() {
		t.Errorf("attestation: %+v, %v; want it for this channel", attest, err)
	}
	if p := got["http://site.example/secret"]; p.Code != wire.RobotsDenied {
		t.Errorf("what robots.txt forbids: got %s, want %s", p.Code, wire.RobotsDenied)
	}
	for _, path := range []string{"meta", "lan", "bank", "mail"} { // A23
		if p := got["http://site.example/"+path]; p.Code == wire.OK || len(p.Body) > 1000 {
			t.Errorf("redirect %s: got %s and %d bytes, want a refusal", path, p.Code, len(p.Body))
		}
	}
	st.Close()
	s.Send(flow.Close())
	eventually(t, "the stream has ended", func() bool { return e.live.count() == 0 })
	status := e.Status(t.Context())
	for _, rule := range []wire.Code{wire.DestLinkLocal, wire.DestPrivate, wire.CategoryDenied, wire.PortMail} {
		if status.RefusedToday[rule.Name()] == 0 {
			t.Errorf("the owner does not see that %s was refused: %v", rule, status.RefusedToday)
		}
	}
	// Caps count what was exchanged with the site, uncompressed; the channel counts the compressed frames.
	if used := status.Today.Bytes; used < 100_000 || used > 120_000 {
		t.Errorf("the cap counts %d bytes, want those of the page and some heads", used)
	}
	eventually(t, "the frames are in a receipt", func() bool { last := s.meter.Last(); return last.Down > 0 && last.Up > 0 })
	if last := s.meter.Last(); last.Down > 50_000 {
		t.Errorf("the receipt counts %d bytes down, want compressed frames", last.Down)
	}
	if day := e.Line().Today; day.Pages == 0 || len(day.Challenges) != 0 {
		t.Errorf("of the line the owner sees %+v, want pages and no challenge", day)
	}
	if n := hits.Load(); n != 1 {
		t.Errorf("the site served its page %d times, want once", n)
	}
	if len(status.Sites) != 1 || status.Sites[0].Site != "site.example" {
		t.Errorf("the owner sees %+v, want site.example", status.Sites)
	}
}

// paidByTest counts a crawl stream as a relay does.
type paidByTest struct {
	*tunnel.Stream
	flow *accounting.Flow
}

func (c paidByTest) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	c.flow.Down(n)
	return n, err
}

func (c paidByTest) Write(p []byte) (int, error) {
	n, err := c.Stream.Write(p)
	c.flow.Up(n)
	return n, err
}

func TestCrawlOffMeansOff(t *testing.T) {
	var hits atomic.Int32
	r := newTestRelay(t)
	testEdge(t, r, crawlSite(t, &hits), func(c *Config) { c.Settings.Policy.Apps = []policy.App{policy.AppProxy} })
	s := r.next()
	if s.hello.Apps.Has(wire.AppCrawl) {
		t.Error("the edge offers crawling")
	}
	_, _, err := s.Open(t.Context(), wire.Open{Grant: r.grant().Bytes(), App: wire.AppCrawl, Hops: 1})
	if wire.CodeOf(err) != wire.AppDenied {
		t.Errorf("got %v, want %s", err, wire.AppDenied)
	}
	_, _, err = s.Open(t.Context(), wire.Open{Grant: r.grant().Bytes(), App: 77, Hops: 1, Host: "site.example", Port: 443})
	if wire.CodeOf(err) != wire.AppDenied {
		t.Errorf("an unknown app: got %v, want %s", err, wire.AppDenied)
	}
	_, _, err = s.Open(t.Context(), wire.Open{Grant: r.grant().Bytes(), App: wire.AppProxy, Hops: 11, Host: "site.example", Port: 443})
	if wire.CodeOf(err) != wire.Loop {
		t.Errorf("eleven relays: got %v, want %s", err, wire.Loop)
	}
}

func TestDialsWithoutABatchGoNowhere(t *testing.T) {
	e := &Edge{dialer: &dialer{}} // has no way out at all
	if _, err := e.dialForCrawl(t.Context(), "tcp", "site.example:443"); wire.CodeOf(err) != wire.Internal {
		t.Errorf("got %v, want %s", err, wire.Internal)
	}
}
