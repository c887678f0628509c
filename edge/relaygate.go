package edge

import (
	"errors"
	"net"
	"net/netip"

	"sward/policy"
)

// nat64 is how a home without IPv4 gets to a relay without IPv6 (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// RelayGate says whether a relay of the directory may be dialled at an address. The directory has what relays say of
// themselves, and one of them may have named a printer in this house. Where the hub is itself on this machine or in this
// house, by its address or by a name that only a house knows, the relays may be too: who runs a network at home has all of
// it there. No name that the world can resolve counts as one, because whoever runs that hub says where it leads. An empty
// hubAddr is a hub in this process.
func RelayGate(a netip.Addr, hubAddr string, own []netip.Prefix) error {
	if b := a.As16(); nat64.Contains(a) {
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	gate := policy.Gate{Own: own}
	refused := gate.Check(a)
	if refused == nil || hubAddr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(hubAddr)
	if err != nil {
		return refused
	}
	if hub, err := netip.ParseAddr(host); err == nil {
		if gate.Check(hub.Unmap()) != nil {
			return nil //nolint:nilerr // the hub is in the house itself: so are its relays
		}
		return refused
	}
	_, err = policy.ParseHost(host)
	if denied, ok := errors.AsType[*policy.Denied](err); ok && denied.Rule != "bad_host" {
		return nil
	}
	return refused
}
