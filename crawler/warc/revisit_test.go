package warc

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestRevisitNamesWhatDidNotChange(t *testing.T) {
	dir := t.TempDir()
	w := openArchive(t, dir, 0)
	first, err := w.Write(pageExchange("/a", "<p>grass</p>"))
	if err != nil {
		t.Fatal(err)
	}
	again := pageExchange("/a", "<p>grass</p>")
	again.Revisit = &Original{ID: first.ID, URL: again.URL, Date: archiveTime}
	byDigest, err := w.Write(again)
	if err != nil {
		t.Fatal(err)
	}
	again.Response, again.Body = []byte("HTTP/1.1 304 Not Modified\r\nEtag: \"a\"\r\n\r\n"), nil
	again.Conversion = []byte("grass")
	byServer, err := w.Write(again)
	if err != nil {
		t.Fatal(err)
	}
	original, err := w.Record(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, body := original.Payload(); original.ID != first.ID || string(body) != "<p>grass</p>" {
		t.Errorf("original: got %s with %q", original.ID, body)
	}
	for _, c := range []struct {
		name              string
		at                Location
		profile, digest   string
		truncated, status string
	}{
		{"same digest", byDigest, sameDigest, sha1Digest([]byte("<p>grass</p>")), "length", "HTTP/1.1 200 OK"},
		{"not modified", byServer, notModified, "", "", "HTTP/1.1 304 Not Modified"},
	} {
		r, err := w.Record(c.at)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		header, body := r.Payload()
		if r.Type != "revisit" || len(body) > 0 || string(header[:len(c.status)]) != c.status {
			t.Errorf("%s: got a %s with %q", c.name, r.Type, r.Block)
		}
		for field, want := range map[string]string{
			"WARC-Profile": c.profile, "WARC-Payload-Digest": c.digest, "WARC-Truncated": c.truncated,
			"WARC-Refers-To": "<" + first.ID + ">", "WARC-Refers-To-Target-URI": "https://site.example/a", "WARC-Refers-To-Date": "2026-11-21T10:15:30.125Z",
		} {
			if got := r.Fields.Get(field); got != want {
				t.Errorf("%s: %s: got %q, want %q", c.name, field, got, want)
			}
		}
	}
	for _, r := range readArchive(t, archiveFiles(t, dir)[0]) {
		if r.Type == "conversion" && (r.Fields.Get("WARC-Refers-To") != "<"+first.ID+">" || string(r.Block) != "grass") {
			t.Errorf("conversion of %s: %q, want that of the payload's record", r.Fields.Get("WARC-Refers-To"), r.Block)
		}
	}
	again.Revisit = &Original{ID: first.ID, URL: "a b", Date: archiveTime}
	if _, err := w.Write(again); err == nil {
		t.Error("an original with a blank in its address: got no error")
	}
}

// All records of an exchange lie behind one another, which is what an export copies.
func TestLocationSpansTheWholeExchange(t *testing.T) {
	dir := t.TempDir()
	w := openArchive(t, dir, 0)
	var places []Location
	for _, body := range []string{"one", "two"} {
		x := pageExchange("/"+body, body)
		x.Conversion = []byte(body)
		at, err := w.Write(x)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, at)
	}
	if got, want := places[1].Offset, places[0].Offset+places[0].Records; got != want {
		t.Errorf("the second exchange is at %d, the first ends at %d", got, want)
	}
	f, err := w.OpenFile(places[1].File)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var kinds []string
	err = Read(io.NewSectionReader(f, places[1].Offset, places[1].Records), func(r Record) error {
		kinds = append(kinds, r.Type)
		return nil
	})
	if len(kinds) != 4 || kinds[0] != "response" || kinds[3] != "conversion" || err != nil {
		t.Errorf("got %v, %v, want the four records of the exchange", kinds, err)
	}
}

func TestRecordIsReadOnlyWhereOneIs(t *testing.T) {
	dir := t.TempDir()
	w := openArchive(t, dir, 0)
	at, err := w.Write(pageExchange("/a", "grass"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Location){
		"a byte too early": func(l *Location) { l.Offset-- },
		"a byte too short": func(l *Location) { l.Length-- },
		"nothing":          func(l *Location) { l.Length = 0 },
		"more than one":    func(l *Location) { l.Length = l.Records },
		"outside":          func(l *Location) { l.File = filepath.Join("..", filepath.Base(dir), l.File) },
		"another file":     func(l *Location) { l.File = "secret" },
	} {
		wrong := at
		change(&wrong)
		if r, err := w.Record(wrong); err == nil {
			t.Errorf("%s: got %+v, want an error", name, r)
		}
	}
	gone := at
	gone.File = "sward-00000009-20261121T101530Z.warc.gz"
	if _, err := w.Record(gone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: got %v, want %v", err, os.ErrNotExist)
	}
}
