package relay

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"sward/policy"
	"sward/relay/gateway"
)

// Door is what of the partners' door goes beyond plain TCP. The zero value is nothing.
type Door struct {
	TLS          net.Listener   // the same dialects, and HTTP/2, inside TLS
	PacketConn   net.PacketConn // HTTP/3
	Certificates func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// doorConfig is the door's world.
func (r *Relay) doorConfig() gateway.Config {
	return gateway.Config{
		Listener: r.cfg.Listener, TLSListener: r.cfg.Door.TLS, PacketConn: r.cfg.Door.PacketConn,
		Certificates: r.cfg.Door.Certificates,
		Ports:        r.cfg.Ports, Gate: policy.Gate{Network: r.cfg.Peers}, Log: r.cfg.Log,
		Authorise: func(ctx context.Context, name, key string, from netip.Addr) (gateway.Account, error) {
			a, err := r.authorise(ctx, name, key, from)
			if err != nil {
				return nil, err // not a: a nil *account in an Account is not nil
			}
			return a, nil
		},
		Dial: r.dial, Refused: r.metrics.refused,
	}
}
