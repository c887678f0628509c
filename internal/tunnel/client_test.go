package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apernet/quic-go/testutils/simnet"

	"sward/internal/wire"
)

// world is a relay's and an edge's socket on a simulated network with 10 ms
// each way, for tests in fake time.
type world struct {
	relay, edge net.PacketConn
}

func inWorld(t *testing.T, f func(t *testing.T, w world)) {
	synctest.Test(t, func(t *testing.T) {
		n := &simnet.Simnet{Router: &simnet.PerfectRouter{}}
		link := simnet.NodeBiDiLinkSettings{Latency: 10 * time.Millisecond}
		w := world{
			relay: n.NewEndpoint(&net.UDPAddr{IP: net.IP{1, 0, 0, 1}, Port: 443}, link),
			edge:  n.NewEndpoint(&net.UDPAddr{IP: net.IP{1, 0, 0, 2}, Port: 5000}, link),
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		defer w.relay.Close()
		defer w.edge.Close()
		f(t, w)
	})
}

func (w world) dial(t *testing.T) func(context.Context) (*Session, wire.Welcome, error) {
	return func(ctx context.Context) (*Session, wire.Welcome, error) {
		return Dial(ctx, edgeConfigOver(t, QUIC), w.edge, w.relay.LocalAddr().String(), testKey(t, 'r').ID(), hello())
	}
}

// welcome accepts all sessions of l and hands them out.
func welcome(l *Listener) <-chan *Session {
	sessions := make(chan *Session, 16)
	go func() {
		defer close(sessions)
		for {
			s, _, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			s.Send(wire.Welcome{Version: wire.Version})
			sessions <- s
		}
	}()
	return sessions
}

// serve is a small edge: it echoes on every stream, and reads control.
func serve(ctx context.Context, s *Session, _ wire.Welcome) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); echo(ctx, s) }()
	for {
		if _, _, err := s.Control(ctx); err != nil {
			cancel()
			<-done
			return err
		}
	}
}

func runClient(t *testing.T, cfg ClientConfig) (c *Client, stop func()) {
	t.Helper()
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return c, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("client ended with %v, want nil", err)
		}
	}
}

func TestClientReconnectsWhenTheRelayRestarts(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		l, err := Listen(relayConfig(t), w.relay)
		if err != nil {
			t.Fatal(err)
		}
		sessions := welcome(l)
		c, stop := runClient(t, ClientConfig{Dial: w.dial(t), Serve: serve})
		first := <-sessions
		l.Close()
		<-first.Done()
		time.Sleep(time.Minute) // the relay is away
		if s := c.Session(); s != nil {
			t.Errorf("client claims session %v while the relay is away", s)
		}

		if l, err = Listen(relayConfig(t), w.relay); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		second := <-welcome(l)
		if waited := time.Since(back); waited > maxBackoff+2*handshakeTimeout {
			t.Errorf("came back after %v", waited)
		}
		st, _, err := second.Open(context.Background(), target())
		if err != nil {
			t.Fatalf("open on the new session: %v", err)
		}
		st.Close()
		stop()
		l.Close()
	})
}

// A relay that crashed says nothing. The one that takes its place does, at the
// edge's next Status, and a relay that stays away is noticed in time.
func TestClientNoticesACrashedRelay(t *testing.T) {
	for name, c := range map[string]struct {
		restart bool
		within  time.Duration
	}{
		"restarted": {true, time.Second},
		"gone":      {false, keepAlive + idleTimeout + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				l, err := Listen(relayConfig(t), w.relay)
				if err != nil {
					t.Fatal(err)
				}
				accepted := welcome(l)
				edge, _, err := w.dial(t)(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				<-accepted
				synctest.Wait()
				l.transport.Close() // every session is forgotten, without a packet
				l.Close()
				if c.restart {
					if l, err = Listen(relayConfig(t), w.relay); err != nil {
						t.Fatal(err)
					}
					defer l.Close()
				}
				crash := time.Now()
				if c.restart {
					edge.Send(wire.Status{})
				}
				<-edge.Done()
				if after := time.Since(crash); after > c.within {
					t.Errorf("noticed after %v, want within %v", after, c.within)
				}
				edge.Close(wire.OK, "")
			})
		})
	}
}

func TestSilentSessionStaysUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		l, err := Listen(relayConfig(t), w.relay)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		accepted := welcome(l)
		edge, _, err := w.dial(t)(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		relay := <-accepted
		time.Sleep(24 * time.Hour)
		if edge.Err() != nil || relay.Err() != nil {
			t.Errorf("after a silent day: edge %v, relay %v", edge.Err(), relay.Err())
		}
		edge.Close(wire.OK, "")
	})
}

func TestListenerGivesUpOnSilentDialer(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		l, err := Listen(relayConfig(t), w.relay)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		d, err := NewDialer(edgeConfigOver(t, QUIC), w.edge)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		s, err := d.connect(context.Background(), w.relay.LocalAddr().String(), testKey(t, 'r').ID())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		<-s.Done() // no control stream, no hello
		if waited := time.Since(began); waited > greetTimeout+time.Second || wire.CodeOf(s.Err()) != wire.ProtocolError {
			t.Errorf("after %v: %v, want protocol_error in %v", waited, s.Err(), greetTimeout)
		}
		s.end(wire.OK, "")
	})
}

func TestClientPausesGrowAndStartAgain(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want []time.Duration // upper ends of the first pauses
	}{
		"relay away":  {errors.New("refused"), []time.Duration{minBackoff, 2 * minBackoff, 4 * minBackoff, 8 * minBackoff, 16 * minBackoff, 32 * minBackoff, maxBackoff, maxBackoff}},
		"draining":    {wire.Errorf(wire.Draining, ""), []time.Duration{minBackoff, 2 * minBackoff}},
		"old version": {wire.Errorf(wire.VersionUnsupported, ""), []time.Duration{maxBackoff, maxBackoff}},
		"wrong clock": {wire.Errorf(wire.ClockSkew, ""), []time.Duration{maxBackoff}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries []time.Time
				var log bytes.Buffer
				_, stop := runClient(t, ClientConfig{
					Dial: func(context.Context) (*Session, wire.Welcome, error) {
						tries = append(tries, time.Now())
						return nil, wire.Welcome{}, c.err
					},
					Serve: serve,
					Log:   slog.New(slog.NewTextHandler(&log, nil)),
				})
				time.Sleep(10 * time.Minute)
				stop()
				for i, want := range c.want {
					if got := tries[i+1].Sub(tries[i]); got < want/2 || got >= want {
						t.Errorf("pause %d is %v, want from %v to %v", i, got, want/2, want)
					}
				}
				if n := strings.Count(log.String(), "cannot be opened"); n != 1 {
					t.Errorf("the outage is logged %d times, want once", n)
				}
			})
		})
	}
}

func TestPauseForgetsAfterReset(t *testing.T) {
	var b backoff
	for range 20 {
		b.next(errors.New("away"))
	}
	b.reset()
	if got := b.next(nil); got >= minBackoff {
		t.Errorf("first pause after a settled session is %v, want below %v", got, minBackoff)
	}
}

// A relay that takes a session and drops it at once is not hammered; one that
// kept it for an hour is tried again soon.
func TestClientCountsOnlySettledSessions(t *testing.T) {
	for name, c := range map[string]struct {
		lives time.Duration
		min   int // dials in ten minutes beyond the sessions' own time
		max   int
	}{
		"dropped at once": {0, 20, 50},
		"settled":         {settled, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				l, err := Listen(relayConfig(t), w.relay)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					for s := range welcome(l) {
						time.AfterFunc(c.lives, func() { s.Close(wire.Internal, "") })
					}
				}()
				dials := 0
				_, stop := runClient(t, ClientConfig{
					Dial: func(ctx context.Context) (*Session, wire.Welcome, error) {
						dials++
						return w.dial(t)(ctx)
					},
					Serve: serve,
				})
				time.Sleep(10 * time.Minute)
				stop()
				l.Close()
				if dials < c.min || dials > c.max {
					t.Errorf("%d dials in ten minutes, want %d to %d", dials, c.min, c.max)
				}
			})
		})
	}
}

func TestClientDrainsAtItsEnd(t *testing.T) {
	for name, finish := range map[string]bool{"streams finish": true, "grace runs out": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				l, err := Listen(relayConfig(t), w.relay)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				accepted := welcome(l)
				settledWith := 0
				_, stop := runClient(t, ClientConfig{
					Dial:   w.dial(t),
					Serve:  serve,
					Settle: func(ctx context.Context, s *Session) { settledWith++; s.Send(wire.Done{Stream: 4}) },
				})
				relay := <-accepted
				st, _, err := relay.Open(context.Background(), target())
				if err != nil {
					t.Fatal(err)
				}
				frames := make(chan []wire.Type, 1)
				go func() { // the relay's control loop
					var seen []wire.Type
					for {
						ty, _, err := relay.Control(context.Background())
						if err != nil {
							frames <- seen
							return
						}
						seen = append(seen, ty)
					}
				}()
				began := time.Now()
				go func() {
					time.Sleep(3 * time.Second)
					if finish {
						st.Write([]byte("last words"))
						st.CloseWrite()
						if got, err := io.ReadAll(st); string(got) != "last words" || err != nil {
							t.Errorf("while draining: got %q, %v", got, err)
						}
						st.Close()
					}
				}()
				stop()
				took := time.Since(began)
				want := []wire.Type{wire.TypeBye, wire.TypeDone}
				if !finish {
					want = want[:1]
				}
				if got := <-frames; !bytes.Equal(types(got), types(want)) {
					t.Errorf("relay heard %v, want %v", got, want)
				}
				if finish && (took > 4*time.Second || settledWith != 1) {
					t.Errorf("ended after %v with %d settlements, want 3 s and one", took, settledWith)
				}
				if !finish && (took < defaultGrace || took > defaultGrace+lingerTimeout || settledWith != 0) {
					t.Errorf("ended after %v with %d settlements, want %v and none", took, settledWith, defaultGrace)
				}
				<-relay.Done()
			})
		})
	}
}

// Make before break: the next session is up before the one before it is drained,
// and a stream of the old one goes on while the new one takes streams.
func TestRenewedSessionsOverlap(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		l, err := Listen(relayConfig(t), w.relay)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		accepted := welcome(l)
		d, err := NewDialer(edgeConfigOver(t, QUIC), w.edge) // one socket for both
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		renew := make(chan struct{})
		var log bytes.Buffer
		var dials atomic.Int32
		var together atMost
		c, stop := runClient(t, ClientConfig{
			Dial: func(ctx context.Context) (*Session, wire.Welcome, error) {
				if dials.Add(1) == 2 {
					return nil, wire.Welcome{}, errors.New("not at the first try")
				}
				return d.Dial(ctx, w.relay.LocalAddr().String(), testKey(t, 'r').ID(), hello())
			},
			Serve: func(ctx context.Context, s *Session, welcome wire.Welcome) error {
				defer together.enter()()
				if dials.Load() == 1 {
					go func() {
						<-renew
						s.Renew()
						s.Renew() // once is enough
					}()
				}
				return serve(ctx, s, welcome)
			},
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		first := <-accepted
		old, _, err := first.Open(context.Background(), target())
		if err != nil {
			t.Fatal(err)
		}
		atFirst := c.Session()
		close(renew)
		second := <-accepted
		time.Sleep(time.Second)
		if first.Err() != nil || second.Err() != nil || together.most() != 2 || c.Session() == atFirst {
			t.Fatalf("first %v, second %v, %d served at once, want both up and the newer one current", first.Err(), second.Err(), together.most())
		}
		for name, st := range map[string]*Stream{"old": old, "new": freshStream(t, second)} {
			st.Write([]byte(name))
			st.CloseWrite()
			if got, err := io.ReadAll(st); string(got) != name || err != nil {
				t.Errorf("%s stream: got %q, %v", name, got, err)
			}
			st.Close()
		}
		first.Close(wire.Draining, "its streams have finished")
		time.Sleep(time.Minute)
		if c.Session() == nil || second.Err() != nil || dials.Load() != 3 {
			t.Errorf("after the old one's end: session %v, second %v, %d dials, want 3", c.Session(), second.Err(), dials.Load())
		}
		if strings.Contains(log.String(), "tunnel is down") {
			t.Errorf("a renewed session's end is told as news:\n%s", log.String())
		}
		stop()
		<-second.Done()
	})
}

// A session that was renewed and does not end is ended, and one that is renewed
// while the one before it lives waits: there are never three.
func TestOverlapIsBounded(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		l, err := Listen(relayConfig(t), w.relay)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		accepted := welcome(l)
		d, err := NewDialer(edgeConfigOver(t, QUIC), w.edge)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var together atMost
		_, stop := runClient(t, ClientConfig{
			Dial: func(ctx context.Context) (*Session, wire.Welcome, error) {
				return d.Dial(ctx, w.relay.LocalAddr().String(), testKey(t, 'r').ID(), hello())
			},
			Serve: func(ctx context.Context, s *Session, welcome wire.Welcome) error {
				defer together.enter()()
				s.Renew()
				return serve(ctx, s, welcome)
			},
		})
		first, second := <-accepted, <-accepted
		began := time.Now()
		<-first.Done()
		if lived := time.Since(began); lived < maxOverlap || lived > maxOverlap+time.Minute {
			t.Errorf("the old session went after %v, want %v", lived, maxOverlap)
		}
		third := <-accepted
		if second.Err() != nil || third.Err() != nil || together.most() != 2 {
			t.Errorf("second %v, third %v, %d at once, want two", second.Err(), third.Err(), together.most())
		}
		stop()
	})
}

// atMost counts how many are in at once.
type atMost struct {
	mu       sync.Mutex
	now, top int
}

func (a *atMost) enter() (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now++
	a.top = max(a.top, a.now)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.now--
	}
}

func (a *atMost) most() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.top
}

// freshStream is a new stream of s.
func freshStream(t *testing.T, s *Session) *Stream {
	t.Helper()
	st, _, err := s.Open(context.Background(), target())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestClientNeedsItsFuncs(t *testing.T) {
	for _, cfg := range []ClientConfig{{}, {Serve: serve}, {Dial: func(context.Context) (*Session, wire.Welcome, error) { return nil, wire.Welcome{}, nil }}} {
		if _, err := NewClient(cfg); err == nil {
			t.Error("a client without Dial or Serve was made")
		}
	}
}

func types(ts []wire.Type) (b []byte) {
	for _, t := range ts {
		b = append(b, byte(t))
	}
	return b
}
