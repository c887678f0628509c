package tunnel

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-yamux/v5"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// maxTCPStreams is how many streams a listener may have open at once over TCP.
	// yamux has a window for each and none for all, so that their number bounds
	// what a peer can send unread: 64 MiB at an edge, from a relay that it has chosen.
	maxTCPStreams = 256
	// maxTCPCalls is how many a dialer may: 8 MiB unread, as over QUIC, since anybody
	// with a key may dial. Of them only the hub opens any but the control stream.
	maxTCPCalls = 32
	// tcpDelivered is the bytes that the peer's kernel has to acknowledge to be heard
	// with them: a probe's few are also acknowledged for a program that hangs.
	tcpDelivered = 8 << 10
	// tcpGrowth is how many bytes the windows of a session may grow by together,
	// from the 256 KiB at which yamux begins each.
	tcpGrowth = 16 << 20
	// tcpMessage is the largest message: a copy buffer of 32 KiB and its head fit,
	// and leave with one system call (records.go). A ping waits behind one of them.
	tcpMessage = 64 << 10
	// tcpPings is how many of the peer's pings may wait for an answer.
	tcpPings = 8
)

// tcpCarrier is yamux over TLS over TCP. It makes up for what yamux lacks beside
// QUIC: a limit of streams that the opener knows, an end of reading that the
// writer hears of, and the session's last word (see tcpLink).
type tcpCarrier struct {
	over     Carrier // TCP or Overlay
	conn     *tls.Conn
	mux      *yamux.Session
	link     *tcpLink
	incoming chan *yamux.Stream
	mine     atomic.Int32  // streams that this side has opened and not closed
	most     int32         // of them
	patience time.Duration // with one write
	probing  atomic.Bool
	ctx      context.Context
}

// newTCP starts yamux on a connection whose handshake is done.
func newTCP(cfg Config, conn *tls.Conn, under *records, over Carrier, dialer bool) (*tcpCarrier, error) {
	start, most, theirs := yamux.Server, maxTCPStreams, maxTCPCalls+1
	if dialer {
		start, most, theirs = yamux.Client, theirs, most // the control stream is the dialer's
	}
	c := &tcpCarrier{over: over, conn: conn, link: newTCPLink(conn, under, dialer), incoming: make(chan *yamux.Stream), most: int32(most)}
	config := yamuxConfig(cfg.Idle)
	config.MaxIncomingStreams = uint32(theirs)
	c.patience = config.ConnectionWriteTimeout
	var err error
	if c.mux, err = start(c.link, config, newGrowth()); err != nil {
		return nil, err
	}
	ctx, end := context.WithCancelCause(context.Background())
	c.ctx = ctx
	go c.receive(end) // ends with the connection, which ends by its keep-alive at the latest
	return c, nil
}

func yamuxConfig(idle time.Duration) *yamux.Config {
	c := yamux.DefaultConfig()
	c.AcceptBacklog = maxTCPStreams // of both sides' streams: no less than either may open
	c.PingBacklog = tcpPings
	c.KeepAliveInterval = idle / keptAlive
	c.MeasureRTTInterval = idle
	// The bound on a write and on a ping's answer.
	c.ConnectionWriteTimeout = idle - c.KeepAliveInterval
	c.MaxStreamWindowSize = streamWindow
	c.MaxMessageSize = tcpMessage
	c.ReadBufSize = 0 // TLS has one
	c.LogOutput = io.Discard
	return c
}

// receive hands streams out until the connection ends.
func (c *tcpCarrier) receive(end context.CancelCauseFunc) {
	for {
		st, err := c.mux.AcceptStream()
		if err != nil { // the end: there is no other error
			end(c.link.why(err))
			return
		}
		select {
		case c.incoming <- st:
		case <-c.mux.CloseChan():
		}
	}
}

func (c *tcpCarrier) kind() Carrier { return c.over }

func (c *tcpCarrier) open() (line, error) {
	if c.mine.Add(1) > c.most {
		c.mine.Add(-1)
		return nil, errFull
	}
	st, err := c.mux.OpenStream(c.ctx) // does not wait: the backlog is as large as the limit
	if err != nil {
		c.mine.Add(-1)
		return nil, c.translate(err)
	}
	return tcpLine{st, c, &atomic.Bool{}}, nil
}

func (c *tcpCarrier) accept(ctx context.Context) (line, error) {
	select {
	case st := <-c.incoming:
		return tcpLine{st, c, nil}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, c.why()
	}
}

func (c *tcpCarrier) end(code wire.Code, detail string) {
	c.link.say(lastWord{code, detail})
	if !c.mux.IsClosed() {
		c.mux.Close() //nolint:errcheck // it has ended either way
	}
}

func (c *tcpCarrier) context() context.Context { return c.ctx }
func (c *tcpCarrier) why() error               { return context.Cause(c.ctx) }
func (c *tcpCarrier) tls() tls.ConnectionState { return c.conn.ConnectionState() }
func (c *tcpCarrier) rtt() time.Duration       { return c.mux.RTT() }
func (c *tcpCarrier) localAddr() net.Addr      { return c.link.LocalAddr() }
func (c *tcpCarrier) remoteAddr() net.Addr     { return c.link.RemoteAddr() }

// received counts what was delivered to the peer, too: on a line that is slow enough its
// answers wait behind that.
func (c *tcpCarrier) received() uint64 {
	return c.link.received.Load() + delivered(c.link.raw.Conn)/tcpDelivered
}

// probe pings, once at a time: TCP's acknowledgements are the kernel's affair.
func (c *tcpCarrier) probe() {
	if c.probing.Swap(true) {
		return
	}
	go func() { // ends with the answer, or with yamux's patience
		defer c.probing.Store(false)
		c.mux.Ping() //nolint:errcheck // the answer is counted by the link
	}()
}

// translate puts yamux's reasons into those of a carrier.
func (c *tcpCarrier) translate(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // an EOF inside another error is the connection's, not the stream's
		return err
	}
	if cut, ok := errors.AsType[*yamux.StreamError](err); ok {
		if cut.Remote {
			return &cutError{wire.Code(min(cut.ErrorCode, 1<<16-1))}
		}
		return net.ErrClosed
	}
	switch {
	case errors.Is(err, yamux.ErrTimeout):
		return os.ErrDeadlineExceeded
	case errors.Is(err, yamux.ErrStreamClosed):
		return net.ErrClosed
	case c.mux.IsClosed():
		<-c.ctx.Done() // at once: receive is about to say why
		return c.why()
	}
	return err
}

// tcpLine is a yamux stream.
type tcpLine struct {
	*yamux.Stream
	carrier *tcpCarrier
	ended   *atomic.Bool // counted out of the carrier's own; nil for a stream of the peer's
}

func (l tcpLine) Read(p []byte) (int, error) {
	n, err := l.Stream.Read(p)
	if n > 0 {
		return n, nil // the rest of the error is what the next Read meets
	}
	return 0, l.carrier.translate(err)
}

// Write writes to the peer. A control frame goes before what waits in yamux's queue,
// which is megabytes when many streams are busy: receipts would come too late for
// the streams that wait for them.
func (l tcpLine) Write(p []byte) (int, error) {
	if l.id() == controlStream && l.carrier.link.ready() && !l.carrier.mux.IsClosed() {
		n, err := l.carrier.link.writeControl(p, l.carrier.patience)
		return n, l.carrier.translate(err)
	}
	n, err := l.Stream.Write(p)
	return n, l.carrier.translate(err)
}

func (l tcpLine) CloseWrite() error { return l.carrier.translate(l.Stream.CloseWrite()) }

func (l tcpLine) id() uint64 { return uint64(l.StreamID()) }

// close ends the direction to the peer and then resets: a reset after the end
// takes nothing from what was sent before, and lets the peer's writer know that
// nobody reads, which yamux's own close leaves it to find out by waiting.
func (l tcpLine) close() error {
	err := l.CloseWrite()
	l.cut(wire.OK)
	return err
}

func (l tcpLine) cut(code wire.Code) {
	l.ResetWithError(uint32(code)) //nolint:errcheck // it returns none
	if l.ended != nil && !l.ended.Swap(true) {
		l.carrier.mine.Add(-1)
	}
}

// newGrowth bounds what the windows of a session grow by together: yamux asks
// once for each stream whom to ask about that stream's memory.
func newGrowth() func() (yamux.MemoryManager, error) {
	all := new(atomic.Int64)
	return func() (yamux.MemoryManager, error) { return &growth{all: all}, nil }
}

// growth is one stream's share.
type growth struct {
	all *atomic.Int64 // bytes, of the session

	mu   sync.Mutex
	mine int64
	over bool
}

// ReserveMemory lets every stream have the window it begins with, since their
// number is bounded, and a larger one while there is room.
func (g *growth) ReserveMemory(size int, prio uint8) error {
	const first = 255 // yamux's priority for a stream's first window
	if prio == first {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || g.all.Add(int64(size)) > tcpGrowth {
		if !g.over {
			g.all.Add(-int64(size))
		}
		return errNoRoom
	}
	g.mine += int64(size)
	return nil
}

var errNoRoom = errors.New("the session's windows are as large as they may be")

// ReleaseMemory is not called by yamux.
func (g *growth) ReleaseMemory(int) {}

// Done gives the share back.
func (g *growth) Done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all.Add(-g.mine)
	g.mine, g.over = 0, true
}

// dialTCP tries the relay's addresses in turn.
func dialTCP(ctx context.Context, cfg Config, addrs []netip.AddrPort, peer identity.ID) (*tcpCarrier, error) {
	var failed []error
	for _, a := range addrs {
		c, err := shakeTCP(ctx, cfg, a, peer)
		if err == nil {
			return c, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

func shakeTCP(ctx context.Context, cfg Config, a netip.AddrPort, peer identity.ID) (*tcpCarrier, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := cfg.Dial(ctx, "tcp", a.String())
	if err != nil {
		return nil, err
	}
	return secure(ctx, cfg, raw, cfg.recordTLS(identity.Only(peer)), TCP, true)
}

// dialOverlay has the connection made by one who knows the way.
func dialOverlay(ctx context.Context, cfg Config, addr string, peer identity.ID) (*tcpCarrier, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := cfg.Dial(ctx, Overlay.String(), addr)
	if err != nil {
		return nil, err
	}
	return secure(ctx, cfg, raw, cfg.recordTLS(identity.Only(peer)), Overlay, true)
}

// secure finishes the handshake and starts yamux.
func secure(ctx context.Context, cfg Config, raw net.Conn, config *tls.Config, over Carrier, dialer bool) (c *tcpCarrier, err error) {
	tuneTCP(raw)
	under, start := &records{Conn: raw}, tls.Server
	if dialer {
		start = tls.Client
	}
	conn := start(under, config)
	if err = conn.HandshakeContext(ctx); err == nil {
		if got := conn.ConnectionState().NegotiatedProtocol; got != wire.ALPN {
			err = fmt.Errorf("the peer speaks %q, not %s", cmp.Or(got, "nothing we know"), wire.ALPN)
		} else {
			c, err = newTCP(cfg, conn, under, over, dialer)
		}
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// recordTLS is tls with full records from the first byte on: Go begins with small
// ones, for a page's first lines, and a tunnel is no page.
func (c Config) recordTLS(peer func(identity.ID) error) *tls.Config {
	t := c.tls(peer)
	t.DynamicRecordSizingDisabled = true
	return t
}
