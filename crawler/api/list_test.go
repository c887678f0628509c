package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler"
	"sward/crawler/crawltest"
	"sward/internal/wire"
)

func TestBatchFetchesWhatIsListed(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/a": crawltest.Page("a", "/b"), "/b": crawltest.Page("b"), "/c": crawltest.Page("c")})
	p := start(t, config(n, t.TempDir()))
	_, got := p.call("POST", "/v2/batch/scrape", object{
		"urls": []string{root + "a", "http://", root + "c", "gopher://x"}, "formats": []string{"links"}, "maxConcurrency": 3,
	})
	id, _ := got["id"].(string)
	if diff := cmp.Diff(object{
		"success": true, "id": id, "url": p.api.URL + "/v2/batch/scrape/" + id, "invalidURLs": []any{"http://", "gopher://x"},
	}, got); diff != "" {
		t.Fatalf("start (-want +got):\n%s", diff)
	}
	status, documents := p.result(id)
	if diff := cmp.Diff([]string{"/a", "/c"}, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if status["completed"] != 2.0 || status["total"] != 2.0 || status["creditsUsed"] != 2.0 {
		t.Errorf("status: got %v, want two pages", status)
	}
	for _, path := range []string{"/v2/batch/scrape/", "/v1/batch/scrape/", "/v1/crawl/", "/v2/crawl/"} { // as clients of both ages ask
		if code, again := p.call("GET", path+id, nil); code != 200 || len(again["data"].([]any)) != 2 {
			t.Errorf("GET %s: got %d %v, want the batch", path, code, again)
		}
	}
	if code, got := p.call("POST", "/v2/batch/scrape", object{"urls": []string{root + "b"}, "appendToId": id}); code != 409 || got["code"] != apiEnded {
		t.Errorf("appending to what has ended: got %d %v, want 409", code, got)
	}
	if code, got := p.call("POST", "/v1/batch/scrape", object{"urls": []string{root + "b", "http://"}}); code != 400 {
		t.Errorf("version 1 with an address that is none: got %d %v, want 400", code, got)
	}
	if code, got := p.call("POST", "/v2/batch/scrape", object{"urls": []string{}}); code != 400 {
		t.Errorf("no addresses: got %d %v, want 400", code, got)
	}
}

func TestMapListsASitesAddresses(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{
		"/": crawltest.Page("root", "/about", "/Docs/caf%C3%A9", "http://sub.site.test/x"), "/about": crawltest.Page("about", "/deep"),
		"/sitemap.xml": "<urlset><url><loc>http://site.test/listed</loc></url></urlset>",
	})
	p := start(t, config(n, t.TempDir()))
	links := func(version string, order object) (list []string) {
		status, got := p.call("POST", version+"/map", order)
		if status != 200 || got["success"] != true {
			t.Fatalf("map %v: got %d %v, want 200", order, status, got)
		}
		for _, l := range got["links"].([]any) {
			if o, ok := l.(object); ok {
				l = o["url"]
			}
			list = append(list, strings.TrimPrefix(l.(string), "http://"))
		}
		return list
	}
	all := links("/v2", object{"url": root})
	slices.Sort(all)
	if diff := cmp.Diff([]string{"site.test/", "site.test/Docs/caf%C3%A9", "site.test/about", "site.test/listed", "sub.site.test/x"}, all); diff != "" {
		t.Errorf("map (-want +got):\n%s", diff)
	}
	if got := links("/v2", object{"url": root, "search": "caf\u00e9 docs", "limit": 1}); len(got) != 1 || got[0] != "site.test/Docs/caf%C3%A9" {
		t.Errorf("the best of a search: got %v, want the page that has both words", got)
	}
	if got := links("/v1", object{"url": root, "sitemapOnly": true}); !slices.Contains(got, "site.test/listed") || slices.Contains(got, "site.test/about") {
		t.Errorf("the sitemap alone, in version 1: got %v", got)
	}
	if n.Hits()["/about"] != 0 {
		t.Error("a map fetched a page besides the start page")
	}
}

func TestAnOrderIsTakenOnceUnderItsName(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	send := func(key, name string) (int, object) {
		as := &partner{t: t, api: p.api, key: key, header: http.Header{"X-Idempotency-Key": {name}}}
		return as.call("POST", "/v2/crawl", object{"url": root})
	}
	if status, got := send("alice", "one"); status != 200 {
		t.Fatalf("first: got %d %v, want 200", status, got)
	}
	if status, got := send("alice", "one"); status != 409 || got["code"] != apiRepeated || got["success"] != false {
		t.Errorf("again: got %d %v, want 409 %s", status, got, apiRepeated)
	}
	for who, name := range map[string]string{"alice": "two", "bob": "one"} {
		if status, got := send(who, name); status != 200 {
			t.Errorf("%s's %s: got %d %v, want 200", who, name, status, got)
		}
	}
	if status, _ := send("alice", strings.Repeat("x", maxIdempotency+1)); status != 400 {
		t.Errorf("a name that is too long: got %d, want 400", status)
	}
}

func TestOrderThatIsUndoneMayBeGivenAgain(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	n.SetAway(wire.NoEdge)
	p := start(t, config(n, t.TempDir()))
	p.header = http.Header{"X-Idempotency-Key": {"one"}}
	id := p.begin(object{"url": root})
	j, err := p.served.c.Job(t.Context(), crawler.Account{ID: "id-alice"}, id)
	if err == nil {
		err = p.served.undo(httptest.NewRequest("POST", "/", nil), j)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, got := p.call("GET", "/v2/crawl/"+id, nil); got["status"] != "cancelled" {
		t.Errorf("the job: got %v, want it cancelled", got["status"])
	}
	p.begin(object{"url": root}) // 409 if the name were still taken
}

func TestJobsAreListedNewestFirst(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	var want []any
	for range 3 {
		id := p.begin(object{"url": root})
		p.result(id)
		want = append([]any{id}, want...)
	}
	p.call("POST", "/v2/scrape", object{"url": root})
	read := func(path string) (ids []any, cursor any) {
		status, got := p.call("GET", path, nil)
		if status != 200 {
			t.Fatalf("%s: got %d %v", path, status, got)
		}
		for _, j := range got["data"].([]any) {
			ids = append(ids, j.(object)["id"])
		}
		return ids, got["cursor"]
	}
	first, cursor := read("/v2/jobs?limit=2")
	second, last := read("/v2/jobs?limit=2&cursor=" + cursor.(string))
	if diff := cmp.Diff(want, append(first, second...)[1:]); diff != "" || last != nil {
		t.Errorf("pages of jobs (-want +got), cursor %v:\n%s", last, diff)
	}
	if got, _ := read("/v2/team/activity?endpoint=crawl"); cmp.Diff(want, got) != "" {
		t.Errorf("activity of crawls: got %v, want %v", got, want)
	}
	if status, _ := p.call("GET", "/v2/jobs?cursor=nonsense", nil); status != 400 {
		t.Errorf("a cursor that is none: got %d, want 400", status)
	}
}

func TestBatchCallsItsWebhook(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/a": crawltest.Page("a")})
	calls := make(chan object, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var call object
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			t.Errorf("webhook: %v", err)
		}
		calls <- call
	}))
	t.Cleanup(hook.Close)
	cfg := config(n, t.TempDir())
	cfg.DialHook = func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("tcp", hook.Listener.Addr().String())
	}
	p := start(t, cfg)
	if status, got := p.call("POST", "/v2/batch/scrape", object{"urls": []string{root + "a"}, "webhook": "gopher://x"}); status != 400 {
		t.Errorf("a webhook that cannot be called: got %d %v, want 400", status, got)
	}
	status, got := p.call("POST", "/v1/batch/scrape", object{"urls": []string{root + "a"}, "webhook": object{"url": "http://hook.partner.test/x", "events": []string{"page"}}})
	if status != 200 {
		t.Fatalf("a webhook: got %d %v, want 200", status, got)
	}
	select {
	case call := <-calls:
		if call["type"] != "batch_scrape.page" || call["id"] != got["id"] {
			t.Errorf("called with %v, want batch_scrape.page of %v", call, got["id"])
		}
	case <-time.After(20 * time.Second):
		t.Error("nobody called")
	}
}

func TestLongListIsQueuedWhole(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	n.SetAway(wire.NoEdge)
	p := start(t, config(n, t.TempDir()))
	var urls []string
	for i := range 2*listChunk + 7 {
		urls = append(urls, fmt.Sprintf("%spage/%d", root, i))
	}
	status, got := p.call("POST", "/v2/batch/scrape", object{"urls": urls})
	if status != 200 {
		t.Fatalf("got %d %v, want 200", status, got)
	}
	id := got["id"].(string)
	if _, got = p.call("GET", "/v2/batch/scrape/"+id, nil); got["total"] != float64(len(urls)) || got["status"] != "scraping" {
		t.Errorf("got %v of %v, want %d that wait", got["status"], got["total"], len(urls))
	}
	if status, _ = p.call("POST", "/v2/batch/scrape", object{"urls": make([]string, maxList+1)}); status != 400 {
		t.Errorf("a longer list than is taken: got %d, want 400", status)
	}
}

func TestListThatDoesNotFitLeavesItsJobAlone(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	n.SetAway(wire.NoEdge)
	p := start(t, config(n, t.TempDir()))
	_, got := p.call("POST", "/v2/batch/scrape", object{"urls": []string{root}})
	id, _ := got["id"].(string)
	urls := make([]string, maxList)
	for i := range urls {
		urls[i] = fmt.Sprintf("%s%d", root, i)
	}
	if status, got := p.call("POST", "/v2/batch/scrape", object{"urls": urls, "appendToId": id}); status != 400 || got["code"] != apiBadRequest {
		t.Errorf("a page more than a batch has: got %d %v, want 400", status, got)
	}
	if _, got = p.call("GET", "/v2/batch/scrape/"+id, nil); got["status"] != "scraping" {
		t.Errorf("the job that runs: got %v, want it to go on", got["status"])
	}
}

func TestSearchCountsWhatWasFetched(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root"), "/a": crawltest.Page("a")})
	cfg := config(n, t.TempDir())
	cfg.Fresh = 0
	p := startWith(t, cfg, Config{Search: func(context.Context, Question) ([]Found, error) {
		return []Found{{URL: root}, {URL: root + "a"}}, nil
	}})
	for _, want := range []float64{2, 0} { // the second time from memory
		status, got := p.call("POST", "/v2/search", object{"query": "root", "scrapeOptions": object{"formats": []string{"markdown"}}})
		if status != 200 || got["creditsUsed"] != want {
			t.Fatalf("got %d with %v credits, want 200 with %v", status, got["creditsUsed"], want)
		}
		for _, found := range got["data"].(object)["web"].([]any) {
			if found.(object)["markdown"] == nil {
				t.Errorf("got %v, want its text", found)
			}
		}
	}
}
