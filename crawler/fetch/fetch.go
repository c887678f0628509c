// Package fetch makes one polite pass over a batch of URLs: the hand of the crawler.
//
// It exists so that the two who fetch do it alike. An edge runs it for the crawler
// (Serve) behind its owner's policy, and the crawler runs it itself (Fetch) through a
// plain proxy stream, to audit what edges deliver. Politeness therefore lives here,
// next to the socket, and not with whoever ordered the pages.
//
// A URL's way through the package, top to bottom:
//
//	Fetch      a new colly collector for the batch, URLs one after the other
//	visit      the door that every request passes, redirects included: URL form,
//	           owner's policy, robots.txt, pace of the host
//	transport  one HTTP/1.1 exchange with its heads kept byte for byte
//	body       one layer of content coding, limits on both sides of it
//	Serve      the result, attested and streamed; Remote reads it at the other end
//
// colly v2.3.0 drives the visit and nothing else. It limits compressed bytes only,
// skips robots.txt on redirects, re-encodes bodies, keeps cookies across origins and
// ignores contexts while it waits; each of these is switched off or done below it.
package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"sward/internal/wire"
)

// DefaultAgent is the User-Agent of a Config without one. Its first word is the
// product token that site owners name in robots.txt.
const DefaultAgent = "SwardBot/1.0 (+https://sward.example/bot)"

// The limits of a Fetcher. A batch may ask for less, never for more.
const (
	maxDelay      = 30 * time.Second // between requests to a host: longer would hold a lease, and a stream, for nothing
	maxDeadline   = 15 * time.Minute // of a batch: 256 pages at the usual 2 s, with room
	maxRetryAfter = time.Hour        // back-off a target can impose: it must not park a host for ever
	maxRedirects  = wire.MaxHops     // hops of one page
	defaultLimit  = 10 << 20         // bytes of a response, received and decoded: pages rarely pass 1 MiB
)

// Config is what a Fetcher needs of the world.
type Config struct {
	// Dial opens a TCP connection to host:port. It resolves the name and applies the
	// address gate: nothing below it checks an address again.
	Dial func(ctx context.Context, network, hostport string) (net.Conn, error)

	Roots   *x509.CertPool   // authorities for TLS, nil for the system's
	Agent   string           // User-Agent, default DefaultAgent
	Log     *slog.Logger     // default discards
	Now     func() time.Time // default time.Now
	Timeout time.Duration    // for one request and its answer, default 60 s
	Idle    time.Duration    // between two pieces of an answer, default 15 s
	MaxWire int64            // bytes of one response as received, default 10 MiB
	MaxBody int64            // bytes of one body as decoded, default 10 MiB; it is held in memory

	Seen func(Result) // is shown each result before it is passed on; nil: nobody looks
}

func (c Config) withDefaults() Config {
	if c.Agent == "" {
		c.Agent = DefaultAgent
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Timeout = orDefault(c.Timeout, 60*time.Second)
	c.Idle = orDefault(c.Idle, 15*time.Second)
	c.MaxWire = orDefault(c.MaxWire, defaultLimit)
	c.MaxBody = orDefault(c.MaxBody, defaultLimit)
	return c
}

// Batch is a list of URLs of one host, fetched in order (wire.Batch in Go's units).
type Batch struct {
	Job      [16]byte
	URLs     []string      // at most wire.MaxURLs of at most wire.MaxURL bytes
	Delay    time.Duration // between requests to a host, at least; robots.txt may ask for more
	Deadline time.Duration // for all of it; zero for the longest allowed
	MaxWire  int64         // bytes of one response as received; zero for Config's
	MaxBody  int64         // bytes of one body as decoded; zero for Config's
	Agent    string        // User-Agent; empty for Config's, whose product token it must keep

	// Fields are header fields to add, from wire's closed set. Those of one URL go out with exactly that URL, those of
	// wire.AllURLs to the host of the first: never to where a redirect leads elsewhere.
	Fields []wire.Field

	// Allow is asked before each request, redirects and robots.txt included; nil
	// allows all. It judges URLs; addresses are Config.Dial's matter.
	Allow func(*url.URL) error
}

// Fetcher fetches batches. It keeps robots.txt files and the pace of hosts across
// batches, and is safe for concurrent use.
type Fetcher struct {
	config Config
	robots *robotsCache
	pace   *pacer
}

// New returns a Fetcher. It does no I/O.
func New(c Config) *Fetcher {
	c = c.withDefaults()
	return &Fetcher{config: c, robots: newRobotsCache(c.Now), pace: newPacer(c.Now)}
}

// Fetch gets each URL of b in order and passes one Result per URL to emit, which
// holds the next request back until it returns. A URL that cannot be fetched has a
// Result that says so: what is missing when Fetch returns an error was cut off by
// ctx or by emit's own error. A batch that breaks its limits is a *wire.Error with
// bad_request before anything is fetched.
func (f *Fetcher) Fetch(ctx context.Context, b Batch, emit func(Result) error) error {
	b, err := f.admit(b)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, b.Deadline)
	defer cancel()
	v := newVisit(limited, f, b)
	defer v.close()
	failed := 0
	for i := range b.URLs {
		r := v.fetch(i)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if r.Code != wire.OK {
			failed++
		}
		if f.config.Seen != nil {
			f.config.Seen(r)
		}
		if err := emit(r); err != nil {
			return err
		}
	}
	f.config.Log.Debug("batch fetched", "pages", len(b.URLs), "failed", failed)
	return nil
}

// admit refuses a batch beyond the limits and fills in what it leaves open.
func (f *Fetcher) admit(b Batch) (Batch, error) {
	if len(b.URLs) > wire.MaxURLs {
		return b, wire.Errorf(wire.BadRequest, "batch has %d URLs, limit %d", len(b.URLs), wire.MaxURLs)
	}
	for i, u := range b.URLs {
		if len(u) > wire.MaxURL {
			return b, wire.Errorf(wire.BadRequest, "URL %d of the batch has %d bytes, limit %d", i, len(u), wire.MaxURL)
		}
	}
	if b.Agent == "" {
		b.Agent = f.config.Agent
	}
	if err := checkAgent(b.Agent, f.config.Agent); err != nil {
		return b, wire.Errorf(wire.BadRequest, "%s", err)
	}
	if err := checkFields(b); err != nil {
		return b, err
	}
	if b.Delay < 0 || b.Deadline < 0 {
		return b, wire.Errorf(wire.BadRequest, "batch has a negative delay or deadline")
	}
	b.Delay = min(b.Delay, maxDelay)
	b.Deadline = min(orDefault(b.Deadline, maxDeadline), maxDeadline)
	b.MaxWire = min(orDefault(b.MaxWire, f.config.MaxWire), f.config.MaxWire)
	b.MaxBody = min(orDefault(b.MaxBody, f.config.MaxBody), f.config.MaxBody)
	return b, nil
}

// checkAgent keeps a batch from posing as another crawler: it may say more about
// itself, but not under another product token than the one sites know.
func checkAgent(agent, own string) error {
	switch {
	case len(agent) > wire.MaxAgent:
		return errors.New("user agent is too long")
	case !httpguts.ValidHeaderFieldValue(agent):
		return errors.New("user agent is not a header value")
	case !strings.EqualFold(productToken(agent), productToken(own)):
		return errors.New("user agent has another product token than this fetcher")
	}
	return nil
}

// orDefault is v, or d when v is not set.
func orDefault[T ~int64](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}
