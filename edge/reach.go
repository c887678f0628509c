package edge

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sward/internal/identity"
	"sward/internal/portmap"
	"sward/internal/reach"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/policy"
)

const (
	// reachEvery is how often it is looked whether relays can still be called over: places run out after an hour, and go
	// with a connection.
	reachEvery = 15 * time.Second
	// dialBackEvery is how often a port that was found open is tried again, and dialBackRetry one that was not.
	dialBackEvery = time.Hour
	dialBackRetry = 2 * time.Minute
)

// ReachConfig is the world of the libp2p host by which relays call this edge.
type ReachConfig struct {
	Listen string // host:port of its sockets; default: any port
	// Gate says which addresses may be dialled; default: those that are globally reachable and not this home's. For tests.
	Gate func(netip.Addr) error
}

// reachable lets relays call this edge that it has not called, while its owner lets them.
type reachable struct {
	edge *Edge
	poke chan struct{} // one slot: something has changed

	mu      sync.Mutex
	relays  map[identity.ID]string // all of the network: host:port of their libp2p hosts, empty for none
	host    *reach.Host            // nil while the owner does not let them
	mapper  *portmap.Mapper        // of the host's port; nil without one
	mapping bool                   // what mapper was told last: the owner's word
	said    map[*session]wire.Reach
	tries   map[identity.ID]try // of relays, to dial back
	guests  map[identity.ID]*link
	problem string
}

// try is one relay's word on a port.
type try struct {
	port uint16
	at   time.Time // when it was asked
	open bool
}

func newReachable(e *Edge) *reachable {
	return &reachable{
		edge: e, poke: make(chan struct{}, 1), relays: map[identity.ID]string{}, said: map[*session]wire.Reach{},
		tries: map[identity.ID]try{}, guests: map[identity.ID]*link{},
	}
}

// Reachability is what the owner sees of it.
type Reachability struct {
	On       bool   `json:"on"`
	Direct   bool   `json:"direct"`            // relays can dial this home: its router has mapped a port, and one of them has tried
	Port     uint16 `json:"port,omitempty"`    // at which
	Circuits int    `json:"circuits"`          // relays over which others can come
	Guests   int    `json:"guests"`            // relays that have called and are connected
	Problem  string `json:"problem,omitempty"` // why nobody can
}

// Reachable says how relays get to this edge that it has not called.
func (e *Edge) Reachable() Reachability { return e.reachable.state() }

func (r *reachable) state() Reachability {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Reachability{On: r.edge.Settings().Reach, Problem: r.problem, Guests: len(r.guests)}
	if r.host == nil {
		return s
	}
	s.Port = r.portLocked()
	s.Direct = s.Port != 0
	for id := range r.relays {
		if r.host.Reserved(id) {
			s.Circuits++
		}
	}
	if !s.Direct && s.Circuits == 0 && s.Problem == "" {
		s.Problem = "no relay offers a way to this home yet"
	}
	return s
}

// setRelays takes over who the relays of the network are: nobody else may call.
func (r *reachable) setRelays(all []Relay) {
	relays := make(map[identity.ID]string, len(all))
	for _, relay := range all {
		relays[relay.ID] = relay.Reach
	}
	r.mu.Lock()
	r.relays = relays
	for id, l := range r.guests {
		if _, known := relays[id]; !known && l.cancel != nil {
			l.cancel() // it has left the network, and is nobody's relay
		}
	}
	r.mu.Unlock()
	r.changed()
}

// wanting tells whether the owner lets relays call, and none is known over which they could.
func (r *reachable) wanting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.relays {
		if at != "" {
			return false
		}
	}
	return r.edge.Settings().Reach
}

func (r *reachable) changed() {
	select {
	case r.poke <- struct{}{}:
	default: // one is due already
	}
}

// run follows the owner's settings until ctx ends.
func (r *reachable) run(ctx context.Context) error {
	defer r.switchOff(ctx)
	if err := r.edge.waitForConsent(ctx); err != nil {
		return nil //nolint:nilerr // the edge was stopped before its owner agreed
	}
	var hosting sync.WaitGroup
	defer hosting.Wait()
	defer r.switchOff(ctx)
	for ctx.Err() == nil {
		switch on := r.edge.Settings().Reach; {
		case on && r.current() == nil:
			if err := r.switchOn(ctx, &hosting); err != nil {
				r.setProblem("the port for it cannot be opened")
				r.edge.cfg.Log.Warn("relays cannot call this edge", "err", err)
			}
		case !on && r.current() != nil:
			r.switchOff(ctx)
		}
		r.followMapping()
		r.once(ctx)
		timer := time.NewTimer(reachEvery)
		if r.current() == nil {
			timer.Stop() // nothing happens before the owner changes something
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.poke:
		}
		timer.Stop()
	}
	return nil
}

func (r *reachable) current() *reach.Host {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.host
}

func (r *reachable) setProblem(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem = text
}

// switchOn opens the host and begins to hear who calls.
func (r *reachable) switchOn(ctx context.Context, hosting *sync.WaitGroup) error {
	e := r.edge
	host, err := reach.Open(reach.Config{
		Key: e.cfg.Key, Listen: cmp.Or(e.cfg.Reach.Listen, ":0"), Agent: e.cfg.Agent, Log: e.cfg.Log,
		Allow: r.isRelay, Gate: r.gate, Mapped: r.mapped, Resolve: e.cfg.Resolve,
	})
	if err != nil {
		return err
	}
	var mapper *portmap.Mapper
	mapping := e.Settings().PortMapping
	if host.Port() != 0 {
		if mapper, err = e.newMapper("reach", host.Port(), mapping); err != nil {
			host.Close() //nolint:errcheck // it is not used
			return err
		}
	}
	r.mu.Lock()
	r.host, r.mapper, r.mapping, r.problem = host, mapper, mapping, ""
	r.mu.Unlock()
	open, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, cancel)
	hosting.Go(func() {
		<-host.Done()
		cancel()
	})
	if mapper != nil {
		hosting.Go(func() {
			if err := mapper.Run(open); err != nil {
				e.cfg.Log.Debug("the port of the libp2p host is not mapped", "err", err)
			}
		})
	}
	hosting.Go(func() { r.hear(open, host) })
	return nil
}

// followMapping has the home router's port opened or closed as the owner wants it now.
func (r *reachable) followMapping() {
	on := r.edge.Settings().PortMapping
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mapper != nil && r.mapping != on {
		r.mapping = on
		r.mapper.Switch(on)
	}
}

// switchOff closes the host, and takes back what relays were told.
func (r *reachable) switchOff(context.Context) {
	r.mu.Lock()
	host := r.host
	r.host, r.mapper = nil, nil
	clear(r.tries)
	r.mu.Unlock()
	if host != nil {
		host.Close() //nolint:errcheck // it is closed either way
	}
}

// isRelay is nil for a relay of the network.
func (r *reachable) isRelay(id identity.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.relays[id]; !known {
		return wire.Errorf(wire.AuthFailed, "no relay of this network")
	}
	return nil
}

// gate is the address gate, without the network's own hosts: they are whom this host talks to.
func (r *reachable) gate(a netip.Addr) error {
	if gate := r.edge.cfg.Reach.Gate; gate != nil {
		return gate(a)
	}
	return policy.Gate{Own: r.edge.gate.gate().Own}.Check(a)
}

// mapped is what the router has mapped the host's port to.
func (r *reachable) mapped() (netip.AddrPort, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mapper == nil {
		return netip.AddrPort{}, false
	}
	return r.mapper.External()
}

// once has a place at each relay that has a tunnel, has candidates for a port tried, and tells the relays what is so.
func (r *reachable) once(ctx context.Context) {
	sessions := r.edge.sessions()
	host := r.current()
	if host != nil {
		r.mu.Lock()
		relays := make(map[identity.ID]string, len(r.relays))
		for id, at := range r.relays {
			relays[id] = at
		}
		r.mu.Unlock()
		var reserving errgroup.Group
		for _, s := range sessions {
			at := relays[s.relay]
			if at == "" {
				continue
			}
			reserving.Go(func() error {
				if err := host.Reserve(ctx, reach.Relay{ID: s.relay, Addr: at}); err != nil {
					r.edge.cfg.Log.Debug("others cannot come over a relay", "relay", s.relay, "err", err)
				}
				return nil
			})
		}
		reserving.Wait() //nolint:errcheck // what fails is tried again
		r.haveTried(sessions, host)
	}
	r.tell(sessions, host)
}

// sessions are those of the edge's own choice that have an open channel.
func (e *Edge) sessions() (all []*session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.relays {
		if s := l.current(); s != nil {
			all = append(all, s)
		}
	}
	return all
}

// haveTried asks a relay to dial back, where there is a port of which it can be hoped.
func (r *reachable) haveTried(sessions []*session, host *reach.Host) {
	for _, s := range sessions {
		port := r.candidate(s.relay, host)
		if port == 0 {
			continue
		}
		now := r.edge.cfg.Clock()
		r.mu.Lock()
		before := r.tries[s.relay]
		rest := dialBackRetry
		if before.open {
			rest = dialBackEvery
		}
		ask := before.port != port || now.Sub(before.at) >= rest
		if ask {
			r.tries[s.relay] = try{port: port, at: now, open: before.open && before.port == port}
		}
		r.mu.Unlock()
		if ask {
			s.tunnel.Send(wire.DialBack{Port: port}) //nolint:errcheck // a session that has gone is no longer asked
		}
	}
}

// candidate is the port at which a relay could dial the host: the one that the router has mapped, or the host's own where
// the relay sees this very machine. Where neither is so an answer would only say what the router lets in from those it
// knows.
func (r *reachable) candidate(relay identity.ID, host *reach.Host) uint16 {
	if at, ok := r.mapped(); ok {
		return at.Port()
	}
	seen, ok := r.edge.gate.seenBy(relay)
	if !ok {
		return 0
	}
	for _, own := range r.edge.cfg.Own() {
		if own.Addr().Unmap() == seen {
			return host.Port()
		}
	}
	return 0
}

// dialedBack takes a relay's answer.
func (r *reachable) dialedBack(relay identity.ID, m wire.DialedBack) {
	r.mu.Lock()
	t := r.tries[relay]
	if t.port == m.Port && t.port != 0 {
		t.open = m.Code == wire.OK
		r.tries[relay] = t
	}
	r.mu.Unlock()
	r.changed()
}

// portLocked is the port at which this home can be dialled: one that AutoNAT is sure of, or that a relay has tried.
func (r *reachable) portLocked() uint16 {
	for _, t := range r.tries {
		if t.open {
			return t.port
		}
	}
	for _, at := range r.host.Confirmed() {
		if slices.Contains(r.edge.gate.seenAddrs(), at.Addr().Unmap()) {
			return at.Port()
		}
	}
	return 0
}

// tell says to each session what it has not heard yet.
func (r *reachable) tell(sessions []*session, host *reach.Host) {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := make(map[*session]wire.Reach, len(sessions))
	for _, s := range sessions {
		var now wire.Reach
		if host != nil && r.host == host {
			now.Port = r.portLocked()
			if host.Reserved(s.relay) {
				now.Flags = wire.ReachCircuit
			}
		}
		if now != r.said[s] && s.tunnel.Send(now) != nil {
			continue // it has gone
		}
		said[s] = now
	}
	r.said = said
}

// overlayConfig is that of a tunnel over a stream.
func (e *Edge) overlayConfig() tunnel.Config {
	c := e.tunnelConfig()
	c.Carrier = tunnel.Overlay
	return c
}
