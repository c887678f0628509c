package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"sward/internal/wire"
)

const (
	// minBackoff and maxBackoff bound the pause before a new attempt, which
	// doubles from one to the other. Thirty seconds is how long an owner is
	// willing to look at "not connected" after the router came back.
	minBackoff = 500 * time.Millisecond
	maxBackoff = 30 * time.Second
	// settled is the age at which a session counts as a success, and the next
	// pause starts small again: a relay that takes sessions and drops them at
	// once is as good as away.
	settled = time.Minute
	// defaultGrace is how long running streams may finish when the worker stops.
	defaultGrace = 10 * time.Second
	// maxOverlap bounds the time that a session goes on beside the one that follows
	// it: longer than an edge waits for its streams, and as long as a relay does.
	maxOverlap = 6 * time.Minute
)

// ClientConfig says whom a Client calls and what it does with the session.
type ClientConfig struct {
	// Dial opens a session, usually by calling the package's Dial.
	Dial func(ctx context.Context) (*Session, wire.Welcome, error)
	// Serve runs one session: it accepts streams and reads Control. It returns
	// when the session has ended, and when ctx ends, which at the Client's own
	// end is after the streams have finished.
	Serve func(ctx context.Context, s *Session, w wire.Welcome) error
	// Settle, if not nil, runs at the Client's end, between the last stream and
	// the close: the last receipt is signed here. Serve still reads Control.
	Settle func(ctx context.Context, s *Session)
	Grace  time.Duration // for running streams and Settle at the end; 0 is 10 s
	Log    *slog.Logger  // nil discards
}

// Client is a worker that keeps one session up, and two while the next takes over
// from the one before.
type Client struct {
	cfg     ClientConfig
	current atomic.Pointer[Session]
}

// NewClient checks cfg.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Dial == nil || cfg.Serve == nil {
		return nil, errors.New("tunnel client needs Dial and Serve")
	}
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{cfg: cfg}, nil
}

// Session is the newest one that is up, or nil.
func (c *Client) Session() *Session { return c.current.Load() }

// Run dials, serves, and dials again, with growing pauses after failures, until
// ctx ends. It then says Bye, lets the running streams finish within Grace, and
// returns nil. A session that calls Renew is served on while the next is dialled,
// and beside it, until its Serve returns.
func (c *Client) Run(ctx context.Context) error {
	var pause backoff
	var before *tenure // of the session that has called Renew; nil: none has
	failures := 0
	for ctx.Err() == nil {
		s, w, err := c.cfg.Dial(ctx)
		if err == nil {
			c.cfg.Log.Info("tunnel is up", "relay", s.Peer(), "region", w.Region, "over", s.Carrier(), "failures", failures)
			failures = 0
			before.limit()
			now := c.begin(ctx, s, w)
			if now.renewed(before) {
				before = now
				continue
			}
			if err = now.err; now.lived >= settled {
				pause.reset()
			}
			c.cfg.Log.Info("tunnel is down", "relay", s.Peer(), "lived", now.lived.Round(time.Second), "err", err)
		} else if ctx.Err() == nil {
			// Once per outage: the retries are nobody's news.
			if failures++; failures == 1 {
				c.cfg.Log.Warn("tunnel cannot be opened", "err", err)
			}
		}
		sleep(ctx, pause.next(err))
	}
	if before != nil {
		<-before.over
	}
	return nil
}

// tenure is the time of one session with the client.
type tenure struct {
	session *Session
	over    chan struct{} // closed at its end; what follows is set before
	lived   time.Duration
	err     error // why it ended
}

// begin serves a session.
func (c *Client) begin(ctx context.Context, s *Session, w wire.Welcome) *tenure {
	t := &tenure{session: s, over: make(chan struct{})}
	c.current.Store(s)
	began := time.Now()
	go func() { // Run waits for over
		defer close(t.over)
		t.err = c.serve(ctx, s, w)
		t.lived = time.Since(began)
		c.current.CompareAndSwap(s, nil)
	}()
	return t
}

// renewed waits until the session calls Renew, and until the one before it has
// gone, so that there are never three. It is false when the session ends first.
func (t *tenure) renewed(before *tenure) bool {
	select {
	case <-t.over:
		return false
	case <-t.session.renewing:
	}
	if before != nil {
		select {
		case <-t.over:
			return false
		case <-before.over:
		}
	}
	return true
}

// limit ends a session that is still there long after the next one came.
func (t *tenure) limit() {
	if t == nil {
		return
	}
	timer := time.AfterFunc(maxOverlap, func() { t.session.Close(wire.Draining, "a newer session has taken over") })
	context.AfterFunc(t.session.conn.context(), func() { timer.Stop() })
}

// serve runs one session to its end and returns why it ended.
func (c *Client) serve(ctx context.Context, s *Session, w wire.Welcome) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx by the drain
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- c.cfg.Serve(inner, s, w) }()

	select {
	case err := <-served:
		s.Close(codeAtEnd(err), "")
		return err
	case <-s.Done():
		cancel()
		<-served
		return s.Err()
	case <-ctx.Done():
	}
	s.Drain(wire.Draining, "the edge is stopping") //nolint:errcheck // fails only when the session has gone
	patience, stop := context.WithTimeout(inner, c.cfg.Grace)
	defer stop()
	if s.Wait(patience) == nil && c.cfg.Settle != nil {
		c.cfg.Settle(patience, s)
	}
	s.Close(wire.Draining, "the edge is stopping")
	cancel()
	<-served
	return ctx.Err()
}

// codeAtEnd is what the peer is told when Serve gave up.
func codeAtEnd(err error) wire.Code {
	if errors.Is(err, context.Canceled) {
		return wire.OK
	}
	return wire.CodeOf(err)
}

// backoff is the pause before the next attempt.
type backoff struct {
	last time.Duration
}

func (b *backoff) reset() { b.last = 0 }

// next doubles the pause, up to the maximum, which it takes at once for refusals
// that last until somebody changes something. The result is drawn from the upper
// half, so that ten thousand edges do not come back to a relay at one moment.
func (b *backoff) next(err error) time.Duration {
	b.last = min(max(2*b.last, minBackoff), maxBackoff)
	switch wire.CodeOf(err) {
	case wire.VersionUnsupported, wire.ClockSkew:
		b.last = maxBackoff
	}
	return b.last/2 + rand.N(b.last/2)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
