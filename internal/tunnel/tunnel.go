// Package tunnel carries streams between peers that know each other's keys. An
// edge behind a home router dials a relay once and keeps the line; whenever a
// partner asks the relay for a connection, one stream opens on that line,
// answers, carries bytes and ends.
//
// A session is a QUIC connection whose two ends have proved their identities; where
// UDP does not get through it is yamux over TLS over TCP instead (carrier.go), with
// the same identities, streams and frames. Its first stream is the control stream,
// and speaks frames of package wire:
//
//	edge                                      relay
//	Dial ── TLS 1.3, both identities ───────▶ Listener
//	     ── Hello ──────────────────────────▶ Accept
//	     ◀───────────────────── Welcome, Bye  Send, Refuse
//	     ◀──────────── Open, Opened, bytes ─▶ Session.Open, once per connection
//	     ◀── counts and receipts, control ──▶ Send, Control
//	     ◀────────────────────────────── Bye  Drain: running streams may finish
//
// This package moves frames and streams and holds their limits. What a Hello
// promises, which edge a stream goes to, and what a receipt says belongs to
// relay, edge and accounting. Client keeps a session up from the dialing end.
// PROTOCOL.md is the normative text.
package tunnel

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// keepAlive is how often a quiet session sends a packet. Home routers
	// forget a UDP mapping after 30 s at the earliest (RFC 4787 REQ-5 asks for
	// two minutes, measurements find 30 s).
	keepAlive = 15 * time.Second
	// idleTimeout ends a session from which nothing has been heard: two lost
	// keep-alives are an accident, three are an absence. QUIC counts from the
	// first packet that went unanswered (RFC 9000 §10.1), so that a quiet peer's
	// absence is noticed within keepAlive + idleTimeout.
	idleTimeout = keptAlive * keepAlive
	keptAlive   = 3
	// handshakeTimeout bounds the QUIC and TLS handshake. It is three or four
	// round trips at most, and a path where they take longer is of no use.
	handshakeTimeout = 10 * time.Second
	// greetTimeout bounds the wait for Hello, and for Welcome.
	greetTimeout = 10 * time.Second
	// openTimeout bounds the wait for Opened, unless the context is shorter.
	// The edge resolves a name and dials in that time.
	openTimeout = 30 * time.Second
	// sendTimeout bounds a control frame's wait for room: a peer that does not
	// read its control stream for so long has no use for the session.
	sendTimeout = 10 * time.Second
	// lingerTimeout is how long Close waits, after a drain, until the peer has
	// read what was sent last.
	lingerTimeout = time.Second

	// maxStreams is how many streams a peer may have open at once. A browser
	// behind a proxy opens up to 256 to all its hosts; an edge's own limit,
	// which its owner sets, is lower.
	maxStreams = 512
	// streamWindow and sessionWindow bound what a peer may send before it is
	// read, in bytes: 4 MiB carry 320 Mbit/s over 100 ms on one stream, and
	// eight readers can stall before they hold up the other streams.
	streamWindow  = 4 << 20
	sessionWindow = 8 * streamWindow
	// firstWindow is where a stream's window starts, and grows from when its
	// reader keeps up. Over QUIC the session's starts at sixteen of them: a start
	// at one and a half, which is quic-go's, is full when two readers stall.
	firstWindow = 512 << 10
	// maxSkipped is how many frames that nobody asked for may precede Opened.
	maxSkipped = 16
)

// Config is what both ends of a session need.
type Config struct {
	Key     identity.Key
	Network string                  // both ends must agree; see identity.CheckNetwork
	Peers   func(identity.ID) error // listener: who may connect; nil is anyone with a key
	Idle    time.Duration           // without a word the session has ended; 0: 45 s. A third of it is how often a quiet one speaks
	Log     *slog.Logger            // nil discards

	// Yield bounds the queue that what this end sends may build in front of the
	// line, so that others in the house do not notice; 0: 25 ms, negative: no
	// bound. Over TCP the kernel's congestion control has the say.
	Yield time.Duration

	// Listener, if not nil, takes sessions over TCP beside those over QUIC. It is
	// closed with the tunnel's Listener.
	Listener net.Listener
	// Overlay, if not nil, takes sessions over another network's streams. It is closed with the tunnel's Listener.
	Overlay net.Listener
	// Carrier is what the dialer uses; the zero value chooses by itself.
	Carrier Carrier
	// Dial is how the dialer connects over TCP, and over an overlay, where it finds the peer by itself; nil is the system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Gate says which of a relay's addresses the dialer may dial, after its name was resolved and before anything is sent; nil
	// is any. Overlays have their own.
	Gate func(netip.Addr) error

	first uint16 // size of the first datagrams over QUIC, for a trial; 0: the usual
}

func (c Config) withDefaults() Config {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Idle <= 0 {
		c.Idle = idleTimeout
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	return c
}

func (c Config) check() error {
	if c.Key.IsZero() {
		return errors.New("tunnel needs a key")
	}
	return identity.CheckNetwork(c.Network)
}

func (c Config) tls(peer func(identity.ID) error) *tls.Config {
	t := c.Key.TLSConfig(peer)
	t.NextProtos = []string{wire.ALPN}
	return t
}
