package testnet_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sward/edge"
	"sward/internal/hub"
	"sward/internal/sandbox"
	"sward/internal/testnet"
)

// call speaks to the crawl API as a partner.
func call(ctx context.Context, t *testing.T, n *testnet.Net, method, path string, in, out any) int {
	t.Helper()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, n.Info().API+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+n.Partners[0].Key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("%s %s: %d %s: %v", method, path, answer.StatusCode, text, err)
		}
	}
	return answer.StatusCode
}

type crawled struct {
	Status    string
	Completed int
	Total     int
	Data      []struct {
		Markdown string
		Metadata struct {
			SourceURL  string
			Title      string
			Provenance struct{ Edge string }
		}
	}
}

// crawl runs a job to its end.
func crawl(ctx context.Context, t *testing.T, n *testnet.Net, order map[string]any) crawled {
	t.Helper()
	var job struct{ ID, Error string }
	if status := call(ctx, t, n, "POST", "/v2/crawl", order, &job); status != http.StatusOK || job.ID == "" {
		t.Fatalf("start crawl: %d %s", status, job.Error)
	}
	var result crawled
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		result = crawled{}
		call(ctx, t, n, "GET", "/v2/crawl/"+job.ID, nil, &result)
		if result.Status != "scraping" {
			return result
		}
		if time.Now().After(end) {
			t.Fatalf("the job is still scraping after two minutes with %d of %d pages", result.Completed, result.Total)
		}
	}
}

func TestCrawlFindsTheWholeManualAndSearchFindsThePages(t *testing.T) {
	testnet.Run(t, testnet.Config{Edges: 3}, func(ctx context.Context, n *testnet.Net) {
		result := crawl(ctx, t, n, map[string]any{"url": n.Info().Site + "/", "limit": 500, "crawlEntireDomain": true})
		if result.Status != "completed" || result.Completed != len(result.Data) || result.Completed < 15 {
			t.Fatalf("crawl %s with %d pages and %d documents, want completed with as many, at least 15", result.Status, result.Completed, len(result.Data))
		}
		seen := map[string]bool{}
		for _, d := range result.Data {
			if at := d.Metadata.SourceURL; seen[at] || strings.Contains(at, "/internal/") || d.Markdown == "" || d.Metadata.Provenance.Edge == "" {
				t.Errorf("page %s: twice, disallowed, empty or without provenance: %+v", at, d.Metadata)
			}
			seen[d.Metadata.SourceURL] = true
		}
		var found struct {
			Results []struct{ URL, Snippet string }
		}
		waitUntil(t, "the index has the page", func() bool {
			answer, err := http.Get(n.Info().Search + "/search?q=octal+hexadecimal+decimal")
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			return json.NewDecoder(answer.Body).Decode(&found) == nil && len(found.Results) > 0
		})
		if hit := found.Results[0]; !strings.HasSuffix(hit.URL, "/design/gate") || !strings.Contains(hit.Snippet, "<mark>") {
			t.Errorf("best hit is %+v, want the page of the address gate with marked words", hit)
		}
	})
}

// manyPages is a small site whose pages link to each other.
func manyPages(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" || r.URL.Path == "/sitemap.xml" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "<!doctype html><title>%s</title><main><p>%s %s %x</p>", r.URL.Path, text, r.URL.Path, sha256.Sum256([]byte(r.URL.Path)))
		for i := range 12 {
			fmt.Fprintf(w, `<p><a href="/page-%d">page %d</a></p>`, i, i)
		}
		fmt.Fprint(w, "</main>")
	})
}

func TestEdgeThatChangesPagesIsCaughtByTheSecondRoad(t *testing.T) {
	forged := httptest.NewServer(manyPages("This text was put there by the edge, and reads quite unlike what the site says. Buy now."))
	defer forged.Close()
	lie := func(i int, c *edge.Config) {
		if i != 0 {
			return
		}
		honest := c.Dial
		c.Dial = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
			if a.Port() == 80 {
				return net.Dial("tcp", forged.Listener.Addr().String())
			}
			return honest(ctx, a)
		}
	}
	everyPage := func(c *hub.Config) { c.AuditRate = 1 }
	cfg := testnet.Config{Edges: 3, Site: manyPages("The honest text of the site, as its owner wrote it."), Edge: lie, Hub: everyPage}
	testnet.Run(t, cfg, func(ctx context.Context, n *testnet.Net) {
		liar := n.Info().Edges[0].ID
		for range 6 { // until the liar has been given a batch
			result := crawl(ctx, t, n, map[string]any{
				"url": n.Info().Site + "/", "limit": 100, "sitemap": "skip", "scrapeOptions": map[string]any{"maxAge": 0}, // or memory would answer
			})
			if result.Status != "completed" || result.Completed != 13 {
				t.Fatalf("crawl %s with %d pages, want completed with 13", result.Status, result.Completed)
			}
			for _, d := range result.Data {
				if !strings.Contains(d.Markdown, "The honest text") {
					t.Errorf("%s was delivered as %q, want the site's own text", d.Metadata.SourceURL, d.Markdown)
				}
			}
			found := false
			for _, e := range n.Hub().Crawler.Edges() {
				if e.Doubted() && e.ID != liar {
					t.Errorf("edge %s is %s: %+v, want only the liar %s in doubt", e.ID, e.Name, e.Standing, liar)
				}
				found = found || e.Doubted()
			}
			if found {
				return
			}
		}
		t.Error("the edge that changes pages was not found in six crawls")
	})
}

func TestScrapeRefusesWhatTheGateRefuses(t *testing.T) {
	testnet.Run(t, testnet.Config{}, func(ctx context.Context, n *testnet.Net) {
		for _, address := range []string{"http://127.0.0.1/", "http://" + sandbox.TrapName + "/", "http://169.254.169.254/latest/meta-data/"} {
			var answer struct {
				Success bool
				Code    string
				Error   string
			}
			if status := call(ctx, t, n, "POST", "/v2/scrape", map[string]any{"url": address}, &answer); status == http.StatusOK || answer.Success || answer.Error == "" {
				t.Errorf("scrape %s: %d %+v, want a refusal that says why", address, status, answer)
			}
		}
	})
}
