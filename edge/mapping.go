package edge

import (
	"errors"
	"net"
	"net/netip"

	"sward/internal/portmap"
)

// newMapper prepares the worker that asks the home router to map the port of the tunnels' socket. The owner has
// switched it on: an edge works fully without, because it is the one that dials.
func newMapper(cfg Config) (*portmap.Mapper, error) {
	if cfg.PacketConn == nil {
		return nil, errors.New("edge: a port mapping needs a socket to map")
	}
	addr, ok := cfg.PacketConn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, errors.New("edge: a port mapping needs a UDP socket")
	}
	return portmap.New(portmap.Config{Port: uint16(addr.Port), On: true, Log: cfg.Log})
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
