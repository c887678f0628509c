package reach

import (
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

const (
	// A home has its few relays and one who calls, now and then strangers who find the port: libp2p's handshakes cost
	// memory and little else.
	homeConns   = 64
	homeStreams = 512
	// A relay has a connection to each edge that wants to be reached through it, and streams for circuits.
	relayConns   = 8192
	relayStreams = 32768
	// greeting bounds the connections that have not proved who they are.
	homeGreeting  = 16
	relayGreeting = 512
	// peerConns is what one peer may have: the connection, a circuit's, and those of a hole that is being punched.
	peerConns = 8
	// homePeerStreams and relayPeerStreams are one peer's: to a home it opens a tunnel and what libp2p asks; on a relay
	// another relay has a stream for each circuit.
	homePeerStreams  = 64
	relayPeerStreams = 1024
	// fromOne bounds the connections from one address, and from an IPv6 /56: a provider's CGNAT has many edges behind it.
	fromOne = 64
)

// newLimits bounds what strangers can make a host hold. Memory is bounded by what these hold: QUIC's windows grow with
// what is read, and one that is not read stays at 512 KiB.
func newLimits(relay bool) (network.ResourceManager, error) {
	conns, streams, greeting, peerStreams := rcmgr.LimitVal(homeConns), rcmgr.LimitVal(homeStreams), rcmgr.LimitVal(homeGreeting), rcmgr.LimitVal(homePeerStreams)
	if relay {
		conns, streams, greeting, peerStreams = relayConns, relayStreams, relayGreeting, relayPeerStreams
	}
	limits := rcmgr.PartialLimitConfig{
		System:      bounds(conns, streams),
		Transient:   bounds(greeting, greeting),
		PeerDefault: bounds(peerConns, peerStreams),
	}
	one := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: fromOne}}
	six := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: fromOne}}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)),
		rcmgr.WithLimitPerSubnet(one, six), rcmgr.WithMetricsDisabled())
}

// bounds has one number for both directions together and for each.
func bounds(conns, streams rcmgr.LimitVal) rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{
		Conns: conns, ConnsInbound: conns, ConnsOutbound: conns, FD: conns,
		Streams: streams, StreamsInbound: streams, StreamsOutbound: streams,
	}
}
