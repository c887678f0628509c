package seal

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Ports of what stands in a home: the web, a router's other doors (Telnet, DNS, TR-064, UPnP, TR-069) and a printer's
// (LPD, IPP, raw, SMB).
var (
	webPorts     = []uint16{80, 443}
	routerPorts  = []uint16{23, 53, 5000, 7547, 8080, 49000}
	printerPorts = []uint16{445, 515, 631, 9100}
)

const (
	// maxOwn bounds the addresses of one machine that are attacked: one with many (containers, VPNs) has them in a few
	// networks, and the gate knows each by one rule.
	maxOwn = 32
	// aliasChain is longer than the chains that resolvers follow for honest names (8 by most).
	aliasChain = 12
)

// attack is one thing that a stranger asks for.
type attack struct {
	id   string // of the attack catalogue
	what string // who is attacked, in words
	host string
	port uint16
	dns  *zone // what the attacker's DNS server says of host; nil: it is asked for nothing, or the system is
	// socket is the address of a literal host, for the door that is the dial alone.
	socket netip.Addr
	system bool // the name is resolved by the machine, not by the trap: it is in the hosts file
}

func (a attack) target() string { return fmt.Sprintf("%s:%d", a.host, a.port) }

// attacks are all that is tried against a home with these addresses.
func (s *Seal) attacks(home []netip.Prefix, v *victims, dns *trap) []attack {
	var all []attack
	for _, at := range v.at {
		all = append(all, literal("A01", "this computer", at.Addr(), append(slices.Clone(webPorts), at.Port())...)...)
		all = append(all, named("this computer", at.Addr(), at.Port())...)
	}
	port := v.at[0].Port()
	all = append(all, fixed(port)...)
	routers := s.cfg.Routers()
	for _, p := range home[:min(len(home), maxOwn)] {
		a := p.Addr().Unmap()
		if a.IsLoopback() || slices.Contains(routers, a) {
			continue
		}
		all = append(all, literal("A25", "this computer", a, port, webPorts[0])...)
		all = append(all, named("this computer", a, port)...)
		for _, n := range neighbours(p) {
			all = append(all, literal("A30", "your router", n, slices.Concat(webPorts, routerPorts)...)...)
			all = append(all, literal("A30", "a printer at home", n, printerPorts...)...)
			all = append(all, named("a device at home", n, webPorts[0])...)
		}
	}
	for _, router := range routers {
		all = append(all, literal("A25", "your router or DNS server", router, slices.Concat(webPorts, routerPorts)...)...)
	}
	return append(all, hostsFile(s.cfg.Hosts, s.cfg.Out.Gate())...)
}

// literal writes an address in every notation for the first port, and plainly for the others. id is that of the plain one.
func literal(id, what string, a netip.Addr, ports ...uint16) []attack {
	var all []attack
	for i, port := range ports {
		for _, n := range notations(a) {
			c := attack{id: cmp.Or(n.id, id), what: what, host: n.host, port: port}
			if parsed, err := netip.ParseAddr(n.host); err == nil {
				c.socket = parsed
			}
			all = append(all, c)
			if i > 0 {
				break // the plain one: a notation is refused whatever the port
			}
		}
	}
	return all
}

// named are names whose DNS server is the attacker's and which lead to a.
func named(what string, a netip.Addr, port uint16) []attack {
	chain := make([]string, aliasChain)
	for i := range chain {
		chain[i] = fmt.Sprintf("alias-%d.seal.example", i)
	}
	answers := func(of ...netip.Addr) *zone { return &zone{first: of} }
	all := []attack{
		{id: "A18", what: what, host: "plain.seal.example", port: port, dns: answers(a)},
		{id: "A19", what: what, host: "mixed.seal.example", port: port, dns: answers(elsewhere, a)},
		{id: "A19", what: what, host: "mixed-late.seal.example", port: port, dns: answers(a, elsewhere)},
		{id: "A20", what: what, host: "rebind.seal.example", port: port, dns: &zone{first: []netip.Addr{elsewhere}, then: []netip.Addr{a}}},
		{id: "A22", what: what, host: "chain.seal.example", port: port, dns: &zone{first: []netip.Addr{a}, aliases: chain}},
	}
	if a.Is4() {
		for _, e := range embedded(a.As4()) {
			inside := netip.MustParseAddr(e.host)
			all = append(all, attack{id: e.id, what: what, host: "carried.seal.example", port: port, dns: answers(inside)})
		}
	}
	return all
}

// elsewhere is the public half of an answer. It is never dialled: what stands in for the dial ends there. It is a DNS root
// server's (RFC 1035 hints), so that it is at nobody's home.
var elsewhere = netip.MustParseAddr("198.41.0.4")

// fixed are attacks on places that every home may have, or that no address of this machine tells of.
func fixed(port uint16) []attack {
	var all []attack
	for _, c := range []struct {
		id, what string
		hosts    []string
	}{
		{"A01", "this computer", []string{"localhost", "LOCALHOST", "a.localhost", "127.0.0.2", "127.255.255.254"}},
		{"A02", "a home network", []string{"10.0.0.1", "172.16.0.1", "192.168.0.1", "192.168.1.1", "192.168.178.1"}},
		{"A03", "a metadata service", []string{"169.254.169.254", "fd00:ec2::254", "metadata.google.internal", "168.63.129.16", "100.100.100.200"}},
		{"A04", "this computer", []string{"0.0.0.0", "0.1.2.3", "::", "0", "0x0"}},
		{"A05", "the provider's network", []string{"100.64.0.1"}},
		{"A12", "the local link", []string{"169.254.1.1", "fe80::1", "fe80::1%eth0", "fe80::1%25eth0", "fec0::1"}},
		{"A13", "a reserved address", []string{"192.0.0.192", "192.0.2.1", "198.18.0.1", "203.0.113.9", "240.0.0.1", "255.255.255.255", "224.0.0.1"}},
		{"A14", "a reserved address", []string{"3fff::1", "5f00::1", "100::1", "2001:db8::1", "ff0e::1", "ff02::1"}},
		{"A02", "a home network", []string{"fc00::1", "fd12:3456:789a::1"}},
		{"A16", "this computer", []string{"0x7f.1", "017700000001", "2130706433", "127.1"}},
		{"A29", "a device at home", []string{"router", "router.local", "nas.lan", "printer.home.arpa", "fritz.box.internal", "x.home", "1.0.0.127.in-addr.arpa"}},
	} {
		for _, host := range c.hosts {
			for _, p := range []uint16{webPorts[0], port} {
				a := attack{id: c.id, what: c.what, host: host, port: p}
				if parsed, err := netip.ParseAddr(host); err == nil {
					a.socket = parsed
				} else {
					// A name of home is refused before anybody is asked for it. If it were not, this would be the answer.
					a.dns = &zone{first: []netip.Addr{netip.MustParseAddr("192.168.1.1")}}
				}
				all = append(all, a)
			}
		}
	}
	return all
}

// neighbours are addresses on the same network: where routers are by custom, the next device, and for IPv6 the first one of
// the home's prefix, which is globally reachable and still the home.
func neighbours(p netip.Prefix) []netip.Addr {
	a := p.Addr().Unmap()
	if p.IsSingleIP() || p.Bits() < 8 {
		return nil
	}
	first := p.Masked().Addr().Unmap().Next()
	all := []netip.Addr{first, a.Next(), a.Prev()}
	if a.Is4() {
		all = append(all, lastOf(p))
	}
	keep := all[:0]
	for _, n := range all {
		if n.IsValid() && n != a && p.Contains(n) && !slices.Contains(keep, n) {
			keep = append(keep, n)
		}
	}
	return keep
}

// lastOf is the last address of an IPv4 prefix that a device can have.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n |= 1<<(32-p.Bits()) - 1
	n--
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
