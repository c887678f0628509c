package portmap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
)

const (
	// ssdpGroup is where devices are searched and announce themselves.
	ssdpGroup = "239.255.255.250:1900"
	ssdpPort  = 1900
	// searchWindow is how long answers are waited for: a device spreads its own over searchMX seconds, and one that was
	// asked twice has had two chances.
	searchWindow = 2500 * time.Millisecond
	searchMX     = 1
	searchAgain  = 600 * time.Millisecond
	// searchHops is how far a search travels (UPnP Device Architecture 1.1 §1.3.2).
	searchHops = 2
	// maxInterfaces is how many interfaces are searched; a machine with containers has dozens.
	maxInterfaces = 16
	// maxRouters is how many answers are looked at. A home has one or two routers.
	maxRouters = 8
	// maxSSDP bounds one message, in bytes: it fits into one packet.
	maxSSDP = 2048
)

// gateways are the device types to search for. A router of version 2 has to answer for version 1 as well; some do not.
var gateways = []string{
	"urn:schemas-upnp-org:device:InternetGatewayDevice:1",
	"urn:schemas-upnp-org:device:InternetGatewayDevice:2",
}

// search asks every interface for routers, and the gateway directly (a zero one is left out): some switches lose
// multicasts. found gets each description's place once, from several goroutines. An interface that cannot be searched is no
// error while another can.
func search(ctx context.Context, window time.Duration, gateway netip.Addr, found func(*url.URL)) error {
	interfaces, err := searchable()
	if err != nil {
		return fmt.Errorf("search for the router: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	var mu sync.Mutex
	seen := map[string]bool{}
	once := func(place *url.URL) {
		mu.Lock()
		defer mu.Unlock()
		if key := place.String(); len(seen) < maxRouters && !seen[key] {
			seen[key] = true
			found(place)
		}
	}
	errs := make([]error, len(interfaces))
	var searches sync.WaitGroup
	for n, in := range interfaces {
		searches.Go(func() { errs[n] = in.search(ctx, gateway, once) })
	}
	searches.Wait()
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errors.Join(NoRouter, errors.Join(errs...))
}

// nic is one address of an interface.
type nic struct {
	net.Interface
	addr netip.Addr
}

// searchable lists the interfaces that have an IPv4 address and carry multicasts.
func searchable() (all []nic, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && p.Addr().Is4() && len(all) < maxInterfaces {
				all = append(all, nic{i, p.Addr()})
			}
		}
	}
	return all, nil
}

func (in nic) search(ctx context.Context, gateway netip.Addr, found func(*url.URL)) error {
	pc, err := new(net.ListenConfig).ListenPacket(ctx, "udp4", netip.AddrPortFrom(in.addr, 0).String())
	if err != nil {
		return err
	}
	defer pc.Close()
	stop := context.AfterFunc(ctx, func() { pc.SetDeadline(time.Now()) }) //nolint:errcheck // fails on a closed socket, as the read will
	defer stop()
	c := ipv4.NewPacketConn(pc)
	if err := errors.Join(c.SetMulticastInterface(&in.Interface), c.SetMulticastTTL(searchHops)); err != nil {
		return err
	}
	if err := ask(pc, gateway); err != nil {
		return err
	}
	again := time.AfterFunc(searchAgain, func() { ask(pc, gateway) }) //nolint:errcheck // the first has been sent
	defer again.Stop()
	buf := make([]byte, maxSSDP)
	for {
		n, from, err := pc.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the window has closed, or the search is over
		}
		if err != nil {
			return err
		}
		if place := placeOf(buf[:n], from.(*net.UDPAddr).AddrPort().Addr().Unmap()); place != nil {
			found(place)
		}
	}
}

// ask sends the search. That a multicast cannot be sent is an error; the gateway is asked beside it.
func ask(pc net.PacketConn, gateway netip.Addr) error {
	group := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(ssdpGroup))
	for _, kind := range gateways {
		m := fmt.Appendf(nil, "M-SEARCH * HTTP/1.1\r\nHOST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: %d\r\nST: %s\r\n\r\n", ssdpGroup, searchMX, kind)
		if gateway.IsValid() {
			pc.WriteTo(m, net.UDPAddrFromAddrPort(netip.AddrPortFrom(gateway, ssdpPort))) //nolint:errcheck // it may not be on this interface
		}
		if _, err := pc.WriteTo(m, group); err != nil {
			return err
		}
	}
	return nil
}

// placeOf is where the device that answered describes itself, nil for what is no router's answer. A device describes
// itself: an answer that sends us to somebody else is not followed.
func placeOf(answer []byte, from netip.Addr) *url.URL {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return nil
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("ST"), ":InternetGatewayDevice:") {
		return nil
	}
	place, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || place.Scheme != "http" || place.User != nil {
		return nil
	}
	if host, err := netip.ParseAddr(place.Hostname()); err != nil || host.Unmap() != from || !atHome(from) {
		return nil
	}
	return place
}
