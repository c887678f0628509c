package hub

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sward/crawler"
	"sward/crawler/botauth"
	"sward/crawler/fetch"
)

func TestCrawlerSaysWhoItIs(t *testing.T) {
	s, err := newSelf(Config{Dir: t.TempDir(), Public: "https://hub.example", Contact: "crawl@hub.example <b>", Network: "main", Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	var c crawler.Config
	s.introduce(&c)
	if want := "SwardBot/1.0 (+https://hub.example/bot)"; c.Agent != want || c.Sign == nil {
		t.Errorf("agent: got %q, signs %v, want %q", c.Agent, c.Sign != nil, want)
	}
	mux := http.NewServeMux()
	s.serve(mux)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", "https://hub.example"+path, nil))
		return w
	}
	page := get(botPath)
	for _, want := range []string{c.Agent, "https://hub.example" + botauth.DirectoryPath, "crawl@hub.example &lt;b&gt;", "User-agent: SwardBot"} {
		if body := strings.ReplaceAll(page.Body.String(), "&#43;", "+"); !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if w := get(botauth.DirectoryPath); w.Code != 200 || w.Header().Get("Signature") == "" {
		t.Errorf("directory: got %d, signature %q", w.Code, w.Header().Get("Signature"))
	}
}

func TestHubWithoutPublicAddressSignsNothing(t *testing.T) {
	s, err := newSelf(Config{Dir: t.TempDir(), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	var c crawler.Config
	s.introduce(&c)
	mux := http.NewServeMux()
	s.serve(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", botauth.DirectoryPath, nil))
	if c.Agent != fetch.DefaultAgent || c.Sign != nil || w.Code != http.StatusNotFound {
		t.Errorf("got agent %q, signs %v, directory %d", c.Agent, c.Sign != nil, w.Code)
	}
	if _, err := newSelf(Config{Dir: t.TempDir(), Clock: time.Now, Public: "https://" + strings.Repeat("a", 120) + ".example"}); err == nil {
		t.Error("a public address too long for the crawler's name is accepted")
	}
}
