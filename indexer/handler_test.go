package indexer

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

func get(t *testing.T, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

func TestSearchAnswersPrograms(t *testing.T) {
	x := openAt(t, t.TempDir())
	put(t, x, Document{
		URL: "https://a.example/", Title: "A <b>lawn</b>", Text: "The sward & the lawn", Language: "en",
		Fetched: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), Edge: "12D3KooWedge", Hash: "ab12",
	})
	w := get(t, x.Handler(), "/search?q=sward&limit=5&offset=0")
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
	}
	delete(got, "took_ms")
	delete(got["results"].([]any)[0].(map[string]any), "score")
	want := map[string]any{
		"query": "sward", "total": 1.0,
		"results": []any{map[string]any{
			"url": "https://a.example/", "title": "A <b>lawn</b>", "snippet": "The <mark>sward</mark> &amp; the lawn",
			"fetched": "2026-11-21T10:00:00Z", "language": "en", "provenance": map[string]any{"edge": "12D3KooWedge", "hash": "ab12"},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestSearchWithoutHitsHasAnEmptyList(t *testing.T) {
	x := openAt(t, t.TempDir())
	w := get(t, x.Handler(), "/search?q=nothing")
	if !strings.Contains(w.Body.String(), `"total":0`) || !strings.Contains(w.Body.String(), `"results":[]`) {
		t.Errorf("got %s, want no results as an empty list", w.Body)
	}
}

func TestSearchRefusesBadRequestsWithACode(t *testing.T) {
	x := openAt(t, t.TempDir())
	for target, code := range map[string]string{
		"/search":       "empty_query",
		"/search?q=%2A": "empty_query",
		"/search?q=" + strings.Repeat("a", MaxQuery+1):        "query_too_long",
		"/search?q=" + strings.Repeat("a", 1<<20):             "query_too_long",
		"/search?q=a&limit=101":                               "bad_limit",
		"/search?q=a&limit=0":                                 "bad_limit",
		"/search?q=a&limit=ten":                               "bad_limit",
		"/search?q=a&offset=-1":                               "bad_offset",
		"/search?q=a&offset=99999999999999999999999999999999": "bad_offset",
	} {
		w := get(t, x.Handler(), target)
		var got errorAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Errorf("%.60s: %v", target, err)
		}
		if w.Code != http.StatusBadRequest || got.Error.Code != code || got.Error.Message == "" {
			t.Errorf("%.60s: got %d %+v, want 400 %s", target, w.Code, got.Error, code)
		}
	}
}

func TestHandlerAnswersOnlyWhatItKnows(t *testing.T) {
	x := openAt(t, t.TempDir())
	if w := get(t, x.Handler(), "/other"); w.Code != http.StatusNotFound {
		t.Errorf("unknown path: got %d, want 404", w.Code)
	}
	w := httptest.NewRecorder()
	x.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/search?q=a", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("post: got %d, want 405", w.Code)
	}
}

// hostile is a page that tries everything to act in the results.
var hostile = Document{
	URL:   `https://evil.example/"><script>alert(1)</script>`,
	Title: `</title><script>alert(2)</script><img src=x onerror=alert(3)>`,
	Text:  `sward <svg onload=alert(4)> <a href="javascript:alert(5)">x</a> </mark></p><script>alert(6)</script> {{.}}`,
	Edge:  `"><script>alert(7)</script>`, Hash: `'><script>8</script>`, Language: `en" onclick="alert(9)`,
}

// K01.
func TestResultPageShowsHostileTextAsText(t *testing.T) {
	x := openAt(t, t.TempDir())
	put(t, x, hostile)
	w := get(t, x.Handler(), "/?q="+url.QueryEscape(`sward "><script>alert(0)</script>`))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	body := w.Body.String()
	allowed := map[string]bool{
		"html": true, "head": true, "meta": true, "title": true, "style": true, "body": true, "header": true, "main": true,
		"h1": true, "h2": true, "a": true, "form": true, "label": true, "input": true, "button": true, "p": true, "ol": true,
		"li": true, "mark": true, "code": true, "nav": true, "span": true,
	}
	z := html.NewTokenizer(strings.NewReader(body))
	for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
		token := z.Token()
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		if !allowed[token.Data] {
			t.Errorf("element %v got into the page", token)
		}
		for _, a := range token.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "href" && !strings.HasPrefix(a.Val, "https://evil.example/") && !strings.HasPrefix(a.Val, "./") {
				t.Errorf("attribute %s=%q got into the page", a.Key, a.Val)
			}
		}
	}
	if !strings.Contains(body, "<mark>sward</mark>") {
		t.Error("the page found is not on the page")
	}
}

func TestPageIsClosedToEverythingElse(t *testing.T) {
	x := openAt(t, t.TempDir())
	w := get(t, x.Handler(), "/")
	csp := w.Header().Get("Content-Security-Policy")
	_, rest, _ := strings.Cut(w.Body.String(), "<style>")
	style, _, found := strings.Cut(rest, "</style>")
	if !found || !strings.Contains(csp, "style-src '"+styleHash(style)+"'") || !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("policy %q does not fit the page's style", csp)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Type": "text/html; charset=utf-8"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, foreign := range []string{"http://", "https://", "<script", "<img", "@import", "url("} {
		if strings.Contains(w.Body.String(), foreign) {
			t.Errorf("the page refers to something outside: %s", foreign)
		}
	}
}

func TestPageExplainsARefusal(t *testing.T) {
	x := openAt(t, t.TempDir())
	w := get(t, x.Handler(), "/?q="+strings.Repeat("a", MaxQuery+1))
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "at most 512 are allowed") || !strings.Contains(w.Body.String(), `role="alert"`) {
		t.Errorf("got %d: %s", w.Code, w.Body)
	}
}

func TestPageLeadsThroughAllResults(t *testing.T) {
	x := openAt(t, t.TempDir())
	const total = 25
	for n := range total {
		put(t, x, Document{URL: "https://h.example/" + string(rune('a'+n)), Title: "Sward", Text: "sward", Language: "en", Hash: "abcdef0123456789", Edge: "12D3KooWabcdefgh"})
	}
	seen := make(map[string]bool)
	pages := 0
	for target := "./?q=sward"; target != ""; pages++ {
		doc, err := html.Parse(get(t, x.Handler(), strings.TrimPrefix(target, ".")).Body)
		if err != nil || pages > total {
			t.Fatalf("page %d: %v", pages, err)
		}
		target = ""
		for n := range doc.Descendants() {
			if n.Data != "a" || n.Type != html.ElementNode {
				continue
			}
			var href, rel string
			for _, a := range n.Attr {
				switch a.Key {
				case "href":
					href = a.Val
				case "rel":
					rel = a.Val
				}
			}
			switch {
			case rel == "next":
				target = href
			case strings.HasPrefix(href, "https://h.example/"):
				if seen[href] {
					t.Errorf("%s is on two pages", href)
				}
				seen[href] = true
			}
		}
	}
	if len(seen) != total || pages != 3 {
		t.Errorf("got %d results on %d pages, want %d on 3", len(seen), pages, total)
	}
}
