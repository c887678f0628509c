package crawler

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "http://site.test/"

func TestCrawlDeliversEveryPageOfASiteOnce(t *testing.T) {
	site, all := tree(120)
	n := newNetwork(t, site)
	p := start(t, n.config(t.TempDir()))
	status, documents := p.crawl(object{"url": root})
	if diff := cmp.Diff(all, paths(documents)); diff != "" {
		t.Errorf("delivered pages (-want +got):\n%s", diff)
	}
	if status["status"] != "completed" || status["completed"] != 120.0 || status["total"] != 120.0 {
		t.Errorf("status: got %v %v/%v, want completed 120/120", status["status"], status["completed"], status["total"])
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, path := range all {
		if n.hits[path] != 1 {
			t.Errorf("requests for %s: got %d, want 1", path, n.hits[path])
		}
	}
}

func TestCrawlLimitIsExact(t *testing.T) {
	site, all := tree(90)
	for _, limit := range []int{1, 7, 33, 90, 1000} {
		n := newNetwork(t, site)
		p := start(t, n.config(t.TempDir()))
		status, documents := p.crawl(object{"url": root, "limit": limit})
		want := min(limit, len(all))
		if got := status["completed"]; got != float64(want) || len(documents) != want {
			t.Errorf("limit %d: got completed %v and %d documents, want %d", limit, got, len(documents), want)
		}
		got := paths(documents)
		if once := slices.Compact(slices.Clone(got)); len(once) != len(got) {
			t.Errorf("limit %d: got pages twice: %v", limit, got)
		}
	}
}

func TestCrawlFollowsScope(t *testing.T) {
	site := pages{
		"/":                    page("root", "/docs", "/blog/1", "http://sub.site.test/s", "http://other.test/o"),
		"/docs":                page("docs", "/docs/a", "/docsother", "/", "/blog/2"),
		"/docs/a":              page("a", "/docs/a?x=1", "/docs/a?x=2", "/docs/index.html", "/docs/b"),
		"/docs/a?x=1":          page("a1"),
		"/docs/a?x=2":          page("a2"),
		"/docs/index.html":     page("docs index", "/docs/b"),
		"/docs/b":              page("b"),
		"/docsother":           page("not under docs"),
		"/blog/1":              page("blog 1", "/blog/2"),
		"/blog/2":              page("blog 2", "/blog/archive/3"),
		"/blog/archive/3":      page("blog 3"),
		"/s":                   page("subdomain"),
		"/o":                   page("external"),
		"/trap/":               page("trap", "/trap/x/"),
		"/trap/x/":             page("trap", "/trap/x/x/"),
		"/trap/x/x/":           page("trap", "/trap/x/x/x/"),
		"/trap/x/x/x/":         page("trap", "/trap/x/x/x/x/"),
		"/trap/x/x/x/x/":       page("trap"),
		"/similar":             page("similar", "/similar/", "http://www.site.test/similar", "/similar?PHPSESSID=1", "/similar/index.html"),
		"/similar/":            page("similar too"),
		"/similar?PHPSESSID=1": page("similar too"),
		"/similar/index.html":  page("similar too"),
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
	n := newNetwork(t, site)
	p := start(t, n.config(t.TempDir()))
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
	site := pages{
		"/":            page("root", "/linked"),
		"/linked":      page("linked", "/deep"),
		"/deep":        page("deep"),
		"/listed":      page("listed", "/from-listed"),
		"/from-listed": page("from listed"),
		"/elsewhere":   page("in the sitemap that robots.txt names"),
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
	n := newNetwork(t, site)
	p := start(t, n.config(t.TempDir()))
	for mode, want := range tests {
		t.Run(mode, func(t *testing.T) {
			status, documents := p.crawl(object{"url": root, "sitemap": mode})
			if diff := cmp.Diff(want, paths(documents)); diff != "" {
				t.Errorf("pages (-want +got):\n%s", diff)
			}
			if status["completed"] != float64(len(want)) {
				t.Errorf("completed: got %v, want %d: sitemaps are not pages", status["completed"], len(want))
			}
		})
	}
}

func TestCrawlDeliversRedirectTargetOnce(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/", pages{"/": page("root", "/old1", "/old2", "/new", "/away"), "/new": page("new")})
	for _, old := range []string{"/old1", "/old2"} {
		mux.Handle(old, http.RedirectHandler("/new", http.StatusMovedPermanently))
	}
	mux.Handle("/away", http.RedirectHandler("http://other.test/", http.StatusFound))
	n := newNetwork(t, mux)
	p := start(t, n.config(t.TempDir()))
	id := p.begin(object{"url": root, "sitemap": "skip"})
	_, documents := p.result(id)
	if diff := cmp.Diff([]string{"/", "/new"}, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	_, got := p.call("GET", "/v2/crawl/"+id+"/errors", nil)
	list := got["errors"].([]any)
	if len(list) != 1 || list[0].(object)["code"] != codeScope {
		t.Errorf("errors: got %v, want one %s", list, codeScope)
	}
}

func TestCrawlFollowsStartPageToItsHost(t *testing.T) {
	site := pages{"/": page("root", "/a"), "/a": page("a")}
	n := newNetwork(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "old.test" {
			http.Redirect(w, r, "http://new.test"+r.URL.Path, http.StatusMovedPermanently)
			return
		}
		site.ServeHTTP(w, r)
	}))
	p := start(t, n.config(t.TempDir()))
	_, documents := p.crawl(object{"url": "http://old.test/"})
	if diff := cmp.Diff([]string{"/", "/a"}, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestCrawlReportsWhatItDoesNotDeliver(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/", pages{
		"/":           page("root", "/gone", "/secret/x", "/data", "/down"),
		"/robots.txt": "User-agent: *\nDisallow: /secret/\n",
	})
	mux.HandleFunc("/data", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pdf")
		w.Write([]byte("%PDF-1.7 \x00\x01"))
	})
	mux.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusInternalServerError) })
	n := newNetwork(t, mux)
	p := start(t, n.config(t.TempDir()))
	id := p.begin(object{"url": root})
	status, documents := p.result(id)
	if status["completed"] != 1.0 || len(documents) != 1 || status["status"] != "completed" || status["creditsUsed"] != 1.0 {
		t.Errorf("got %v with %d documents, want completed with 1", status, len(documents))
	}
	_, got := p.call("GET", "/v2/crawl/"+id+"/errors", nil)
	codes := map[string]string{}
	for _, e := range got["errors"].([]any) {
		codes[e.(object)["url"].(string)] = e.(object)["code"].(string) + " " + e.(object)["owner"].(string)
	}
	want := map[string]string{
		root + "gone": "http_404 target", root + "secret/x": "robots_denied policy", root + "data": codeUnsupported + " target",
		root + "down": "http_500 target",
	}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{root + "secret/x"}, got["robotsBlocked"]); diff != "" {
		t.Errorf("robotsBlocked (-want +got):\n%s", diff)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hits["/down"] != maxAttempts {
		t.Errorf("requests for a failing page: got %d, want %d", n.hits["/down"], maxAttempts)
	}
	if n.hits["/secret/x"] != 0 {
		t.Errorf("requests for a page that robots.txt forbids: got %d, want 0", n.hits["/secret/x"])
	}
}
