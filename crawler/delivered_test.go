package crawler

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"sward/crawler/crawltest"
	"sward/crawler/warc"
)

// What an export copies is there, for each document: its JSON, and its exchange with the conversion that was asked for.
func TestDeliveredNamesTheArchivedExchange(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root", "/a"), "/a": crawltest.Page("meadow")})
	p := start(t, config(n, t.TempDir()))
	j, _ := p.crawl(object{"url": root, "scrapeOptions": object{"formats": []string{"warc", "markdown"}}})
	list, err := p.c.Delivered(t.Context(), j, 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("delivered: got %v, %v, want two", list, err)
	}
	documents, err := p.c.Documents(t.Context(), j, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range list {
		var doc struct {
			Markdown string
			Metadata struct {
				Provenance struct{ WARC warcPlace }
			}
		}
		if err := json.Unmarshal(documents[i], &doc); err != nil {
			t.Fatal(err)
		}
		at := doc.Metadata.Provenance.WARC
		if d.Size != len(documents[i]) || d.Place.File != at.File || d.Place.Offset != at.Offset || d.Place.Records != at.Records {
			t.Errorf("document %d of %d bytes at %+v: got %+v", i, len(documents[i]), at, d)
		}
		f, err := p.c.ArchiveFile(d.Place.File)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		var conversion string
		err = warc.Read(io.NewSectionReader(f, d.Place.Offset, d.Place.Records), func(r warc.Record) error {
			kinds = append(kinds, r.Type)
			if len(kinds) == 1 && r.ID != at.ID {
				t.Errorf("document %d names record %s, want %s", i, at.ID, r.ID)
			}
			if r.Type == "conversion" {
				conversion = string(r.Block)
			}
			return nil
		})
		f.Close()
		if got := strings.Join(kinds, " "); err != nil || got != "response request metadata conversion" {
			t.Errorf("document %d: got %s, %v", i, got, err)
		}
		if conversion == "" || conversion != doc.Markdown {
			t.Errorf("document %d: the conversion is %q, the Markdown %q", i, conversion, doc.Markdown)
		}
	}
	if list, err = p.c.Delivered(t.Context(), j, 1); len(list) != 1 || err != nil {
		t.Errorf("at most one: got %v, %v", list, err)
	}
}
