package testnet_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"sward/edge"
	"sward/internal/identity"
	"sward/internal/sandbox"
	"sward/internal/testnet"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/relay"
)

// An edge has tunnels to four relays. A stream that is to leave from it comes by the fifth one all the same, when its owner
// lets relays call, and every byte of it is accounted for.
func TestRelayReachesAnEdgeThatHasNoTunnelToIt(t *testing.T) {
	t.Run("directly", func(t *testing.T) {
		t.Parallel()
		reachFromTheFifth(t, func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	})
	t.Run("over a circuit", func(t *testing.T) {
		t.Parallel()
		reachFromTheFifth(t, func() []netip.Prefix { return nil })
	})
}

func reachFromTheFifth(t *testing.T, own func() []netip.Prefix) {
	const (
		size = 2 << 20
		beat = time.Second // so that the hub soon hears the way
	)
	anywhere := func(netip.Addr) error { return nil } // all of it is on loopback
	dir := t.TempDir()
	var relays []relay.Config
	testnet.Run(t, testnet.Config{
		Site: blobSite, Dir: dir, Relays: 5,
		Relay: func(_ int, c *relay.Config) {
			c.Reach, c.Beat = relay.ReachConfig{Listen: "127.0.0.1:0", Gate: anywhere}, beat
			relays = append(relays, *c)
		},
		Edge: func(_ int, c *edge.Config) {
			c.Settings.Reach, c.Own = true, own
			c.Reach = edge.ReachConfig{Listen: "127.0.0.1:0", Gate: anywhere}
		},
	}, func(ctx context.Context, n *testnet.Net) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		e := n.Edges()[0]
		var fifth relay.Config
		for i, r := range n.Relays() {
			if r.Ready() == 0 {
				fifth = relays[i]
			}
		}
		for { // until the hub knows the way
			at, err := n.Hub().Book.Whereabouts(ctx, e.ID())
			if err == nil && (own() == nil || at.Port != 0) {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("nobody tells the way to the edge: %+v, %v; it says %+v", at, err, e.Reachable())
			case <-time.After(50 * time.Millisecond):
			}
		}
		key, err := identity.LoadOrCreateKey(filepath.Join(dir, "hub", "key"))
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := tunnel.Dial(ctx, tunnel.Config{Key: key, Network: "test"}, nil, fifth.Tunnel, fifth.Key.ID(), wire.Hello{Role: wire.RoleHub})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(wire.OK, "")
		grant, err := n.Hub().Book.IssueGrant(ctx, n.Partners[0].Name, fifth.Key.ID(), 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		st, opened, err := s.Open(ctx, wire.Route{Edge: wire.ID(e.ID())},
			wire.Open{Grant: grant.Bytes(), App: wire.AppProxy, Host: sandbox.SiteName, Port: 80})
		if err != nil {
			t.Fatalf("the fifth relay has no way to the edge: %v", err)
		}
		defer st.Close()
		if opened.Edge != wire.ID(e.ID()) {
			t.Errorf("opened on %s", identity.ID(opened.Edge))
		}
		io.WriteString(st, "GET /2097152 HTTP/1.1\r\nHost: "+sandbox.SiteName+"\r\nConnection: close\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(st), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.Copy(io.Discard, answer.Body); got != size || err != nil {
			t.Errorf("got %d bytes, %v, want %d", got, err, size)
		}
		answer.Body.Close()
		st.Close()
		if got := e.Reachable(); got.Guests != 1 || got.Direct != (own() != nil) {
			t.Errorf("the owner sees %+v, want one guest, direct %v", got, own() != nil)
		}
		earned, err := n.Settled(ctx, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var bytes uint64
		for _, one := range earned {
			bytes += one.Bytes
		}
		if bytes < size {
			t.Errorf("the books have %d bytes for the edge, want %d and a little more", bytes, size)
		}
	})
}
