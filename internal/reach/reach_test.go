package reach

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"

	"sward/internal/identity"
)

const patience = 20 * time.Second

func testKey(t testing.TB, b byte) identity.Key {
	t.Helper()
	k, err := identity.NewKeyFrom(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, cfg Config) *Host {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Gate == nil {
		cfg.Gate = func(netip.Addr) error { return nil }
	}
	cfg.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no names here") }
	h, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// trio is an edge, the relay that it knows, and one that it does not.
type trio struct {
	edge, relay, other *Host
	place              Relay
}

func newTrio(t testing.TB, gate func(netip.Addr) error) trio {
	t.Helper()
	relays := identity.Only(testKey(t, 'r').ID(), testKey(t, 'o').ID())
	edges := identity.Only(testKey(t, 'e').ID())
	var n trio
	n.relay = open(t, Config{Key: testKey(t, 'r'), Relay: true, Allow: edges, Reserve: edges, Callers: relays})
	n.other = open(t, Config{Key: testKey(t, 'o'), Relay: true, Allow: edges, Reserve: edges, Callers: relays, Gate: gate})
	n.edge = open(t, Config{Key: testKey(t, 'e'), Allow: relays})
	n.place = Relay{testKey(t, 'r').ID(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), n.relay.Port()).String()}
	return n
}

// echo answers one stream of h with what it reads.
func echo(t testing.TB, h *Host) {
	go func() {
		c, err := h.Accept(t.Context())
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()
}

func say(t testing.TB, c *Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != text {
		t.Fatalf("said %q and heard %q, %v", text, got, err)
	}
}

func TestCallComesByTheAddressOfTheEdge(t *testing.T) {
	n := newTrio(t, nil)
	echo(t, n.edge)
	c, err := n.other.Call(soon(t), Place{Edge: testKey(t, 'e').ID(), Addr: netip.MustParseAddr("127.0.0.1"), Port: n.edge.Port()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Path() != Direct || c.Peer() != testKey(t, 'e').ID() {
		t.Errorf("came to %s by %s", c.Peer(), c.Path())
	}
	say(t, c, "hello")
}

func TestCallComesOverTheRelayThatTheEdgeKnows(t *testing.T) {
	t.Parallel()
	n := newTrio(t, nil)
	if err := n.edge.Reserve(soon(t), n.place); err != nil {
		t.Fatal(err)
	}
	if !n.edge.Reserved(n.place.ID) {
		t.Fatal("the edge has no place though it got one")
	}
	echo(t, n.edge)
	home := netip.MustParseAddr("192.0.2.7")
	c, err := n.other.Call(soon(t), Place{Edge: testKey(t, 'e').ID(), Addr: home, Circuits: []Relay{n.place}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Path() != Circuit || c.RemoteAddr().String() != "192.0.2.7:0" {
		t.Errorf("came by %s to %s, want the circuit, and the address that the relay has told", c.Path(), c.RemoteAddr())
	}
	say(t, c, "hello")
}

func TestCallTellsWhyThereIsNoWay(t *testing.T) {
	n := newTrio(t, nil)
	_, err := n.other.Call(soon(t), Place{Edge: testKey(t, 'e').ID(), Circuits: []Relay{n.place}}) // no place was reserved
	if !errors.Is(err, ErrNoWay) {
		t.Errorf("got %v, want ErrNoWay", err)
	}
}

// A host that anybody could send anywhere would be a scanner, and one in a home a way into it.
func TestNoAddressIsDialledThatTheGateRefuses(t *testing.T) {
	var asked []netip.Addr
	refuse := errors.New("not there")
	n := newTrio(t, func(a netip.Addr) error { asked = append(asked, a); return refuse })
	_, err := n.other.Call(soon(t), Place{Edge: testKey(t, 'e').ID(), Addr: netip.MustParseAddr("127.0.0.1"), Port: n.edge.Port(), Circuits: []Relay{n.place}})
	if !errors.Is(err, ErrNoWay) || len(asked) == 0 {
		t.Errorf("got %v after asking for %v, want ErrNoWay after asking", err, asked)
	}
	if n.edge.host.Network().Connectedness(testKey(t, 'o').ID().Peer()) != 0 {
		t.Error("the edge was connected to")
	}
}

func TestOnlyThoseWhoAreAllowedGetThrough(t *testing.T) {
	n := newTrio(t, nil)
	if err := n.edge.Reserve(soon(t), n.place); err != nil {
		t.Fatal(err)
	}
	stranger := open(t, Config{Key: testKey(t, 's'), Allow: identity.Only()})
	if err := stranger.Reserve(soon(t), n.place); err == nil {
		t.Error("a stranger has a place at the relay")
	}
	for name, place := range map[string]Place{
		"over the relay": {Edge: testKey(t, 'e').ID(), Circuits: []Relay{n.place}},
		"directly":       {Edge: testKey(t, 'e').ID(), Addr: netip.MustParseAddr("127.0.0.1"), Port: n.edge.Port()},
	} {
		c, err := stranger.Call(soon(t), place)
		if err != nil {
			continue
		}
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, "hello")
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: a stranger was heard: %v", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if c, err := n.edge.Accept(ctx); err == nil {
		t.Errorf("the edge was handed a stream of %s", c.Peer())
	}
}

// An edge that dials because somebody asks it to would be one more door into the house.
func TestEdgesAnswerNoQuestionOfReachability(t *testing.T) {
	n := newTrio(t, nil)
	for _, p := range n.edge.host.Mux().Protocols() {
		if p == autonatv2.DialProtocol || p == proto.ProtoIDv2Hop {
			t.Errorf("the edge serves %s", p)
		}
	}
}

func TestKnock(t *testing.T) {
	n := newTrio(t, nil)
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), n.edge.Port())
	if err := Knock(soon(t), testKey(t, 'r'), at, testKey(t, 'e').ID()); err != nil {
		t.Errorf("at a host that is there: %v", err)
	}
	if err := Knock(soon(t), testKey(t, 'r'), at, testKey(t, 'x').ID()); !errors.Is(err, identity.ErrWrongPeer) {
		t.Errorf("at another's: %v, want ErrWrongPeer", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := Knock(ctx, testKey(t, 'r'), netip.MustParseAddrPort(silent.LocalAddr().String()), testKey(t, 'e').ID()); err == nil {
		t.Error("nobody answered, and that was taken for an answer")
	}
}

func TestClosedHostEndsItsStreams(t *testing.T) {
	n := newTrio(t, nil)
	c, err := n.other.Call(soon(t), Place{Edge: testKey(t, 'e').ID(), Addr: netip.MustParseAddr("127.0.0.1"), Port: n.edge.Port()})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.edge.Close(); err != nil {
		t.Error(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the stream goes on: %v", err)
	}
	if _, err := n.edge.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept on a closed host: %v", err)
	}
}
