package crawler

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sward/crawler/crawltest"
	"sward/internal/wire"
)

// filed is a site with files of its own: path to body; what is missing is 404.
func filed(files map[string]string) http.Handler {
	site := crawltest.Site{}
	for path, body := range files {
		site[path] = body
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/") && site[r.URL.Path] != "" {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, site[r.URL.Path])
			return
		}
		site.ServeHTTP(w, r)
	})
}

var researcher = Account{ID: "id-r", Name: "r", Purpose: "market-research"}

// verdictsOf are the verdicts on documents for training, by path.
func verdictsOf(documents []object) map[string]string {
	got := map[string]string{}
	for _, d := range documents {
		meta := d["metadata"].(object)
		rights := meta["provenance"].(object)["rights"].(object)
		verdict, _ := rights["verdict"].(object)
		got[strings.TrimPrefix(meta["url"].(string), root)] = fmt.Sprint(verdict["ai-train"])
	}
	return got
}

func TestFilesOfASiteBindItsPages(t *testing.T) {
	n := crawltest.New(t, filed(map[string]string{
		"/":                        crawltest.Page("root", "/mined/a", "/sold/a", "/free/a", "/signal/a", "/other"),
		"/mined/a":                 crawltest.Page("mined"),
		"/sold/a":                  crawltest.Page("sold"),
		"/free/a":                  crawltest.Page("free"),
		"/signal/a":                crawltest.Page("signal"),
		"/other":                   crawltest.Page("other"),
		"/robots.txt":              "License: /rsl.xml\nUser-agent: *\nContent-Usage: /signal/ train-ai=n\nContent-Usage: /free/ train-ai=y\n",
		"/rsl.xml":                 `<rsl xmlns="https://rslstandard.org/rsl"><content url="/sold/"><license><permits type="usage">ai-all</permits><payment type="crawl"/></license></content></rsl>`,
		"/.well-known/tdmrep.json": `[{"location":"/mined/","tdm-reservation":1,"tdm-policy":"https://site.test/p"}]`,
		"/.well-known/ai.txt":      "Training: deny\n",
	}))
	p := start(t, config(n, t.TempDir()))
	p.account = researcher
	_, documents := p.crawl(object{"url": root, "sitemap": "skip"})
	want := map[string]string{"": "unknown", "mined/a": "deny", "sold/a": "deny", "free/a": "allow", "signal/a": "deny", "other": "unknown"}
	for path, answer := range verdictsOf(documents) {
		if want[path] != answer {
			t.Errorf("/%s: training is %s, want %s", path, answer, want[path])
		}
		delete(want, path)
	}
	if len(want) > 0 {
		t.Errorf("not delivered: %v", want)
	}
	site := documents[0]["metadata"].(object)["provenance"].(object)["rights"].(object)["site"].(object)
	if site["aiTxt"] != "Training: deny" {
		t.Errorf("ai.txt is recorded as %v", site["aiTxt"])
	}

	p.account = trainer
	before := n.Hits()
	_, documents = p.crawl(object{"url": root, "sitemap": "skip"})
	if got := paths(documents); !slices.Equal(got, []string{"/", "/free/a", "/other"}) {
		t.Errorf("a partner who trains got %v", got)
	}
	after := n.Hits()
	for path, looks := range map[string]int{"/sold/a": 0, "/signal/a": 0, "/mined/a": 1, "/.well-known/tdmrep.json": 0, "/.well-known/ai.txt": 0, "/rsl.xml": 0} {
		if got := after[path] - before[path]; got != looks {
			t.Errorf("the second job asked for %s %d times, want %d: what is known to be reserved is left alone, and a card is good for a day", path, got, looks)
		}
	}
}

// Attack J09: robots.txt differs from edge to edge. Each edge obeys the one it was shown; the first that meets the strict one
// has the hub look through it, and from then on that one binds for all.
func TestStrictestRobotsOfADayBinds(t *testing.T) {
	edges := []*crawltest.Edge{{}, {}}
	n := crawltest.New(t, http.NotFoundHandler(), edges...)
	for i, e := range edges {
		front := newFront(t, i == 1)
		e.Dial = func() (net.Conn, error) { return net.Dial("tcp", front) }
	}
	cfg := config(n, t.TempDir())
	cfg.BatchSize = 1 // so that the edges take turns
	p := start(t, cfg)
	p.account = researcher
	p.crawl(object{"url": root, "sitemap": "skip"})
	for range 2 {
		job, documents := p.crawl(object{"url": root, "sitemap": "skip"})
		if got := paths(documents); !slices.Equal(got, []string{"/", "/open"}) {
			t.Errorf("delivered %v, want nothing that one of the two robots.txt forbids", got)
		}
		for _, e := range p.failed(job) {
			if e.Code != wire.RobotsDenied.Name() || e.Error != "robots.txt: Disallow: /private/" {
				t.Errorf("%s failed with %s, %s", e.URL, e.Code, e.Error)
			}
		}
	}
}

// newFront is the site as one of the edges sees it.
func newFront(t *testing.T, strict bool) string {
	t.Helper()
	files := map[string]string{"/": crawltest.Page("root", "/open", "/private/a", "/private/b"), "/open": crawltest.Page("open"), "/private/a": crawltest.Page("a"), "/private/b": crawltest.Page("b")}
	if strict {
		files["/robots.txt"] = "User-agent: *\nDisallow: /private/\n"
	}
	front := crawltest.New(t, filed(files))
	return front.Site.Listener.Addr().String()
}

func TestRedirectToANewSiteWaitsForItsCard(t *testing.T) {
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host == "site.test" && !strings.HasSuffix(r.URL.Path, ".txt") && !strings.HasPrefix(r.URL.Path, "/.well"):
			http.Redirect(w, r, "http://www.site.test"+r.URL.Path, http.StatusMovedPermanently)
		case r.Host == "www.site.test" && r.URL.Path == "/.well-known/tdmrep.json":
			io.WriteString(w, `[{"location":"/","tdm-reservation":1}]`)
		case r.Host == "www.site.test" && r.URL.Path == "/":
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, crawltest.Page("moved"))
		default:
			http.NotFound(w, r)
		}
	}))
	p := start(t, config(n, t.TempDir()))
	p.account = researcher
	job, documents := p.result(p.begin(Scrape, object{"url": root}))
	if len(documents) != 1 {
		t.Fatalf("got %d documents, %v", len(documents), p.failed(job))
	}
	meta := documents[0]["metadata"].(object)
	if rights := meta["provenance"].(object)["rights"].(object); rights["verdict"].(object)["ai-train"] != "deny" || meta["sourceURL"] != root {
		t.Errorf("got %v from %v, want the reservation of the site it moved to", rights, meta["sourceURL"])
	}
	if got := n.Hits()["/"]; got != 2 {
		t.Errorf("the page was asked for %d times, want once at each name", got)
	}
	p.account = trainer
	if job, documents = p.result(p.begin(Scrape, object{"url": root})); len(documents) != 0 || p.failed(job)[0].Code != codeReserved {
		t.Errorf("a partner who trains got %d documents and %v", len(documents), p.failed(job))
	}
}

func TestSiteThatDoesNotAnswerIsNotLookedAtInALoop(t *testing.T) {
	var asked atomic.Int64
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	p := start(t, config(n, t.TempDir()))
	job, documents := p.crawl(object{"url": root, "sitemap": "skip"})
	if list := p.failed(job); len(documents) != 0 || len(list) != 1 || list[0].Code != wire.RobotsUnreachable.Name() {
		t.Errorf("got %d documents and %v, want %s", len(documents), list, wire.RobotsUnreachable.Name())
	}
	if n := asked.Load(); n > 12 { // a look, and each edge for itself
		t.Errorf("a robots.txt that fails was asked for %d times", n)
	}
}

func TestCardIsKeptOverARestart(t *testing.T) {
	dir := t.TempDir()
	n := crawltest.New(t, filed(map[string]string{"/": crawltest.Page("root"), "/.well-known/tdmrep.json": `[{"location":"/","tdm-reservation":1}]`}))
	for i := range 2 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p := start(t, config(n, dir))
			p.account = researcher
			_, documents := p.result(p.begin(Scrape, object{"url": root}))
			if got := verdictsOf(documents)[""]; got != "deny" {
				t.Errorf("training is %q, want it denied", got)
			}
		})
	}
	if got := n.Hits()["/.well-known/tdmrep.json"]; got != 1 {
		t.Errorf("tdmrep.json was asked for %d times, want once", got)
	}
}

func TestCardGoesStaleAfterADay(t *testing.T) {
	now := time.Now()
	cfg := Config{Dir: t.TempDir(), Clock: func() time.Time { return now }, Agent: "SwardBot/1.0"}
	s, err := openDatabase(cfg.Dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	cards := newSites(s, cfg)
	const origin = "http://site.test"
	look := func(robots string) {
		if err := cards.note(origin, "edge", true, []siteFile{{origin, fileRobots, []byte(robots)}}); err != nil {
			t.Fatal(err)
		}
	}
	read := func() (*card, bool) {
		known, stale, err := cards.card(t.Context(), origin)
		if err != nil {
			t.Fatal(err)
		}
		return known, stale
	}
	if known, stale := read(); known != nil || !stale {
		t.Fatalf("an origin that nobody looked at has %+v, stale %v", known, stale)
	}
	look("User-agent: *\nDisallow: /a\n")
	now = now.Add(cardLife / 2)
	look("User-agent: *\nDisallow: /b\n")
	if known, stale := read(); len(known.robots) != 2 || stale {
		t.Errorf("half a day later: %d forms, stale %v, want both forms", len(known.robots), stale)
	}
	now = now.Add(cardLife/2 + time.Minute)
	look("User-agent: *\nDisallow: /b\n")
	if known, _ := read(); len(known.robots) != 1 {
		t.Errorf("a form that was not seen for a day still binds: %d forms", len(known.robots))
	}
	now = now.Add(cardLife)
	if _, stale := read(); !stale {
		t.Error("a card of yesterday is not looked at again")
	}
}

// A site that is away has taken nothing back: what it last said binds until it says something else.
func TestSilentSiteTakesNothingBack(t *testing.T) {
	now := time.Now()
	cfg := Config{Dir: t.TempDir(), Clock: func() time.Time { return now }, Agent: "SwardBot/1.0"}
	s, err := openDatabase(cfg.Dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	cards := newSites(s, cfg)
	const origin = "http://site.test"
	note := func(of string, answered bool, found ...siteFile) *card {
		t.Helper()
		if err := cards.note(of, "edge", answered, found); err != nil {
			t.Fatal(err)
		}
		known, _, err := cards.card(t.Context(), origin)
		if err != nil {
			t.Fatal(err)
		}
		return known
	}
	robots := siteFile{origin, fileRobots, []byte("User-agent: *\nDisallow: /a\n")}
	note(origin, true, robots, siteFile{origin, fileTDM, []byte(`[{"location":"/","tdm-reservation":1}]`)})
	now = now.Add(cardLife + time.Hour)
	note("http://other.test", true)
	if known := note(origin, false); known == nil || len(known.robots) != 1 || len(known.files.TDM) != 1 {
		t.Fatalf("after a day the site is away, and its card is %+v", known)
	}
	if known := note(origin, true, robots); len(known.files.TDM) != 1 {
		t.Error("its robots.txt came and its tdmrep.json failed, which took the reservation back")
	}
	if known := note(origin, true, robots, siteFile{origin: origin, kind: fileTDM}); len(known.files.TDM) != 0 || len(known.robots) != 1 {
		t.Errorf("the site has no tdmrep.json any more, and its card is %+v", known)
	}
	now = now.Add(cardLife + time.Hour)
	if known := note(origin, true, robots); known.looks != 1 || len(known.lookers) != 1 {
		t.Errorf("a new card counts %d looks by %q, which leaves none for a doubt", known.looks, known.lookers)
	}
}

// The licence is at a host that another lease is busy with: the pages wait for it.
func TestPagesWaitForALicenceElsewhere(t *testing.T) {
	n := crawltest.New(t, filed(map[string]string{
		"/": crawltest.Page("root"), "/robots.txt": "License: http://licences.test/rsl.xml\n",
		"/rsl.xml": `<rsl xmlns="https://rslstandard.org/rsl"><content url="http://site.test/"><license><prohibits type="usage">ai-train</prohibits></license></content></rsl>`,
	}))
	p := start(t, config(n, t.TempDir()))
	if !p.c.frontier.takeDomain("licences.test") {
		t.Fatal("the domain is taken already")
	}
	time.AfterFunc(time.Second, func() { p.c.frontier.freeDomain("licences.test") })
	p.account = trainer
	if job, documents := p.result(p.begin(Scrape, object{"url": root})); len(documents) != 0 || p.failed(job)[0].Code != codeReserved {
		t.Errorf("a partner who trains got %d documents and %v", len(documents), p.failed(job))
	}
}

func TestOriginThatEdgesRefuseIsNotAskedForAgainAndAgain(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{})
	var dials atomic.Int32
	for _, e := range n.Edges {
		e.Dial = func() (net.Conn, error) {
			dials.Add(1)
			return nil, wire.Errorf(wire.DestPrivate, "192.168.1.1 is private")
		}
	}
	p := start(t, config(n, t.TempDir()))
	job := p.begin(Scrape, object{"url": root})
	p.result(job)
	if got := dials.Load(); got > 6 {
		t.Errorf("edges were made to try %d times, want at most 6: two edges have said no, to each of three files at most", got)
	}
	why, err := p.c.Errors(t.Context(), job)
	if err != nil || len(why) != 1 || why[0].Code != "dest_private" {
		t.Errorf("errors: got %v, %v; want dest_private once", why, err)
	}
}
