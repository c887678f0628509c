package crawler

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sward/crawler/fetch"
	"sward/crawler/link"
	"sward/crawler/warc"
	"sward/internal/wire"
)

// codeNotRemembered is the failure of a partner who asked for memory alone.
const codeNotRemembered = "no_cached_data"

// confirmation is a site's word that a page is still what is remembered of it, and the edge's statement of that word.
type confirmation struct {
	Edge      string `json:"edge,omitempty"` // empty if it was asked from here
	Exit      string `json:"exit"`
	Attest    []byte `json:"attest,omitempty"` // over status 304 and no body
	Signature []byte `json:"signature,omitempty"`
	At        string `json:"at"`

	head []byte // of the 304
}

// recall takes out of the lease what memory can answer, before anybody is asked. It comes back as an arrival, so that it is
// read, judged and settled like a page from the site, and what a job may not have it does not get from memory either. What
// the site says of itself may be older than a day: then its page stays in the lease until somebody has looked.
func (b *batch) recall(ctx context.Context, looked bool) error {
	if b.l.job.kind == Map {
		return nil // it wants addresses, and no page
	}
	var pages []string
	for _, it := range b.l.items {
		if it.kind == kindPage {
			pages = append(pages, it.url)
		}
	}
	known, err := b.c.memoriesOf(ctx, b.l.job.account.ID, pages...)
	if err != nil {
		return err
	}
	var asked []item
	for _, it := range b.l.items {
		if it.kind != kindPage {
			asked = append(asked, it)
			continue
		}
		m := known[it.url]
		if !looked && b.c.outdated(ctx, m) {
			b.outdated = true
			asked = append(asked, it)
			continue
		}
		a, outcome, err := b.c.remind(b.l.job, &it, m)
		switch {
		case err != nil:
			return err
		case outcome != nil:
			b.settle(*outcome)
		case a != nil:
			b.read(ctx, *a)
		default:
			asked = append(asked, it)
		}
	}
	b.l.items = asked
	return nil
}

// outdated reports that the word of a page's site on its use has to be asked for before the page is handed out again.
func (c *Crawler) outdated(ctx context.Context, m *remembered) bool {
	if m == nil {
		return false
	}
	at, err := url.Parse(m.url)
	if err != nil {
		return true
	}
	_, stale, err := c.sites.card(ctx, originOf(at))
	return stale || err != nil
}

// ask is the order with the conditions under which its pages need not come.
func (b *batch) ask() fetch.Batch {
	o := b.order()
	for i, it := range b.l.items {
		o.Fields = append(o.Fields, it.known.conditions(i)...)
	}
	return o
}

// remind answers an address with what is known of it: an arrival if that will do, an outcome if the partner wants nothing
// else. What is known but has to be asked for again stays with the item.
func (c *Crawler) remind(j *job, it *item, m *remembered) (*arrival, *outcome, error) {
	o := j.order.Scrape
	if m != nil && m.how.Audited != auditMatch && c.edges.watched(m.how.Edge) {
		m = nil // nothing of an edge under watch is delivered unchecked, nor its word taken for what to ask
	}
	if m != nil && j.order.tunnel() && m.how.Edge != "" {
		m = nil // the partner wants TLS to end here, and an edge brought the body
	}
	_, pictured := o.pictured() // what belongs to the page has to be asked for in any case, in the host's turn
	if m != nil && !pictured && m.serves(o, c.cfg.Clock(), c.cfg.Fresh) {
		a, err := c.revive(*it, m)
		if err == nil {
			c.metrics.memory.WithLabelValues("hit").Inc()
			return &a, nil, nil
		}
		if err := c.lose(m, err); err != nil {
			return nil, nil, err
		}
		m = nil
	}
	if o.MinAge > 0 {
		miss := &outcome{job: j, item: *it, fate: fail, code: codeNotRemembered, owner: wire.OwnerClient}
		miss.detail = "nothing is remembered of this address that is as old as was asked for"
		return nil, miss, nil
	}
	it.known = m
	return nil, nil, nil
}

// lose forgets a page whose record the archive does not give back: it will be fetched as if it was new.
func (c *Crawler) lose(m *remembered, cause error) error {
	c.metrics.memory.WithLabelValues("lost").Inc()
	c.cfg.Log.Warn("a remembered page is of no use, it is forgotten", "file", m.place.File, "error", cause)
	return c.store.update(func(tx *tx) error {
		_, err := tx.do("DELETE FROM memory WHERE key = ?", m.key)
		return err
	})
}

// revive is the page as it came.
func (c *Crawler) revive(it item, m *remembered) (arrival, error) {
	head, body, err := c.reread(m)
	if err != nil {
		return arrival{}, err
	}
	it.known = m
	a := arrival{item: it, asked: it.url, recalled: true}
	a.Result = fetch.Result{Code: wire.OK, Status: http.StatusOK, URL: m.url, Response: head, Body: body}
	return a.withHistory(m.how), nil
}

// reread is the head and the body that the archive has of a page.
func (c *Crawler) reread(m *remembered) (head, body []byte, err error) {
	r, err := c.archive.Record(m.place)
	if err != nil {
		return nil, nil, fmt.Errorf("read remembered page: %w", err)
	}
	if r.Type != "response" || r.ID != m.place.ID {
		return nil, nil, errors.New("read remembered page: the archive has another record in its place")
	}
	head, body = r.Payload()
	if sha256.Sum256(body) != m.payload {
		return nil, nil, errors.New("read remembered page: the archive has another body in its place")
	}
	return warc.ReceivedHeader(head), body, nil
}

// withHistory is a with the circumstances of the fetch that brought its body.
func (a arrival) withHistory(h history) arrival {
	a.edge, a.exit, a.audited = h.Edge, h.Exit, h.Audited
	a.Attest, a.Sig, a.Hops, a.Rule, a.Address = h.Attest, h.Sig, h.Hops, h.Rule, h.Address
	a.Started, a.Took = h.Started, h.Took
	return a
}

// confirm makes of a 304 the page that it speaks of. An edge could say so of any page without asking, so it stays the one
// whose word it is: the sample compares its body with a second road's like every other.
func (c *Crawler) confirm(a arrival) (arrival, error) {
	head, body, err := c.reread(a.item.known)
	if err != nil {
		return a, err
	}
	a.confirmed = &confirmation{
		Edge: a.edge, Exit: a.exit, Attest: a.Attest, Signature: a.Sig, At: a.Started.UTC().Format(time.RFC3339Nano), head: a.Response,
	}
	a.Status, a.Response, a.Body = http.StatusOK, head, body
	c.metrics.memory.WithLabelValues("confirmed").Inc()
	return a, nil
}

// confirmedAgain reports whether another road hears too that a page did not change. Then the edge has said what the site
// says, and if what is remembered differs from the page, it is not this edge's doing.
func (b *batch) confirmedAgain(ctx context.Context, first arrival, road *tunnel) (so bool) {
	if first.confirmed == nil || !sleep(ctx, b.l.delay) {
		return false
	}
	ask := b.one(first.asked)
	ask.Fields = append(ask.Fields, first.item.known.conditions(0)...)
	err := road.fetcher.Fetch(ctx, ask, func(r fetch.Result) error {
		so = r.Code == wire.OK && r.Status == http.StatusNotModified
		return nil
	})
	if err != nil || !so {
		return false
	}
	b.note(b.c.lose(first.item.known, errors.New("its site has another text for the same validators")))
	return true
}

// unconfirmed is for a page that is the same as one which the archive has lost: it is asked for once more, as a whole.
func (b *batch) unconfirmed(a arrival, cause error) {
	if err := b.c.lose(a.item.known, cause); err != nil {
		b.note(err)
		return
	}
	o := outcome{job: b.l.job, item: a.item}
	o.status(a.Status)
	o.again("", 0, b.c.cfg)
	b.settle(o)
}

// revalidated reports a 304 that answers the condition which was sent. Where a redirect led none was: such a 304 would have
// another site's address stand over what is remembered.
func (a arrival) revalidated() bool {
	return a.Code == wire.OK && a.Status == http.StatusNotModified && len(a.Hops) == 0 && len(a.item.known.conditions(0)) > 0
}

// origin is a as the fetch that its body is from: what a document's provenance tells. An audit of today speaks of the
// same body.
func (a arrival) origin() arrival {
	if a.confirmed == nil {
		return a
	}
	o := a.withHistory(a.item.known.how)
	if a.audited == auditMatch {
		o.audited = a.audited
	}
	return o
}

// Header is the page's head, with what a 304 said anew about it (RFC 9111 §3.2): rights may have been withdrawn from a
// page that is otherwise the same.
func (a arrival) Header() (http.Header, error) {
	h, err := a.Result.Header()
	if err != nil || a.confirmed == nil {
		return h, err
	}
	fresh, err := fetch.Result{Response: a.confirmed.head}.Header()
	if err != nil {
		return h, nil //nolint:nilerr // it says nothing
	}
	for name, values := range fresh {
		switch name {
		case "Content-Type", "Content-Encoding", "Content-Length", "Content-Range", "Transfer-Encoding":
		default:
			h[name] = values
		}
	}
	return h, nil
}

// keep archives an exchange, and tells where the page's body is, in an earlier record if it did not change since, and where
// what is this job's alone: the visit that found it unchanged, and what was made of it.
func (c *Crawler) keep(a *arrival, x warc.Exchange) (place, beside warc.Location, err error) {
	m := a.item.known
	switch {
	case a.recalled:
		beside, err = c.convert(x, m.place.ID)
		return m.place, beside, err
	case a.confirmed != nil:
		x.Response, x.Body = a.confirmed.head, nil
	case m == nil || m.payload != a.sum || m.url != x.URL || x.Truncated != "" || a.Status != http.StatusOK:
		alone := x
		alone.Conversion = nil // by itself: others may get the page, and have it in another form
		if place, err = c.archive.Write(alone); err == nil {
			beside, err = c.convert(x, place.ID)
		}
		return place, beside, err
	}
	x.Revisit = &warc.Original{ID: m.place.ID, URL: m.url, Date: m.fetched}
	if beside, err = c.archive.Write(x); err != nil {
		return place, beside, err
	}
	revisit := warcPlace(beside)
	a.revisit = &revisit
	return m.place, beside, nil
}

// convert archives what was made of a record's payload, if it is wanted.
func (c *Crawler) convert(x warc.Exchange, of string) (warc.Location, error) {
	if x.Conversion == nil {
		return warc.Location{}, nil
	}
	return c.archive.Convert(x, of)
}

// A scrape that memory can answer does not wait for its host's turn.
const maxReminders = 256 // scrapes in the queue; one that finds it full takes its turn at the host, and memory answers it there

// remindScrapes answers new scrapes until ctx ends.
func (c *Crawler) remindScrapes(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-c.reminding:
			if err := c.remindScrape(ctx, j); err != nil && ctx.Err() == nil {
				c.cfg.Log.Error("memory cannot be read, a scrape waits for its host", "error", err)
			}
		}
	}
}

// remindScrape settles the one address of a job if it can be. The scheduler may lease it meanwhile: who settles first has
// done it.
func (c *Crawler) remindScrape(ctx context.Context, j *job) error {
	it := item{kind: kindPage}
	err := c.store.row(ctx, "SELECT id, url FROM urls WHERE job = ? AND state = 0", j.id).Scan(&it.id, &it.url)
	if err != nil {
		return fmt.Errorf("read the address of a scrape: %w", err)
	}
	known, err := c.memoriesOf(ctx, j.account.ID, it.url)
	if err != nil {
		return err
	}
	if c.outdated(ctx, known[it.url]) {
		return nil // whoever leases the host looks
	}
	a, o, err := c.remind(j, &it, known[it.url])
	if err != nil || a == nil && o == nil {
		return err
	}
	if a != nil {
		host, err := link.HostOf(it.url)
		if err != nil {
			return err
		}
		sc, err := c.jobs.scope(j)
		if err != nil {
			return err
		}
		read := c.read(ctx, &lease{host: host, job: j, scope: sc, items: []item{it}}, *a)
		if ctx.Err() != nil {
			return ctx.Err() // it stays queued
		}
		o = &read
	}
	_, err = c.settle(*o)
	return err
}
