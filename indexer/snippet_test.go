package indexer

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestSnippetShowsTheBestPlace(t *testing.T) {
	filler := strings.Repeat("Nothing of interest stands in this sentence. ", 20)
	for _, c := range []struct{ name, text, query, want string }{
		{"short text whole", "A lawn is a sward.", "sward", "A lawn is a <mark>sward</mark>."},
		{"stems", "Lawns were mown; the mower mows.", "lawn mow", "<mark>Lawns</mark> were mown; the mower <mark>mows</mark>."},
		{"case and width", "The ＳＷＡＲＤ grew.", "sward", "The <mark>ＳＷＡＲＤ</mark> grew."},
		{"no match shows the start", "First words of the page.", "absent", "First words of the page."},
		{
			"two different words beat one word twice",
			"sward sward " + filler + "where the sward meets the meadow, all is well " + filler, "sward meadow",
			"… Nothing of interest stands in this sentence. where the <mark>sward</mark> meets the <mark>meadow</mark>, all is well Nothing of interest stands in this sentence. Nothing of interest stands in this sentence. Nothing of interest stands in this sentence. Nothing …",
		},
		{"white space folds", "a \n\n\t sward\u00a0here", "sward", "a <mark>sward</mark> here"},
		{"markup is text", `<script>alert("sward")</script> & <b onmouseover=x>sward</b>`, "sward", `&lt;script&gt;alert(&#34;<mark>sward</mark>&#34;)&lt;/script&gt; &amp; &lt;b onmouseover=x&gt;<mark>sward</mark>&lt;/b&gt;`},
		{"a mark of its own is text", "</mark><mark>sward", "sward", "&lt;/mark&gt;&lt;mark&gt;<mark>sward</mark>"},
		{"control characters go", "a\x00b \x1b[2J sward\x07", "sward", "ab [2J <mark>sward</mark>"},
		{"empty", "", "sward", ""},
	} {
		terms, err := Query{Text: c.query}.terms()
		if err != nil {
			t.Fatal(err)
		}
		if got := snippet(c.text, terms); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// FuzzSnippet holds that whatever a page says, its snippet is text and marks and nothing else.
func FuzzSnippet(f *testing.F) {
	f.Add("<script>sward</script>", "sward")
	f.Add(strings.Repeat("ä", 300)+" sward \xff\xc3", "ä")
	f.Add("日本語の草地 sward 草地", "草地")
	f.Add("\u0130\u0130 sward ﬁx", "i̇ fix")
	f.Fuzz(func(t *testing.T, text, words string) {
		terms, err := Query{Text: words}.terms()
		if err != nil {
			return
		}
		got := snippet(text, terms)
		z := html.NewTokenizer(strings.NewReader(got))
		for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
			token := z.Token()
			if kind != html.TextToken && (token.Data != "mark" || len(token.Attr) > 0) {
				t.Fatalf("snippet of %q for %q has %v: %s", text, words, token, got)
			}
		}
		if len(got) > 20*snippetLength {
			t.Fatalf("snippet of %d bytes", len(got))
		}
	})
}
