package gateway

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// protocols are what the doors in TLS speak, the preferred one first (RFC 7301). A client that names none, as one that
// speaks SOCKS5, is told apart by its first byte, as at the plain door.
var protocols = []string{protocolH2, "http/1.1"}

const protocolH2 = "h2"

// newTLS is the configuration of every handshake; certificates come from Config as each asks.
func newTLS(cfg Config) *tls.Config {
	return &tls.Config{GetCertificate: cfg.Certificates, NextProtos: protocols, MinVersion: tls.VersionTLS12}
}

// serveTLS carries one connection from its handshake to its end.
func (g *Gateway) serveTLS(ctx context.Context, conn net.Conn, d *doors) {
	defer conn.Close()
	s := newSealed(conn, g.tls)
	shake, cancel := context.WithTimeout(ctx, g.cfg.HeaderTime)
	err := s.HandshakeContext(shake)
	cancel()
	switch {
	case err != nil: // a scan, a client without our certificate's issuer: theirs to see
		g.cfg.Log.Debug("a TLS handshake failed", "err", err)
	case s.ConnectionState().NegotiatedProtocol == protocolH2:
		g.serveH2(ctx, s, d.stopping)
	default:
		g.serve(ctx, newClient(s, g.cfg), d.web)
	}
}

// sealed is a partner's connection inside TLS. Its socket counts records, which are longer than what they hold, so it
// remembers up to where the socket was when bytes had been written.
type sealed struct {
	*tls.Conn
	socket *socket

	mu    sync.Mutex
	given uint64
	marks marks
}

func newSealed(conn net.Conn, cfg *tls.Config) *sealed {
	s := &socket{Conn: conn}
	return &sealed{Conn: tls.Server(s, cfg), socket: s}
}

// NetConn is the counted socket.
func (s *sealed) NetConn() net.Conn { return s.socket }

func (s *sealed) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given += uint64(n)
	s.marks.add(s.given, s.socket.written())
	return n, err
}

// unacknowledged is how many bytes written to s the partner's system has not acknowledged whole records of.
func (s *sealed) unacknowledged() int {
	acknowledged := s.socket.acknowledged()
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.given - s.marks.within(acknowledged))
}

// Reset cuts the connection without a word: TLS's own would wait for room in the socket.
func (s *sealed) Reset() error { return s.socket.reset() }
