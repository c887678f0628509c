package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/apernet/quic-go"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// quicLead is how long QUIC may try alone before TCP tries beside it. A lost
	// first packet is sent again after 200 ms and then 400 ms, and a far relay is
	// 300 ms away; an owner behind a firewall that drops UDP waits for this long,
	// and one more second at most.
	quicLead = 2 * time.Second
	// shortLead is the lead after a session over TCP: UDP is probably still
	// blocked, and where it is not, QUIC is the first to finish.
	shortLead = 500 * time.Millisecond
)

// Dial opens a session with the relay that has the identity peer, at addr
// ("host:port", the same number for UDP and TCP; over an overlay whatever Config.Dial makes of it), and introduces itself by hello,
// of which it fills in what is empty: version, network, clock. If the relay
// refuses, the error is a *wire.Error with its code; if somebody else answers,
// identity.ErrWrongPeer.
//
// pc is the socket to use for QUIC, which stays the caller's and carries one
// session at a time; nil makes one that ends with the session.
func Dial(ctx context.Context, cfg Config, pc net.PacketConn, addr string, peer identity.ID, hello wire.Hello) (*Session, wire.Welcome, error) {
	d, err := NewDialer(cfg, pc)
	if err != nil {
		return nil, wire.Welcome{}, err
	}
	s, w, err := d.Dial(ctx, addr, peer, hello)
	if err != nil {
		d.Close()
		return nil, wire.Welcome{}, err
	}
	context.AfterFunc(s.conn.context(), d.Close)
	return s, w, nil
}

// Socket is a UDP socket that carries the sessions with several relays, so that there is one port that a home router has to
// know.
type Socket struct{ transport *quic.Transport }

// NewSocket checks cfg. pc stays the caller's.
func NewSocket(cfg Config, pc net.PacketConn) (*Socket, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Socket{cfg.newTransport(pc)}, nil
}

// Close gives the socket back. Sessions over QUIC on it end.
func (s *Socket) Close() {
	s.transport.Close() //nolint:errcheck // the socket stays the caller's
}

// Dialer opens sessions with one relay, which may overlap. It remembers what got
// through.
type Dialer struct {
	cfg    Config
	shared *quic.Transport // on the caller's socket; nil: each session has a socket of its own
	own    *Socket         // to close with the dialer
	last   atomic.Uint32   // the Carrier of the latest session
}

// NewDialer checks cfg. All sessions use pc for QUIC, which stays the caller's;
// with nil each has a socket of its own, which ends with it.
func NewDialer(cfg Config, pc net.PacketConn) (*Dialer, error) {
	if pc == nil {
		return NewSharedDialer(cfg, nil)
	}
	s, err := NewSocket(cfg, pc)
	if err != nil {
		return nil, err
	}
	d, err := NewSharedDialer(cfg, s)
	if err == nil {
		d.own = s
	}
	return d, err
}

// NewSharedDialer is NewDialer on a socket that other dialers use, too; nil is none.
func NewSharedDialer(cfg Config, s *Socket) (*Dialer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d := &Dialer{cfg: cfg}
	if s != nil {
		d.shared = s.transport
	}
	return d, nil
}

// Close gives the socket back. Sessions over QUIC on it end, unless it is shared.
func (d *Dialer) Close() {
	if d.own != nil {
		d.own.Close()
	}
}

// Dial opens a session, as the package's Dial does.
func (d *Dialer) Dial(ctx context.Context, addr string, peer identity.ID, hello wire.Hello) (*Session, wire.Welcome, error) {
	s, err := d.connect(ctx, addr, peer)
	if err != nil {
		return nil, wire.Welcome{}, fmt.Errorf("dial relay %s: %w", peer, err)
	}
	if hello.Version == 0 {
		hello.Version = wire.Version
	}
	if hello.Network == "" {
		hello.Network = d.cfg.Network
	}
	if hello.Clock == 0 {
		hello.Clock = time.Now().UnixMilli()
	}
	w, err := s.introduce(ctx, hello)
	if err != nil {
		s.Close(wire.CodeOf(err), "")
		return nil, wire.Welcome{}, fmt.Errorf("greet relay %s: %w", peer, err)
	}
	d.last.Store(uint32(s.Carrier()))
	return s, w, nil
}

// dialled is what came of one carrier's attempt.
type dialled struct {
	conn    carrier
	release func() // frees the carrier's socket once it has ended
	err     error
}

// connect dials over QUIC and, when that fails or takes long, over TCP beside it.
// The first to finish its handshake is the session; the other is dropped before
// it has said a word, so that the relay sees one session.
func (d *Dialer) connect(ctx context.Context, addr string, peer identity.ID) (*Session, error) {
	if d.cfg.Carrier == Overlay {
		conn, err := dialOverlay(ctx, d.cfg, addr, peer)
		if err != nil {
			return nil, err
		}
		return newSession(d.cfg, conn, peer, func() { <-conn.link.closed }), nil
	}
	addrs, err := d.cfg.resolve(ctx, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialled)
	running := 0
	start := func(attempt func(context.Context, []netip.AddrPort, identity.ID) dialled) {
		running++
		go func() { results <- attempt(ctx, addrs, peer) }()
	}
	var lead <-chan time.Time // until TCP begins; nil: it has, or never does
	switch d.cfg.Carrier {
	case QUIC:
		start(d.overQUIC)
	case TCP:
		start(d.overTCP)
	default:
		start(d.overQUIC)
		timer := time.NewTimer(d.lead())
		defer timer.Stop()
		lead = timer.C
	}
	var won *dialled
	var failed []error
	for running > 0 {
		select {
		case r := <-results:
			running--
			switch {
			case r.err != nil && lead != nil:
				lead = nil
				start(d.overTCP)
				failed = append(failed, r.err)
			case r.err != nil:
				failed = append(failed, r.err)
			case won == nil:
				won, lead = &r, nil
				cancel()
			default:
				r.conn.end(wire.OK, "")
				r.release()
			}
		case <-lead:
			lead = nil
			start(d.overTCP)
		}
	}
	if won == nil {
		return nil, errors.Join(failed...)
	}
	return newSession(d.cfg, won.conn, peer, won.release), nil
}

// lead is how long QUIC may try alone.
func (d *Dialer) lead() time.Duration {
	if Carrier(d.last.Load()) == TCP {
		return shortLead
	}
	return quicLead
}

func (d *Dialer) overQUIC(ctx context.Context, addrs []netip.AddrPort, peer identity.ID) dialled {
	t, release := d.shared, func() {}
	if t == nil {
		pc, err := net.ListenUDP("udp", nil)
		if err != nil {
			return dialled{err: err}
		}
		t = d.cfg.newTransport(pc)
		release = func() {
			t.Close()
			pc.Close()
		}
	}
	conn, err := dialQUIC(ctx, d.cfg, t, addrs, peer)
	if err != nil {
		release()
		return dialled{err: err}
	}
	return dialled{conn: conn, release: release}
}

func (d *Dialer) overTCP(ctx context.Context, addrs []netip.AddrPort, peer identity.ID) dialled {
	conn, err := dialTCP(ctx, d.cfg, addrs, peer)
	if err != nil {
		return dialled{err: fmt.Errorf("over TCP: %w", err)}
	}
	return dialled{conn: conn, release: func() { <-conn.link.closed }}
}

// resolve finds the addresses of a relay, which Config.Gate lets pass.
func (c Config) resolve(ctx context.Context, addr string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("port %q is not a number from 1 to 65535", service)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	const most = 4 // addresses: each may cost a handshakeTimeout
	var addrs []netip.AddrPort
	refused := fmt.Errorf("%s has no address", host)
	for _, ip := range ips[:min(len(ips), most)] {
		if c.Gate != nil {
			if err := c.Gate(ip.Unmap()); err != nil {
				refused = fmt.Errorf("%s may not be dialled: %w", addr, err)
				continue
			}
		}
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	if len(addrs) == 0 {
		return nil, refused
	}
	return addrs, nil
}

// introduce opens the control stream, says hello and hears the answer.
func (s *Session) introduce(ctx context.Context, hello wire.Hello) (w wire.Welcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	if s.control, err = s.conn.open(); err != nil {
		return w, err
	}
	if err := s.Send(hello); err != nil {
		return w, err
	}
	t, body, err := s.Control(ctx)
	switch {
	case err != nil:
		return w, err
	case t == wire.TypeBye:
		bye, err := wire.ParseBye(body)
		if err != nil {
			return w, err
		}
		return w, &wire.Error{Code: bye.Code, Detail: bye.Detail}
	case t != wire.TypeWelcome:
		return w, wire.Errorf(wire.ProtocolError, "hello was answered with %s", t)
	}
	if w, err = wire.ParseWelcome(body); err != nil {
		return w, err
	}
	if w.Version != wire.Version {
		return w, wire.Errorf(wire.VersionUnsupported, "the relay chose version %d, this program speaks %d", w.Version, wire.Version)
	}
	return w, nil
}
