package edge

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sward/internal/identity"
	"sward/internal/outside"
	"sward/policy"
)

const (
	resolveTimeout = 8 * time.Second // of a relay's name
	ownMaxAge      = 5 * time.Second // how long a listing of the machine's addresses is believed
)

// dialer is the only way out of an edge: proxied connections and every request of a crawl pass through it. It asks the
// owner's policy, and leaves the rest to the way out that the whole network has.
type dialer struct {
	outside.Dialer
	terms func() *terms
	clock func() time.Time
}

// open connects to target for app and purpose. The error is a *wire.Error: the name of the rule that refused, or
// what went wrong on the way.
func (d *dialer) open(ctx context.Context, app policy.App, purpose policy.Purpose, target policy.Target) (net.Conn, error) {
	request := policy.Request{App: app, Purpose: purpose, Target: target, Time: d.clock()}
	if err := d.terms().policy.Check(request); err != nil {
		return nil, outside.Refusal(err)
	}
	return d.Open(ctx, target)
}

// gatekeeper builds the address gate from the machine's addresses, listed anew when they are old, and the
// network's own hosts.
type gatekeeper struct {
	list  func() []netip.Prefix
	clock func() time.Time

	mu      sync.Mutex
	own     []netip.Prefix
	listed  time.Time
	seen    map[identity.ID]netip.Addr // this home, as each relay last saw it
	hosts   map[string][]netip.Addr    // of the network
	network []netip.Addr               // all of theirs
}

// maxSeen bounds the relays whose word is kept: an edge has sessions with a few at a time.
const maxSeen = 64

func (g *gatekeeper) gate() policy.Gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.clock(); g.listed.IsZero() || now.Sub(g.listed).Abs() > ownMaxAge {
		g.own, g.listed = g.list(), now
	}
	return policy.Gate{Own: g.homeLocked(), Network: g.network}
}

// relist lists the machine's addresses anew, and returns all addresses of the home.
func (g *gatekeeper) relist() []netip.Prefix {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own, g.listed = g.list(), g.clock()
	return g.homeLocked()
}

// homeLocked are the machine's addresses, and those that relays have seen, in an order that stays.
func (g *gatekeeper) homeLocked() []netip.Prefix {
	home := slices.Clone(g.own)
	seen := slices.SortedFunc(maps.Values(g.seen), netip.Addr.Compare)
	for _, a := range slices.Compact(seen) {
		home = append(home, netip.PrefixFrom(a, a.BitLen()))
	}
	return home
}

// observe adds the address from which a relay sees this edge come, in place of what it saw before: through a home router
// that is the router's public side, and a dial to it may come back in.
func (g *gatekeeper) observe(relay identity.ID, a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil {
		g.seen = map[identity.ID]netip.Addr{}
	}
	if _, known := g.seen[relay]; known || len(g.seen) < maxSeen {
		g.seen[relay] = a
	}
}

// home is the IPv4 address at which relays see this home; the zero one where they do not agree, or have not said.
func (g *gatekeeper) home() (home netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.seen {
		switch {
		case !a.Is4():
		case home.IsValid() && home != a:
			return netip.Addr{}
		default:
			home = a
		}
	}
	return home
}

// seenBy is the address from which a relay sees this edge come.
func (g *gatekeeper) seenBy(relay identity.ID) (netip.Addr, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, ok := g.seen[relay]
	return a, ok
}

// seenAddrs are those of all relays.
func (g *gatekeeper) seenAddrs() []netip.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.seen))
}

// setNetwork replaces the hosts of the network, relays and hub. One without addresses keeps those that it had.
func (g *gatekeeper) setNetwork(hosts map[string][]netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for host, addrs := range hosts {
		if len(addrs) == 0 {
			hosts[host] = g.hosts[host]
		}
	}
	g.hosts, g.network = hosts, slices.Concat(slices.Collect(maps.Values(hosts))...)
}
