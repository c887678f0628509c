package relay

import (
	"context"
	"net"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/splice"
	"sward/internal/wire"
	"sward/policy"
)

const (
	// idleLimit ends a stream on which nothing moved in either direction.
	idleLimit = 60 * time.Second
	// lingerLimit is how long after the end of a stream its last bytes may take to be acknowledged by the partner. What
	// is not acknowledged by then was not delivered, and is not paid.
	lingerLimit = 2 * time.Second
	// lingerStep is how often that is looked at.
	lingerStep = 5 * time.Millisecond
)

// conn is one stream through an edge, metered. A tunnelled connection is joined to the partner's by Join; plain HTTP
// reads and writes it directly.
type conn struct {
	stream
	relay *Relay
	edge  *edge
	meter *accounting.Meter
	grant *grant
	flow  *accounting.Flow
	once  sync.Once

	mu        sync.Mutex
	client    net.Conn // where down-bytes go, once known
	written   uint64   // to client
	delivered uint64   // of those, acknowledged by it
}

// Edge names the exit.
func (c *conn) Edge() string { return c.edge.id.String() }

// Join splices the stream with the partner's connection until both directions are done.
func (c *conn) Join(ctx context.Context, client net.Conn) error {
	c.mu.Lock()
	c.client = client
	c.mu.Unlock()
	c.edge.watch(c)
	defer c.edge.unwatch(c)
	up := splice.Half{Allow: c.allow, Settle: func(reserved, moved int) { c.movedUp(reserved, moved) }}
	down := splice.Half{Allow: c.allow, Settle: func(reserved, moved int) {
		c.grant.settle(reserved, moved)
		c.mu.Lock()
		c.written += uint64(moved)
		c.mu.Unlock()
		c.countDelivered()
	}}
	result := splice.Join(ctx, client, c.stream, up, down, idleLimit)
	c.linger()
	return result.Err
}

// allow lets the next bytes move: as many as the channel's window and the grant both cover.
func (c *conn) allow(ctx context.Context, max int) (int, error) {
	n, err := c.flow.Allow(ctx, max)
	if err != nil {
		return 0, err
	}
	return c.relay.reserve(ctx, c.grant, n)
}

func (c *conn) movedUp(reserved, moved int) {
	c.flow.Up(moved)
	c.grant.settle(reserved, moved)
}

// Read is a plain HTTP response on its way to the partner.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	allowed, err := c.allow(c.relay.ctx, len(p))
	if err != nil {
		return 0, err
	}
	n, err := c.stream.Read(p[:allowed])
	c.flow.Down(n)
	c.grant.settle(allowed, n)
	return n, err
}

// Write is a plain HTTP request on its way to the target.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for sent := 0; ; {
		allowed, err := c.allow(c.relay.ctx, len(p)-sent)
		if err != nil {
			return sent, err
		}
		n, err := c.stream.Write(p[sent : sent+allowed])
		c.movedUp(allowed, n)
		if sent += n; err != nil || sent == len(p) {
			return sent, err
		}
	}
}

// countDelivered meters what the partner has acknowledged since the last look: bytes that sit in our send buffer for a
// partner that stalls are not delivered.
func (c *conn) countDelivered() (pending int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pending = unacknowledged(c.client)
	if now := c.written - min(uint64(pending), c.written); now > c.delivered {
		c.flow.Down(int(now - c.delivered))
		c.delivered = now
	}
	return pending
}

// linger waits a moment for the partner to acknowledge the last bytes.
func (c *conn) linger() {
	for end := time.Now().Add(lingerLimit); c.countDelivered() > 0 && time.Now().Before(end); {
		time.Sleep(lingerStep)
	}
}

// Close ends the stream and its account: the edge is told how much of what it sent was delivered.
func (c *conn) Close() error {
	err := c.stream.Close()
	c.once.Do(func() {
		done := c.flow.Close()
		if sendErr := c.edge.session.Send(done); sendErr != nil {
			c.relay.cfg.Log.Debug("stream ended after its session", "edge", c.edge.id)
		}
		c.edge.release()
		c.grant.leave(c.relay.cfg.Clock())
		c.relay.metrics.streamEnded(c.flow.Totals())
	})
	return err
}

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
		if last = err; wire.CodeOf(err).Owner() != wire.OwnerEdge || ctx.Err() != nil {
			return nil, err
		}
		w.Avoid = append(w.Avoid, e.id)
	}
	return nil, last
}

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
	st, _, err := e.session.Open(ctx, open)
	if err != nil {
		g.leave(r.cfg.Clock())
		return nil, err
	}
	flow, err := meter.Flow(st.ID(), g.id)
	if err != nil {
		st.Reset()
		g.leave(r.cfg.Clock())
		return nil, wire.Errorf(wire.EdgeGone, "%v", err)
	}
	if e.class == classExtension {
		st = &screen{stream: st, ctx: r.ctx, resolve: r.cfg.Resolve, gate: policy.Gate{Network: r.cfg.Peers}}
	}
	return &conn{stream: st, relay: r, edge: e, meter: meter, grant: g, flow: flow}, nil
}
