package seal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"sward/internal/outside"
	"sward/internal/wire"
	"sward/policy"
)

// The doors, as a report names them.
const (
	doorProxy  = "proxied connection"
	doorCrawl  = "crawled page"
	doorGate   = "address gate"
	doorSocket = "socket"
)

// oneTime bounds one attack at one door. What is refused needs none of it.
const oneTime = 3 * time.Second

// errSpied is what the stand-in for the dial answers.
var errSpied = errors.New("the dial was reached")

// spy stands in for the dial: whatever reaches it would have been sent.
type spy struct {
	mu      sync.Mutex
	reached []netip.AddrPort
}

func (p *spy) dial(_ context.Context, to netip.AddrPort) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached = append(p.reached, to)
	return nil, errSpied
}

// take returns what has reached the dial since the last time.
func (p *spy) take() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	reached := p.reached
	p.reached = nil
	return reached
}

// try makes one attack at every door that it fits.
func (s *Seal) try(ctx context.Context, a attack, dns *trap) []Breach {
	var through []Breach
	note := func(door, how string) {
		if how != "" {
			through = append(through, Breach{ID: a.id, What: a.what, Target: a.target(), Door: door, How: how})
		}
	}
	for _, way := range []struct {
		door string
		open func(context.Context, outside.Dialer) error
	}{
		{doorProxy, func(ctx context.Context, out outside.Dialer) error { return s.ask(ctx, out, policy.AppProxy, a) }},
		{doorCrawl, func(ctx context.Context, out outside.Dialer) error { return s.ask(ctx, out, policy.AppCrawl, a) }},
		{doorGate, func(ctx context.Context, out outside.Dialer) error { return beneath(ctx, out, a) }},
	} {
		note(way.door, s.knock(ctx, a, dns, way.open))
	}
	if s.cfg.Sockets && a.socket.IsValid() {
		note(doorSocket, s.knockSocket(ctx, a))
	}
	return through
}

// ask goes the whole way of a stranger's request.
func (s *Seal) ask(ctx context.Context, out outside.Dialer, app policy.App, a attack) error {
	conn, err := s.cfg.Ask(ctx, out, app, a.host, a.port)
	if err == nil {
		conn.Close()
	}
	return err
}

// beneath goes past the owner's rules: they may be opened, and the gate may not.
func beneath(ctx context.Context, out outside.Dialer, a attack) error {
	host, err := policy.ParseHost(a.host)
	if err != nil {
		return outside.Refusal(err)
	}
	conn, err := out.Open(ctx, policy.Target{Host: host, Port: a.port})
	if err == nil {
		conn.Close()
	}
	return err
}

// knock tries one attack at one door that ends in a dial, and says how it came through, or nothing.
func (s *Seal) knock(ctx context.Context, a attack, dns *trap, open func(context.Context, outside.Dialer) error) string {
	ctx, cancel := context.WithTimeout(ctx, oneTime)
	defer cancel()
	watch := &spy{}
	out := outside.Dialer{Resolve: dns.resolve, Dial: watch.dial, Gate: s.cfg.Out.Gate}
	if a.system {
		out.Resolve = s.cfg.Out.Resolve
	}
	tries := 1
	if a.dns != nil {
		dns.set(a.host, *a.dns)
		if a.dns.then != nil {
			tries = 2 // the second lookup has the other answer
		}
	}
	for n := range tries {
		err := open(ctx, out)
		reached := watch.take()
		if n+1 < tries {
			// The first answer is a public address. It may be dialled, that very address, and the name is not looked up again.
			if dns.lookups(a.host) > 1 {
				return "the name was resolved twice for one request"
			}
			for _, to := range reached {
				if to.Addr() != elsewhere {
					return fmt.Sprintf("%s was dialled", to)
				}
			}
			continue
		}
		if len(reached) > 0 {
			return fmt.Sprintf("%s was dialled", reached[0])
		}
		if !refused(err) && !(a.system && unresolved(err)) {
			return fmt.Sprintf("not refused: %v", err)
		}
	}
	return ""
}

// knockSocket hands an address to the dial itself, as a mistake above it would.
func (s *Seal) knockSocket(ctx context.Context, a attack) string {
	ctx, cancel := context.WithTimeout(ctx, oneTime)
	defer cancel()
	conn, err := s.cfg.Out.Dial(ctx, netip.AddrPortFrom(a.socket, a.port))
	if err == nil {
		conn.Close()
		return "it answered"
	}
	if errors.Is(err, policy.ErrDenied) {
		return ""
	}
	return "a packet may have been sent to it"
}

// unresolved reports whether err is that of a name without an address: one that has left the hosts file meanwhile.
func unresolved(err error) bool {
	code := wire.CodeOf(err)
	return code == wire.DNSNotFound || code == wire.DNSError
}

// refused reports whether err is a rule's word: another end of a request means that something was tried.
func refused(err error) bool {
	told, ok := errors.AsType[*wire.Error](err)
	if !ok {
		return false
	}
	switch told.Code {
	case wire.BadHost, wire.BadPort:
		return true
	}
	return told.Code.Owner() == wire.OwnerPolicy
}
