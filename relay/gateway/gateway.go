// Package gateway is the partners' door: one TCP port where any HTTP or SOCKS5 client can ask for a connection through
// somebody's home, and two more for those who want TLS, HTTP/2 or HTTP/3 on the way to it. Nothing of ours is needed on
// the other side.
//
// A connection walks through this package like this:
//
//	accept ──▶ tls.go, h3.go: the handshake, for the doors in TLS
//	            ├─ h2, h3 ─▶ h2.go, h3.go, streams.go: many requests at once, each as a connection of its own
//	            └─ serve: the first byte tells the dialect
//	                ├─ 5      ─▶ socks.go: greeting, credential, request
//	                └─ letter ─▶ client.go, head.go: one strict head at a time, for net/http
//	                             http.go: ServeHTTP
//	          credential ─▶ whose, and which exit   dialect.go
//	                     ─▶ Authorise ─▶ target ─▶ Dial   admit.go
//	            ├─ refused          ─▶ status, SOCKS reply, headers    refuse.go
//	            ├─ CONNECT, SOCKS5  ─▶ announce.go ─▶ Conn.Join
//	            └─ plain HTTP       ─▶ one request over Conn           forward.go
//
// What a client has acknowledged, which is what it pays for, is told by Unacknowledged: of a socket by the system, of
// what shares one by marks (marks.go, stream.go), of HTTP/3 by its packets (h3acks.go).
//
// The door knows nothing of edges, grants or money: Authorise says who somebody is, and Dial gives a connection that
// meters itself. It decides what needs no one else: whether the request is well-formed, and whether the target is one
// that nobody may reach, so that such a request costs no edge anything. HTTP is net/http and goproxy; SOCKS5 is RFC 1928
// with the user name and password of RFC 1929.
package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/apernet/quic-go"
	"github.com/elazarl/goproxy"
	"golang.org/x/sync/errgroup"

	"sward/internal/wire"
	"sward/policy"
)

// Account is a partner as Authorise knows it. The door carries it to Dial.
type Account interface {
	// LowBalance is how many bytes the account can still pay for, when it is time to say so: the Sward-Balance header.
	LowBalance() (bytes uint64, low bool)
}

// Conn is a connection to a target through an edge. It meters itself, because what counts as delivered depends on how
// its bytes reach the partner: a tunnelled connection is handed the partner's socket, whose acknowledgements it can ask
// for, and a plain HTTP response is what has been read from it.
type Conn interface {
	// net.Conn serves plain HTTP: bytes are metered as they are read and written. Close ends the connection and its
	// account; it follows Join too, and may be called twice.
	net.Conn

	// Exit is the line that the connection leaves from, for the partner: the Sward-Edge and Sward-Exit headers.
	Exit() Line

	// Join carries bytes between the target and client both ways, until both have ended, one has failed, or ctx ends.
	// client has CloseWrite and Reset. What its partner has of the bytes written to it is told by Unacknowledged, which
	// knows whether client is a TCP connection, one inside TLS, or a stream that shares its connection with others. What
	// is not acknowledged is not delivered, and not to be charged.
	Join(ctx context.Context, client net.Conn) error
}

// Config is the door's world. Errors of Authorise and Dial may carry a *wire.Error, which the partner is told; any other
// error is told as a fault of ours and logged.
type Config struct {
	Listener net.Listener

	// TLSListener is a second door, in TLS, with HTTP/2; PacketConn is a third, for HTTP/3. Either may be nil. Both show
	// what Certificates gives them, which is asked at every handshake.
	TLSListener  net.Listener
	PacketConn   net.PacketConn
	Certificates func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Tune         func(*quic.Conn) // chooses the congestion control of a connection of HTTP/3; may be nil

	// Authorise finds the account of a name and key, presented from an address. It is the caller's to compare in constant
	// time and to slow down those who guess.
	Authorise func(ctx context.Context, name, key string, from netip.Addr) (Account, error)

	// Dial connects to target through an edge such as exit asks for. ctx bounds the dialling, not the connection.
	Dial func(ctx context.Context, who Account, target policy.Target, exit Exit) (Conn, error)

	Gate    policy.Gate     // addresses nobody may name, beyond those that are not public
	Ports   []uint16        // targets' ports; default 80 and 443
	Refused func(wire.Code) // told of every refusal, for the caller's metrics; may be nil
	Log     *slog.Logger

	MaxConns     int           // connections, and streams within them, at once; more are turned away. Default 10 000: 64 KiB each in the worst case
	HeaderBytes  int           // of one HTTP request head. Default 64 KiB
	HeaderTime   time.Duration // for a head or a SOCKS handshake, from its first byte, and for a TLS handshake. Default 10 s
	IdleTime     time.Duration // between two requests, and without a byte moving in a plain request. Default 60 s
	DialTime     time.Duration // for Authorise, and for Dial. Default 45 s
	ResponseTime time.Duration // from a plain request to the head of its response. Default 60 s
	Grace        time.Duration // for running connections once Run was told to stop. Default 10 s
}

func (c Config) withDefaults() Config {
	if len(c.Ports) == 0 {
		c.Ports = []uint16{80, 443}
	}
	if c.Refused == nil {
		c.Refused = func(wire.Code) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxConns <= 0 {
		c.MaxConns = 10_000
	}
	if c.HeaderBytes <= 0 {
		c.HeaderBytes = 64 << 10
	}
	for d, def := range map[*time.Duration]time.Duration{
		&c.HeaderTime: 10 * time.Second, &c.IdleTime: 60 * time.Second, &c.DialTime: 45 * time.Second,
		&c.ResponseTime: 60 * time.Second, &c.Grace: 10 * time.Second,
	} {
		if *d <= 0 {
			*d = def
		}
	}
	return c
}

// Gateway is a worker.
type Gateway struct {
	cfg       Config
	ports     *policy.Policy
	proxy     *goproxy.ProxyHttpServer
	transport *http.Transport
	slots     chan struct{} // one token for each open connection, and each stream on it
	tls       *tls.Config   // nil without a certificate
}

// New makes a door; nothing happens before Run.
func New(cfg Config) (*Gateway, error) {
	cfg = cfg.withDefaults()
	if cfg.Listener == nil || cfg.Authorise == nil || cfg.Dial == nil {
		return nil, errors.New("gateway: Listener, Authorise and Dial are required")
	}
	if (cfg.TLSListener != nil || cfg.PacketConn != nil) && cfg.Certificates == nil {
		return nil, errors.New("gateway: a door in TLS needs a certificate")
	}
	ports, err := portRules(cfg.Ports)
	if err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, ports: ports, slots: make(chan struct{}, cfg.MaxConns)}
	g.transport, g.tls = newTransport(cfg), newTLS(cfg)
	g.proxy = g.newProxy()
	return g, nil
}

// doors is what the connections of one Run are handed to.
type doors struct {
	web      *handoff        // HTTP/1
	stopping context.Context // ends when Run was told to stop
}

// Run serves until ctx ends, then lets running connections go on for the grace, and returns when all have ended. The
// error is a listener's, nil when ctx ended.
func (g *Gateway) Run(ctx context.Context) error {
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx)) // ends with the grace
	defer stop()
	accepting, stopping := errgroup.WithContext(ctx)
	d := &doors{web: newHandoff(g.cfg.Listener.Addr()), stopping: stopping}
	server := g.newServer(lasting)
	var serving, conns sync.WaitGroup
	serving.Go(func() { server.Serve(d.web) }) //nolint:errcheck // ErrServerClosed: it ends by Shutdown alone

	accepting.Go(func() error {
		return g.accept(stopping, g.cfg.Listener, g.turnAway, &conns, func(conn net.Conn) {
			g.serve(lasting, newClient(conn, g.cfg), d.web)
		})
	})
	if g.cfg.TLSListener != nil {
		accepting.Go(func() error {
			return g.accept(stopping, g.cfg.TLSListener, g.closeFull, &conns, func(conn net.Conn) { g.serveTLS(lasting, conn, d) })
		})
	}
	if g.cfg.PacketConn != nil {
		accepting.Go(func() error { return g.serveH3(stopping, lasting, &conns) })
	}
	err := accepting.Wait()

	drained := make(chan struct{})
	go func() {
		conns.Wait()
		close(drained)
	}()
	grace, done := context.WithTimeout(lasting, g.cfg.Grace)
	defer done()
	server.Shutdown(grace) //nolint:errcheck // idle connections at once, running requests as they end; late ones are cut below
	select {
	case <-drained:
	case <-grace.Done():
		stop()
		server.Close() //nolint:errcheck // of sockets that nobody needs any more
		<-drained
	}
	serving.Wait()
	return err
}

// accept serves each connection that comes in, on its own goroutine, until ctx ends, when l is closed, or l fails for
// good. When all slots are taken, full is told instead.
func (g *Gateway) accept(ctx context.Context, l net.Listener, full func(net.Conn), conns *sync.WaitGroup, serve func(net.Conn)) error {
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	const shortest, longest = 5 * time.Millisecond, time.Second // between tries while the system has no descriptors
	pause := shortest
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = shortest
			select {
			case g.slots <- struct{}{}:
				conns.Go(func() {
					defer func() { <-g.slots }()
					serve(conn)
				})
			default:
				full(conn)
			}
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was closed above
		case !isTemporary(err):
			return err
		default:
			g.cfg.Log.Warn("connections cannot be accepted, will try again", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, longest)
		}
	}
}

// closeFull closes a connection that there is no room for, before TLS, in which alone it could be told.
func (g *Gateway) closeFull(conn net.Conn) {
	e := &wire.Error{Code: wire.DoorFull}
	g.note(e, e)
	conn.Close()
}

// isTemporary tells an exhausted process from a broken listener, as net/http does.
func isTemporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

// serve carries one connection from its first byte to its end.
func (g *Gateway) serve(ctx context.Context, c *client, web *handoff) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	first, err := c.first()
	switch {
	case err != nil:
	case first == socksVersion:
		g.serveSOCKS(ctx, c)
	case isToken(first):
		if web.give(c) {
			<-c.finished
		}
	}
}
