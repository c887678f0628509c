package relay

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"github.com/apernet/quic-go"

	"sward/internal/bbr"
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
		Dial: r.dial, Refused: r.metrics.refused, Tune: tune,
	}
}

// tune gives a partner's connection of HTTP/3 the congestion control of the tunnels. It fights for a fair share: what
// stands there is a server, and no household that shares its line.
func tune(c *quic.Conn) {
	c.SetCongestionControl(bbr.New(bbr.Config{PacketSize: c.InitialPacketSize(), Yield: -1}))
}
