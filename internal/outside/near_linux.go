package outside

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"strings"
)

// maxRoutes bounds what is read of a routing table, in bytes: a home machine has a few routes, one with many containers a
// few hundred.
const maxRoutes = 256 << 10

// Columns of /proc/net/route and of /proc/net/ipv6_route, proc(5).
const (
	gateway4, fields4 = 2, 8
	gateway6, fields6 = 4, 10
)

func nameservers() []netip.Addr {
	// systemd-resolved names itself in the first file, and whom it asks in the second.
	return readNameservers("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
}

func gateways() []netip.Addr { return readGateways("/proc/net/route", "/proc/net/ipv6_route") }

func readGateways(four, six string) []netip.Addr {
	all := column(four, gateway4, fields4, func(b []byte) (netip.Addr, bool) {
		if len(b) != 4 {
			return netip.Addr{}, false
		}
		var octets [4]byte // the kernel prints the word as a number, which this machine's order of bytes made of the address
		binary.NativeEndian.PutUint32(octets[:], binary.BigEndian.Uint32(b))
		return netip.AddrFrom4(octets), true
	})
	return append(all, column(six, gateway6, fields6, netip.AddrFromSlice)...)
}

// column reads the addresses in one column of a routing table.
func column(path string, index, fields int, parse func([]byte) (netip.Addr, bool)) []netip.Addr {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var all []netip.Addr
	for lines := bufio.NewScanner(io.LimitReader(f, maxRoutes)); lines.Scan(); {
		columns := strings.Fields(lines.Text())
		if len(columns) < fields {
			continue
		}
		b, err := hex.DecodeString(columns[index])
		if err != nil {
			continue // the heading
		}
		if a, ok := parse(b); ok && !a.IsUnspecified() {
			all = append(all, a)
		}
	}
	return all
}
