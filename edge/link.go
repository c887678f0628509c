package edge

import (
	"context"
	"errors"
	"net"
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
	poked  chan struct{} // a status is to be sent

	mu      sync.Mutex
	session *session // with an open channel; nil in between
	up      bool
	since   time.Time
	region  string
	problem string
}

// poke asks for a status to be sent soon.
func (l *link) poke() {
	select {
	case l.poked <- struct{}{}:
	default: // one is due already
	}
}

func (l *link) setSession(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session = s
}

func (l *link) current() *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session
}

func (l *link) setUp(now time.Time, region string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.since, l.region, l.problem = true, now, region, ""
}

func (l *link) setDown(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.problem = false, problemOf(why)
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
	s := RelayStatus{ID: l.relay.ID, Addr: l.relay.Addr, Region: l.region, Connected: l.up, Problem: l.problem}
	if l.up {
		s.Since = l.since
	}
	return s
}

// startLink runs a tunnel.Client for one relay until the link is cancelled. A socket carries one session: the first
// link has the one from Config, if there is one, the others make their own.
func (e *Edge) startLink(ctx context.Context, r Relay, first bool) *link {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a link ends by stop, in good order
	l := &link{relay: r, cancel: cancel, done: make(chan struct{}), poked: make(chan struct{}, 1)}
	var socket net.PacketConn
	if first {
		socket = e.cfg.PacketConn
	}
	client, err := tunnel.NewClient(tunnel.ClientConfig{
		Dial: func(ctx context.Context) (*tunnel.Session, wire.Welcome, error) {
			s, welcome, err := tunnel.Dial(ctx, e.tunnelConfig(), socket, r.Addr, r.ID, e.hello())
			if err != nil {
				l.setDown(err)
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
	go func() {
		defer close(l.done)
		if err == nil {
			err = client.Run(ctx)
		}
		if err != nil {
			e.cfg.Log.Error("a relay is given up", "relay", r.ID, "err", err)
		}
	}()
	return l
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
