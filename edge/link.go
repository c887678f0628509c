package edge

import (
	"context"
	"errors"
	"sync"
	"time"

	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
)

// link is the tunnel to one relay, up or not.
type link struct {
	relay  Relay
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	session *session // the newest with an open channel; nil in between
	up      int      // sessions: two while the next takes over
	since   time.Time
	region  string
	problem string
}

// poke asks for a status to be sent soon.
func (l *link) poke() {
	if s := l.current(); s != nil {
		s.poke()
	}
}

// setSession makes s the session that the link speaks for, and returns the one that was it.
func (l *link) setSession(s *session) (before *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.session = l.session, s
	return before
}

// dropSession takes s back, unless a newer one has come.
func (l *link) dropSession(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == s {
		l.session = nil
	}
}

func (l *link) current() *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session
}

func (l *link) setUp(now time.Time, region string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up++; l.up == 1 {
		l.since = now
	}
	l.region, l.problem = region, ""
}

// setDown notes the end of a session that was up.
func (l *link) setDown(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up--; l.up == 0 {
		l.problem = problemOf(why)
	}
}

// setAway notes why there is no new session.
func (l *link) setAway(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up == 0 {
		l.problem = problemOf(why)
	}
}

// problemOf says in words for the owner why there is no tunnel.
func problemOf(err error) string {
	told, ok := errors.AsType[*wire.Error](err)
	switch {
	case ok && told.Code == wire.Draining:
		return "a new tunnel is on its way"
	case ok && told.Code != wire.OK:
		return told.Code.Meaning()
	case errors.Is(err, identity.ErrWrongPeer):
		return "somebody else answers at this address"
	case err == nil, errors.Is(err, context.Canceled):
		return ""
	}
	return "the relay does not answer"
}

func (l *link) status() RelayStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := RelayStatus{ID: l.relay.ID, Addr: l.relay.Addr, Region: l.region, Connected: l.up > 0, Problem: l.problem}
	if l.up > 0 {
		s.Since = l.since
	}
	return s
}

// startLink runs a tunnel.Client for one relay until the link is cancelled.
func (e *Edge) startLink(ctx context.Context, r Relay) *link {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a link ends by stop, in good order
	l := &link{relay: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		if err := e.runLink(ctx, l); err != nil {
			e.cfg.Log.Error("a relay is given up", "relay", r.ID, "err", err)
		}
	}()
	return l
}

func (e *Edge) runLink(ctx context.Context, l *link) error {
	dialer, err := tunnel.NewSharedDialer(e.tunnelConfig(), e.socket)
	if err != nil {
		return err
	}
	defer dialer.Close()
	return e.runClient(ctx, l, dialer, nil)
}

// runClient keeps a tunnel over a link until ctx ends. before, if not nil, may forbid the next dial.
func (e *Edge) runClient(ctx context.Context, l *link, dialer *tunnel.Dialer, before func() error) error {
	client, err := tunnel.NewClient(tunnel.ClientConfig{
		Dial: func(ctx context.Context) (*tunnel.Session, wire.Welcome, error) {
			if before != nil {
				if err := before(); err != nil {
					return nil, wire.Welcome{}, err
				}
			}
			s, welcome, err := dialer.Dial(ctx, l.relay.Addr, l.relay.ID, e.hello())
			if err != nil {
				l.setAway(err)
			}
			return s, welcome, err
		},
		Serve: func(ctx context.Context, s *tunnel.Session, welcome wire.Welcome) error {
			l.setUp(e.cfg.Clock(), welcome.Region)
			err := e.serveSession(ctx, l, s, welcome)
			l.setDown(err)
			return err
		},
		Log: e.cfg.Log,
	})
	if err != nil {
		return err
	}
	return client.Run(ctx)
}

// stop ends the link's session in good order, and the link.
func (l *link) stop(ctx context.Context) {
	if s := l.current(); s != nil {
		if err := s.leave(ctx, "the edge is leaving", stopPatience); err != nil {
			s.edge.cfg.Log.Debug("a session was gone before it could end well", "relay", l.relay.ID)
		}
	}
	l.cancel()
	<-l.done
}
