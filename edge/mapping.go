package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"sward/internal/portmap"
)

// errNoPort answers who wants a port mapped where there is none: an edge in the same process as its relay, in the sandbox.
var errNoPort = errors.New("port_mapping: this edge has no UDP socket of its own")

// mapTunnels prepares the worker that asks the home router to map the port of the tunnels' socket, when the owner has
// switched that on. An edge works fully without, because it is the one that dials.
func (e *Edge) mapTunnels(on bool) (*portmap.Mapper, error) {
	addr, ok := e.cfg.PacketConn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("edge: %w", errNoPort)
	}
	return e.newMapper("", uint16(addr.Port), on)
}

// keepMapping runs the mapper once the owner has agreed: before, the edge opens nothing either.
func (e *Edge) keepMapping(ctx context.Context) error {
	if err := e.waitForConsent(ctx); err != nil {
		return nil //nolint:nilerr // the edge was stopped before its owner agreed
	}
	return e.mapper.Run(ctx)
}

// newMapper maps a port. Its use tells it, in the router's own list, from the other ports of this edge.
func (e *Edge) newMapper(use string, port uint16, on bool) (*portmap.Mapper, error) {
	return portmap.New(portmap.Config{
		Port: port, On: on, Name: strings.TrimSpace(e.ID().Short() + " " + use), Observed: func() netip.Addr { return e.gate.home() },
		Seed: e.cfg.Key.Sign(e.cfg.Network, "port-mapping", []byte(use)), Log: e.cfg.Log,
	})
}

// Mapping is how the tunnels' port stands on the home router.
func (e *Edge) Mapping() portmap.State {
	if e.mapper == nil {
		return portmap.State{}
	}
	return e.mapper.State()
}

// own lists what the address gate calls this machine: the interfaces' addresses and, when a router has told it, the
// home's public address, behind which the router itself answers.
func (e *Edge) own() []netip.Prefix {
	own := e.cfg.Own()
	if e.mapper != nil {
		if outside, ok := e.mapper.External(); ok {
			a := outside.Addr().Unmap()
			own = append(own, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return own
}
