package homelab

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	"sward/internal/bench/rig"
)

// NAT is how a router chooses the outside port of a connection, in the words of nftables.
type NAT string

const (
	// PortRestricted keeps the port and uses it for every target; from outside, only an address and port that was written
	// to may answer. The zero value is the same.
	PortRestricted NAT = "masquerade"
	// Symmetric takes another port, at random, for each target.
	Symmetric NAT = "masquerade fully-random"
)

// Uplink is what is on the other side of a house's router.
type Uplink int

const (
	Public  Uplink = iota // the street: the router's address is public
	Box                   // another box of the owner's: 192.168.178.0/24
	Carrier               // a carrier's NAT: 100.64.0.0/10 (RFC 6598)
)

// Home describes a house.
type Home struct {
	NAT    NAT
	Uplink Uplink
}

// Lab is a street with houses.
type Lab struct {
	Street *rig.Space
	Houses []*House

	t   testing.TB
	dir string
}

// House is a router and a computer, and what is between the router and the street, if anything.
type House struct {
	Router   *Router
	Outer    *Router // the box or the carrier; nil for a house on the street
	Second   *Router // see AddRouter
	Computer *rig.Space
	Address  netip.Addr // the computer's
	Outside  netip.Addr // the address from which the street sees the house

	lab    *Lab
	number int
}

// StreetAddr is the n-th address in the street at which a server may stand, from 0 to 15. Addresses look public, because
// miniupnpd and go-libp2p ignore those that are reserved for documentation and tests.
func StreetAddr(n int) netip.Addr { return netip.AddrFrom4([4]byte{44, 128, 0, byte(10 + n)}) }

const (
	streetAddrs = 16
	streetGate  = "44.128.0.1"
	// maxHouses is how many fit: house n is 44.128.0.(101+n) outside and 192.168.(11+n).0/24 inside.
	maxHouses = 50
)

// New builds the lab, or skips the test.
func New(t testing.TB, homes ...Home) *Lab {
	t.Helper()
	if len(homes) > maxHouses {
		t.Fatalf("%d houses, at most %d", len(homes), maxHouses)
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: homes need %s", tool)
		}
	}
	l := &Lab{t: t, dir: t.TempDir()}
	l.Street = l.space("street")
	l.must(l.Street.IP("link", "add", "br0", "type", "bridge"), l.Street.IP("link", "set", "br0", "up"),
		l.Street.IP("addr", "add", streetGate+"/24", "dev", "br0"))
	for n := range streetAddrs {
		l.must(l.Street.IP("addr", "add", StreetAddr(n).String()+"/24", "dev", "br0"))
	}
	l.must(l.Street.IP("route", "add", "default", "dev", "br0"))
	for n, h := range homes {
		l.Houses = append(l.Houses, l.build(n, h))
	}
	return l
}

// build puts up house n.
func (l *Lab) build(n int, home Home) *House {
	l.t.Helper()
	h := &House{lab: l, number: n, Outside: netip.AddrFrom4([4]byte{44, 128, 0, byte(101 + n)})}
	outside, gate, street := h.Outside.String(), streetGate, l.Street
	if home.Uplink != Public {
		inside, mine := "192.168.178.1", "192.168.178.20"
		if home.Uplink == Carrier {
			inside, mine = "100.64.11.1", "100.64.11.20"
		}
		h.Outer = l.router(fmt.Sprintf("outer%d", n), PortRestricted, inside)
		l.plug(h.Outer, street, outside, gate)
		outside, gate, street = mine, inside, h.Outer.Space
	}
	gateway := netip.AddrFrom4([4]byte{192, 168, byte(11 + n), 1})
	h.Address = gateway.Next()
	h.Router = l.router(fmt.Sprintf("router%d", n), home.NAT, gateway.String())
	l.plug(h.Router, street, outside, gate)
	h.Computer = l.space(fmt.Sprintf("computer%d", n))
	l.must(rig.Pair(h.Router.Space, "eth0", h.Computer, "eth0"))
	l.must(h.Router.IP("link", "set", "eth0", "master", lanSide, "up"),
		h.Computer.IP("addr", "add", h.Address.String()+"/24", "dev", "eth0"), h.Computer.IP("link", "set", "eth0", "up"),
		h.Computer.IP("route", "add", "default", "via", gateway.String()))
	return h
}

// AddRouter puts a second router into the house's LAN, beside the one that is the computer's gateway, and on the same
// street: some homes have two that answer a search.
func (h *House) AddRouter() *Router {
	l := h.lab
	l.t.Helper()
	h.Second = l.router(fmt.Sprintf("second%d", h.number), PortRestricted, fmt.Sprintf("192.168.%d.3", 11+h.number))
	l.plug(h.Second, l.Street, fmt.Sprintf("44.128.0.%d", 151+h.number), streetGate)
	l.must(rig.Pair(h.Router.Space, "eth1", h.Second.Space, "eth1"))
	l.must(h.Router.IP("link", "set", "eth1", "master", lanSide, "up"), h.Second.IP("link", "set", "eth1", "master", lanSide, "up"))
	return h.Second
}

// plug joins a router's outer side to the bridge of what is before it.
func (l *Lab) plug(r *Router, street *rig.Space, address, gate string) {
	l.t.Helper()
	port := "p-" + r.name
	l.must(rig.Pair(r.Space, wanSide, street, port))
	bridge := lanSide
	if street == l.Street {
		bridge = "br0"
	}
	l.must(street.IP("link", "set", port, "master", bridge, "up"), r.IP("addr", "add", address+"/24", "dev", wanSide),
		r.IP("link", "set", wanSide, "up"), r.IP("route", "add", "default", "via", gate))
	r.Outside = netip.MustParseAddr(address)
}

func (l *Lab) space(name string) *rig.Space {
	l.t.Helper()
	s, err := rig.NewSpace(name, l.dir)
	if errors.Is(err, rig.ErrMissing) {
		l.t.Skip(err)
	}
	l.must(err)
	l.t.Cleanup(s.Close)
	return s
}

func (l *Lab) must(errs ...error) {
	l.t.Helper()
	if err := errors.Join(errs...); err != nil {
		l.t.Fatal(err)
	}
}
