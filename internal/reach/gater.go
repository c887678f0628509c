package reach

import (
	"net/netip"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// gater asks Config.Gate before any address is dialled. Peers tell each other where they are, for a hole to be punched:
// without it they could have this host knock at any door, one in this house included.
type gater struct {
	gate func(netip.Addr) error
}

var _ connmgr.ConnectionGater = gater{}

// InterceptAddrDial lets addresses pass that the gate lets pass. A circuit's first part is the relay's own address.
func (g gater) InterceptAddrDial(_ peer.ID, a multiaddr.Multiaddr) bool {
	ip, err := addressOf(a)
	return err == nil && g.gate(ip) == nil
}

// Who may connect is nobody's business here: a handshake gives nothing away, and streams have Config.Allow.

func (gater) InterceptPeerDial(peer.ID) bool              { return true }
func (gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }
func (gater) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

func (gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
