package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/apernet/quic-go"
	"golang.org/x/time/rate"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// maxGreeting is how many connections over QUIC may be between handshake and
	// Accept. When all are taken quic-go queues 32 more and refuses the rest.
	maxGreeting = 1024
	// trustedHandshakes a second are begun for addresses that have not proved
	// to be real, so that a session costs no extra round trip on a quiet day.
	// Beyond it QUIC's Retry makes a sender show that it receives. Two cores
	// do about 270 handshakes a second.
	trustedHandshakes = 100
)

// Listener waits for dialers.
type Listener struct {
	cfg       Config
	transport *quic.Transport
	quic      *quic.Listener
	arrivals  *arrivals
	greeted   chan greeting
	closing   context.Context
	close     context.CancelFunc
	wg        sync.WaitGroup

	mu       sync.Mutex
	sessions map[*Session]struct{} // all that have not ended
}

type greeting struct {
	session *Session
	hello   wire.Hello
}

// Listen waits for dialers on pc, which stays the caller's, and on cfg.Listener and cfg.Overlay.
func Listen(cfg Config, pc net.PacketConn) (*Listener, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	unproved := rate.NewLimiter(trustedHandshakes, trustedHandshakes)
	l := &Listener{
		cfg:       cfg,
		transport: cfg.newTransport(pc),
		arrivals:  newArrivals(),
		greeted:   make(chan greeting), // handed over in person: a session in a queue would age
		sessions:  map[*Session]struct{}{},
	}
	l.transport.VerifySourceAddress = func(from net.Addr) bool { return l.arrivals.crowded(from) || !unproved.Allow() }
	l.transport.ConnContext = l.arrivals.quic
	var err error
	if l.quic, err = l.transport.Listen(cfg.tls(cfg.Peers), quicConfig(cfg.Idle)); err != nil {
		return nil, fmt.Errorf("listen for tunnels: %w", err)
	}
	l.closing, l.close = context.WithCancel(context.Background())
	l.wg.Go(l.receive)
	if cfg.Listener != nil {
		l.wg.Go(func() { l.receiveTCP(cfg.Listener, TCP) })
	}
	if cfg.Overlay != nil {
		l.wg.Go(func() { l.receiveTCP(cfg.Overlay, Overlay) })
	}
	return l, nil
}

// Addr is where the listener can be reached.
func (l *Listener) Addr() net.Addr { return l.quic.Addr() }

// Accept returns the next dialer that has said Hello to this network in a
// version we speak. The caller answers with a Welcome by Send, or with Refuse.
// The error is net.ErrClosed after Close, or the context's.
func (l *Listener) Accept(ctx context.Context) (*Session, wire.Hello, error) {
	select {
	case g := <-l.greeted:
		return g.session, g.hello, nil
	case <-l.closing.Done():
		return nil, wire.Hello{}, fmt.Errorf("accept session: %w", net.ErrClosed)
	case <-ctx.Done():
		return nil, wire.Hello{}, ctx.Err()
	}
}

// Close ends every session with code draining, and returns when all of the
// listener's work has stopped. To spare the running streams, drain the sessions
// first.
func (l *Listener) Close() error {
	l.close()
	l.quic.Close() // ends receive
	for _, others := range []net.Listener{l.cfg.Listener, l.cfg.Overlay} {
		if others != nil {
			others.Close() // ends receiveTCP
		}
	}
	l.mu.Lock()
	for s := range l.sessions {
		l.wg.Go(func() { s.end(wire.Draining, "the relay is stopping") })
	}
	l.mu.Unlock()
	l.wg.Wait()
	return l.transport.Close()
}

func (l *Listener) receive() {
	slots := make(chan struct{}, maxGreeting)
	for {
		slots <- struct{}{}
		conn, err := l.quic.Accept(l.closing)
		if err != nil {
			return // closed: quic-go has no other error here
		}
		l.wg.Go(func() {
			defer func() { <-slots }()
			defer l.arrivals.greeted(conn.Context())
			l.greet(quicCarrier{conn}, func() {})
		})
	}
}

// receiveTCP begins the handshakes of those who come over TCP, or what is used like it.
func (l *Listener) receiveTCP(from net.Listener, over Carrier) {
	const most = time.Second // between two tries, when there are no file descriptors left
	tls := l.cfg.recordTLS(l.cfg.Peers)
	for pause := time.Duration(0); ; {
		conn, err := from.Accept()
		switch {
		case l.closing.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			pause = min(max(2*pause, 5*time.Millisecond), most)
			sleep(l.closing, pause)
			continue
		}
		pause = 0
		leave, ok := l.arrivals.enter(conn.RemoteAddr())
		if !ok {
			conn.Close()
			continue
		}
		l.wg.Go(func() {
			defer leave()
			l.shake(conn, tls, over)
		})
	}
}

// shake takes such a connection through its handshake to greet.
func (l *Listener) shake(conn net.Conn, config *tls.Config, over Carrier) {
	ctx, cancel := context.WithTimeout(l.closing, handshakeTimeout)
	defer cancel()
	c, err := secure(ctx, l.cfg, conn, config, over, false)
	if err != nil {
		l.cfg.Log.Debug("handshake failed", "err", err)
		return
	}
	l.greet(c, func() { <-c.link.closed })
}

// greet takes a connection from its handshake to Accept.
func (l *Listener) greet(conn carrier, release func()) {
	peer, err := identity.PeerOf(conn.tls())
	if err != nil {
		conn.end(wire.ProtocolError, "no identity")
		return
	}
	s := newSession(l.cfg, conn, peer, release)
	if !l.keep(s) {
		s.end(wire.Draining, "the relay is stopping")
		return
	}
	hello, err := s.hearHello(l.closing)
	if err == nil {
		err = l.admit(hello)
	}
	if err != nil {
		l.cfg.Log.Debug("hello refused", "peer", peer, "err", err)
		refusal, ok := errors.AsType[*wire.Error](err)
		if !ok {
			refusal = wire.Errorf(wire.ProtocolError, "no hello within %v", greetTimeout)
		}
		s.Refuse(refusal.Code, refusal.Detail)
		return
	}
	if hello.Role == wire.RoleEdge {
		s.edge = peer
	}
	select {
	case l.greeted <- greeting{s, hello}:
	case <-s.Done():
	case <-l.closing.Done(): // Close ends the session
	}
}

// keep adds s to the sessions that Close ends, unless Close has begun.
func (l *Listener) keep(s *Session) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing.Err() != nil {
		return false
	}
	l.sessions[s] = struct{}{}
	context.AfterFunc(s.conn.context(), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.sessions, s)
	})
	return true
}

// admit checks what every listener must; the rest is the caller's judgement.
func (l *Listener) admit(hello wire.Hello) error {
	switch {
	case hello.Version < wire.Version: // the highest that the dialer speaks
		return wire.Errorf(wire.VersionUnsupported, "the relay speaks version %d, not %d", wire.Version, hello.Version)
	case hello.Network != l.cfg.Network:
		return wire.Errorf(wire.Binding, "this relay belongs to another network")
	}
	return nil
}

func (s *Session) hearHello(ctx context.Context) (hello wire.Hello, err error) {
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	if s.control, err = s.conn.accept(ctx); err != nil {
		return hello, err
	}
	t, body, err := s.Control(ctx)
	if err != nil {
		return hello, err
	}
	if t != wire.TypeHello {
		return hello, wire.Errorf(wire.ProtocolError, "the session began with %s", t)
	}
	return wire.ParseHello(body)
}
