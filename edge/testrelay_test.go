package edge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/policy"
)

const testNetwork = "test"

// testHub is a hub small enough to hold in a hand: it keeps what it is told and answers what it is set to.
type testHub struct {
	key identity.Key

	mu       sync.Mutex
	receipts map[accounting.ChannelID]accounting.SignedReceipt
	channels map[accounting.ChannelID]accounting.SignedChannel
	codes    map[string]bool
	away     bool
	list     []byte                                     // that the hub adds; nil: none
	home     func() (accounting.HouseholdAnswer, error) // nil: the hub knows of none
}

var _ HubClient = (*testHub)(nil)

func (h *testHub) Directory(context.Context) (accounting.SignedDirectory, error) {
	return accounting.SignedDirectory{}, wire.Errorf(wire.HubAway, "no directory in this test")
}

func (h *testHub) List(context.Context, string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.list == nil {
		return nil, wire.Errorf(wire.BadRequest, "the hub adds no lists")
	}
	return h.list, nil
}

func (h *testHub) Settle(_ context.Context, channels []accounting.SignedChannel, receipts []accounting.SignedReceipt) ([]accounting.Settled, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return nil, wire.Errorf(wire.HubAway, "the hub is away")
	}
	for _, c := range channels {
		if err := c.Verify(testNetwork); err != nil {
			return nil, err
		}
		h.channels[c.ID(testNetwork)] = c
	}
	var settled []accounting.Settled
	for _, r := range receipts {
		if err := r.Verify(testNetwork, h.channels[r.Channel].Channel); err != nil {
			return nil, err
		}
		if r.Serial > h.receipts[r.Channel].Serial {
			h.receipts[r.Channel] = r
		}
		settled = append(settled, accounting.Settled{Channel: r.Channel, Serial: h.receipts[r.Channel].Serial})
	}
	return settled, nil
}

func (h *testHub) Consent(_ context.Context, code string, terms [32]byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.codes[code] || terms != ConsentHash() {
		return wire.Errorf(wire.NoConsent, "the code is unknown, used or too old")
	}
	delete(h.codes, code)
	return nil
}

func (h *testHub) Household(context.Context, accounting.HouseholdCall) (accounting.HouseholdAnswer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.home == nil {
		return accounting.HouseholdAnswer{}, wire.Errorf(wire.HubAway, "the hub is away")
	}
	return h.home()
}

func (h *testHub) Account(context.Context) (accounting.EdgeAccount, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return accounting.EdgeAccount{}, wire.Errorf(wire.HubAway, "the hub is away")
	}
	return accounting.EdgeAccount{Points: 2_500_000, Registered: true}, nil
}

func (h *testHub) setAway(away bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = away
}

// testPrice is a point per GiB.
var testPrice = accounting.Price{ID: 1, GiB: 1_000_000, Edge: 700_000, Relay: 100_000}

// Statement is a line for each channel, all of today.
func (h *testHub) Statement(context.Context, accounting.StatementQuery) (accounting.Statement, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return accounting.Statement{}, wire.Errorf(wire.HubAway, "the hub is away")
	}
	now := time.Now().UTC()
	s := accounting.Statement{At: now, HoldDays: accounting.HoldDays, Price: 1, Prices: []accounting.Price{testPrice}}
	day := accounting.StatementDay{UsageDay: accounting.UsageDay{Day: now.Format(time.DateOnly)}, Held: true}
	for id, r := range h.receipts {
		earned := s.Earns(r.Up + r.Down)
		day.Lines = append(day.Lines, accounting.StatementLine{
			Channel: id, Serial: r.Serial, Relay: h.channels[id].Relay, At: now, Price: 1, Up: r.Up, Down: r.Down, Micro: earned,
		})
		day.Up, day.Down, day.Micro, s.Points = day.Up+r.Up, day.Down+r.Down, day.Micro+earned, s.Points+earned
	}
	if len(day.Lines) > 0 {
		s.Days = []accounting.StatementDay{day}
	}
	return s, nil
}

// credited is what the hub would pay for: the totals of the best receipt of each channel.
func (h *testHub) credited() (up, down uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.receipts {
		up, down = up+r.Up, down+r.Down
	}
	return up, down
}

// testRelay is the relay's side of the tunnel, with the real tunnel and the real meter, for one edge.
type testRelay struct {
	t    *testing.T
	key  identity.Key
	hub  *testHub
	addr string

	sessions chan *testSession
}

// testSession is one session of an edge with its open channel.
type testSession struct {
	*tunnel.Session
	relay *testRelay
	hello wire.Hello
	meter *accounting.Meter

	mu       sync.Mutex
	status   wire.Status
	statuses chan wire.Status
}

func newTestRelay(t *testing.T) *testRelay {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hub := &testHub{
		key: mustKey(t), receipts: map[accounting.ChannelID]accounting.SignedReceipt{},
		channels: map[accounting.ChannelID]accounting.SignedChannel{}, codes: map[string]bool{"CODE": true},
	}
	r := &testRelay{t: t, key: mustKey(t), hub: hub, addr: pc.LocalAddr().String(), sessions: make(chan *testSession, 8)}
	l, err := tunnel.Listen(tunnel.Config{Key: r.key, Network: testNetwork}, pc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			s, hello, err := l.Accept(ctx)
			if err != nil {
				return
			}
			running.Go(func() { r.serve(ctx, s, hello) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		running.Wait()
		pc.Close()
	})
	return r
}

// serve plays a relay's control loop until the session ends.
func (r *testRelay) serve(ctx context.Context, t *tunnel.Session, hello wire.Hello) {
	s := &testSession{Session: t, relay: r, hello: hello, statuses: make(chan wire.Status, 64)}
	err := t.Send(wire.Welcome{Version: wire.Version, Clock: time.Now().UnixMilli(), Streams: hello.Streams, Region: "eu"})
	var (
		offered accounting.SignedChannel
		key     identity.Key
	)
	for err == nil {
		var (
			kind wire.Type
			body []byte
		)
		if kind, body, err = t.Control(ctx); err != nil {
			return
		}
		switch kind {
		case wire.TypeStatus:
			var m wire.Status
			if m, err = wire.ParseStatus(body); err == nil {
				s.mu.Lock()
				s.status = m
				s.mu.Unlock()
				s.statuses <- m
			}
		case wire.TypeChannelAsk:
			offered, key, err = s.offer(body)
		case wire.TypeChannelAccept:
			var m wire.ChannelAccept
			if m, err = wire.ParseChannelAccept(body); err == nil {
				offered.EdgeSig = m.Sig[:]
				err = offered.Verify(testNetwork)
				s.meter = accounting.NewMeter(accounting.MeterConfig{
					Side: accounting.RelaySide, Network: testNetwork, Channel: offered.Channel, Key: key,
				})
				r.sessions <- s
			}
		case wire.TypeCount:
			var m wire.Count
			var o wire.ReceiptOffer
			if m, err = wire.ParseCount(body); err == nil {
				if o, err = s.meter.Offer(m); err == nil {
					err = t.Send(o)
				}
			}
		case wire.TypeReceiptSign:
			var m wire.ReceiptSign
			if m, err = wire.ParseReceiptSign(body); err == nil {
				_, err = s.meter.Complete(m)
			}
		case wire.TypeDone:
			var m wire.Done
			if m, err = wire.ParseDone(body); err == nil {
				err = s.meter.PeerDone(m)
			}
		}
	}
	if ctx.Err() == nil {
		r.t.Errorf("the relay's session ended with: %v", err)
	}
	t.Close(wire.ProtocolError, "")
}

func (s *testSession) offer(body []byte) (accounting.SignedChannel, identity.Key, error) {
	ask, err := wire.ParseChannelAsk(body)
	if err != nil {
		return accounting.SignedChannel{}, identity.Key{}, err
	}
	key := mustKey(s.relay.t)
	now := time.Now()
	c := accounting.Channel{
		Issuer: s.relay.hub.key.ID(), Relay: s.relay.key.ID(), Edge: s.Peer(), RelayKey: key.ID(), EdgeKey: ask.ChannelKey,
		EdgeNonce: ask.Nonce, Policy: ask.Policy, Consent: ask.Consent, Class: ask.Class,
		Step: 64 << 10, Window: 512 << 10, Opened: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli(),
	}
	if c.Exporter, err = s.Exporter(accounting.ExporterLabel, ask.Nonce[:]); err != nil {
		return accounting.SignedChannel{}, identity.Key{}, err
	}
	rand.Read(c.RelayNonce[:])
	signed := accounting.SignedChannel{Channel: c, Body: c.Append(nil), RelaySig: c.Sign(testNetwork, s.relay.key)}
	return signed, key, s.Send(wire.ChannelOffer{Body: signed.Body, Sig: [64]byte(signed.RelaySig)})
}

// grant is a grant of the hub for this relay.
func (r *testRelay) grant(change ...func(*accounting.Grant)) accounting.SignedGrant {
	now := time.Now()
	g := accounting.Grant{
		Issuer: r.hub.key.ID(), Relay: r.key.ID(), Purpose: policy.Purpose("search-index").Code(), Limit: 1 << 30,
		Issued: now.UnixMilli(), NotAfter: now.Add(time.Hour).UnixMilli(), MaxChannels: 8,
	}
	rand.Read(g.ID[:])
	for _, c := range change {
		c(&g)
	}
	return accounting.SignGrant(testNetwork, r.hub.key, g)
}

// testStream is a metered stream through the edge.
type testStream struct {
	*tunnel.Stream
	flow *accounting.Flow
	s    *testSession
}

// open asks the edge for a stream to host:port.
func (s *testSession) open(ctx context.Context, g accounting.SignedGrant, host string, port uint16) (*testStream, error) {
	st, _, err := s.Open(ctx, wire.Open{Grant: g.Bytes(), App: wire.AppProxy, Hops: 1, Host: host, Port: port})
	if err != nil {
		return nil, err
	}
	flow, err := s.meter.Flow(st.ID(), g.ID)
	if err != nil {
		st.Reset()
		return nil, err
	}
	return &testStream{st, flow, s}, nil
}

// exchange sends n bytes, reads them back from an echo and counts both.
func (st *testStream) exchange(ctx context.Context, n int) (int, error) {
	var writing sync.WaitGroup
	var writeErr error
	writing.Go(func() {
		writeErr = st.send(ctx, n)
	})
	got, err := st.drain()
	writing.Wait()
	return got, errors.Join(writeErr, err)
}

func (st *testStream) send(ctx context.Context, n int) error {
	buf := make([]byte, 32<<10)
	for n > 0 {
		allowed, err := st.flow.Allow(ctx, min(n, len(buf)))
		if err != nil {
			return fmt.Errorf("window: %w", err)
		}
		st.flow.Up(allowed) // before the edge can count them
		wrote, err := st.Write(buf[:allowed])
		if n -= wrote; err != nil {
			return err
		}
	}
	return st.CloseWrite()
}

// drain reads to the end.
func (st *testStream) drain() (total int, err error) {
	buf := make([]byte, 32<<10)
	for {
		n, err := st.Read(buf)
		st.flow.Down(n)
		total += n
		if err != nil {
			if err.Error() == "EOF" {
				err = nil
			}
			return total, err
		}
	}
}

// end closes the stream as a relay does.
func (st *testStream) end() {
	st.Close()
	st.s.Send(st.flow.Close())
}

// next is the next session of the edge.
func (r *testRelay) next() *testSession {
	r.t.Helper()
	select {
	case s := <-r.sessions:
		return s
	case <-time.After(20 * time.Second):
		r.t.Fatal("the edge opened no channel")
		return nil
	}
}

func mustKey(t *testing.T) identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// echo is a site in the test's world: it sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				buf := make([]byte, 32<<10)
				for {
					n, err := c.Read(buf)
					if n > 0 {
						if _, err := c.Write(buf[:n]); err != nil {
							return
						}
					}
					if err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// testEdge starts an edge whose world is one public-looking site, behind which is the listener at site.
func testEdge(t *testing.T, r *testRelay, site string, change ...func(*Config)) (e *Edge, stop func() error) {
	t.Helper()
	cfg := Config{
		Key: mustKey(t), Network: testNetwork, Hub: r.hub, HubID: r.hub.key.ID(), Relays: []Relay{{ID: r.key.ID(), Addr: r.addr}},
		Settings: testSettings(), Dir: t.TempDir(),
		Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
			switch name {
			case "site.example", "other.example":
				return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
			case "private.example":
				return []netip.Addr{netip.MustParseAddr("192.168.1.1")}, nil
			}
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		},
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			if to.Addr() != netip.MustParseAddr("93.184.216.34") {
				t.Errorf("the edge dialled %s", to)
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", site)
		},
		Own: func() []netip.Prefix { return nil },
	}
	for _, c := range change {
		c(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := Agree(cfg.Dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	var once sync.Once
	var runErr error
	stop = func() error {
		once.Do(func() {
			cancel()
			runErr = <-ended
		})
		return runErr
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("the edge ended with: %v", err)
		}
	})
	return e, stop
}

// testSettings are the defaults without what would make a test depend on the machine or end early.
func testSettings() Settings {
	s := DefaultSettings()
	s.Caps, s.PauseOn = Caps{}, PauseOn{}
	return s
}
