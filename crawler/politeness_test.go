package crawler

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
	"sward/internal/wire"
)

func TestHostsOfOneDomainShareItsPace(t *testing.T) {
	c, j := bench(t, 0, 0)
	var links []lead
	for i := range 40 {
		l, err := newLead(fmt.Sprintf("http://www%d.example.co.uk/%d", i%4, i), kindPage, 1, j.order)
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
	}
	if err := c.store.update(func(tx *tx) error { _, err := tx.discover(j, links, 1, time.Now()); return err }); err != nil {
		t.Fatal(err)
	}
	turns := []string{}
	for range 4 {
		got := leaseOf(t, c, "example.co.uk")
		if again := leaseOf(t, c, "example.co.uk"); again != nil {
			t.Fatalf("%s and %s were leased at the same time", got.host, again.host)
		}
		turns = append(turns, got.host)
		now := time.Now()
		if err := c.store.update(func(tx *tx) error { return tx.rest(got, now.Add(time.Minute), now.Add(-time.Second)) }); err != nil {
			t.Fatal(err)
		}
		c.frontier.giveBack(got)
	}
	slices.Sort(turns)
	if diff := cmp.Diff([]string{"www0.example.co.uk", "www1.example.co.uk", "www2.example.co.uk", "www3.example.co.uk"}, turns); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
	if err := c.store.update(func(tx *tx) error {
		if err := tx.wakeHost("new.example.co.uk", 1); err != nil {
			return err
		}
		_, err := tx.do("UPDATE domains SET ready_at = ?", time.Now().Add(time.Hour).UnixMilli())
		if err != nil {
			return err
		}
		return tx.wakeDomain("example.co.uk")
	}); err != nil {
		t.Fatal(err)
	}
	if l := leaseOf(t, c, "example.co.uk"); l != nil {
		t.Errorf("%s was leased while its domain rests", l.host)
	}
}

// TestSeveralLeasesOfOneHostShareNoAddress is for the benchmark of a site of our own.
func TestSeveralLeasesOfOneHostShareNoAddress(t *testing.T) {
	c, _ := bench(t, 1, 40)
	c.cfg.LeasesPerHost = 3
	seen := map[int64]bool{}
	var out []*lease
	for range 3 {
		l := leaseOf(t, c, "host-0.test")
		if l == nil {
			break
		}
		out = append(out, l)
		for _, it := range l.items {
			if seen[it.id] {
				t.Errorf("%s was leased twice", it.url)
			}
			seen[it.id] = true
		}
	}
	if len(out) != 3 || len(seen) != 40 {
		t.Errorf("got %d leases with %d addresses, want 3 with 40", len(out), len(seen))
	}
	for _, l := range out {
		c.frontier.giveBack(l)
	}
	for id := range c.frontier.out {
		if seen[id] {
			t.Errorf("address %d is still out when its lease is back", id)
		}
	}
}

// leaseOf leases until a host of the domain comes, or there is nothing more.
func leaseOf(t *testing.T, c *Crawler, domain string) *lease {
	t.Helper()
	for range 20 {
		l, pause, err := c.frontier.next(t.Context(), c.cfg, c.jobs)
		if err != nil {
			t.Fatal(err)
		}
		if l != nil && l.domain == domain {
			return l
		}
		if l == nil && pause > 0 {
			return nil
		}
	}
	return nil
}

func TestDomainIsWhatSomebodyBought(t *testing.T) {
	for host, want := range map[string]string{
		"a.b.example.com": "example.com", "example.com:8080": "example.com", "x.github.io": "x.github.io",
		"192.0.2.7:80": "192.0.2.7", "[2001:db8::1]:80": "2001:db8::1", "site.test": "site.test", "a.site.test": "site.test",
	} {
		if got := domainOf(host); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
}

func TestDelayFollowsTheAnswersTime(t *testing.T) {
	cfg := Config{Delay: time.Second, DelayFactor: 5}.withDefaults()
	answer := func(took time.Duration, status int) arrival {
		a := arrival{}
		a.Code, a.Took, a.Status = wire.OK, took, status
		return a
	}
	l := &lease{}
	for _, step := range []struct {
		took   time.Duration
		status int
		want   time.Duration
	}{
		{100 * time.Millisecond, 200, time.Second},      // quick: the least delay
		{2 * time.Second, 200, 5125 * time.Millisecond}, // slow: five times its time, half at once
		{time.Hour, 200, longestDelay},                  // never more than a lease can wait
		{0, 200, longestDelay},
	} {
		m := tempo{}
		m.note(answer(step.took, step.status))
		m.conclude(l, cfg)
		if got := l.spacing(cfg); got != step.want {
			t.Errorf("after %v: got %v, want %v", step.took, got, step.want)
		}
	}
	l = &lease{}
	var got []time.Duration
	for _, status := range []int{429, 503, 429, 200, 200, 200, 200} {
		m := tempo{}
		m.note(answer(0, status))
		m.conclude(l, cfg)
		got = append(got, l.spacing(cfg))
	}
	want := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 4 * time.Second, 2 * time.Second, time.Second, time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delays of a host that asks for patience thrice (-want +got):\n%s", diff)
	}
	for range 100 {
		m := tempo{}
		m.note(answer(0, 429))
		m.conclude(l, cfg)
	}
	if got := l.spacing(cfg); got > maxBackoff {
		t.Errorf("after a hundred refusals: got %v, want at most %v", got, maxBackoff)
	}
}

// TestBusySiteIsAskedLessOften (attack J22): a site that answers 429 for a while is asked at growing intervals, and all of
// its pages come in the end.
func TestBusySiteIsAskedLessOften(t *testing.T) {
	site, all := crawltest.Tree(12)
	var mu sync.Mutex
	refusals := 0
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		refuse := r.URL.Path == "/p/3.html" && refusals < 3
		if refuse {
			refusals++
		}
		mu.Unlock()
		if refuse {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		site.ServeHTTP(w, r)
	}))
	p := start(t, config(n, t.TempDir()))
	status, documents := p.crawl(object{"url": root})
	if diff := cmp.Diff(all, paths(documents)); diff != "" || status.State != Completed {
		t.Errorf("%v, pages (-want +got):\n%s", status.State, diff)
	}
}
