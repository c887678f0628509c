package relay

import (
	"context"
	"net/netip"
	"time"

	"sward/accounting"
	"sward/internal/reach"
	"sward/internal/wire"
)

const (
	// homeEvery is how often the hub is told anew how to get to an edge, which it believes for twice as long.
	homeEvery = 5 * time.Minute
	// knockEvery is how often an edge may have itself dialled back, and maxKnocks how many are under way at once.
	knockEvery = 10 * time.Second
	maxKnocks  = 64
)

// setReach takes over what e says of how others get to it. The hub hears of it by the next heartbeat. What came because it
// was called is found through others.
func (e *edge) setReach(m wire.Reach) {
	if e.overlay() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reach != m {
		e.reach, e.told = m, time.Time{}
		e.reaches = true
	}
}

// homesDue are the edges whose whereabouts the hub is to hear now, and what to call when it has.
func (r *Relay) homesDue() (homes []accounting.Home, told func()) {
	now := r.cfg.Clock()
	var due []*edge
	for _, e := range r.edges.all() {
		if len(due) == accounting.MaxHomes {
			break
		}
		e.mu.Lock()
		if e.reaches && now.Sub(e.told) >= homeEvery {
			due = append(due, e)
		}
		e.mu.Unlock()
	}
	for _, e := range due {
		if home := e.home(); home.Addr.IsValid() {
			homes = append(homes, home)
		}
	}
	return homes, func() {
		for _, e := range due {
			e.mu.Lock()
			e.told = now
			e.reaches = e.reach != wire.Reach{} // what was taken back is said once
			e.mu.Unlock()
		}
	}
}

// dialBack finds out for an edge whether it can be dialled at a port of the address that it comes from. It cannot ask for
// another address, and so has this relay knock at nobody's door but its own.
func (r *Relay) dialBack(e *edge, port uint16) {
	at := netip.AddrPortFrom(addressOf(e), port)
	now := r.cfg.Clock()
	e.mu.Lock()
	soon := now.Sub(e.knocked) < knockEvery
	if !soon {
		e.knocked = now
	}
	e.mu.Unlock()
	if soon || port == 0 || e.overlay() || !at.Addr().IsValid() || r.calls.gate(at.Addr()) != nil {
		return
	}
	select {
	case r.calls.knocks <- struct{}{}:
	default:
		return // the edge asks again
	}
	r.background(func() {
		defer func() { <-r.calls.knocks }()
		code := wire.OK
		if err := reach.Knock(r.ctx, r.cfg.Key, at, e.id); err != nil {
			code = wire.DialTimeout
			r.cfg.Log.Debug("an edge is not to be dialled back", "edge", e.id, "err", err)
		}
		e.session.Send(wire.DialedBack{Port: port, Code: code}) //nolint:errcheck // an edge that has gone needs no answer
	})
}

// heartbeat is what this relay says of itself now.
func (r *Relay) heartbeat() (beat accounting.Heartbeat, told func()) {
	beat = accounting.Heartbeat{
		Agent: "sward-relay", Edges: r.edges.len(), Streams: r.streams(),
		Tunnel: r.cfg.Tunnel, Proxy: r.cfg.Proxy, Region: r.cfg.Region,
	}
	if r.calls.taking() {
		beat.Reach = r.calls.address(r.cfg.Reach)
	}
	beat.Homes, told = r.homesDue()
	return beat, told
}

// followCalls lets go of called edges, until ctx ends.
func (r *Relay) followCalls(ctx context.Context) {
	r.every(ctx, reachIdle, "called edges cannot be let go", r.letGo)
}
