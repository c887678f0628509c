package crawler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
