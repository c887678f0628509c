package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"

	"sward/crawler"
	"sward/crawler/crawltest"
	"sward/crawler/warc"
)

const sitePages = 30

// crawled is an exporter over a crawl that has ended, and the job.
func crawled(t *testing.T, dir string) (*Exporter, crawler.Job, *crawler.Crawler) {
	t.Helper()
	site, _ := crawltest.Tree(sitePages)
	n := crawltest.New(t, site)
	c, err := crawler.Open(crawler.Config{
		Dir: dir, Verify: n.Verify, Suspect: n.Suspect, AuditRate: -1, Delay: time.Millisecond, RetryDelay: 5 * time.Millisecond,
		OpenCrawl: func(ctx context.Context, _ crawler.Account, avoid []string) (net.Conn, string, error) {
			return n.OpenCrawl(ctx, avoid)
		},
		OpenTunnel: func(_ context.Context, _ crawler.Account, _ string, avoid []string) (net.Conn, string, error) {
			return n.OpenTunnel(avoid)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		c.Close()
	})
	account := crawler.Account{ID: "id-alice", Name: "alice", Purpose: "search-index"}
	j, err := c.Start(ctx, account, crawler.Crawl, crawler.Order{
		URL: "http://site.test/", Scrape: crawler.ScrapeOptions{Formats: []crawler.Format{"markdown", "links", "warc"}},
	})
	if err == nil {
		j, err = c.Wait(ctx, j)
	}
	if err != nil || j.Completed != sitePages {
		t.Fatalf("crawl: %d pages, %v, want %d", j.Completed, err, sitePages)
	}
	e, err := Open(Config{Crawler: c, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return e, j, c
}

// TestExport makes one crawl for all.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	e, j, c := crawled(t, dir)
	for name, test := range map[string]func(*testing.T, *Exporter, crawler.Job, *crawler.Crawler){
		"holds every document": holdsEveryDocument, "goes on where it broke off": goesOnWhereItBrokeOff,
		"refuses in the API's shape": refusesInTheAPIsShape, "table is made once and kept": tableIsMadeOnceAndKept,
		"WARC tools read it": warcToolsReadIt,
	} {
		t.Run(name, func(t *testing.T) {
			fresh, err := Open(Config{Crawler: e.cfg.Crawler, Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			test(t, fresh, j, c)
		})
	}
	// Operators may move the archive's older files away: that is said before the first byte.
	archive := filepath.Join(dir, "warc")
	if err := os.Rename(archive, archive+".moved"); err != nil {
		t.Fatal(err)
	}
	if r := get(t, e, j, "GET", "format=warc"); r.StatusCode != http.StatusGone || !bytes.Contains(body(t, r), []byte("ARCHIVE_MOVED")) {
		t.Errorf("without the archive's files: got %d, want 410 ARCHIVE_MOVED", r.StatusCode)
	}
	if r := get(t, e, j, "GET", "format=jsonl"); r.StatusCode != http.StatusOK {
		t.Errorf("JSON lines without the archive's files: got %d, want 200", r.StatusCode)
	}
}

// get asks for an export with header fields in pairs.
func get(t *testing.T, e *Exporter, j crawler.Job, method, query string, fields ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "/v2/crawl/"+j.ID+"/export?"+query, nil)
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	e.Serve(w, r, j)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func holdsEveryDocument(t *testing.T, e *Exporter, j crawler.Job, c *crawler.Crawler) {
	var want []json.RawMessage
	for len(want) < sitePages {
		chunk, err := c.Documents(t.Context(), j, len(want), 100)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, chunk...)
	}
	t.Run("jsonl", func(t *testing.T) {
		if got, want := body(t, get(t, e, j, "GET", "format=jsonl")), append(bytes.Join(raw(want), []byte("\n")), '\n'); !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, want the %d of all documents, one a line", len(got), len(want))
		}
	})
	t.Run("warc", func(t *testing.T) {
		data := body(t, get(t, e, j, "GET", "format=warc"))
		sum, err := warc.Check(bytes.NewReader(data), func(at int64, err error) { t.Errorf("record at %d: %v", at, err) })
		if err != nil {
			t.Error(err)
		}
		types := map[string]int{"warcinfo": 1, "response": sitePages, "request": sitePages, "metadata": sitePages, "conversion": sitePages}
		if diff := cmp.Diff(types, sum.Types); diff != "" || sum.Outside > 0 {
			t.Errorf("%d records refer outside, types (-want +got):\n%s", sum.Outside, diff)
		}
		addresses := map[string]bool{}
		if err := warc.Read(bytes.NewReader(data), func(r warc.Record) error { addresses[r.URL] = true; return nil }); err != nil {
			t.Error(err)
		}
		for _, d := range want {
			if r, err := newRow(d); err != nil || !addresses[r.URL] {
				t.Errorf("%s is not in the file (%v)", r.URL, err)
			}
		}
	})
	t.Run("parquet", func(t *testing.T) {
		data := body(t, get(t, e, j, "GET", "format=parquet"))
		rows, err := parquet.Read[row](bytes.NewReader(data), int64(len(data)))
		if err != nil || len(rows) != sitePages {
			t.Fatalf("got %d rows, %v, want %d", len(rows), err, sitePages)
		}
		for i, d := range want {
			w, err := newRow(d)
			if err != nil {
				t.Fatal(err)
			}
			w.FetchedAt = w.FetchedAt.Truncate(time.Millisecond)
			if diff := cmp.Diff(w, rows[i], cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("row %d (-want +got):\n%s", i, diff)
			}
			if w.Markdown == "" || w.Status != 200 || len(w.SHA256) != 64 || w.WARCFile == "" || len(w.Links) == 0 || w.FetchedAt.IsZero() {
				t.Errorf("row %d lacks what the document has: %+v", i, w)
			}
		}
	})
}

func raw(list []json.RawMessage) [][]byte {
	var out [][]byte
	for _, d := range list {
		out = append(out, d)
	}
	return out
}

// A download that breaks off anywhere goes on where it was, by the ETag it had, even when the job has more documents by
// then.
func goesOnWhereItBrokeOff(t *testing.T, e *Exporter, j crawler.Job, _ *crawler.Crawler) {
	young := j // the job at a time when it had fewer documents
	young.State, young.Completed, young.Finished = crawler.Scraping, 20, time.Time{}
	for name := range formats {
		t.Run(name, func(t *testing.T) {
			first := get(t, e, young, "GET", "format="+name)
			whole := body(t, first)
			tag := first.Header.Get("ETag")
			if first.StatusCode != 200 || first.ContentLength != int64(len(whole)) || tag == "" || first.Header.Get("Sward-Documents") != "20" || first.Header.Get("Sward-Status") != "scraping" {
				t.Fatalf("got %d with %d bytes, Content-Length %d, header %v", first.StatusCode, len(whole), first.ContentLength, first.Header)
			}
			for cut := 0; cut < len(whole); cut += len(whole)/9 + 1 {
				r := get(t, e, j, "GET", "format="+name, "Range", fmt.Sprintf("bytes=%d-", cut), "If-Range", tag)
				rest := body(t, r)
				if r.StatusCode != http.StatusPartialContent || !bytes.Equal(rest, whole[cut:]) || r.Header.Get("ETag") != tag {
					t.Errorf("from byte %d: got %d with %d bytes and ETag %s, want 206, %d, %s", cut, r.StatusCode, len(rest), r.Header.Get("ETag"), len(whole)-cut, tag)
				}
			}
			head := get(t, e, young, "HEAD", "format="+name)
			if head.ContentLength != int64(len(whole)) || len(body(t, head)) != 0 || head.Header.Get("Accept-Ranges") != "bytes" {
				t.Errorf("HEAD: got Content-Length %d, header %v, want %d", head.ContentLength, head.Header, len(whole))
			}
			if r := get(t, e, j, "GET", "format="+name, "Range", "bytes=10-", "If-Range", `"other"`); r.StatusCode != 200 {
				t.Errorf("with another file's ETag: got %d, want 200 and all of it", r.StatusCode)
			}
			if r := get(t, e, j, "GET", "format="+name, "Range", fmt.Sprintf("bytes=%d-", 1<<40)); r.StatusCode != http.StatusRequestedRangeNotSatisfiable {
				t.Errorf("from beyond the end: got %d, want 416", r.StatusCode)
			}
			if r := get(t, e, young, "GET", "format="+name, "Range", "bytes=0-0,9-9,1-1"); r.StatusCode != 200 || !bytes.Equal(body(t, r), whole) {
				t.Errorf("in many parts: got %d, want 200 and all of it", r.StatusCode)
			}
			if r := get(t, e, young, "GET", "format="+name, "If-None-Match", tag); r.StatusCode != http.StatusNotModified {
				t.Errorf("what the client has: got %d, want 304", r.StatusCode)
			}
			if more := body(t, get(t, e, j, "GET", "format="+name)); name != "parquet" && !bytes.HasPrefix(more, whole) {
				t.Error("the longer file does not start with the shorter one")
			}
		})
	}
}

func refusesInTheAPIsShape(t *testing.T, e *Exporter, j crawler.Job, c *crawler.Crawler) {
	mapped, stranger := j, j
	mapped.Kind, stranger.Account.ID = crawler.Map, "id-bob"
	tests := []struct {
		name, query string
		job         crawler.Job
		status      int
		code        string
	}{
		{"format", "format=csv", j, 400, "BAD_REQUEST"},
		{"a map", "format=jsonl", mapped, 400, "BAD_REQUEST"},
		{"another account", "format=jsonl", stranger, 404, "NOT_FOUND"},
		{"another account's table", "format=parquet", stranger, 404, "NOT_FOUND"},
	}
	for _, test := range tests {
		r := get(t, e, test.job, "GET", test.query)
		var got struct {
			Success     *bool
			Code, Error string
		}
		if err := json.Unmarshal(body(t, r), &got); err != nil || got.Success == nil || *got.Success || r.StatusCode != test.status || got.Code != test.code || got.Error == "" || r.Header.Get("ETag") != "" {
			t.Errorf("%s: got %d %+v, %v, want %d %s", test.name, r.StatusCode, got, err, test.status, test.code)
		}
	}
	fresh, err := Open(Config{Crawler: c, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range atOnce {
		if account := fmt.Sprint("id-", i/atOnceEach); !fresh.enter(account) || (i+1)%atOnceEach == 0 && i+1 < atOnce && fresh.enter(account) {
			t.Fatalf("place %d: an account has other than %d of them", i, atOnceEach)
		}
	}
	if r := get(t, fresh, j, "GET", "format=jsonl"); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
		t.Errorf("with all places taken: got %d, want 503 and Retry-After", r.StatusCode)
	}
	for i := range atOnce {
		fresh.leave(fmt.Sprint("id-", i/atOnceEach))
	}
	if r := get(t, fresh, j, "GET", "format=jsonl"); r.StatusCode != 200 || len(fresh.places) != 0 {
		t.Errorf("when they are free again: got %d and %v taken, want 200 and none", r.StatusCode, fresh.places)
	}
	empty := j
	empty.Completed = 0
	if r := get(t, e, empty, "GET", ""); r.StatusCode != 200 || len(body(t, r)) != 0 || !strings.Contains(r.Header.Get("Content-Disposition"), ".jsonl") {
		t.Errorf("a job without documents: got %d, want an empty file", r.StatusCode)
	}
}
