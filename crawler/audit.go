package crawler

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sward/crawler/fetch"
	"sward/crawler/text"
	"sward/internal/wire"
)

// Verdicts of an audit, as documents and metrics name them.
const (
	auditMatch    = "match"
	auditMismatch = "mismatch"
	auditSkipped  = "skipped" // not in the sample, or no second road was to be had
)

// sampled decides after the page is here: an edge that signed cannot know which it will be.
func (b *batch) sampled(size int) bool {
	return rand.Float64() < b.c.cfg.AuditRate && b.auditBytes+size <= maxAuditBytes
}

// audit fetches the sample again, one by one and politely, through an edge that did not bring it and
// with TLS ending here, where no edge can change a byte unseen.
func (b *batch) audit(ctx context.Context) {
	if len(b.audits) == 0 {
		return
	}
	road := b.c.newTunnel(b.l.job.account, []string{b.audits[0].edge})
	for _, first := range b.audits {
		kept := b.compare(ctx, first, road)
		if ctx.Err() != nil {
			return // what is not settled stays queued
		}
		if kept.audited != auditMismatch { // that has been counted with its suspect
			b.c.metrics.audits.WithLabelValues(kept.audited).Inc()
		}
		b.read(ctx, kept)
	}
}

// compare returns the fetch to deliver: the first, or where the second road brought another page that
// one. A site may show each reader another page, and without TLS the second edge could be the liar: a
// third reader has the casting vote, and where all three differ there is no proof against anybody.
func (b *batch) compare(ctx context.Context, first arrival, road *tunnel) arrival {
	second, ok := b.refetch(ctx, first, road)
	first.audited, second.audited = auditSkipped, auditSkipped
	switch {
	case !ok:
		return first
	case b.same(ctx, first, second):
		first.audited = auditMatch
		return first
	case second.Status >= http.StatusBadRequest: // the site turned the second reader away, who may not be the last
		return first
	case first.Status >= http.StatusBadRequest: // or the first
		return second
	}
	plain := strings.HasPrefix(first.URL, "http:") || strings.HasPrefix(second.URL, "http:")
	third, ok := b.refetch(ctx, first, b.c.newTunnel(b.l.job.account, []string{first.edge, second.exit}))
	if !ok && !plain {
		third, ok = b.refetch(ctx, first, road) // TLS ends here: the second edge can be asked as well
	}
	switch {
	case ok && b.same(ctx, first, third):
		if plain {
			b.suspect(ctx, second.exit, auditMismatch, "it changed a page on the way")
		}
		first.audited = auditMatch
		return first
	case ok && !b.same(ctx, second, third):
		return first
	case ctx.Err() == nil:
		b.suspect(ctx, first.edge, auditMismatch, "another road brought another page")
	}
	second.audited = auditMismatch
	return second
}

// refetch gets a page once more over a road, after the host's pause. It reports whether there is an
// answer to compare.
func (b *batch) refetch(ctx context.Context, first arrival, road *tunnel) (second arrival, ok bool) {
	if !sleep(ctx, b.l.delay) {
		return second, false
	}
	err := road.fetcher.Fetch(ctx, b.one(first.asked), func(r fetch.Result) error {
		second = arrival{Result: r, item: first.item, asked: first.asked, exit: road.exit()}
		return nil
	})
	return second, err == nil && second.Code == wire.OK && !busyStatus(second.Status)
}

// one is a batch of one address.
func (b *batch) one(address string) fetch.Batch {
	o := b.order()
	o.URLs, o.Delay, o.Deadline = []string{address}, 0, 2*b.c.cfg.PageTimeout
	return o
}

// same compares two fetches of one page. Pages that are made anew for each reader differ in bytes, so
// that one with the same status and title, and near enough the same text, counts as equal.
func (b *batch) same(ctx context.Context, first, second arrival) bool {
	if first.Status != second.Status {
		return false
	}
	if sha256.Sum256(first.Body) == sha256.Sum256(second.Body) {
		return true
	}
	read := func(a arrival) (text.Content, error) {
		at, err := url.Parse(a.URL)
		if err != nil {
			return text.Content{}, err
		}
		return text.Extract(ctx, a.Body, a.contentType(), at, text.Options{})
	}
	one, err := read(first)
	if err != nil {
		return false
	}
	two, err := read(second)
	return err == nil && one.Title == two.Title && text.Hamming(text.Simhash(one.Plain), text.Simhash(two.Plain)) <= text.NearDuplicate
}

// overTunnel fetches the whole batch from here, through an edge that sees only ciphertext.
func (b *batch) overTunnel(ctx context.Context) {
	var avoid []string
	if len(b.l.items) > 0 {
		avoid = b.l.items[0].avoid
	}
	road := b.c.newTunnel(b.l.job.account, avoid)
	err := road.fetcher.Fetch(ctx, b.ask(), func(r fetch.Result) error {
		b.arrive(ctx, arrival{Result: r, item: b.l.items[r.Index], asked: b.l.items[r.Index].url, exit: road.exit()})
		return nil
	})
	b.missing(road.exit(), err)
}

// tunnel is a fetcher whose connections leave through edges.
type tunnel struct {
	fetcher *fetch.Fetcher

	mu   sync.Mutex
	last string // the edge of the newest connection
}

func (t *tunnel) exit() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// newTunnel returns the second road, for an account and around some edges.
func (c *Crawler) newTunnel(a Account, avoid []string) *tunnel {
	t := &tunnel{}
	t.fetcher = fetch.New(fetch.Config{
		Roots: c.cfg.Roots, Agent: c.cfg.Agent, Log: c.cfg.Log, Now: c.cfg.Clock,
		Timeout: c.cfg.PageTimeout, MaxBody: int64(c.cfg.MaxBody),
		Dial: func(ctx context.Context, _, hostport string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, openTimeout)
			defer cancel()
			conn, edge, err := c.cfg.OpenTunnel(ctx, a, hostport, avoid)
			if err != nil {
				if wire.CodeOf(err) == wire.Internal { // the road's trouble, not the target's
					return nil, wire.Errorf(wire.HubAway, "%v", err)
				}
				return nil, err
			}
			t.mu.Lock()
			t.last = edge
			t.mu.Unlock()
			return conn, nil
		},
	})
	return t
}

// sleep waits for d, and reports whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
