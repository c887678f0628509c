package crawler

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"sward/crawler/fetch"
	"sward/crawler/trust"
	"sward/internal/wire"
)

// Verdicts of an audit, as documents and metrics name them.
const (
	auditMatch    = "match"
	auditMismatch = "mismatch" // the page is another road's, because the edge's was not the site's
	auditUnclear  = "unclear"  // the site shows each reader another page, or two of them do
	auditSkipped  = "skipped"  // not in the sample, or no second road was to be had
)

// sampled decides after the page is here: an edge that signed cannot know which it will be. A page that came by plain
// HTTP although the partner asked for TLS is always looked at twice: nobody but the edge has seen that redirect.
func (b *batch) sampled(a arrival) bool {
	rate := b.c.edges.rate(a.edge, b.l.host)
	if rate > 0 && strings.HasPrefix(a.asked, "https:") && strings.HasPrefix(a.URL, "http:") {
		rate = 1
	}
	return rate > 0 && rand.Float64() < rate
}

// audit fetches the sample again, one by one and politely, through an edge that did not bring it and
// with TLS ending here, where no edge can change a byte unseen.
func (b *batch) audit(ctx context.Context) {
	if len(b.audits) == 0 {
		return
	}
	road := b.witness(b.audits[0].edge)
	for _, first := range b.audits {
		kept := b.compare(ctx, first, road)
		if ctx.Err() != nil {
			return // what is not settled stays queued
		}
		b.c.metrics.audits.WithLabelValues(kept.audited).Inc()
		if kept.edge == first.edge && kept.audited != auditMatch && b.c.edges.watched(first.edge) {
			b.withhold(first)
			continue
		}
		b.read(ctx, kept)
	}
}

// compare returns the fetch to deliver: the first, or where the edge is not to be believed one that was made from here.
//
// A site may show each reader another page, and without TLS the second edge could be the liar. So where two readings
// differ a third is taken, through another edge where there is one: only where the second and the third agree, and the
// first says something else, does that count against the edge. With TLS the page is then asked for once more through the
// edge's own line, where it can change nothing: a site that shows that line another page clears it, and otherwise the
// proof is complete.
func (b *batch) compare(ctx context.Context, first arrival, road *tunnel) arrival {
	second, ok := b.refetch(ctx, first, road)
	if !ok { // no other edge, perhaps
		second, ok = b.throughItself(ctx, first)
	}
	first.audited, second.audited = auditSkipped, auditSkipped
	if !ok {
		return first
	}
	one, two := first.reading(), second.reading()
	switch {
	case trust.Judge(one, two) == trust.Same:
		first.witness, _ = second.Header() // an edge that brings the page may still keep back what the site says of its use
		return b.agreed(first)
	case turnedAway(second.Status): // the site turned the second reader away, who may not be the last
		return first
	case turnedAway(first.Status): // or the first
		b.c.edges.failed(first.edge, first.item.id)
		return second
	}
	safe := strings.HasPrefix(first.URL, "https:") && strings.HasPrefix(second.URL, "https:") // nobody could change the second
	best := first
	if safe {
		best = second
	}
	best.audited = auditUnclear
	third, ok := b.refetch(ctx, first, b.witness(first.edge, second.exit))
	elsewhere := ok
	if !ok {
		third, ok = b.refetch(ctx, first, road)
	}
	if !ok {
		return best
	}
	three := third.reading()
	if !safe && elsewhere && trust.Judge(two, one, three) >= trust.Numbers {
		b.accuse(ctx, second.exit, trust.WeightPlain, "it changed a page on the way")
	}
	finding := trust.Judge(one, two, three)
	switch {
	case finding == trust.Same:
		return b.agreed(first)
	case finding == trust.Unclear, !safe && !elsewhere, changedSince(second, first.Started):
		return best
	}
	if b.confirmedAgain(ctx, first, road) {
		second.audited = auditUnclear
		return second
	}
	weight := trust.WeightPlain
	if safe {
		weight = trust.WeightTLS
		if own, ok := b.throughItself(ctx, first); ok {
			four := own.reading()
			switch {
			case trust.Judge(one, four) == trust.Same, trust.Judge(one, two, three, four) == trust.Same:
				return b.agreed(first)
			case trust.Judge(four, two, three) == trust.Same:
				weight = trust.WeightOwnLine
			}
		}
	}
	if finding == trust.Numbers {
		weight = trust.WeightNumbers
	}
	if ctx.Err() == nil {
		b.accuse(ctx, first.edge, weight, "another road brought another page")
	}
	second.audited = auditMismatch
	return second
}

// witness is a road around some edges, and around those in doubt where there are others.
func (b *batch) witness(not ...string) *tunnel {
	return b.c.tunnelBy(func(ctx context.Context, hostport string) (net.Conn, string, error) {
		conn, edge, err := b.c.cfg.OpenTunnel(ctx, b.l.job.account, hostport, addEdges(not, b.c.edges.doubtful()))
		if wire.CodeOf(err) == wire.NoEdge {
			return b.c.cfg.OpenTunnel(ctx, b.l.job.account, hostport, not)
		}
		return conn, edge, err
	})
}

// agreed is a page that was found to be the site's.
func (b *batch) agreed(a arrival) arrival {
	b.c.edges.match(a.edge, b.l.host)
	a.audited = auditMatch
	return a
}

// accuse notes a page that an edge has changed, and has the edge suspended when that is proven often enough.
func (b *batch) accuse(ctx context.Context, edge string, weight float64, reason string) {
	guilty, err := b.c.edges.strike(edge, b.l.host, b.began.UnixNano(), weight)
	if err != nil {
		b.c.cfg.Log.Error("what an edge did cannot be noted", "edge", edge, "error", err)
	}
	if guilty {
		b.c.cfg.Suspect(ctx, edge, reason)
		b.note(b.c.forgetEdge(edge))
	}
}

// withhold has a page fetched again elsewhere: nothing of an edge under watch is delivered unchecked.
func (b *batch) withhold(a arrival) {
	o := outcome{job: b.l.job, item: a.item, code: codeTampered, owner: wire.OwnerEdge, detail: "what the edge brought could not be checked"}
	o.again(a.edge, 0, b.c.cfg)
	b.settle(o)
}

func (a arrival) reading() trust.Reading { return trust.Read(a.Status, a.contentType(), a.Body) }

// turnedAway tells the statuses by which a site refuses a reader, and not a page.
func turnedAway(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotAcceptable,
		http.StatusProxyAuthRequired, http.StatusUnavailableForLegalReasons:
		return true
	}
	return busyStatus(status) || status > http.StatusInternalServerError
}

// changedSince reports whether the site itself says that the page has changed after at.
func changedSince(a arrival, at time.Time) bool {
	h, err := a.Header()
	if err != nil {
		return false
	}
	changed, err := http.ParseTime(h.Get("Last-Modified"))
	return err == nil && changed.After(at.Truncate(time.Second)) && !changed.After(a.Started.Add(time.Second))
}

// throughItself fetches a page over the edge's own line with TLS ending here: what the site shows to that address, and
// nothing that the edge could make of it.
func (b *batch) throughItself(ctx context.Context, first arrival) (arrival, bool) {
	if b.c.cfg.OpenThrough == nil || !strings.HasPrefix(first.asked, "https:") {
		return arrival{}, false
	}
	own := b.c.tunnelBy(func(ctx context.Context, hostport string) (net.Conn, string, error) {
		conn, err := b.c.cfg.OpenThrough(ctx, b.l.job.account, hostport, first.edge)
		return conn, first.edge, err
	})
	a, ok := b.refetch(ctx, first, own)
	return a, ok && !turnedAway(a.Status) && strings.HasPrefix(a.URL, "https:")
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
