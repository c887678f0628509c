package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

// patience bounds what should happen at once: a test that hangs says where.
const patience = 20 * time.Second

func testKey(t testing.TB, b byte) identity.Key {
	t.Helper()
	k, err := identity.NewKeyFrom(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// overEach runs a test over each carrier: what a session promises does not
// depend on its carrier.
func overEach(t *testing.T, f func(t *testing.T, via Carrier)) {
	for _, via := range []Carrier{QUIC, TCP, Overlay} {
		t.Run(via.String(), func(t *testing.T) { f(t, via) })
	}
}

func edgeConfigOver(t testing.TB, via Carrier) Config {
	c := edgeConfig(t)
	c.Carrier = via
	if via == Overlay {
		c.Dial = overlay(t).dial
	}
	return c
}

func edgeConfig(t testing.TB) Config  { return Config{Key: testKey(t, 'e'), Network: "test"} }
func relayConfig(t testing.TB) Config { return Config{Key: testKey(t, 'r'), Network: "test"} }

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func socket(t testing.TB) net.PacketConn {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

func listen(t testing.TB, cfg Config) *Listener {
	t.Helper()
	pc, tcp, err := OpenPort(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	cfg.Listener = tcp
	cfg.Overlay = overlay(t).listener(pc.LocalAddr().String())
	l, err := Listen(cfg, pc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dialer(t testing.TB, cfg Config) *Dialer {
	t.Helper()
	d, err := NewDialer(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func hello() wire.Hello {
	return wire.Hello{Role: wire.RoleEdge, Apps: wire.AppsOf(wire.AppProxy), Streams: 16, Agent: "test"}
}

// pair is a session from both of its ends.
func pair(t testing.TB, via Carrier) (edge, relay *Session) {
	t.Helper()
	l := listen(t, relayConfig(t))
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if relay, _, err = l.Accept(soon(t)); err != nil {
			t.Error(err)
			return
		}
		if err := relay.Send(wire.Welcome{Version: wire.Version, Region: "here"}); err != nil {
			t.Error(err)
		}
	})
	edge, w, err := Dial(soon(t), edgeConfigOver(t, via), nil, l.Addr().String(), testKey(t, 'r').ID(), hello())
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if w.Region != "here" {
		t.Errorf("welcome says region %q, want here", w.Region)
	}
	t.Cleanup(func() { edge.end(wire.OK, ""); relay.end(wire.OK, "") })
	return edge, relay
}

// echo answers every stream of s with Opened and what it reads.
func echo(ctx context.Context, s *Session) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		st, err := s.Accept(ctx)
		if err != nil {
			return
		}
		wg.Go(func() {
			defer st.Close()
			if _, _, err := wire.ReadFrame(st, nil); err != nil {
				return
			}
			wire.Write(st, wire.Opened{Edge: wire.ID{1}})
			io.Copy(st, st)
		})
	}
}

func target() wire.Open { return wire.Open{App: wire.AppProxy, Host: "example.com", Port: 443} }

func TestSessionNamesBothPeers(t *testing.T) { overEach(t, checkSessionNamesBothPeers) }

func checkSessionNamesBothPeers(t *testing.T, via Carrier) {
	l := listen(t, relayConfig(t))
	type accepted struct {
		s     *Session
		hello wire.Hello
	}
	got := make(chan accepted, 1)
	go func() {
		s, h, err := l.Accept(soon(t))
		if err != nil {
			t.Error(err)
			return
		}
		s.Send(wire.Welcome{Version: wire.Version})
		got <- accepted{s, h}
	}()
	edge, _, err := Dial(soon(t), edgeConfigOver(t, via), nil, l.Addr().String(), testKey(t, 'r').ID(), hello())
	if err != nil {
		t.Fatal(err)
	}
	defer edge.Close(wire.OK, "")
	relay := <-got
	if edge.Peer() != testKey(t, 'r').ID() || relay.s.Peer() != testKey(t, 'e').ID() {
		t.Errorf("edge sees %s, relay sees %s", edge.Peer(), relay.s.Peer())
	}
	want := hello()
	want.Version, want.Network, want.Clock = wire.Version, "test", relay.hello.Clock
	if relay.hello != want {
		t.Errorf("hello is %+v, want %+v", relay.hello, want)
	}
	if age := time.Since(time.UnixMilli(relay.hello.Clock)); age < -time.Second || age > patience {
		t.Errorf("hello's clock is %v old", age)
	}
	if edge.Carrier() != via || relay.s.Carrier() != via {
		t.Errorf("edge is over %s, relay over %s, want %s", edge.Carrier(), relay.s.Carrier(), via)
	}
}

// E17 of the attack list.
func TestDialRefusesWrongPeer(t *testing.T) { overEach(t, checkDialRefusesWrongPeer) }

func checkDialRefusesWrongPeer(t *testing.T, via Carrier) {
	l := listen(t, relayConfig(t))
	s, _, err := Dial(soon(t), edgeConfigOver(t, via), nil, l.Addr().String(), testKey(t, 'x').ID(), hello())
	if !errors.Is(err, identity.ErrWrongPeer) {
		t.Errorf("got %v, %v, want ErrWrongPeer", s, err)
	}
}

func TestListenerRefusesWrongPeer(t *testing.T) { overEach(t, checkListenerRefusesWrongPeer) }

func checkListenerRefusesWrongPeer(t *testing.T, via Carrier) {
	cfg := relayConfig(t)
	cfg.Peers = identity.Only(testKey(t, 'h').ID()) // the hub alone
	l := listen(t, cfg)
	if s, _, err := Dial(soon(t), edgeConfigOver(t, via), nil, l.Addr().String(), testKey(t, 'r').ID(), hello()); err == nil {
		t.Errorf("got session %v, want a refusal", s.Peer())
	}
}

func TestListenerRefusesHello(t *testing.T) { overEach(t, checkListenerRefusesHello) }

func checkListenerRefusesHello(t *testing.T, via Carrier) {
	for _, c := range []struct {
		name  string
		cfg   func(*Config)
		hello func(*wire.Hello)
		want  wire.Code
	}{
		{"other network", func(c *Config) { c.Network = "main" }, nil, wire.Binding},
		{"other network in hello", nil, func(h *wire.Hello) { h.Network = "main" }, wire.Binding},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := listen(t, relayConfig(t))
			cfg, h := edgeConfigOver(t, via), hello()
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			if c.hello != nil {
				c.hello(&h)
			}
			_, _, err := Dial(soon(t), cfg, nil, l.Addr().String(), testKey(t, 'r').ID(), h)
			if got := wire.CodeOf(err); got != c.want {
				t.Errorf("got %v, want code %s", err, c.want)
			}
		})
	}
}

func TestListenerRefusesOldVersion(t *testing.T) {
	l := listen(t, relayConfig(t))
	for version, want := range map[uint16]wire.Code{
		wire.Version - 1: wire.VersionUnsupported,
		wire.Version:     wire.OK,
		wire.Version + 1: wire.OK, // it speaks ours too, and Welcome says so
	} {
		if err := l.admit(wire.Hello{Version: version, Network: "test"}); wire.CodeOf(err) != want {
			t.Errorf("version %d: got %v, want %s", version, err, want)
		}
	}
}

func TestRefuseReachesTheDialer(t *testing.T) { overEach(t, checkRefuseReachesTheDialer) }

func checkRefuseReachesTheDialer(t *testing.T, via Carrier) {
	l := listen(t, relayConfig(t))
	go func() {
		if s, _, err := l.Accept(soon(t)); err == nil {
			s.Refuse(wire.ClockSkew, "your clock is an hour late")
		}
	}()
	_, _, err := Dial(soon(t), edgeConfigOver(t, via), nil, l.Addr().String(), testKey(t, 'r').ID(), hello())
	refusal, ok := errors.AsType[*wire.Error](err)
	if !ok || refusal.Code != wire.ClockSkew || refusal.Detail != "your clock is an hour late" {
		t.Errorf("got %v, want the relay's words", err)
	}
}

func TestDialRefusesUnknownVersion(t *testing.T) { overEach(t, checkDialRefusesUnknownVersion) }

func checkDialRefusesUnknownVersion(t *testing.T, via Carrier) {
	l := listen(t, relayConfig(t))
	go func() {
		if s, _, err := l.Accept(soon(t)); err == nil {
			s.Send(wire.Welcome{Version: wire.Version + 1})
		}
	}()
	_, _, err := Dial(soon(t), edgeConfigOver(t, via), nil, l.Addr().String(), testKey(t, 'r').ID(), hello())
	if got := wire.CodeOf(err); got != wire.VersionUnsupported {
		t.Errorf("got %v, want version_unsupported", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no key":      {Network: "test"},
		"no network":  {Key: testKey(t, 'e')},
		"bad network": {Key: testKey(t, 'e'), Network: "a/b"},
	} {
		if _, err := Listen(cfg, socket(t)); err == nil {
			t.Errorf("%s: Listen accepted it", name)
		}
		if _, _, err := Dial(t.Context(), cfg, nil, "127.0.0.1:1", testKey(t, 'r').ID(), hello()); err == nil {
			t.Errorf("%s: Dial accepted it", name)
		}
	}
}

func TestPortIsOneForBoth(t *testing.T) {
	udp, tcp, err := OpenPort(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	defer tcp.Close()
	if udp.LocalAddr().String() != tcp.Addr().String() {
		t.Errorf("UDP is at %v, TCP at %v", udp.LocalAddr(), tcp.Addr())
	}
	if _, _, err := OpenPort(t.Context(), tcp.Addr().String()); err == nil {
		t.Error("a port that is taken was opened")
	}
}

func TestDialRefusesMalformedAddress(t *testing.T) {
	for _, addr := range []string{"", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:http", "127.0.0.1:65536"} {
		if _, _, err := Dial(soon(t), edgeConfig(t), nil, addr, testKey(t, 'r').ID(), hello()); err == nil {
			t.Errorf("address %q was accepted", addr)
		}
	}
}

func TestExporterIsEqualAtBothEnds(t *testing.T) { overEach(t, checkExporterIsEqualAtBothEnds) }

func checkExporterIsEqualAtBothEnds(t *testing.T, via Carrier) {
	edge, relay := pair(t, via)
	export := func(s *Session, label, context string) [32]byte {
		t.Helper()
		key, err := s.Exporter(label, []byte(context))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	a, b := export(edge, "EXPORTER-sward-channel", "nonce"), export(relay, "EXPORTER-sward-channel", "nonce")
	if a != b || a == [32]byte{} {
		t.Errorf("edge has %x, relay has %x, want one key", a, b)
	}
	if c := export(edge, "EXPORTER-sward-channel", "other"); a == c {
		t.Error("another context gives the same key")
	}
	other, _ := pair(t, via)
	if c := export(other, "EXPORTER-sward-channel", "nonce"); a == c {
		t.Error("another session gives the same key")
	}
}

func TestSocketOfTheCallerIsUsedAgain(t *testing.T) {
	l := listen(t, relayConfig(t))
	pc := socket(t)
	for range 2 {
		go func() {
			if s, _, err := l.Accept(soon(t)); err == nil {
				s.Send(wire.Welcome{Version: wire.Version})
			}
		}()
		s, _, err := Dial(soon(t), edgeConfig(t), pc, l.Addr().String(), testKey(t, 'r').ID(), hello())
		if err != nil {
			t.Fatal(err)
		}
		s.Close(wire.OK, "")
	}
	if _, err := pc.WriteTo([]byte("x"), pc.LocalAddr()); err != nil {
		t.Errorf("the socket was closed: %v", err)
	}
}
