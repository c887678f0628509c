package relay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/reach"
	"sward/internal/wire"
	"sward/policy"
)

const (
	// reachPatience is how long a partner waits while an edge that is elsewhere is called, its greeting and its channel
	// included. A hole takes two seconds, a circuit less.
	reachPatience = 8 * time.Second
	// reachPoll is how often it is looked whether the edge has come.
	reachPoll = 20 * time.Millisecond
	// reachRest is how long an edge that was not to be reached is left alone, and maxUnreached how many such are remembered.
	reachRest    = 30 * time.Second
	maxUnreached = 4096
	// reachIdle is how often it is looked whether called edges are still needed: one that carried nothing between two looks
	// is let go.
	reachIdle = 2 * time.Minute
)

// ReachConfig is the relay's part in libp2p, by which it calls edges that have no session with it, and lets others come to
// those that have.
type ReachConfig struct {
	Listen  string // host:port, UDP and TCP; empty: no part
	Address string // host:port at which edges and relays get there; default: as listened
	// Gate says which addresses may be dialled; default: those that are globally reachable. For tests.
	Gate func(netip.Addr) error
}

// calls is what a relay does about edges that are elsewhere.
type calls struct {
	host   *reach.Host // nil: no part
	gate   func(netip.Addr) error
	knocks chan struct{} // one for each that is under way
	flight singleflight.Group

	mu        sync.Mutex
	unreached map[identity.ID]time.Time // until when
	called    map[identity.ID]uint64    // edges that came because they were called, and the bytes signed for at the last look
}

func newCalls(cfg ReachConfig) *calls {
	c := &calls{gate: cfg.Gate, knocks: make(chan struct{}, maxKnocks), unreached: map[identity.ID]time.Time{}, called: map[identity.ID]uint64{}}
	if c.gate == nil {
		c.gate = policy.Gate{}.Check
	}
	return c
}

// openReach starts the relay's libp2p host, if it has a part in that.
func (r *Relay) openReach() (err error) {
	if r.cfg.Reach.Listen == "" {
		return nil
	}
	r.calls.host, err = reach.Open(reach.Config{
		Key: r.cfg.Key, Listen: r.cfg.Reach.Listen, Relay: true, Agent: "sward-relay", Log: r.cfg.Log,
		Allow: r.servesEdge, Reserve: r.servesEdge, Callers: r.isPeer, Gate: r.calls.gate, Resolve: r.cfg.Resolve,
	})
	return err
}

// servesEdge is nil for an edge that has a session here.
func (r *Relay) servesEdge(id identity.ID) error {
	if !r.edges.connected(id) {
		return errors.New("no edge of this relay")
	}
	return nil
}

// isPeer is nil for a relay of the network.
func (r *Relay) isPeer(id identity.ID) error {
	r.ordersMu.Lock()
	defer r.ordersMu.Unlock()
	for _, peer := range r.orders.Peers {
		if peer == id {
			return nil
		}
	}
	return errors.New("no relay of this network")
}

// fetch has an edge come that a stream is to leave from and that has no session here, if there is a way to it. What comes
// of it is seen when it is picked.
func (r *Relay) fetch(ctx context.Context, id identity.ID) {
	if !r.calls.taking() || id.IsZero() || r.edges.connected(id) || r.calls.resting(id, r.cfg.Clock()) {
		return
	}
	done := r.calls.flight.DoChan(id.String(), func() (any, error) {
		calling, cancel := context.WithTimeout(r.ctx, reachPatience)
		defer cancel()
		path, err := r.call(calling, id)
		if err != nil {
			r.calls.rest(id, r.cfg.Clock())
			r.metrics.called.WithLabelValues("failed").Inc()
			r.cfg.Log.Debug("an edge is not to be reached", "edge", id, "err", err)
			return nil, err
		}
		r.metrics.called.WithLabelValues(path.String()).Inc()
		return nil, nil
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// call finds an edge, connects to it, and waits until it serves.
func (r *Relay) call(ctx context.Context, id identity.ID) (reach.Path, error) {
	at, err := r.cfg.Hub.Whereabouts(ctx, id)
	if err != nil {
		return 0, err
	}
	place := reach.Place{Edge: id, Addr: at.Addr, Port: at.Port}
	for _, c := range at.Circuits {
		place.Circuits = append(place.Circuits, reach.Relay{ID: c.ID, Addr: c.Reach})
	}
	r.calls.expect(id)
	path, err := r.calls.host.Bring(ctx, place)
	if err != nil {
		r.calls.drop(id)
		return 0, err
	}
	for !r.edges.serving(id) {
		if pause(ctx, reachPoll); ctx.Err() != nil {
			return 0, fmt.Errorf("edge %s was called and does not serve: %w", id, ctx.Err())
		}
	}
	return path, nil
}

// address is where others get to the host.
func (c *calls) address(cfg ReachConfig) string {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if cfg.Address != "" || err != nil {
		return cfg.Address
	}
	return net.JoinHostPort(host, strconv.Itoa(int(c.host.Port())))
}

// taking tells whether the relay has a part in libp2p.
func (c *calls) taking() bool { return c != nil && c.host != nil }

func (c *calls) resting(id identity.ID, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.unreached[id])
}

func (c *calls) rest(id identity.ID, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unreached) >= maxUnreached {
		clear(c.unreached) // they are tried once more
	}
	c.unreached[id] = now.Add(reachRest)
}

func (c *calls) expect(id identity.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.called[id] = math.MaxUint64 // whatever it has carried by the next look, it is not this
}

func (c *calls) drop(id identity.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.called, id)
}

// letGo ends the sessions of called edges that carried nothing since the last look.
func (r *Relay) letGo(context.Context) error {
	r.calls.mu.Lock()
	defer r.calls.mu.Unlock()
	for id, before := range r.calls.called {
		e := r.edges.newest(id)
		if e == nil {
			delete(r.calls.called, id)
			continue
		}
		had := e.carried()
		r.calls.called[id] = had
		if e.candidate().Streams > 0 || had != before {
			continue
		}
		delete(r.calls.called, id)
		if e.overlay() {
			e.session.Drain(wire.Draining, "the edge is not needed here any more") //nolint:errcheck // one that does not hear it has gone
			r.background(func() { r.part(e) })
		}
	}
	return nil
}

// carried is how many bytes e has signed for in this session.
func (e *edge) carried() uint64 {
	meter := e.channel()
	if meter == nil {
		return 0
	}
	last := meter.Last()
	return last.Up + last.Down
}

// overlay tells whether e came because it was called, and not by a tunnel of its own.
func (e *edge) overlay() bool {
	line, agent := e.session.(agentLine)
	if !agent {
		return false
	}
	_, called := line.RemoteAddr().(reach.Addr)
	return called
}

// far tells whether what e carries passes another relay.
func (e *edge) far() bool {
	line, agent := e.session.(agentLine)
	if !agent {
		return false
	}
	at, called := line.RemoteAddr().(reach.Addr)
	return called && at.Path == reach.Circuit
}

// home is what other relays may know of how to get to e.
func (e *edge) home() accounting.Home {
	e.mu.Lock()
	defer e.mu.Unlock()
	return accounting.Home{Edge: e.id, Addr: addressOf(e), Port: e.reach.Port, Circuit: e.reach.Flags&wire.ReachCircuit != 0}
}
