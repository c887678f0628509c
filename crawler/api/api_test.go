package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"sward/crawler"
	"sward/crawler/crawltest"
	"sward/internal/wire"
)

const root = "http://site.test/"

func TestAPIRefusesInFirecrawlsShape(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	id := p.begin(object{"url": root})
	p.result(id)
	big := `{"url":"` + strings.Repeat("x", maxRequest) + `"}`
	tests := []struct {
		name, key, method, path string
		body                    any
		status                  int
		code, says              string
	}{
		{"no key", "", "POST", "/v2/crawl", object{"url": root}, 401, apiUnauthorized, "Bearer"},
		{"wrong key", "mallory", "GET", "/v2/crawl/" + id, nil, 401, apiUnauthorized, "invalid key"},
		{"no balance", "broke", "POST", "/v2/crawl", object{"url": root}, 402, "PAYMENT_REQUIRED", "credits"},
		{"no JSON", "alice", "POST", "/v2/crawl", "{", 400, apiInvalidJSON, "JSON"},
		{"more than JSON", "alice", "POST", "/v2/crawl", `{"url":"` + root + `"} {"limit":1}`, 400, apiInvalidJSON, "more than one"},
		{"wrong type", "alice", "POST", "/v2/crawl", `{"url":1}`, 400, apiBadRequest, "url is not a string"},
		{"no url", "alice", "POST", "/v2/crawl", object{}, 400, apiBadRequest, "url is required"},
		{"scheme", "alice", "POST", "/v2/crawl", object{"url": "ftp://site.test/"}, 400, apiBadRequest, "scheme"},
		{"file", "alice", "POST", "/v2/scrape", object{"url": "file:///etc/passwd"}, 400, apiBadRequest, "scheme"},
		{"private address", "alice", "POST", "/v2/crawl", object{"url": "http://192.168.1.1/"}, 400, apiBadRequest, "dest_private"},
		{"metadata service", "alice", "POST", "/v2/scrape", object{"url": "http://169.254.169.254/latest"}, 400, apiBadRequest, "dest_linklocal"},
		{"octal address", "alice", "POST", "/v2/scrape", object{"url": "http://0177.0.0.1/"}, 400, apiBadRequest, "dest_loopback"},
		{"home name", "alice", "POST", "/v2/crawl", object{"url": "http://router.lan/"}, 400, apiBadRequest, "dest_name"},
		{"bad include", "alice", "POST", "/v2/crawl", object{"url": root, "includePaths": []string{"ok", "(unclosed"}}, 400, apiBadRequest, `includePaths: "(unclosed"`},
		{"bad exclude", "alice", "POST", "/v2/crawl", object{"url": root, "excludePaths": []string{"(?=x)"}}, 400, apiBadRequest, `excludePaths: "(?=x)"`},
		{"limit zero", "alice", "POST", "/v2/crawl", object{"url": root, "limit": 0}, 400, apiBadRequest, "limit"},
		{"limit huge", "alice", "POST", "/v2/crawl", object{"url": root, "limit": 100_001}, 400, apiBadRequest, "limit"},
		{"sitemap mode", "alice", "POST", "/v2/crawl", object{"url": root, "sitemap": "maybe"}, 400, apiBadRequest, "sitemap"},
		{"execution", "alice", "POST", "/v2/crawl", object{"url": root, "execution": "magic"}, 400, apiBadRequest, "execution"},
		{"webhook", "alice", "POST", "/v2/crawl", object{"url": root, "webhook": "ftp://hook.test/"}, 400, apiBadRequest, "webhook"},
		{"robots", "alice", "POST", "/v2/crawl", object{"url": root, "ignoreRobotsTxt": true}, 400, apiBadRequest, "robots.txt is obeyed"},
		{"retention", "alice", "POST", "/v2/scrape", object{"url": root, "zeroDataRetention": true}, 400, apiBadRequest, "zeroDataRetention"},
		{"format", "alice", "POST", "/v2/scrape", object{"url": root, "formats": []any{object{"type": "screenshot"}}}, 400, apiBadRequest, "screenshot"},
		{"selector", "alice", "POST", "/v2/scrape", object{"url": root, "includeTags": []string{"<<"}}, 400, apiBadRequest, "include tags"},
		{"timeout", "alice", "POST", "/v2/scrape", object{"url": root, "timeout": 5}, 400, apiBadRequest, "timeout"},
		{"too long", "alice", "POST", "/v2/crawl", big, 413, apiTooLarge, "longer"},
		{"skip", "alice", "GET", "/v2/crawl/" + id + "?skip=-1", nil, 400, apiBadRequest, "skip"},
		{"limit of status", "alice", "GET", "/v2/crawl/" + id + "?limit=many", nil, 400, apiBadRequest, "limit"},
		{"another account's job", "bob", "GET", "/v2/crawl/" + id, nil, 404, apiNotFound, "Job not found"},
		{"another account's errors", "bob", "GET", "/v2/crawl/" + id + "/errors", nil, 404, apiNotFound, "Job not found"},
		{"cancel another account's job", "bob", "DELETE", "/v2/crawl/" + id, nil, 404, apiNotFound, "Job not found"},
		{"no such job", "alice", "GET", "/v2/crawl/0b8b0e44-0000-4000-8000-000000000000", nil, 404, apiNotFound, "Job not found"},
		{"crawl is no scrape", "alice", "GET", "/v2/scrape/" + id, nil, 404, apiNotFound, "Job not found"},
		{"cancel what has ended", "alice", "DELETE", "/v2/crawl/" + id, nil, 409, apiEnded, "completed"},
		{"method", "alice", "PUT", "/v2/crawl", object{}, 405, apiMethod, "PUT"},
		{"cancel by errors path", "alice", "DELETE", "/v2/crawl/" + id + "/errors", nil, 405, apiMethod, "DELETE"},
		{"nothing there", "alice", "GET", "/v2/nonsense", nil, 404, apiNotFound, "nothing"},
		{"root", "alice", "GET", "/", nil, 404, apiNotFound, "nothing"},
		{"version 1", "alice", "POST", "/v1/deep-research", object{}, 404, apiNotOffered, "/v1/deep-research"},
		{"extract", "alice", "POST", "/v2/extract", object{}, 404, apiNotOffered, "/v2/extract"},
		{"params preview", "alice", "POST", "/v2/crawl/params-preview", object{}, 404, apiNotOffered, "params-preview"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, got := (&partner{t: t, api: p.api, key: test.key}).call(test.method, test.path, test.body)
			says, _ := got["error"].(string)
			if status != test.status || got["success"] != false || got["code"] != test.code || !strings.Contains(says, test.says) {
				t.Errorf("got %d %v, want %d, success false, code %s, an error with %q", status, got, test.status, test.code, test.says)
			}
		})
	}
}

func TestAPIIgnoresFieldsItDoesNotKnow(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	status, got := p.call("POST", "/v2/crawl", object{
		"url": "http://site.test", "prompt": "the blog", "origin": "js-sdk@4.42.0", "zeroDataRetention": false, "someday": object{"x": 1}, "limit": 3,
		"scrapeOptions": object{"formats": []any{"markdown", object{"type": "links", "new": true}}, "maxAge": 0, "proxy": "auto"},
	})
	id, _ := got["id"].(string)
	if status != 200 || got["success"] != true || got["url"] != p.api.URL+"/v2/crawl/"+id {
		t.Fatalf("got %d %v, want 200 with the job's url", status, got)
	}
	if warning, _ := got["warning"].(string); !strings.Contains(warning, "prompt") {
		t.Errorf("warning: got %q, want it to name the prompt", warning)
	}
	end, documents := p.result(id)
	if len(documents) != 1 || documents[0]["markdown"] == "" {
		t.Errorf("documents: got %v, want one with markdown", documents)
	}
	for _, field := range []string{"expiresAt", "createdAt", "completedAt"} {
		if _, err := time.Parse(time.RFC3339, end[field].(string)); err != nil {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestAPIPagesResultsByAbsoluteURL(t *testing.T) {
	site, all := crawltest.Tree(130)
	n := crawltest.New(t, site)
	p := start(t, config(n, t.TempDir()))
	id := p.begin(object{"url": root})
	first, documents := p.result(id)
	if next := p.api.URL + "/v2/crawl/" + id + "?skip=100"; first["next"] != next || len(first["data"].([]any)) != 100 {
		t.Errorf("first page: got %d documents and next %v, want 100 and %s", len(first["data"].([]any)), first["next"], next)
	}
	if diff := cmp.Diff(all, paths(documents)); diff != "" {
		t.Errorf("all pages (-want +got):\n%s", diff)
	}
	_, got := p.call("GET", "/v2/crawl/"+id+"?skip=10&limit=7", nil)
	if next := p.api.URL + "/v2/crawl/" + id + "?skip=17&limit=7"; got["next"] != next || len(got["data"].([]any)) != 7 {
		t.Errorf("limited page: got %d documents and next %v, want 7 and %s", len(got["data"].([]any)), got["next"], next)
	}
	_, got = p.call("GET", "/v2/crawl/"+id+"?skip=5000", nil)
	if _, more := got["next"]; more || got["success"] != true || len(got["data"].([]any)) != 0 {
		t.Errorf("beyond the end: got %v, want success, no data and no next", got)
	}
	r, _ := http.NewRequest("GET", p.api.URL+"/v2/crawl/"+id, nil)
	r.Host = "crawl.partner.test"
	r.Header.Set("X-Forwarded-Proto", "https")
	if got, want := origin(r), "https://crawl.partner.test"; got != want {
		t.Errorf("origin behind a proxy: got %s, want %s", got, want)
	}
}

func TestAPICancelsAndLists(t *testing.T) {
	site, _ := crawltest.Tree(60)
	n := crawltest.New(t, site)
	n.SetAway(wire.NoEdge)
	p := start(t, config(n, t.TempDir()))
	id := p.begin(object{"url": root, "limit": 5})
	_, got := p.call("GET", "/v2/crawl/active", nil)
	list := got["crawls"].([]any)
	if len(list) != 1 || list[0].(object)["id"] != id || list[0].(object)["options"].(object)["limit"] != 5.0 {
		t.Errorf("active: got %v, want the job with its options", list)
	}
	status, got := p.call("DELETE", "/v2/crawl/"+id, nil)
	if status != 200 || got["success"] != true || got["status"] != "cancelled" {
		t.Errorf("DELETE: got %d %v, want 200 cancelled", status, got)
	}
	n.SetAway(wire.OK)
	end, documents := p.result(id)
	if end["status"] != "cancelled" || len(documents) != 0 {
		t.Errorf("after cancelling: got %v with %d documents, want cancelled with none", end["status"], len(documents))
	}
	if _, got = p.call("GET", "/v2/crawl/ongoing", nil); len(got["crawls"].([]any)) != 0 {
		t.Errorf("ongoing after cancelling: got %v, want none", got["crawls"])
	}
}

func TestScrapeReturnsWhatWasAskedFor(t *testing.T) {
	body := strings.Replace(crawltest.Page("Title", "/next"), "</main>", `<img src="/i.png"></main><nav>menu of the site</nav>`, 1)
	n := crawltest.New(t, crawltest.Site{"/a": body})
	p := start(t, config(n, t.TempDir()))
	status, got := p.call("POST", "/v2/scrape", object{
		"url": root + "a", "formats": []any{"markdown", "html", "rawHtml", object{"type": "links"}, "images", "summary"}, "mobile": true,
	})
	if status != 200 || got["success"] != true {
		t.Fatalf("got %d %v, want 200", status, got)
	}
	data := got["data"].(object)
	if data["rawHtml"] != body {
		t.Errorf("rawHtml: got %q, want %q", data["rawHtml"], body)
	}
	if diff := cmp.Diff([]any{root + "next"}, data["links"]); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{root + "i.png"}, data["images"]); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	if text := data["markdown"].(string); !strings.Contains(text, "honest text") || strings.Contains(text, "menu of the site") {
		t.Errorf("markdown: got %q, want the main content alone", text)
	}
	if text, _ := data["summary"].(string); !strings.Contains(text, "honest text") {
		t.Errorf("summary: got %q, want how the page begins", text)
	}
	if warning, _ := data["warning"].(string); !strings.Contains(warning, "mobile") {
		t.Errorf("warning: got %q, want it to name the option that was ignored", warning)
	}
	meta := data["metadata"].(object)
	wanted := object{
		"title": "Title", "language": "en", "sourceURL": root + "a", "url": root + "a", "statusCode": 200.0,
		"contentType": "text/html; charset=utf-8",
	}
	for field, want := range wanted {
		if meta[field] != want {
			t.Errorf("metadata.%s: got %v, want %v", field, meta[field], want)
		}
	}
	id, _ := meta["scrapeId"].(string)
	if status, again := p.call("GET", "/v2/scrape/"+id, nil); status != 200 || cmp.Diff(got["data"], again["data"]) != "" {
		t.Errorf("GET /v2/scrape/ of the document's scrapeId %q: got %d %v, want the document again", id, status, again["error"])
	}
	how := meta["provenance"].(object)
	for _, field := range []string{"edge", "exit", "attest", "signature", "sha256", "fetchedAt", "extractor", "audited"} {
		if text, _ := how[field].(string); text == "" {
			t.Errorf("provenance.%s is empty: %v", field, how)
		}
	}
	if file := how["warc"].(object)["file"].(string); !strings.HasSuffix(file, ".warc.gz") {
		t.Errorf("provenance.warc.file: got %q, want an archive file", file)
	}
}

func TestScrapeFailsWithAReason(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/", crawltest.Site{"/robots.txt": "User-agent: *\nDisallow: /secret\n"})
	mux.HandleFunc("/pdf", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pdf")
		w.Write([]byte("%PDF-1.7 \x00\x01"))
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	n := crawltest.New(t, mux)
	p := start(t, config(n, t.TempDir()))
	tests := []struct {
		path   string
		status int
		code   string
	}{
		{"secret", 403, "ROBOTS_DENIED"},
		{"pdf", 422, "SCRAPE_UNSUPPORTED_FILE_ERROR"},
		{"slow", 408, apiTimeout},
	}
	for _, test := range tests {
		status, got := p.call("POST", "/v2/scrape", object{"url": root + test.path, "timeout": 1000})
		if status != test.status || got["code"] != test.code || got["success"] != false {
			t.Errorf("/%s: got %d %v, want %d %s", test.path, status, got, test.status, test.code)
		}
	}
	status, got := p.call("POST", "/v2/scrape", object{"url": root + "gone"})
	if data, ok := got["data"].(object); status != 200 || !ok || data["metadata"].(object)["statusCode"] != 404.0 {
		t.Errorf("a 404 page: got %d %v, want the page with its status", status, got)
	}
}

// Why robots.txt could not be read is why the page could not: a partner can mend a misspelt name.
func TestScrapeNamesWhyAHostIsNotReached(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		code string
		says string
	}{
		{"no such name", &net.DNSError{Err: "no such host", IsNotFound: true}, "SCRAPE_DNS_RESOLUTION_ERROR", "dns_not_found"},
		{"resolver trouble", &net.DNSError{Err: "server misbehaving"}, "SCRAPE_DNS_RESOLUTION_ERROR", "dns_error"},
		{"refused", &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, "SCRAPE_SITE_ERROR", "dial_refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := crawltest.New(t, crawltest.Site{})
			for _, e := range n.Edges {
				e.Dial = func() (net.Conn, error) { return nil, test.err }
			}
			p := start(t, config(n, t.TempDir()))
			status, got := p.call("POST", "/v2/scrape", object{"url": root})
			details, _ := got["details"].(object)
			if status != 500 || got["code"] != test.code || details["code"] != test.says {
				t.Errorf("got %d %v, want 500 %s, %s", status, got, test.code, test.says)
			}
		})
	}
}

func TestScrapeSaysWhenNoEdgeIsThere(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	n.SetAway(wire.NoEdge)
	p := start(t, config(n, t.TempDir()))
	status, got := p.call("POST", "/v2/scrape", object{"url": root, "timeout": 1000})
	if status != 503 || got["code"] != "NO_EDGE" {
		t.Errorf("got %d %v, want 503 NO_EDGE", status, got)
	}
}

// Version 1 always fetches, unless it is told otherwise; version 2 leaves the age to us.
func TestScrapeIsAnsweredFromMemory(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	cfg := config(n, t.TempDir())
	cfg.Fresh = 0 // the default
	p := start(t, cfg)
	state := func(version string, order object) any {
		t.Helper()
		status, got := p.call("POST", version+"/scrape", order)
		if status != 200 {
			t.Fatalf("%s scrape %v: got %d %v, want 200", version, order, status, got)
		}
		return got["data"].(object)["metadata"].(object)["cacheState"]
	}
	status, got := p.call("POST", "/v2/scrape", object{"url": root, "minAge": 1})
	if status != 404 || got["code"] != "SCRAPE_NO_CACHED_DATA" {
		t.Errorf("memory alone, with nothing in it: got %d %v, want 404 SCRAPE_NO_CACHED_DATA", status, got)
	}
	for _, test := range []struct {
		version string
		order   object
		want    string
	}{
		{"/v2", object{"url": root}, "miss"}, {"/v2", object{"url": root}, "hit"}, {"/v1", object{"url": root}, "miss"},
		{"/v1", object{"url": root, "maxAge": 60_000}, "hit"}, {"/v2", object{"url": root, "maxAge": 0}, "miss"}, {"/v2", object{"url": root, "minAge": 1}, "hit"},
	} {
		if got := state(test.version, test.order); got != test.want {
			t.Errorf("%s %v: got a %v, want a %s", test.version, test.order, got, test.want)
		}
	}
	job, documents := p.crawl(object{"url": root, "sitemap": "skip"})
	if job["creditsUsed"] != 0.0 || job["completed"] != 1.0 || len(documents) != 1 {
		t.Errorf("crawl of a remembered page: got %v credits for %v pages, want 0 for 1", job["creditsUsed"], job["completed"])
	}
}

func TestErrorsNameWhatRobotsForbid(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{
		"/": crawltest.Page("root", "/gone", "/secret/x"), "/robots.txt": "User-agent: *\nDisallow: /secret/\n",
	})
	p := start(t, config(n, t.TempDir()))
	id := p.begin(object{"url": root})
	status, documents := p.result(id)
	if status["completed"] != 1.0 || len(documents) != 1 || status["creditsUsed"] != 1.0 {
		t.Errorf("got %v of %d documents, want one, which is all that is charged", status, len(documents))
	}
	_, got := p.call("GET", "/v2/crawl/"+id+"/errors", nil)
	if diff := cmp.Diff([]any{root + "secret/x"}, got["robotsBlocked"]); diff != "" {
		t.Errorf("robotsBlocked (-want +got):\n%s", diff)
	}
	codes := map[any]any{}
	for _, e := range got["errors"].([]any) {
		codes[e.(object)["url"]] = e.(object)["code"]
	}
	if diff := cmp.Diff(map[any]any{root + "gone": "http_404", root + "secret/x": "robots_denied"}, codes); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// Clients of version 2 sleep and send the same request again when they are told that the page is still being fetched.
func TestScrapeThatTakesLongerIsAskedForAgain(t *testing.T) {
	slow := make(chan struct{})
	site := crawltest.Site{"/slow": crawltest.Page("slow")}
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-slow
		}
		site.ServeHTTP(w, r)
	}))
	cfg := config(n, t.TempDir())
	cfg.PageTimeout = 30 * time.Second
	p := start(t, cfg)
	order := object{"url": root + "slow", "timeout": 1000, "origin": "js-sdk@4.42.0"}
	status, got := p.call("POST", "/v2/scrape", order)
	details, _ := got["details"].(object)
	if status != 408 || got["code"] != apiTimeout || details["state"] != "processing_continues" || details["retryAfterSeconds"] != float64(resumeAfter) {
		t.Fatalf("got %d %v, want 408 with the word that it goes on", status, got)
	}
	close(slow)
	order["origin"] = "js-sdk@4.42.1" // says nothing about the page
	if status, got = p.call("POST", "/v2/scrape", order); status != 200 {
		t.Errorf("the same again: got %d %v, want the page", status, got)
	}
	meta, _ := got["data"].(object)["metadata"].(object)
	if meta["scrapeId"] != details["id"] || n.Hits()["/slow"] != 1 {
		t.Errorf("got scrape %v after %d requests, want %v after one", meta["scrapeId"], n.Hits()["/slow"], details["id"])
	}
	if status, _ = p.call("POST", "/v2/scrape", order); status != 200 || n.Hits()["/slow"] != 2 {
		t.Errorf("a third: got %d after %d requests, want 200 after another", status, n.Hits()["/slow"])
	}
}

func TestStartNeedsCredit(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := startWith(t, config(n, t.TempDir()), Config{Credits: func(_ context.Context, a crawler.Account) (Credits, error) {
		return Credits{Remaining: map[string]int64{"alice": 5}[a.Name], Bytes: 5 << 16}, nil
	}})
	for _, test := range []struct {
		key, path string
		body      object
		status    int
	}{
		{"bob", "/v2/scrape", object{"url": root}, 402},
		{"bob", "/v1/map", object{"url": root}, 402},
		{"alice", "/v2/crawl", object{"url": root, "limit": 6}, 402},
		{"alice", "/v2/crawl", object{"url": root, "limit": 5}, 200},
		{"alice", "/v2/crawl", object{"url": root}, 200}, // no limit is no wish for ten thousand pages
		{"alice", "/v2/batch/scrape", object{"urls": []string{root + "1", root + "2", root + "3", root + "4", root + "5", root + "6"}}, 402},
		{"alice", "/v2/scrape", object{"url": root}, 200},
	} {
		status, got := (&partner{t: t, api: p.api, key: test.key}).call("POST", test.path, test.body)
		if status != test.status || status == 402 && got["code"] != apiNoCredit {
			t.Errorf("%s %s %v: got %d %v, want %d", test.key, test.path, test.body, status, got, test.status)
		}
	}
	_, got := p.call("GET", "/v2/team/credit-usage", nil)
	if data, _ := got["data"].(object); data["remainingCredits"] != 5.0 || data["remainingBytes"] != float64(5<<16) {
		t.Errorf("credits: got %v, want 5", got)
	}
	_, got = p.call("GET", "/v1/team/credit-usage", nil)
	if data, _ := got["data"].(object); data["remaining_credits"] != 5.0 {
		t.Errorf("credits of version 1: got %v, want 5", got)
	}
}

func TestBrowsersMayCall(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPut} {
		r, err := http.NewRequest(method, p.api.URL+"/v2/crawl/active", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		want := map[string]int{http.MethodOptions: 204, http.MethodGet: 401, http.MethodPut: 405}[method]
		if answer.StatusCode != want || answer.Header.Get("Access-Control-Allow-Origin") != "*" || answer.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: got %d %v, want %d for any page, without what a browser would add", method, answer.StatusCode, answer.Header, want)
		}
		if method == http.MethodOptions && !strings.Contains(answer.Header.Get("Access-Control-Allow-Headers"), "If-Range") {
			t.Errorf("a page may send %s, want what going on with a download takes", answer.Header.Get("Access-Control-Allow-Headers"))
		}
		if method == http.MethodPut && answer.Header.Get("Allow") != "GET" {
			t.Errorf("PUT: allowed are %q, want GET", answer.Header.Get("Allow"))
		}
	}
}

func TestMetricsNameRoutesOnly(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	p.crawl(object{"url": root})
	registry := prometheus.NewPedanticRegistry()
	for _, c := range p.served.Metrics() {
		registry.MustRegister(c)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				seen = append(seen, l.GetValue())
			}
		}
	}
	if diff := cmp.Diff([]string{"GET /v2/crawl/{id}", "200", "POST /v2/crawl", "200"}, seen); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}
