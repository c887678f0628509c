package edge

import (
	"context"
	"errors"
	"net"
	"sync"

	"sward/internal/reach"
	"sward/internal/tunnel"
)

// maxGuests bounds the relays that have called and are served. Each has a session like those that the edge has chosen.
const maxGuests = 8

// errGuestLeft ends a guest's link: its relay needs this edge no more, or cannot be reached any more.
var errGuestLeft = errors.New("the relay that called has left")

// hear serves each relay that calls, until ctx ends.
func (r *reachable) hear(ctx context.Context, host *reach.Host) {
	var guests sync.WaitGroup
	defer guests.Wait()
	for {
		c, err := host.Accept(ctx)
		if err != nil {
			return
		}
		l, ok := r.admit(c)
		if !ok {
			c.Reset() //nolint:errcheck // it is not served
			continue
		}
		guests.Go(func() { r.serve(ctx, host, l, c) })
	}
}

// admit makes a link for a relay that calls, unless there are enough, or it has a tunnel already.
func (r *reachable) admit(c *reach.Conn) (*link, bool) {
	if r.edge.hasTunnel(c) {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.guests[c.Peer()] != nil || len(r.guests) >= maxGuests {
		return nil, false
	}
	l := &link{relay: Relay{ID: c.Peer(), Addr: c.Path().String()}, done: make(chan struct{})}
	r.guests[c.Peer()] = l
	return l, true
}

// announce pokes the sessions of guests, and has the settings followed.
func (r *reachable) announce() {
	r.mu.Lock()
	for _, l := range r.guests {
		l.poke()
	}
	r.mu.Unlock()
	r.changed()
}

// hasTunnel tells whether the edge has a tunnel of its own to who calls.
func (e *Edge) hasTunnel(c *reach.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.relays[c.Peer()]
	return l != nil && l.status().Connected
}

// serve keeps a session over the stream that a relay has opened. When its time is over the next one runs over another
// stream of the same connection, which this end opens; when the relay lets go, that is the end.
func (r *reachable) serve(ctx context.Context, host *reach.Host, l *link, first *reach.Conn) {
	defer func() {
		r.mu.Lock()
		delete(r.guests, l.relay.ID)
		r.mu.Unlock()
		close(l.done)
	}()
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	r.mu.Lock()
	_, known := r.relays[l.relay.ID]
	l.cancel = leave
	r.mu.Unlock()
	if !known { // it has left the network just now
		leave()
	}
	config := r.edge.overlayConfig()
	config.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if c := first; c != nil {
			first = nil
			return c, nil
		}
		return host.Open(ctx, l.relay.ID)
	}
	dialer, err := tunnel.NewDialer(config, nil)
	if err != nil {
		c := first
		c.Reset() //nolint:errcheck // it is not served
		return
	}
	defer dialer.Close()
	err = r.edge.runClient(ctx, l, dialer, func() error {
		if s := l.current(); first == nil && (s == nil || !s.rolling.Load()) {
			leave()
			return errGuestLeft
		}
		return nil
	})
	if err != nil {
		r.edge.cfg.Log.Debug("a relay that called is given up", "relay", l.relay.ID, "err", err)
	}
}
