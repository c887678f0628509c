package text

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sward/crawler/link"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/goldmark"
	renderer "github.com/yuin/goldmark/renderer/html"
	"golang.org/x/net/html"
)

var updateGolden = flag.Bool("update-golden", false, "write what Extract makes of testdata/extract as the new truth")

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func extractHTML(t testing.TB, source string, o Options) Content {
	t.Helper()
	text, err := Extract(t.Context(), []byte(source), "text/html; charset=utf-8", mustURL(t, "https://site.example/dir/page.html"), o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestExtractReadsPagesAsRecorded compares everything that is taken from a page with a recorded
// file that a person can read.
func TestExtractReadsPagesAsRecorded(t *testing.T) {
	for _, name := range []string{"article", "product", "hostile"} {
		for _, main := range []bool{true, false} {
			source, err := os.ReadFile(filepath.Join("testdata/extract", name+".html"))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata/extract", fmt.Sprintf("%s.%s.golden", name, map[bool]string{true: "main", false: "whole"}[main]))
			got := printText(extractHTML(t, string(source), Options{MainOnly: main}))
			if *updateGolden {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s, main %v (-want +got):\n%s", name, main, diff)
			}
		}
	}
}

func printText(x Content) string {
	var b strings.Builder
	fmt.Fprintf(&b, "title: %q\ndescription: %q\nlanguage: %q\nauthor: %q\npublished: %q\ncanonical: %q\nrobots: %q\nog: %v\nhidden: %v\n",
		x.Title, x.Description, x.Language, x.Author, x.Published, x.Canonical, x.Robots, x.OG, x.Hidden)
	for _, section := range []struct {
		name  string
		lines []string
	}{{"headings", x.Headings}, {"links", x.Links}, {"images", x.Images}, {"markdown", []string{x.Markdown}}, {"html", []string{x.HTML}}, {"plain", []string{x.Plain}}} {
		fmt.Fprintf(&b, "\n== %s\n%s\n", section.name, strings.Join(section.lines, "\n"))
	}
	return b.String()
}

// harmful returns what in rendered HTML could act: an element, an attribute or an address.
func harmful(source string) string {
	z := html.NewTokenizer(strings.NewReader(source))
	for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
		token := z.Token()
		switch token.Data {
		case "script", "style", "iframe", "object", "embed", "svg", "math", "base", "meta", "link", "form", "input", "template":
			if kind != html.TextToken {
				return token.String()
			}
		}
		for _, a := range token.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
				return token.String()
			}
			if a.Key == "href" || a.Key == "src" {
				u, err := url.Parse(a.Val)
				if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "mailto" {
					return token.String()
				}
			}
		}
	}
	return ""
}

// render shows Markdown as the most trusting reader would: raw HTML and all schemes go through.
func render(t testing.TB, markdown string) string {
	t.Helper()
	var out bytes.Buffer
	trusting := goldmark.New(goldmark.WithRendererOptions(renderer.WithUnsafe()))
	if err := trusting.Convert([]byte(markdown), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func checkHarmless(t testing.TB, x Content) {
	t.Helper()
	if what := harmful(x.HTML); what != "" {
		t.Errorf("html has %s in\n%s", what, x.HTML)
	}
	rendered := render(t, x.Markdown)
	if what := harmful(rendered); what != "" {
		t.Errorf("markdown has %s in\n%s\nrendered\n%s", what, x.Markdown, rendered)
	}
	if strings.Contains(rendered, "<img") {
		t.Errorf("markdown loads an image:\n%s", x.Markdown)
	}
	for name, s := range map[string]string{"title": x.Title, "description": x.Description, "markdown": x.Markdown, "html": x.HTML, "plain": x.Plain, "headings": strings.Join(x.Headings, "\n")} {
		if !utf8.ValidString(s) {
			t.Errorf("%s is not valid UTF-8: %q", name, s)
		}
		if i := strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
			t.Errorf("%s has a control character: %.60q", name, s[i:])
		}
	}
	for _, address := range append(x.Links, x.Images...) {
		if again, err := link.Canonical(address, nil); err != nil || again != address {
			t.Errorf("link %q is not canonical: %q, %v", address, again, err)
		}
	}
}

// K03, and K04 in its worst forms.
func TestHostilePageBecomesHarmless(t *testing.T) {
	source, err := os.ReadFile("testdata/extract/hostile.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, main := range []bool{true, false} {
		x := extractHTML(t, string(source), Options{MainOnly: main})
		checkHarmless(t, x)
		for _, s := range []string{x.Plain, x.Markdown, x.HTML} {
			if i := strings.Index(s, "HIDDEN"); i >= 0 {
				t.Errorf("main %v: hidden text got through: %.40q", main, s[i:])
			}
		}
		if !x.Hidden {
			t.Errorf("main %v: hidden text was dropped without saying so", main)
		}
	}
}

func TestHonestPageIsNotCalledHidden(t *testing.T) {
	if x := extractHTML(t, `<p>Plain text.</p><span hidden></span><style>.x{display:none}</style>`, Options{}); x.Hidden {
		t.Error("a page that hides no text is marked as hiding some")
	}
}

func TestMarkdownFromTextIsOnlyText(t *testing.T) {
	for _, source := range []string{
		"<p>[x](javascript:alert(1))</p>", "<p>![x](http://tracker.example/)</p>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>",
		"<p>&lt;javascript:alert(1)&gt;</p>", "<p>[x]: javascript:alert(1)</p><p>[x]</p>", "<p>&amp;lt;script&amp;gt;</p>",
		`<a href="https://a.example/x)![y](http://t.example/">t</a>`, `<a href="https://a.example/" title='"><script>x</script>'>t</a>`,
		`<a href="https://a.example/%3E&gt;&lt;script&gt;">t</a>`, `<img src="https://a.example/a b>c" alt="x">`,
		`<img src=x alt="&lt;script&gt;x&lt;/script&gt;">`, `<img src=x alt="![a](http://t.example/)">`, `<a href=x><img src=y alt="[z](http://t.example)"></a>`,
		"<pre>```\n</pre><pre><code class='language-x\"><script>'>```</code></pre>", "<code>`</code>`<script>", "<h1>a\n\n<br>&lt;b&gt;</h1>",
		"<table><tr><td>a|b</td><td>&lt;script&gt;\n</td></tr></table>", "<p>&lt;!--</p><p>--&gt;&lt;script&gt;</p>", "<p>&lt;?php</p><p>&lt;![CDATA[</p>",
	} {
		x := extractHTML(t, source, Options{})
		checkHarmless(t, x)
	}
}

func TestExtractSelectsParts(t *testing.T) {
	const source = `<body><nav>menu</nav><div class="a">one <b class="ad">buy</b></div><div class="a">two</div><div id="c">three</div></body>`
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"all", Options{}, "menu\none buy\ntwo\nthree"},
		{"main", Options{MainOnly: true}, "one buy\ntwo\nthree"},
		{"include", Options{IncludeTags: []string{".a"}}, "one buy\ntwo"},
		{"include and exclude", Options{IncludeTags: []string{".a", "#c"}, ExcludeTags: []string{".ad"}, MainOnly: true}, "one\ntwo\nthree"},
		{"exclude", Options{ExcludeTags: []string{"nav, div.a"}}, "three"},
		{"include nothing", Options{IncludeTags: []string{"article"}}, ""},
	} {
		if got := extractHTML(t, source, c.o).Plain; got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMainContentIsNeverNothing(t *testing.T) {
	for _, source := range []string{"<nav><a href=/1>one</a></nav>", "<footer>one</footer><header>", "<form>one</form>", "<aside>one</aside><form></form>"} {
		if x := extractHTML(t, source, Options{MainOnly: true}); x.Plain != "one" || !strings.Contains(x.Markdown, "one") {
			t.Errorf("%s: got %q", source, x.Markdown)
		}
	}
}

func TestExtractRefusesBadSelectors(t *testing.T) {
	for _, selectors := range [][]string{{"p["}, {""}, {strings.Repeat("p ", maxSelector)}, strings.Split(strings.Repeat("p,", maxSelectors+1), ",")} {
		if _, err := Extract(t.Context(), []byte("<p>x"), "text/html", nil, Options{IncludeTags: selectors}); err == nil {
			t.Errorf("%.20q: got no error", selectors)
		}
	}
}

// J19.
func TestExtractDecodesWhatPagesDeclare(t *testing.T) {
	utf16 := func(s string) string {
		var b strings.Builder
		for _, r := range s {
			b.WriteByte(byte(r))
			b.WriteByte(byte(r >> 8))
		}
		return b.String()
	}
	for _, c := range []struct{ name, contentType, body, want string }{
		{"header", "text/html; charset=iso-8859-1", "<p>gr\xfcn</p>", "grün"},
		{"meta", "text/html", "<meta charset=windows-1251><p>\xf2\xf0\xe0\xe2\xe0</p>", "трава"},
		{"header beats meta", "text/html; charset=utf-8", "<meta charset=latin1><p>grün</p>", "grün"},
		{"byte order mark beats header", "text/html; charset=iso-8859-1", "\ufeff<p>grün</p>", "grün"},
		{"utf-8 unlabelled", "text/html", "<p>grün</p>", "grün"},
		{"shift jis", "text/html; charset=Shift_JIS", "<p>\x91\x90\x92n</p>", "草地"},
		{"utf-16 with mark", "text/html", "\xff\xfe" + utf16("<p>grün</p>"), "grün"},
		{"utf-16 without mark", "text/html; charset=utf-16le", utf16("<p>grün</p>"), "grün"},
		{"utf-7 is not decoded", "text/html; charset=utf-7", "<p>+ADw-script+AD4-</p>", "+ADw-script+AD4-"},
		{"invalid bytes", "text/html; charset=utf-8", "<p>a\xffb\xc3</p>", "a\uFFFDb\uFFFD"},
		{"control characters", "text/html", "<p>a\x00\x07b&#7;&#x1b;c\x7f</p>", "abc"},
		{"unknown label", "text/html; charset=nonsense", "<p>grün</p>", "grün"},
	} {
		x, err := Extract(t.Context(), []byte(c.body), c.contentType, nil, Options{})
		if err != nil || x.Plain != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, x.Plain, err, c.want)
		}
		checkHarmless(t, x)
	}
}

// J26.
func TestExtractTreatsContentByTypeAndLook(t *testing.T) {
	zip := "PK\x03\x04\x14\x00\x00\x00\x08\x00"
	for _, c := range []struct{ name, contentType, body, want string }{ // want "" is ErrNotText
		{"pdf", "application/pdf", "%PDF-1.7\n", ""},
		{"pdf labelled as html", "text/html", "%PDF-1.7\n<p>polyglot</p>", ""},
		{"zip labelled as html", "text/html", zip + "<p>polyglot</p>", ""},
		{"image labelled as html", "text/html", "\x89PNG\r\n\x1a\n\x00\x00", ""},
		{"image", "image/svg+xml", "\x00<svg>", ""},
		{"binary without a label", "", "\x00\x01\x02\x03", ""},
		{"html without a label", "", "<!doctype html><p>text</p>", "text"},
		{"html as octets", "application/octet-stream", "<html><p>text</p>", "text"},
		{"text that starts like a bitmap", "text/plain", "BM is a magic number", "BM is a magic number"},
		{"text is not html", "text/plain", "<p>text</p>", "<p>text</p>"},
		{"json", "application/json", `{"a": 1}`, `{"a": 1}`},
		{"xhtml", "application/xhtml+xml", `<html xmlns="http://www.w3.org/1999/xhtml"><body><p>text</p></body></html>`, "text"},
	} {
		x, err := Extract(t.Context(), []byte(c.body), c.contentType, nil, Options{})
		if c.want == "" {
			if !errors.Is(err, ErrNotText) {
				t.Errorf("%s: got %q, %v, want %v", c.name, x.Plain, err, ErrNotText)
			}
			continue
		}
		if err != nil || x.Plain != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, x.Plain, err, c.want)
		}
	}
}

func TestPlainTextStaysInsideItsFence(t *testing.T) {
	x, err := Extract(t.Context(), []byte("a ``` b\n````\n<script>x</script> [y](javascript:z)\x1b[0m"), "text/plain", nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkHarmless(t, x)
	if got := render(t, x.Markdown); strings.Count(got, "<pre>") != 1 || strings.Contains(got, "<a") {
		t.Errorf("the fence was left: %s", got)
	}
}

// J17.
func TestExtractIsBounded(t *testing.T) {
	var links strings.Builder
	for n := range 20_000 {
		fmt.Fprintf(&links, `<a href="/%d">x</a>`, n)
	}
	for _, c := range []struct{ name, source string }{
		{"a million nested elements", strings.Repeat("<div>", 1_000_000) + "deep"},
		{"nested formatting", strings.Repeat("<b><i><a href=x>", 100_000)},
		{"nested tables", strings.Repeat("<table><tr><td>", 100_000)},
		{"nested lists", strings.Repeat("<ul><li>", 200_000)},
		{"open quotes", strings.Repeat("<blockquote>", 300_000)},
		{"a huge attribute", `<p title="` + strings.Repeat("x", 10<<20) + `">text</p><p>after</p>`},
		{"a huge tag name", "<" + strings.Repeat("x", 5<<20) + ">text"},
		{"many attributes", "<p " + strings.Repeat("a=b c ", 1<<20) + ">text"},
		{"many links", links.String()},
		{"many definitions", strings.Repeat("<dl><dt>a<dd>b", 100_000)},
		{"many selects", strings.Repeat("<select><option>", 100_000)},
		{"a comment without an end", "<!--" + strings.Repeat("-", 8<<20)},
		{"a script without an end", "<p>text<script>" + strings.Repeat("x", 8<<20)},
		{"half-open tags", strings.Repeat("<a href='", 500_000)},
		{"entities", strings.Repeat("&amp;&#0;&nosuch", 500_000)},
		{"style rules", "<style>" + strings.Repeat(".a{display:none}", 15_000) + "</style>" + strings.Repeat("<p class=a>x", 50_000)},
	} {
		for _, main := range []bool{true, false} {
			x, err := Extract(t.Context(), []byte(c.source), "text/html", mustURL(t, "https://site.example/"), Options{MainOnly: main})
			if err != nil && !errors.Is(err, ErrBudget) {
				t.Errorf("%s, main %v: %v", c.name, main, err)
			}
			if len(x.Links) > maxLinks {
				t.Errorf("%s: %d links, want at most %d", c.name, len(x.Links), maxLinks)
			}
		}
	}
}

func TestDeepPageKeepsItsTextAndLinks(t *testing.T) {
	source := "<title>Deep</title>" + strings.Repeat("<div>", 5000) + `text <a href="/next">next</a><h2>Heading</h2>` + strings.Repeat("</div>", 5000) + "after"
	x := extractHTML(t, source, Options{})
	if x.Title != "Deep" || !strings.Contains(x.Plain, "text") || !strings.Contains(x.Plain, "after") || len(x.Links) != 1 || len(x.Headings) != 1 {
		t.Errorf("got %q %q %q %q", x.Title, x.Plain, x.Links, x.Headings)
	}
}

func TestManyPagesAreReadAtOnce(t *testing.T) {
	sources := make(map[string]string)
	want := make(map[string]Content)
	for _, name := range []string{"article", "product", "hostile"} {
		source, err := os.ReadFile(filepath.Join("testdata/extract", name+".html"))
		if err != nil {
			t.Fatal(err)
		}
		sources[name] = string(source)
		want[name] = extractHTML(t, string(source), Options{MainOnly: true})
	}
	var group sync.WaitGroup
	for range 8 {
		for name, source := range sources {
			group.Go(func() {
				got, err := Extract(t.Context(), []byte(source), "text/html", mustURL(t, "https://site.example/dir/page.html"), Options{MainOnly: true})
				if err != nil && !errors.Is(err, ErrBudget) {
					t.Errorf("%s: %v", name, err)
				}
				if err == nil && !cmp.Equal(want[name], got) {
					t.Errorf("%s reads differently beside others:\n%s", name, cmp.Diff(want[name], got))
				}
			})
		}
	}
	group.Wait()
}

func TestTooLargePageIsRefused(t *testing.T) {
	if _, err := Extract(t.Context(), make([]byte, maxPageBytes+1), "text/html", nil, Options{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}

// J16.
func TestSlowPageCostsItsBudgetAndNoMore(t *testing.T) {
	source := strings.Repeat("<p>word <b>and</b> word</p>", 20_000)
	_, err := Extract(t.Context(), []byte(source), "text/html", nil, Options{MainOnly: true, Budget: time.Nanosecond})
	if !errors.Is(err, ErrBudget) {
		t.Errorf("got %v, want %v", err, ErrBudget)
	}
	// All slots come free again: as many further pages as there are slots are read.
	for range cap(extractSlots) + 1 {
		if x := extractHTML(t, "<p>quick</p>", Options{}); x.Plain != "quick" {
			t.Errorf("got %q, want the page after the slow one", x.Plain)
		}
	}
}

func TestExtractEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range cap(extractSlots) * 2 { // a free slot may win against the context, but not for ever
		if _, err := Extract(ctx, []byte("<p>x</p>"), "text/html", nil, Options{}); err == nil {
			continue
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	}
}

func TestMetadataIsFoundWhereSitesPutIt(t *testing.T) {
	for _, c := range []struct {
		name, head string
		want       Content
	}{
		{"nothing", "", Content{}},
		{"open graph alone", `<meta property="og:title" content="T"><meta property="og:locale" content="de_AT">`, Content{Title: "T", Language: "de"}},
		{"linked data", `<script type="application/ld+json">{"author":"A","datePublished":"2026-01-02"}</script>`, Content{Author: "A", Published: "2026-01-02T00:00:00Z"}},
		{"broken linked data", `<script type="application/ld+json">{"author":</script><meta name=author content=B>`, Content{Author: "B"}},
		{"deep linked data", `<script type="application/ld+json">` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `</script>`, Content{}},
		{"several robots", `<meta name=robots content="NoIndex"><meta name=ROBOTS content="noai">`, Content{Robots: "noindex, noai"}},
		{"robots of our name", `<meta name=SwardBot content="noai"><meta name=otherbot content="noindex">`, Content{Robots: "noai"}},
		{"reservation", `<meta name=tdm-reservation content="1"><meta name="tdm-policy" content="https://a.example/p.json">`,
			Content{TDMReservation: "1", TDMPolicy: "https://a.example/p.json"}},
		{"licence", `<link rel=license type="application/rsl+xml" href="/rsl.xml"><link rel=license href="/terms">`, Content{Licences: []string{"https://site.example/rsl.xml"}}},
		{"canonical relative", `<link rel=canonical href="../other#x">`, Content{Canonical: "https://site.example/other"}},
		{"canonical of another scheme", `<link rel=canonical href="ftp://site.example/x">`, Content{}},
		{"odd date stays", `<meta name=date content="last spring">`, Content{Published: "last spring"}},
		{"author is no address", `<meta name=author content="https://a.example/me"><meta name="dc.creator" content="C">`, Content{Author: "C"}},
	} {
		x := extractHTML(t, "<head>"+c.head+"</head><body></body>", Options{})
		got := Content{Title: x.Title, Language: x.Language, Author: x.Author, Published: x.Published, Robots: x.Robots, Canonical: x.Canonical,
			TDMReservation: x.TDMReservation, TDMPolicy: x.TDMPolicy, Licences: x.Licences}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestLanguageIsGuessedOnlyWhenSure(t *testing.T) {
	german := "Die Wiese wird erst im Sommer gemäht, damit die Vögel ihre Jungen aufziehen können und die Samen der Blumen reif werden. Das ist ein alter Brauch."
	if x := extractHTML(t, "<p>"+german+"</p>", Options{}); x.Language != "de" {
		t.Errorf("got %q, want de", x.Language)
	}
	if x := extractHTML(t, "<p>42</p>", Options{}); x.Language != "" {
		t.Errorf("got %q for a number, want nothing", x.Language)
	}
}

// FuzzExtract holds that whatever a page says, what comes out is harmless.
func FuzzExtract(f *testing.F) {
	for _, name := range []string{"article", "product", "hostile"} {
		source, err := os.ReadFile(filepath.Join("testdata/extract", name+".html"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source, "text/html")
	}
	f.Add([]byte("a ``` b"), "text/plain")
	f.Add([]byte("<a href='x y)<z>'>[a](b)</a><img src=//x alt='](y)'>"), "")
	base, _ := url.Parse("https://site.example/dir/")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		for _, main := range []bool{true, false} {
			x, err := Extract(t.Context(), body, contentType, base, Options{MainOnly: main})
			if err == nil {
				checkHarmless(t, x)
			}
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	source, err := os.ReadFile("testdata/extract/article.html")
	if err != nil {
		b.Fatal(err)
	}
	base := mustURL(b, "https://meadow.example/2026/")
	b.SetBytes(int64(len(source)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Extract(b.Context(), source, "text/html", base, Options{MainOnly: true}); err != nil {
			b.Fatal(err)
		}
	}
}
