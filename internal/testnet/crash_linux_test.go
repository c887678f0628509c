package testnet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	crashPages = 240
	crashWait  = 4 * time.Minute
	crashKills = 10
	crashSeed  = 4 // of where and whom
)

// chainSite has crashPages pages; each links to a few others, so that no page is found before others were fetched.
func chainSite() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /robots.txt", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "User-agent: *\nDisallow:\n") })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { page(w, 0) })
	for n := 1; n < crashPages; n++ {
		mux.HandleFunc(fmt.Sprintf("GET /p/%d", n), func(w http.ResponseWriter, _ *http.Request) { page(w, n) })
	}
	return mux
}

func page(w http.ResponseWriter, n int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><title>Page %d</title><main><h1>Page %d</h1><p>This is page number %d of a long walk.</p>", n, n, n)
	for _, next := range []int{2*n + 1, 2*n + 2} {
		if next < crashPages {
			fmt.Fprintf(w, `<p><a href="/p/%d">to %d</a></p>`, next, next)
		}
	}
	fmt.Fprint(w, "</main>")
}

func TestCrawlSurvivesKillOfEveryRole(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: builds programs and runs a network of processes")
	}
	began := time.Now()
	l := newLab(t, 3)
	defer l.logs()
	bin := build(t)
	l.serveSite(chainSite())

	hubDir, relayDir := filepath.Join(l.dir, "hub"), filepath.Join(l.dir, "relay")
	hub := l.start(l.net, "hub", bin("sward"), "hub", "--dir", hubDir, "--network", "lab",
		"--internal", backbone+":7400", "--api", backbone+":7401", "--search", backbone+":7402", "--delay", "10ms")
	hubID := l.output(l.net, bin("sward"), "id", "--dir", hubDir)
	relayID := l.output(l.net, bin("sward"), "id", "--dir", relayDir)
	l.eventually("the hub is up", func() error { return l.get(fmt.Sprintf("http://%s:7402/", backbone), "", nil) })
	l.output(l.net, bin("sward"), "admit", relayID, "--dir", hubDir)
	relay := l.start(l.net, "relay", bin("sward"), "relay", "--dir", relayDir, "--network", "lab",
		"--hub", backbone+":7400", "--hub-id", hubID, "--tunnel", backbone+":7443", "--proxy", backbone+":7480")
	var edges []*process
	for n, home := range l.home {
		dir := filepath.Join(l.dir, fmt.Sprintf("edge%d", n))
		code := l.output(l.net, bin("sward"), "owner", "invite", "--dir", hubDir)
		l.output(home, bin("sward-edge"), "init", "--dir", dir, "--network", "lab", "--hub", backbone+":7400", "--hub-id", hubID, "--consent-code", code)
		edges = append(edges, l.start(home, fmt.Sprintf("edge%d", n), bin("sward-edge"), "run", "--dir", dir))
	}
	key := l.output(l.net, bin("sward"), "partner", "add", "acme", "--purpose", "market-research", "--dir", hubDir)
	l.output(l.net, bin("sward"), "partner", "credit", "acme", "10GiB", "--dir", hubDir)

	l.eventually("the proxy serves the site", func() error { return l.viaProxy("acme", key, siteName, http.StatusOK, "") })
	if err := l.viaProxy("acme", key, trapName, http.StatusForbidden, "dest_private"); err != nil {
		t.Errorf("a public name with a private address: %v", err)
	}

	api := fmt.Sprintf("http://%s:7401", backbone)
	var job struct {
		ID string `json:"id"`
	}
	l.must(l.post(api+"/v2/crawl", key, map[string]any{"url": "http://" + siteName + "/", "limit": 1000, "sitemap": "skip", "maxDiscoveryDepth": 100}, &job))
	// Where and whom is drawn from a seed, so that a run can be repeated; every role has its turn.
	draw := rand.New(rand.NewPCG(crashSeed, 0)) //nolint:gosec // a test's dice
	points := make([]int, crashKills)
	for i := range points {
		points[i] = 1 + draw.IntN(crashPages*3/4)
	}
	slices.Sort(points)
	victims := []*process{hub, relay, edges[0], edges[1], edges[2]}
	order := draw.Perm(len(victims))
	for i, pages := range points {
		l.progressed(api, job.ID, key, pages)
		victim := victims[order[i%len(order)]]
		t.Logf("%s: kill -9 of the %s after %d pages", time.Since(began).Round(time.Second), victim.name, pages)
		victim.killAndRestart()
	}
	final := l.progressed(api, job.ID, key, crashPages)
	t.Logf("%s: the job has ended", time.Since(began).Round(time.Second))
	if final.Status != "completed" || final.Completed != crashPages {
		t.Errorf("job %s with %d pages, want completed with %d", final.Status, final.Completed, crashPages)
	}
	want := []string{"http://" + siteName + "/"}
	for n := 1; n < crashPages; n++ {
		want = append(want, fmt.Sprintf("http://%s/p/%d", siteName, n))
	}
	sort.Strings(want)
	if diff := cmp.Diff(want, l.pages(api, job.ID, key)); diff != "" {
		t.Errorf("delivered pages (-want +got):\n%s", diff)
	}

	for _, p := range append(edges, relay) { // in the order in which an operator stops a network: receipts reach the hub
		p.stop(syscall.SIGTERM)
	}
	hub.stop(syscall.SIGTERM)
	t.Log(l.output(l.net, bin("sward"), "audit", filepath.Join(hubDir, "books")))
}

// programsDir is where the programs are, once they have been built.
var programsDir string

// programs compiles them once for all tests, as they ship.
var programs = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "sward-testnet-")
	if err != nil {
		return err
	}
	programsDir = dir
	cmd := exec.Command("go", "build", "-o", dir, "../../cmd/sward", "../../cmd/sward-edge")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
})

// build tells where the programs are.
func build(t *testing.T) func(string) string {
	t.Helper()
	if err := programs(); err != nil {
		t.Fatal(err)
	}
	return func(name string) string { return filepath.Join(programsDir, name) }
}

func TestMain(m *testing.M) {
	code := m.Run()
	if programsDir != "" {
		os.RemoveAll(programsDir)
	}
	os.Exit(code)
}

type jobStatus struct {
	Status    string `json:"status"`
	Completed int    `json:"completed"`
	Next      string `json:"next"`
	Data      []struct {
		Metadata struct {
			SourceURL string `json:"sourceURL"`
		} `json:"metadata"`
	} `json:"data"`
}

// progressed waits until the job has at least so many pages or has ended.
func (l *lab) progressed(api, id, key string, pages int) (s jobStatus) {
	l.t.Helper()
	l.eventually(fmt.Sprintf("%d pages", pages), func() error {
		s = jobStatus{}
		if err := l.get(api+"/v2/crawl/"+id+"?limit=1", key, &s); err != nil {
			return err
		}
		if s.Status == "scraping" && (s.Completed < pages || pages == crashPages) {
			return fmt.Errorf("%d of %d pages", s.Completed, pages)
		}
		return nil
	})
	return s
}

// pages follows `next` and returns the different addresses that were delivered; one twice fails the test.
func (l *lab) pages(api, id, key string) []string {
	l.t.Helper()
	seen := map[string]int{}
	for at := api + "/v2/crawl/" + id; at != ""; {
		var s jobStatus
		l.must(l.get(at, key, &s))
		for _, d := range s.Data {
			seen[d.Metadata.SourceURL]++
		}
		at = s.Next
	}
	var all []string
	for address, n := range seen {
		if n != 1 {
			l.t.Errorf("%s was delivered %d times", address, n)
		}
		all = append(all, address)
	}
	sort.Strings(all)
	return all
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// eventually repeats try until it succeeds.
func (l *lab) eventually(what string, try func() error) {
	l.t.Helper()
	var last error
	for end := time.Now().Add(crashWait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if last = try(); last == nil {
			return
		}
	}
	l.t.Fatalf("%s: not within %s: %v", what, crashWait, last)
}

func (l *lab) client(proxy *url.URL) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: l.dial, DisableKeepAlives: true, Proxy: http.ProxyURL(proxy),
	}}
}

func (l *lab) get(address, key string, into any) error {
	return l.call(http.MethodGet, address, key, nil, into)
}

func (l *lab) post(address, key string, body, into any) error {
	return l.call(http.MethodPost, address, key, body, into)
}

func (l *lab) call(method, address, key string, body, into any) error {
	var data io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		data = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, address, data)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	answer, err := l.client(nil).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %d: %s", method, address, answer.StatusCode, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// viaProxy fetches a host's front page through the relay's door and checks status and code.
func (l *lab) viaProxy(name, key, host string, status int, code string) error {
	answer, err := l.client(&url.URL{Scheme: "http", Host: backbone + ":7480", User: url.UserPassword(name, key)}).Get("http://" + host + "/")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if got := answer.Header.Get("Sward-Error"); answer.StatusCode != status || got != code {
		return fmt.Errorf("status %d, code %q, want %d, %q: %s", answer.StatusCode, got, status, code, strings.TrimSpace(string(text)))
	}
	return nil
}
