package outside

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/windows"
)

// maxAdapters bounds the description of the machine's network adapters, in bytes; Windows suggests to begin with 15 KB.
const maxAdapters = 1 << 20

func gateways() []netip.Addr {
	var all []netip.Addr
	for a := adapters(); a != nil; a = a.Next {
		for g := a.FirstGatewayAddress; g != nil; g = g.Next {
			all = appendSocketAddress(all, g.Address)
		}
	}
	return all
}

func nameservers() []netip.Addr {
	var all []netip.Addr
	for a := adapters(); a != nil; a = a.Next {
		for d := a.FirstDnsServerAddress; d != nil; d = d.Next {
			all = appendSocketAddress(all, d.Address)
		}
	}
	return all
}

// adapters is the list of the machine's network adapters, nil if there is none.
func adapters() *windows.IpAdapterAddresses {
	const flags = windows.GAA_FLAG_INCLUDE_GATEWAYS | windows.GAA_FLAG_SKIP_ANYCAST | windows.GAA_FLAG_SKIP_MULTICAST
	for size := uint32(15 << 10); size <= maxAdapters; {
		buffer := make([]byte, size)
		first := (*windows.IpAdapterAddresses)(unsafe.Pointer(&buffer[0]))
		err := windows.GetAdaptersAddresses(windows.AF_UNSPEC, flags, 0, first, &size)
		if err == nil {
			if size == 0 {
				return nil
			}
			return first
		}
		if err != windows.ERROR_BUFFER_OVERFLOW || size <= uint32(len(buffer)) {
			return nil
		}
	}
	return nil
}

func appendSocketAddress(all []netip.Addr, s windows.SocketAddress) []netip.Addr {
	if a, ok := netip.AddrFromSlice(s.IP()); ok {
		return append(all, a)
	}
	return all
}
