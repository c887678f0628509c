package crawler

import (
	"context"
	"net/url"
	"slices"

	"sward/crawler/link"
	"sward/crawler/rights"
	"sward/crawler/text"
	"sward/internal/wire"
)

// spare settles the pages that a card already forbids, without asking their site for them, and leaves the others in the
// lease. TDMRep is left to the page: its header may free what the file of the site reserves.
func (b *batch) spare(ctx context.Context) {
	b.l.items = slices.DeleteFunc(b.l.items, func(it item) bool {
		at, err := url.Parse(it.url)
		if err != nil {
			return false
		}
		known := b.c.cardOf(ctx, at)
		o := outcome{job: b.l.job, item: it}
		if rule, denied := known.denies(b.c.cfg.Agent, at); denied {
			o.fate = fail
			o.failure(wire.RobotsDenied, text.Line("robots.txt: "+rule, wire.MaxRule))
		} else if it.kind != kindPage || known == nil || !o.reserved(rights.Read(noHeader, text.Content{}, at.RequestURI(),
			&rights.Files{Origin: known.origin, Robots: known.files.Robots, Licences: known.files.Licences})) {
			return false
		}
		if it.kind == kindPage && it.url == b.l.job.base && b.l.job.kind.discovers() {
			o.links = b.l.scope.seeds(known)
		}
		b.settle(o)
		return true
	})
	b.arrived = make([]bool, len(b.l.items))
}

// hold keeps an arrival until the stream has ended, if a look is needed before it can be judged: at an origin that a redirect
// led to, or again at one where an edge met a robots.txt that forbids what the card allows. It reports whether it was kept.
func (b *batch) hold(ctx context.Context, a arrival) bool {
	if b.releasing || a.item.kind != kindPage {
		return false
	}
	asked, err := url.Parse(a.asked)
	if err != nil {
		return false
	}
	switch a.Code {
	case wire.OK:
		final, err := url.Parse(a.URL)
		if err != nil || b.c.cardOf(ctx, final) != nil || reachable(final) != nil {
			return false
		}
	case wire.RobotsDenied:
		if _, agreed := b.c.cardOf(ctx, asked).denies(b.c.cfg.Agent, asked); agreed || a.edge == "" {
			return false
		}
	default:
		return false
	}
	if b.auditBytes += len(a.Body); b.auditBytes > maxAuditBytes {
		o := outcome{job: b.l.job, item: a.item, fate: wait, ready: b.c.cfg.Clock().Add(b.c.cfg.RetryDelay)}
		b.settle(o)
		return true
	}
	b.held = append(b.held, a)
	return true
}

// release takes the looks that the held arrivals wait for, after the host's delay, and has them read.
func (b *batch) release(ctx context.Context) {
	b.releasing = true
	for _, a := range b.held {
		address := a.URL
		if a.Code == wire.RobotsDenied {
			address = a.asked
		}
		at, err := url.Parse(address)
		host, _ := link.HostOf(address)
		domain := domainOf(host)
		if err != nil || !sleep(ctx, b.l.delay) {
			return // it stays queued
		}
		if domain != b.l.domain && !b.c.frontier.takeDomain(domain) {
			b.settle(outcome{job: b.l.job, item: a.item, fate: wait, ready: b.c.cfg.Clock().Add(b.c.cfg.RetryDelay)})
			continue
		}
		edge, err := b.look(ctx, originOf(at), a.Code == wire.RobotsDenied)
		if domain != b.l.domain {
			b.c.frontier.freeDomain(domain)
		}
		switch {
		case ctx.Err() != nil:
			return
		case judge(wire.CodeOf(err)) == wait: // nobody to look through, or the licence's host is busy
			b.settle(outcome{job: b.l.job, item: a.item, fate: wait, ready: b.c.cfg.Clock().Add(b.c.cfg.RetryDelay)})
		case err != nil:
			o := outcome{job: b.l.job, item: a.item}
			o.failure(wire.CodeOf(err), "")
			o.again(edge, 0, b.c.cfg)
			b.settle(o)
		default:
			b.read(ctx, a)
		}
	}
}
