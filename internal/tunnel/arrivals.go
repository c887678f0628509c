package tunnel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/apernet/quic-go"
)

const (
	// maxArrivals is how many dialers may be between their first packet and Accept,
	// and how many of them from one address and from one network: a /32 in a /24,
	// and a /64 in a /48. A handshake takes a fraction of a second, and a dialer
	// that is refused tries again: many edges behind one address come in turn.
	maxArrivals     = 2048
	maxFromOne      = 128
	maxFromNetwork  = 256
	addressBits4    = 32
	networkBits4    = 24
	addressBits6    = 64
	networkBits6    = 48
	crowdedFraction = 2
)

// arrivals counts the dialers whose handshake has begun and who have not been
// greeted, by where they come from. Sessions are not in it: who is in stays in,
// however many knock.
type arrivals struct {
	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int // addresses and networks
}

func newArrivals() *arrivals { return &arrivals{from: map[netip.Prefix]int{}} }

var errCrowd = errors.New("too many handshakes from there")

// places are the prefixes that an address counts for, with their bounds. One that
// is no IP address, as in a test's pipe, counts for none.
func places(addr net.Addr) (one, network netip.Prefix) {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is4() {
		one, _ = a.Prefix(addressBits4)
		network, _ = a.Prefix(networkBits4)
		return one, network
	}
	one, _ = a.Prefix(addressBits6)
	network, _ = a.Prefix(networkBits6)
	return one, network
}

// enter counts a dialer in, until leave is called, which may happen twice.
func (r *arrivals) enter(addr net.Addr) (leave func(), ok bool) {
	one, network := places(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all >= maxArrivals || one.IsValid() && (r.from[one] >= maxFromOne || r.from[network] >= maxFromNetwork) {
		return nil, false
	}
	r.all++
	r.from[one]++
	r.from[network]++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all--
		for _, p := range [...]netip.Prefix{one, network} {
			if r.from[p]--; r.from[p] == 0 {
				delete(r.from, p)
			}
		}
	}), true
}

// crowded tells when so many come from one place that they must prove to be
// there, lest somebody who only claims its addresses fills its share.
func (r *arrivals) crowded(addr net.Addr) bool {
	one, network := places(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	return one.IsValid() && (r.from[one] >= maxFromOne/crowdedFraction || r.from[network] >= maxFromNetwork/crowdedFraction)
}

// arrival is the key of a QUIC connection's leave in its context.
type arrival struct{}

// quic counts a QUIC dialer in, until greeted or until its handshake has failed.
func (r *arrivals) quic(ctx context.Context, from *quic.ClientInfo) (context.Context, error) {
	leave, ok := r.enter(from.RemoteAddr)
	if !ok {
		return nil, errCrowd
	}
	context.AfterFunc(ctx, leave)
	return context.WithValue(ctx, arrival{}, leave), nil
}

// greeted counts a QUIC dialer out.
func (r *arrivals) greeted(ctx context.Context) {
	if leave, ok := ctx.Value(arrival{}).(func()); ok {
		leave()
	}
}
