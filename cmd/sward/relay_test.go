package main

import (
	"net/netip"
	"slices"
	"testing"
)

func TestAddressesOfTheNetworkAreFoundAndTheRestIsLeftOut(t *testing.T) {
	got := addressesOf(t.Context(), "44.128.0.10:7400", "[2600::1]:7443", "no port", "name.invalid:1")
	want := []netip.Addr{netip.MustParseAddr("44.128.0.10"), netip.MustParseAddr("2600::1")}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
