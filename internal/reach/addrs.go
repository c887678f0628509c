package reach

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// listenAddrs are the multiaddrs of host:port, where no host is every address of both families.
func listenAddrs(at string) (all []multiaddr.Multiaddr, err error) {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	hosts := []string{host}
	if host == "" {
		hosts = []string{"0.0.0.0", "::"}
	}
	for _, host := range hosts {
		addr, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		ways, err := waysTo(addr)
		if err != nil {
			return nil, err
		}
		all = append(all, ways...)
	}
	return all, nil
}

// waysTo addr are QUIC and TCP.
func waysTo(addr netip.AddrPort) ([]multiaddr.Multiaddr, error) {
	family := "ip4"
	ip := addr.Addr().Unmap().WithZone("")
	if ip.Is6() {
		family = "ip6"
	}
	base := "/" + family + "/" + ip.String()
	port := strconv.Itoa(int(addr.Port()))
	overQUIC, err := multiaddr.NewMultiaddr(base + "/udp/" + port + "/quic-v1")
	if err != nil {
		return nil, err
	}
	overTCP, err := multiaddr.NewMultiaddr(base + "/tcp/" + port)
	if err != nil {
		return nil, err
	}
	return []multiaddr.Multiaddr{overQUIC, overTCP}, nil
}

// addressOf is the address in a multiaddr, whatever follows it.
func addressOf(a multiaddr.Multiaddr) (netip.Addr, error) {
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}, err
	}
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.Addr{}, fmt.Errorf("%s names no address", a)
	}
	return addr.Unmap(), nil
}

// addrPortOf is the address and the UDP or TCP port in a multiaddr.
func addrPortOf(a multiaddr.Multiaddr) (netip.AddrPort, error) {
	addr, err := addressOf(a)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, protocol := range []int{multiaddr.P_UDP, multiaddr.P_TCP} {
		if text, err := a.ValueForProtocol(protocol); err == nil {
			port, err := strconv.ParseUint(text, 10, 16)
			if err != nil {
				return netip.AddrPort{}, fmt.Errorf("%s: %w", a, err)
			}
			return netip.AddrPortFrom(addr, uint16(port)), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("%s names no port", a)
}

// addrs is what the host tells others: where it knows that it is, and what the home router has mapped for it.
func (h *Host) addrs(known []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	if h.cfg.Mapped == nil {
		return known
	}
	at, ok := h.cfg.Mapped()
	if !ok {
		return known
	}
	ways, err := waysTo(at)
	if err != nil {
		return known
	}
	return append(known[:len(known):len(known)], ways[0]) // UDP is what is mapped
}

// Port is the UDP port on which the host listens, of IPv4 if it has both; 0 for none.
func (h *Host) Port() uint16 {
	for _, a := range h.host.Network().ListenAddresses() {
		if _, err := a.ValueForProtocol(multiaddr.P_QUIC_V1); err != nil {
			continue
		}
		if at, err := addrPortOf(a); err == nil {
			return at.Port()
		}
	}
	return 0
}
