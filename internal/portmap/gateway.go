package portmap

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// gateway is one way to have a port opened: a router and a protocol that it speaks.
type gateway interface {
	// protocol and router are names for the owner.
	protocol() string
	router() string
	// addr is the router's address in the home.
	addr() netip.Addr
	// open maps the port, or renews it. Where want's external port is taken, it takes another. With an error comes the
	// mapping that may be in force all the same, because no answer came, or the zero one.
	open(ctx context.Context, want mapping, lease time.Duration) (mapping, error)
	// close removes what open made.
	close(ctx context.Context, m mapping) error
	// holds asks whether m is still in force. False is a router that has lost it, by a restart for example.
	holds(ctx context.Context, m mapping) (bool, error)
}

var (
	_ gateway = (*igd)(nil)
	_ gateway = (*pcp)(nil)
	_ gateway = (*natPMP)(nil)
)

// mapping is a port that is open.
type mapping struct {
	internal uint16
	external netip.AddrPort
	lease    time.Duration // 0 is for ever
}

// unanswered is what may be in force after a request for want has failed.
func unanswered(want mapping, err error) mapping {
	if _, answered := errors.AsType[Problem](err); answered {
		return mapping{}
	}
	return want
}

// known is what a router may know of the world: its address towards it, as far as it says.
func known(outside netip.Addr) error {
	outside = outside.Unmap()
	switch {
	case !outside.IsValid() || outside.IsUnspecified():
		return Offline
	case sharedSpace.Contains(outside) || dsLite.Contains(outside):
		return CarrierNAT
	case !outside.Is4() || !outside.IsGlobalUnicast() || outside.IsPrivate():
		return DoubleNAT
	}
	return nil
}

// sharedSpace is a carrier's NAT (RFC 6598), dsLite the inside of a DS-Lite
// tunnel (RFC 6333): a router that has such an address shares a public one.
var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
	dsLite      = netip.MustParsePrefix("192.0.0.0/24")
)
