package crawler

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
	"sward/crawler/trust"
	"sward/crawler/warc"
	"sward/internal/wire"
)

var bob = Account{ID: "id-bob", Name: "bob", Purpose: "search-index"}

// tagged serves a site with an entity tag on each page, and counts the answers that had a body.
type tagged struct {
	site    crawltest.Site
	version atomic.Int64
	bodies  atomic.Int64
	header  atomic.Pointer[http.Header] // of every answer
}

func (s *tagged) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.site[r.URL.Path]; !ok || r.URL.Path == "/robots.txt" {
		s.site.ServeHTTP(w, r)
		return
	}
	if h := s.header.Load(); h != nil {
		maps.Copy(w.Header(), *h)
	}
	tag := fmt.Sprintf(`"v%d"`, s.version.Load())
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.bodies.Add(1)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	version := s.version.Load()
	io.WriteString(w, strings.ReplaceAll(s.site[r.URL.Path], "VERSION", fmt.Sprintf("edition%d %s", version, prose(uint64(version), 20))))
}

// known is what one page's provenance says that does not change when it is handed out again.
func known(d object) object {
	how := d["metadata"].(object)["provenance"].(object)
	return object{
		"edge": how["edge"], "attest": how["attest"], "signature": how["signature"], "sha256": how["sha256"], "warc": how["warc"],
		"fetchedAt": how["fetchedAt"], "markdown": d["markdown"],
	}
}

func TestRememberedPagesAreServedWithoutAskingAnybody(t *testing.T) {
	site, all := crawltest.Tree(40)
	n := crawltest.New(t, site)
	p := start(t, config(n, t.TempDir()))
	order := object{"url": root, "sitemap": "skip", "scrapeOptions": object{"maxAge": 3_600_000}}
	_, first := p.crawl(order)
	before := n.Requests()
	n.SetAway(wire.NoEdge)
	p.account = bob // the start page is the front page, and the others were found by following links
	job, second := p.crawl(order)
	if diff := cmp.Diff(all, paths(second)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if after := n.Requests(); after != before {
		t.Errorf("the site was asked %d times more, want never", after-before)
	}
	if job.Remembered != len(all) || job.Completed != len(all) {
		t.Errorf("job: got %d of %d from memory, want all of %d", job.Remembered, job.Completed, len(all))
	}
	was := map[any]object{}
	for _, d := range first {
		was[d["metadata"].(object)["url"]] = known(d)
	}
	for _, d := range second {
		meta := d["metadata"].(object)
		if meta["cacheState"] != "hit" || meta["creditsUsed"] != 0.0 || meta["cachedAt"] == nil {
			t.Errorf("%v: got cacheState %v, creditsUsed %v, cachedAt %v, want hit, 0 and a time", meta["url"], meta["cacheState"], meta["creditsUsed"], meta["cachedAt"])
		}
		if diff := cmp.Diff(was[meta["url"]], known(d)); diff != "" {
			t.Errorf("%v (-first +second):\n%s", meta["url"], diff)
		}
	}
}

// TestTunnelJobGetsNothingThatAnEdgeBrought: its partner wants TLS to end here, for pages of today and of yesterday.
func TestTunnelJobGetsNothingThatAnEdgeBrought(t *testing.T) {
	site := &tagged{site: crawltest.Site{"/": crawltest.Page("root VERSION", "/a"), "/a": crawltest.Page("a VERSION")}}
	n := crawltest.New(t, site)
	p := start(t, config(n, t.TempDir()))
	for i, age := range []int{3_600_000, 0} { // from memory, and by the site's word that nothing changed
		order := object{"url": root, "sitemap": "skip", "scrapeOptions": object{"maxAge": age}}
		p.crawl(order)
		order["execution"] = "tunnel"
		job, documents := p.crawl(order)
		if len(documents) != 2 || i == 0 && job.Remembered != 0 {
			t.Errorf("maxAge %d: got %d documents, %d of them remembered, want 2 and none", age, len(documents), job.Remembered)
		}
		for _, d := range documents {
			how := d["metadata"].(object)["provenance"].(object)
			if how["execution"] != "tunnel" || how["edge"] != nil {
				t.Errorf("maxAge %d: got a page over road %v that edge %v brought, want the tunnel", age, how["execution"], how["edge"])
			}
		}
		if err := set(p.c, "DELETE FROM memory"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnchangedPageIsConfirmedByItsSite(t *testing.T) {
	site := &tagged{site: crawltest.Site{"/": crawltest.Page("root VERSION", "/a"), "/a": crawltest.Page("a VERSION")}}
	n := crawltest.New(t, site)
	for _, road := range []string{"edge", "tunnel"} {
		t.Run(road, func(t *testing.T) {
			site.bodies.Store(0)
			p := start(t, config(n, t.TempDir()))
			order := object{"url": root, "execution": road, "sitemap": "skip"}
			_, first := p.crawl(order)
			job, second := p.crawl(order)
			if got := site.bodies.Load(); got != 2 || len(second) != 2 {
				t.Errorf("got %d bodies and %d documents, want 2 and 2", got, len(second))
			}
			if job.Remembered != 0 {
				t.Errorf("%d pages cost nothing, want none: the site was asked", job.Remembered)
			}
			for i, d := range second {
				if diff := cmp.Diff(known(first[i]), known(d)); diff != "" {
					t.Errorf("document (-first +second):\n%s", diff)
				}
				meta := d["metadata"].(object)
				how := meta["provenance"].(object)
				word, _ := how["revalidated"].(object)
				if meta["cacheState"] != "miss" || meta["statusCode"] != 200.0 || word["exit"] == nil || word["at"] == nil {
					t.Errorf("got cacheState %v, status %v and %v, want miss, 200 and who said so when", meta["cacheState"], meta["statusCode"], word)
				}
				if road == "edge" {
					checkStatement(t, p, word)
				}
				checkRevisit(t, p, how["revisit"].(object), "server-not-modified")
			}
			site.version.Add(1)
			if _, third := p.crawl(order); !strings.Contains(third[0]["markdown"].(string), fmt.Sprintf("edition%d", site.version.Load())) {
				t.Errorf("after a change: got %q, want the new edition", third[0]["markdown"])
			}
		})
	}
}

// checkStatement holds the signed word of an edge that a page did not change to its signature.
func checkStatement(t *testing.T, p *partner, word object) {
	t.Helper()
	attest, sig := unbase64(t, word["attest"]), unbase64(t, word["signature"])
	if !p.c.cfg.Verify(word["edge"].(string), attest, sig) {
		t.Errorf("the edge's signature over its 304 does not hold")
	}
	if said, err := wire.ParseAttest(attest); err != nil || said.Status != http.StatusNotModified || said.BodyLen != 0 {
		t.Errorf("the edge signed %+v, %v, want status 304 without a body", said, err)
	}
}

func checkRevisit(t *testing.T, p *partner, at object, profile string) {
	t.Helper()
	place := locationOf(at)
	r, err := p.c.archive.Record(place)
	if err != nil || r.Type != "revisit" || !strings.HasSuffix(r.Fields.Get("WARC-Profile"), profile) {
		t.Errorf("record: got %s %q, %v, want a revisit with %s", r.Type, r.Fields.Get("WARC-Profile"), err, profile)
	}
}

func TestUnchangedBodyIsArchivedOnce(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")}) // without validators
	p := start(t, config(n, t.TempDir()))
	order := object{"url": root, "sitemap": "skip"}
	_, first := p.crawl(order)
	_, second := p.crawl(order)
	one, two := first[0]["metadata"].(object)["provenance"].(object), second[0]["metadata"].(object)["provenance"].(object)
	if diff := cmp.Diff(one["warc"], two["warc"]); diff != "" {
		t.Errorf("place of the body (-first +second):\n%s", diff)
	}
	if one["attest"] == two["attest"] || two["revalidated"] != nil {
		t.Error("the second fetch has the statement of the first, want its own")
	}
	checkRevisit(t, p, two["revisit"].(object), "identical-payload-digest")
	_, third := p.crawl(object{"url": root, "sitemap": "skip", "scrapeOptions": object{"maxAge": 60_000}})
	if diff := cmp.Diff(known(second[0]), known(third[0])); diff != "" {
		t.Errorf("from memory (-second +third):\n%s", diff)
	}
}

// Memory and archive are of one mind after a restart, and the archive's files are sound.
func TestMemoryOutlivesTheProcess(t *testing.T) {
	site := &tagged{site: crawltest.Site{"/": crawltest.Page("root", "/a"), "/a": crawltest.Page("a")}}
	n := crawltest.New(t, site)
	dir := t.TempDir()
	for run, order := range []object{
		{"url": root, "sitemap": "skip"}, {"url": root, "sitemap": "skip"}, {"url": root, "sitemap": "skip", "scrapeOptions": object{"maxAge": 3_600_000}},
	} {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			_, documents := start(t, config(n, dir)).crawl(order)
			if len(documents) != 2 || site.bodies.Load() != 2 {
				t.Errorf("got %d documents and %d bodies, want 2 and 2", len(documents), site.bodies.Load())
			}
		})
	}
	files, err := filepath.Glob(filepath.Join(dir, "warc", "*.warc.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("archive: got %v, %v", files, err)
	}
	revisits := 0
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sum, err := warc.Check(f, func(at int64, err error) { t.Errorf("%s at byte %d: %v", name, at, err) })
		if err != nil {
			t.Error(err)
		}
		revisits += sum.Types["revisit"]
	}
	if revisits != 2 {
		t.Errorf("revisits: got %d, want 2", revisits)
	}
}

// What a partner asked for by name may be a secret of theirs.
func TestScrapedPageIsRememberedForItsAccountAlone(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root", "/found"), "/found": crawltest.Page("found"), "/secret?t=1": crawltest.Page("secret")})
	p := start(t, config(n, t.TempDir()))
	scrape := func(a Account, path string) object {
		t.Helper()
		p.account = a
		_, documents := p.result(p.begin(Scrape, object{"url": root + path, "limit": 1, "scrapeOptions": object{"maxAge": 3_600_000}}))
		return documents[0]["metadata"].(object)
	}
	p.crawl(object{"url": root, "sitemap": "skip"})
	for _, test := range []struct {
		who  Account
		path string
		want string
	}{
		{alice, "secret?t=1", "miss"}, {bob, "secret?t=1", "miss"}, {alice, "secret?t=1", "hit"}, {bob, "secret?t=1", "hit"},
		{bob, "found", "hit"}, {bob, "", "hit"},
	} {
		if got := scrape(test.who, test.path)["cacheState"]; got != test.want {
			t.Errorf("%s asks for /%s: got a %v, want a %s", test.who.Name, test.path, got, test.want)
		}
	}
}

// The host is held by a page that does not come; memory needs no host.
func TestScrapeFromMemoryDoesNotWaitForItsHost(t *testing.T) {
	release := make(chan struct{})
	site := crawltest.Site{"/": crawltest.Page("root")}
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		site.ServeHTTP(w, r)
	}))
	p := start(t, config(n, t.TempDir()))
	order := object{"url": root, "limit": 1, "scrapeOptions": object{"maxAge": 3_600_000}}
	p.result(p.begin(Scrape, order))
	slow := p.begin(Scrape, object{"url": root + "slow", "limit": 1})
	waitFor(t, "the slow page to be asked for", func() bool { return n.Hits()["/slow"] > 0 })
	if _, documents := p.result(p.begin(Scrape, order)); documents[0]["metadata"].(object)["cacheState"] != "hit" {
		t.Error("got a fetch, want the remembered page")
	}
	if now := p.status(slow); now.State != Scraping {
		t.Errorf("the slow scrape is %v, want it still under way", now.State)
	}
	close(release)
	p.result(slow)
}

func TestMinAgeAsksMemoryAlone(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	ask := func(options object) (Job, []object) {
		t.Helper()
		return p.result(p.begin(Scrape, object{"url": root, "limit": 1, "scrapeOptions": options}))
	}
	job, _ := ask(object{"minAge": 1})
	if list := p.failed(job); len(list) != 1 || list[0].Code != codeNotRemembered || n.Requests() != 0 {
		t.Errorf("nothing remembered: got %v and %d requests, want %s and none", list, n.Requests(), codeNotRemembered)
	}
	ask(object{})
	time.Sleep(2 * time.Millisecond) // the age asked for
	if _, documents := ask(object{"minAge": 1}); len(documents) != 1 || documents[0]["metadata"].(object)["cacheState"] != "hit" {
		t.Errorf("got %v, want the remembered page", documents)
	}
	if job, _ := ask(object{"minAge": 3_600_000}); job.State != Failed {
		t.Errorf("younger than was asked for: got %v, want a failure", job.State)
	}
}

func TestSomePagesAreNotRemembered(t *testing.T) {
	for _, test := range []struct {
		name, header, value string
		options             object
	}{
		{"no-store", "Cache-Control", "max-age=60, No-Store", nil},
		{"private", "Cache-Control", `private="set-cookie"`, nil},
		{"noarchive", "X-Robots-Tag", "noarchive", nil},
		{"varies by everything", "Vary", "*", nil},
		{"the partner's wish", "X-Nothing", "", object{"storeInCache": false, "maxAge": 3_600_000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			site := &tagged{site: crawltest.Site{"/": crawltest.Page("root")}}
			site.header.Store(&http.Header{test.header: {test.value}})
			n := crawltest.New(t, site)
			p := start(t, config(n, t.TempDir()))
			if test.options == nil {
				test.options = object{"maxAge": 3_600_000}
			}
			for range 2 {
				_, documents := p.crawl(object{"url": root, "sitemap": "skip", "scrapeOptions": test.options})
				if got := documents[0]["metadata"].(object)["cacheState"]; got != "miss" {
					t.Errorf("got a %v, want a miss", got)
				}
			}
			if got := site.bodies.Load(); got != 2 {
				t.Errorf("bodies: got %d, want 2", got)
			}
		})
	}
}

// A site may withdraw a right and not touch the page: the 304 says so.
func TestRightsAreReadFromTheLatestAnswer(t *testing.T) {
	site := &tagged{site: crawltest.Site{"/": crawltest.Page("root")}}
	n := crawltest.New(t, site)
	p := start(t, config(n, t.TempDir()))
	p.account = trainer
	order := object{"url": root, "sitemap": "skip"}
	if _, documents := p.crawl(order); len(documents) != 1 {
		t.Fatalf("got %d documents, want 1", len(documents))
	}
	site.header.Store(&http.Header{"Content-Usage": {"train-ai=n"}})
	job, documents := p.crawl(order)
	if list := p.failed(job); len(documents) != 0 || len(list) != 1 || list[0].Code != "rights_reserved" || site.bodies.Load() != 1 {
		t.Errorf("got %d documents, %v and %d bodies, want rights_reserved from a 304", len(documents), list, site.bodies.Load())
	}
}

// An edge that says "not modified" of everything has fetched nothing. The second road shows it.
func TestEdgeThatAlwaysSaysUnchangedIsFound(t *testing.T) {
	site := &tagged{site: crawltest.Site{"/": crawltest.Page("root VERSION")}}
	n := crawltest.New(t, site, &crawltest.Edge{}, &crawltest.Edge{}, &crawltest.Edge{})
	cfg := config(n, t.TempDir())
	cfg.AuditRate = 1
	p := start(t, cfg)
	order := object{"url": root, "sitemap": "skip"}
	p.crawl(order)
	lazyFront(t, n.Edges[0])
	for range 12 { // until the lazy edge has had its turn
		edition := fmt.Sprintf("edition%d", site.version.Add(1))
		_, documents := p.crawl(order)
		if !strings.Contains(documents[0]["markdown"].(string), edition) {
			t.Fatalf("delivered: %.80q, want %s", documents[0]["markdown"], edition)
		}
		if len(doubted(p.c)) > 0 {
			break
		}
	}
	if diff := cmp.Diff([]string{n.Edges[0].Name}, doubted(p.c)); diff != "" {
		t.Errorf("edges in doubt (-want +got):\n%s", diff)
	}
}

// doubted are the edges of which nothing is delivered unchecked.
func doubted(c *Crawler) (list []string) {
	for _, e := range c.Edges() {
		if e.Doubted() {
			list = append(list, e.ID)
		}
	}
	return list
}

// What is remembered may be another edge's forgery. Who hears from the site that it did not change has not forged it.
func TestHonestWordOverAForgedMemoryAccusesNobody(t *testing.T) {
	site := &tagged{site: crawltest.Site{"/": crawltest.Page("root VERSION", "/forged"), "/forged": crawltest.Page("forged " + prose(99, 20))}}
	n := crawltest.New(t, site, &crawltest.Edge{}, &crawltest.Edge{}, &crawltest.Edge{})
	cfg := config(n, t.TempDir())
	cfg.AuditRate = 1
	p := start(t, cfg)
	order := object{"url": root, "sitemap": "skip"}
	p.crawl(order)
	err := p.c.store.update(func(tx *tx) error {
		for _, column := range []string{"file", "place", "length", "records", "record", "payload"} {
			if _, err := tx.do("UPDATE memory SET " + column + " = (SELECT " + column + " FROM memory WHERE url = '" + root + "forged') WHERE url = '" + root + "'"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, documents := p.crawl(object{"url": root, "sitemap": "skip", "limit": 1})
	if got := documents[0]["markdown"].(string); !strings.Contains(got, "edition0") {
		t.Errorf("delivered: %.80q, want the site's own page", got)
	}
	if got := n.Suspected(); len(got) != 0 {
		t.Errorf("suspects: got %v, want none", got)
	}
	found, err := p.c.memoriesOf(t.Context(), bob.ID, root)
	if err != nil || found[root] == nil {
		t.Fatalf("memory: got %v, %v, want the page", found, err)
	}
	if a, err := p.c.revive(item{url: root}, found[root]); err != nil || !bytes.Contains(a.Body, []byte("edition0")) {
		t.Errorf("remembered: got %.80q, %v, want the site's own page", a.Body, err)
	}
}

func TestPagesOfAnEdgeInDoubtAreFetchedAgain(t *testing.T) {
	site := &tagged{site: crawltest.Site{"/": crawltest.Page("root")}}
	n := crawltest.New(t, site, &crawltest.Edge{})
	p := start(t, config(n, t.TempDir()))
	crawl := func(want string) {
		t.Helper()
		_, documents := p.crawl(object{"url": root, "sitemap": "skip", "scrapeOptions": object{"maxAge": 3_600_000}})
		if got := documents[0]["metadata"].(object)["cacheState"]; got != want {
			t.Errorf("got a %v, want a %s", got, want)
		}
	}
	crawl("miss")
	crawl("hit")
	if err := p.c.forgetEdge(n.Edges[0].Name); err != nil {
		t.Fatal(err)
	}
	crawl("miss")
	for i := int64(0); !p.c.edges.watched(n.Edges[0].Name); i++ {
		if _, err := p.c.edges.strike(n.Edges[0].Name, "other.test", i, trust.WeightTLS); err != nil || i > 10 {
			t.Fatalf("the edge does not come under watch: %v", err)
		}
	}
	crawl("miss")
	if got := site.bodies.Load(); got != 3 {
		t.Errorf("bodies: got %d, want 3: what is in doubt is not asked about either", got)
	}
}

func TestRecordThatIsLostIsFetchedAgain(t *testing.T) {
	for name, options := range map[string]object{"served": {"maxAge": 3_600_000}, "confirmed": {}} {
		t.Run(name, func(t *testing.T) {
			site := &tagged{site: crawltest.Site{"/": crawltest.Page("root")}}
			n := crawltest.New(t, site)
			p := start(t, config(n, t.TempDir()))
			p.crawl(object{"url": root, "sitemap": "skip"})
			err := p.c.store.update(func(tx *tx) error { _, err := tx.do("UPDATE memory SET place = place + 1"); return err })
			if err != nil {
				t.Fatal(err)
			}
			job, documents := p.crawl(object{"url": root, "sitemap": "skip", "scrapeOptions": options})
			if len(documents) != 1 || job.Remembered != 0 || site.bodies.Load() != 2 {
				t.Errorf("got %d documents, %d from memory, %d bodies, want a second fetch", len(documents), job.Remembered, site.bodies.Load())
			}
		})
	}
}

// A page may be remembered for weeks; what its site says of itself, for a day.
func TestSiteIsLookedAtBeforeAnOldPageIsServed(t *testing.T) {
	site := crawltest.Site{"/": crawltest.Page("root", "/a"), "/a": crawltest.Page("a")}
	var closed atomic.Bool
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" && closed.Load() {
			io.WriteString(w, "User-agent: *\nDisallow: /a\n")
			return
		}
		site.ServeHTTP(w, r)
	}))
	cfg := config(n, t.TempDir())
	var later atomic.Int64
	cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	p := start(t, cfg)
	order := object{"url": root, "sitemap": "skip", "scrapeOptions": object{"maxAge": 7 * 24 * 3_600_000}}
	p.crawl(order)
	closed.Store(true)
	if _, documents := p.crawl(order); len(documents) != 2 {
		t.Errorf("within the day: got %v, want both pages", paths(documents))
	}
	later.Store(int64(25 * time.Hour))
	pages := n.Hits()["/"] + n.Hits()["/a"]
	job, documents := p.crawl(order)
	if list := p.failed(job); len(documents) != 1 || job.Remembered != 1 || len(list) != 1 || list[0].Code != "robots_denied" {
		t.Errorf("a day later: got %v, %d from memory, and %v; want the front page from memory and robots_denied", paths(documents), job.Remembered, list)
	}
	if now := n.Hits()["/"] + n.Hits()["/a"]; now != pages {
		t.Errorf("pages were asked for %d times more, want never", now-pages)
	}
	if found, err := p.c.memoriesOf(t.Context(), alice.ID, root+"a"); err != nil || len(found) != 0 {
		t.Errorf("the page that is closed now: got %v, %v, want nothing", found, err)
	}
	later.Store(int64(51 * time.Hour)) // a scrape takes the same way
	if _, documents := p.result(p.begin(Scrape, object{"url": root, "limit": 1, "scrapeOptions": object{"maxAge": 7 * 24 * 3_600_000}})); documents[0]["metadata"].(object)["cacheState"] != "hit" {
		t.Error("scrape: got a fetch, want the page from memory after a look at the site")
	}
}

func TestPageWithAPictureIsNotServedFromMemory(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	p := start(t, config(n, t.TempDir()))
	p.crawl(object{"url": root, "sitemap": "skip"})
	found, err := p.c.memoriesOf(t.Context(), alice.ID, root)
	if err != nil || found[root] == nil {
		t.Fatalf("got %v, %v, want the page", found, err)
	}
	hour := int64(3_600_000)
	for format, want := range map[Format]bool{FormatMarkdown: true, FormatScreenshot: false, FormatFullScreenshot: false} {
		it := item{url: root}
		a, _, err := p.c.remind(&job{order: Order{Scrape: ScrapeOptions{Formats: []Format{format}, MaxAge: &hour}}}, &it, found[root])
		if served := a != nil; err != nil || served != want || !served && it.known == nil {
			t.Errorf("%s: served from memory %t, %v, known %t; want %t, and to be asked whether it changed otherwise", format, served, err, it.known != nil, want)
		}
	}
}

func TestPageThatIsGoneIsForgotten(t *testing.T) {
	site := crawltest.Site{"/": crawltest.Page("root", "/a"), "/a": crawltest.Page("a")}
	var gone atomic.Bool
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a" && gone.Load() {
			http.NotFound(w, r)
			return
		}
		site.ServeHTTP(w, r)
	}))
	p := start(t, config(n, t.TempDir()))
	order := object{"url": root, "sitemap": "skip"}
	p.crawl(order)
	gone.Store(true)
	p.crawl(order)
	found, err := p.c.memoriesOf(t.Context(), alice.ID, root, root+"a")
	if err != nil || found[root] == nil || found[root+"a"] != nil {
		t.Errorf("got %v, %v, want the page that is there alone", found, err)
	}
}

// The archive keeps heads as they are true of the decoded body; the statement is over the head as it came.
func TestRevivedPageAgreesWithItsAttestation(t *testing.T) {
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		io.WriteString(zip, crawltest.Page("root"))
		zip.Close()
	}))
	p := start(t, config(n, t.TempDir()))
	p.crawl(object{"url": root, "sitemap": "skip"})
	found, err := p.c.memoriesOf(t.Context(), bob.ID, root)
	if err != nil || found[root] == nil {
		t.Fatalf("got %v, %v", found, err)
	}
	a, err := p.c.revive(item{url: root}, found[root])
	if err != nil {
		t.Fatal(err)
	}
	said, err := wire.ParseAttest(a.Attest)
	if err != nil || said.BodySHA256 != sha256.Sum256(a.Body) || said.HeaderDigest != sha256.Sum256(a.Response) {
		t.Errorf("the revived page differs from its statement (%v):\n%s", err, a.Response)
	}
}

func TestSpanFollowsThePage(t *testing.T) {
	day := 24 * time.Hour
	for _, test := range []struct {
		span, since time.Duration
		changed     bool
		want        time.Duration
	}{
		{day, day, true, 12 * time.Hour}, {day, day, false, 36 * time.Hour}, {day, time.Minute, false, day}, {day, time.Minute, true, 12 * time.Hour},
		{time.Hour, day, true, time.Hour}, {50 * day, 50 * day, false, 60 * day}, {0, 0, false, time.Hour},
	} {
		if got := nextSpan(test.span, test.since, test.changed); got != test.want {
			t.Errorf("nextSpan(%s, %s, %t): got %s, want %s", test.span, test.since, test.changed, got, test.want)
		}
	}
}

func TestAgeDecidesWhatMemoryServes(t *testing.T) {
	now := time.UnixMilli(1e12)
	age := func(ms int64) *int64 { return &ms }
	for name, test := range map[string]struct {
		age, span, fresh time.Duration
		options          ScrapeOptions
		want             bool
	}{
		"ours, young":              {time.Hour, 24 * time.Hour, 48 * time.Hour, ScrapeOptions{}, true},
		"ours, likely changed":     {time.Hour, time.Hour, 48 * time.Hour, ScrapeOptions{}, false},
		"ours, stable and old":     {72 * time.Hour, 60 * 24 * time.Hour, 48 * time.Hour, ScrapeOptions{}, false},
		"ours, switched off":       {0, time.Hour, -1, ScrapeOptions{}, false},
		"never":                    {0, time.Hour, 48 * time.Hour, ScrapeOptions{MaxAge: age(0)}, false},
		"asked for, though likely": {3 * time.Hour, time.Hour, -1, ScrapeOptions{MaxAge: age(4 * 3_600_000)}, true},
		"beyond any number":        {59 * 24 * time.Hour, time.Hour, -1, ScrapeOptions{MaxAge: age(1 << 62)}, true},
		"not younger":              {time.Second, time.Hour, -1, ScrapeOptions{MinAge: 2000}, false},
		"any age":                  {time.Second, time.Hour, -1, ScrapeOptions{MinAge: 1}, true},
		"between":                  {3 * time.Second, time.Hour, -1, ScrapeOptions{MinAge: 2000, MaxAge: age(2500)}, false},
		"clock went back":          {-time.Hour, 24 * time.Hour, 48 * time.Hour, ScrapeOptions{}, true},
	} {
		m := &remembered{checked: now.Add(-test.age), span: test.span}
		if got := m.serves(test.options, now, test.fresh); got != test.want {
			t.Errorf("%s: got %t, want %t", name, got, test.want)
		}
	}
}

func TestMemoryIsTidied(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	cfg := config(n, t.TempDir())
	p := start(t, cfg)
	p.crawl(object{"url": root, "sitemap": "skip"})
	for _, test := range []struct {
		later time.Duration
		want  int
	}{{memoryKeep - time.Hour, 1}, {memoryKeep + time.Hour, 0}} {
		if err := p.c.tidyMemory(t.Context(), time.Now().Add(test.later)); err != nil {
			t.Fatal(err)
		}
		var rows int
		if err := p.c.store.row(t.Context(), "SELECT count(*) FROM memory").Scan(&rows); err != nil || rows != test.want {
			t.Errorf("after %s: got %d rows, %v, want %d", test.later, rows, err, test.want)
		}
	}
}

func unbase64(t *testing.T, v any) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func locationOf(at object) warc.Location {
	return warc.Location{
		File: at["file"].(string), Offset: int64(at["offset"].(float64)), Length: int64(at["length"].(float64)),
		Records: int64(at["records"].(float64)), ID: at["id"].(string),
	}
}

// lazyFront has an edge's connections end at a server that says of every page that it did not change.
func lazyFront(t *testing.T, e *crawltest.Edge) {
	t.Helper()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == "" {
			http.NotFound(w, r) // robots.txt
			return
		}
		w.WriteHeader(http.StatusNotModified)
	}))
	t.Cleanup(front.Close)
	e.Dial = func() (net.Conn, error) { return net.Dial("tcp", front.Listener.Addr().String()) }
}

// BenchmarkMemory is what looking up a page that is not known costs a lease, and noting one costs the one writer.
func BenchmarkMemory(b *testing.B) {
	s, err := openStore(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	c := &Crawler{store: s}
	const before = 100_000
	number := 0
	add := func(tx *tx) error {
		number++
		address := fmt.Sprintf("%sp/%d", root, number)
		return tx.remember(&note{first: true, page: remembered{
			key: memoryKey("", address), url: address, reading: make([]byte, 8), fetched: time.UnixMilli(1), checked: time.UnixMilli(1),
			place: warc.Location{File: "sward-00000001-20261121T101530Z.warc.gz", ID: warc.NewRecordID()},
			how:   history{Edge: strings.Repeat("e", 52), Exit: strings.Repeat("e", 52), Attest: make([]byte, 170), Sig: make([]byte, 64)},
		}})
	}
	fill := func(n int) {
		err := s.update(func(tx *tx) error {
			for range n {
				if err := add(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	fill(before)
	b.Run("note", func(b *testing.B) {
		err := s.update(func(tx *tx) error {
			for b.Loop() {
				if err := add(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	})
	for name, form := range map[string]string{"lease known": "%sp/%d", "lease unknown": "%snone/%d"} {
		b.Run(name, func(b *testing.B) {
			var lease []string
			for i := range 16 { // Config.BatchSize
				lease = append(lease, fmt.Sprintf(form, root, 777+i))
			}
			for b.Loop() {
				if _, err := c.memoriesOf(b.Context(), alice.ID, lease...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
