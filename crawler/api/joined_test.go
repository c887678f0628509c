package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"sward/crawler"
	"sward/crawler/crawltest"
	"sward/internal/wire"
)

// config is a crawler's view of the test's network, without the pauses that only politeness to strangers needs.
func config(n *crawltest.Network, dir string) crawler.Config {
	return crawler.Config{
		Dir: dir, Verify: n.Verify, Suspect: n.Suspect,
		OpenCrawl: func(ctx context.Context, _ crawler.Account, avoid []string) (net.Conn, string, error) {
			return n.OpenCrawl(ctx, avoid)
		},
		OpenTunnel: func(_ context.Context, _ crawler.Account, _ string, avoid []string) (net.Conn, string, error) {
			return n.OpenTunnel(avoid)
		},
		Fresh: -1, AuditRate: -1, Delay: time.Millisecond, RetryDelay: 5 * time.Millisecond, PageTimeout: 2 * time.Second,
	}
}

func authorise(_ context.Context, key string) (crawler.Account, error) {
	switch key {
	case "broke":
		return crawler.Account{}, wire.Errorf(wire.BalanceExhausted, "no points left")
	case "alice", "bob":
		return crawler.Account{ID: "id-" + key, Name: key, Purpose: "search-index"}, nil
	}
	return crawler.Account{}, wire.Errorf(wire.AuthFailed, "unknown")
}

// partner is a client of a running crawler.
type partner struct {
	t   *testing.T
	api *httptest.Server
	key string

	served  *API
	version string      // of the API, "/v2" if empty
	header  http.Header // sent with each call, besides the key
}

// start runs a crawler and its API until the test ends.
func start(t *testing.T, cfg crawler.Config) *partner {
	t.Helper()
	return startWith(t, cfg, Config{})
}

func startWith(t *testing.T, cfg crawler.Config, door Config) *partner {
	t.Helper()
	c, err := crawler.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	door.Crawler, door.Authorise = c, authorise
	served := New(door)
	api := httptest.NewServer(served)
	t.Cleanup(func() {
		api.Close()
		if err := served.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: got %v, want nil", err)
		}
	})
	return &partner{t: t, api: api, key: "alice", served: served}
}

// call sends a request and decodes the JSON answer.
func (p *partner) call(method, path string, body any) (int, map[string]any) {
	p.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = bytes.NewBufferString(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			p.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	address := path
	if path[0] == '/' {
		address = p.api.URL + path
	}
	r, err := http.NewRequest(method, address, in)
	if err != nil {
		p.t.Fatal(err)
	}
	maps.Copy(r.Header, p.header)
	if p.key != "" {
		r.Header.Set("Authorization", "Bearer "+p.key)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		p.t.Fatalf("%s %s: answer %d is not JSON: %v", method, path, resp.StatusCode, err)
	}
	return resp.StatusCode, out
}

type object = map[string]any

// begin starts a crawl and returns its id.
func (p *partner) begin(order object) string {
	p.t.Helper()
	status, got := p.call("POST", cmp.Or(p.version, "/v2")+"/crawl", order)
	if status != 200 || got["success"] != true {
		p.t.Fatalf("POST /v2/crawl: got %d %v, want 200", status, got)
	}
	return got["id"].(string)
}

// result waits for the end of a crawl and collects its documents over all pages, as an SDK does.
func (p *partner) result(id string) (status object, documents []object) {
	p.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		code, got := p.call("GET", cmp.Or(p.version, "/v2")+"/crawl/"+id, nil)
		if code != 200 || got["success"] != true {
			p.t.Fatalf("poll: got %d %v, want 200", code, got)
		}
		if got["status"] != "scraping" {
			status = got
			break
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the crawl does not end: %v of %v", got["completed"], got["total"])
		}
		time.Sleep(10 * time.Millisecond) // the API is polled; there is nothing else to wait on
	}
	for page := status; ; {
		for _, d := range page["data"].([]any) {
			documents = append(documents, d.(object))
		}
		next, more := page["next"].(string)
		if !more {
			return status, documents
		}
		code, got := p.call("GET", next, nil)
		if code != 200 || got["success"] != true {
			p.t.Fatalf("next: got %d %v, want 200", code, got)
		}
		page = got
	}
}

// crawl is begin and result.
func (p *partner) crawl(order object) (object, []object) {
	p.t.Helper()
	return p.result(p.begin(order))
}

// paths are the sorted paths and queries of documents' final addresses.
func paths(documents []object) []string {
	list := []string{}
	for _, d := range documents {
		u, err := url.Parse(d["metadata"].(object)["url"].(string))
		if err != nil {
			list = append(list, err.Error())
			continue
		}
		list = append(list, u.RequestURI())
	}
	slices.Sort(list)
	return list
}
