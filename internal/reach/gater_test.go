package reach

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// An edge's host dials relays of its network, and nobody that strangers speak of: with a port in the open it would
// else look at any port of any host for them.
func TestEdgeDialsNoStranger(t *testing.T) {
	n := newTrio(t, nil)
	victim, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	ways, err := waysTo(netip.MustParseAddrPort(victim.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	reached := make(chan struct{})
	go func() {
		if c, err := victim.Accept(); err == nil {
			c.Close()
			close(reached)
		}
	}()
	ctx := soon(t)
	if err := n.edge.host.Connect(ctx, peer.AddrInfo{ID: testKey(t, 's').ID().Peer(), Addrs: ways[1:]}); err == nil {
		t.Error("an edge has connected to a stranger")
	}
	select {
	case <-reached:
		t.Error("an edge has dialled where a stranger was said to be")
	case <-time.After(200 * time.Millisecond):
	}
	if err := n.edge.Reserve(ctx, n.place); err != nil {
		t.Errorf("a relay of the network is not dialled: %v", err)
	}
}
