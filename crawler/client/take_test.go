package client

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sward/crawler"
	"sward/crawler/api"
	"sward/crawler/crawltest"
	"sward/crawler/export"
	"sward/internal/wire"
)

const sitePages = 40

// eager is a client that does not wait.
func (h *hub) eager() *Client {
	return &Client{API: h.URL, Key: "alice", firstWait: 5 * time.Millisecond, pollEvery: 20 * time.Millisecond}
}

// hub is the real crawl API over a real crawler, behind a connection that breaks.
type hub struct {
	*httptest.Server
	cut     atomic.Int64 // bytes of an export after which the connection breaks; 0: it does not
	starts  atomic.Int64 // crawls that were asked for
	exports atomic.Int64 // exports that were asked for
	refuse  atomic.Int64 // requests yet to be answered with 503
}

func newHub(t *testing.T, site http.Handler) *hub {
	t.Helper()
	n := crawltest.New(t, site)
	c, err := crawler.Open(crawler.Config{
		Dir: t.TempDir(), Verify: n.Verify, Suspect: n.Suspect, AuditRate: -1, Delay: time.Millisecond, RetryDelay: 5 * time.Millisecond,
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
	exports, err := export.Open(export.Config{Crawler: c, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	door := api.New(api.Config{
		Crawler: c, Export: exports.Serve,
		Authorise: func(_ context.Context, key string) (crawler.Account, error) {
			if key != "alice" {
				return crawler.Account{}, wire.Errorf(wire.AuthFailed, "unknown key")
			}
			return crawler.Account{ID: "id-alice", Name: "alice", Purpose: "search-index"}, nil
		},
	})
	h := &hub{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			h.starts.Add(1)
		} else if h.refuse.Add(-1) >= 0 {
			http.Error(w, "a proxy's words", http.StatusBadGateway)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/export") {
			h.exports.Add(1)
			if left := h.cut.Load(); left > 0 {
				w = &cutWriter{ResponseWriter: w, left: left}
			}
		}
		door.ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		h.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		c.Close()
	})
	return h
}

// cutWriter breaks the connection in the midst of a body.
type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (c *cutWriter) Write(p []byte) (int, error) {
	c.left -= int64(len(p))
	if c.left < 0 {
		c.ResponseWriter.Write(p[:int64(len(p))+c.left]) //nolint:errcheck // it breaks anyway
		http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

func (c *cutWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func wish(t *testing.T, format string) Wish {
	return Wish{
		Order: map[string]any{"url": "http://site.test/", "scrapeOptions": map[string]any{"formats": []string{"markdown", "warc"}}},
		File:  filepath.Join(t.TempDir(), "site."+format), Format: format,
	}
}

func TestCrawlBecomesAFileOverBrokenConnections(t *testing.T) {
	site, _ := crawltest.Tree(sitePages)
	h := newHub(t, site)
	for format, cut := range map[string]int64{"jsonl": 30_000, "warc": 20_000, "parquet": 12_000} {
		t.Run(format, func(t *testing.T) {
			c, w := h.eager(), wish(t, format)
			h.cut.Store(cut)
			h.exports.Store(0)
			h.refuse.Store(2)
			var crawled, fetched bool
			got, err := c.Take(t.Context(), w, func(p Progress) {
				crawled = crawled || p.Total == 0 && p.Status.Completed == sitePages
				fetched = fetched || p.Total > 0 && p.Done == p.Total
			})
			info, statErr := os.Stat(w.File)
			if err != nil || statErr != nil || got.Bytes != info.Size() || got.Documents != sitePages || !crawled || !fetched {
				t.Fatalf("got %+v, %v, %v, progress to the end %t %t", got, err, statErr, crawled, fetched)
			}
			if h.exports.Load() < 3 {
				t.Errorf("the export came in %d stretches, the test wants it to break more often", h.exports.Load())
			}
			left, err := filepath.Glob(w.File + ".*")
			if err != nil || len(left) > 0 {
				t.Errorf("beside the file: %v, %v, want nothing", left, err)
			}
			if _, err := c.Take(t.Context(), w, func(Progress) {}); err == nil || !strings.Contains(err.Error(), "there already") {
				t.Errorf("again: got %v, want that the file is there", err)
			}
			again := w
			again.Order, again.Job, again.File = nil, got.Job, w.File+".2"
			if _, err := c.Take(t.Context(), again, func(Progress) {}); err != nil {
				t.Fatalf("the same job: %v", err)
			}
			one, err1 := os.ReadFile(w.File)
			two, err2 := os.ReadFile(again.File)
			if !bytes.Equal(one, two) {
				t.Errorf("the same job came out as %d and %d bytes, %v", len(one), len(two), errors.Join(err1, err2))
			}
		})
	}
}

// The process is stopped in the midst, as often as it likes: one crawl is started, and each byte is fetched once.
func TestStoppedCrawlGoesOn(t *testing.T) {
	site, _ := crawltest.Tree(sitePages)
	h := newHub(t, site)
	c, w := h.eager(), wish(t, "jsonl")
	part, state := Unfinished(w.File)
	ctx, stop := context.WithCancel(t.Context())
	if _, err := c.Take(ctx, w, func(Progress) { stop() }); !errors.Is(err, context.Canceled) { // while it crawls
		t.Fatalf("stopped: got %v, want %v", err, context.Canceled)
	}
	h.cut.Store(50_000)
	ctx, stop = context.WithCancel(t.Context())
	if _, err := c.Take(ctx, w, func(p Progress) { // while it fetches
		if p.Done > 40_000 {
			stop()
		}
	}); err == nil {
		t.Fatal("stopped: got no error")
	}
	before, err := os.ReadFile(part)
	if err != nil || len(before) < 40_000 {
		t.Fatalf("so far %d bytes, %v", len(before), err)
	}
	other := w
	other.Order = map[string]any{"url": "http://elsewhere.test/"}
	if _, err := c.Take(t.Context(), other, func(Progress) {}); err == nil || !strings.Contains(err.Error(), state) {
		t.Errorf("another crawl into the same file: got %v, want an error that names %s", err, state)
	}
	h.cut.Store(0)
	first := int64(0)
	got, err := c.Take(t.Context(), w, func(p Progress) {
		if first == 0 {
			first = p.Done
		}
	})
	if err != nil || got.Documents != sitePages || h.starts.Load() != 1 || first <= int64(len(before)) {
		t.Errorf("got %+v, %v; %d crawls were started, and it went on at byte %d of %d", got, err, h.starts.Load(), first, len(before))
	}
	whole, err := os.ReadFile(w.File)
	if err != nil || !bytes.HasPrefix(whole, before) {
		t.Errorf("the file does not start with what was there: %v", err)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	h := newHub(t, crawltest.Site{})
	w := wish(t, "warc")
	badURL := w
	badURL.Order = map[string]any{"url": "ftp://site.test/"}
	gone := w
	gone.Order, gone.Job = nil, "0b8b0e44-0000-4000-8000-000000000000"
	for _, test := range []struct {
		name string
		c    Client
		w    Wish
		says string
	}{
		{"key", Client{API: h.URL, Key: "mallory"}, w, "invalid key"},
		{"order", Client{API: h.URL, Key: "alice"}, badURL, "scheme"},
		{"no such job", Client{API: h.URL, Key: "alice"}, gone, "has no job " + gone.Job},
		{"nobody there", Client{API: "http://127.0.0.1:1", Key: "alice", Patience: time.Millisecond}, w, "refused"},
		{"a site without pages", *h.eager(), w, "the crawl failed"},
	} {
		_, err := test.c.Take(t.Context(), test.w, func(Progress) {})
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.says)
		}
		_, state := Unfinished(test.w.File)
		if err := os.Remove(state); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %s was left: %v", test.name, state, err)
		}
	}
}
