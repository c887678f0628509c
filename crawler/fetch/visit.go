package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gocolly/colly/v2"
	whatwg "github.com/nlnwa/whatwg-url/url"

	"sward/internal/wire"
	"sward/policy"
)

// urlParser is colly's own, so that what parseURL has settled stays as it is.
var urlParser = whatwg.NewParser(whatwg.WithPercentEncodeSinglePercentSign())

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// parseURL is the one form of a URL that is judged, sent and recorded: parsed as
// browsers do (WHATWG URL), http or https, without credentials or fragment, at most
// wire.MaxURL bytes, with a host and port that policy accepts.
func parseURL(raw string) (*url.URL, error) {
	parsed, err := urlParser.Parse(raw)
	if err != nil {
		return nil, wire.Errorf(wire.BadRequest, "the URL cannot be parsed")
	}
	u, err := url.Parse(parsed.Href(true))
	switch {
	case err != nil:
		return nil, wire.Errorf(wire.BadRequest, "the URL cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, wire.Errorf(wire.BadRequest, "the URL is neither http nor https")
	case u.User != nil:
		return nil, wire.Errorf(wire.BadRequest, "the URL holds a credential")
	case len(u.String()) > wire.MaxURL:
		return nil, wire.Errorf(wire.BadRequest, "the URL is longer than %d bytes", wire.MaxURL)
	}
	hostport := u.Host
	if u.Port() == "" {
		hostport += ":" + defaultPorts[u.Scheme]
	}
	if _, err := policy.ParseTarget(hostport); err != nil {
		return nil, err
	}
	return u, nil
}

// visit is one batch in progress. It is colly's http.RoundTripper, and so the door
// through which every request of the batch goes, redirects included. It belongs to the
// goroutine of Fetch: the collector is synchronous.
type visit struct {
	fetcher   *Fetcher
	batch     Batch
	transport *transport
	limits    limits
	collector *colly.Collector
	page      *page // in progress
}

var _ http.RoundTripper = (*visit)(nil)

// page is one URL in progress.
type page struct {
	index      int // in the batch
	asked      int // requests that colly made, redirects included
	answered   int // those that had an answer
	last       *exchange
	hops       []string // URLs answered before last
	content    []byte
	started    time.Time
	rule       string
	retryAfter time.Duration
	crawlDelay time.Duration
}

func newVisit(ctx context.Context, f *Fetcher, b Batch) *visit {
	c := f.config
	v := &visit{
		fetcher:   f,
		batch:     b,
		transport: newTransport(c, b.Agent),
		limits:    limits{wire: b.MaxWire, body: b.MaxBody, total: c.Timeout, idle: c.Idle},
		collector: new(colly.Collector), // Init, unlike NewCollector, does not read the environment
	}
	v.collector.Init()
	v.collector.Context = ctx
	v.collector.UserAgent = b.Agent
	v.collector.MaxBodySize = 0               // body has the limits, on both sides of the coding
	v.collector.AllowURLRevisit = true        // the frontier decides what is fetched twice
	v.collector.IgnoreRobotsTxt = true        // admit obeys it, on redirects too
	v.collector.ParseHTTPErrorResponse = true // every answer is a page, 203 and above included
	v.collector.DisableCookies()
	v.collector.SetRequestTimeout(0) // the transport has the deadlines
	v.collector.WithTransport(v)
	v.collector.SetRedirectHandler(func(_ *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return wire.Errorf(wire.TooManyRedirects, "more than %d redirects", maxRedirects)
		}
		return nil
	})
	v.collector.OnResponse(func(r *colly.Response) { v.page.content = r.Body })
	return v
}

// close ends the connections of the batch.
func (v *visit) close() { v.transport.http.CloseIdleConnections() }

// fetch gets one URL and never fails: the result says what happened.
func (v *visit) fetch(i int) Result {
	v.page = &page{index: i, started: v.fetcher.config.Now()}
	u, err := parseURL(v.batch.URLs[i])
	if err == nil {
		err = v.collector.Request(http.MethodGet, u.String(), nil, nil, nil)
	}
	return v.result(i, err)
}

// RoundTrip makes one exchange for colly, if every rule allows it. The response it
// returns leaves colly nothing to do: content decoded and bounded, no header but the
// one that redirects.
func (v *visit) RoundTrip(req *http.Request) (*http.Response, error) {
	p := v.page
	p.asked++
	u, err := parseURL(req.URL.String())
	if err != nil {
		return nil, err
	}
	if err := v.admit(req.Context(), u); err != nil {
		return nil, err
	}
	if p.last == nil {
		p.started = v.fetcher.config.Now()
	}
	x, err := v.transport.do(req.Context(), u, v.limits, v.fields(u))
	if err != nil {
		v.rest(u, 0)
		return nil, err
	}
	if p.last != nil {
		p.hops = append(p.hops, p.last.url.String())
	}
	p.last = x
	p.answered++
	p.retryAfter = retryAfter(x.status, x.header, v.fetcher.config.Now())
	return &http.Response{
		StatusCode: x.status,
		ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Location": x.header.Values("Location")},
		Body:          &visitBody{visit: v, exchange: x},
		ContentLength: -1,
		Uncompressed:  true,
		Request:       req,
	}, nil
}

// visitBody ends the exchange, and starts the host's rest, when colly closes it.
type visitBody struct {
	visit    *visit
	exchange *exchange
}

func (b *visitBody) Read(p []byte) (int, error) { return b.exchange.body.Read(p) }

func (b *visitBody) Close() error {
	b.visit.rest(b.exchange.url, b.visit.page.retryAfter)
	return b.exchange.close()
}

// admit is the door. The refusals stand in the order of their cost.
func (v *visit) admit(ctx context.Context, u *url.URL) error {
	if err := v.allow(u); err != nil {
		return err
	}
	p := v.page
	if u.RequestURI() != robotsPath {
		robots, err := v.fetcher.robots.get(ctx, u.Scheme+"://"+u.Host, func(ctx context.Context) (*Robots, error) {
			return v.readRobots(ctx, u)
		})
		if err != nil {
			return err
		}
		verdict := robots.Test(v.batch.Agent, u.RequestURI())
		p.rule, p.crawlDelay = verdict.Rule, robots.Delay(v.batch.Agent)
		if !verdict.Allowed {
			return wire.Errorf(wire.RobotsDenied, "%s", verdict.Rule)
		}
	}
	return v.fetcher.pace.wait(ctx, u.Hostname(), v.delay())
}

// allow asks the batch's owner. An error without a code of its own is the owner's
// word on the URL.
func (v *visit) allow(u *url.URL) error {
	if v.batch.Allow == nil {
		return nil
	}
	err := v.batch.Allow(u)
	if err == nil || errors.Is(err, policy.ErrDenied) {
		return err
	}
	if _, ok := errors.AsType[*wire.Error](err); ok {
		return err
	}
	return wire.Errorf(wire.DomainDenied, "%s", err)
}

func (v *visit) delay() time.Duration {
	return max(v.batch.Delay, min(v.page.crawlDelay, maxDelay))
}

// rest gives the host its delay, counted from the end of an exchange.
func (v *visit) rest(u *url.URL, atLeast time.Duration) {
	v.fetcher.pace.rest(u.Hostname(), max(v.delay(), atLeast))
}

// result turns what is known of the page into the outcome of URL i.
func (v *visit) result(i int, err error) Result {
	p := v.page
	r := Result{
		Index: i, URL: v.batch.URLs[i], Hops: p.hops, Rule: p.rule,
		Started: p.started, Took: v.fetcher.config.Now().Sub(p.started),
		RetryAfter: p.retryAfter, CrawlDelay: p.crawlDelay, Body: p.content,
	}
	if x := p.last; x != nil {
		r.URL, r.Status, r.Address = x.url.String(), x.status, x.address
		r.Request, r.Response, r.Flags = x.request, x.response, x.body.flags
		r.Code = codeOf(x.body.err)
	}
	if err != nil {
		r.Code, r.Rule = p.blame(err)
	}
	if soon, ok := errors.AsType[*tooSoonError](err); ok {
		r.RetryAfter = min(soon.wait, maxRetryAfter)
	}
	return r
}

// blame gives the code of a page that colly could not end, and the rule behind it. What
// may not be asked for directly is a fault of the URL; behind a redirect, of the redirect.
func (p *page) blame(err error) (wire.Code, string) {
	e, coded := errors.AsType[*wire.Error](err)
	code, redirected := codeOf(err), p.answered > 0
	switch owner := code.Owner(); {
	case code == wire.RobotsDenied || code == wire.RobotsUnreachable:
		return code, e.Detail
	case redirected && p.asked == p.answered && !coded:
		return wire.RedirectDenied, wire.BadRequest.Name() // http.Client could not read the Location
	case redirected && (owner == wire.OwnerPolicy || owner == wire.OwnerClient):
		return wire.RedirectDenied, code.Name()
	}
	return code, p.rule
}
