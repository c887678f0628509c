// Package outside is the one way out to hosts that strangers name: what a proxy's partner dials, what a crawl leads to,
// what a buyer gives as the address of a webhook.
//
// A name is resolved once, every answer is checked by the address gate, and the very address that was checked is dialled,
// with the gate asked again about the socket itself. So no answer of a DNS server, and no second one, leads to the machine
// that dials or to the network around it. It takes no switch that would let it: tests and the sandbox bring a resolver and a
// dialer of their own.
package outside

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"sward/internal/wire"
	"sward/policy"
)

const (
	resolveTimeout = 8 * time.Second  // one name, all servers and retries of the system's resolver
	dialTimeout    = 10 * time.Second // one address
	maxDials       = 4                // addresses tried of one answer; all of them are checked
)

// Dialer is a way out. All fields are required.
type Dialer struct {
	Resolve func(context.Context, string) ([]netip.Addr, error)
	Dial    func(context.Context, netip.AddrPort) (net.Conn, error)
	Gate    func() policy.Gate
}

// New is a way out through the system's resolver and sockets.
func New(gate func() policy.Gate) Dialer {
	return Dialer{Resolve: Resolve, Dial: Dial(gate), Gate: gate}
}

// Open connects to target. The error is a *wire.Error: the name of the rule that refused, or what went wrong on the way. It
// never takes an address from somebody else in place of a name, and never resolves a name twice.
func (d Dialer) Open(ctx context.Context, target policy.Target) (net.Conn, error) {
	addrs, err := d.addresses(ctx, target.Host)
	if err != nil {
		return nil, err
	}
	if err := d.Gate().CheckAll(addrs); err != nil {
		return nil, Refusal(err)
	}
	for _, a := range addrs[:min(len(addrs), maxDials)] {
		var conn net.Conn
		attempt, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err = d.Dial(attempt, netip.AddrPortFrom(a, target.Port))
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

func (d Dialer) addresses(ctx context.Context, h policy.Host) ([]netip.Addr, error) {
	if a, ok := h.Addr(); ok {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := d.Resolve(ctx, h.Name())
	if err != nil {
		return nil, resolveError(err)
	}
	if len(addrs) == 0 {
		return nil, wire.Errorf(wire.DNSNotFound, "the name has no address")
	}
	return addrs, nil
}

// Resolve asks the system's DNS servers with Go's own resolver. The trailing dot keeps search lists out;
// answers from a hosts file come like any others and meet the address gate.
func Resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	return ResolveBy(ctx, &net.Resolver{PreferGo: true}, name)
}

// ResolveBy is Resolve by another resolver, which a test of the way out has in its hand.
func ResolveBy(ctx context.Context, r *net.Resolver, name string) ([]netip.Addr, error) {
	addrs, err := r.LookupNetIP(ctx, "ip", name+".")
	for i, a := range addrs {
		addrs[i] = a.Unmap() // the resolver hands out IPv4 in either form
	}
	return addrs, err
}

// Dial connects by TCP and asks the gate again about the address of the socket itself, in the last moment in
// which nothing has been sent.
func Dial(gate func() policy.Gate) func(context.Context, netip.AddrPort) (net.Conn, error) {
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

// Own lists the addresses of this machine's interfaces with the prefixes they live in, and those that Near lists.
func Own() []netip.Prefix {
	var own []netip.Prefix
	addrs, _ := net.InterfaceAddrs() // without them private ranges are refused all the same
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p)
		}
	}
	for _, a := range Near() {
		own = append(own, netip.PrefixFrom(a, a.BitLen()))
	}
	return own
}

// Refusal turns a verdict of policy into the code of the same name.
func Refusal(err error) *wire.Error {
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
		return Refusal(err)
	case errors.Is(err, errnoRefused):
		return wire.Errorf(wire.DialRefused, "the target refused the connection")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return wire.Errorf(wire.DialTimeout, "the target did not answer")
	default:
		return wire.Errorf(wire.DialUnreachable, "the target could not be reached")
	}
}
