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
		if kinds, first := recordsAt(t, p.c, d.Place); kinds != "response request metadata" || first.ID != at.ID {
			t.Errorf("document %d: got %s of %s, want those of %s", i, kinds, first.ID, at.ID)
		}
		kinds, made := recordsAt(t, p.c, d.Beside)
		if kinds != "conversion" || string(made.Block) != doc.Markdown || doc.Markdown == "" || made.Fields.Get("WARC-Refers-To") != "<"+at.ID+">" {
			t.Errorf("document %d: got %s with %q, want the Markdown %q as a conversion of %s", i, kinds, made.Block, doc.Markdown, at.ID)
		}
	}
	if list, err = p.c.Delivered(t.Context(), j, 1); len(list) != 1 || err != nil {
		t.Errorf("at most one: got %v, %v", list, err)
	}
}

// recordsAt are the types of the records at a place, and the first of them.
func recordsAt(t *testing.T, c *Crawler, at warc.Location) (string, warc.Record) {
	t.Helper()
	f, err := c.ArchiveFile(at.File)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var kinds []string
	var first warc.Record
	err = warc.Read(io.NewSectionReader(f, at.Offset, at.Records), func(r warc.Record) error {
		if len(kinds) == 0 {
			first = r
		}
		kinds = append(kinds, r.Type)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(kinds, " "), first
}

// A page that memory has is not fetched, and of one that did not change the body is not archived again: the export has
// the body for each job all the same, and what was made of it for the jobs that asked.
func TestDeliveredHasTheBodyOfAnUnchangedPage(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	cfg := config(n, t.TempDir())
	p := start(t, cfg)
	for i, c := range []struct {
		formats []string
		maxAge  int
		beside  string
	}{
		{[]string{"warc"}, 0, ""},
		{[]string{"warc", "markdown"}, 3_600_000, "conversion"},
		{[]string{"warc", "markdown"}, 0, "revisit request metadata conversion"},
		{[]string{"warc"}, 3_600_000, ""},
	} {
		j, _ := p.crawl(object{"url": root, "sitemap": "skip", "scrapeOptions": object{"formats": c.formats, "maxAge": c.maxAge}})
		list, err := p.c.Delivered(t.Context(), j, 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("job %d: got %v, %v", i, list, err)
		}
		if kinds, first := recordsAt(t, p.c, list[0].Place); kinds != "response request metadata" || !strings.Contains(string(first.Block), "an honest text about root") {
			t.Errorf("job %d: got %s, want the exchange with the body", i, kinds)
		}
		beside := ""
		if list[0].Beside.File != "" {
			beside, _ = recordsAt(t, p.c, list[0].Beside)
		}
		if beside != c.beside {
			t.Errorf("job %d: beside it got %q, want %q", i, beside, c.beside)
		}
	}
}
