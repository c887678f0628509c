package edge

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"sward/accounting"
)

func TestRelayGateKnowsHomesWithoutIPv4(t *testing.T) {
	e, err := New(Config{
		Key: mustKey(t), Network: testNetwork, Hub: &listingHub{}, HubID: mustKey(t).ID(), HubAddr: "93.184.217.1:7400",
		Dir: t.TempDir(), Settings: testSettings(), Own: func() []netip.Prefix { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for addr, wanted := range map[string]bool{
		"93.184.216.1": true, "2606:2800:21f::1": true, "64:ff9b::93.184.216.1": true,
		"64:ff9b::192.168.1.1": false, "192.168.1.1": false, "fe80::1": false, "fd00::1": false, "169.254.169.254": false,
	} {
		if err := e.relayGate(netip.MustParseAddr(addr)); (err == nil) != wanted {
			t.Errorf("a relay at %s: %v", addr, err)
		}
	}
	for hub, wanted := range map[string]bool{"hub.example.com:7400": false, "0x7f.1:7400": false, "localhost:7400": true, "hub:7400": true, "192.168.1.5:7400": true} {
		if err := RelayGate(netip.MustParseAddr("192.168.1.6"), hub, nil); (err == nil) != wanted {
			t.Errorf("a relay in the house of hub %s: %v", hub, err)
		}
	}
}

// A01: relays give their own addresses, which the directory hands on. One that names a machine in this house has no packet
// sent there, over UDP or TCP; where the hub itself is in the house, the relays may be too.
func TestNoRelayIsDialledInTheHouse(t *testing.T) {
	for hubAddr, wanted := range map[string]bool{"93.184.217.1:7400": false, "127.0.0.1:7400": true} {
		victim, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer victim.Close()
		udp, err := net.ListenPacket("udp", victim.Addr().String())
		if err != nil {
			t.Skipf("the same number is taken over UDP: %v", err)
		}
		defer udp.Close()
		relay := mustKey(t).ID()
		hub := &listingHub{relays: []accounting.DirectoryRelay{{ID: relay, Tunnel: victim.Addr().String()}}}
		e, err := New(Config{
			Key: mustKey(t), Network: testNetwork, Hub: hub, HubID: mustKey(t).ID(), HubAddr: hubAddr,
			Dir: t.TempDir(), Settings: testSettings(), Own: func() []netip.Prefix { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		chosen, err := e.readRelays(ctx)
		if err != nil {
			t.Fatal(err)
		}
		l := e.startLink(ctx, chosen[0])
		udp.SetReadDeadline(time.Now().Add(time.Second)) //nolint:errcheck // the read says so
		_, from, err := udp.ReadFrom(make([]byte, 2048))
		if reached := err == nil; reached != wanted {
			t.Errorf("with the hub at %s a relay in the house was dialled: %t, want %t (%v)", hubAddr, reached, wanted, from)
		}
		l.cancel()
		<-l.done
		cancel()
	}
}
