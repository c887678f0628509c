package crawler

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
)

func TestChunkHoldsTenMebibytes(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	job := p.begin(Crawl, object{"url": root, "sitemap": "skip"})
	p.result(job)
	j, err := p.c.jobs.byName(t.Context(), alice, job.ID)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"metadata":{"url":"http://site.test/big"},"markdown":"` + strings.Repeat("x", 4<<20) + `"}`)
	err = p.c.store.update(func(tx *tx) error {
		for seq := 1; seq < 6; seq++ {
			if _, err := tx.do("INSERT INTO documents (job, seq, url, size, body) VALUES (?, ?, 0, ?, ?)", j.id, seq, len(body), pack(body)); err != nil {
				return err
			}
		}
		_, err := tx.do("UPDATE jobs SET completed = 6 WHERE id = ?", j.id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{}
	for skip := 0; skip < 6; {
		chunk, err := p.c.Documents(t.Context(), job, skip, MaxDocuments)
		if err != nil || len(chunk) == 0 {
			t.Fatalf("documents from %d on: got %d, %v", skip, len(chunk), err)
		}
		sizes = append(sizes, len(chunk))
		skip += len(chunk)
	}
	if diff := cmp.Diff([]int{3, 2, 1}, sizes); diff != "" { // small + 4 + 4, 4 + 4, 4 MiB
		t.Errorf("documents by chunk (-want +got):\n%s", diff)
	}
}

func TestPageThatWasWithdrawnLeavesTheIndex(t *testing.T) {
	for name, withdraw := range map[string]http.HandlerFunc{
		"noindex": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Robots-Tag", "noindex")
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte(crawltest.Page("about", "/")))
		},
		"not found": http.NotFound,
		"gone":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) },
	} {
		t.Run(name, func(t *testing.T) {
			site := crawltest.Site{"/": crawltest.Page("root", "/about"), "/about": crawltest.Page("about", "/")}
			var withdrawn atomic.Bool
			n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if withdrawn.Load() && r.URL.Path == "/about" {
					withdraw(w, r)
					return
				}
				site.ServeHTTP(w, r)
			}))
			cfg := config(n, t.TempDir())
			var mu sync.Mutex
			index := map[string]bool{} // address to: can be found
			cfg.Store = func(_ context.Context, pages ...Page) error {
				mu.Lock()
				defer mu.Unlock()
				for _, p := range pages {
					index[p.URL] = !p.Withdrawn
				}
				return nil
			}
			p := start(t, cfg)
			for _, findable := range []bool{true, false} {
				withdrawn.Store(!findable)
				p.crawl(object{"url": root})
				waitFor(t, "the index to follow the site", func() bool {
					mu.Lock()
					defer mu.Unlock()
					got, known := index[root+"about"]
					return index[root] && known && got == findable
				})
			}
		})
	}
}

// One crawl comes to a directory by its own address and another by the file's, whichever link was seen first.
func TestPageOfADirectoryIsFoundUnderOneAddress(t *testing.T) {
	pages := crawltest.Site{"/guide/": crawltest.Page("guide", "/"), "/guide/index.html": crawltest.Page("guide", "/")}
	var leads atomic.Value // where the front page's link goes
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, crawltest.Page("root", leads.Load().(string)))
			return
		}
		pages.ServeHTTP(w, r)
	}))
	cfg := config(n, t.TempDir())
	var mu sync.Mutex
	index := map[string]bool{}
	cfg.Store = func(_ context.Context, pages ...Page) error {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range pages {
			for _, other := range p.Also {
				delete(index, other)
			}
			index[p.URL] = true
		}
		return nil
	}
	p := start(t, cfg)
	for _, link := range []string{"guide/", "guide/index.html", "guide/"} {
		leads.Store("/" + link)
		p.crawl(object{"url": root, "sitemap": "skip", "scrapeOptions": object{"maxAge": 0}})
		waitFor(t, "the index to have the page under one address", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return index[root] && index[root+link] && len(index) == 2
		})
	}
}

// Nobody is spared by waiting for a name that does not exist: asking for it again and again gets the answer as soon.
func TestNameThatDoesNotExistIsNotWaitedFor(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	for _, e := range n.Edges {
		e.Dial = func() (net.Conn, error) { return nil, &net.DNSError{Err: "no such host", IsNotFound: true} }
	}
	cfg := config(n, t.TempDir())
	cfg.RetryDelay = 50 * time.Millisecond
	p := start(t, cfg)
	for range 3 {
		p.result(p.begin(Scrape, object{"url": root}))
	}
	var failures int
	var pause int64
	err := p.c.store.row(t.Context(), "SELECT failures, ready_at - ? FROM hosts", time.Now().UnixMilli()).Scan(&failures, &pause)
	if most := cfg.RetryDelay; err != nil || failures < 3 || pause > most.Milliseconds() {
		t.Errorf("after %d failures the host waits %d ms, %v; want at most %s", failures, pause, err, most)
	}
}

func TestRightsAreRecordedAndObeyed(t *testing.T) {
	mux := http.NewServeMux()
	site := crawltest.Site{
		"/":        crawltest.Page("root", "/noindex", "/nofollow", "/notrain"),
		"/noindex": crawltest.Page("noindex"), "/nofollow": crawltest.Page("nofollow", "/beyond"), "/beyond": crawltest.Page("beyond"), "/notrain": crawltest.Page("notrain"),
	}
	mux.Handle("/", site)
	for path, header := range map[string][2]string{
		"/noindex": {"X-Robots-Tag", "noindex"}, "/nofollow": {"X-Robots-Tag", "otherbot: noindex, nofollow"},
		"/notrain": {"Content-Usage", "search=y, train-ai=n"},
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(header[0], header[1])
			if r.URL.Path == "/nofollow" {
				w.Header().Add(header[0], "nofollow")
			}
			site.ServeHTTP(w, r)
		})
	}
	n := crawltest.New(t, mux)
	p := start(t, config(n, t.TempDir()))
	job, documents := p.crawl(object{"url": root}) // for a search index
	if diff := cmp.Diff([]string{"/", "/nofollow", "/notrain"}, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if list := p.failed(job); len(list) != 1 || list[0].Code != codeReserved || list[0].URL != root+"noindex" || list[0].Owner != "policy" {
		t.Errorf("errors: got %v, want %s for the page with noindex", list, codeReserved)
	}
	for _, d := range documents {
		meta := d["metadata"].(object)
		if meta["url"] != root+"notrain" {
			continue
		}
		rights := meta["provenance"].(object)["rights"]
		if diff := cmp.Diff(object{"contentUsage": []any{"search=y, train-ai=n"}, "verdict": object{
			"search": "allow", "ai-input": "unknown", "ai-train": "deny",
			"decidedBy": object{"search": "header Content-Usage: search=y, train-ai=n", "ai-train": "header Content-Usage: search=y, train-ai=n"},
		}}, rights); diff != "" {
			t.Errorf("rights (-want +got):\n%s", diff)
		}
	}
	waitFor(t, "the index to have the pages", func() bool {
		return len(n.Stored()) == 3 && n.Stored()[root+"noindex"] == 0
	})
	p.account = trainer
	job = p.begin(Crawl, object{"url": root})
	if _, documents = p.result(job); slices.Contains(paths(documents), "/notrain") {
		t.Errorf("a partner who trains got %v, want no page that forbids it", paths(documents))
	}
	if list := p.failed(job); len(list) != 1 || list[0].Code != codeReserved {
		t.Errorf("errors: got %v, want %s once", list, codeReserved)
	}
}

// The address of a scrape may hold what only its partner should know; the outbox is in order, so once the crawl's page
// has come through, the scrape's would have.
func TestScrapedPageStaysOutOfTheIndex(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/private": crawltest.Page("private", ""), "/": crawltest.Page("root", "")})
	p := start(t, config(n, t.TempDir()))
	if _, got := p.result(p.begin(Scrape, object{"url": root + "private?token=s3cret"})); len(got) != 1 {
		t.Fatalf("scrape: got %v, want one document", got)
	}
	p.crawl(object{"url": root, "limit": 1, "sitemap": "skip"})
	waitFor(t, "the index to have the crawled page", func() bool {
		return n.Stored()[root] > 0
	})
	if len(n.Stored()) != 1 {
		t.Errorf("the index has %v, want the crawled page alone", n.Stored())
	}
}

// J21: what a page claims to be the canonical address of, it may claim of anybody's. It is told, and moves nothing.
func TestClaimedCanonicalAddressMovesNoPage(t *testing.T) {
	const claim = `<link rel=canonical href="https://bank.test/login"></head>`
	n := crawltest.New(t, crawltest.Site{
		"/": strings.Replace(crawltest.Page("root", "/a"), "</head>", claim, 1), "/a": strings.Replace(crawltest.Page("a"), "</head>", claim, 1),
	})
	var mu sync.Mutex
	indexed := map[string]bool{}
	cfg := config(n, t.TempDir())
	cfg.Store = func(_ context.Context, pages ...Page) error {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range pages {
			for _, address := range append(p.Also, p.URL) {
				indexed[address] = true
			}
		}
		return nil
	}
	p := start(t, cfg)
	_, documents := p.crawl(object{"url": root, "sitemap": "skip"})
	if diff := cmp.Diff([]string{"/", "/a"}, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	waitFor(t, "the index to have both", func() bool { mu.Lock(); defer mu.Unlock(); return indexed[root] && indexed[root+"a"] })
	mu.Lock()
	defer mu.Unlock()
	for address := range indexed {
		if strings.Contains(address, "bank.test") {
			t.Errorf("the index has a page under %s, which its site does not own", address)
		}
	}
}

// TestCrawlsOwnStartIsNotForEverybody: an address that a partner named may hold a token, wherever it was named.
func TestCrawlsOwnStartIsNotForEverybody(t *testing.T) {
	site := crawltest.Site{"/": crawltest.Page("root", "/about"), "/about": crawltest.Page("about"), "/share/token": crawltest.Page("shared", "/linked"), "/linked": crawltest.Page("linked")}
	n := crawltest.New(t, site)
	cfg := config(n, t.TempDir())
	var mu sync.Mutex
	var indexed []string
	cfg.Store = func(_ context.Context, pages ...Page) error {
		mu.Lock()
		defer mu.Unlock()
		for _, page := range pages {
			indexed = append(indexed, strings.TrimPrefix(page.URL, root))
		}
		return nil
	}
	p := start(t, cfg)
	for _, at := range []string{"", "share/token"} {
		p.crawl(object{"url": root + at, "sitemap": "skip", "crawlEntireDomain": true})
	}
	waitFor(t, "the outbox to empty", func() bool { n, err := p.c.outboxLen(t.Context()); return n == 0 && err == nil })
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(indexed)
	if diff := cmp.Diff([]string{"", "about", "linked"}, indexed); diff != "" {
		t.Errorf("pages for the index (-want +got):\n%s", diff)
	}
}
