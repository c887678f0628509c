package reach

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"sward/internal/identity"
)

const (
	// directTimeout is how long a mapped address may take to answer: three round trips of a far home, and two lost packets.
	directTimeout = 3 * time.Second
	// circuitTimeout is how long a circuit may take.
	circuitTimeout = 8 * time.Second
	// punchPatience is how long a stream waits for a hole, before it takes the circuit. A hole that can be punched is there
	// after two or three round trips; libp2p tries three times, which takes 15 s, and a partner waits.
	punchPatience = 2 * time.Second
	// openTimeout bounds the stream itself.
	openTimeout = 5 * time.Second
)

// Place is where an edge is to be found, as its relays say.
type Place struct {
	Edge     identity.ID
	Addr     netip.Addr // from which it comes to them
	Port     uint16     // at which it can be dialled there (UDP); 0: it cannot
	Circuits []Relay    // over which it can be called
}

// ErrNoWay says that an edge is not to be reached, whatever was tried.
var ErrNoWay = errors.New("no way to the edge")

// Call opens a stream to an edge: at its own address if it has one, over a circuit otherwise, and then through the hole
// that both ends punch, if there is one soon.
func (h *Host) Call(ctx context.Context, p Place) (*Conn, error) {
	id := p.Edge.Peer()
	if err := h.host.Peerstore().Put(id, told, p.Addr); err != nil {
		return nil, err
	}
	if h.connected(id) == nil { // from an earlier call, perhaps through a hole
		if c, err := h.open(ctx, p, Punched); err == nil {
			return c, nil
		}
	}
	var failed []error
	if p.Port != 0 && p.Addr.IsValid() {
		err := h.dial(ctx, p)
		if err == nil {
			return h.open(ctx, p, Direct)
		}
		failed = append(failed, fmt.Errorf("directly: %w", err))
	}
	for _, relay := range p.Circuits {
		if relay.ID == h.cfg.Key.ID() {
			continue // it has a tunnel to this very relay, or soon
		}
		err := h.circuit(ctx, id, relay)
		if err == nil {
			h.awaitHole(ctx, id)
			return h.open(ctx, p, Punched)
		}
		failed = append(failed, fmt.Errorf("over relay %s: %w", relay.ID, err))
	}
	return nil, fmt.Errorf("%w %s: %w", ErrNoWay, p.Edge, errors.Join(failed...))
}

// dial connects to an edge at its own address.
func (h *Host) dial(ctx context.Context, p Place) error {
	ctx, cancel := context.WithTimeout(ctx, directTimeout)
	defer cancel()
	ways, err := waysTo(netip.AddrPortFrom(p.Addr, p.Port))
	if err != nil {
		return err
	}
	h.forget(p.Edge.Peer())
	return h.host.Connect(network.WithForceDirectDial(ctx, "the edge is mapped"), peer.AddrInfo{ID: p.Edge.Peer(), Addrs: ways[:1]})
}

// circuit connects to an edge over a relay.
func (h *Host) circuit(ctx context.Context, edge peer.ID, relay Relay) error {
	ctx, cancel := context.WithTimeout(ctx, circuitTimeout)
	defer cancel()
	ways, err := h.waysToRelay(ctx, relay)
	if err != nil {
		return err
	}
	over, err := multiaddr.NewMultiaddr("/p2p/" + relay.ID.String() + "/p2p-circuit")
	if err != nil {
		return err
	}
	for i, w := range ways {
		ways[i] = w.Encapsulate(over)
	}
	h.forget(edge)
	return h.host.Connect(ctx, peer.AddrInfo{ID: edge, Addrs: ways})
}

// forget drops what is known of where a peer is, and of how long to leave it alone: what its relays say is newer.
func (h *Host) forget(p peer.ID) {
	h.host.Peerstore().ClearAddrs(p)
	if s, ok := h.host.Network().(interface {
		Backoff() interface{ Clear(peer.ID) }
	}); ok {
		s.Backoff().Clear(p)
	}
}

// connected is nil when there is a connection to p that leads over no relay.
func (h *Host) connected(p peer.ID) error {
	for _, c := range h.host.Network().ConnsToPeer(p) {
		if !isCircuit(c) && !c.IsClosed() {
			return nil
		}
	}
	return ErrNoWay
}

// awaitHole waits a moment for a connection that leads over no relay. The edge begins to punch, when it is called.
func (h *Host) awaitHole(ctx context.Context, p peer.ID) {
	ctx, cancel := context.WithTimeout(ctx, punchPatience)
	defer cancel()
	there := &network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if c.RemotePeer() == p && !isCircuit(c) {
			cancel()
		}
	}}
	h.host.Network().Notify(there)
	defer h.host.Network().StopNotify(there)
	if h.connected(p) != nil {
		<-ctx.Done()
	}
}

// open opens a stream on the best connection there is. near is the path when that leads over no relay.
func (h *Host) open(ctx context.Context, p Place, near Path) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	ctx = network.WithAllowLimitedConn(network.WithNoDial(ctx, "it is there"), "a tunnel has its own bounds")
	s, err := h.host.NewStream(ctx, p.Edge.Peer(), streamProtocol)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrNoWay, p.Edge, err)
	}
	c, err := h.newConn(s)
	if err != nil {
		s.Reset() //nolint:errcheck // it is of no use
		return nil, err
	}
	if c.path != Circuit {
		c.path = near
	}
	return c, nil
}

// Open opens one more stream to a peer that has called, over the connection that it came by.
func (h *Host) Open(ctx context.Context, to identity.ID) (*Conn, error) {
	return h.open(ctx, Place{Edge: to}, Direct)
}
