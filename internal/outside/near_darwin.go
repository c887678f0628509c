package outside

import (
	"net/netip"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

func nameservers() []netip.Addr { return readNameservers("/etc/resolv.conf") }

// gateways are the next hops of the routing table, route(4).
func gateways() []netip.Addr {
	table, err := route.FetchRIB(unix.AF_UNSPEC, route.RIBTypeRoute, 0)
	if err != nil {
		return nil
	}
	messages, err := route.ParseRIB(route.RIBTypeRoute, table)
	if err != nil {
		return nil
	}
	var all []netip.Addr
	for _, m := range messages {
		r, ok := m.(*route.RouteMessage)
		if !ok || r.Flags&unix.RTF_GATEWAY == 0 || len(r.Addrs) <= unix.RTAX_GATEWAY {
			continue
		}
		switch a := r.Addrs[unix.RTAX_GATEWAY].(type) {
		case *route.Inet4Addr:
			all = append(all, netip.AddrFrom4(a.IP))
		case *route.Inet6Addr:
			all = append(all, netip.AddrFrom16(a.IP))
		}
	}
	return all
}
