package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// nat says what stands between this machine and the Internet, by where relays see it come from.
func (c Config) nat(tries []seen) Finding {
	var from []netip.Addr
	for _, s := range tries {
		if s.from.IsValid() && !slices.Contains(from, s.from) {
			from = append(from, s.from)
		}
	}
	own := c.Own()
	isOwn := func(a netip.Addr) bool {
		return slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr().Unmap() == a })
	}
	words := strings.Trim(fmt.Sprint(from), "[]")
	switch {
	case len(from) == 0:
		return note("nat", "no relay has said where you come from", "")
	case slices.ContainsFunc(from, func(a netip.Addr) bool { return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() }):
		return note("nat", "a relay in your own network sees you as "+words+": it cannot tell what a public one would see", "")
	case slices.ContainsFunc(from, func(a netip.Addr) bool { return !isOwn(a) && a.Is4() }) && len(v4(from)) > 1:
		return note("nat", "relays see you come from several addresses, "+words+": your provider shares them among many homes, or you have two lines",
			"Nothing is wrong. An address that strangers share may have a poorer name with sites.")
	case !slices.ContainsFunc(from, func(a netip.Addr) bool { return !isOwn(a) }):
		return ok("nat", "none: this machine has the public address "+words+" itself")
	}
	return ok("nat", "a router stands in front, as in most homes: relays see "+words)
}

func v4(addrs []netip.Addr) (out []netip.Addr) {
	for _, a := range addrs {
		if a.Is4() {
			out = append(out, a)
		}
	}
	return out
}

// mapping says what the running edge has from the router.
func (c Config) mapping() Finding {
	if c.Router.Found == "" {
		return note("router", "no edge is running that could have asked it for a port", "")
	}
	return c.Router
}
