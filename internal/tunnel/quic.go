package tunnel

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/apernet/quic-go"

	"sward/internal/identity"
	"sward/internal/wire"
)

// leastPacket is the size in bytes that a session begins with: what every path of
// QUIC's carries (RFC 9000 §14.1). Larger ones are tried once it is up, so that a
// path that swallows them costs a few probes and not the session.
const leastPacket = 1200

// quicCarrier is a QUIC connection.
type quicCarrier struct{ conn *quic.Conn }

func (c quicCarrier) kind() Carrier { return QUIC }

func (c quicCarrier) open() (line, error) {
	st, err := c.conn.OpenStream()
	if err != nil {
		if _, full := errors.AsType[*quic.StreamLimitReachedError](err); full {
			return nil, errFull
		}
		return nil, quicError(err)
	}
	return quicLine{st}, nil
}

func (c quicCarrier) accept(ctx context.Context) (line, error) {
	st, err := c.conn.AcceptStream(ctx)
	if err != nil {
		return nil, quicError(err)
	}
	return quicLine{st}, nil
}

func (c quicCarrier) end(code wire.Code, detail string) {
	c.conn.CloseWithError(quic.ApplicationErrorCode(code), detail) //nolint:errcheck // it has ended either way
}

func (c quicCarrier) context() context.Context { return c.conn.Context() }
func (c quicCarrier) why() error               { return quicError(context.Cause(c.conn.Context())) }
func (c quicCarrier) tls() tls.ConnectionState { return c.conn.ConnectionState().TLS }
func (c quicCarrier) rtt() time.Duration       { return c.conn.ConnectionStats().SmoothedRTT }
func (c quicCarrier) received() uint64         { return c.conn.ConnectionStats().PacketsReceived }
func (c quicCarrier) probe()                   {} // every frame is acknowledged
func (c quicCarrier) localAddr() net.Addr      { return c.conn.LocalAddr() }
func (c quicCarrier) remoteAddr() net.Addr     { return c.conn.RemoteAddr() }

// quicLine is a QUIC stream.
type quicLine struct{ *quic.Stream }

func (l quicLine) Read(p []byte) (int, error) {
	n, err := l.Stream.Read(p)
	return n, quicError(err)
}

func (l quicLine) Write(p []byte) (int, error) {
	n, err := l.Stream.Write(p)
	return n, quicError(err)
}

func (l quicLine) CloseWrite() error { return l.Stream.Close() }

func (l quicLine) id() uint64 { return uint64(l.StreamID()) }

func (l quicLine) close() error {
	err := l.Stream.Close()
	l.CancelRead(0)
	return err
}

func (l quicLine) cut(code wire.Code) {
	l.CancelRead(quic.StreamErrorCode(code))
	l.CancelWrite(quic.StreamErrorCode(code))
}

// quicError puts QUIC's reasons into those of a carrier.
func quicError(err error) error {
	if err == nil {
		return nil
	}
	if cut, ok := errors.AsType[*quic.StreamError](err); ok && cut.Remote {
		return &cutError{wire.Code(cut.ErrorCode)}
	}
	if told, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return &lastWord{wire.Code(told.ErrorCode), told.ErrorMessage}
	}
	return err
}

// newTransport makes a socket speak QUIC, in one or both directions.
func (c Config) newTransport(pc net.PacketConn) *quic.Transport {
	return &quic.Transport{Conn: coalescing(pc), StatelessResetKey: c.resetKey()}
}

// dialQUIC tries the relay's addresses in turn.
func dialQUIC(ctx context.Context, cfg Config, t *quic.Transport, addrs []netip.AddrPort, peer identity.ID) (carrier, error) {
	settings := quicConfig(cfg.Idle)
	if cfg.first != 0 {
		settings.InitialPacketSize = cfg.first
	}
	var failed []error
	for _, a := range addrs {
		conn, err := t.Dial(ctx, net.UDPAddrFromAddrPort(a), cfg.tls(identity.Only(peer)), settings)
		if err == nil {
			return quicCarrier{conn}, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

// resetKey lets a relay that was restarted tell its edges that it no longer knows
// them (RFC 9000 §10.3), where they would otherwise wait for idleTimeout. It does
// so at the first packet of some size, which is an edge's next Status at the
// latest: keep-alives are too small to be answered by a reset. Nobody else can
// compute this signature, and it is never sent.
func (c Config) resetKey() *quic.StatelessResetKey {
	k := quic.StatelessResetKey(sha256.Sum256(c.Key.Sign(c.Network, "quic-stateless-reset", nil)))
	return &k
}

func quicConfig(idle time.Duration) *quic.Config {
	return &quic.Config{
		InitialPacketSize:              leastPacket,
		Versions:                       []quic.Version{quic.Version1},
		HandshakeIdleTimeout:           handshakeTimeout / 2, // quic-go gives the whole handshake twice this
		MaxIdleTimeout:                 idle,
		KeepAlivePeriod:                idle / keptAlive,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          -1, // none: the protocol has no use for them
		InitialStreamReceiveWindow:     firstWindow,
		InitialConnectionReceiveWindow: 16 * firstWindow,
		MaxStreamReceiveWindow:         streamWindow,
		MaxConnectionReceiveWindow:     sessionWindow,
	}
}
