package relay

import (
	"context"
	"errors"
	"time"

	"sward/internal/wire"
	"sward/policy"
	"sward/relay/gateway"
)

const (
	// openTimeout is how long opening a stream may take, from the first choice of an edge to the last one's answer.
	openTimeout = 30 * time.Second
	// openTry is how long one edge may take. It is what an edge needs to say of a slow target that it is slow: eight
	// seconds for the name and ten for the address.
	openTry = 20 * time.Second
	// openTries is how many edges are tried before a partner is told that none can serve.
	openTries = 3
	// openFull is how many more may answer that they are full: an edge serves several relays, so it can be fuller than this
	// one knows, and its answer is quick.
	openFull = 8
	// fullRest is how long such an edge is left alone.
	fullRest = time.Second
)

// dial is the gateway's way to a target.
func (r *Relay) dial(ctx context.Context, who gateway.Account, target policy.Target, exit gateway.Exit) (gateway.Conn, error) {
	a := who.(*account)
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var left leaves
	c, err := r.dialFor(ctx, a, target, exit, &left)
	if err != nil {
		left.all()
		r.tallyRefused(a, target)
		return nil, err // not c: a nil *conn in a Conn is not nil
	}
	c.leave = left.all
	return c, nil
}

// leaves are what a stream has to give back when it ends, last first.
type leaves []func()

func (l *leaves) add(leave func()) { *l = append(*l, leave) }

func (l *leaves) all() {
	for i := len(*l) - 1; i >= 0; i-- {
		(*l)[i]()
	}
	*l = nil
}

func (r *Relay) dialFor(ctx context.Context, a *account, target policy.Target, exit gateway.Exit, left *leaves) (*conn, error) {
	leave, err := r.enterLimits(a, target)
	if err != nil {
		return nil, err
	}
	left.add(leave)
	if err := r.listed(a.current(), a.standing().tag, target); err != nil {
		return nil, err
	}
	if leave, err = r.enterTarget(a.standing().tag, target); err != nil {
		return nil, err
	}
	left.add(leave)
	s, err := r.stays.enter(a.standing().tag, exit)
	if err != nil {
		return nil, err
	}
	left.add(func() { r.stays.leave(s) })
	g := a.current()
	w := Want{App: wire.AppProxy, Where: whereOf(exit), who: a.standing().tag}
	return r.openFor(ctx, request{account: a, target: target, stay: s, grant: g, hops: 1}, w)
}

// listed refuses a host that the operator lets nobody reach.
func (r *Relay) listed(g *grant, who tag, target policy.Target) error {
	if r.blocklists == nil {
		return nil
	}
	err := r.blocklists.check(target.Host)
	if err != nil {
		r.suspect("blocklist", g, who, target)
	}
	return coded(err) // the hub hears codes alone
}

// request is what a stream is opened for.
type request struct {
	account *account // nil for the hub
	target  policy.Target
	stay    *stay // the session that it belongs to; nil for none
	grant   *grant
	hops    uint8
}

// open picks an edge for w and opens a stream on it, for the hub. A stream to a target counts against what that target
// bears, whoever asks for it.
func (r *Relay) open(ctx context.Context, w Want, g *grant, host string, port uint16, hops uint8) (*conn, error) {
	q := request{grant: g, hops: hops}
	w.Host, w.Port = host, port
	if w.App != wire.AppProxy {
		return r.openFor(ctx, q, w)
	}
	parsed, err := policy.ParseHost(host)
	if err != nil {
		return nil, coded(err)
	}
	q.target = policy.Target{Host: parsed, Port: port}
	if err := r.listed(g, g.payer(), q.target); err != nil {
		return nil, err
	}
	leave, err := r.enterTarget(tag{}, q.target)
	if err != nil {
		return nil, err
	}
	c, err := r.openFor(ctx, q, w)
	if err != nil {
		leave()
		return nil, err
	}
	c.leave = leave
	return c, nil
}

// openFor tries one edge after another. One that turns out unable to serve is passed over for the next before a byte has
// moved; an answer about the target is final, and so is a stream that has opened: nothing is ever sent twice.
func (r *Relay) openFor(ctx context.Context, q request, w Want) (*conn, error) {
	if w.Host == "" && w.App == wire.AppProxy {
		w.Host, w.Port = q.target.Host.String(), q.target.Port
	}
	w.Purpose, w.Site = purposeOf(q.grant), siteOf(w.Host)
	var (
		last  error
		aside bool // the session's own edge has refused this one stream
	)
	r.fetch(ctx, r.stays.wants(&w, q.stay))
	for tries, full := 0, 0; tries < openTries && full < openFull; {
		e, err := r.stays.pick(r.edges, &w, q.stay, aside)
		if err != nil {
			r.metrics.picked(err)
			if last != nil && wire.CodeOf(err) != wire.SessionGone {
				return nil, last
			}
			return nil, err
		}
		r.metrics.picked(nil)
		if last != nil {
			r.metrics.retried(wire.CodeOf(last))
		}
		if err := r.suspicious(q.account, e, q.target); err != nil {
			e.release()
			return nil, err
		}
		hard := q.stay != nil && q.stay.hard
		if err := r.waste.over(q.grant.payer(), e.id, e.channel(), r.cfg.Clock()); err != nil {
			e.release()
			if last = err; hard {
				return nil, err
			}
			w.Avoid = append(w.Avoid, e.id)
			aside = true
			full++
			continue
		}
		began := r.cfg.Clock()
		c, err := r.openOn(ctx, e, q.grant, wire.Open{App: w.App, Hops: q.hops, Host: w.Host, Port: w.Port})
		policyOf, refused := r.edges.count(e, &w, err, r.cfg.Clock().Sub(began))
		if err == nil {
			c.target = q.target
			return c, nil
		}
		e.release()
		last = err
		code := wire.CodeOf(err)
		switch {
		case ctx.Err() != nil:
			return nil, err
		case refused && !hard: // by its owner's rules, which others with the same digest have too
			if policyOf != 0 {
				w.refuse = append(w.refuse, policyOf)
			}
			aside = true
			tries++
		case code == wire.StreamLimit && !hard:
			aside = true
			full++
		case refused, code == wire.StreamLimit, !anotherMay(code):
			return nil, err
		case hard && r.edges.has(e):
			return nil, err // it is there and will not: its own word says more than that the session is gone
		default:
			r.stays.failed(q.stay, e)
			tries++
		}
		if r.edges.has(e) { // and has no newer session that would take it
			w.Avoid = append(w.Avoid, e.id)
		}
	}
	return nil, last
}

func purposeOf(g *grant) uint16 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.signed.Purpose
}

// anotherMay reports whether an edge may serve what another one refused with code: its trouble, or a fault inside the
// network that need not be everywhere.
func anotherMay(code wire.Code) bool {
	return code.Owner() == wire.OwnerEdge || code.Owner() == wire.OwnerRelay
}

// openOn opens a stream on e. What has been asked for is seen through though the partner goes away meanwhile: an edge that
// has opened the stream counts bytes on it until it hears a Done.
func (r *Relay) openOn(ctx context.Context, e *edge, g *grant, open wire.Open) (*conn, error) {
	meter := e.channel()
	if meter == nil {
		return nil, wire.Errorf(wire.EdgeGone, "the edge has no open channel")
	}
	signed, err := g.enter(meter)
	if err != nil {
		return nil, err
	}
	open.Grant = signed.Bytes()
	opening, cancel := context.WithDeadline(context.WithoutCancel(ctx), r.tryUntil(ctx))
	defer cancel()
	opening, answered := e.pulse.opening(opening)
	defer answered()
	st, _, err := e.session.Open(opening, open)
	if err != nil {
		if errors.Is(context.Cause(opening), errSilent) {
			err = errSilent
		}
		g.leave(r.cfg.Clock())
		return nil, err
	}
	flow, err := meter.Flow(st.ID(), g.id)
	if err != nil {
		st.Reset()
		e.session.Send(wire.Done{Stream: st.ID()}) //nolint:errcheck // a session that is gone needs no word
		g.leave(r.cfg.Clock())
		return nil, wire.Errorf(wire.EdgeGone, "%v", err)
	}
	st = counted{st, flow}
	if e.class == classExtension {
		st = &screen{stream: st, ctx: r.ctx, resolve: r.cfg.Resolve, gate: policy.Gate{Network: r.cfg.Peers}}
	}
	return &conn{stream: st, relay: r, edge: e, meter: meter, grant: g, flow: flow}, nil
}

// tryUntil is when one edge's time is over: soon enough for another, and never past the whole's.
func (r *Relay) tryUntil(ctx context.Context) time.Time {
	until := time.Now().Add(openTry)
	if whole, ok := ctx.Deadline(); ok && whole.Before(until) {
		return whole
	}
	return until
}
