package crawler

import (
	"encoding/json"
	"net/url"
	"testing"

	"sward/crawler/fetch"
)

// TestArchiveJobsReadNoText holds that a job for the archive alone finds its way without paying for text.
func TestArchiveJobsReadNoText(t *testing.T) {
	at, err := url.Parse("https://site.test/dir/")
	if err != nil {
		t.Fatal(err)
	}
	html := arrival{Result: fetch.Result{Body: []byte(`<title>T</title><p>words</p><a href="next">x</a>`), Response: []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")}}
	pdf := arrival{Result: fetch.Result{Body: []byte("%PDF-1.7\n"), Response: []byte("HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n")}}
	for _, c := range []struct {
		formats  string
		textless bool
	}{
		{`null`, false},
		{`["warc"]`, true},
		{`[{"type":"warc"},"links","rawHtml","images"]`, true},
		{`["warc","markdown"]`, false},
		{`["warc","html"]`, false},
		{`["links"]`, false}, // a crawl feeds the index
	} {
		var order ScrapeOptions
		if err := json.Unmarshal([]byte(`{"formats":`+c.formats+`}`), &order); err != nil {
			t.Fatal(err)
		}
		if err := order.check(); err != nil {
			t.Errorf("%s: %v", c.formats, err)
		}
		got, err := contentOf(t.Context(), order, html, at)
		if err != nil || (got.Plain == "") != c.textless || got.Title != "T" || len(got.Links) != 1 || got.Links[0] != "https://site.test/dir/next" {
			t.Errorf("%s: got %+v, %v", c.formats, got, err)
		}
		if _, err := contentOf(t.Context(), order, pdf, at); (err == nil) != c.textless {
			t.Errorf("%s: a PDF gave %v", c.formats, err)
		}
	}
}
