package relay

import (
	"context"

	"sward/internal/wire"
	"sward/policy"
)

// open picks an edge for w and opens a stream on it. An edge that turns out unable to serve is passed over for another
// before a byte has moved; an answer about the target is final.
func (r *Relay) open(ctx context.Context, w Want, g *grant, host string, port uint16, hops uint8) (*conn, error) {
	var last error = wire.Errorf(wire.NoEdge, "no connected edge can take this now")
	for range openTries {
		e, ok := r.edges.pick(w)
		if !ok {
			return nil, last
		}
		c, err := r.openOn(ctx, e, g, wire.Open{App: w.App, Hops: hops, Host: host, Port: port})
		if err == nil {
			return c, nil
		}
		e.release()
		if last = err; !anotherMay(wire.CodeOf(err)) || ctx.Err() != nil {
			return nil, err
		}
		w.Avoid = append(w.Avoid, e.id)
	}
	return nil, last
}

// anotherMay reports whether an edge may serve what another one refused with code: its trouble, its owner's choice of
// work, or a fault inside the network that need not be everywhere.
func anotherMay(code wire.Code) bool {
	switch code {
	case wire.AppDenied, wire.PurposeDenied, wire.PlainHTTPDenied:
		return true
	}
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
	opening, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
	defer cancel()
	opening, answered := e.pulse.opening(opening)
	defer answered()
	st, _, err := e.session.Open(opening, open)
	if err != nil {
		if context.Cause(opening) == errSilent {
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
