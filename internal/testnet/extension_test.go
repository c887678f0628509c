package testnet_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"sward/accounting"
	"sward/edge"
	"sward/internal/hub"
	"sward/internal/identity"
	"sward/internal/sandbox"
	"sward/internal/splice"
	"sward/internal/testnet"
	"sward/policy"
	"sward/relay"
)

const (
	browserScript = "../../extension/testdata/browser.mjs"
	browserTerms  = "../../extension/consent.txt"
)

// The extension's own worker, in a stand-in for a browser, fetches a crawl job through a real relay, and is credited
// for it by the hub. The one other edge does not serve crawls.
func TestBrowserFetchesACrawlAndIsCredited(t *testing.T) {
	runWithBrowsers(t, manyPages("What a browser read on the site."), func(ctx context.Context, n *testnet.Net, start func() *browser) {
		browser := start()
		defer browser.stop()
		id := browser.id(t)
		result := crawl(ctx, t, n, map[string]any{"url": n.Info().SiteTLS + "/", "limit": 100, "sitemap": "skip"})
		if result.Status != "completed" || result.Completed != 13 {
			t.Fatalf("crawl %s with %d pages, want completed with 13", result.Status, result.Completed)
		}
		for _, d := range result.Data {
			if got := d.Metadata.Provenance.Edge; got != id.String() {
				t.Errorf("page %s: fetched by %s, want the browser %s", d.Metadata.SourceURL, got, id)
			}
		}
		waitUntil(t, "the hub has credited the browser", func() bool { return n.Hub().Book.PointsOf(id) > 0 })
		if s := browser.state(); s.Today == 0 || s.Signed == 0 {
			t.Errorf("the popup shows %+v, want bytes moved and signed for", s)
		}
	})
}

// M07: a browser that is closed in the middle of a page fails nobody's job: the next one does the rest.
func TestCrawlOutlivesABrowserThatIsKilled(t *testing.T) {
	pages := manyPages("What two browsers read on the site.")
	reached, dead := make(chan struct{}), make(chan struct{})
	var once sync.Once
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page-5" {
			once.Do(func() { close(reached) })
			<-dead
		}
		pages.ServeHTTP(w, r)
	})
	runWithBrowsers(t, site, func(ctx context.Context, n *testnet.Net, start func() *browser) {
		first := start()
		firstID := first.id(t)
		var second *browser
		var switched sync.WaitGroup
		switched.Go(func() {
			<-reached
			first.stop()
			close(dead)
			second = start()
		})
		result := crawl(ctx, t, n, map[string]any{"url": n.Info().SiteTLS + "/", "limit": 100, "sitemap": "skip"})
		switched.Wait()
		defer second.stop()
		if result.Status != "completed" || result.Completed != 13 {
			t.Fatalf("crawl %s with %d pages, want completed with 13", result.Status, result.Completed)
		}
		by := map[string]int{}
		for _, d := range result.Data {
			by[d.Metadata.Provenance.Edge]++
		}
		if second := second.id(t); by[firstID.String()] == 0 || by[second.String()] == 0 {
			t.Errorf("pages by edge: %v, want some by %s and some by %s", by, firstID, second)
		}
	})
}

// A page four times as long as the window of a beginner gets through only while both sides sign receipts.
func TestBrowserSignsItsWayThroughTheWindow(t *testing.T) {
	const size = 2 << 20
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "<!doctype html><title>Long</title><p>A page with a long remark.</p><!-- %s -->", strings.Repeat("remark ", size/7))
	})
	runWithBrowsers(t, site, func(ctx context.Context, n *testnet.Net, start func() *browser) {
		browser := start()
		defer browser.stop()
		browser.id(t)
		result := crawl(ctx, t, n, map[string]any{"url": n.Info().SiteTLS + "/", "limit": 1, "sitemap": "skip"})
		if result.Status != "completed" || result.Completed != 1 {
			t.Fatalf("crawl %s with %d pages, want completed with 1", result.Status, result.Completed)
		}
		waitUntil(t, "all of it is signed for", func() bool { return browser.state().Signed >= size })
	})
}

func TestPausedBrowserLeavesTheRelay(t *testing.T) {
	t.Parallel() // it waits more than it works
	runWithBrowsers(t, manyPages("x"), func(_ context.Context, n *testnet.Net, start func() *browser) {
		browser := start()
		defer browser.stop()
		browser.id(t)
		ready := func(want int) func() bool { return func() bool { return n.Relays()[0].Ready() == want } }
		waitUntil(t, "edge and browser are there", ready(2))
		browser.click(t, "pause")
		waitUntil(t, "the browser has left", ready(1))
		browser.click(t, "resume")
		waitUntil(t, "the browser is back", ready(2))
	})
}

// runWithBrowsers runs a network whose one edge serves no crawls, with a relay that lets browsers in. start starts one.
func runWithBrowsers(t *testing.T, site http.Handler, do func(ctx context.Context, n *testnet.Net, start func() *browser)) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the extension cannot run here")
	}
	terms, err := os.ReadFile(browserTerms)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		world      *sandbox.World
		invitation string
	)
	cfg := testnet.Config{
		Site:  site,
		World: func(w *sandbox.World) { world = w },
		Hub:   func(c *hub.Config) { c.Consents = append(c.Consents, accounting.Hash(sha256.Sum256(terms))) },
		Relay: func(_ int, c *relay.Config) {
			c.Nodes, c.Resolve = nodes, world.Resolve
			invitation = fmt.Sprintf("sward:test?hub=%s&relay=%s&at=ws://%s/v1/node", c.HubID, c.Key.ID(), nodes.Addr())
		},
		Edge: func(_ int, c *edge.Config) { c.Settings.Policy.Apps = []policy.App{"proxy"} },
	}
	testnet.Run(t, cfg, func(ctx context.Context, n *testnet.Net) {
		hosts, err := json.Marshal(map[string]string{sandbox.SiteName: forward(ctx, t, world, sandbox.SiteName)})
		if err != nil {
			t.Fatal(err)
		}
		do(ctx, n, func() *browser {
			return startBrowser(ctx, t, node, "INVITATION="+invitation, "CA="+n.Info().CA, "HOSTS="+string(hosts))
		})
	})
}

// forward is a listener on this machine that leads to port 443 of a name in the world.
func forward(ctx context.Context, t *testing.T, world *sandbox.World, name string) string {
	t.Helper()
	addrs, err := world.Resolve(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var joined sync.WaitGroup
	t.Cleanup(func() { l.Close(); joined.Wait() })
	joined.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			joined.Go(func() {
				defer in.Close()
				out, err := world.Dial(ctx, netip.AddrPortFrom(addrs[0], 443))
				if err != nil {
					return
				}
				defer out.Close()
				splice.Join(ctx, in, out, splice.Half{}, splice.Half{}, 0)
			})
		}
	})
	return l.Addr().String()
}

// browser is the extension at work.
type browser struct {
	stop  func()
	owner io.Writer

	mu   sync.Mutex
	last browserState
}

// browserState is what the popup would show.
type browserState struct {
	ID            string
	Connected     bool
	Problem       string
	Today, Signed int64
}

func (b *browser) state() browserState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// click is the owner at the popup.
func (b *browser) click(t *testing.T, what string) {
	t.Helper()
	if _, err := fmt.Fprintln(b.owner, what); err != nil {
		t.Fatal(err)
	}
}

// id is who the browser is, once it is connected.
func (b *browser) id(t *testing.T) identity.ID {
	t.Helper()
	waitUntil(t, "the browser is connected", func() bool { return b.state().Connected })
	id, err := identity.ParseID(b.state().ID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func startBrowser(ctx context.Context, t *testing.T, node string, env ...string) *browser {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, node, "--experimental-websocket", "--no-warnings", browserScript)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	owner, err := cmd.StdinPipe()
	var out io.Reader
	if err == nil {
		out, err = cmd.StdoutPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err) // not Fatal: a browser may be started beside the test
		stop()
		return &browser{stop: func() {}}
	}
	heard := make(chan struct{})
	b := &browser{owner: owner, stop: func() {
		stop()
		<-heard
		cmd.Wait() //nolint:errcheck // it was killed
	}}
	go func() {
		defer close(heard)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var s browserState
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				fmt.Fprintln(os.Stderr, lines.Text())
				continue
			}
			b.mu.Lock()
			b.last = s
			b.mu.Unlock()
		}
	}()
	return b
}
