package crawler

import (
	"context"
	"errors"
	"fmt"
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

// TestRefundThatIsRefusedHoldsUpNobody: one account that the books do not know, or whose count shrank because the store is a
// backup's, must not keep the others from theirs; nor must there be too many of them.
func TestRefundThatIsRefusedHoldsUpNobody(t *testing.T) {
	c, _ := bench(t, 1, 1)
	const accounts = maxRefunds + 10
	err := c.store.update(func(tx *tx) error {
		for i := range accounts {
			a := Account{ID: fmt.Sprintf("account-%04d", i)}
			if err := errors.Join(tx.openRefunds(a), tx.giveBack(a, 1000)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	c.cfg.Refund = func(_ context.Context, a Account, _ [16]byte, total uint64) error {
		if a.ID == "account-0003" {
			return errors.New("nobody of that name")
		}
		if total > 0 {
			told[a.ID]++
		}
		return nil
	}
	for pass := range 2 {
		if err := c.refundOnce(t.Context(), true); err == nil {
			t.Error("a refund that is refused: got no error, want it")
		}
		if len(told) != accounts-1 || told[fmt.Sprintf("account-%04d", accounts-1)] != pass+1 {
			t.Errorf("pass %d: %d accounts were told of, want all but one, %d", pass+1, len(told), accounts-1)
		}
	}
}
