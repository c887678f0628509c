package edge

import (
	"context"
	"net"
	"net/url"
	"sync"

	"sward/crawler/fetch"
	"sward/internal/outside"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/policy"
)

// crawlKey finds the crawlWork in a context. One Fetcher serves all batches, so that politeness is kept across them;
// what a dial belongs to travels with its context.
type crawlKey struct{}

// crawlWork is one batch that is being fetched.
type crawlWork struct {
	*call
	ctx   context.Context // of the stream: a dial's own ends with the dial
	meter *streamMeter

	mu   sync.Mutex
	host policy.Host // of the last URL, for the owner's record: a batch has one host
}

// crawl serves one batch of pages. An error means that nothing was answered yet.
func (s *session) crawl(ctx context.Context, conn *tunnel.Stream, c *call) error {
	m, err := s.meterFor(conn, c.grant)
	if err != nil {
		return err
	}
	w := &crawlWork{call: c, ctx: ctx, meter: m}
	defer func() { s.finish(c, m, w.lastHost()) }()
	if err := wire.Write(conn, wire.Opened{Edge: s.edge.ID()}); err != nil {
		return nil // the relay has gone: nobody is left to answer
	}
	sign := func(body []byte) []byte { return s.edge.cfg.Key.Sign(s.edge.cfg.Network, "fetch", body) }
	paid := paidConn{Conn: conn, ctx: ctx, meter: m}
	err = fetch.Serve(context.WithValue(ctx, crawlKey{}, w), paid, s.edge.fetcher, s.channel, sign, s.edge.allowURL(w))
	s.edge.metrics.ended(c.app, err)
	if err != nil {
		conn.Cut(m.reason(ctx))
	}
	return nil
}

func (w *crawlWork) seen(h policy.Host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.host = h
}

func (w *crawlWork) lastHost() policy.Host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.host
}

// allowURL is the owner's word on one URL of a crawl, before robots.txt and before any packet. Addresses are judged
// when it dials.
func (e *Edge) allowURL(w *crawlWork) func(*url.URL) error {
	return func(u *url.URL) error {
		target, err := targetOf(u)
		if err == nil {
			w.seen(target.Host)
			err = e.terms().policy.Check(policy.Request{App: w.app, Purpose: w.purpose, Target: target, Time: e.cfg.Clock()})
		}
		if err != nil {
			why := outside.Refusal(err)
			e.refusals.add(e.cfg.Clock(), wire.AppCrawl, u.Hostname(), why.Code)
			return why
		}
		return nil
	}
}

// dialForCrawl is the dial of crawler/fetch: pages, robots.txt and redirects alike. It is the dial of proxied
// connections, with the batch's own lanes on the result.
func (e *Edge) dialForCrawl(ctx context.Context, _, hostport string) (net.Conn, error) {
	w, ok := ctx.Value(crawlKey{}).(*crawlWork)
	if !ok {
		return nil, wire.Errorf(wire.Internal, "a dial without its batch")
	}
	target, err := policy.ParseTarget(hostport)
	if err != nil {
		return nil, outside.Refusal(err)
	}
	dialing, cut := context.WithCancelCause(ctx)
	way := e.live.watch(policy.Request{App: w.app, Purpose: w.purpose, Target: target}, cut)
	conn, err := e.reach(dialing, w.app, w.purpose, target)
	defer cut(nil)
	if err != nil {
		way.forget()
		if code := wire.CodeOf(err); code.Owner() == wire.OwnerPolicy {
			e.refusals.add(e.cfg.Clock(), wire.AppCrawl, target.Host.String(), code)
		}
		return nil, err
	}
	lent := &lentConn{Conn: conn, ctx: w.ctx, way: way}
	if !way.made(func(error) { conn.Close() }) {
		conn.Close()
		return nil, context.Cause(dialing)
	}
	lent.up, lent.down = w.meter.lanes()
	return lent, nil
}

func targetOf(u *url.URL) (policy.Target, error) {
	host, err := policy.ParseHost(u.Hostname())
	if err != nil {
		return policy.Target{}, err
	}
	port := uint16(443)
	if u.Scheme == "http" {
		port = 80
	}
	if p := u.Port(); p != "" {
		if port, err = policy.ParsePort(p); err != nil {
			return policy.Target{}, err
		}
	}
	return policy.Target{Host: host, Port: port}, nil
}
