package text

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// known is what Scan has to find as Extract does.
func known(c Content) Content {
	return Content{
		Title: c.Title, Description: c.Description, Language: c.Language, Author: c.Author, Published: c.Published, Canonical: c.Canonical,
		Robots: c.Robots, TDMReservation: c.TDMReservation, TDMPolicy: c.TDMPolicy, Licences: c.Licences, OG: c.OG, Links: c.Links, Images: c.Images,
		Password: c.Password,
	}
}

func scanHTML(t testing.TB, source string, o Options) Content {
	t.Helper()
	c, err := Scan([]byte(source), "text/html; charset=utf-8", mustURL(t, "https://site.example/dir/page.html"), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestScanFindsWhatExtractFinds(t *testing.T) {
	sources := map[string]string{
		"base behind links": `<a href="x">1</a><base href="/other/"><a href="y">2</a>`,
		"no html":           "plain words",
		"terms":             `<meta name=tdm-reservation content=1><link rel=license type="application/rsl+xml" href="r.xml"><base href="/o/"><meta name=swardbot content=noai>`,
		"svg title":         `<svg><title>icon</title></svg>`,
		"comment and script": `<!-- <a href="/c"> --><script>"<a href='/s'>"</script><style><a href="/t"></style><noscript><a href="/n"></noscript>` +
			`<textarea><a href="/x"></textarea><iframe><a href="/i"></iframe><a href=/real>r</a>`,
		"refresh":       `<meta http-equiv="Refresh" content="3;URL=d">`,
		"linked data":   `<head><title>T</title><script type="application/ld+json">{"author":"A","datePublished":"2026-01-02"}</script>`,
		"open graph":    `<html lang=de-AT><head><meta property="og:title" content="T"><meta property="og:image" content="/i.png"><meta name=robots content=NoIndex>`,
		"odd links":     `<a href="javascript:1"><a href="#top"><a href=""><a href=" "><a href="tel:1"><img src="data:image/png;base64,AA"><a href="b#1"><a href="b#2">`,
		"odd attribute": `<a HREF='/q?a=1&amp;b=2' href="/second">x</a><a href=/unquoted>y<a title=">" href="/z">`,
		"login":         `<form><input name=u><input TYPE="Password" name=p></form>`,
		"empty title":   `<head><title></title><link rel=canonical href="../c"></head>`,
	}
	for _, name := range []string{"article", "product", "hostile"} {
		source, err := os.ReadFile(filepath.Join("testdata/extract", name+".html"))
		if err != nil {
			t.Fatal(err)
		}
		sources[name] = string(source)
	}
	for name, source := range sources {
		want := extractHTML(t, source, Options{})
		if len(want.Headings) > 0 && want.Title == want.Headings[0] {
			continue // Extract's last resort for a title is in the text
		}
		got := scanHTML(t, source, Options{})
		if strings.Contains(name, "no html") || want.Language != got.Language && got.Language == "" {
			want.Language = "" // a guess from the text
		}
		if diff := cmp.Diff(known(want), known(got)); diff != "" {
			t.Errorf("%s (-extract +scan):\n%s", name, diff)
		}
	}
}

// documentation is a real site of some hundred pages, if its package is installed.
func documentation(t testing.TB) (pages [][]byte) {
	const root = "/usr/share/doc/python3.11/html"
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".html") {
			return err
		}
		page, err := os.ReadFile(path)
		pages = append(pages, page)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || len(pages) == 0 {
		t.Skip("python3.11-doc is not installed")
	}
	return pages
}

// TestScanLosesNoLinkOfARealSite compares on every 32nd page, since Extract takes its time.
func TestScanLosesNoLinkOfARealSite(t *testing.T) {
	for n, page := range documentation(t) {
		if n%32 != 0 {
			continue
		}
		want := extractHTML(t, string(page), Options{Budget: LongestBudget})
		if diff := cmp.Diff(known(want), known(scanHTML(t, string(page), Options{}))); diff != "" {
			t.Errorf("page %d (-extract +scan):\n%s", n, diff)
		}
	}
}

// TestPagesAreMeasured holds the two measures of a page: what it shows, and what of that is no link.
func TestPagesAreMeasured(t *testing.T) {
	for _, c := range []struct {
		source      string
		shown, said int
	}{
		{"", 0, 0},
		{"<title>title</title><div id=root></div><script>var x = 1</script><noscript>Please enable</noscript>", 0, 0},
		{"<style>p{}</style><p>four</p> <a href=x>link</a>", 8, 4},
		{"<a name=x>four</a><svg><title>no</title></svg>", 4, 4},
	} {
		for name, x := range map[string]Content{"extract": extractHTML(t, c.source, Options{MainOnly: true}), "scan": scanHTML(t, c.source, Options{})} {
			if x.Shown != c.shown || x.Said != c.said {
				t.Errorf("%s of %q: got %d, %d, want %d, %d", name, c.source, x.Shown, x.Said, c.shown, c.said)
			}
		}
	}
}

func TestScanIsBounded(t *testing.T) {
	for _, source := range []string{
		strings.Repeat("<a href='", 100_000), strings.Repeat("<a href=x>", 200_000), "<a href='" + strings.Repeat("x", 10<<20) + "'>",
		"<p " + strings.Repeat("a=b ", 256<<10) + ">", "<!--" + strings.Repeat("-", 8<<20), "<title>" + strings.Repeat("x", 8<<20),
		strings.Repeat("<svg>", 200_000),
	} {
		if c := scanHTML(t, source, Options{}); len(c.Links) > maxLinks || len(c.Title) > maxMetaText {
			t.Errorf("%.20q: %d links, title of %d bytes", source, len(c.Links), len(c.Title))
		}
	}
	if _, err := Scan(make([]byte, maxPageBytes+1), "text/html", nil, Options{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
	if _, err := Scan([]byte("%PDF-1.7\n"), "text/html", nil, Options{}); !errors.Is(err, ErrNotText) {
		t.Errorf("got %v, want %v", err, ErrNotText)
	}
}

func BenchmarkDocumentation(b *testing.B) {
	pages := documentation(b)
	total := 0
	for _, page := range pages {
		total += len(page)
	}
	base := mustURL(b, "https://docs.example/3.11/library/os.html")
	for name, read := range map[string]func([]byte) error{
		"scan": func(page []byte) error { _, err := Scan(page, "text/html", base, Options{}); return err },
		"whole": func(page []byte) error {
			_, err := Extract(b.Context(), page, "text/html", base, Options{Budget: LongestBudget})
			return err
		},
		"article": func(page []byte) error {
			_, err := Extract(b.Context(), page, "text/html", base, Options{MainOnly: true, Budget: LongestBudget})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(total))
			for b.Loop() {
				for _, page := range pages {
					if err := read(page); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(pages)), "µs/page")
		})
	}
}
