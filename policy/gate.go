package policy

import "net/netip"

// Gate is the address gate: the one function between a stranger's request and a home network. Every
// dial of every program passes it, after the name was resolved once and before the very address it
// checked is dialled; a dialer's Control hook asks it again about the real socket address.
//
// The zero Gate already refuses everything that IANA does not call globally reachable. Own and
// Network add what only the caller can know. There is no switch that removes a rule.
type Gate struct {
	Own     []netip.Prefix // this machine's addresses with the prefixes they live in, unmasked; its routers and DNS servers
	Network []netip.Addr   // addresses of relays and the hub: traffic to them would loop
}

// Check returns nil when a may be dialled, else a *Denied whose rule says what a is. Any form that
// carries an IPv4 address inside an IPv6 one is refused, whatever it carries: no public service is
// reachable only that way, and each form is a way around rules on the plain address. Callers hand
// in resolver answers unmapped.
func (g Gate) Check(a netip.Addr) error {
	if !a.IsValid() {
		return denied("bad_host", "not an address")
	}
	if a.Zone() != "" {
		return denied("bad_host", "%s carries a zone", a)
	}
	if err := checkEmbedded(a); err != nil {
		return err
	}
	if b, ok := blockOf(a); ok {
		return denied(b.rule, "%s is in %s, %s", a, b.prefix, b.what)
	}
	if a.Is6() && !globalUnicast.Contains(a) {
		return denied("dest_special", "%s is outside %s, the global unicast space", a, globalUnicast)
	}
	return g.checkOurs(a)
}

// CheckAll refuses the whole set when one address is bad, so that a name with a public and a private
// answer is never dialled, and refuses an empty set.
func (g Gate) CheckAll(as []netip.Addr) error {
	if len(as) == 0 {
		return denied("bad_host", "no address")
	}
	for _, a := range as {
		if err := g.Check(a); err != nil {
			return err
		}
	}
	return nil
}

// checkOurs refuses this machine, its neighbours on the same prefix (the home's own IPv6 /64 is
// globally reachable and still the home) and the network's own hosts.
func (g Gate) checkOurs(a netip.Addr) error {
	for _, p := range g.Own {
		own := netip.PrefixFrom(p.Addr().Unmap(), p.Bits())
		if p.Addr().Is4In6() {
			own = netip.PrefixFrom(p.Addr().Unmap(), max(p.Bits()-96, 0))
		}
		if own.Addr() == a {
			return denied("dest_self", "%s is this machine, its router or its DNS server", a)
		}
		if own.IsValid() && own.Masked().Contains(a) {
			return denied("dest_self_prefix", "%s is on this machine's own network", a) // whose size is nobody's business
		}
	}
	for _, n := range g.Network {
		if n.Unmap() == a {
			return denied("dest_network", "%s belongs to this network", a)
		}
	}
	return nil
}

// checkEmbedded finds the IPv4 address inside an IPv6 one and refuses it by name.
func checkEmbedded(a netip.Addr) error {
	if !a.Is6() || a == netip.IPv6Unspecified() || a == netip.IPv6Loopback() {
		return nil
	}
	for _, e := range embeddings {
		if !e.prefix.Contains(a) {
			continue
		}
		inner := e.inner(a.As16())
		why := "a public address in disguise"
		if b, ok := blockOf(inner); ok {
			why = b.what
		}
		return denied("dest_embedded", "%s is %s and carries %s, %s", a, e.what, inner, why)
	}
	return nil
}

// blockOf finds the most specific block of the table that holds a.
func blockOf(a netip.Addr) (block, bool) {
	best, found := block{}, false
	for _, b := range blocks {
		if b.prefix.Contains(a) && (!found || b.prefix.Bits() > best.prefix.Bits()) {
			best, found = b, true
		}
	}
	return best, found
}
