package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sward/accounting"
	"sward/internal/splice"
	"sward/internal/wire"
	"sward/policy"
	"sward/relay/gateway"
)

const (
	// idleLimit ends a stream on which nothing moved in either direction.
	idleLimit = 60 * time.Second
	// lingerLimit is how long after the end of a stream a partner may acknowledge nothing of the bytes that wait for it.
	// It outlasts five retransmissions of TCP. What is left then is cut off, and is not paid.
	lingerLimit = 10 * time.Second
	// lingerBehind is how long it may acknowledge nothing of this stream, whatever it does acknowledge of those that share its
	// connection: four mebibytes of theirs pass in that at 280 kbit/s. Over HTTP/3 a client could leave out one packet for
	// ever, and with it hold the stream, its place, and the edge's unsigned bytes.
	lingerBehind = 2 * time.Minute
	// lingerFirst and lingerLast are between two looks at that: soon for those who are quick, seldom for those who are not.
	lingerFirst = 5 * time.Millisecond
	lingerLast  = 100 * time.Millisecond
)

// errNotTaken ends a stream whose partner takes its last bytes no more.
var errNotTaken = errors.New("the partner did not take the last bytes")

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

	target policy.Target // of a partner's stream
	leave  func()        // gives back what the stream took of its account's limits; may be nil

	mu        sync.Mutex
	client    net.Conn // where down-bytes go, once known
	written   uint64   // to client
	delivered uint64   // of those, acknowledged by it
	cut       bool     // by us
	left      int      // what it had not acknowledged then
	failed    bool     // by the client: a read or a write of ours on it failed before the cut
	behind    bool     // bytes waited for the client at the end
	wasted    bool     // what an edge carried was cut off by a client that was behind
	writing   atomic.Bool
}

// Exit is the line that the stream leaves from.
func (c *conn) Exit() gateway.Line { return c.edge.line() }

// Join splices the stream with the partner's connection until both directions are done.
func (c *conn) Join(ctx context.Context, client net.Conn) error {
	c.mu.Lock()
	c.client = client
	c.mu.Unlock()
	c.edge.watch(c)
	defer c.edge.unwatch(c)
	up := splice.Half{Allow: c.allow, Settle: c.grant.settle}
	down := splice.Half{Allow: c.allow, Settle: func(reserved, moved int) {
		c.grant.settle(reserved, moved)
		c.mu.Lock()
		c.written += uint64(moved)
		c.mu.Unlock()
		c.countDelivered()
	}}
	result := splice.Join(ctx, partner{client, c}, c.stream, up, down, idleLimit)
	err := result.Err
	if err == nil {
		err = c.linger(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// An idle client that is behind has stalled; a target that is idle leaves nobody behind.
	c.wasted = err != nil && c.behind && (c.failed || errors.Is(err, splice.ErrIdle) || errors.Is(err, errNotTaken))
	return err
}

// counted is a stream whose bytes to the edge are counted before they are written. The edge may pass them on and say so
// before the write has returned, and with many streams that is more than two honest counts may differ by. What was
// written in vain the edge's Done takes back.
type counted struct {
	stream
	flow *accounting.Flow
}

func (s counted) Write(p []byte) (int, error) {
	s.flow.Up(len(p))
	return s.stream.Write(p)
}

// partner is the partner's connection as splice sees it. Before it is cut, what has been acknowledged is read a last
// time: a closed socket does not tell, and what was in it did not arrive.
type partner struct {
	net.Conn
	stream *conn
}

func (p partner) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // as splice: an end is io.EOF itself
		p.stream.clientFailed(false)
	}
	return n, err
}

func (p partner) Write(b []byte) (int, error) {
	p.stream.writing.Store(true)
	defer p.stream.writing.Store(false)
	n, err := p.Conn.Write(b)
	if err != nil {
		p.stream.clientFailed(true)
	}
	return n, err
}

// clientFailed notes that a client has gone, unless it was sent away.
func (c *conn) clientFailed(behind bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cut {
		c.failed, c.behind = true, c.behind || behind
	}
}

// CloseWrite ends our direction and leaves the partner's open.
func (p partner) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return p.Close()
}

// Reset cuts both directions.
func (p partner) Reset() {
	p.stream.lookBeforeCut()
	switch c := p.Conn.(type) {
	case interface{ Reset() error }:
		c.Reset() //nolint:errcheck // it is gone either way
	case interface{ Reset() }:
		c.Reset()
	default:
		p.Close()
	}
}

// allow lets the next bytes move: as many as the channel's window and the grant both cover.
func (c *conn) allow(ctx context.Context, max int) (int, error) {
	n, err := c.flow.Allow(ctx, max)
	if err != nil {
		return 0, err
	}
	return c.relay.reserve(ctx, c.grant, n)
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
		c.grant.settle(allowed, n)
		if sent += n; err != nil || sent == len(p) {
			return sent, err
		}
	}
}

// countDelivered meters what the partner has acknowledged since the last look: bytes that sit in our send buffer for a
// partner that stalls are not delivered. It returns those; known is false when the socket is closed, and they are lost.
func (c *conn) countDelivered() (pending int, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pending, known = gateway.Unacknowledged(c.client)
	switch {
	case !known && !c.cut:
		return 0, false
	case !known: // a write that the cut broke off has told only now how far it got
		pending = c.left
	}
	if now := c.written - min(uint64(pending), c.written); now > c.delivered {
		c.flow.Down(int(now - c.delivered))
		c.delivered = now
	}
	return pending, known
}

// lookBeforeCut reads a last time what waits for the partner.
func (c *conn) lookBeforeCut() {
	pending, known := c.countDelivered()
	c.mu.Lock()
	defer c.mu.Unlock()
	if known && !c.cut {
		c.cut, c.left = true, pending
		c.behind = c.behind || pending > 0 || c.writing.Load()
	}
}

// linger waits for the partner to acknowledge the last bytes, for as long as it goes on doing so. What it leaves is cut
// off: the system would go on sending what nobody is paid for any more.
func (c *conn) linger(ctx context.Context) error {
	pending, known := c.countDelivered()
	p := newPatience(pending, gateway.Moved(c.client), time.Now())
	for step := lingerFirst; known && p.least > 0 && !gateway.Gone(c.client); step = min(2*step, lingerLast) {
		if pause(ctx, step); ctx.Err() != nil || p.over(time.Now()) {
			partner{c.client, c}.Reset()
			gateway.Abandon(c.client)
			return errNotTaken
		}
		pending, known = c.countDelivered()
		p.look(pending, gateway.Moved(c.client), time.Now())
	}
	return nil
}

// patience is how long a stream's last bytes are waited for.
type patience struct {
	least int       // of the bytes pending, so far
	ahead uint64    // as gateway.Moved said it last
	own   time.Time // that something of the stream was last acknowledged
	any   time.Time // the same of what shares its connection too
}

func newPatience(pending int, ahead uint64, now time.Time) *patience {
	return &patience{least: pending, ahead: ahead, own: now, any: now}
}

func (p *patience) look(pending int, ahead uint64, now time.Time) {
	if pending < p.least {
		p.least, p.own, p.any = pending, now, now
	}
	if ahead != p.ahead {
		p.ahead, p.any = ahead, now
	}
}

func (p *patience) over(now time.Time) bool {
	return now.Sub(p.any) > lingerLimit || now.Sub(p.own) > lingerBehind
}

// Close ends the stream and its account: the edge is told how much of what it sent was delivered.
func (c *conn) Close() error {
	err := c.stream.Close()
	c.once.Do(func() {
		done := c.flow.Close()
		c.mu.Lock()
		wasted := c.wasted
		c.mu.Unlock()
		_, down := c.flow.Totals()
		c.relay.waste.ended(c.grant.payer(), c.edge.id, c.meter, down, wasted, c.relay.cfg.Clock())
		c.relay.tallyUsage(c)
		if c.leave != nil {
			c.leave()
		}
		if sendErr := c.edge.session.Send(done); sendErr != nil {
			c.relay.cfg.Log.Debug("stream ended after its session", "edge", c.edge.id)
		}
		if fault := c.meter.Fault(); fault != nil {
			c.relay.cfg.Log.Debug("channel ended", "edge", c.edge.id, "err", fault)
			c.relay.background(func() { c.edge.session.Close(wire.ProtocolError, "the channel has ended") })
		}
		c.edge.release()
		c.grant.leave(c.relay.cfg.Clock())
		c.relay.metrics.streamEnded(c.flow.Totals())
	})
	return err
}
