package crawler

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/prometheus/client_golang/prometheus"
	"sward/crawler/crawltest"
	"sward/internal/wire"
)

// bench opens a crawler that does not run, with a job of n queued pages on hosts hosts.
func bench(t testing.TB, hosts, n int) (*Crawler, *job) {
	t.Helper()
	c, err := Open(config(crawltest.Before(""), t.TempDir())) // without an edge
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: got %v, want nil", err)
		}
	})
	limit := maxLimit
	j, err := c.jobs.create(Account{ID: "a"}, Crawl, Order{URL: root, Limit: &limit}, root, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var links []lead
	for i := range n {
		l, err := newLead(fmt.Sprintf("http://host-%d.test/%d", i%hosts, i), kindPage, 1, j.order)
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
	}
	err = c.store.update(func(tx *tx) error {
		added, err := tx.discover(j, links, 0, time.Now())
		if err == nil && added != n {
			err = fmt.Errorf("queued %d addresses, want %d", added, n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, j
}

// set changes the store behind the crawler's back.
func set(c *Crawler, query string, args ...any) error {
	return c.store.update(func(tx *tx) error { _, err := tx.do(query, args...); return err })
}

func TestLeaseTakesEachHostOnce(t *testing.T) {
	c, _ := bench(t, 5, 200)
	seen := map[string]bool{}
	for range 6 { // five hosts and the start page's
		l, _, err := c.frontier.next(t.Context(), c.cfg, c.jobs)
		if err != nil || l == nil {
			t.Fatalf("lease: got %v, %v, want one", l, err)
		}
		if seen[l.host] {
			t.Errorf("host %s was leased twice", l.host)
		}
		seen[l.host] = true
		if len(l.items) > c.cfg.BatchSize {
			t.Errorf("items of a lease: got %d, want at most %d", len(l.items), c.cfg.BatchSize)
		}
	}
	if l, pause, err := c.frontier.next(t.Context(), c.cfg, c.jobs); l != nil || err != nil || pause <= 0 {
		t.Errorf("seventh lease: got %v, %v, %v, want none and a pause", l, pause, err)
	}
}

func TestLeaseNeverExceedsTheJobsLimit(t *testing.T) {
	c, j := bench(t, 10, 300)
	const limit = 40
	if err := set(c, "UPDATE jobs SET quota = ? WHERE id = ?", limit, j.id); err != nil {
		t.Fatal(err)
	}
	pages := 0
	for {
		l, _, err := c.frontier.next(t.Context(), c.cfg, c.jobs)
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			break
		}
		pages += l.pages
	}
	if pages != limit {
		t.Errorf("pages out at the same time: got %d, want %d", pages, limit)
	}
}

func TestJobsOnOneHostTakeTurns(t *testing.T) {
	c, first := bench(t, 1, 100)
	second, err := c.jobs.create(Account{ID: "b"}, Scrape, Order{URL: "http://host-0.test/x"}, "http://host-0.test/x", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	turns := []int64{}
	for len(turns) < 2 {
		l, _, err := c.frontier.next(t.Context(), c.cfg, c.jobs)
		if err != nil || l == nil {
			t.Fatalf("lease: got %v, %v, want one", l, err)
		}
		if l.host != "host-0.test" {
			continue
		}
		turns = append(turns, l.job.id)
		if err := c.store.update(func(tx *tx) error { return tx.rest(l, time.Now().Add(-time.Second), time.Now().Add(-time.Second)) }); err != nil {
			t.Fatal(err)
		}
		c.frontier.giveBack(l)
	}
	if diff := cmp.Diff([]int64{first.id, second.id}, turns); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestHostsWithoutWorkDoNotHoldUpTheRest(t *testing.T) {
	c, first := bench(t, 20*lookahead, 20*lookahead)
	address := "http://last.test/"
	if _, err := c.jobs.create(Account{ID: "b"}, Scrape, Order{URL: address}, address, time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := c.end(t.Context(), first, Cancelled, wire.OK); err != nil {
		t.Fatal(err)
	}
	for range 25 {
		l, pause, err := c.frontier.next(t.Context(), c.cfg, c.jobs)
		if err != nil || pause != 0 {
			t.Fatalf("lease: got %v, %v, %v, want one, or another look at once", l, pause, err)
		}
		if l != nil {
			if l.host != "last.test" {
				t.Errorf("leased host: got %s, want last.test", l.host)
			}
			return
		}
	}
	t.Error("the one host with work was not found")
}

func TestDiscoveryIsBounded(t *testing.T) {
	c, j := bench(t, 1, 10)
	j.quota = 1
	var links []lead
	for i := range 2 * minQueue {
		l, err := newLead(fmt.Sprintf("http://host-0.test/more/%d", i), kindPage, 1, j.order)
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
	}
	err := c.store.update(func(tx *tx) error { _, err := tx.discover(j, links, 0, time.Now()); return err })
	if err != nil {
		t.Fatal(err)
	}
	if j.discovered != minQueue {
		t.Errorf("addresses queued: got %d, want %d", j.discovered, minQueue)
	}
}

func TestExpiredJobsAreForgotten(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root", "/gone")})
	cfg := config(n, t.TempDir())
	cfg.Keep = time.Nanosecond // its time is over when it ends
	p := start(t, cfg)
	job := p.begin(Crawl, object{"url": root})
	p.result(job)
	if err := p.c.tidyOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.c.Job(t.Context(), alice, job.ID); !errors.Is(err, ErrNoJob) {
		t.Errorf("an expired job: got %v, want %v", err, ErrNoJob)
	}
	for _, table := range []string{"jobs", "urls", "documents", "errors", "texts"} {
		var rows int
		if err := p.c.store.row(t.Context(), "SELECT count(*) FROM "+table).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("rows of %s: got %d, %v, want 0", table, rows, err)
		}
	}
}

func TestJobEndsAtItsDeadline(t *testing.T) {
	c, j := bench(t, 1, 5)
	if err := set(c, "UPDATE jobs SET deadline = 1 WHERE id = ?", j.id); err != nil {
		t.Fatal(err)
	}
	if err := c.tidyOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := c.jobs.byID(t.Context(), j.id)
	if err != nil || got.state != Failed || got.failure != "fetch_timeout" {
		t.Errorf("got %v %q, %v, want failed, fetch_timeout", got.state, got.failure, err)
	}
}

func TestOpenRefusesAStoreOfAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir); err == nil {
		t.Error("a store of version 99: got no error")
	}
	if err := os.WriteFile(filepath.Join(dir, "crawl.db"), []byte("no database at all, but long enough to look"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir); err == nil {
		t.Error("a file that is no database: got no error")
	}
}

func TestMetricsCanBeGathered(t *testing.T) {
	c, _ := bench(t, 3, 30)
	registry := prometheus.NewPedanticRegistry()
	for _, collector := range c.Metrics() {
		registry.MustRegister(collector)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	want := map[string]float64{"crawler_edges": 0, "crawler_archive_errors_total": 0, "crawler_hosts_leased": 0, "crawler_jobs_waiting": 0, "crawler_outbox_pages": 0, "crawler_pages_queued": 31}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// BenchmarkSettle is the cost of one delivered page with 30 links, a third of them new, alone in its
// transaction.
func BenchmarkSettle(b *testing.B) {
	c, j := bench(b, 100, 20_000)
	document := make([]byte, 20<<10)
	var ids []int64
	rows, err := c.store.reader.Query("SELECT id FROM urls")
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			b.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if i == len(ids) {
			b.Skip("ran out of addresses")
		}
		o := outcome{job: j, item: item{id: ids[i]}, fate: deliver, document: document, page: []byte("x")}
		for k := range 30 {
			l, err := newLead(fmt.Sprintf("http://host-%d.test/new/%d", k, i/3*30+k), kindPage, 2, j.order)
			if err != nil {
				b.Fatal(err)
			}
			o.links = append(o.links, l)
		}
		i++
		if err := c.settleGroup(b.Context(), []*settlement{{outcome: o}}); err != nil {
			b.Fatal(err)
		}
	}
}
