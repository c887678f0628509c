package reach

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"

	"sward/internal/identity"
)

// Path is how a stream comes to the other end.
type Path uint8

// The paths, in the order of preference.
const (
	Direct  Path = 1 // dialled, at the address that the edge is known by
	Punched Path = 2 // through a hole that both ends punched, or dialled back by the edge after a circuit
	Circuit Path = 3 // over a relay that the edge keeps a connection to
)

func (p Path) String() string {
	switch p {
	case Direct:
		return "direct"
	case Punched:
		return "punched"
	case Circuit:
		return "circuit"
	}
	return "unknown"
}

// Conn is a stream as a connection.
type Conn struct {
	network.Stream
	peer identity.ID
	path Path
	at   netip.AddrPort // of the peer; over a circuit what is known of it otherwise
}

var _ net.Conn = (*Conn)(nil)

func (h *Host) newConn(s network.Stream) (*Conn, error) {
	peer, err := identity.OfPeer(s.Conn().RemotePeer())
	if err != nil {
		return nil, err
	}
	c := &Conn{Stream: s, peer: peer, path: Direct}
	if isCircuit(s.Conn()) {
		c.path, c.at = Circuit, h.toldOf(peer)
		return c, nil
	}
	if c.at, err = addrPortOf(s.Conn().RemoteMultiaddr()); err != nil {
		return nil, fmt.Errorf("a stream from %s: %w", peer, err)
	}
	return c, nil
}

// told is the key under which the peerstore keeps where an edge was said to be, while there is a connection to it.
const told = "sward/place"

// toldOf is where a peer is that comes over a circuit, whose own address is the relay's.
func (h *Host) toldOf(peer identity.ID) netip.AddrPort {
	kept, err := h.host.Peerstore().Get(peer.Peer(), told)
	if err != nil {
		return netip.AddrPort{}
	}
	at, _ := kept.(netip.Addr)
	return netip.AddrPortFrom(at, 0)
}

// isCircuit tells whether a connection leads over a relay.
func isCircuit(c network.Conn) bool {
	_, err := c.RemoteMultiaddr().ValueForProtocol(multiaddr.P_CIRCUIT)
	return err == nil
}

// Peer is who is at the other end, by libp2p's handshake.
func (c *Conn) Peer() identity.ID { return c.peer }

// Path is how the stream comes there.
func (c *Conn) Path() Path { return c.path }

// Close ends the stream in both directions. What was written before still arrives.
func (c *Conn) Close() error {
	err := c.Stream.Close()
	c.Stream.CloseRead() //nolint:errcheck // nobody reads
	return err
}

// LocalAddr says no more than that it is a stream: a host has several addresses.
func (c *Conn) LocalAddr() net.Addr { return Addr{} }

// RemoteAddr is an Addr: where the peer is, as far as this end knows.
func (c *Conn) RemoteAddr() net.Addr { return Addr{c.at, c.path} }
