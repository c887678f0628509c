package crawler

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sward/crawler/crawltest"
)

func TestShapesOfMadeUpAddresses(t *testing.T) {
	const host = "http://h.test"
	for path, want := range map[string]string{
		"/":                          "",
		"/docs/3.11/library/os.html": "",
		"/article/123456":            "",
		"/2024/05/17/a-story":        "", // an archive: its pages close with their name
		"/about-us-2024":             "",
		"/item/550e8400-e29b-41d4-a716-446655440000": "", // a page of its own
		"/?id=550e8400-e29b-41d4-a716-446655440000":  "",
		"/events/2024/05/17":                         "/events/#?",
		"/events/2024/5":                             "/events/#?",
		"/events/2024-05-17.html":                    "/events/#?",
		"/cal?date=2024-05-17&view=day":              "/cal?date&view",
		"/cal?year=2024&month=5":                     "/cal?month&year",
		"/s/4f9a8c7e6d5b4a39/basket":                 "/s/*/basket?",
		"/basket?session=4f9a8c7e6d5b4a39":           "/basket?session",
	} {
		if got, endless := shapeOf(host+path, 2028); got != want || endless {
			t.Errorf("%s: got %q, %v, want %q", path, got, endless, want)
		}
	}
	for _, path := range []string{"/events/9999/12", "/cal?year=2031", "/cal?date=2031-01-01", "/events/20310517"} {
		if _, endless := shapeOf(host+path, 2028); !endless {
			t.Errorf("%s: got a date that is followed, want none beyond 2028", path)
		}
	}
}

// TestTrapsAreBounded is attack J05: sites that make up addresses fill neither the job nor the store.
func TestTrapsAreBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		address func(i int) string
		most    int
	}{
		"a calendar": {func(i int) string {
			return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -i).Format("http://trap.test/day/2006/01/02")
		}, minShapeShare},
		"sessions":           {func(i int) string { return fmt.Sprintf("http://trap.test/s/a1b2c3d4e5f6%08d/page", i) }, minShapeShare},
		"a wildcard's hosts": {func(i int) string { return fmt.Sprintf("http://w%d.trap.test/", i) }, maxSubdomains},
		"one host":           {func(i int) string { return fmt.Sprintf("http://trap.test/page-%d", i) }, maxHostShare * 200},
	} {
		t.Run(name, func(t *testing.T) {
			c, j := bench(t, 0, 0)
			j.quota = 200
			for from := 0; from < 3000; from += 500 {
				var links []lead
				for i := from; i < from+500; i++ {
					l, err := newLead(tt.address(i), kindPage, 1, j.order)
					if err != nil {
						t.Fatal(err)
					}
					links = append(links, l)
				}
				if err := c.store.update(func(tx *tx) error { _, err := tx.discover(j, links, 1, time.Now()); return err }); err != nil {
					t.Fatal(err)
				}
			}
			if got := j.discovered - 1; got != tt.most {
				t.Errorf("addresses queued: got %d, want %d", got, tt.most)
			}
		})
	}
}

// TestCrawlOfATrapEnds is the same attack over the wire: a calendar without end, a path that grows by itself and a session
// in each link. The real pages come first, and the job ends at its limit.
func TestCrawlOfATrapEnds(t *testing.T) {
	var mu sync.Mutex
	sessions := 0
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		sessions++
		links := []string{
			fmt.Sprintf("/s/a1b2c3d4e5f6%08d/page", sessions), "a/", "/cal/9999/12/31",
			"/real/1", "/real/2", "/real/3", "/list?PHPSESSID=" + fmt.Sprintf("a1b2c3d4e5f6%08d", sessions),
		}
		mu.Unlock()
		day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if at, err := time.Parse("/cal/2006/01/02", r.URL.Path); err == nil {
			day = at
		}
		links = append(links, day.AddDate(0, 0, 1).Format("/cal/2006/01/02"), day.AddDate(0, 0, -1).Format("/cal/2006/01/02"))
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, crawltest.Page(r.URL.Path, links...))
	}))
	p := start(t, config(n, t.TempDir()))
	const limit = 40
	j, documents := p.crawl(object{"url": root, "limit": limit, "sitemap": "skip"})
	if j.State != Completed || j.Completed != limit {
		t.Errorf("got %v with %d pages, want completed with %d", j.State, j.Completed, limit)
	}
	got := paths(documents)
	for _, want := range []string{"/real/1", "/real/2", "/real/3"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing: made-up pages came before it", want)
		}
	}
	lists := 0
	for _, path := range got {
		if strings.HasPrefix(path, "/list") {
			lists++
		}
		if strings.Contains(path, "/9999/") || strings.Contains(path, "a/a/a/a/a") {
			t.Errorf("%s was crawled", path)
		}
	}
	if lists != 1 {
		t.Errorf("one page under many sessions: got it %d times, want once", lists)
	}
}
