package crawler

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"sward/crawler/fetch"
	"sward/crawler/link"
	"sward/crawler/rights"
	"sward/crawler/text"
	"sward/crawler/warc"
	"sward/internal/wire"
)

// maxPrice is in bytes, of a pay-per-crawl price that is shown to the partner.
const maxPrice = 64

// arrival is a page as one road brought it.
type arrival struct {
	fetch.Result
	item    item
	asked   string
	edge    string // who attested it; empty if it was fetched from here
	exit    string // through whose connection it came
	audited string // auditMatch, …
	sum     [32]byte
	simhash uint64      // of the text
	bytes   int64       // that crossed the road for it
	witness http.Header // of the answer that another road had for the same page; nil: there was none

	recalled  bool          // from memory alone: nobody was asked
	confirmed *confirmation // the body is memory's, and the site says that it is still so
	revisit   *warcPlace    // of the record that says so, or found it out
}

func (a arrival) contentType() string {
	if h, err := a.Header(); err == nil {
		return text.Line(h.Get("Content-Type"), 200)
	}
	return ""
}

// truncated is the reason in WARC's words.
func (a arrival) truncated() string {
	switch {
	case a.Flags&(wire.PageWireTruncated|wire.PageDecodedTruncated) != 0:
		return "length"
	case a.Flags&wire.PageTimeTruncated != 0:
		return "time"
	}
	return ""
}

// read turns a page into what becomes of its address. Nothing is stored yet except in the archive,
// where a page that is not settled is only a page too much.
func (c *Crawler) read(ctx context.Context, l *lease, a arrival) (o outcome) {
	o = outcome{job: l.job, item: a.item}
	start := a.item.kind == kindPage && a.asked == l.job.base
	sc := l.scope
	defer func() {
		if start && l.job.kind.discovers() && (o.fate == deliver || o.fate == skip || o.fate == fail) {
			if base, err := url.Parse(sc.base); err == nil {
				o.links = append(sc.seeds(c.cardOf(ctx, base)), o.links...)
			}
		}
	}()
	if a.Code != wire.OK {
		c.refused(ctx, &o, a)
		return o
	}
	if a.item.kind != kindPage {
		o.fate = skip
		if a.Status == http.StatusOK {
			o.links = sc.readSeed(a)
		} else if busyStatus(a.Status) {
			o.again("", a.RetryAfter, c.cfg)
		}
		return o
	}
	final, err := link.Canonical(a.URL, nil)
	if err != nil {
		o.fate = fail
		o.failure(wire.RedirectDenied, "it redirects to an address that cannot be crawled")
		return o
	}
	if final != a.asked {
		o.final = final
		if start {
			o.moved = true
			if sc, err = newScope(l.job.order, final); err != nil {
				o.fate, o.code, o.owner, o.detail = fail, codeScope, wire.OwnerTarget, err.Error()
				return o
			}
		}
	}
	at, err := url.Parse(final)
	if err != nil || !start && l.job.kind != Batch && !sc.covers(at) {
		o.fate, o.code, o.owner, o.detail = fail, codeScope, wire.OwnerTarget, "it redirects to where the job does not go"
		return o
	}
	if rule, denied := c.cardOf(ctx, at).denies(c.cfg.Agent, at); denied { // its edge was shown another robots.txt
		o.fate = fail
		o.failure(wire.RobotsDenied, text.Line("robots.txt: "+rule, wire.MaxRule))
		o.note = a.forgotten()
		return o
	}
	if a.Status == http.StatusNotFound || a.Status == http.StatusGone {
		c.withdraw(&o, at, nil)
		o.note = a.forgotten()
	}
	if !c.acceptable(&o, a) {
		return o
	}
	c.extract(ctx, l, &o, sc, a, at)
	return o
}

// refused judges a page that did not come.
func (c *Crawler) refused(ctx context.Context, o *outcome, a arrival) {
	code := a.cause()
	if a.edge != "" && ofAccount(code) {
		code = wire.ProtocolError // how the account stands is not an edge's to say: its word would end the job
	}
	o.failure(code, "")
	if a.Code == wire.RobotsDenied && a.Rule != "" {
		o.detail = text.Line("robots.txt: "+a.Rule, wire.MaxRule)
		o.note = a.forgotten()
	}
	switch o.fate = judge(code); o.fate {
	case retry:
		o.again(a.exit, a.RetryAfter, c.cfg)
	case fail:
		// A failure carries no attestation, and an idle edge could invent it: another has to agree, or what the site says.
		if a.edge != "" && a.item.attempt == 0 && !c.agreed(ctx, a) {
			o.again(a.edge, 0, c.cfg)
		}
	case wait:
		o.ready = c.cfg.Clock().Add(c.cfg.RetryDelay)
		o.avoid = append(append([]string(nil), a.item.avoid...), a.exit)
	}
}

// agreed reports that the site's own robots.txt, as the hub has seen it, forbids what an edge says it forbids.
func (c *Crawler) agreed(ctx context.Context, a arrival) bool {
	at, err := url.Parse(a.asked)
	if a.Code != wire.RobotsDenied || err != nil {
		return false
	}
	_, denied := c.cardOf(ctx, at).denies(c.cfg.Agent, at)
	return denied
}

// acceptable judges the status. Whoever scrapes one page wants to see what there is, whatever its
// status; a crawl delivers, and charges for, pages only.
func (c *Crawler) acceptable(o *outcome, a arrival) bool {
	if a.Status < 300 {
		return true
	}
	o.status(a.Status)
	if h, err := a.Header(); err == nil && a.Status == http.StatusPaymentRequired && h.Get("Crawler-Price") != "" {
		o.fate, o.code, o.price = fail, codePayment, text.Line(h.Get("Crawler-Price"), maxPrice)
		o.detail = "the site asks " + o.price + " for the page, and nobody pays unasked"
		return false
	}
	if busyStatus(a.Status) {
		o.again("", a.RetryAfter, c.cfg)
	} else {
		o.fate = fail
	}
	return o.fate == fail && o.job.kind == Scrape
}

// extract reads the text, decides what may be done with it, archives the exchange and makes the
// document.
func (c *Crawler) extract(ctx context.Context, l *lease, o *outcome, sc *scope, a arrival, at *url.URL) {
	order := o.job.order.Scrape
	t, err := contentOf(ctx, order, a, at)
	if err != nil {
		o.fate, o.code, o.owner, o.detail = fail, codeUnsupported, wire.OwnerTarget, "the answer could not be read as a page"
		if errors.Is(err, text.ErrNotText) {
			o.detail = "the answer is not text"
		}
		return
	}
	header, err := a.Header()
	if err != nil {
		header = http.Header{}
	}
	if a.witness != nil {
		header = rights.Both(header, a.witness)
	}
	rights := rights.Read(header, t, at.RequestURI(), c.cardOf(ctx, at).terms())
	if o.job.kind.discovers() && o.job.order.Sitemap != "only" && !rights.NoFollow() {
		o.links = sc.links(t.Links, a.item.depth+1) // of a page that is withheld too: to follow a link is none of the uses
	}
	if o.withheld(rights) {
		if rights.NoIndex() {
			c.withdraw(o, at, nil)
		}
		return
	}
	if o.unworthy(a, t, at) {
		return
	}
	if !sc.delivers(at) { // the start page of a job whose patterns leave it out
		o.fate = skip
		return
	}
	if o.job.kind == Map { // the address is what is delivered
		o.fate = deliver
		return
	}
	a.sum = sha256.Sum256(a.Body)
	archived := exchange(a, at.String())
	if order.wants(FormatWARC) && order.wants(FormatMarkdown) {
		archived.Conversion = []byte(t.Markdown)
	}
	if o.place, o.beside, err = c.keep(&a, archived); err != nil {
		c.metrics.archiveErrors.Inc()
		o.fate, o.ready = wait, c.cfg.Clock().Add(storePause)
		return
	}
	o.fate = deliver
	o.likeness = newLikeness(at.String(), t.Plain, a.sum)
	a.simhash = o.likeness.simhash
	o.free, o.note = a.recalled, c.noteOf(o, a, rights, t.Extractor, at.String())
	o.bytes = int64(len(a.Body))
	d := newDocument(o.job, a, t, rights, o.place, at.String())
	c.addPicture(ctx, l, &d, a, at)
	if o.document, err = c.prove(d, a); err != nil {
		o.fate, o.code, o.owner, o.detail = fail, codeUnsupported, wire.OwnerTarget, "the document could not be written"
		return
	}
	var also []string
	if o.job.order.similarAreSame() {
		also = link.Spellings(at)
	}
	// A scrape is one address that a partner named, perhaps with a token of theirs in it: what everybody may search is what
	// a crawl found by following links.
	// So is the page at which a crawl begins, unless it is a front page.
	crawled := o.job.kind == Crawl && memoryOwner(o.job, a.asked) == ""
	if rights.NoIndex() {
		c.withdraw(o, at, also)
	} else if c.cfg.Store != nil && crawled && a.Status < 300 && !order.textless() {
		o.page = packPage(Page{
			URL: at.String(), Title: t.Title, Description: t.Description, Language: t.Language, Text: t.Plain,
			Headings: t.Headings, Fetched: a.Started, Edge: a.exit, SHA256: fmt.Sprintf("%x", a.sum), Simhash: o.likeness.simhash,
			Also: also,
		})
	}
}

// contentOf reads as much of a page as its job asked for.
func contentOf(ctx context.Context, order ScrapeOptions, a arrival, at *url.URL) (text.Content, error) {
	if order.textless() {
		t, err := text.Scan(a.Body, a.contentType(), at, text.Options{})
		if errors.Is(err, text.ErrNotText) {
			return text.Content{}, nil // an archive holds everything, and a picture leads nowhere
		}
		return t, err
	}
	options := text.Options{MainOnly: order.mainOnly(), IncludeTags: order.IncludeTags, ExcludeTags: order.ExcludeTags}
	t, err := text.Extract(ctx, a.Body, a.contentType(), at, options)
	if errors.Is(err, text.ErrBudget) {
		// A book in one page, or a busy machine: the whole page costs a quarter of finding its main content, and a page
		// with too much in it is better than none.
		options.MainOnly, options.Budget = false, text.LongestBudget
		t, err = text.Extract(ctx, a.Body, a.contentType(), at, options)
	}
	return t, err
}

// withdraw has the index forget a page that an earlier crawl may have put there.
func (c *Crawler) withdraw(o *outcome, at *url.URL, also []string) {
	if c.cfg.Store != nil {
		o.page = packPage(Page{URL: at.String(), Also: also, Withdrawn: true})
	}
}

// exchange is the page as the archive keeps it, with the signed statement beside it.
func exchange(a arrival, final string) warc.Exchange {
	x := warc.Exchange{
		URL: final, Started: a.Started, Request: a.Request, Response: a.Response, Body: a.Body, Truncated: a.truncated(),
		Metadata: map[string]string{"Sward-Exit": headerSafe(a.exit), "Sward-Audited": a.audited},
	}
	if a.Address.IsValid() {
		x.Address = a.Address.Unmap().String()
	}
	if !bytes.HasPrefix(x.Response, []byte("HTTP/")) {
		x.Response = fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n\r\n", a.Status, http.StatusText(a.Status))
	}
	if a.edge != "" {
		x.Metadata["Sward-Edge"] = headerSafe(a.edge)
		x.Metadata["Sward-Attest"] = base64.StdEncoding.EncodeToString(a.Attest)
		x.Metadata["Sward-Signature"] = base64.StdEncoding.EncodeToString(a.Sig)
	}
	return x
}

func headerSafe(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }
