package testnet_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/apernet/quic-go"

	"sward/accounting"
	"sward/edge"
	"sward/internal/identity"
	"sward/internal/testnet"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/relay"
)

// hostileWait is how long a relay may take to end a session that broke the protocol.
const hostileWait = 20 * time.Second

// runHostile runs a network with one honest edge, hands out the relay's configuration, and checks at the end that the
// relay still serves partners.
func runHostile(t *testing.T, do func(ctx context.Context, n *testnet.Net, at relay.Config)) {
	t.Helper()
	var at relay.Config
	testnet.Run(t, testnet.Config{Site: blobSite, Relay: func(_ int, c *relay.Config) { at = *c }}, func(ctx context.Context, n *testnet.Net) {
		do(ctx, n, at)
		client := n.Client(t, n.Partners[0])
		client.Transport.(*http.Transport).DisableKeepAlives = true // or a stopping relay would wait for the connection
		if got := download(t, client, n.Info().SiteTLS+"/100000"); got != 100000 {
			t.Errorf("afterwards a partner gets %d bytes, want 100000", got)
		}
	})
}

func hello() wire.Hello {
	return wire.Hello{
		Version: wire.Version, Role: wire.RoleEdge, Apps: wire.AppsOf(wire.AppProxy, wire.AppCrawl), Streams: 8,
		Clock: time.Now().UnixMilli(), Network: "test", Agent: "hostile", Consent: edge.ConsentHash(),
	}
}

// join connects as an edge with the given key.
func join(ctx context.Context, t *testing.T, at relay.Config, key identity.Key, h wire.Hello) *tunnel.Session {
	t.Helper()
	s, _, err := tunnel.Dial(ctx, tunnel.Config{Key: key, Network: "test"}, nil, at.Tunnel, at.Key.ID(), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(wire.OK, "") })
	return s
}

// rawJoin is the same below the frames: what is written on the control stream need not be any.
func rawJoin(ctx context.Context, t *testing.T, at relay.Config) (*quic.Conn, *quic.Stream) {
	t.Helper()
	config := newKey(t).TLSConfig(identity.Only(at.Key.ID()))
	config.NextProtos = []string{wire.ALPN}
	conn, err := quic.DialAddr(ctx, at.Tunnel, config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseWithError(0, "") })
	control, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	return conn, control
}

// openChannel opens a channel as an edge does, and returns its id and the edge's key in it.
func openChannel(ctx context.Context, t *testing.T, s *tunnel.Session, key identity.Key) (accounting.ChannelID, identity.Key) {
	t.Helper()
	channelKey := newKey(t)
	ask := wire.ChannelAsk{ChannelKey: channelKey.ID(), Consent: edge.ConsentHash()}
	rand.Read(ask.Nonce[:])
	if err := s.Send(ask); err != nil {
		t.Fatal(err)
	}
	for {
		kind, body, err := s.Control(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if kind != wire.TypeChannelOffer {
			continue
		}
		offer, err := wire.ParseChannelOffer(body)
		if err != nil {
			t.Fatal(err)
		}
		c, err := accounting.ParseChannel(offer.Body)
		if err != nil {
			t.Fatal(err)
		}
		id := c.ID("test")
		if err := s.Send(wire.ChannelAccept{Channel: id, Sig: [64]byte(c.Sign("test", key))}); err != nil {
			t.Fatal(err)
		}
		return id, channelKey
	}
}

// ended waits for the relay to end a session and returns its reason. Frames that come before that are read away.
func ended(ctx context.Context, t *testing.T, s *tunnel.Session) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, hostileWait)
	defer cancel()
	for {
		if _, _, err := s.Control(ctx); err != nil {
			if ctx.Err() != nil {
				t.Fatalf("the relay kept the session for %s", hostileWait)
			}
			return err
		}
	}
}

// E03: what is no frame, or a frame out of its bounds, costs the sender its session and the relay nothing.
func TestRelayEndsSessionsThatSpeakNoFrames(t *testing.T) {
	runHostile(t, func(ctx context.Context, n *testnet.Net, at relay.Config) {
		frame := func(kind wire.Type, body ...byte) []byte {
			return append([]byte{byte(kind), 0, byte(len(body) >> 8), byte(len(body))}, body...)
		}
		cases := map[string][]byte{
			"frame of 16 MiB":       {byte(wire.TypeCount), 0xff, 0xff, 0xff},
			"frame above the limit": {byte(wire.TypeStatus), 1, 0, 0},
			"frame cut short":       frame(wire.TypeDone, 1, 2, 3)[:5],
			"a web request":         []byte("GET / HTTP/1.1\r\nHost: relay\r\n\r\n" + string(make([]byte, 64<<10))),
		}
		for _, kind := range []wire.Type{
			wire.TypeStatus, wire.TypeBye, wire.TypeChannelAsk, wire.TypeChannelAccept, wire.TypeCount, wire.TypeReceiptSign, wire.TypeDone,
		} {
			cases["empty "+kind.String()] = frame(kind)
			cases["long "+kind.String()] = frame(kind, make([]byte, 60000)...)
		}
		for name, bytes := range cases {
			t.Run(name, func(t *testing.T) {
				conn, control := rawJoin(ctx, t, at)
				if err := wire.Write(control, hello()); err != nil {
					t.Fatal(err)
				}
				control.Write(bytes) // the relay may end the session before it has taken all of it
				control.Close()
				select {
				case <-conn.Context().Done():
				case <-time.After(hostileWait):
					t.Errorf("the relay kept the session for %s", hostileWait)
				}
			})
		}
	})
}

// Frames in an order that no honest edge sends, and words about bytes that never were (F18).
func TestRelayEndsSessionsOfEdgesThatLie(t *testing.T) {
	grant := [16]byte{1, 2, 3}
	runHostile(t, func(ctx context.Context, n *testnet.Net, at relay.Config) {
		for name, lie := range map[string]func(*testing.T, *tunnel.Session, identity.Key) []wire.Message{
			"accept before an offer": func(*testing.T, *tunnel.Session, identity.Key) []wire.Message {
				return []wire.Message{wire.ChannelAccept{}}
			},
			"count before a channel": func(*testing.T, *tunnel.Session, identity.Key) []wire.Message {
				return []wire.Message{wire.Count{}}
			},
			"signature before a channel": func(*testing.T, *tunnel.Session, identity.Key) []wire.Message {
				return []wire.Message{wire.ReceiptSign{Serial: 1}}
			},
			"two channels": func(*testing.T, *tunnel.Session, identity.Key) []wire.Message {
				ask := wire.ChannelAsk{ChannelKey: newKey(t).ID(), Consent: edge.ConsentHash()}
				return []wire.Message{ask, ask}
			},
			"channel of a browser": func(*testing.T, *tunnel.Session, identity.Key) []wire.Message {
				return []wire.Message{wire.ChannelAsk{ChannelKey: newKey(t).ID(), Consent: edge.ConsentHash(), Class: 2}}
			},
			"channel accepted by another": func(t *testing.T, s *tunnel.Session, _ identity.Key) []wire.Message {
				openChannel(ctx, t, s, newKey(t))
				return nil
			},
			"channel accepted twice": func(t *testing.T, s *tunnel.Session, key identity.Key) []wire.Message {
				id, _ := openChannel(ctx, t, s, key)
				return []wire.Message{wire.ChannelAccept{Channel: id}}
			},
			"count of another channel": func(t *testing.T, s *tunnel.Session, key identity.Key) []wire.Message {
				openChannel(ctx, t, s, key)
				return []wire.Message{wire.Count{Channel: [32]byte{1}}}
			},
			"bytes that nobody sent": func(t *testing.T, s *tunnel.Session, key identity.Key) []wire.Message {
				id, _ := openChannel(ctx, t, s, key)
				return []wire.Message{wire.Count{Channel: id, Tallies: []wire.Tally{{Grant: grant, Up: 1 << 20, Streams: 1}}}}
			},
			"a count beyond all counting": func(t *testing.T, s *tunnel.Session, key identity.Key) []wire.Message {
				id, _ := openChannel(ctx, t, s, key)
				return []wire.Message{wire.Count{Channel: id, Tallies: []wire.Tally{{Grant: grant, Up: 1<<64 - 1, Down: 2}}}}
			},
			"signature of no receipt": func(t *testing.T, s *tunnel.Session, key identity.Key) []wire.Message {
				id, channelKey := openChannel(ctx, t, s, key)
				sig := channelKey.Sign("test", "receipt", []byte("forged"))
				return []wire.Message{wire.ReceiptSign{Channel: id, Serial: 1, Sig: [64]byte(sig)}}
			},
		} {
			t.Run(name, func(t *testing.T) {
				key := newKey(t)
				s := join(ctx, t, at, key, hello())
				for _, m := range lie(t, s, key) {
					if err := s.Send(m); err != nil {
						t.Logf("send %s: %v", m.Type(), err) // the session may have ended already
					}
				}
				t.Log(ended(ctx, t, s))
			})
		}
	})
}

// An edge that says it has ended streams which never were, and opens streams itself, takes nothing from the others.
func TestRelayOutlivesFloods(t *testing.T) {
	const many = 20_000
	runHostile(t, func(ctx context.Context, n *testnet.Net, at relay.Config) {
		key := newKey(t)
		s := join(ctx, t, at, key, hello())
		openChannel(ctx, t, s, key)
		for i := range many {
			if err := s.Send(wire.Done{Stream: uint64(i), Bytes: 1 << 40}); err != nil {
				t.Logf("after %d words about unknown streams: %v", i, err)
				break
			}
		}
		conn, control := rawJoin(ctx, t, at)
		if err := wire.Write(control, hello()); err != nil {
			t.Fatal(err)
		}
		streams := 0
		for ; streams < many; streams++ {
			st, err := conn.OpenStream()
			if err != nil {
				break
			}
			st.Write(make([]byte, 100))
		}
		if streams > 600 { // E01
			t.Errorf("an edge had %d streams open at a relay", streams)
		}
	})
}

// An identity has one session: a newer one takes the place of the older, which ends. Otherwise one key could fill a
// relay's memory, past the number of edges that it keeps.
func TestSecondSessionOfAnEdgeEndsTheFirst(t *testing.T) {
	runHostile(t, func(ctx context.Context, n *testnet.Net, at relay.Config) {
		key := newKey(t)
		first := join(ctx, t, at, key, hello())
		openChannel(ctx, t, first, key)
		second := join(ctx, t, at, key, hello())
		t.Log(ended(ctx, t, first))
		if err := second.Send(wire.Status{Room: 1}); err != nil || second.Err() != nil {
			t.Errorf("the newer session ended too: %v, %v", err, second.Err())
		}
	})
}

// A session that is leaving counts for no edge any more, so it must end: by itself, or else by the relay.
func TestSessionThatSaidByeEnds(t *testing.T) {
	runHostile(t, func(ctx context.Context, n *testnet.Net, at relay.Config) {
		key := newKey(t)
		s := join(ctx, t, at, key, hello())
		openChannel(ctx, t, s, key)
		for range 3 {
			if err := s.Drain(wire.Draining, "soon"); err != nil {
				t.Fatal(err)
			}
		}
		t.Log(ended(ctx, t, s))
	})
}

// An edge that promises more streams than a session carries would always look idle beside the honest ones.
func TestEdgeCannotPromiseMoreStreamsThanASessionCarries(t *testing.T) {
	const carries = 512 // what QUIC lets a relay have open
	runHostile(t, func(ctx context.Context, n *testnet.Net, at relay.Config) {
		h := hello()
		h.Streams = 65535
		s, welcome, err := tunnel.Dial(ctx, tunnel.Config{Key: newKey(t), Network: "test"}, nil, at.Tunnel, at.Key.ID(), h)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(wire.OK, "")
		if welcome.Streams > carries {
			t.Errorf("the relay would open %d streams, want at most %d", welcome.Streams, carries)
		}
	})
}
