package crawler

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sward/crawler/crawltest"
	"sward/internal/wire"
)

func TestJobStopsAtItsBounds(t *testing.T) {
	site, all := crawltest.Tree(40)
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(10 * time.Millisecond)
		site.ServeHTTP(w, r)
	}))
	p := start(t, config(n, t.TempDir()))
	j, documents := p.crawl(object{"url": root, "limit": 7})
	if j.State != Completed || j.Stopped != "limit" || j.Completed != 7 || len(documents) != 7 {
		t.Errorf("limit: got %v, stopped by %q with %d and %d documents, want completed by limit with 7", j.State, j.Stopped, j.Completed, len(documents))
	}
	j, _ = p.crawl(object{"url": root})
	if j.State != Completed || j.Stopped != "" || j.Completed != len(all) {
		t.Errorf("no bound: got %v, stopped by %q with %d, want completed with %d", j.State, j.Stopped, j.Completed, len(all))
	}
	const most = 3000
	j, _ = p.crawl(object{"url": root, "maxBytes": most})
	if j.State != Completed || j.Stopped != "max_bytes" || j.Bytes > most || j.Bytes < most/2 {
		t.Errorf("maxBytes %d: got %v, stopped by %q with %d bytes", most, j.State, j.Stopped, j.Bytes)
	}
}

func TestJobStopsWhenItsTimeIsOver(t *testing.T) {
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		at := strings.TrimPrefix(r.URL.Path, "/")
		fmt.Fprint(w, crawltest.Page("page "+at, "/"+at+"x", "/"+at+"y")) // without end
	}))
	p := start(t, config(n, t.TempDir()))
	began := time.Now()
	j, documents := p.crawl(object{"url": root, "maxTime": 1, "sitemap": "skip"})
	if took := time.Since(began); took < 900*time.Millisecond || took > 5*time.Second {
		t.Errorf("a job with one second took %v", took)
	}
	if j.State != Completed || j.Stopped != "max_time" || j.Completed == 0 || len(documents) != j.Completed {
		t.Errorf("got %v, stopped by %q with %d and %d documents, want completed by max_time with some", j.State, j.Stopped, j.Completed, len(documents))
	}
	if late := j.Finished.Sub(j.Created); late < time.Second || late > 3*time.Second {
		t.Errorf("it ended %v after its start, want a second", late)
	}
}

func TestJobWithoutProgressSaysWhy(t *testing.T) {
	c, j := bench(t, 0, 0)
	waiting := func() string {
		t.Helper()
		if err := c.tidyOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		row, err := c.jobs.byID(t.Context(), j.id)
		if err != nil {
			t.Fatal(err)
		}
		code, _, _ := strings.Cut(c.view(row).Waiting, ":")
		return code
	}
	if got := waiting(); got != "" {
		t.Errorf("a job that has just begun waits for %q", got)
	}
	for _, step := range []struct{ query, want string }{
		{"UPDATE jobs SET progress = 1", "queued"},
		{"UPDATE hosts SET ready_at = 9999999999999, delay = 1000", "crawl_delay"},
		{"UPDATE hosts SET strain = 1", "host_busy"},
		{"UPDATE hosts SET failures = 1", "host_unreachable"},
		{fmt.Sprint("UPDATE jobs SET stalled = ", time.Now().UnixMilli()), "no_edge"},
	} {
		if err := set(c, step.query); err != nil {
			t.Fatal(err)
		}
		if got := waiting(); got != step.want {
			t.Errorf("after %s: got %q, want %q", step.query, got, step.want)
		}
	}
}

func TestUsedUpCapIsWaitedFor(t *testing.T) {
	site, all := crawltest.Tree(5)
	n := crawltest.New(t, site)
	n.SetAway(wire.PartnerCap)
	p := start(t, config(n, t.TempDir()))
	j := p.begin(Crawl, object{"url": root})
	waitFor(t, "word of the cap", func() bool { return strings.HasPrefix(p.status(j).Waiting, "partner_cap:") })
	if err := p.c.tidyOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := p.status(j); s.State != Scraping || !s.Stalled.IsZero() {
		t.Errorf("with the cap used up: got %v, stalled since %v, want scraping and no stall", s.State, s.Stalled)
	}
	row, err := p.c.jobs.byName(t.Context(), alice, j.ID)
	if err != nil {
		t.Fatal(err)
	}
	if wait := time.Until(row.resume); wait <= 0 || wait > capLook {
		t.Errorf("it asks again in %v, want up to %v", wait, capLook)
	}
	n.SetAway(wire.OK)
	if err := set(p.c, "UPDATE jobs SET resume_at = 0"); err != nil { // the next day
		t.Fatal(err)
	}
	if err := set(p.c, "UPDATE domains SET wake_at = 1"); err != nil {
		t.Fatal(err)
	}
	if err := set(p.c, "UPDATE hosts SET wake_at = 1"); err != nil {
		t.Fatal(err)
	}
	signal(p.c.wake)
	if j, _ = p.result(j); j.State != Completed || j.Completed != len(all) || j.Waiting != "" {
		t.Errorf("then: got %v with %d, waiting %q, want completed with %d", j.State, j.Completed, j.Waiting, len(all))
	}
}
