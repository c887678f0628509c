package portmap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/libp2p/go-netroute"
)

// pcpLead is how long NAT-PMP's answer waits for PCP's, from the same router: PCP's is the better protocol, since nobody else
// in the house can remove what it opened.
const pcpLead = 100 * time.Millisecond

// route is this host's way to the Internet.
type route struct{ gateway, inside netip.Addr }

// anywhere is a public address, towards which nothing is sent.
var anywhere = net.IPv4(1, 1, 1, 1)

// theRoute asks the system. A zero gateway means that there is none: no network, or a line without a router.
func theRoute() (r route) {
	table, err := netroute.New()
	if err != nil {
		return r
	}
	_, gateway, inside, err := table.Route(anywhere)
	if err != nil {
		return r
	}
	if a, ok := netip.AddrFromSlice(gateway); ok && atHome(a.Unmap()) {
		r.gateway = a.Unmap()
	}
	if a, ok := netip.AddrFromSlice(inside); ok {
		r.inside = a.Unmap()
	}
	return r
}

// finder looks for somebody who opens ports.
type finder struct {
	way   route
	root  *url.URL // nil: searched
	label string
	nonce [pcpNonce]byte

	window time.Duration // of the search; see searchWindow
}

// find races the three protocols for somebody who opens ports, and tries them as they come: try returns nil when the port
// is open, and ends the race. The gateway's own answers are tried at once; another router's, behind which the tunnels do
// not run, when the gateway has none. Nothing is opened twice: what is raced are questions. The error is the most telling one.
func (f finder) find(ctx context.Context, try func(gateway) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var racing sync.WaitGroup
	defer racing.Wait()
	defer cancel()
	answers := make(chan gateway)
	answer := func(g gateway) {
		select {
		case answers <- g:
		case <-ctx.Done():
		}
	}
	var mu sync.Mutex
	var failed error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = worse(failed, err)
	}
	if f.way.gateway.IsValid() && f.root == nil {
		racing.Go(func() { f.askGateway(ctx, netip.AddrPortFrom(f.way.gateway, portServer), answer) })
	}
	racing.Go(func() {
		var describing sync.WaitGroup
		read := func(place *url.URL) {
			describing.Go(func() {
				device, err := describe(ctx, place)
				if err != nil {
					fail(err)
					return
				}
				r, err := routerOf(ctx, device, place, f.label)
				if err != nil {
					fail(err)
					return
				}
				answer(r)
			})
		}
		if f.root != nil {
			read(f.root)
		} else if err := search(ctx, f.window, f.way.gateway, read); err != nil {
			fail(err)
		}
		describing.Wait()
	})
	over := make(chan struct{})
	go func() {
		racing.Wait()
		close(over)
	}()
	var others []gateway
	for {
		select {
		case g := <-answers:
			if g.addr() != f.way.gateway && f.root == nil {
				others = append(others, g)
				continue
			}
			err := try(g)
			if err == nil {
				return nil
			}
			fail(err)
		case <-over:
			for _, g := range others {
				err := try(g)
				if err == nil {
					return nil
				}
				fail(err)
			}
			if err := ctx.Err(); err != nil && failed == nil {
				return err
			}
			if failed == nil {
				return NoRouter
			}
			return failed
		}
	}
}

// askGateway asks in PCP and NAT-PMP. Neither question opens anything.
func (f finder) askGateway(ctx context.Context, at netip.AddrPort, answer func(gateway)) {
	var both sync.WaitGroup
	defer both.Wait()
	known := make(chan struct{}) // PCP's answer, or that there is none
	both.Go(func() {
		defer close(known)
		p := &pcp{at: at, clock: new(epoch), nonce: f.nonce}
		if r, err := p.greet(ctx); err == nil {
			p.clock.heard(r.epoch, time.Now())
			answer(p)
		}
	})
	n := &natPMP{at: at, clock: new(epoch)}
	r, err := n.outside(ctx)
	if _, says := errors.AsType[Problem](err); err != nil && !says {
		return
	}
	select {
	case <-known:
	case <-time.After(pcpLead):
	case <-ctx.Done():
	}
	if err == nil {
		n.clock.heard(r.epoch, time.Now())
	}
	answer(n)
}
