package edge

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
	"sward/policy"
)

const (
	resolveTimeout = 8 * time.Second  // one name, all servers and retries of the system's resolver
	dialTimeout    = 10 * time.Second // one address
	maxDials       = 4                // addresses tried of one answer; all of them are checked
	ownMaxAge      = 30 * time.Second // how long a listing of the machine's addresses is believed
)

// dialer is the only way out of an edge: proxied connections and every request of a crawl pass through it. It
// checks, resolves once, checks every answer, and dials the very address it checked. It never takes an address from
// somebody else in place of a name, and never resolves a name twice.
type dialer struct {
	policy  *policy.Policy
	resolve func(context.Context, string) ([]netip.Addr, error)
	dial    func(context.Context, netip.AddrPort) (net.Conn, error)
	gate    func() policy.Gate
	clock   func() time.Time
}

// open connects to target for app and purpose. The error is a *wire.Error: the name of the rule that refused, or
// what went wrong on the way.
func (d *dialer) open(ctx context.Context, app policy.App, purpose policy.Purpose, target policy.Target) (net.Conn, error) {
	request := policy.Request{App: app, Purpose: purpose, Target: target, Time: d.clock()}
	if err := d.policy.Check(request); err != nil {
		return nil, refusal(err)
	}
	addrs, err := d.addresses(ctx, target.Host)
	if err != nil {
		return nil, err
	}
	if err := d.gate().CheckAll(addrs); err != nil {
		return nil, refusal(err)
	}
	for _, a := range addrs[:min(len(addrs), maxDials)] {
		var conn net.Conn
		attempt, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err = d.dial(attempt, netip.AddrPortFrom(a, target.Port))
		cancel()
		if err == nil {
			return conn, nil
		}
		if cut, ok := errors.AsType[*wire.Error](context.Cause(ctx)); ok {
			return nil, cut // the owner's word came in between
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, dialError(err)
}

func (d *dialer) addresses(ctx context.Context, h policy.Host) ([]netip.Addr, error) {
	if a, ok := h.Addr(); ok {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := d.resolve(ctx, h.Name())
	if err != nil {
		return nil, resolveError(err)
	}
	if len(addrs) == 0 {
		return nil, wire.Errorf(wire.DNSNotFound, "the name has no address")
	}
	return addrs, nil
}

// DefaultResolve asks the system's DNS servers with Go's own resolver. The trailing dot keeps search lists out;
// answers from a hosts file come like any others and meet the address gate.
func DefaultResolve(ctx context.Context, name string) ([]netip.Addr, error) {
	r := net.Resolver{PreferGo: true}
	addrs, err := r.LookupNetIP(ctx, "ip", name+".")
	for i, a := range addrs {
		addrs[i] = a.Unmap() // the resolver hands out IPv4 in either form
	}
	return addrs, err
}

// DefaultDial connects by TCP and asks the gate again about the address of the socket itself, in the last moment in
// which nothing has been sent.
func DefaultDial(gate func() policy.Gate) func(context.Context, netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{
		Timeout: dialTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return gate().Check(ap.Addr().Unmap())
		},
	}
	return func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", to.String())
	}
}

// OwnPrefixes lists the addresses of this machine's interfaces with the prefixes they live in.
func OwnPrefixes() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // private ranges are refused without it
	}
	var own []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p)
		}
	}
	return own
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
	own := slices.Clone(g.own)
	for _, a := range g.seen {
		own = append(own, netip.PrefixFrom(a, a.BitLen()))
	}
	return policy.Gate{Own: own, Network: g.network}
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

// refusal turns a verdict of policy into the code of the same name.
func refusal(err error) *wire.Error {
	var d *policy.Denied
	if !errors.As(err, &d) {
		return wire.Errorf(wire.Internal, "%v", err)
	}
	code, ok := wire.CodeByName(d.Rule)
	if !ok {
		code = wire.Internal
	}
	return wire.Errorf(code, "%s", d.Detail)
}

func resolveError(err error) *wire.Error {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return wire.Errorf(wire.DNSNotFound, "the name does not exist")
	}
	return wire.Errorf(wire.DNSError, "the name could not be resolved")
}

// dialError says what became of a dial without naming an address of the home network.
func dialError(err error) *wire.Error {
	var timeout net.Error
	switch {
	case errors.Is(err, policy.ErrDenied):
		return refusal(err)
	case errors.Is(err, errnoRefused):
		return wire.Errorf(wire.DialRefused, "the target refused the connection")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return wire.Errorf(wire.DialTimeout, "the target did not answer")
	default:
		return wire.Errorf(wire.DialUnreachable, "the target could not be reached")
	}
}
