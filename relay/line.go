package relay

import (
	"context"
	"net"

	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
)

// The kinds of edge in a channel's class (PROTOCOL.md §8.2).
const (
	classAgent     uint16 = 0 // a program of its own, over QUIC
	classExtension uint16 = 2 // a browser, over WebSocket: weaker binding, no address gate of its own
)

// session is a line to a peer, whatever it runs over.
type session interface {
	Peer() identity.ID
	Open(ctx context.Context, frames ...wire.Message) (stream, wire.Opened, error)
	Send(m wire.Message) error
	Control(ctx context.Context) (wire.Type, []byte, error)
	Exporter(label string, context []byte) ([32]byte, error)
	Drain(code wire.Code, detail string) error
	Draining() bool
	// Received grows with whatever comes from the peer, and Probe makes a living one answer: see pulse.
	Received() uint64
	Probe() error
	Refuse(code wire.Code, detail string)
	Close(code wire.Code, detail string)
}

// stream is one connection on such a line.
type stream interface {
	net.Conn
	ID() uint64 // by which both ends name it in a Done frame
	CloseWrite() error
	Reset()
}

// agentLine is a line to an agent, or to the hub.
type agentLine struct{ *tunnel.Session }

// nodeLine is a line to a browser.
type nodeLine struct{ *tunnel.NodeSession }

var (
	_ session = agentLine{}
	_ session = nodeLine{}
)

// Open hands out a stream as what both lines have in common.
func (l agentLine) Open(ctx context.Context, frames ...wire.Message) (stream, wire.Opened, error) {
	st, opened, err := l.Session.Open(ctx, frames...)
	if err != nil {
		return nil, opened, err // not st: a nil *tunnel.Stream in a stream is not nil
	}
	return st, opened, nil
}

// Open is as above.
func (l nodeLine) Open(ctx context.Context, frames ...wire.Message) (stream, wire.Opened, error) {
	st, opened, err := l.NodeSession.Open(ctx, frames...)
	if err != nil {
		return nil, opened, err
	}
	return st, opened, nil
}

// Probe tells the edge once more where it comes from, which its tunnel has to acknowledge.
func (l agentLine) Probe() error {
	from, err := seen(l)
	if err != nil {
		return err
	}
	return l.Session.Probe(from)
}

// Probe pings the browser; the frame is one that it skips.
func (l nodeLine) Probe() error { return l.NodeSession.Probe(wire.Observed{}) }
