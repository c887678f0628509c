package crawler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"sward/crawler/fetch"
	"sward/internal/wire"
)

const (
	openTimeout   = 30 * time.Second // for a road to an edge
	deadlineGrace = 15 * time.Second // beyond the edge's own deadline
	longestDelay  = 30 * time.Second // that an edge waits between two requests on its own account
	maxDeadline   = 15 * time.Minute // of a batch; an edge would not take more
	maxAuditBytes = 32 << 20         // of bodies that wait for the end of a stream to be audited
)

// Ways in which a stream ends before its batch does.
var (
	errStalled = wire.Errorf(wire.EdgeTimeout, "the edge sent nothing for too long")
	errMissing = wire.Errorf(wire.EdgeGone, "the edge ended the batch without all of its pages")
)

// batch is the work on one lease. Results arrive one at a time; they are read and settled beside
// each other.
type batch struct {
	c *Crawler
	l *lease

	bill       bill
	began      time.Time
	arrived    []bool // by item
	audits     []arrival
	held       []arrival     // that wait for a look (hold.go)
	releasing  bool          // looks have been taken
	auditBytes int           // of audits and held
	pause      time.Duration // the host asked for
	reached    bool          // the host answered something
	trouble    wire.Code     // how it could not be reached, OK if that did not happen
	tempo      tempo
	patient    time.Duration // the longest Crawl-delay that was reported
	outdated   bool          // memory has pages whose site is to be looked at first

	working sync.WaitGroup
	mu      sync.Mutex
	err     error // the first result that could not be stored
}

// fetchLease fetches the items of l over the road that its job asks for, and returns for how long
// their host is to be left alone. Its error means that results could not be stored.
func (c *Crawler) fetchLease(ctx context.Context, l *lease) (time.Duration, error) {
	b := &batch{c: c, l: l, began: c.cfg.Clock()}
	if err := b.recall(ctx, false); err != nil || len(l.items)+len(b.held) == 0 { // the host is asked for nothing, and needs no pause
		b.working.Wait()
		return 0, errors.Join(err, b.err)
	}
	b.arrived, b.pause, l.quiet = make([]bool, len(l.items)), l.delay, make(chan struct{})
	ctx = context.WithValue(ctx, billKey{}, &b.bill)
	if b.lookFirst(ctx) {
		b.bill.page() // what was looked at is no page
		if b.outdated {
			b.note(b.recall(ctx, true))
		}
		b.spare(ctx)
	} else {
		b.l.items = nil
	}
	switch {
	case len(b.l.items) == 0:
	case l.job.order.tunnel():
		b.overTunnel(ctx)
	default:
		b.overEdge(ctx)
		b.audit(ctx)
	}
	close(l.quiet)
	b.release(ctx)
	b.working.Wait()
	l.waste = b.bill.waste()
	b.concludeHost()
	if b.err == nil {
		b.err = b.c.edges.saveSoon()
	}
	return b.pause, b.err
}

// overEdge sends the batch to an edge and takes what comes back.
func (b *batch) overEdge(ctx context.Context) {
	conn, edge, err := b.openCrawl(ctx)
	if err != nil {
		b.noRoad(ctx, err)
		return
	}
	defer conn.Close()
	stream, cancel := context.WithCancelCause(ctx) // ends with the stream; pages are read beyond it
	defer cancel(nil)
	// An edge that stops in mid-batch would otherwise hold the host for the whole deadline.
	watch := time.AfterFunc(b.patience(), func() { cancel(errStalled) })
	defer watch.Stop()
	err = fetch.Remote(stream, conn, b.ask(), func(r fetch.Result) error {
		watch.Stop()
		defer func() { watch.Reset(b.patience()) }()
		if r.Index < 0 || r.Index >= len(b.l.items) || b.arrived[r.Index] {
			return wire.Errorf(wire.ProtocolError, "the edge sent page %d twice, or it was not asked for", r.Index)
		}
		b.arrive(ctx, arrival{Result: r, item: b.l.items[r.Index], asked: b.l.items[r.Index].url, edge: edge, exit: edge})
		return nil
	})
	if cause := context.Cause(stream); cause != nil {
		err = cause
	}
	if wire.CodeOf(err) == wire.ProtocolError {
		b.suspect(ctx, edge, "broken", "a page differs from its attestation, or the stream from the protocol")
	}
	b.missing(edge, err)
}

// openCrawl asks for an edge that is not among those around and has not failed any of the items, or else for any. An edge with a poor name is sent
// away most times, and one that was caught always.
func (b *batch) openCrawl(ctx context.Context, around ...string) (net.Conn, string, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	avoid := addEdges(nil, around)
	for _, it := range b.l.items {
		avoid = addEdges(avoid, it.avoid)
	}
	for declined := 0; ; declined++ {
		conn, edge, err := b.c.cfg.OpenCrawl(ctx, b.l.job.account, avoid)
		if wire.CodeOf(err) == wire.NoEdge && len(avoid) > 0 {
			conn, edge, err = b.c.cfg.OpenCrawl(ctx, b.l.job.account, nil)
			if err == nil && b.c.edges.suspended(edge) {
				conn.Close()
				return nil, "", wire.Errorf(wire.NoEdge, "the one edge at hand is suspended")
			}
			return conn, edge, err
		}
		if err != nil || b.c.edges.takes(edge) || declined >= maxOffers && !b.c.edges.suspended(edge) {
			return conn, edge, err
		}
		conn.Close()
		if avoid = addEdges(avoid, []string{edge}); declined >= 2*maxOffers || !slices.Contains(avoid, edge) {
			return nil, "", wire.Errorf(wire.NoEdge, "all edges at hand are suspended")
		}
	}
}

// addEdges adds to a list of edges to avoid, as far as a relay takes them.
func addEdges(list, more []string) []string {
	for _, edge := range more {
		if !slices.Contains(list, edge) && len(list) < wire.MaxAvoid {
			list = append(list, edge)
		}
	}
	return list
}

// order is the batch in the edge's terms.
func (b *batch) order() fetch.Batch {
	o := fetch.Batch{
		Job: b.l.job.wireID(), Delay: b.l.delay, Agent: b.c.cfg.Agent, MaxBody: int64(b.c.cfg.MaxBody),
		Deadline: min(time.Duration(len(b.l.items))*(b.l.delay+b.c.cfg.PageTimeout)+b.c.cfg.PageTimeout, maxDeadline),
	}
	for _, it := range b.l.items {
		o.URLs = append(o.URLs, it.url)
	}
	return b.c.signed(o)
}

// patience is how long an edge may take for the next page: robots.txt, the page, and the pause before.
func (b *batch) patience() time.Duration {
	return max(b.l.delay, min(b.patient, longestDelay)) + 2*b.c.cfg.PageTimeout
}

// arrive takes one page. It returns when the page is being read, which may be when another has been:
// so at most one unread body a stream is held.
func (b *batch) arrive(ctx context.Context, a arrival) {
	b.arrived[a.Index] = true
	a.bytes = b.bill.page()
	if a.edge != "" && a.Status != 0 && !b.c.cfg.Verify(a.edge, a.Attest, a.Sig) {
		b.tampered(ctx, a)
		return
	}
	if a.edge != "" && b.c.changedCanary(a) {
		b.accused(ctx, a, "canary", "it changed a page whose content is known")
		return
	}
	b.tempo.note(a)
	b.patient = max(b.patient, min(a.CrawlDelay, longestDelay))
	b.pause = max(b.pause, min(a.RetryAfter, maxBackoff))
	switch code := a.cause(); {
	case unreached(code):
		b.trouble = code
	case a.Code == wire.OK && busyStatus(a.Status):
		b.trouble = wire.TargetClosed
	case a.Code == wire.OK:
		b.reached = true
	}
	if a.revalidated() {
		same, err := b.c.confirm(a)
		if err != nil {
			b.unconfirmed(a, err)
			return
		}
		a = same
	}
	if a.edge != "" && a.Status != 0 {
		b.c.edges.page(a.edge)
	}
	if a.edge != "" && a.Code == wire.OK && !busyStatus(a.Status) && b.sampled(a) {
		switch {
		case len(b.audits) == 0 || b.auditBytes+len(a.Body) <= maxAuditBytes:
			b.audits = append(b.audits, a) // after the stream: two requests at a time would be rude
			b.auditBytes += len(a.Body)
			return
		case b.c.edges.watched(a.edge):
			b.settle(outcome{job: b.l.job, item: a.item, fate: wait, ready: b.c.cfg.Clock(), avoid: a.item.avoid})
			return
		}
	}
	a.audited = auditSkipped
	b.read(ctx, a)
}

// read reads and settles a page beside the stream.
func (b *batch) read(ctx context.Context, a arrival) {
	if b.hold(ctx, a) {
		return
	}
	select {
	case b.c.readers <- struct{}{}:
	case <-ctx.Done():
		return // it stays queued
	}
	b.working.Go(func() {
		o := b.c.read(ctx, b.l, a)
		<-b.c.readers
		if ctx.Err() != nil && o.fate == fail {
			return // shutting down may be why
		}
		if a.edge != "" && unreached(a.cause()) {
			b.c.edges.failed(a.edge, a.item.id)
		}
		if o.fate != retry && o.fate != wait {
			b.c.edges.settled(a.item.id, b.l.host, o.fate == deliver)
		}
		if b.settle(o) == deliver {
			b.bill.delivered.Add(a.bytes)
		}
	})
}

func (b *batch) settle(o outcome) fate {
	end, err := b.c.settle(o)
	b.note(err)
	return end
}

// note keeps the first error of the store.
func (b *batch) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

// tampered has a page fetched again elsewhere, and tells on the edge. That the page agrees with its
// attestation fetch.Remote has seen to; here the signature was not the edge's.
func (b *batch) tampered(ctx context.Context, a arrival) {
	b.accused(ctx, a, "forged", "the signature over a page is not the edge's")
}

// accused has a page fetched again elsewhere that came with the proof against its edge.
func (b *batch) accused(ctx context.Context, a arrival, verdict, reason string) {
	b.suspect(ctx, a.edge, verdict, reason)
	o := outcome{job: b.l.job, item: a.item, code: codeTampered, owner: wire.OwnerEdge, detail: "no edge delivered what it signed"}
	o.again(a.edge, 0, b.c.cfg)
	b.settle(o)
}

// suspect reports an edge that did not sign what it sent, and counts under what it was caught.
func (b *batch) suspect(ctx context.Context, edge, verdict, reason string) {
	b.c.metrics.audits.WithLabelValues(verdict).Inc()
	guilty, err := b.c.edges.forged(edge)
	if err != nil {
		b.c.cfg.Log.Error("what an edge did cannot be noted", "edge", edge, "error", err)
	}
	if guilty {
		b.c.cfg.Suspect(ctx, edge, reason)
		b.note(b.c.forgetEdge(edge))
	}
}

// missing settles the items that did not come: the first of them may be why, so it counts as tried;
// the others simply stay queued.
func (b *batch) missing(edge string, err error) {
	first := slices.Index(b.arrived, false)
	if first < 0 || errors.Is(err, context.Canceled) {
		return
	}
	if err == nil {
		err = errMissing
	}
	code := wire.CodeOf(err)
	if code == wire.Internal || ofAccount(code) { // the stream broke; what the account may have is asked with the next
		code = wire.EdgeGone
	}
	for i := first; i < len(b.arrived); i++ {
		if b.arrived[i] {
			continue
		}
		o := outcome{job: b.l.job, item: b.l.items[i]}
		o.failure(code, "")
		if judge(code) == wait {
			o.fate, o.ready = wait, b.c.cfg.Clock().Add(b.c.cfg.RetryDelay)
			o.avoid = append(slices.Clone(o.item.avoid), edge)
		} else {
			o.again(edge, 0, b.c.cfg)
		}
		b.settle(o)
		if o.fate != wait {
			return
		}
	}
}

// noRoad is for a batch that no edge took: nothing was tried, so nothing counts as an attempt, and the
// job waits. Unless its account is the reason.
func (b *batch) noRoad(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	b.c.metrics.roads.WithLabelValues(wire.CodeOf(err).Name()).Inc()
	if code := wire.CodeOf(err); judge(code) == ruin {
		o := outcome{job: b.l.job, item: b.l.items[0], fate: ruin}
		o.failure(code, "")
		b.settle(o)
		return
	}
	b.pause = max(b.pause, b.c.cfg.RetryDelay)
	if err := b.c.store.update(func(tx *tx) error { return tx.hold(b.l.job.id, wire.CodeOf(err), b.c.cfg.Clock()) }); err != nil {
		b.err = fmt.Errorf("note that no edge was to be had: %w", err)
	}
}

// concludeHost learns from the batch as a whole how the host is doing. One that has not been reached
// for long is given up for this job, so that a dead site ends a crawl in minutes.
func (b *batch) concludeHost() {
	if b.patient > 0 || b.reached {
		b.l.crawlDelay = b.patient
	}
	b.tempo.conclude(b.l, b.c.cfg)
	b.pause = max(b.pause, b.l.crawlDelay)
	if b.tempo.busy {
		b.pause = max(b.pause, b.l.spacing(b.c.cfg))
	}
	switch {
	case b.reached:
		b.l.failures = 0
	case b.trouble != wire.OK:
		b.l.failures++
		if b.trouble != wire.DNSNotFound { // waiting spares nobody where there is no host
			b.pause = max(b.pause, backoff(b.c.cfg.RetryDelay, b.l.failures))
		}
	}
	if b.l.failures < maxHostFailures || b.err != nil {
		return
	}
	b.l.failures = maxHostFailures / 2 // the next job finds out sooner, but for itself
	b.err = b.c.abandon(b.l, b.trouble)
}
