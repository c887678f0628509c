package outside

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// maxNear bounds the routers and DNS servers that one machine is taken to have.
const maxNear = 32

// Near lists the gateways of this machine and its DNS servers, as the system knows them now. Most are on the home network
// and out of reach without this list; a router that answers at a public address, and a provider's DNS server, are not.
// Loopback addresses are not among them.
func Near() []netip.Addr {
	var near []netip.Addr
	for _, a := range slices.Concat(gateways(), nameservers()) {
		a = a.Unmap().WithZone("")
		if a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !slices.Contains(near, a) && len(near) < maxNear {
			near = append(near, a)
		}
	}
	return near
}

// readNameservers reads files in the form of resolv.conf(5). What is not there, or no address, is passed over.
func readNameservers(paths ...string) []netip.Addr {
	var all []netip.Addr
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(io.LimitReader(f, 64<<10)); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 2 || fields[0] != "nameserver" {
				continue
			}
			if a, err := netip.ParseAddr(fields[1]); err == nil {
				all = append(all, a)
			}
		}
		f.Close()
	}
	return all
}
