package crawler

import (
	"net/http"
	"net/url"
	"strings"
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
		"http://site.test/" + strings.Repeat("a/", maxSegments+1): false, "http://site.test/x/x/x/x/": false,
		"http://site.test/?" + strings.Repeat("a=1&", maxParameters): false,
		"http://site.test/" + strings.Repeat("a", MaxURL):            false,
	} {
		if got := s.admits(address); got != want {
			t.Errorf("admits(%.60s): got %v, want %v", address, got, want)
		}
	}
}

func TestRegistrableDomainOfAnAddressIsItself(t *testing.T) {
	for name, want := range map[string]string{
		"a.b.site.test": "site.test", "www.site.co.uk": "site.co.uk", "192.0.2.7": "192.0.2.7", "co.uk": "co.uk",
	} {
		if got := registrable(name); got != want {
			t.Errorf("registrable(%s): got %s, want %s", name, got, want)
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

func TestRobotsNamesSitemapsOutsideOfGroups(t *testing.T) {
	text := "\ufeffSITEMAP: https://site.test/a.xml\r\nUser-agent: *\nDisallow: /\n sitemap : /b.xml#x\nSitemap: ftp://site.test/c\nSitemap:\n"
	got := sitemapLines([]byte(text), "https://site.test/robots.txt")
	want := []string{"https://site.test/a.xml", "https://site.test/b.xml"}
	if diff := cmp.Diff(want, got[:min(2, len(got))]); diff != "" {
		t.Errorf("sitemaps (-want +got):\n%s", diff)
	}
	if got := sitemapLines([]byte(strings.Repeat("Sitemap: /x\n", 2*maxSitemaps)), root); len(got) != maxSitemaps {
		t.Errorf("sitemaps of a hostile file: got %d, want %d", len(got), maxSitemaps)
	}
}

func TestRightsAreReadAsTheMostRestrictive(t *testing.T) {
	tests := []struct {
		name, header, value, meta    string
		noIndex, noFollow, noTrained bool
	}{
		{name: "nothing"},
		{name: "meta none", meta: "none", noIndex: true, noFollow: true},
		{name: "meta list", meta: "max-snippet:50, noindex", noIndex: true},
		{name: "header", header: "X-Robots-Tag", value: "noarchive, nofollow", noFollow: true},
		{name: "another crawler", header: "X-Robots-Tag", value: "googlebot: noindex, nofollow"},
		{name: "our name", header: "X-Robots-Tag", value: "SwardBot: noindex", noIndex: true},
		{name: "noai", header: "X-Robots-Tag", value: "noai, noimageai", noTrained: true},
		{name: "usage", header: "Content-Usage", value: "train-ai=n", noTrained: true},
		{name: "usage allowed", header: "Content-Usage", value: "train-ai=y"},
		{name: "signal", header: "Content-Signal", value: "search=yes, ai-train=no", noTrained: true},
		{name: "tdm", header: "TDM-Reservation", value: "1", noTrained: true},
		{name: "tdm open", header: "TDM-Reservation", value: "0"},
		{name: "header denies what meta allows", header: "X-Robots-Tag", value: "noindex", meta: "index, follow", noIndex: true},
	}
	for _, test := range tests {
		h := http.Header{}
		if test.header != "" {
			h.Set(test.header, test.value)
		}
		r := readRights(h, test.meta)
		if r.noIndex() != test.noIndex || r.noFollow() != test.noFollow || r.forbids(purposeTraining) != test.noTrained {
			t.Errorf("%s: got noindex %v, nofollow %v, no training %v, want %v, %v, %v", test.name,
				r.noIndex(), r.noFollow(), r.forbids(purposeTraining), test.noIndex, test.noFollow, test.noTrained)
		}
		if r.forbids("search-index") {
			t.Errorf("%s: got search forbidden, want only training judged", test.name)
		}
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
