package crawler

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"sward/crawler/fetch"
	"sward/crawler/link"
	"sward/internal/wire"
)

// The files of a look, in the order in which they are asked for. One that its robots.txt forbids, or that is not there, says
// nothing.
var lookPaths = []struct {
	path string
	kind int
}{{"/robots.txt", fileRobots}, {"/.well-known/tdmrep.json", fileTDM}, {"/.well-known/ai.txt", fileAI}}

const (
	maxLookBytes   = 512 << 10              // of one file: more than is read of a robots.txt
	maxLicenceWait = 30 * time.Second       // for the host of a licence: the lease, and its host, wait meanwhile
	licencePoll    = 250 * time.Millisecond // whether that host is free
)

var (
	errSilent      = errors.New("the site does not answer") // ends a look at it
	errLicenceBusy = wire.Errorf(wire.HubAway, "the host of the site's licence is busy")
)

// lookFirst has the cards of the lease's origins before its pages are fetched. It reports whether they may be fetched now.
func (b *batch) lookFirst(ctx context.Context) bool {
	var looked []string
	for _, it := range b.l.items {
		u, err := url.Parse(it.url)
		if err != nil || slices.Contains(looked, originOf(u)) {
			continue
		}
		looked = append(looked, originOf(u))
		if edge, err := b.look(ctx, originOf(u), false); err != nil {
			if ctx.Err() == nil {
				b.noLook(ctx, originOf(u), edge, err)
			}
			return false
		}
	}
	return ctx.Err() == nil
}

// noLook is for a road that broke in front of the pages: they wait as if it had broken among them. Where the edge refused the
// origin itself, its pages have their answer, if another edge says the same.
func (b *batch) noLook(ctx context.Context, origin, edge string, err error) {
	code := wire.CodeOf(err)
	switch {
	case edge == "":
		b.noRoad(ctx, err)
		return
	case judge(code) != fail:
		b.missing(edge, err)
		return
	}
	for _, it := range b.l.items {
		if u, err := url.Parse(it.url); err != nil || originOf(u) != origin {
			continue
		}
		o := outcome{job: b.l.job, item: it, fate: fail}
		o.failure(code, "")
		if it.attempt == 0 {
			o.again(edge, 0, b.c.cfg)
		}
		b.settle(o)
	}
}

// look brings the card of an origin up to date if it is stale, or if an edge has contradicted it (doubt): then through an edge
// that has not looked yet. An error is the road's, with the edge at its end; a site that does not answer is none.
func (b *batch) look(ctx context.Context, origin string, doubt bool) (edge string, err error) {
	s := b.c.sites
	for {
		known, stale, err := s.card(ctx, origin)
		if err != nil {
			return "", err
		}
		if !stale && (!doubt || known.looks >= maxLooks) {
			return b.lookAtLicences(ctx, known)
		}
		mine, ended := s.begin(origin)
		if mine {
			break
		}
		doubt = false // the other's look is news enough
		select {
		case <-ended:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	edge, err = b.lookAtFiles(ctx, origin, doubt)
	s.end(origin)
	if err != nil {
		return edge, err
	}
	known, _, err := s.card(ctx, origin)
	if err != nil || known == nil {
		return "", err
	}
	return b.lookAtLicences(ctx, known)
}

// lookAtFiles asks an origin for its files and notes them.
func (b *batch) lookAtFiles(ctx context.Context, origin string, doubt bool) (edge string, err error) {
	var avoid []string
	if known, _, _ := b.c.sites.card(ctx, origin); doubt && known != nil {
		avoid = known.lookers
	}
	var urls []string
	for _, f := range lookPaths {
		urls = append(urls, origin+f.path)
	}
	answered, found := false, []siteFile(nil)
	edge, err = b.getFiles(ctx, urls, avoid, func(a arrival) error {
		switch a.Index {
		case 0:
			code := a.cause()
			if unreached(code) {
				return errSilent
			}
			if code != wire.OK && code.Owner() != wire.OwnerTarget {
				return wire.Errorf(code, "the edge did not look") // its owner's rules, its trouble
			}
			answered = code != wire.OK || !busyStatus(a.Status)
			if !answered {
				return errSilent
			}
		}
		switch f := lookPaths[a.Index]; {
		case a.Code == wire.OK && a.Status/100 == 2 && (f.kind == fileRobots || !isHTML(a)):
			found = append(found, siteFile{origin, f.kind, a.Body})
		case a.absent():
			found = append(found, siteFile{origin: origin, kind: f.kind})
		}
		return nil
	})
	if err != nil && !errors.Is(err, errSilent) {
		return edge, err
	}
	return edge, b.c.sites.note(origin, edge, answered, found)
}

// absent reports the site's word that it has no such file. That it does not answer, or fails, says nothing of the file.
func (a arrival) absent() bool {
	switch a.Code {
	case wire.OK:
		return a.Status < 500 && !busyStatus(a.Status)
	case wire.RobotsDenied, wire.TooManyRedirects: // RFC 9309 §2.3.1.2
		return true
	}
	return false
}

// isHTML tells the page for people that many servers send for a file they do not have.
func isHTML(a arrival) bool {
	return bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("<")) || bytes.HasPrefix([]byte(a.contentType()), []byte("text/html"))
}

// lookAtLicences fetches the RSL documents that a card names, each once a day for the whole network.
func (b *batch) lookAtLicences(ctx context.Context, of *card) (edge string, err error) {
	for _, at := range of.licences(b.c.cfg.Agent) {
		host, err := link.HostOf(at)
		if err != nil {
			continue
		}
		if edge, err := b.lookAtLicence(ctx, at, domainOf(host)); err != nil {
			return edge, err
		}
		known, _, err := b.c.sites.card(ctx, at)
		if err != nil {
			return "", err
		}
		if known != nil && !known.fresh.Equal(of.licensed[at]) {
			b.c.sites.forget(of.origin) // its card is to have it
		}
	}
	return "", nil
}

// lookAtLicence fetches an RSL document if it is time. One that is at another host waits until nobody else is there, and the
// pages with it, which are not to be judged without.
func (b *batch) lookAtLicence(ctx context.Context, at, domain string) (edge string, err error) {
	end := time.Now().Add(maxLicenceWait)
	for {
		_, stale, err := b.c.sites.card(ctx, at)
		if err != nil || !stale {
			return "", err
		}
		if domain == b.l.domain {
			break
		}
		if b.c.frontier.takeDomain(domain) {
			defer b.c.frontier.freeDomain(domain)
			break
		}
		if time.Now().After(end) {
			return "", errLicenceBusy
		}
		if !sleep(ctx, licencePoll) {
			return "", context.Cause(ctx)
		}
	}
	if mine, ended := b.c.sites.begin(at); !mine {
		select {
		case <-ended:
			return "", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	defer b.c.sites.end(at)
	answered, found := false, []siteFile(nil)
	edge, err = b.getFiles(ctx, []string{at}, nil, func(a arrival) error {
		switch {
		case a.Code == wire.OK && a.Status/100 == 2:
			answered, found = true, append(found, siteFile{at, fileLicence, a.Body})
		case a.absent():
			found = append(found, siteFile{origin: at, kind: fileLicence})
		}
		return nil
	})
	if err != nil {
		return edge, err
	}
	return edge, b.c.sites.note(at, edge, answered, found)
}

// getFiles fetches files of one host over the road that the job asks for, politely, and waits the host's delay afterwards. Its
// error is the road's or each's own.
func (b *batch) getFiles(ctx context.Context, urls, avoid []string, each func(arrival) error) (edge string, err error) {
	o := fetch.Batch{
		Job: b.l.job.wireID(), URLs: urls, Delay: b.l.delay, Agent: b.c.cfg.Agent, MaxBody: maxLookBytes, MaxWire: maxLookBytes,
		Deadline: min(time.Duration(len(urls)+1)*(b.l.delay+b.c.cfg.PageTimeout), maxDeadline),
	}
	o = b.c.signed(o)
	ctx, cancel := context.WithTimeoutCause(ctx, o.Deadline+deadlineGrace, errStalled)
	defer cancel()
	defer sleep(ctx, b.l.delay)
	got := 0
	take := func(a arrival) error {
		if got++; a.edge != "" && a.Status != 0 && !b.c.cfg.Verify(a.edge, a.Attest, a.Sig) {
			b.suspect(ctx, a.edge, "forged", "the signature over a page is not the edge's")
			return wire.Errorf(wire.EdgeGone, "the signature over a file is not the edge's")
		}
		return each(a)
	}
	if b.l.job.order.tunnel() {
		road := b.c.newTunnel(b.l.job.account, avoid)
		err = road.fetcher.Fetch(ctx, o, func(r fetch.Result) error { return take(arrival{Result: r, exit: road.exit()}) })
		return road.exit(), err
	}
	conn, edge, err := b.openCrawl(ctx, avoid...)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	err = fetch.Remote(ctx, conn, o, func(r fetch.Result) error {
		if r.Index < 0 || r.Index >= len(urls) || r.Index != got {
			return wire.Errorf(wire.ProtocolError, "the edge sent file %d out of turn", r.Index)
		}
		return take(arrival{Result: r, edge: edge, exit: edge})
	})
	switch {
	case wire.CodeOf(err) == wire.ProtocolError:
		b.suspect(ctx, edge, "broken", "a page differs from its attestation, or the stream from the protocol")
	case err == nil && got < len(urls):
		err = errMissing
	}
	return edge, err
}

// cardOf is the card for an address, nil where there is none.
func (c *Crawler) cardOf(ctx context.Context, at *url.URL) *card {
	known, _, err := c.sites.card(ctx, originOf(at))
	if err != nil {
		return nil
	}
	return known
}

// noHeader is what is known of a page before it is fetched.
var noHeader = http.Header{}
