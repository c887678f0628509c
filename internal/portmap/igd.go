package portmap

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/soap"
)

const (
	// mapTries is how many external ports are tried when the first is taken.
	mapTries = 4
	// maxServices is how many lines of one router are looked at: a box with DSL and a telephone card has two.
	maxServices = 4
	// maxListed is how many mappings of a router are looked through for old ones of ours.
	maxListed = 64
)

// UPnP errors with a remedy. Source: UPnP WANIPConnection:2, table 2-9 and on.
const (
	upnpInvalidArgs   = 402 // said of a lease, by routers that know none
	upnpUnauthorised  = 606
	upnpNoSuchEntry   = 714 // there is nothing to remove
	upnpConflict      = 718 // the external port is mapped to somebody else
	upnpOnlyPermanent = 725 // the router knows no leases
	upnpNoPorts       = 728 // none is free
	upnpOtherConflict = 729 // another mechanism has the port: PCP, say
)

// wan is the service that maps ports. Three generations of it are in use, with the same calls.
type wan interface {
	AddPortMappingCtx(ctx context.Context, remoteHost string, externalPort uint16, protocol string, internalPort uint16, internalClient string, enabled bool, description string, leaseSeconds uint32) error
	DeletePortMappingCtx(ctx context.Context, remoteHost string, externalPort uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
	GetSpecificPortMappingEntryCtx(ctx context.Context, remoteHost string, externalPort uint16, protocol string) (internalPort uint16, internalClient string, enabled bool, description string, leaseSeconds uint32, err error)
	GetGenericPortMappingEntryCtx(ctx context.Context, index uint16) (remoteHost string, externalPort uint16, protocol string, internalPort uint16, internalClient string, enabled bool, description string, leaseSeconds uint32, err error)
	GetServiceClient() *goupnp.ServiceClient
}

var (
	_ wan = (*internetgateway2.WANIPConnection2)(nil)
	_ wan = (*internetgateway2.WANIPConnection1)(nil)
	_ wan = (*internetgateway2.WANPPPConnection1)(nil)
)

// igd is a router that speaks UPnP.
type igd struct {
	wan
	generation string     // "UPnP IGD 2"
	name       string     // what the router calls itself
	uuid       string     // another after some restarts
	at         netip.Addr // the router
	inside     netip.Addr // this host's address, as the router sees it
	label      string     // what the owner reads in the router's own list
	swept      bool       // old mappings of ours have been looked for
}

func (r *igd) protocol() string { return r.generation }
func (r *igd) router() string   { return r.name }
func (r *igd) addr() netip.Addr { return r.at }

// routerOf makes a description that was read at place into a router: its line that is online, if it has several.
func routerOf(ctx context.Context, device *goupnp.RootDevice, place *url.URL, label string) (*igd, error) {
	at, err := netip.ParseAddr(place.Hostname())
	if err != nil {
		return nil, fmt.Errorf("the router's address: %w", err)
	}
	services, generation := portMappings(device, place)
	if len(services) == 0 {
		return nil, fmt.Errorf("%w: it does not map ports", NoRouter)
	}
	inside, err := insideAddr(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("find the way to the router: %w", err)
	}
	var first *igd
	for _, service := range services[:min(len(services), maxServices)] {
		client := service.GetServiceClient().SOAPClient
		if client.EndpointURL.Hostname() != place.Hostname() {
			return nil, errors.New("the router's description sends calls elsewhere")
		}
		client.HTTPClient = *homeClient
		r := &igd{wan: service, generation: generation, name: named(device.Device.FriendlyName), uuid: device.Device.UDN, at: at, inside: inside, label: label}
		if len(services) == 1 {
			return r, nil
		}
		if first == nil {
			first = r
		}
		if a, err := r.outside(ctx); err == nil && known(a) == nil {
			return r, nil
		}
	}
	return first, nil
}

// portMappings are the services of the newest generation that the router has.
func portMappings(device *goupnp.RootDevice, place *url.URL) (all []wan, generation string) {
	if c, err := internetgateway2.NewWANIPConnection2ClientsFromRootDevice(device, place); err == nil {
		return widened(c), "UPnP IGD 2"
	}
	if c, err := internetgateway2.NewWANIPConnection1ClientsFromRootDevice(device, place); err == nil {
		all = widened(c)
	}
	if c, err := internetgateway2.NewWANPPPConnection1ClientsFromRootDevice(device, place); err == nil {
		if len(all) == 0 {
			return widened(c), "UPnP PPP 1"
		}
		all = append(all, widened(c)...) // a DSL box describes both, and one of them is online
	}
	return all, "UPnP IGD 1"
}

func widened[T wan](clients []T) (all []wan) {
	for _, c := range clients {
		all = append(all, c)
	}
	return all
}

func (r *igd) outside(ctx context.Context) (netip.Addr, error) {
	text, err := r.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask the router for its address: %w", err)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, Offline
	}
	return a.Unmap(), nil
}

func (r *igd) open(ctx context.Context, want mapping, lease time.Duration) (mapping, error) {
	outside, err := r.outside(ctx)
	if err != nil {
		return mapping{}, err
	}
	if err := known(outside); err != nil {
		return mapping{}, err
	}
	if !r.swept {
		r.sweep(ctx, want)
		r.swept = true
	}
	port := want.external.Port()
	if port == 0 {
		port = want.internal
	}
	for range mapTries {
		given := lease
		if err = r.add(ctx, port, want.internal, lease); knowsNoLease(err) {
			given, err = 0, r.add(ctx, port, want.internal, 0)
		}
		if err == nil {
			m := mapping{want.internal, netip.AddrPortFrom(outside, port), given}
			return r.granted(ctx, m), nil
		}
		switch code := upnpCode(err); {
		case code == 0: // no answer: it may be mapped
			return mapping{want.internal, netip.AddrPortFrom(outside, port), lease}, fmt.Errorf("add port mapping: %w", err)
		case code != upnpConflict && code != upnpOtherConflict:
			return mapping{}, fmt.Errorf("add port mapping: %w", err)
		}
		port = uint16(1<<15 + rand.N(1<<15)) // where few services live
	}
	return mapping{}, fmt.Errorf("add port mapping: %w", err)
}

// add maps a port; a lease of 0 is for ever.
func (r *igd) add(ctx context.Context, external, internal uint16, lease time.Duration) error {
	err := r.AddPortMappingCtx(ctx, "", external, "UDP", internal, r.inside.String(), true, r.label, uint32(lease/time.Second))
	switch upnpCode(err) {
	case upnpUnauthorised:
		return fmt.Errorf("%w: %w", Refused, err)
	case upnpConflict, upnpOtherConflict, upnpNoPorts:
		return fmt.Errorf("%w: %w", Conflict, err)
	}
	return err
}

// granted is m with the lease that the router says, if it says one: some give less than they are asked for.
func (r *igd) granted(ctx context.Context, m mapping) mapping {
	_, _, _, _, seconds, err := r.GetSpecificPortMappingEntryCtx(ctx, "", m.external.Port(), "UDP")
	if given := time.Duration(seconds) * time.Second; err == nil && given > 0 && given < m.lease {
		m.lease = given
	}
	return m
}

// sweep removes mappings that an earlier run of this edge left and that lead to a port it has no more: a router without
// leases keeps them for ever. The mapping of the same port stays, to be renewed.
func (r *igd) sweep(ctx context.Context, want mapping) {
	var old []uint16
	for index := range uint16(maxListed) {
		_, external, protocol, internal, client, _, label, _, err := r.GetGenericPortMappingEntryCtx(ctx, index)
		if err != nil {
			break // the list's end, or a router that shows none
		}
		if protocol == "UDP" && label == r.label && client == r.inside.String() && internal != want.internal {
			old = append(old, external)
		}
	}
	for _, external := range slices.Backward(old) {
		r.DeletePortMappingCtx(ctx, "", external, "UDP") //nolint:errcheck // what stays does no more harm than before
	}
}

func (r *igd) close(ctx context.Context, m mapping) error {
	err := r.DeletePortMappingCtx(ctx, "", m.external.Port(), "UDP")
	if upnpCode(err) == upnpNoSuchEntry {
		return nil
	}
	return err
}

func (r *igd) holds(ctx context.Context, m mapping) (bool, error) {
	outside, err := r.outside(ctx)
	if err != nil {
		return false, err
	}
	internal, client, _, _, _, err := r.GetSpecificPortMappingEntryCtx(ctx, "", m.external.Port(), "UDP")
	switch code := upnpCode(err); {
	case code == upnpNoSuchEntry:
		return false, nil
	case code != 0:
		return outside == m.external.Addr(), nil // it does not know the question
	case err != nil:
		return false, err
	}
	return outside == m.external.Addr() && internal == m.internal && client == r.inside.String(), nil
}

func knowsNoLease(err error) bool {
	code := upnpCode(err)
	return code == upnpOnlyPermanent || code == upnpInvalidArgs
}

// upnpCode is the router's error number, or 0.
func upnpCode(err error) int {
	if fault, ok := errors.AsType[*soap.SOAPFaultError](err); ok {
		return fault.Detail.UPnPError.Errorcode
	}
	return 0
}
