package link

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSitemapReadsEveryFormatSitesUse(t *testing.T) {
	pages := []string{"https://site.example/", "https://site.example/a?x=1&y=2", "https://site.example/b"}
	for file, want := range map[string]Sitemap{
		"urlset.xml": {URLs: pages},
		"index.xml":  {Sitemaps: []string{"https://site.example/one.xml", "https://site.example/two.xml.gz"}},
		"rss.xml":    {URLs: pages},
		"rdf.xml":    {URLs: pages},
		"atom.xml":   {URLs: pages},
		"latin1.xml": {URLs: []string{"https://site.example/gr%C3%BCn"}},
		"list.txt":   {URLs: pages},
	} {
		data, err := os.ReadFile(filepath.Join("testdata/sitemap", file))
		if err != nil {
			t.Fatal(err)
		}
		for name, body := range map[string]string{"plain": string(data), "with a mark": "\ufeff" + string(data), "gzipped": gzipped(t, string(data))} {
			got, err := ParseSitemap(strings.NewReader(body), 0)
			if err != nil {
				t.Errorf("%s %s: %v", file, name, err)
			}
			got.Said = nil // only one of the formats can say it
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", file, name, diff)
			}
		}
	}
}

const sitemapHead = `<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`

// J14.
func TestSitemapRefusesHostileFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("https://secret.example/"), 0o600); err != nil {
		t.Fatal(err)
	}
	var laughs strings.Builder
	laughs.WriteString(`<?xml version="1.0"?><!DOCTYPE urlset [<!ENTITY l0 "https://site.example/">`)
	for n := 1; n < 10; n++ {
		fmt.Fprintf(&laughs, `<!ENTITY l%d "%s">`, n, strings.Repeat(fmt.Sprintf("&l%d;", n-1), 10))
	}
	laughs.WriteString(`]><urlset><url><loc>&l9;</loc></url></urlset>`)
	for _, c := range []struct {
		name, body string
		want       error // nil: any
	}{
		{"billion laughs", laughs.String(), ErrSitemapDoctype},
		{"external entity", `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY s SYSTEM "file://` + secret + `">]><urlset><url><loc>&s;</loc></url></urlset>`, ErrSitemapDoctype},
		{"harmless doctype", `<!DOCTYPE urlset><urlset/>`, ErrSitemapDoctype},
		{"unknown entity", sitemapHead + `<url><loc>&s;</loc></url></urlset>`, nil},
		{"html error page", `<html><body>404</body></html>`, ErrSitemapFormat},
		{"html with doctype", `<!doctype html><html>`, ErrSitemapDoctype},
		{"text error page", "Not found\n", ErrSitemapFormat},
		{"empty", "", ErrSitemapFormat},
		{"json", `{"urls":["https://site.example/"]}`, ErrSitemapFormat},
		{"deep", sitemapHead + strings.Repeat("<url>", 1_000_000), nil},
		{"a line without an end", "https://site.example/" + strings.Repeat("a", 1<<20), nil},
		{"bomb", gzipped(t, sitemapHead+strings.Repeat(" ", maxSitemapBytes)), ErrSitemapSize},
		{"bomb in a bomb", gzipped(t, gzipped(t, sitemapHead)), ErrSitemapFormat},
		{"cut gzip", gzipped(t, sitemapHead+strings.Repeat("<url><loc>https://site.example/</loc></url>", 100))[:60], io.ErrUnexpectedEOF},
	} {
		got, err := ParseSitemap(strings.NewReader(c.body), 0)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		for _, u := range got.URLs {
			if strings.Contains(u, "secret") {
				t.Errorf("%s: a file was read: %s", c.name, u)
			}
		}
	}
}

func TestSitemapIsCutAtItsLimit(t *testing.T) {
	var body strings.Builder
	body.WriteString(sitemapHead)
	for n := range maxSitemapURLs + 100 {
		fmt.Fprintf(&body, "<url><loc>https://site.example/%d</loc></url>", n)
	}
	body.WriteString("</urlset>")
	for limit, want := range map[int]int{0: maxSitemapURLs, -1: maxSitemapURLs, 1 << 30: maxSitemapURLs, 7: 7} {
		got, err := ParseSitemap(strings.NewReader(body.String()), limit)
		if err != nil || len(got.URLs) != want {
			t.Errorf("limit %d: got %d, %v, want %d", limit, len(got.URLs), err, want)
		}
	}
}

func TestBrokenSitemapKeepsWhatWasRead(t *testing.T) {
	body := sitemapHead + `<url><loc>https://site.example/a</loc></url><url><loc>https://site.example/b</`
	got, err := ParseSitemap(strings.NewReader(body), 0)
	if err == nil || !cmp.Equal(got.URLs, []string{"https://site.example/a"}) {
		t.Errorf("got %v, %v, want the first page and an error", got.URLs, err)
	}
}

func TestSitemapDropsWhatIsNoPage(t *testing.T) {
	body := sitemapHead + `<url><loc>javascript:alert(1)</loc></url><url><loc>/relative</loc></url><url><loc> https://site.example/a#x </loc></url>
		<url><loc>https://site.example/a</loc><image:image><image:loc>https://site.example/i.png</image:loc></image:image></url><loc>https://site.example/stray</loc></urlset>`
	got, err := ParseSitemap(strings.NewReader(body), 0)
	if want := []string{"https://site.example/a"}; err != nil || !cmp.Equal(got.URLs, want) {
		t.Errorf("got %v, %v, want %v", got.URLs, err, want)
	}
}

func FuzzParseSitemap(f *testing.F) {
	files, _ := filepath.Glob("testdata/sitemap/*")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add([]byte(gzipped(f, string(data))))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _ := ParseSitemap(bytes.NewReader(data), 100)
		if len(got.URLs) > 100 || len(got.Sitemaps) > 100 {
			t.Fatalf("%d and %d addresses, want at most 100", len(got.URLs), len(got.Sitemaps))
		}
		for _, u := range append(got.URLs, got.Sitemaps...) {
			if again, err := Canonical(u, nil); err != nil || again != u {
				t.Fatalf("%q is not canonical: %v", u, err)
			}
		}
	})
}

func TestSitemapSaysWhatAPageIsWorth(t *testing.T) {
	m, err := ParseSitemap(strings.NewReader(`<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
		<url><loc>http://h.test/plain</loc></url>
		<url><priority>0.9</priority><lastmod>2026-05-17</lastmod><loc>http://h.test/new#part</loc></url>
		<url><loc>http://h.test/dated</loc><lastmod>2026-05-17T10:00:00+02:00</lastmod></url>
		<url><loc>http://h.test/odd</loc><priority>7</priority><lastmod>yesterday</lastmod></url>
		<url><loc>javascript:no</loc><priority>0.1</priority></url>
		<url><loc>http://h.test/plain</loc><priority>0.1</priority></url>
	</urlset>`), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Said{
		"http://h.test/new":   {0.9, time.Date(2026, 5, 17, 0, 0, 0, 0, time.UTC)},
		"http://h.test/dated": {0.5, time.Date(2026, 5, 17, 8, 0, 0, 0, time.UTC)},
	}
	if diff := cmp.Diff(want, m.Said); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
}
