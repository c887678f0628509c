package crawler

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
)

const root = "http://site.test/"

func TestCrawlDeliversEveryPageOfASiteOnce(t *testing.T) {
	site, all := crawltest.Tree(120)
	n := crawltest.New(t, site)
	p := start(t, config(n, t.TempDir()))
	status, documents := p.crawl(object{"url": root})
	if diff := cmp.Diff(all, paths(documents)); diff != "" {
		t.Errorf("delivered pages (-want +got):\n%s", diff)
	}
	if status.State != Completed || status.Completed != 120 || status.Total != 120 {
		t.Errorf("status: got %v %v/%v, want completed 120/120", status.State, status.Completed, status.Total)
	}
	for _, path := range all {
		if n.Hits()[path] != 1 {
			t.Errorf("requests for %s: got %d, want 1", path, n.Hits()[path])
		}
	}
}

func TestCrawlLimitIsExact(t *testing.T) {
	site, all := crawltest.Tree(90)
	for _, limit := range []int{1, 7, 33, 90, 1000} {
		n := crawltest.New(t, site)
		p := start(t, config(n, t.TempDir()))
		status, documents := p.crawl(object{"url": root, "limit": limit})
		want := min(limit, len(all))
		if got := status.Completed; got != want || len(documents) != want {
			t.Errorf("limit %d: got completed %v and %d documents, want %d", limit, got, len(documents), want)
		}
		got := paths(documents)
		if once := slices.Compact(slices.Clone(got)); len(once) != len(got) {
			t.Errorf("limit %d: got pages twice: %v", limit, got)
		}
	}
}

func TestCrawlFollowsScope(t *testing.T) {
	site := crawltest.Site{
		"/":                    crawltest.Page("root", "/docs", "/blog/1", "http://sub.site.test/s", "http://other.test/o"),
		"/docs":                crawltest.Page("docs", "/docs/a", "/docsother", "/", "/blog/2"),
		"/docs/a":              crawltest.Page("a", "/docs/a?x=1", "/docs/a?x=2", "/docs/index.html", "/docs/b"),
		"/docs/a?x=1":          crawltest.Page("a1"),
		"/docs/a?x=2":          crawltest.Page("a2"),
		"/docs/index.html":     crawltest.Page("docs index", "/docs/b"),
		"/docs/b":              crawltest.Page("b"),
		"/docsother":           crawltest.Page("not under docs"),
		"/blog/1":              crawltest.Page("blog 1", "/blog/2"),
		"/blog/2":              crawltest.Page("blog 2", "/blog/archive/3"),
		"/blog/archive/3":      crawltest.Page("blog 3"),
		"/s":                   crawltest.Page("subdomain"),
		"/o":                   crawltest.Page("external"),
		"/trap/":               crawltest.Page("trap", "/trap/x/"),
		"/trap/x/":             crawltest.Page("trap", "/trap/x/x/"),
		"/trap/x/x/":           crawltest.Page("trap", "/trap/x/x/x/"),
		"/trap/x/x/x/":         crawltest.Page("trap", "/trap/x/x/x/x/"),
		"/trap/x/x/x/x/":       crawltest.Page("trap"),
		"/similar":             crawltest.Page("similar", "/similar/", "http://www.site.test/similar", "/similar?PHPSESSID=1", "/similar/index.html"),
		"/similar/":            crawltest.Page("similar too"),
		"/similar?PHPSESSID=1": crawltest.Page("similar too"),
		"/similar/index.html":  crawltest.Page("similar too"),
	}
	tests := []struct {
		name  string
		order object
		want  []string
	}{
		{"child paths only", object{"url": root + "docs"}, []string{"/docs", "/docs/a", "/docs/a?x=1", "/docs/a?x=2", "/docs/b"}},
		{"directory of a start file", object{"url": root + "docs/index.html"}, []string{"/docs/b", "/docs/index.html"}},
		{"entire domain", object{"url": root + "docs/b", "crawlEntireDomain": true}, []string{"/docs/b"}},
		{"entire domain from docs", object{"url": root + "docs", "crawlEntireDomain": true},
			[]string{"/", "/blog/1", "/blog/2", "/blog/archive/3", "/docs", "/docs/a", "/docs/a?x=1", "/docs/a?x=2", "/docs/b", "/docsother"}},
		{"subdomains", object{"url": root, "allowSubdomains": true, "includePaths": []string{"^/$", "^/s$"}}, []string{"/", "/s"}},
		{"external links", object{"url": root, "allowExternalLinks": true, "includePaths": []string{"^/$", "^/o$"}}, []string{"/", "/o"}},
		{"include", object{"url": root, "includePaths": []string{"blog/.*"}}, []string{"/blog/1", "/blog/2", "/blog/archive/3"}},
		{"include without slash, exclude wins", object{"url": root, "includePaths": []string{"^blog/"}, "excludePaths": []string{"/archive/"}}, []string{"/blog/1", "/blog/2"}},
		{"full URL", object{"url": root, "includePaths": []string{`^http://site\.test/blog/1$`}, "regexOnFullURL": true}, []string{"/blog/1"}},
		{"depth 0", object{"url": root, "maxDiscoveryDepth": 0}, []string{"/"}},
		{"depth 1", object{"url": root, "maxDiscoveryDepth": 1}, []string{"/", "/blog/1", "/docs"}},
		{"ignore query", object{"url": root + "docs/a", "ignoreQueryParameters": true}, []string{"/docs/a"}},
		{"similar", object{"url": root + "similar"}, []string{"/similar"}},
		{"similar kept", object{"url": root + "similar", "deduplicateSimilarURLs": false},
			[]string{"/similar", "/similar", "/similar/", "/similar/", "/similar/index.html", "/similar/index.html"}}, // with and without www.
		{"trap", object{"url": root + "trap/"}, []string{"/trap/", "/trap/x/", "/trap/x/x/", "/trap/x/x/x/"}},
	}
	n := crawltest.New(t, site)
	p := start(t, config(n, t.TempDir()))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, documents := p.crawl(test.order)
			if diff := cmp.Diff(test.want, paths(documents)); diff != "" {
				t.Errorf("pages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCrawlReadsSitemaps(t *testing.T) {
	site := crawltest.Site{
		"/":            crawltest.Page("root", "/linked"),
		"/linked":      crawltest.Page("linked", "/deep"),
		"/deep":        crawltest.Page("deep"),
		"/listed":      crawltest.Page("listed", "/from-listed"),
		"/from-listed": crawltest.Page("from listed"),
		"/elsewhere":   crawltest.Page("in the sitemap that robots.txt names"),
		"/robots.txt":  "User-agent: *\nDisallow: /secret\nSitemap: http://site.test/other-map\n",
		"/sitemap.xml": `<?xml version="1.0"?><sitemapindex><sitemap><loc>http://site.test/nested.xml</loc></sitemap></sitemapindex>`,
		"/nested.xml":  `<urlset><url><loc>http://site.test/listed</loc></url><url><loc>http://other.test/no</loc></url></urlset>`,
		"/other-map":   "http://site.test/elsewhere\n",
	}
	tests := map[string][]string{
		"skip":    {"/", "/deep", "/linked"},
		"include": {"/", "/deep", "/elsewhere", "/from-listed", "/linked", "/listed"},
		"only":    {"/", "/elsewhere", "/listed"},
	}
	n := crawltest.New(t, site)
	p := start(t, config(n, t.TempDir()))
	for mode, want := range tests {
		t.Run(mode, func(t *testing.T) {
			status, documents := p.crawl(object{"url": root, "sitemap": mode})
			if diff := cmp.Diff(want, paths(documents)); diff != "" {
				t.Errorf("pages (-want +got):\n%s", diff)
			}
			if status.Completed != len(want) {
				t.Errorf("completed: got %v, want %d: sitemaps are not pages", status.Completed, len(want))
			}
		})
	}
}

func TestCrawlDeliversRedirectTargetOnce(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/", crawltest.Site{"/": crawltest.Page("root", "/old1", "/old2", "/new", "/away"), "/new": crawltest.Page("new")})
	for _, old := range []string{"/old1", "/old2"} {
		mux.Handle(old, http.RedirectHandler("/new", http.StatusMovedPermanently))
	}
	mux.Handle("/away", http.RedirectHandler("http://other.test/", http.StatusFound))
	n := crawltest.New(t, mux)
	p := start(t, config(n, t.TempDir()))
	job := p.begin(Crawl, object{"url": root, "sitemap": "skip"})
	_, documents := p.result(job)
	if diff := cmp.Diff([]string{"/", "/new"}, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	list := p.failed(job)
	if len(list) != 1 || list[0].Code != codeScope {
		t.Errorf("errors: got %v, want one %s", list, codeScope)
	}
}

func TestCrawlFollowsStartPageToItsHost(t *testing.T) {
	site := crawltest.Site{"/": crawltest.Page("root", "/a"), "/a": crawltest.Page("a")}
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "old.test" {
			http.Redirect(w, r, "http://new.test"+r.URL.Path, http.StatusMovedPermanently)
			return
		}
		site.ServeHTTP(w, r)
	}))
	p := start(t, config(n, t.TempDir()))
	_, documents := p.crawl(object{"url": "http://old.test/"})
	if diff := cmp.Diff([]string{"/", "/a"}, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestCrawlReportsWhatItDoesNotDeliver(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/", crawltest.Site{
		"/":           crawltest.Page("root", "/gone", "/secret/x", "/data", "/down"),
		"/robots.txt": "User-agent: *\nDisallow: /secret/\n",
	})
	mux.HandleFunc("/data", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pdf")
		w.Write([]byte("%PDF-1.7 \x00\x01"))
	})
	mux.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusInternalServerError) })
	n := crawltest.New(t, mux)
	p := start(t, config(n, t.TempDir()))
	job := p.begin(Crawl, object{"url": root})
	status, documents := p.result(job)
	if status.Completed != 1 || len(documents) != 1 || status.State != Completed {
		t.Errorf("got %v with %d documents, want completed with 1", status, len(documents))
	}
	codes := map[string]string{}
	for _, e := range p.failed(job) {
		codes[e.URL] = e.Code + " " + e.Owner
	}
	want := map[string]string{
		root + "gone": "http_404 target", root + "secret/x": "robots_denied policy", root + "data": codeUnsupported + " target",
		root + "down": "http_500 target",
	}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if n.Hits()["/down"] != maxAttempts {
		t.Errorf("requests for a failing page: got %d, want %d", n.Hits()["/down"], maxAttempts)
	}
	if n.Hits()["/secret/x"] != 0 {
		t.Errorf("requests for a page that robots.txt forbids: got %d, want 0", n.Hits()["/secret/x"])
	}
}
