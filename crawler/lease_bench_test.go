package crawler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sward/crawler/crawltest"
)

// The frontier of a hub that is busy: a million addresses on twenty thousand hosts.
const (
	manyURLs  = 1_000_000
	manyHosts = 20_000
)

// BenchmarkLease is the cost of finding one lease among them and of giving it back, which is one durable transaction. The
// slowest in a hundred is a metric of its own.
func BenchmarkLease(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkLease(b, "") })
	b.Run("postgres", func(b *testing.B) { benchmarkLease(b, crawltest.Postgres(b)) })
}

func benchmarkLease(b *testing.B, database string) {
	cfg := config(crawltest.Before(""), b.TempDir())
	cfg.Database = database
	c, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	limit := maxLimit
	for n := range 5 { // jobs, each on all hosts
		j, err := c.jobs.create(Account{ID: fmt.Sprint(n)}, Crawl, Order{URL: root, Limit: &limit}, root, time.Now(), 24*time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		const chunk = 20_000
		for from := 0; from < manyURLs/5; from += chunk {
			links := make([]lead, 0, chunk)
			for i := from; i < from+chunk; i++ {
				l, err := newLead(fmt.Sprintf("http://www.host-%d.test/section/%d", i%manyHosts, i), kindPage, i%5, j.order)
				if err != nil {
					b.Fatal(err)
				}
				links = append(links, l)
			}
			if err := c.store.update(func(tx *tx) error { _, err := tx.discover(j, links, 0, time.Now()); return err }); err != nil {
				b.Fatal(err)
			}
		}
	}
	var found, all []time.Duration
	for b.Loop() {
		began := time.Now()
		l, _, err := c.frontier.next(b.Context(), c.cfg, c.jobs)
		if err != nil || l == nil {
			b.Fatalf("lease: %v, %v", l, err)
		}
		found = append(found, time.Since(began))
		at := time.Now()
		if err := c.store.update(func(tx *tx) error { return tx.rest(l, at, at) }); err != nil {
			b.Fatal(err)
		}
		c.frontier.giveBack(l)
		all = append(all, time.Since(began))
	}
	slices.Sort(found)
	slices.Sort(all)
	b.ReportMetric(found[len(found)/2].Seconds()*1e3, "ms-to-find")
	b.ReportMetric(all[len(all)/2].Seconds()*1e3, "ms-in-all")
	b.ReportMetric(all[len(all)*99/100].Seconds()*1e3, "ms-p99")
}
