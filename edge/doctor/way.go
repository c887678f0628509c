package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sward/edge"
	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
)

// sizes are the datagrams tried, in bytes, largest first: a whole Ethernet frame, PPPoE with room to spare, a VPN inside
// one, the least that QUIC takes.
var sizes = []int{tunnel.LargestTrial, 1412, 1300, tunnel.LeastTrial}

// seen is what came of the way to one relay.
type seen struct {
	relay     edge.Relay
	quic, tcp error
	rtt       time.Duration // over QUIC, or over TCP where that alone works
	size      int           // the largest datagram that came through; 0: none
	from      netip.Addr    // this home as the relay sees it
	greeting  error         // the relay's answer to an introduction
}

func (s seen) reached() bool { return s.quic == nil || s.tcp == nil }

// way tries each relay that this edge would have, all at once, and draws the conclusions.
func (c Config) way(ctx context.Context) []Finding {
	relays, err := c.relays(ctx)
	if err != nil {
		return one(problem("relays", "the list of relays cannot be read: "+plain(err), "The hub has it; see what is said of the hub."))
	}
	key, err := identity.NewKey() // a stranger's: the edge's own session is left alone
	if err != nil {
		return one(problem("relays", err.Error(), ""))
	}
	tries := make([]seen, len(relays))
	var wait sync.WaitGroup
	for i, r := range relays {
		wait.Go(func() { tries[i] = c.try(ctx, key, r) })
	}
	wait.Wait()
	found := make([]Finding, 0, len(tries)+3)
	for _, s := range tries {
		found = append(found, s.finding())
	}
	return append(found, udp(tries), packets(tries), c.nat(tries), c.mapping())
}

func (c Config) relays(ctx context.Context) ([]edge.Relay, error) {
	if len(c.Relays) > 0 {
		return c.Relays, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	d, err := c.Hub.Directory(ctx)
	if err != nil {
		return nil, err
	}
	relays := edge.RelaysFor(c.Edge, d.Directory)
	if len(relays) == 0 {
		return nil, errors.New("the directory lists no relay")
	}
	return relays, nil
}

// try reaches one relay over either carrier, with datagrams of every size, and introduces itself once.
func (c Config) try(ctx context.Context, key identity.Key, r edge.Relay) seen {
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	s := seen{relay: r}
	cfg := func(via tunnel.Carrier) tunnel.Config {
		config := tunnel.Config{Key: key, Network: c.Network, Carrier: via}
		if len(c.Relays) == 0 { // else the owner has written them down
			config.Gate = func(a netip.Addr) error { return edge.RelayGate(a, c.HubAddr, c.Own()) }
		}
		return config
	}
	var wait sync.WaitGroup
	var overTCP tunnel.Trial
	wait.Go(func() { overTCP, s.tcp = tunnel.Try(ctx, cfg(tunnel.TCP), r.Addr, r.ID, 0) })
	wait.Go(func() { s.from, s.greeting = introduce(ctx, cfg(tunnel.AnyCarrier), r) })
	trials := make([]tunnel.Trial, len(sizes))
	errs := make([]error, len(sizes))
	for i, size := range sizes {
		wait.Go(func() { trials[i], errs[i] = tunnel.Try(ctx, cfg(tunnel.QUIC), r.Addr, r.ID, size) })
	}
	wait.Wait()
	s.rtt, s.quic = overTCP.Elapsed, errs[len(errs)-1]
	if best := slices.Index(errs, nil); best >= 0 {
		s.quic, s.size, s.rtt = nil, sizes[best], trials[best].Elapsed
	}
	return s
}

// introduce says hello as an edge that nobody knows, hears where it comes from, and leaves.
func introduce(ctx context.Context, cfg tunnel.Config, r edge.Relay) (from netip.Addr, err error) {
	s, _, err := tunnel.Dial(ctx, cfg, nil, r.Addr, r.ID, wire.Hello{Role: wire.RoleEdge, Streams: 1, Agent: "sward-edge/doctor", Consent: edge.ConsentHash()})
	if err != nil {
		return from, err
	}
	defer s.Close(wire.OK, "only asking")
	for {
		t, body, err := s.Control(ctx)
		if err != nil {
			return from, err
		}
		if t == wire.TypeObserved {
			m, err := wire.ParseObserved(body)
			return netip.AddrFrom16(m.Address).Unmap(), err
		}
	}
}

// finding is what to say of one relay.
func (s seen) finding() Finding {
	name := "relay " + s.relay.ID.Short()
	refused, _ := errors.AsType[*wire.Error](s.greeting)
	switch {
	case errors.Is(s.quic, identity.ErrWrongPeer) || errors.Is(s.tcp, identity.ErrWrongPeer):
		return problem(name, "somebody else answers at "+s.relay.Addr, "Something between you and the relay takes its place: a proxy of your provider, your employer or an antivirus. Do not share through such a line.")
	case !s.reached():
		return problem(name, fmt.Sprintf("%s answers neither over UDP nor over TCP", s.relay.Addr),
			"If all relays are silent, a firewall on this machine, on the router or at your provider closes the port. If it is this one alone, it is probably down, and the others do.")
	case refused != nil && refused.Code != wire.OK && s.from == netip.Addr{}:
		return problem(name, "answers, and refuses an edge: "+refused.Code.Meaning(), "Update sward-edge if it is old, and agree again if it asks you to.")
	}
	over := []string{}
	if s.quic == nil {
		over = append(over, "QUIC")
	}
	if s.tcp == nil {
		over = append(over, "TCP")
	}
	return ok(name, fmt.Sprintf("%s answers over %s in %s", s.relay.Addr, strings.Join(over, " and "), rounded(s.rtt)))
}

// udp says whether datagrams come through at all.
func udp(tries []seen) Finding {
	quic, tcp := 0, 0
	for _, s := range tries {
		if s.quic == nil {
			quic++
		}
		if s.tcp == nil {
			tcp++
		}
	}
	switch {
	case quic == len(tries):
		return ok("udp", "gets out")
	case quic > 0:
		return note("udp", fmt.Sprintf("gets through to %d of %d relays", quic, len(tries)), "The others are reached over TCP, if at all; see there.")
	case tcp > 0:
		return note("udp", "does not get out; TCP does", "Sharing works over TCP, slower on a line that loses packets. Let UDP out to the relays' port, on this machine's firewall and on the router, if you can.")
	}
	return problem("udp", "neither UDP nor TCP reaches any relay", "Let both out to the relays' port, on this machine's firewall and on the router. On a network of your employer or school, ask first.")
}

// packets says how large a datagram the line carries in one piece.
func packets(tries []seen) Finding {
	best := 0
	for _, s := range tries {
		best = max(best, s.size)
	}
	switch best {
	case 0:
		return note("mtu", "cannot be told without UDP", "")
	case sizes[0]:
		return ok("mtu", fmt.Sprintf("packets of %d bytes come through whole", best+28))
	}
	return note("mtu", fmt.Sprintf("packets of %d bytes come through, of 1480 not", best+28),
		"Sharing works, with more packets. PPPoE and VPNs take a few bytes of each; below 1400 a VPN or a mobile network is in the way.")
}
