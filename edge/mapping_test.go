package edge

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

// The port that a home router has mapped is the one of every tunnel.
func TestTunnelsShareTheMappedPort(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	first, second := newTestRelay(t), newTestRelay(t)
	second.hub = first.hub
	testEdge(t, first, echo(t), func(c *Config) {
		c.PacketConn = pc
		c.Relays = append(c.Relays, Relay{ID: second.key.ID(), Addr: second.addr})
	})
	for _, r := range []*testRelay{first, second} {
		if got, want := r.next().RemoteAddr().String(), pc.LocalAddr().String(); got != want {
			t.Errorf("relay sees %s, want %s", got, want)
		}
	}
}

func TestPortMappingNeedsASocket(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	r.next()
	s := e.Settings()
	s.PortMapping = true
	if err := e.Change(s); !errors.Is(err, errNoPort) {
		t.Errorf("got %v, want errNoPort", err)
	}
	if e.Settings().PortMapping || e.Mapping().On {
		t.Error("the refused setting is in force")
	}
}

func TestHomeIsWhatAllRelaysSee(t *testing.T) {
	var g gatekeeper
	see := func(relay byte, address string) {
		g.observe([32]byte{relay}, netip.MustParseAddr(address))
	}
	if got := g.home(); got.IsValid() {
		t.Errorf("nobody has said anything: %v", got)
	}
	see(1, "93.184.216.34")
	see(2, "2001:db8::1") // by another family
	see(3, "93.184.216.34")
	if got := g.home(); got != netip.MustParseAddr("93.184.216.34") {
		t.Errorf("got %v", got)
	}
	see(4, "93.184.216.99")
	if got := g.home(); got.IsValid() {
		t.Errorf("relays disagree: %v", got)
	}
}
