package crawler

import (
	"errors"
	"testing"
	"time"

	"sward/internal/wire"
)

// queued is the item of an address of j.
func queued(t *testing.T, c *Crawler, j *job, address string) item {
	t.Helper()
	it := item{kind: kindPage, url: address}
	if err := c.store.row(t.Context(), "SELECT id FROM urls WHERE job = ? AND url = ?", j.id, address).Scan(&it.id); err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return it
}

// settleNow settles an outcome without the settler.
func settleNow(t *testing.T, c *Crawler, o outcome) fate {
	t.Helper()
	s := &settlement{outcome: o}
	if err := c.settleGroup(t.Context(), []*settlement{s}); err != nil {
		t.Fatal(err)
	}
	return s.fate
}

// TestRedirectOfASettledAddressTakesNothing: a site may send two readers in a circle, and an address that another's redirect
// has brought may come a second time, from an edge that is still at it.
func TestRedirectOfASettledAddressTakesNothing(t *testing.T) {
	c, j := bench(t, 1, 2)
	const zero, one = "http://host-0.test/0", "http://host-0.test/1"
	page := outcome{job: j, fate: deliver, document: []byte("{}")}
	first := page
	first.item, first.final = queued(t, c, j, root), zero
	if got := settleNow(t, c, first); got != deliver {
		t.Fatalf("the first: got fate %d, want %d", got, deliver)
	}
	second := page
	second.item, second.final = queued(t, c, j, zero), one // it was out when the first came
	if got := settleNow(t, c, second); got != skip {
		t.Errorf("an address that was settled: got fate %d, want %d", got, skip)
	}
	third := page
	third.item = queued(t, c, j, one)
	if got := settleNow(t, c, third); got != deliver {
		t.Errorf("a page that nobody has brought: got fate %d, want %d", got, deliver)
	}
	got, err := c.jobs.byID(t.Context(), j.id)
	if err != nil {
		t.Fatal(err)
	}
	if got.state != Completed || got.completed != 2 || got.pages != 0 {
		t.Errorf("the job: got %s with %d documents and %d pages to come, want it completed with 2 and 0", got.state, got.completed, got.pages)
	}
}

func TestPageThatWaitsIsPostponed(t *testing.T) {
	c, j := bench(t, 1, 1)
	now := time.Now().Truncate(time.Millisecond)
	for _, f := range []fate{wait, retry} {
		o := outcome{job: j, item: queued(t, c, j, root), fate: f, ready: now.Add(time.Hour)}
		err := c.store.update(func(tx *tx) error { return errors.Join(tx.postpone(&o, now), tx.postpone(&o, now.Add(time.Minute))) })
		if err != nil {
			t.Fatalf("fate %d: %v", f, err)
		}
		got, err := c.jobs.byID(t.Context(), j.id)
		if err != nil {
			t.Fatal(err)
		}
		if f == wait && !got.stalled.Equal(now) || f == retry && !got.stalled.IsZero() {
			t.Errorf("fate %d: the job is stalled since %v, want since %v or not at all", f, got.stalled, now)
		}
	}
}

func TestGivenUpHostKeepsTheBoundOnErrors(t *testing.T) {
	c, j := bench(t, 1, 10)
	if err := set(c, "UPDATE jobs SET failed = ? WHERE id = ?", maxErrors-3, j.id); err != nil {
		t.Fatal(err)
	}
	if err := c.abandon(&lease{host: "host-0.test", job: j}, wire.DialRefused); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := c.store.row(t.Context(), "SELECT count(*) FROM errors").Scan(&rows); err != nil || rows != 3 {
		t.Errorf("rows of errors: got %d, %v, want the 3 that are left of %d", rows, err, maxErrors)
	}
	if got, err := c.jobs.byID(t.Context(), j.id); err != nil || got.failed != maxErrors+7 || got.pages != 1 {
		t.Errorf("the job: got %d failed and %d pages to come, %v, want %d and 1", got.failed, got.pages, err, maxErrors+7)
	}
}

// TestDelayOfAJobIsItsOwn: a job that may have no more pages at the moment leaves its delay to nobody.
func TestDelayOfAJobIsItsOwn(t *testing.T) {
	c, first := bench(t, 1, 1)
	const address = "http://host-0.test/x"
	if err := set(c, "UPDATE jobs SET quota = 0, request = ? WHERE id = ?", `{"url":"http://host-0.test/","delay":60}`, first.id); err != nil {
		t.Fatal(err)
	}
	second, err := c.jobs.create(Account{ID: "b"}, Scrape, Order{URL: address}, address, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l := &lease{host: "host-0.test", domain: "host-0.test", delay: time.Second}
	if err := c.frontier.fill(t.Context(), l, 0, c.cfg, c.jobs, time.Now()); err != nil {
		t.Fatal(err)
	}
	if l.job == nil || l.job.id != second.id || l.delay != time.Second {
		t.Errorf("the lease: got job %v with a delay of %v, want job %d with a second", l.job, l.delay, second.id)
	}
}

// TestCapEndsAStall: who waits for the next day of a cap does not wait for an edge any more.
func TestCapEndsAStall(t *testing.T) {
	c, j := bench(t, 1, 1)
	now := time.Now()
	for _, why := range []wire.Code{wire.NoEdge, wire.PartnerCap} {
		if err := c.store.update(func(tx *tx) error { return tx.hold(j.id, why, now.Add(-2*c.cfg.MaxStall)) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.tidyOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := c.jobs.byID(t.Context(), j.id); err != nil || got.state != Scraping {
		t.Errorf("a job whose cap is used up: got %v, %v, want it to wait", got.state, err)
	}
}

// TestScopeIsOfTheJobThatHasTheNumber: SQLite gives the number of the newest job again when that is forgotten.
func TestScopeIsOfTheJobThatHasTheNumber(t *testing.T) {
	c, first := bench(t, 1, 1)
	if err := c.end(t.Context(), first, Cancelled, wire.OK); err != nil {
		t.Fatal(err)
	}
	old, err := c.jobs.scope(first) // of a lease that was taken just before
	if err != nil {
		t.Fatal(err)
	}
	if err := c.forget(t.Context(), first.id); err != nil {
		t.Fatal(err)
	}
	second, err := c.jobs.create(Account{ID: "b"}, Crawl, Order{URL: root, ExcludePaths: []string{"secret"}}, root, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.jobs.scope(second)
	if err != nil {
		t.Fatal(err)
	}
	if second.id != first.id || got == old {
		t.Errorf("job %d after job %d: got the other's scope, want its own", second.id, first.id)
	}
}

func TestTimeOfAJobMayBeAnyNumber(t *testing.T) {
	c, _ := bench(t, 1, 1)
	for _, seconds := range []int{1 << 34, 1 << 62} {
		j, err := c.Start(t.Context(), Account{ID: "a"}, Crawl, Order{URL: root, MaxTime: seconds})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.tidyOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Job(t.Context(), j.Account, j.ID); err != nil || got.State != Scraping {
			t.Errorf("maxTime %d: got %v, %v, want it to run", seconds, got.State, err)
		}
	}
}
