package portmap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
)

const (
	// maxRouters is how many answers are looked at. A home has one or two.
	maxRouters = 8
	// maxRouterAnswer bounds what is read from anything that claims to be a
	// router, in bytes; real descriptions have 5 to 20 KiB.
	maxRouterAnswer = 1 << 20
)

// gateways are the device types to search for. A router of version 2 has to
// answer for version 1 as well; some do not.
var gateways = []string{
	"urn:schemas-upnp-org:device:InternetGatewayDevice:1",
	"urn:schemas-upnp-org:device:InternetGatewayDevice:2",
}

// wan is the service that maps ports. Three generations of it are in use, with
// the same three calls.
type wan interface {
	AddPortMappingCtx(ctx context.Context, remoteHost string, externalPort uint16, protocol string, internalPort uint16, internalClient string, enabled bool, description string, leaseSeconds uint32) error
	DeletePortMappingCtx(ctx context.Context, remoteHost string, externalPort uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
	GetServiceClient() *goupnp.ServiceClient
}

var (
	_ wan = (*internetgateway2.WANIPConnection2)(nil)
	_ wan = (*internetgateway2.WANIPConnection1)(nil)
	_ wan = (*internetgateway2.WANPPPConnection1)(nil)
)

// router is a gateway that maps ports.
type router struct {
	wan
	inside string // this host's address, as the router sees it
}

func (r *router) outside(ctx context.Context) (netip.Addr, error) {
	text, err := r.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask the router for its address: %w", err)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, errors.New("the router has no address of its own") // it is offline
	}
	return a.Unmap(), nil
}

// add maps a port; a lease of 0 is for ever.
func (r *router) add(ctx context.Context, external, internal uint16, lease time.Duration) error {
	return r.AddPortMappingCtx(ctx, "", external, "UDP", internal, r.inside, true, mapLabel, uint32(lease/time.Second))
}

// findRouter returns the router described at root, or, without a root, the first
// that answers a search of the home network (SSDP multicast) and maps ports.
func findRouter(ctx context.Context, root *url.URL) (*router, error) {
	if root != nil {
		device, err := goupnp.DeviceByURLCtx(ctx, root)
		if err != nil {
			return nil, fmt.Errorf("read the router's description: %w", err)
		}
		return routerOf(ctx, device, root)
	}
	err := errors.New("no router answers")
	for _, kind := range gateways {
		answers, searchErr := goupnp.DiscoverDevicesCtx(ctx, kind)
		if searchErr != nil {
			return nil, fmt.Errorf("search for the router: %w", searchErr)
		}
		for _, a := range answers[:min(len(answers), maxRouters)] {
			if a.Err != nil {
				err = fmt.Errorf("read the router's description: %w", a.Err)
				continue
			}
			var r *router
			if r, err = routerOf(ctx, a.Root, a.Location); err == nil {
				return r, nil
			}
		}
	}
	return nil, err
}

// routerOf makes a description that was read at place into a router.
func routerOf(ctx context.Context, device *goupnp.RootDevice, place *url.URL) (*router, error) {
	service := portMapping(device, place)
	if service == nil {
		return nil, errors.New("the router does not map ports")
	}
	soap := service.GetServiceClient().SOAPClient
	if soap.EndpointURL.Hostname() != place.Hostname() {
		return nil, errors.New("the router's description sends calls elsewhere")
	}
	soap.HTTPClient = *routerClient
	inside, err := insideAddr(ctx, place.Hostname())
	if err != nil {
		return nil, fmt.Errorf("find the way to the router: %w", err)
	}
	return &router{wan: service, inside: inside}, nil
}

// portMapping picks the newest generation of the service that the router has.
func portMapping(device *goupnp.RootDevice, place *url.URL) wan {
	if c, err := internetgateway2.NewWANIPConnection2ClientsFromRootDevice(device, place); err == nil {
		return c[0]
	}
	if c, err := internetgateway2.NewWANIPConnection1ClientsFromRootDevice(device, place); err == nil {
		return c[0]
	}
	if c, err := internetgateway2.NewWANPPPConnection1ClientsFromRootDevice(device, place); err == nil {
		return c[0]
	}
	return nil
}

// insideAddr is the address from which this host reaches the router. Dialling
// UDP chooses it without sending anything.
func insideAddr(ctx context.Context, host string) (string, error) {
	const discard = "9" // any port would do
	c, err := new(net.Dialer).DialContext(ctx, "udp4", net.JoinHostPort(host, discard))
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP.String(), nil
}

// routerClient is for all HTTP with routers. Anything at home can claim to be
// one, so it goes nowhere but to the home network, by no proxy and no redirect,
// and reads no more than maxRouterAnswer.
var routerClient = &http.Client{
	Transport:     homeOnly{&http.Transport{DisableKeepAlives: true}},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// goupnp reads descriptions with this client, and offers no other way to choose
// it. Nothing else in the program uses goupnp.
func init() { goupnp.HTTPClientDefault = routerClient }

type homeOnly struct{ http.RoundTripper }

func (h homeOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	a, err := netip.ParseAddr(req.URL.Hostname())
	if err != nil || !(a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()) {
		return nil, errors.New("not an address of the home network")
	}
	resp, err := h.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxRouterAnswer), resp.Body}
	}
	return resp, err
}
