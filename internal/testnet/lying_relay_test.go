package testnet_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/internal/identity"
	"sward/internal/sandbox"
	"sward/internal/testnet"
	"sward/internal/tunnel"
	"sward/internal/wire"
)

// liar is a relay that the hub has admitted and that an honest edge calls: it has the real tunnel and real grants, and says
// what it likes.
type liar struct {
	t   *testing.T
	n   *testnet.Net
	key identity.Key
	hub *accounting.Client
	at  string

	welcome func(*wire.Welcome)
	channel func(*accounting.Channel)
	first   []wire.Message // before the channel

	sessions chan *liarSession
}

type liarSession struct {
	*tunnel.Session
	offered accounting.SignedChannel
}

// runLiar lets one honest edge of a network call a liar beside the honest relay, calls do, and checks in the end that
// partners of the honest relay are served.
func runLiar(t *testing.T, change func(*liar), do func(ctx context.Context, l *liar, e *edge.Edge)) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	l := &liar{t: t, key: newKey(t), at: pc.LocalAddr().String(), sessions: make(chan *liarSession, 4)}
	if change != nil {
		change(l)
	}
	cfg := testnet.Config{Site: blobSite}
	cfg.Edge = func(_ int, c *edge.Config) {
		hub := c.Hub.(*accounting.Client)
		l.hub = &accounting.Client{Addr: hub.Addr, Network: hub.Network, Hub: hub.Hub, Key: l.key}
	}
	var running sync.WaitGroup
	defer running.Wait()
	testnet.Run(t, cfg, func(ctx context.Context, n *testnet.Net) {
		l.n = n
		err := n.Hub().Book.AdmitRelay(ctx, accounting.RelayInfo{ID: l.key.ID(), Proxy: "127.0.0.1:1", Tunnel: l.at, Region: "nowhere"})
		if err != nil {
			t.Fatal(err)
		}
		listener, err := tunnel.Listen(tunnel.Config{Key: l.key, Network: "test"}, pc)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		running.Go(func() {
			for {
				s, hello, err := listener.Accept(ctx)
				if err != nil {
					return
				}
				running.Go(func() { l.greet(ctx, s, hello) })
			}
		})
		victim := l.victim(ctx)
		do(ctx, l, victim)
		client := n.Client(t, n.Partners[0])
		if got := download(t, client, n.Info().SiteTLS+"/100000"); got != 100000 {
			t.Errorf("afterwards a partner of the honest relay gets %d bytes, want 100000", got)
		}
		client.CloseIdleConnections()
	})
}

// victim is one more edge of the network, whose relays are the honest one and the liar.
func (l *liar) victim(ctx context.Context) *edge.Edge {
	l.t.Helper()
	key := newKey(l.t)
	settings := edge.DefaultSettings()
	settings.PauseOn = edge.PauseOn{}
	cfg := edge.Config{
		Key: key, Network: "test", Dir: l.t.TempDir(), Settings: settings,
		Hub:     &accounting.Client{Addr: l.hub.Addr, Network: "test", Hub: l.hub.Hub, Key: key},
		Relays:  []edge.Relay{{ID: l.key.ID(), Addr: l.at}},
		Resolve: l.n.World().Resolve, Dial: l.n.World().Dial, Own: func() []netip.Prefix { return nil },
	}
	if err := edge.Agree(cfg.Dir, time.Now()); err != nil {
		l.t.Fatal(err)
	}
	e, err := edge.New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(running) }()
	l.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			l.t.Errorf("the edge ended with: %v", err)
		}
	})
	return e
}

// greet opens a session and its channel, as far as the edge goes along.
func (l *liar) greet(ctx context.Context, s *tunnel.Session, hello wire.Hello) {
	welcome := wire.Welcome{Version: wire.Version, Clock: time.Now().UnixMilli(), Streams: hello.Streams, Region: "nowhere"}
	if l.welcome != nil {
		l.welcome(&welcome)
	}
	for _, m := range append([]wire.Message{welcome}, l.first...) {
		if s.Send(m) != nil {
			return
		}
	}
	session := &liarSession{Session: s}
	for {
		kind, body, err := s.Control(ctx)
		if err != nil {
			return
		}
		switch kind {
		case wire.TypeChannelAsk:
			if session.offered, err = l.offer(s, body); err != nil {
				return
			}
		case wire.TypeChannelAccept:
			l.sessions <- session
		}
		// Counts are left without an offer: a liar signs for nothing.
	}
}

func (l *liar) offer(s *tunnel.Session, body []byte) (signed accounting.SignedChannel, err error) {
	ask, err := wire.ParseChannelAsk(body)
	if err != nil {
		return signed, err
	}
	now := time.Now()
	c := accounting.Channel{
		Issuer: l.hub.Hub, Relay: l.key.ID(), Edge: s.Peer(), RelayKey: newKey(l.t).ID(), EdgeKey: ask.ChannelKey,
		EdgeNonce: ask.Nonce, Policy: ask.Policy, Consent: ask.Consent, Class: ask.Class,
		Step: 64 << 10, Window: 512 << 10, Opened: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli(),
	}
	if c.Exporter, err = s.Exporter(accounting.ExporterLabel, ask.Nonce[:]); err != nil {
		return signed, err
	}
	rand.Read(c.RelayNonce[:])
	if l.channel != nil {
		l.channel(&c)
	}
	signed = accounting.SignedChannel{Channel: c, Body: c.Append(nil), RelaySig: c.Sign("test", l.key)}
	return signed, s.Send(wire.ChannelOffer{Body: signed.Body, Sig: [64]byte(signed.RelaySig)})
}

// next is the next session with an open channel.
func (l *liar) next() *liarSession {
	l.t.Helper()
	select {
	case s := <-l.sessions:
		return s
	case <-time.After(hostileWait):
		l.t.Fatal("the edge has not opened a channel")
		return nil
	}
}

// grant is one of the hub's for this relay.
func (l *liar) grant(ctx context.Context) accounting.SignedGrant {
	l.t.Helper()
	allowance, err := l.hub.Authorise(ctx, l.n.Partners[0].Name, l.n.Partners[0].Key, 64<<20)
	if err != nil {
		l.t.Fatal(err)
	}
	return allowance.SignedGrant
}

func (l *liar) open(ctx context.Context, s *liarSession, grant []byte, host string, port uint16) (*tunnel.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, hostileWait)
	defer cancel()
	st, _, err := s.Open(ctx, wire.Open{Grant: grant, App: wire.AppProxy, Hops: 1, Host: host, Port: port})
	return st, err
}

// A relay that skips its own checks reaches nothing that an edge's own would refuse: home, metadata, mail, and what it told
// the edge to be its own address before the channel was open.
func TestALyingRelayReachesNoForbiddenTarget(t *testing.T) {
	t.Parallel() // it waits more than it works
	home := netip.MustParseAddr("93.184.216.77")
	runLiar(t, func(l *liar) { l.first = []wire.Message{wire.Observed{Address: home.As16()}} }, func(ctx context.Context, l *liar, e *edge.Edge) {
		s := l.next()
		g := l.grant(ctx).Bytes()
		for _, c := range []struct {
			host string
			port uint16
		}{
			{"127.0.0.1", 80}, {"::1", 80}, {"localhost", 80}, {"2130706433", 80}, {"0x7f.1", 80}, {"127.0.0.1.", 80}, {"0.0.0.0", 80},
			{"::ffff:127.0.0.1", 80}, {"::127.0.0.1", 80}, {"64:ff9b::7f00:1", 80}, {"2002:7f00:1::", 80},
			{"192.168.1.1", 80}, {"10.0.0.1", 443}, {"169.254.169.254", 80}, {"100.64.0.1", 80}, {"fe80::1", 80}, {"fe80::1%eth0", 80}, {"fd00::1", 80},
			{"router.local", 80}, {"router", 80}, {"metadata.google.internal", 80}, {sandbox.TrapName, 80}, {home.String(), 443},
			{sandbox.SiteName, 25}, {sandbox.SiteName, 22}, {sandbox.SiteName, 0}, {"www.chase.com", 443}, {"", 80}, {"a@b.example", 80},
		} {
			st, err := l.open(ctx, s, g, c.host, c.port)
			told, ok := errors.AsType[*wire.Error](err)
			if !ok || told.Code.Owner() != wire.OwnerPolicy && told.Code.Owner() != wire.OwnerClient {
				t.Errorf("%s:%d: got %v, want a refusal by a rule", c.host, c.port, err)
			}
			if err == nil {
				st.Reset()
			}
		}
		if _, err := l.open(ctx, s, g, home.String(), 443); wire.CodeOf(err) != wire.DestSelf {
			t.Errorf("the home's own public address: got %v, want %s", err, wire.DestSelf)
		}
		if len(e.Status(ctx).Refusals) == 0 {
			t.Error("the owner is told of no refusal")
		}
		st, err := l.open(ctx, s, g, sandbox.SiteName, 80)
		if err != nil {
			t.Fatalf("the site, after all that: %v", err)
		}
		st.Reset()
	})
}

// A relay that takes bytes and signs for none gets a window of them.
func TestALyingRelayGetsNoMoreThanAWindowUnpaid(t *testing.T) {
	t.Parallel() // it waits more than it works
	const window = 512 << 10
	runLiar(t, nil, func(ctx context.Context, l *liar, e *edge.Edge) {
		s := l.next()
		g := l.grant(ctx).Bytes()
		total := 0
		for range 2 { // more streams are not more window
			st, err := l.open(ctx, s, g, sandbox.SiteName, 80)
			if err != nil {
				t.Logf("after %d bytes: %v", total, err)
				break
			}
			st.Write([]byte("GET /5000000 HTTP/1.1\r\nHost: " + sandbox.SiteName + "\r\n\r\n"))
			st.SetReadDeadline(time.Now().Add(time.Second)) //nolint:errcheck // a stream has deadlines
			buf := make([]byte, 64<<10)
			for {
				n, err := st.Read(buf)
				if total += n; err != nil {
					break
				}
			}
			st.Reset()
		}
		if total == 0 || total > window {
			t.Errorf("%d bytes were delivered without a receipt, want some, and at most %d", total, window)
		}
		if used := e.Status(ctx).Today.Bytes; used > window+64<<10 {
			t.Errorf("%d bytes of the owner's cap went to a relay that pays for none, want at most %d", used, window)
		}
	})
}

func TestALyingRelayIsServedOnNoOtherGrant(t *testing.T) {
	t.Parallel() // it waits more than it works
	runLiar(t, nil, func(ctx context.Context, l *liar, _ *edge.Edge) {
		s := l.next()
		good := l.grant(ctx)
		now := time.Now()
		sign := func(key identity.Key, change func(*accounting.Grant)) []byte {
			g := good.Grant
			rand.Read(g.ID[:])
			change(&g)
			return accounting.SignGrant("test", key, g).Bytes()
		}
		bent := append([]byte(nil), good.Bytes()...)
		bent[len(bent)/2] ^= 1
		for name, grant := range map[string][]byte{
			"its own signature":         sign(l.key, func(*accounting.Grant) {}),
			"its own, as issuer":        sign(l.key, func(g *accounting.Grant) { g.Issuer = l.key.ID() }),
			"for another relay":         sign(l.key, func(g *accounting.Grant) { g.Relay = newKey(t).ID() }),
			"one that has run out":      sign(l.key, func(g *accounting.Grant) { g.NotAfter = now.Add(-time.Hour).UnixMilli() }),
			"a bit turned":              bent,
			"cut short":                 good.Bytes()[:len(good.Bytes())-1],
			"for a network of its name": accounting.SignGrant("other", l.key, good.Grant).Bytes(),
			"none":                      {},
		} {
			if _, err := l.open(ctx, s, grant, sandbox.SiteName, 80); wire.CodeOf(err) != wire.GrantInvalid && wire.CodeOf(err) != wire.ProtocolError {
				t.Errorf("%s: got %v, want %s", name, err, wire.GrantInvalid)
			}
		}
		st, err := l.open(ctx, s, good.Bytes(), sandbox.SiteName, 80)
		if err != nil {
			t.Fatalf("the good one: %v", err)
		}
		st.Reset()
	})
}

// A relay whose clock is three hours off makes channels of another time. The edge opens none, and says so to its owner.
func TestARelayWithAnotherClockGetsNoChannel(t *testing.T) {
	t.Parallel() // it waits more than it works
	const off = -3 * time.Hour
	runLiar(t, func(l *liar) {
		l.welcome = func(w *wire.Welcome) { w.Clock += off.Milliseconds() }
		l.channel = func(c *accounting.Channel) { c.Opened += off.Milliseconds(); c.Expires += off.Milliseconds() }
	}, func(ctx context.Context, l *liar, e *edge.Edge) {
		waitUntil(t, "the owner is told", func() bool {
			relays := e.Status(ctx).Relays
			return len(relays) == 1 && relays[0].Problem == wire.ClockSkew.Meaning()
		})
		select {
		case <-l.sessions:
			t.Errorf("the edge opened a channel of a time that is %s off", off)
		default:
		}
	})
}

// A relay that floods the control stream costs its own session at most: not the edge's memory, and no other relay's streams.
func TestAnEdgeOutlivesARelaysFloods(t *testing.T) {
	const many = 8000     // many times what any queue of a session holds
	const most = 24 << 20 // bytes of heap that a flood may leave behind: what a session's queues and tables hold
	runLiar(t, nil, func(ctx context.Context, l *liar, e *edge.Edge) {
		for name, frame := range map[string]func(n int) wire.Message{
			"addresses": func(n int) wire.Message {
				return wire.Observed{Address: netip.AddrFrom4([4]byte{44, byte(n >> 16), byte(n >> 8), byte(n)}).As16()}
			},
			"words about streams that never were": func(n int) wire.Message { return wire.Done{Stream: uint64(n), Bytes: 1 << 40} },
			"grants that are none":                func(int) wire.Message { return wire.Regrant{Grant: make([]byte, 200)} },
			"frames of an edge":                   func(int) wire.Message { return wire.Status{Room: 1} },
		} {
			s := l.next()
			before := heap()
			sent := 0
			for ; sent < many; sent++ {
				if s.Send(frame(sent)) != nil {
					break
				}
			}
			grown := heap() - before
			t.Logf("%s: %d frames, heap grown by %d KiB, session %v", name, sent, grown>>10, s.Err())
			if grown > most {
				t.Errorf("%s: the heap has grown by %d bytes, want at most %d", name, grown, most)
			}
			s.Close(wire.Draining, "enough") // the edge comes back
		}
		// Streams that say nothing are bounded by the owner's number and by time, not by the relay's patience.
		s := l.next()
		silent := 0
		for ; silent < 2000; silent++ {
			opening, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			_, _, err := s.Open(opening, wire.Open{App: wire.AppProxy, Hops: 255, Host: "silent.example", Port: 80})
			cancel()
			if s.Err() != nil {
				break
			}
			_ = err // each is refused, or not answered in time
		}
		if n := e.Status(ctx).Streams; n > 64 {
			t.Errorf("%d streams run at the edge, whose owner allows 64", n)
		}
	})
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
