package edge

import (
	"context"
	"net/netip"
	"testing"
)

// A relay that has left the network is a guest no more.
func TestGuestGoesWithItsPlaceInTheNetwork(t *testing.T) {
	stays, goes := mustKey(t).ID(), mustKey(t).ID()
	e, err := New(Config{
		Key: mustKey(t), Network: testNetwork, Hub: &listingHub{}, HubID: mustKey(t).ID(), Dir: t.TempDir(),
		Settings: testSettings(), Own: func() []netip.Prefix { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	staying, cancelStaying := context.WithCancel(t.Context())
	going, cancelGoing := context.WithCancel(t.Context())
	e.reachable.guests[stays] = &link{relay: Relay{ID: stays}, cancel: cancelStaying}
	e.reachable.guests[goes] = &link{relay: Relay{ID: goes}, cancel: cancelGoing}
	e.reachable.setRelays([]Relay{{ID: stays}})
	if staying.Err() != nil || going.Err() == nil {
		t.Errorf("the one that stays: %v, the one that goes: %v", staying.Err(), going.Err())
	}
}
