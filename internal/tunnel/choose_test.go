package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

// cable is a TCP network in memory, for tests in fake time: a listener and the way
// to it, which takes a while.
type cable struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	dials atomic.Int32
	after time.Duration // each dial's
	mute  atomic.Bool   // what is written gets lost
}

func newCable() *cable {
	return &cable{conns: make(chan net.Conn), done: make(chan struct{}), after: 10 * time.Millisecond}
}

func (c *cable) Accept() (net.Conn, error) {
	select {
	case conn := <-c.conns:
		return conn, nil
	case <-c.done:
		return nil, net.ErrClosed
	}
}

func (c *cable) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}

func (c *cable) Addr() net.Addr { return &net.TCPAddr{} }

func (c *cable) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c.dials.Add(1)
	sleep(ctx, c.after)
	near, far := net.Pipe()
	select {
	case c.conns <- muted{far, c}:
		return muted{near, c}, nil
	case <-c.done:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// muted is an end of a cable.
type muted struct {
	net.Conn
	cable *cable
}

func (m muted) Write(p []byte) (int, error) {
	if m.cable.mute.Load() {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// firewall is a UDP socket behind something that drops, or refuses, what it sends.
type firewall struct {
	net.PacketConn
	drops   atomic.Bool
	refuses atomic.Bool
}

func (f *firewall) WriteTo(p []byte, to net.Addr) (int, error) {
	switch {
	case f.refuses.Load():
		return 0, syscall.EPERM
	case f.drops.Load():
		return len(p), nil
	}
	return f.PacketConn.WriteTo(p, to)
}

// between is an edge and a relay with UDP through a firewall and TCP through a
// cable, in fake time.
type between struct {
	firewall *firewall
	cable    *cable
	dialer   *Dialer
	relay    net.Addr
	sessions <-chan *Session
}

func inBetween(t *testing.T, f func(t *testing.T, b *between)) {
	inWorld(t, func(t *testing.T, w world) {
		b := &between{firewall: &firewall{PacketConn: w.edge}, cable: newCable(), relay: w.relay.LocalAddr()}
		cfg := relayConfig(t)
		cfg.Listener = b.cable
		l, err := Listen(cfg, w.relay)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		b.sessions = welcome(l)
		cfg = edgeConfig(t)
		cfg.Dial = b.cable.dial
		if b.dialer, err = NewDialer(cfg, b.firewall); err != nil {
			t.Fatal(err)
		}
		defer b.dialer.Close()
		f(t, b)
	})
}

// dial opens a session and tells how long that took.
func (b *between) dial(t *testing.T) (*Session, time.Duration, error) {
	began := time.Now()
	s, _, err := b.dialer.Dial(context.Background(), b.relay.String(), testKey(t, 'r').ID(), hello())
	return s, time.Since(began), err
}

// Where UDP is dropped, a session is up within three seconds, sooner the next
// time, and QUIC is back when the firewall lets it through.
func TestTCPTakesOverWhereUDPIsBlocked(t *testing.T) {
	inBetween(t, func(t *testing.T, b *between) {
		for _, c := range []struct {
			name   string
			block  bool
			want   Carrier
			within time.Duration
			dials  int32
		}{
			{"open", false, QUIC, 100 * time.Millisecond, 0},
			{"blocked", true, TCP, 3 * time.Second, 1},
			{"still blocked", true, TCP, time.Second, 1},
			{"open again", false, QUIC, 100 * time.Millisecond, 0},
			{"blocked again", true, TCP, 3 * time.Second, 1},
		} {
			b.firewall.drops.Store(c.block)
			before := b.cable.dials.Load()
			s, took, err := b.dial(t)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if s.Carrier() != c.want || took > c.within || b.cable.dials.Load()-before != c.dials {
				t.Errorf("%s: over %s after %v with %d dials by TCP, want %s within %v and %d", c.name, s.Carrier(), took, b.cable.dials.Load()-before, c.want, c.within, c.dials)
			}
			relay := <-b.sessions
			near, far := stream(t, relay, s)
			go func() {
				far.Write([]byte("through"))
				far.CloseWrite()
			}()
			if got, err := io.ReadAll(near); string(got) != "through" || err != nil {
				t.Errorf("%s: got %q, %v", c.name, got, err)
			}
			near.Close()
			far.Close()
			s.Close(wire.OK, "")
			<-relay.Done()
			if len(b.sessions) > 0 {
				t.Errorf("%s: the relay saw a second session", c.name)
			}
		}
	})
}

// A socket that may not send says so, and nobody waits.
func TestTCPTakesOverAtOnceWhenUDPIsRefused(t *testing.T) {
	inBetween(t, func(t *testing.T, b *between) {
		b.firewall.refuses.Store(true)
		s, took, err := b.dial(t)
		if err != nil || s.Carrier() != TCP || took > 100*time.Millisecond {
			t.Fatalf("got %v after %v, want TCP at once", err, took)
		}
		s.Close(wire.OK, "")
	})
}

// The relay must not be told twice who is there: the second session replaces the
// first.
func TestOneSessionWhenBothGetThrough(t *testing.T) {
	for name, slow := range map[string]time.Duration{"tcp is late": time.Second, "tcp is early": 0} {
		t.Run(name, func(t *testing.T) {
			inBetween(t, func(t *testing.T, b *between) {
				b.dialer.last.Store(uint32(TCP)) // so that both begin within half a second
				b.firewall.drops.Store(true)
				b.cable.after = slow
				go func() {
					time.Sleep(shortLead + 5*time.Millisecond)
					b.firewall.drops.Store(false)
				}()
				s, _, err := b.dial(t)
				if err != nil {
					t.Fatal(err)
				}
				want := map[bool]Carrier{true: QUIC, false: TCP}[slow > 0]
				if s.Carrier() != want {
					t.Errorf("session over %s, want %s", s.Carrier(), want)
				}
				relay := <-b.sessions
				time.Sleep(time.Minute)
				if s.Err() != nil || relay.Err() != nil || len(b.sessions) > 0 {
					t.Errorf("a minute later: edge %v, relay %v, %d more sessions", s.Err(), relay.Err(), len(b.sessions))
				}
				s.Close(wire.OK, "")
			})
		})
	}
}

func TestDialFailsWhenNothingGetsThrough(t *testing.T) {
	inBetween(t, func(t *testing.T, b *between) {
		b.firewall.drops.Store(true)
		b.cable.Close()
		s, took, err := b.dial(t)
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) || took > handshakeTimeout+time.Second {
			t.Errorf("got %v, %v after %v, want both reasons within %v", s, err, took, handshakeTimeout)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		_, _, err = b.dialer.Dial(ctx, b.relay.String(), testKey(t, 'r').ID(), hello())
		if took := time.Since(began); err == nil || took > time.Second+100*time.Millisecond {
			t.Errorf("a caller with a second of patience got %v after %v", err, took)
		}
	})
}

// E17: another identity answers, over each carrier and by each way to it.
func TestNoCarrierAcceptsAnotherIdentity(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		inBetween(t, func(t *testing.T, b *between) {
			b.firewall.drops.Store(blocked)
			s, _, err := b.dialer.Dial(context.Background(), b.relay.String(), testKey(t, 'x').ID(), hello())
			if !errors.Is(err, identity.ErrWrongPeer) {
				t.Errorf("UDP blocked %v: got %v, %v, want ErrWrongPeer", blocked, s, err)
			}
		})
	}
}

// E11: a path that swallows everything is noticed, over TCP as well.
func TestSilentTCPPathIsNoticed(t *testing.T) {
	inBetween(t, func(t *testing.T, b *between) {
		b.firewall.drops.Store(true)
		edge, _, err := b.dial(t)
		if err != nil {
			t.Fatal(err)
		}
		relay := <-b.sessions
		time.Sleep(24 * time.Hour)
		if edge.Err() != nil || relay.Err() != nil {
			t.Fatalf("after a silent day: edge %v, relay %v", edge.Err(), relay.Err())
		}
		b.cable.mute.Store(true)
		began := time.Now()
		<-edge.Done()
		<-relay.Done()
		if took := time.Since(began); took > keepAlive+idleTimeout {
			t.Errorf("noticed after %v, want within %v", took, keepAlive+idleTimeout)
		}
		if wire.CodeOf(relay.Err()) != wire.EdgeGone {
			t.Errorf("relay says %v, want edge_gone", relay.Err())
		}
		edge.Close(wire.OK, "")
	})
}
