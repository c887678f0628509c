package edge

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
)

// hostileRelay answers one edge with what play sends, and tells how the session ended.
func hostileRelay(t *testing.T, play func(ctx context.Context, r *testRelay, s *tunnel.Session) error) error {
	t.Helper()
	r := &testRelay{t: t, key: mustKey(t), hub: &testHub{key: mustKey(t)}}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	r.addr = pc.LocalAddr().String()
	l, err := tunnel.Listen(tunnel.Config{Key: r.key, Network: testNetwork}, pc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	testEdge(t, r, "127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, hello, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(wire.Welcome{Version: wire.Version, Clock: time.Now().UnixMilli(), Streams: hello.Streams}); err != nil {
		t.Fatal(err)
	}
	if err := play(ctx, r, s); err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, err := s.Control(ctx); err != nil {
			return err
		}
	}
}

// answerAsk waits for the edge's ask and offers the channel that change made of it, signed by key.
func answerAsk(ctx context.Context, r *testRelay, s *tunnel.Session, key identity.Key, change func(*accounting.Channel)) error {
	for {
		kind, body, err := s.Control(ctx)
		if err != nil {
			return err
		}
		if kind != wire.TypeChannelAsk {
			continue
		}
		ask, err := wire.ParseChannelAsk(body)
		if err != nil {
			return err
		}
		c := accounting.Channel{
			Issuer: r.hub.key.ID(), Relay: r.key.ID(), Edge: s.Peer(), RelayKey: mustKey(r.t).ID(), EdgeKey: ask.ChannelKey,
			EdgeNonce: ask.Nonce, Policy: ask.Policy, Consent: ask.Consent, Class: ask.Class,
			Step: 64 << 10, Window: 512 << 10, Opened: time.Now().UnixMilli(), Expires: time.Now().Add(time.Hour).UnixMilli(),
		}
		if c.Exporter, err = s.Exporter(accounting.ExporterLabel, ask.Nonce[:]); err != nil {
			return err
		}
		change(&c)
		return s.Send(wire.ChannelOffer{Body: c.Append(nil), Sig: [64]byte(c.Sign(testNetwork, key))})
	}
}

func TestEdgeLeavesARelayThatBindsItToAnotherChannel(t *testing.T) {
	for name, change := range map[string]func(*accounting.Channel){
		"another issuer":  func(c *accounting.Channel) { c.Issuer = [32]byte{9} },
		"another consent": func(c *accounting.Channel) { c.Consent[0]++ },
		"another session": func(c *accounting.Channel) { c.Exporter[0]++ },
		"another key":     func(c *accounting.Channel) { c.EdgeKey[0]++ },
		"wide window":     func(c *accounting.Channel) { c.Window = 1 << 30 },
		"another relay":   func(c *accounting.Channel) { c.Relay[0]++ },
		"another policy":  func(c *accounting.Channel) { c.Policy[0]++ },
		"not its own key": nil,
	} {
		err := hostileRelay(t, func(ctx context.Context, r *testRelay, s *tunnel.Session) error {
			if change == nil {
				return answerAsk(ctx, r, s, mustKey(t), func(*accounting.Channel) {})
			}
			return answerAsk(ctx, r, s, r.key, change)
		})
		if wire.CodeOf(err) != wire.Binding {
			t.Errorf("%s: the session ended with %v, want %s", name, err, wire.Binding)
		}
	}
}

func TestEdgeLeavesARelayOfAnotherTime(t *testing.T) {
	for name, off := range map[string]time.Duration{"three hours slow": -3 * time.Hour, "three hours fast": 3 * time.Hour} {
		err := hostileRelay(t, func(ctx context.Context, r *testRelay, s *tunnel.Session) error {
			return answerAsk(ctx, r, s, r.key, func(c *accounting.Channel) {
				c.Opened += off.Milliseconds()
				c.Expires += off.Milliseconds()
			})
		})
		if wire.CodeOf(err) != wire.ClockSkew {
			t.Errorf("%s: the session ended with %v, want %s", name, err, wire.ClockSkew)
		}
	}
}

func TestEdgeGetsOverNonsenseOnTheControlStream(t *testing.T) {
	r := newTestRelay(t)
	testEdge(t, r, echo(t))
	s := r.next()
	for _, m := range []wire.Message{
		wire.Regrant{Grant: []byte("not a grant")},
		wire.Done{Stream: 4242, Bytes: 1 << 60},
		wire.Count{Channel: s.meter.ID()}, // an edge's frame from a relay: skipped like any unknown
	} {
		if err := s.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	st, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatalf("after harmless nonsense: %v", err)
	}
	st.end()
}

func TestEdgeLeavesARelayThatOffersWhatWasNotCarried(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	receipt := accounting.Receipt{
		Channel: s.meter.ID(), Serial: 1, Up: 1 << 30, Time: 1, Streams: 1,
		Tallies: []accounting.Tally{{Grant: accounting.GrantID{1}, Up: 1 << 30, Streams: 1}},
	}
	if err := s.Send(wire.ReceiptOffer{Body: receipt.Append(nil)}); err != nil {
		t.Fatal(err)
	}
	again := r.next() // the edge comes back with a new channel
	if again.meter.ID() == s.meter.ID() {
		t.Error("the edge came back on the same channel")
	}
	if left := e.Status(t.Context()).Unsubmitted; left != 0 {
		t.Errorf("%d receipts were kept of what was never carried", left)
	}
}

func TestStreamsThatNeverSpeakAreReset(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	for name, first := range map[string]wire.Message{
		"another frame first": wire.Done{},
		"an endless name":     wire.Open{Grant: r.grant().Bytes(), App: wire.AppProxy, Host: "site.example", Port: 443, Hops: 255},
	} {
		_, opened, err := s.Open(t.Context(), first)
		if err == nil {
			t.Errorf("%s: opened %+v", name, opened)
		}
	}
	eventually(t, "no stream is left", func() bool { return e.live.count() == 0 })
}

func TestWhatWasCarriedLastIsPaidWhenTheEdgeStops(t *testing.T) {
	const size = 50_000 // below a step: only a count at the end covers it
	for _, running := range []bool{false, true} {
		r := newTestRelay(t)
		_, stop := testEdge(t, r, echo(t))
		s := r.next()
		st, err := s.open(t.Context(), r.grant(), "site.example", 80)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := st.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		} else {
			st.flow.Up(n)
		}
		if n, err := io.ReadFull(st, make([]byte, size)); err != nil {
			t.Fatal(err)
		} else {
			st.flow.Down(n)
		}
		finish := func() {
			if err := st.CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := st.drain(); err != nil {
				t.Error(err)
			}
			st.end()
		}
		if !running {
			finish()
		}
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		if running {
			eventually(t, "the edge says goodbye", s.Draining)
			finish()
		}
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		if up, down := r.hub.credited(); up != size || down != size {
			t.Errorf("with the stream running %v: the hub credits %d up and %d down, want %d each", running, up, down, size)
		}
	}
}
