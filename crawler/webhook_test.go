package crawler

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
)

// hookServer is a buyer's server that keeps what it is called with.
type hookServer struct {
	*httptest.Server

	mu      sync.Mutex
	calls   []hookCall
	headers []http.Header
	bodies  [][]byte
	refuse  int // calls that are answered with 500
}

func newHookServer(t *testing.T) *hookServer {
	t.Helper()
	h := &hookServer{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		var call hookCall
		if err := json.Unmarshal(body, &call); err != nil {
			t.Errorf("call with %q: %v", body, err)
		}
		h.calls, h.headers, h.bodies = append(h.calls, call), append(h.headers, r.Header), append(h.bodies, body)
		if h.refuse > 0 {
			h.refuse--
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// dial leads every name to the server.
func (h *hookServer) dial(context.Context, string, string) (net.Conn, error) {
	return net.Dial("tcp", h.Listener.Addr().String())
}

func (h *hookServer) seen() ([]hookCall, []http.Header, [][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls), slices.Clone(h.headers), slices.Clone(h.bodies)
}

func hooked(n *crawltest.Network, h *hookServer, dir string) Config {
	cfg := config(n, dir)
	cfg.DialHook = h.dial
	cfg.HookSecret = func(a Account) string { return "secret of " + a.ID }
	return cfg
}

func TestWebhookTellsOfEveryPageOnce(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root", "/a", "/gone"), "/a": crawltest.Page("a")})
	h := newHookServer(t)
	p := start(t, hooked(n, h, t.TempDir()))
	job, _ := p.crawl(object{"url": root, "sitemap": "skip", "webhook": object{
		"url": "http://hook.test/in?x=1", "headers": object{"X-Team": "7"}, "metadata": object{"run": "nightly"},
	}})
	waitFor(t, "all calls", func() bool { calls, _, _ := h.seen(); return len(calls) == 5 })
	calls, headers, bodies := h.seen()
	type told struct {
		Type    string
		Success bool
		URL     string
	}
	var got []told
	ids := map[string]bool{}
	for i, call := range calls {
		one := told{Type: call.Type, Success: call.Success}
		for _, d := range call.Data {
			var page struct {
				Metadata struct{ SourceURL string }
			}
			if err := json.Unmarshal(d, &page); err != nil {
				t.Fatal(err)
			}
			one.URL = page.Metadata.SourceURL
		}
		got = append(got, one)
		if call.ID != job.ID || string(call.Metadata) != `{"run":"nightly"}` || ids[call.WebhookID] || headers[i].Get("X-Team") != "7" {
			t.Errorf("call %d: got id %s, metadata %s, webhookId %s, headers %v; want the job's, the order's, a new one, the order's",
				i, call.ID, call.Metadata, call.WebhookID, headers[i])
		}
		ids[call.WebhookID] = true
		mac := hmac.New(sha256.New, []byte("secret of id-alice"))
		mac.Write(bodies[i])
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); headers[i].Get("X-Firecrawl-Signature") != want {
			t.Errorf("call %d: signature %s, want %s", i, headers[i].Get("X-Firecrawl-Signature"), want)
		}
	}
	want := []told{{"crawl.started", true, ""}, {"crawl.page", true, root}, {"crawl.completed", true, ""}}
	pages := slices.DeleteFunc(slices.Clone(got), func(x told) bool { return x.URL == "" || x.URL == root })
	slices.SortFunc(pages, func(a, b told) int { return strings.Compare(a.URL, b.URL) })
	if diff := cmp.Diff([]told{{"crawl.page", true, root + "a"}, {"crawl.page", false, root + "gone"}}, pages); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, []told{got[0], got[1], got[4]}); diff != "" {
		t.Errorf("start, first page and end (-want +got):\n%s", diff)
	}
}

func TestWebhookIsRepeatedUnderTheSameID(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	h := newHookServer(t)
	h.refuse = 1
	cfg := hooked(n, h, t.TempDir())
	var mu sync.Mutex
	var ahead time.Duration
	cfg.Clock = func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(ahead) }
	p := start(t, cfg)
	p.crawl(object{"url": root, "sitemap": "skip", "webhook": object{"url": "http://hook.test/", "events": []string{"completed"}}})
	waitFor(t, "the first call", func() bool { calls, _, _ := h.seen(); return len(calls) == 1 })
	waitFor(t, "its result", func() bool {
		var attempt int
		return p.c.store.row(t.Context(), "SELECT attempt FROM events").Scan(&attempt) == nil && attempt == 1
	})
	mu.Lock()
	ahead = hookRetries[0]
	mu.Unlock()
	signal(p.c.hooked)
	waitFor(t, "the second call", func() bool { calls, _, _ := h.seen(); return len(calls) == 2 })
	calls, _, _ := h.seen()
	if calls[0].Type != "crawl.completed" || calls[0].WebhookID != calls[1].WebhookID || calls[0].WebhookID == "" {
		t.Errorf("got %v, want crawl.completed twice under one webhookId", calls)
	}
	waitFor(t, "nothing left to send", func() bool {
		var left int
		return p.c.store.row(t.Context(), "SELECT count(*) FROM events").Scan(&left) == nil && left == 0
	})
}

// TestWebhooksOfAllJobsHaveTheirTurn: jobs with more events than their server takes in a turn hold up no other's.
func TestWebhooksOfAllJobsHaveTheirTurn(t *testing.T) {
	c, _ := bench(t, 1, 1)
	h := newHookServer(t)
	const jobs = hooksAtOnce + 1
	for range jobs {
		o := Order{URL: root, Webhook: &Webhook{URL: "http://hook.test/"}}
		j, err := c.jobs.create(Account{ID: "a"}, Crawl, o, root, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		err = c.store.update(func(tx *tx) error {
			for n := range 2 * hookBatch {
				if err := tx.emit(j.id, eventCompleted, int64(n), time.Now()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{DialContext: h.dial}}
	defer client.CloseIdleConnections()
	last := int64(0)
	for range 2 {
		var err error
		if last, err = c.deliverOnce(t.Context(), client, last); err != nil {
			t.Fatal(err)
		}
	}
	calls, _, _ := h.seen()
	told := map[string]bool{}
	for _, call := range calls {
		told[call.ID] = true
	}
	if len(told) != jobs {
		t.Errorf("after two turns %d jobs were told of, want all %d", len(told), jobs)
	}
}

func TestWebhookOrderIsChecked(t *testing.T) {
	long := strings.Repeat("x", maxHookHeader)
	for name, test := range map[string]struct {
		hook any
		says string // empty: it is right
	}{
		"address alone":  {"https://hook.test/x", ""},
		"private":        {"http://192.168.1.1/", "dest_private"},
		"metadata":       {"http://169.254.169.254/", "dest_linklocal"},
		"router":         {"http://router.lan/", "dest_name"},
		"scheme":         {"ftp://hook.test/", "not an http"},
		"credentials":    {"https://u:p@hook.test/", "credentials"},
		"mail port":      {"http://hook.test:25/", "port 25"},
		"unknown event":  {object{"url": "https://hook.test/", "events": []string{"maybe"}}, "maybe"},
		"own header":     {object{"url": "https://hook.test/", "headers": object{"Host": "x"}}, "not yours"},
		"smuggled":       {object{"url": "https://hook.test/", "headers": object{"X": "a\r\nb: c"}}, "malformed"},
		"long header":    {object{"url": "https://hook.test/", "headers": object{"X": long}}, "too long"},
		"large metadata": {object{"url": "https://hook.test/", "metadata": object{"x": strings.Repeat("x", maxHookMetadata)}}, "metadata"},
	} {
		text, err := json.Marshal(object{"url": root, "webhook": test.hook})
		if err != nil {
			t.Fatal(err)
		}
		var o Order
		if err := json.Unmarshal(text, &o); err != nil {
			t.Fatal(err)
		}
		err = o.Webhook.check()
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
}
