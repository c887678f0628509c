package edge

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
)

const (
	statusEvery = 30 * time.Second // a relay also hears of every change at once
	// afterMidnight is how long after the turn of a day its status is sent: timers may be a little early.
	afterMidnight = 100 * time.Millisecond

	// A session lives three quarters of an hour to an hour less eight minutes, drawn anew each time so that an edge's
	// relays do not lose it together. Its channel lasts an hour: the rest is for the next session to come, and for
	// running streams to finish.
	sessionLife   = 45 * time.Minute
	sessionSpread = 7 * time.Minute
	heirPatience  = 2 * time.Minute // for the next session; without one this one makes room for it

	// A relay trusts a new edge with a small window, which a fast line fills between two receipts, and a session keeps the
	// window that it began with. One that has carried growAfter windows of signed bytes makes room for the next, which has
	// a larger one; growEvery is how often that is looked at, and long enough for the hub to hear of the receipts.
	growAfter     = 16
	growEvery     = 20 * time.Second
	heirSettles   = time.Second // for the relay to take its channel: our goodbye here may overtake it
	drainPatience = 5 * time.Minute
	stopPatience  = 10 * time.Second // for running streams when the edge stops
)

// session is one tunnel to one relay with its channel of account.
type session struct {
	edge    *Edge
	relay   identity.ID
	tunnel  *tunnel.Session
	channel accounting.ChannelID
	window  uint32 // of the channel, in bytes
	meter   *accounting.Meter
	quiet   chan struct{} // one slot: a stream has ended, its bytes can be signed for
	poked   chan struct{} // one slot: a status is to be sent
	rolling atomic.Bool   // the next session is on its way
	heir    chan struct{} // closed when its channel is open
}

// errSessionOver ends a session whose time has come; the client makes a new one.
var errSessionOver = errors.New("the session has lived its time")

// serveSession opens a channel and serves the relay's streams until the session ends.
func (e *Edge) serveSession(ctx context.Context, l *link, t *tunnel.Session, _ wire.Welcome) error {
	s := &session{
		edge: e, relay: t.Peer(), tunnel: t,
		quiet: make(chan struct{}, 1), poked: make(chan struct{}, 1), heir: make(chan struct{}),
	}
	if err := s.openChannel(ctx); err != nil {
		return fmt.Errorf("open channel with relay %s: %w", s.relay, err)
	}
	if before := l.setSession(s); before != nil {
		close(before.heir)
	}
	e.reachable.changed()
	defer l.dropSession(s)
	loops, ctx := errgroup.WithContext(ctx)
	loops.Go(func() error { return s.hear(ctx) })
	loops.Go(func() error { return s.accept(ctx) })
	loops.Go(func() error { return s.count(ctx) })
	loops.Go(func() error { return s.tell(ctx) })
	loops.Go(func() error { return s.age(ctx) })
	if err := loops.Wait(); !errors.Is(err, errSessionOver) {
		return err
	}
	return nil
}

// accept serves each stream that the relay opens.
func (s *session) accept(ctx context.Context) error {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		conn, err := s.tunnel.Accept(ctx)
		if err != nil {
			return err
		}
		streams.Go(func() { s.serve(ctx, conn) })
	}
}

// hear acts on the relay's control frames. Frames of other types are skipped.
func (s *session) hear(ctx context.Context) error {
	for {
		t, body, err := s.tunnel.Control(ctx)
		if err != nil {
			return err
		}
		switch t {
		case wire.TypeObserved:
			err = s.observed(body)
		case wire.TypeDemand:
			err = s.demand(body)
		case wire.TypeReceiptOffer:
			err = s.cosign(body)
		case wire.TypeDialedBack:
			err = s.dialedBack(body)
		case wire.TypeRegrant:
			err = s.regrant(body)
		case wire.TypeDone:
			err = s.peerDone(body)
		}
		if err != nil {
			return fmt.Errorf("%s of relay %s: %w", t, s.relay, err)
		}
	}
}

// observed takes the relay's word on where this edge comes from: an address of the home, which no stream may reach.
func (s *session) observed(body []byte) error {
	m, err := wire.ParseObserved(body)
	if err != nil {
		return err
	}
	s.edge.gate.observe(s.relay, netip.AddrFrom16(m.Address).Unmap())
	return nil
}

// dialedBack takes the relay's word on whether it has come to a port of this home.
func (s *session) dialedBack(body []byte) error {
	m, err := wire.ParseDialedBack(body)
	if err != nil {
		return err
	}
	s.edge.reachable.dialedBack(s.relay, m)
	return nil
}

// regrant takes a later version of a grant. A bad one harms nobody but the streams that wait for it.
func (s *session) regrant(body []byte) error {
	m, err := wire.ParseRegrant(body)
	if err != nil {
		return err
	}
	if _, err := s.edge.grants.accept(s.relay, m.Grant); err != nil {
		s.edge.cfg.Log.Debug("a later grant is not good", "relay", s.relay, "err", err)
	}
	return nil
}

// tell keeps the relay informed of what the owner allows, and cuts streams when the owner's hours end.
func (s *session) tell(ctx context.Context) error {
	for {
		if !s.edge.terms().policy.Open(s.edge.cfg.Clock()) {
			s.edge.live.cutAll(wire.Errorf(wire.OutOfHours, "the owner does not share at this hour"))
		}
		status := s.edge.wireStatus()
		if s.rolling.Load() {
			status.Flags |= wire.StatusRolling
		}
		if err := s.tunnel.Send(status); err != nil {
			return err
		}
		next := time.NewTimer(s.edge.statusWait())
		select {
		case <-next.C:
		case <-s.poked:
		case <-ctx.Done():
		}
		next.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// statusWait is how long a status may stand: no longer than the day whose cap it tells of, so that an edge which was used up
// is chosen again from midnight on.
func (e *Edge) statusWait() time.Duration {
	return min(statusEvery, max(e.volume.dayEnds().Sub(e.cfg.Clock()), 0)+afterMidnight)
}

// poke asks for a status to be sent soon.
func (s *session) poke() {
	select {
	case s.poked <- struct{}{}:
	default: // one is due already
	}
}

// wireStatus is what relays hear of this edge.
func (e *Edge) wireStatus() wire.Status {
	room, err := e.volume.room()
	s := wire.Status{Room: uint64(room), Policy: e.terms().policy.Digest(), Apps: e.apps()}
	if err != nil || e.ready() != nil {
		s.Flags |= wire.StatusPaused
	}
	if e.seal.Report().Whole() {
		s.Flags |= wire.StatusSealed
	}
	return s
}

// age has the next session take over in time, with new keys. The relay keeps this one until the channel of the next is
// open, so that there is no moment without an edge to ask; then its streams finish, and it ends.
func (s *session) age(ctx context.Context) error {
	if err := s.serveTime(ctx); err != nil {
		return err
	}
	s.rolling.Store(true)
	s.poke()
	s.tunnel.Renew()
	timer := time.NewTimer(heirPatience)
	defer timer.Stop()
	select {
	case <-s.heir:
		sleep(ctx, heirSettles)
	case <-timer.C: // the relay takes no second session: better a moment without one than a channel that runs out
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.leave(ctx, "a new session has taken over", drainPatience); err != nil {
		return err
	}
	return errSessionOver
}

// serveTime waits until the session's time is over, or until it has outgrown its window.
func (s *session) serveTime(ctx context.Context) error {
	life, look := time.NewTimer(s.edge.sessionLife()), time.NewTicker(growEvery)
	defer life.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-life.C:
			return nil
		case <-look.C:
			if last := s.meter.Last(); outgrown(s.window, last.Up+last.Down) {
				return nil
			}
		}
	}
}

// outgrown reports whether a session that began with this window and has had so many bytes signed would get a larger one.
func outgrown(window uint32, signed uint64) bool {
	return window < accounting.MaxWindow && signed >= growAfter*uint64(window)
}

// sessionLife is how long a session serves before the next takes over.
func (e *Edge) sessionLife() time.Duration {
	if e.cfg.SessionLife > 0 {
		return e.cfg.SessionLife
	}
	return sessionLife + mathrand.N(sessionSpread) //nolint:gosec // spreading load needs no secrecy
}

// leave says goodbye to the relay, lets running streams finish within patience, and waits for their receipt. The error
// is that of a session that has gone.
func (s *session) leave(ctx context.Context, why string, patience time.Duration) error {
	if err := s.tunnel.Drain(wire.Draining, why); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.tunnel.Wait(waiting); err != nil && waiting.Err() == nil {
		return err
	}
	s.settleLast(ctx)
	return nil
}
