package crawler

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"sward/crawler/crawltest"
)

// config is a crawler's view of the test's network, without the pauses that only politeness to strangers needs.
func config(n *crawltest.Network, dir string) Config {
	return Config{
		Dir: dir, Database: databaseOf(dir), Verify: n.Verify, Suspect: n.Suspect,
		OpenCrawl: func(ctx context.Context, _ Account, avoid []string) (net.Conn, string, error) {
			return n.OpenCrawl(ctx, avoid)
		},
		OpenTunnel: func(_ context.Context, _ Account, _ string, avoid []string) (net.Conn, string, error) {
			return n.OpenTunnel(avoid)
		},
		Store: func(_ context.Context, pages ...Page) error {
			for _, p := range pages {
				if !p.Withdrawn {
					n.Put(p.URL)
				}
			}
			return nil
		},
		Fresh: -1, AuditRate: -1, Delay: time.Millisecond, DelayFactor: -1, RetryDelay: 5 * time.Millisecond, PageTimeout: 2 * time.Second,
	}
}

// The accounts of the tests.
var (
	alice   = Account{ID: "id-alice", Name: "alice", Purpose: "search-index"}
	trainer = Account{ID: "id-trainer", Name: "trainer", Purpose: "ai-training"}
)

// partner is an account with a running crawler.
type partner struct {
	t       *testing.T
	c       *Crawler
	account Account
}

// start runs a crawler until the test ends.
func start(t *testing.T, cfg Config) *partner {
	t.Helper()
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: got %v, want nil", err)
		}
	})
	return &partner{t: t, c: c, account: alice}
}

type object = map[string]any

// begin starts a job of an order in the API's spelling.
func (p *partner) begin(k Kind, order object) Job {
	p.t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		p.t.Fatal(err)
	}
	var o Order
	if err := json.Unmarshal(text, &o); err != nil {
		p.t.Fatal(err)
	}
	j, err := p.c.Start(p.t.Context(), p.account, k, o)
	if err != nil {
		p.t.Fatalf("start %v: got %v", order, err)
	}
	return j
}

// result waits for the end of a job and collects its documents, a chunk at a time.
func (p *partner) result(j Job) (Job, []object) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 60*time.Second)
	defer cancel()
	j, err := p.c.Wait(ctx, j)
	if err != nil {
		p.t.Fatalf("the job does not end: %v: %d of %d", err, j.Completed, j.Total)
	}
	documents := []object{}
	for len(documents) < j.Completed {
		chunk, err := p.c.Documents(ctx, j, len(documents), MaxDocuments)
		if err != nil || len(chunk) == 0 {
			p.t.Fatalf("documents from %d of %d: got %d, %v", len(documents), j.Completed, len(chunk), err)
		}
		for _, text := range chunk {
			var d object
			if err := json.Unmarshal(text, &d); err != nil {
				p.t.Fatal(err)
			}
			documents = append(documents, d)
		}
	}
	return j, documents
}

// crawl is begin and result of a crawl.
func (p *partner) crawl(order object) (Job, []object) {
	p.t.Helper()
	return p.result(p.begin(Crawl, order))
}

// failed are the pages that the partner did not get.
func (p *partner) failed(j Job) []PageError {
	p.t.Helper()
	list, err := p.c.Errors(p.t.Context(), j)
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

// status is a job as it is now.
func (p *partner) status(j Job) Job {
	p.t.Helper()
	now, err := p.c.Job(p.t.Context(), j.Account, j.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	return now
}

// paths are the sorted paths and queries of documents' final addresses.
func paths(documents []object) []string {
	list := []string{}
	for _, d := range documents {
		u, err := url.Parse(d["metadata"].(object)["url"].(string))
		if err != nil {
			list = append(list, err.Error())
			continue
		}
		list = append(list, u.RequestURI())
	}
	slices.Sort(list)
	return list
}
