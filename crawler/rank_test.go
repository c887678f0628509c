package crawler

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/link"
)

func TestAddressesComeInTheOrderOfTheirWorth(t *testing.T) {
	c, j := bench(t, 0, 0)
	add := func(via int64, leads ...lead) {
		t.Helper()
		err := c.store.update(func(tx *tx) error { _, err := tx.discover(j, leads, via, time.Now()); return err })
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(path string, kind, depth int, worth float64) lead {
		l, err := newLead("http://host.test/"+path, kind, depth, j.order)
		if err != nil {
			t.Fatal(err)
		}
		l.worth = worth
		return l
	}
	add(1, at("deep", kindPage, 3, 0), at("plain", kindPage, 1, 0), at("linked", kindPage, 1, 0), at("listed", kindPage, 0, 0.6),
		at("disowned", kindPage, 0, -1), at("sitemap.xml", kindSitemap, 0, 0), at("waited", kindPage, 1, 0))
	add(2, at("linked", kindPage, 2, 0))
	for range 100 {
		add(3, at("deep", kindPage, 3, 0)) // many links to it, but it stays behind what is nearer
	}
	if err := set(c, "UPDATE urls SET ready_at = ?, attempt = 1 WHERE url = 'http://host.test/waited'", time.Now().Add(-time.Second).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	l := leaseOf(t, c, "host.test")
	if l == nil {
		t.Fatal("no lease of host.test")
	}
	var got []string
	for _, it := range l.items {
		got = append(got, it.url[len("http://host.test/"):])
	}
	want := []string{"waited", "sitemap.xml", "listed", "linked", "plain", "disowned", "deep"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestWorthOfASitemapsEntry(t *testing.T) {
	now := time.Date(2026, 5, 20, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		said link.Said
		want float64
	}{
		"nothing said":      {link.Said{Priority: 0.5}, 0},
		"the best and new":  {link.Said{Priority: 1, Modified: now.Add(-time.Hour)}, 1},
		"the least and old": {link.Said{Modified: now.AddDate(-5, 0, 0)}, -1},
		"of last year":      {link.Said{Priority: 0.5, Modified: now.AddDate(-1, 0, 0)}, 0},
	} {
		if got := worth(tt.said, now); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
