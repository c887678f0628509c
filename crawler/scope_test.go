package crawler

import (
	"fmt"
	"net/url"
	"strings"
	"sward/crawler/link"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestScopeStaysBelowTheStartPath(t *testing.T) {
	for path, want := range map[string]string{
		"/": "", "": "", "/docs": "/docs/", "/docs/": "/docs/", "/docs/index.html": "/docs/", "/index.html": "",
		"/a/b": "/a/b/", "/v1.2/": "/v1.2/",
	} {
		if got := below(path); got != want {
			t.Errorf("below(%q): got %q, want %q", path, got, want)
		}
	}
}

// J18: wherever a base or a refresh leads.
func TestScopeRefusesWhatNoEdgeMayReach(t *testing.T) {
	s, err := newScope(Order{URL: root, AllowExternalLinks: true}, root)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"http://other.test/page": true, "https://site.test/": true,
		"http://127.0.0.1/": false, "http://[::1]/": false, "http://10.0.0.1/admin": false, "http://169.254.169.254/": false,
		"http://router.lan/": false, "http://printer/": false, "http://localhost:8080/": false,
		"http://site.test/logo.PNG": false, "http://site.test/app.tar.gz": false,
		"http://site.test/" + strings.Repeat("a/", 25): false, "http://site.test/x/x/x/x/": false,
		"http://site.test/?" + strings.Repeat("a=1&", 24):      false,
		"http://site.test/" + strings.Repeat("a", link.MaxURL): false,
	} {
		if got := s.admits(address); got != want {
			t.Errorf("admits(%.60s): got %v, want %v", address, got, want)
		}
	}
}

func TestSimilarAddressesHaveOneKey(t *testing.T) {
	no := false
	strict, lax := Order{DeduplicateSimilarURLs: &no}, Order{}
	noQuery := Order{IgnoreQueryParameters: true}
	tests := []struct {
		name string
		o    Order
		a, b string
		same bool
	}{
		{"www", lax, "http://site.test/a", "http://www.site.test/a", true},
		{"scheme", lax, "http://site.test/a", "https://site.test/a", true},
		{"slash", lax, "http://site.test/a", "http://site.test/a/", true},
		{"index", lax, "http://site.test/a/", "http://site.test/a/index.php", true},
		{"session", lax, "http://site.test/a?x=1", "http://site.test/a?x=1&PHPSESSID=77", true},
		{"java session", lax, "http://site.test/a", "http://site.test/a;jsessionid=77", true},
		{"query", lax, "http://site.test/a?x=1", "http://site.test/a?x=2", false},
		{"query ignored", noQuery, "http://site.test/a?x=1", "http://site.test/a", true},
		{"path", lax, "http://site.test/a", "http://site.test/b", false},
		{"host", lax, "http://site.test/a", "http://docs.site.test/a", false},
		{"strict slash", strict, "http://site.test/a", "http://site.test/a/", false},
		{"strict scheme", strict, "http://site.test/a", "https://site.test/a", false},
	}
	for _, test := range tests {
		got := string(pageKey(test.a, kindPage, test.o)) == string(pageKey(test.b, kindPage, test.o))
		if got != test.same {
			t.Errorf("%s: %s and %s the same: got %v, want %v", test.name, test.a, test.b, got, test.same)
		}
	}
	if string(pageKey(root, kindPage, lax)) == string(pageKey(root, kindSitemap, lax)) {
		t.Error("a page and a sitemap at one address have one key")
	}
}

func TestSeedsAreTheSitemapsThatRobotsNames(t *testing.T) {
	seeds := func(robots string) (list []string) {
		s, err := newScope(Order{URL: root}, root)
		if err != nil {
			t.Fatal(err)
		}
		known := &card{origin: "http://site.test"}
		known.add(siteFile{kind: fileRobots, body: []byte(robots)}, "SwardBot")
		for _, l := range s.seeds(known) {
			list = append(list, l.url)
		}
		return list
	}
	got := seeds("\ufeffSITEMAP: https://site.test/a.xml\r\nUser-agent: *\nDisallow: /\n sitemap : /b.xml#x\nSitemap: ftp://site.test/c\nSitemap:\n")
	want := []string{"http://site.test/sitemap.xml", "https://site.test/a.xml", "http://site.test/b.xml"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sitemaps (-want +got):\n%s", diff)
	}
	var hostile strings.Builder
	for i := range 2 * maxSitemaps {
		fmt.Fprintf(&hostile, "Sitemap: /%d\n", i)
	}
	if got := seeds(hostile.String()); len(got) != 1+maxSitemaps {
		t.Errorf("sitemaps of a hostile file: got %d, want %d", len(got), 1+maxSitemaps)
	}
}

func TestBackoffDoublesToItsBound(t *testing.T) {
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 500: maxBackoff} {
		if got := backoff(time.Second, n); got != want {
			t.Errorf("backoff after %d: got %v, want %v", n, got, want)
		}
	}
}

func TestPatternsAreMatchedAgainstThePathWithAndWithoutSlash(t *testing.T) {
	s, err := newScope(Order{URL: root, IncludePaths: []string{"^blog/", "^/docs"}, ExcludePaths: []string{"private"}}, root)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"http://site.test/blog/1": true, "http://site.test/docs": true, "http://site.test/about": false,
		"http://site.test/blog/private": false, "http://site.test/about?blog/": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.delivers(u); got != want {
			t.Errorf("delivers(%s): got %v, want %v", address, got, want)
		}
	}
}

// A request of a megabyte may hold five hundred patterns, each of which takes fourteen megabytes once it is compiled.
func TestPatternsAreBoundedBeforeTheyAreCompiled(t *testing.T) {
	large := strings.Repeat("x{1000}", maxPattern/7)
	if _, err := patterns("includePaths", []string{large}); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a pattern of %d bytes and %d steps: got %v, want a refusal", len(large), maxPattern/7*1000, err)
	}
	var many []string
	for i := range maxPatterns {
		many = append(many, fmt.Sprintf("^/products/category-%d/%s/[^/]+/?$", i, strings.Repeat("garden-", 20)))
	}
	if got, err := patterns("includePaths", many); err != nil || len(got) != maxPatterns {
		t.Errorf("as many as are taken, each as people write them: got %d, %v, want %d", len(got), err, maxPatterns)
	}
	if _, err := patterns("excludePaths", []string{`[\p{L}\d_-]+/\d{4}/\d{2}/(a|b|c){1,20}`, `(?i)\.(jpe?g|png|gif)$`}); err != nil {
		t.Errorf("common patterns: %v", err)
	}
}
