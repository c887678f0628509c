package reach

import (
	"net/netip"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"sward/internal/identity"
)

// gater asks Config.Gate before any address is dialled. Peers tell each other where they are, for a hole to be punched:
// without it they could have this host knock at any door, one in this house included.
type gater struct {
	gate  func(netip.Addr) error
	peers func(identity.ID) error // who may be dialled; nil: anyone
}

var _ connmgr.ConnectionGater = gater{}

// InterceptAddrDial lets addresses pass that the gate lets pass. A circuit's first part is the relay's own address.
func (g gater) InterceptAddrDial(_ peer.ID, a multiaddr.Multiaddr) bool {
	ip, err := addressOf(a)
	return err == nil && g.gate(ip) == nil
}

// InterceptPeerDial keeps an edge to the relays of its network. Anyone who finds its port can bring it a circuit, upon which
// libp2p dials, over UDP and TCP, wherever the other end says that it is: a stranger's scanner.
func (g gater) InterceptPeerDial(p peer.ID) bool {
	if g.peers == nil {
		return true
	}
	id, err := identity.OfPeer(p)
	return err == nil && g.peers(id) == nil
}

// Who may connect is nobody's business here: a handshake gives nothing away, and streams have Config.Allow.

func (gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }
func (gater) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

func (gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
