package edge

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"sward/accounting"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/policy"
)

// streamMeter counts one stream and makes its bytes wait, for two reasons. What is paid for waits for the channel's
// window of unsigned bytes and is taken from the grant; what is lent waits for the owner's rate and is taken from the
// caps (lend.go).
//
// For a proxied connection both apply to the same bytes. A crawl has two sides: the frames on the tunnel are what the
// channel counts and the grant pays, the bytes exchanged with the target are what rate and caps are about.
type streamMeter struct {
	edge     *Edge
	flow     *accounting.Flow
	grant    *grant
	up, down lane         // of a proxied connection
	sent     atomic.Int64 // to the target
	received atomic.Int64 // from the target

	mu  sync.Mutex
	why error // the first allowance that was refused
}

// meterFor opens the account of a stream that is about to carry bytes.
func (s *session) meterFor(conn *tunnel.Stream, g *grant) (*streamMeter, error) {
	flow, err := s.meter.Flow(conn.ID(), g.id)
	if err != nil {
		return nil, channelError(err)
	}
	m := &streamMeter{edge: s.edge, flow: flow, grant: g}
	m.up, m.down = m.lanes()
	return m, nil
}

// lanes are new lanes for one connection to a target.
func (m *streamMeter) lanes() (up, down lane) {
	up = lane{volume: m.edge.volume, way: policy.Up, pace: paced{pace: m.edge.up}, moved: &m.sent, total: &m.edge.traffic.up}
	down = lane{volume: m.edge.volume, way: policy.Down, pace: paced{pace: m.edge.down}, moved: &m.received, total: &m.edge.traffic.down}
	return up, down
}

// finish closes the account of a stream, tells the relay the final count and remembers the use for the owner.
func (s *session) finish(c *call, m *streamMeter, host policy.Host) {
	m.up.pace.end()
	m.down.pace.end()
	if err := s.tunnel.Send(m.flow.Close()); err != nil {
		s.edge.cfg.Log.Debug("a stream ended after its session", "relay", s.relay)
	}
	s.streamEnded()
	up, down := m.sent.Load(), m.received.Load()
	s.edge.metrics.moved(up, down)
	if !host.IsZero() {
		s.edge.diary.Add(host, c.app, c.purpose, up, down)
	}
}

// allowUp and settleUp are a proxied connection's way to the target, allowDown and settleDown the way back.
func (m *streamMeter) allowUp(ctx context.Context, limit int) (int, error) {
	return m.allow(ctx, &m.up, limit)
}

func (m *streamMeter) settleUp(reserved, moved int) {
	m.flow.Up(moved)
	m.grant.giveBack(reserved - moved)
	m.up.settle(moved)
}

func (m *streamMeter) allowDown(ctx context.Context, limit int) (int, error) {
	return m.allow(ctx, &m.down, limit)
}

func (m *streamMeter) settleDown(reserved, moved int) {
	m.flow.Down(moved)
	m.grant.giveBack(reserved - moved)
	m.down.settle(moved)
}

func (m *streamMeter) allow(ctx context.Context, l *lane, limit int) (int, error) {
	paid, err := m.allowPaid(ctx, limit)
	if err != nil {
		return 0, m.refused(err)
	}
	n, err := l.allow(ctx, paid)
	m.grant.giveBack(paid - n)
	return n, m.refused(err)
}

// allowPaid waits for the channel's window and takes from the grant.
func (m *streamMeter) allowPaid(ctx context.Context, limit int) (int, error) {
	n, err := m.flow.Allow(ctx, limit)
	if err != nil {
		return 0, channelError(err)
	}
	return m.grant.reserve(ctx, n)
}

// refused remembers the first reason, for the peer to hear when the stream is cut.
func (m *streamMeter) refused(err error) error {
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.why == nil {
			m.why = err
		}
	}
	return err
}

// reason is why a stream is being cut: the owner's or the account's word if there was one.
func (m *streamMeter) reason(ctx context.Context) wire.Code {
	m.mu.Lock()
	why := m.why
	m.mu.Unlock()
	for _, err := range []error{context.Cause(ctx), why} {
		if code := wire.CodeOf(err); code != wire.OK && code != wire.Internal {
			return code
		}
	}
	return wire.OK
}

// tunnelConn is the stream as splice sees it: a reset tells the relay the reason.
type tunnelConn struct {
	*tunnel.Stream
	ctx   context.Context
	meter *streamMeter
}

// Reset cuts both directions.
func (c tunnelConn) Reset() { c.Cut(c.meter.reason(c.ctx)) }

// paidConn is the tunnel side of a crawl: its frames are counted, waited for and paid.
type paidConn struct {
	net.Conn
	ctx   context.Context
	meter *streamMeter
}

// Read takes the crawler's frames.
func (c paidConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.meter.allowPaid(c.ctx, len(p))
	if err != nil {
		return 0, c.meter.refused(err)
	}
	got, err := c.Conn.Read(p[:n])
	c.meter.flow.Up(got)
	c.meter.grant.giveBack(n - got)
	return got, err
}

// Write sends pages, in pieces that may go out.
func (c paidConn) Write(p []byte) (sent int, err error) {
	for sent < len(p) {
		n, err := c.meter.allowPaid(c.ctx, len(p)-sent)
		if err != nil {
			return sent, c.meter.refused(err)
		}
		wrote, err := c.Conn.Write(p[sent : sent+n])
		c.meter.flow.Down(wrote)
		c.meter.grant.giveBack(n - wrote)
		if sent += wrote; err != nil {
			return sent, err
		}
	}
	return sent, nil
}
