package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"sward/internal/outside"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/policy"
)

const (
	// portTLS is where a connection must begin with a TLS handshake: what else is sent there (mail, SSH, BitTorrent) goes
	// by a port that is open for the web because it hides among it.
	portTLS = 443
	// maxHello bounds the bytes of a client's first flight. The largest in use, with a post-quantum key share and tickets,
	// are below 4 KiB.
	maxHello = 32 << 10
	// recordHandshake is the first byte of a TLS record that carries a handshake (RFC 8446 §5.1).
	recordHandshake = 22
)

// errSeen ends the handshake of a server that wanted to see the client's hello and nothing else.
var errSeen = errors.New("the hello has been read")

// vetHello reads the client's first flight of a connection to port 443 before the target gets a byte of it. What is not
// TLS goes no further; neither does a handshake that names a server which the owner denies, while the stream was opened
// for another name or for an address that many share. It returns what it has read, for the target.
//
// also hears what the handshake asks for, so that a later change of rules finds it.
//
// The server name is all that can be seen: with Encrypted Client Hello it is that of the provider.
func (d *dialer) vetHello(ctx context.Context, conn *tunnel.Stream, c *call, also func(policy.Request)) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(idleLimit)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })() //nolint:errcheck // of a stream that is gone
	name, flight, err := readHello(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if name == "" || name == c.target.Host.String() {
		return flight, nil
	}
	host, err := policy.ParseHost(name)
	if err != nil {
		return nil, wire.Errorf(wire.SNIMismatch, "the handshake names no public host")
	}
	request := policy.Request{App: c.app, Purpose: c.purpose, Target: policy.Target{Host: host, Port: portTLS}, Time: d.clock()}
	also(request)
	if err := d.terms().policy.Check(request); err != nil {
		return nil, wire.Errorf(wire.SNIMismatch, "the handshake names a server that is denied: %s", wire.CodeOf(outside.Refusal(err)))
	}
	return flight, nil
}

// readHello reads from r until a ClientHello is complete, and returns the server name in it, if it has one, with all
// that was read. The parser is that of crypto/tls, stopped at the point where a server chooses its configuration.
func readHello(ctx context.Context, r io.Reader) (name string, flight []byte, err error) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(r, first); err != nil {
		return "", nil, err
	}
	if first[0] != recordHandshake {
		return "", nil, wire.Errorf(wire.ProtoNotTLS, "the first byte is %#02x", first[0])
	}
	read := bytes.NewBuffer(first)
	rest := io.TeeReader(io.LimitReader(r, maxHello), read)
	server := tls.Server(helloConn{Reader: io.MultiReader(bytes.NewReader(first), rest)}, &tls.Config{
		MinVersion: tls.VersionTLS10, // whether a version is too old is for the target to say
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name = hello.ServerName
			return nil, errSeen
		},
	})
	switch err := server.HandshakeContext(ctx); {
	case errors.Is(err, errSeen):
		return name, read.Bytes(), nil
	case read.Len() > maxHello:
		return "", nil, wire.Errorf(wire.ProtoNotTLS, "the first handshake message is longer than %d bytes", maxHello)
	default:
		if cut, ok := errors.AsType[net.Error](err); ok && cut.Timeout() {
			return "", nil, err // silence is not a protocol
		}
		return "", nil, wire.Errorf(wire.ProtoNotTLS, "no ClientHello follows")
	}
}

// helloConn is one half of a connection: what is read is the client's, and what the server would answer is dropped.
type helloConn struct {
	net.Conn // nil: a handshake that stops at the hello reads and writes, no more
	io.Reader
}

func (c helloConn) Read(p []byte) (int, error)     { return c.Reader.Read(p) }
func (helloConn) Write(p []byte) (int, error)      { return len(p), nil }
func (helloConn) Close() error                     { return nil }
func (helloConn) SetDeadline(time.Time) error      { return nil }
func (helloConn) SetWriteDeadline(time.Time) error { return nil }
func (helloConn) SetReadDeadline(time.Time) error  { return nil }

// begun is the stream with what has been read of it put back.
type begun struct {
	tunnelConn
	flight []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.flight) == 0 {
		return b.tunnelConn.Read(p)
	}
	n := copy(p, b.flight)
	b.flight = b.flight[n:]
	return n, nil
}
