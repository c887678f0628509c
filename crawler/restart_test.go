package crawler

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler/crawltest"
)

// With these set, the test binary is a crawler that gets killed.
const (
	victimDir      = "SWARD_TEST_CRAWLER_DIR"
	victimSite     = "SWARD_TEST_CRAWLER_SITE"
	victimDatabase = "SWARD_TEST_CRAWLER_DATABASE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		if err := victim(dir, os.Getenv(victimSite)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	crawltest.StopPostgres()
	os.Exit(code)
}

const indexed = "indexed.log" // what the victims' index was given, one URL a line

// victim crawls until it is killed. The first one also takes the order.
func victim(dir, site string) error {
	n := crawltest.Before(site, &crawltest.Edge{}, &crawltest.Edge{})
	cfg := config(n, dir)
	cfg.Store, cfg.Database = appendIndexed(dir), os.Getenv(victimDatabase)
	c, err := Open(cfg)
	if err != nil {
		return err
	}
	if jobs, err := c.jobs.list(context.Background(), "true"); err != nil || len(jobs) == 0 {
		if err != nil {
			return err
		}
		if _, err := c.jobs.create(Account{ID: "id-alice"}, Crawl, Order{URL: root}, root, time.Now(), time.Hour); err != nil {
			return err
		}
	}
	return c.Run(context.Background())
}

// appendIndexed is an index that survives a kill, as a real one does once Store has returned.
func appendIndexed(dir string) func(context.Context, ...Page) error {
	return func(_ context.Context, pages ...Page) error {
		f, err := os.OpenFile(filepath.Join(dir, indexed), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		for _, p := range pages {
			if _, err := fmt.Fprintln(f, p.URL); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestCrawlSurvivesBeingKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	site, all := crawltest.Tree(150)
	n := crawltest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Millisecond) // so that a kill meets a crawl in its middle
		site.ServeHTTP(w, r)
	}))
	dir := t.TempDir()
	for _, until := range []int{10, 30, 60, 90, 120} {
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), victimDir+"="+dir, victimSite+"="+n.Site.Listener.Addr().String(), victimDatabase+"="+databaseOf(dir))
		var said strings.Builder
		child.Stderr = &said
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		before := n.Requests()
		waitFor(t, "the crawl's progress", func() bool { return n.Requests() >= max(until, before+5) })
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); err == nil || strings.TrimSpace(said.String()) != "" {
			t.Fatalf("the victim ended on its own: %v, %s", err, said.String())
		}
	}
	cfg := config(n, dir)
	cfg.Store = appendIndexed(dir)
	p := start(t, cfg)
	running, err := p.c.Jobs(t.Context(), alice, true, 10)
	if err != nil || len(running) != 1 {
		t.Fatalf("crawls after five kills: got %v, %v, want one that goes on", running, err)
	}
	status, documents := p.result(running[0])
	if diff := cmp.Diff(all, paths(documents)); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if status.Completed != len(all) {
		t.Errorf("completed: got %v, want %d", status.Completed, len(all))
	}
	waitFor(t, "an empty outbox", func() bool {
		waiting, err := p.c.outboxLen(t.Context())
		return err == nil && waiting == 0
	})
	if diff := cmp.Diff(map[string]bool{}, notIndexed(t, dir, all)); diff != "" {
		t.Errorf("pages that never reached the index:\n%s", diff)
	}
}

func notIndexed(t *testing.T, dir string, all []string) map[string]bool {
	t.Helper()
	missing := map[string]bool{}
	for _, path := range all {
		missing[path] = true
	}
	f, err := os.Open(filepath.Join(dir, indexed))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if u, err := url.Parse(lines.Text()); err == nil {
			delete(missing, u.RequestURI())
		}
	}
	return missing
}

func TestOutboxKeepsPagesUntilTheIndexTakesThem(t *testing.T) {
	n := crawltest.New(t, crawltest.Site{"/": crawltest.Page("root")})
	cfg := config(n, t.TempDir())
	cfg.Store = func(context.Context, ...Page) error { return os.ErrDeadlineExceeded }
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	page := Page{URL: root, Title: "root", Fetched: time.UnixMilli(1).UTC()}
	for range outboxBatch + 1 {
		err := c.store.update(func(tx *tx) error {
			_, err := tx.do("INSERT INTO outbox (page) VALUES (?)", packPage(page))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.feedOnce(t.Context()); err == nil {
		t.Error("feedOnce with a broken index: got no error")
	}
	var got []Page
	c.cfg.Store = func(_ context.Context, pages ...Page) error { got = append(got, pages...); return nil }
	for range 2 {
		if _, err := c.feedOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != outboxBatch+1 {
		t.Fatalf("pages handed over: got %d, want %d", len(got), outboxBatch+1)
	}
	if diff := cmp.Diff(page, got[0]); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
}
