package crawler

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
)

// ended waits for the end of a job.
func ended(t *testing.T, c *Crawler, j Job) Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	j, err := c.Wait(ctx, j)
	if err != nil {
		t.Fatalf("Wait: %v, with %d of %d", err, j.Completed, j.Total)
	}
	return j
}

func TestBatchFetchesWhatIsListedAndNothingElse(t *testing.T) {
	site := crawltest.Site{"/a": crawltest.Page("a", "/b", "/c"), "/a/": crawltest.Page("a with a slash"), "/b": crawltest.Page("b", "/a")}
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/b", http.StatusMovedPermanently)
			return
		}
		site.ServeHTTP(w, r)
	}))
	p := start(t, config(n, t.TempDir()))
	a := Account{ID: "id-alice", Purpose: "search-index"}
	j, err := p.c.Start(t.Context(), a, Batch, Order{URLs: []string{root + "a", root + "a/", root + "old", root + "b", root + "a", root + "missing"}})
	if err != nil {
		t.Fatal(err)
	}
	if j.Total != 5 {
		t.Errorf("total at the start: got %d, want 5, one page being named twice", j.Total)
	}
	j = ended(t, p.c, j)
	if j.State != Completed || j.Completed != 4 || j.Failed != 1 || j.Total != 4 {
		t.Errorf("got %v with %d completed, %d failed, total %d; want completed, 4, 1, 4", j.State, j.Completed, j.Failed, j.Total)
	}
	documents, err := p.c.Documents(t.Context(), j, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range documents {
		var at struct {
			Metadata struct{ SourceURL, URL string }
		}
		if err := json.Unmarshal(d, &at); err != nil {
			t.Fatal(err)
		}
		got = append(got, at.Metadata.SourceURL+" "+at.Metadata.URL)
	}
	slices.Sort(got)
	want := []string{root + "a " + root + "a", root + "a/ " + root + "a/", root + "b " + root + "b", root + "old " + root + "b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	if _, err := p.c.Extend(t.Context(), j, []string{root + "c"}); !errors.Is(err, ErrEnded) {
		t.Errorf("Extend of an ended batch: got %v, want ErrEnded", err)
	}
}

func TestBatchIsExtendedWhileItRuns(t *testing.T) {
	held := make(chan struct{})
	site, _ := crawltest.Tree(8)
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			<-held
		}
		site.ServeHTTP(w, r)
	}))
	p := start(t, config(n, t.TempDir()))
	a := Account{ID: "id-alice", Purpose: "search-index"}
	j, err := p.c.Start(t.Context(), a, Batch, Order{URLs: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	j, err = p.c.Extend(t.Context(), j, []string{root + "p/1.html", root, root + "p/2.html"})
	if err != nil || j.Total != 3 {
		t.Fatalf("Extend: got total %d, %v, want 3", j.Total, err)
	}
	if _, err := p.c.Extend(t.Context(), j, []string{"http://127.0.0.1/"}); !errors.As(err, new(*OrderError)) {
		t.Errorf("a private address: got %v, want an OrderError", err)
	}
	if _, err := p.c.Extend(t.Context(), Job{ID: j.ID, Account: Account{ID: "id-bob"}}, []string{root}); !errors.Is(err, ErrNoJob) {
		t.Errorf("another account's batch: got %v, want ErrNoJob", err)
	}
	close(held)
	if j = ended(t, p.c, j); j.State != Completed || j.Completed != 3 {
		t.Errorf("got %v with %d, want completed with 3", j.State, j.Completed)
	}
}

func TestMapListsAddressesAndFetchesNone(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{
		"/":             crawltest.Page("root", "/linked", "/both", "/picture.png", "http://elsewhere.test/"),
		"/robots.txt":   "Sitemap: " + root + "sitemap2.xml\n",
		"/sitemap.xml":  `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>` + root + `both</loc></url><url><loc>` + root + `listed</loc></url></urlset>`,
		"/sitemap2.xml": `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>` + root + `second</loc></url></urlset>`,
	})
	p := start(t, config(n, t.TempDir()))
	a := Account{ID: "id-alice", Purpose: "search-index"}
	for name, tt := range map[string]struct {
		order Order
		want  []string
	}{
		"all":            {Order{}, []string{"/", "/both", "/linked", "/listed", "/second"}},
		"links alone":    {Order{Sitemap: "skip"}, []string{"/", "/both", "/linked"}},
		"sitemaps alone": {Order{Sitemap: "only"}, []string{"/", "/both", "/listed", "/second"}},
	} {
		tt.order.URL = root
		j, err := p.c.Start(t.Context(), a, Map, tt.order)
		if err != nil {
			t.Fatal(err)
		}
		j = ended(t, p.c, j)
		list, err := p.c.Addresses(t.Context(), j, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 || list[0] != root {
			t.Fatalf("%s: got %v, want the start page first", name, list)
		}
		var got []string
		for _, address := range list {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, u.Path)
		}
		slices.Sort(got)
		if diff := cmp.Diff(tt.want, got); diff != "" || j.State != Completed || j.Completed != len(tt.want) {
			t.Errorf("%s: %v with %d completed (-want +got):\n%s", name, j.State, j.Completed, diff)
		}
	}
	for path := range n.Hits() {
		if slices.Contains([]string{"/linked", "/both", "/listed", "/second"}, path) {
			t.Errorf("%s was fetched, but only its address was asked for", path)
		}
	}
	limit := 2
	j, err := p.c.Start(t.Context(), a, Map, Order{URL: root, Limit: &limit})
	if err != nil {
		t.Fatal(err)
	}
	if j = ended(t, p.c, j); j.Completed != limit {
		t.Errorf("addresses with limit %d: got %d", limit, j.Completed)
	}
}
