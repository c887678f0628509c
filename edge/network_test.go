package edge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"sward/accounting"
	"sward/policy"
)

// listingHub is a hub with a directory.
type listingHub struct {
	testHub
	relays []accounting.DirectoryRelay
}

func (h *listingHub) Directory(context.Context) (accounting.SignedDirectory, error) {
	return accounting.SignedDirectory{Directory: accounting.Directory{Relays: h.relays}}, nil
}

// A27: an edge keeps a tunnel to a few relays, and lets nobody reach any of them: also not those that it did not choose,
// nor one whose name it cannot resolve just now.
func TestNoRelayOfTheNetworkIsReachedThroughAnEdge(t *testing.T) {
	hub := &listingHub{relays: []accounting.DirectoryRelay{{ID: mustKey(t).ID(), Tunnel: "relay.example:7400", Reach: "93.184.217.3:7445"}}}
	for n := range 2 * MaxRelays {
		hub.relays = append(hub.relays, accounting.DirectoryRelay{ID: mustKey(t).ID(), Tunnel: fmt.Sprintf("93.184.216.%d:7400", n+1)})
	}
	dnsWorks := true
	e, err := New(Config{
		Key: mustKey(t), Network: testNetwork, Hub: hub, HubID: mustKey(t).ID(), HubAddr: "93.184.217.1:7400",
		Dir: t.TempDir(), Settings: testSettings(), Own: func() []netip.Prefix { return nil },
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			if !dnsWorks {
				return nil, errors.New("no answer")
			}
			return []netip.Addr{netip.MustParseAddr("93.184.217.2")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Addr{netip.MustParseAddr("93.184.217.1"), netip.MustParseAddr("93.184.217.2"), netip.MustParseAddr("93.184.217.3")}
	for n := range 2 * MaxRelays {
		want = append(want, netip.AddrFrom4([4]byte{93, 184, 216, byte(n + 1)}))
	}
	for range 2 {
		chosen, err := e.readRelays(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(chosen) != MaxRelays {
			t.Errorf("chose %d relays, want %d", len(chosen), MaxRelays)
		}
		for _, a := range want {
			if err := e.gate.gate().Check(a); !isRule(err, "dest_network") {
				t.Errorf("%s (names resolve: %t): got %v, want dest_network", a, dnsWorks, err)
			}
		}
		dnsWorks = false
	}
}

func isRule(err error, rule string) bool {
	denied, ok := errors.AsType[*policy.Denied](err)
	return ok && denied.Rule == rule
}
