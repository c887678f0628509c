package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/apernet/quic-go"
	"golang.org/x/time/rate"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// maxGreeting is how many connections may be between handshake and Accept.
	// When all are taken quic-go queues 32 more and refuses the rest.
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

// Listen waits for dialers on pc, which stays the caller's.
func Listen(cfg Config, pc net.PacketConn) (*Listener, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	unproved := rate.NewLimiter(trustedHandshakes, trustedHandshakes)
	l := &Listener{
		cfg: cfg,
		transport: &quic.Transport{
			Conn:                pc,
			StatelessResetKey:   cfg.resetKey(),
			VerifySourceAddress: func(net.Addr) bool { return !unproved.Allow() },
		},
		greeted:  make(chan greeting), // handed over in person: a session in a queue would age
		sessions: map[*Session]struct{}{},
	}
	var err error
	if l.quic, err = l.transport.Listen(cfg.tls(cfg.Peers), quicConfig(cfg.Idle)); err != nil {
		return nil, fmt.Errorf("listen for tunnels: %w", err)
	}
	l.closing, l.close = context.WithCancel(context.Background())
	l.wg.Go(l.receive)
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
			l.greet(conn)
		})
	}
}

// greet takes a connection from its handshake to Accept.
func (l *Listener) greet(conn *quic.Conn) {
	peer, err := identity.PeerOf(conn.ConnectionState().TLS)
	if err != nil {
		conn.CloseWithError(quic.ApplicationErrorCode(wire.ProtocolError), "no identity")
		return
	}
	s := newSession(l.cfg, conn, peer, func() {})
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
	context.AfterFunc(s.conn.Context(), func() {
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
	if s.control, err = s.conn.AcceptStream(ctx); err != nil {
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
