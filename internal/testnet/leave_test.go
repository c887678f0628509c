package testnet_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/internal/identity"
	"sward/internal/testnet"
	"sward/internal/tunnel"
	"sward/relay"
)

// newKey makes an identity.
func newKey(t *testing.T) identity.Key {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// runRelay runs one more relay like the network's own, until stop is called, which returns when it has ended.
func runRelay(ctx context.Context, t *testing.T, n *testnet.Net, like relay.Config) (at relay.Config, r *relay.Relay, stop func()) {
	t.Helper()
	udp, tcp, err := tunnel.OpenPort(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at = like
	at.Key, at.PacketConn, at.TunnelListener, at.Listener, at.Dir = newKey(t), udp, tcp, door, t.TempDir()
	at.Door = relay.Door{} // its sockets are the first relay's
	at.Tunnel, at.Proxy = udp.LocalAddr().String(), door.Addr().String()
	hub := like.Hub.(*accounting.Client)
	at.Hub = &accounting.Client{Addr: hub.Addr, Network: hub.Network, Hub: hub.Hub, Key: at.Key}
	err = n.Hub().Book.AdmitRelay(ctx, accounting.RelayInfo{ID: at.Key.ID(), Proxy: at.Proxy, Tunnel: at.Tunnel, Region: at.Region})
	if err != nil {
		t.Fatal(err)
	}
	if r, err = relay.New(at); err != nil {
		t.Fatal(err)
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(running) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the relay ended with: %v", err)
		}
		udp.Close()
	}
	return at, r, stop
}

// runEdge runs one more edge like the network's own, at one relay only, until the test ends.
func runEdge(t *testing.T, like edge.Config, at relay.Config) {
	t.Helper()
	like.Key, like.Dir = newKey(t), t.TempDir()
	like.Relays = []edge.Relay{{ID: at.Key.ID(), Addr: at.Tunnel}}
	hub := like.Hub.(*accounting.Client)
	like.Hub = &accounting.Client{Addr: hub.Addr, Network: hub.Network, Hub: hub.Hub, Key: like.Key}
	if err := edge.Agree(like.Dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	e, err := edge.New(like)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the edge ended with: %v", err)
		}
	})
}

// A relay that is told to stop right after a download has the edge's word on its last bytes before it goes, and has told
// the hub: nothing that was delivered is lost to the edge, and the rest of the grant is the partner's again.
func TestStoppingRelayTakesItsLastReceiptsAlong(t *testing.T) {
	const size = 300_000
	var likeRelay relay.Config
	var likeEdge edge.Config
	testnet.Run(t, testnet.Config{
		Site:  blobSite,
		Relay: func(_ int, c *relay.Config) { likeRelay = *c },
		Edge:  func(_ int, c *edge.Config) { likeEdge = *c },
	}, func(ctx context.Context, n *testnet.Net) {
		p := n.Partners[0]
		at, r, stop := runRelay(ctx, t, n, likeRelay)
		runEdge(t, likeEdge, at)
		waitUntil(t, "the edge is at the relay", func() bool { return r.Ready() == 1 })
		before, err := n.Hub().Book.Usage(ctx, p.Name)
		if err != nil {
			t.Fatal(err)
		}
		c, rd := tunnelThrough(t, at.Proxy, p)
		request(t, c, rd, size, 1000)
		c.CloseWrite()
		if _, err := io.Copy(io.Discard, rd); err != nil {
			t.Fatal(err)
		}
		c.Close()
		stop()
		u, err := n.Hub().Book.Usage(ctx, p.Name)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Down - before.Down; got < size {
			t.Errorf("%d bytes are charged of more than %d that were delivered before the relay stopped", got, size)
		}
		if u.Reserved != before.Reserved {
			t.Errorf("%s stay reserved after the relay stopped, want %s", u.Reserved, before.Reserved)
		}
	})
}
