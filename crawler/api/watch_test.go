package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
	"sward/internal/wire"
)

// listen reads a watching connection to its end: the messages, and the close.
func listen(t *testing.T, p *partner, path, key string) (said []map[string]any, closed websocket.CloseError, echoed string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(p.api.URL, "http", "ws", 1)+path, &websocket.DialOptions{Subprotocols: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(16 << 20)
	for {
		_, raw, err := conn.Read(ctx)
		if err != nil {
			if closed.Code = websocket.CloseStatus(err); closed.Code < 0 {
				t.Fatalf("the connection broke: %v", err)
			}
			_, reason, _ := strings.Cut(err.Error(), "reason = ")
			closed.Reason = reason
			return said, closed, conn.Subprotocol()
		}
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		said = append(said, m)
	}
}

func TestWatcherSeesEveryDocumentOnce(t *testing.T) {
	site, all := crawltest.Tree(130)
	n := crawltest.New(t, site)
	p := start(t, config(n, t.TempDir()))
	id := p.begin(object{"url": root})
	for _, version := range []string{"/v2", "/v1", "/v2"} { // while it runs, mostly, and after its end
		said, closed, echoed := listen(t, p, version+"/crawl/"+id, "alice")
		if echoed != "alice" {
			t.Errorf("sub-protocol: got %q, want the key", echoed)
		}
		var documents []object
		for i, m := range said {
			switch {
			case i == 0 && m["type"] == "catchup":
				for _, d := range m["data"].(object)["data"].([]any) {
					documents = append(documents, d.(object))
				}
			case m["type"] == "document":
				documents = append(documents, m["data"].(object))
			case i == len(said)-2 && version == "/v2" && m["type"] == "catchup":
				if data := m["data"].(object); data["completed"] != 130.0 || data["status"] != "completed" || len(data["data"].([]any)) != 100 {
					t.Errorf("last status: got %v of %v, want 130 pages and a chunk of them", data["completed"], data["status"])
				}
			case i == len(said)-1 && version == "/v2" && m["type"] == "done":
			default:
				t.Errorf("%s: message %d of %d is %v", version, i, len(said), m["type"])
			}
		}
		if diff := cmp.Diff(all, paths(documents)); diff != "" {
			t.Errorf("%s: pages (-want +got):\n%s", version, diff)
		}
		if closed.Code != 1000 || !strings.Contains(closed.Reason, "done") {
			t.Errorf("%s: closed with %d %s, want 1000 and done", version, closed.Code, closed.Reason)
		}
		p.result(id)
	}
}

func TestWatcherIsToldWhyNot(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	n.SetAway(wire.NoEdge)
	p := start(t, config(n, t.TempDir()))
	id := p.begin(object{"url": root})
	for _, test := range []struct {
		path, key string
		code      int
		says      string
	}{
		{"/v2/crawl/" + id, "mallory", 3000, "Unauthorized"},
		{"/v2/crawl/" + id, "bob", 1008, "Job not found"},
		{"/v1/crawl/nonsense", "alice", 1008, "Job not found"},
	} {
		said, closed, _ := listen(t, p, test.path, test.key)
		if len(said) != 0 || int(closed.Code) != test.code || !strings.Contains(closed.Reason, test.says) {
			t.Errorf("%s as %s: got %v, %d %s, want %d with %s", test.path, test.key, said, closed.Code, closed.Reason, test.code, test.says)
		}
	}
	status, got := p.call("DELETE", "/v2/crawl/"+id, nil)
	if status != http.StatusOK {
		t.Fatalf("cancel: got %d %v", status, got)
	}
	said, closed, _ := listen(t, p, "/v2/crawl/"+id, "alice")
	if last := said[max(0, len(said)-2)]; closed.Code != 1000 || last["type"] != "catchup" || last["data"].(object)["status"] != "cancelled" {
		t.Errorf("a cancelled job: got %v, %d, want its last status", last, closed.Code)
	}
	_, closed, _ = listen(t, p, "/v1/crawl/"+id, "alice")
	if !strings.Contains(closed.Reason, "cancelled") {
		t.Errorf("a cancelled job in version 1: closed with %s, want the word", closed.Reason)
	}
}

func TestStrangersLeaveRoomToWatch(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	for range maxWatchEach { // connections that said no key, and take their time to hear so
		if !p.served.watchers.enter("") {
			t.Fatal("a stranger finds no place")
		}
	}
	if p.served.watchers.enter("") {
		t.Errorf("a stranger finds place %d", maxWatchEach+1)
		p.served.watchers.leave("")
	}
	if _, closed, _ := listen(t, p, "/v2/crawl/"+p.begin(object{"url": root}), "alice"); closed.Code != 1000 {
		t.Errorf("an account beside them: closed with %d %s, want 1000", closed.Code, closed.Reason)
	}
	for range maxWatchEach {
		p.served.watchers.leave("")
	}
	if err := p.served.Close(); err != nil || len(p.served.watchers.each) != 0 {
		t.Errorf("after the end: %v are noted, want none", p.served.watchers.each)
	}
}

func TestWatchersEndWithTheServer(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	n.SetAway(wire.NoEdge)
	p := start(t, config(n, t.TempDir()))
	id := p.begin(object{"url": root})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(p.api.URL, "http", "ws", 1)+"/v2/crawl/"+id, &websocket.DialOptions{Subprotocols: []string{"alice"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if _, _, err := conn.Read(ctx); err != nil {
		t.Fatalf("catch-up: %v", err)
	}
	if err := p.served.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("after the end: got %v, want a closed connection", err)
	}
	if status, got := p.call("GET", "/v2/crawl/"+id, nil); status != http.StatusOK {
		t.Errorf("a poll goes on: got %d %v", status, got)
	}
}

func TestVersionOneDepthIsOfPaths(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{
		"/docs": crawltest.Page("docs", "/docs/a", "/docs/a/b", "/docs/a/b/c", "/other"), "/docs/a": crawltest.Page("a"),
		"/docs/a/b": crawltest.Page("b", "/docs/x?q=/1/2/3"), "/docs/a/b/c": crawltest.Page("c"), "/other": crawltest.Page("other", "/one/two/three/four"),
		"/docs/x?q=/1/2/3": crawltest.Page("x"), "/one/two/three/four": crawltest.Page("four"),
	})
	p := start(t, config(n, t.TempDir()))
	p.version = "/v1"
	for _, test := range []struct {
		order object
		want  []string
	}{
		{object{"maxDepth": 0}, []string{"/docs"}},
		{object{"maxDepth": 1}, []string{"/docs", "/docs/a"}},
		{object{"maxDepth": 2}, []string{"/docs", "/docs/a", "/docs/a/b", "/docs/x?q=/1/2/3"}},
		{object{"maxDepth": 2, "regexOnFullURL": true}, []string{"/docs", "/docs/a", "/docs/a/b", "/docs/x?q=/1/2/3"}},
		{object{"maxDepth": 2, "allowBackwardLinks": true, "excludePaths": []string{"^/docs/a"}}, []string{"/docs", "/other"}},
		{object{}, []string{"/docs", "/docs/a", "/docs/a/b", "/docs/a/b/c", "/docs/x?q=/1/2/3"}},
	} {
		test.order["url"], test.order["ignoreSitemap"] = root+"docs", true
		_, documents := p.crawl(test.order)
		if got := paths(documents); !slices.Equal(got, test.want) {
			t.Errorf("%v: got %v, want %v", test.order, got, test.want)
		}
	}
	if n.Hits()["/sitemap.xml"] != 0 {
		t.Error("a sitemap was read that was to be ignored")
	}
}
