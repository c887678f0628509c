package crawler

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"sward/crawler/crawltest"
)

// refundsOf notes what is told; the highest count of an account is what it is given back.
type refundsOf struct {
	mu     sync.Mutex
	counts []uint64
	source [16]byte
}

func (r *refundsOf) tell(_ context.Context, _ Account, source [16]byte, total uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts, r.source = append(r.counts, total), source
	return nil
}

func (r *refundsOf) last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.counts) == 0 {
		return 0
	}
	return r.counts[len(r.counts)-1]
}

func TestOnlyDeliveredPagesAreCharged(t *testing.T) {
	const large = 100_000
	pages := crawltest.Site{"/": crawltest.Page("root", "/good", "/bad"), "/good": crawltest.Page("good")}
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusForbidden)
			w.Write(crawltest.Noise(large))
			return
		}
		pages.ServeHTTP(w, r)
	})
	n := crawltest.New(t, site)
	cfg := config(n, t.TempDir())
	var told refundsOf
	cfg.Refund = told.tell
	p := start(t, cfg)
	job, documents := p.crawl(object{"url": root, "sitemap": "skip"})
	if len(documents) != 2 || job.Failed != 1 {
		t.Fatalf("%d documents, %d failed; want 2 and 1", len(documents), job.Failed)
	}
	waitFor(t, "the lease to end", func() bool { return p.c.frontier.count() == 0 }) // and its bill with it
	if err := p.c.refundOnce(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := told.last(); got < large || got > large+50_000 {
		t.Errorf("%d bytes go back, want those of the failed page, %d, and little more", got, large)
	}

	before := told.last()
	_, documents = p.crawl(object{"url": root + "good", "limit": 1, "sitemap": "skip", "scrapeOptions": object{"maxAge": 0}})
	if len(documents) != 1 {
		t.Fatalf("%d documents, want 1", len(documents))
	}
	waitFor(t, "the lease to end", func() bool { return p.c.frontier.count() == 0 }) // and its bill with it
	if err := p.c.refundOnce(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if more := told.last() - before; more > 2000 {
		t.Errorf("%d bytes go back for a page that was delivered, want next to nothing", more)
	}
}
