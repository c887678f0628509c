package tunnel

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apernet/quic-go/testutils/simnet"

	"sward/internal/wire"
)

// badLine joins two sockets by a home's line, in fake time: each direction loses packets at random, has one tail-drop
// queue at a rate, and a delay.
type badLine struct {
	rate   float64 // bytes a second
	delay  time.Duration
	buffer time.Duration
	loss   float64

	mu     sync.Mutex
	random *rand.Rand
	nodes  map[string]simnet.PacketReceiver
	free   map[string]time.Time // when the queue to there is empty
	alias  map[string]net.Addr  // what the home's router makes of an address
}

func newBadLine(mbit float64, rtt time.Duration, loss float64) *badLine {
	return &badLine{
		rate: mbit * 1e6 / 8, delay: rtt / 2, buffer: 100 * time.Millisecond, loss: loss,
		random: rand.New(rand.NewPCG(1, 2)), nodes: map[string]simnet.PacketReceiver{}, free: map[string]time.Time{},
	}
}

func (l *badLine) AddNode(addr net.Addr, r simnet.PacketReceiver) { l.nodes[addr.String()] = r }

func (l *badLine) SendPacket(p simnet.Packet) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if alias := l.alias[p.From.String()]; alias != nil {
		p.From = alias
	}
	now, to := time.Now(), p.To.String()
	node := l.nodes[to]
	if node == nil {
		return errors.New("no such address")
	}
	free := l.free[to]
	if free.Before(now) {
		free = now
	}
	if l.random.Float64() < l.loss || free.Sub(now) > l.buffer {
		return nil
	}
	l.free[to] = free.Add(time.Duration(float64(len(p.Data)) / l.rate * 1e9))
	time.AfterFunc(l.free[to].Sub(now)+l.delay, func() { node.RecvPacket(p) })
	return nil
}

// across is a session over the line, from both of its ends. The sessions end with the test.
func (l *badLine) across(t *testing.T) (edge, relay *Session) {
	t.Helper()
	at := func(ip string) *simnet.SimConn {
		return simnet.NewBlockingSimConn(&net.UDPAddr{IP: net.ParseIP(ip), Port: 7400}, l)
	}
	ours, theirs := at("192.0.2.1"), at("192.0.2.2")
	listener, err := Listen(relayConfig(t), theirs)
	if err != nil {
		t.Fatal(err)
	}
	cfg := edgeConfig(t)
	cfg.Carrier = QUIC
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if relay, _, err = listener.Accept(t.Context()); err != nil {
			t.Error(err)
			return
		}
		if err := relay.Send(wire.Welcome{Version: wire.Version, Region: "here"}); err != nil {
			t.Error(err)
		}
	})
	edge, _, err = Dial(t.Context(), cfg, ours, "192.0.2.2:7400", testKey(t, 'r').ID(), hello())
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	t.Cleanup(func() {
		edge.Close(wire.OK, "")
		listener.Close()
		ours.Close()
		theirs.Close()
	})
	return edge, relay
}

// download is what far sends and near reads, in Mbit/s, once it has begun.
func download(t *testing.T, near, far *Stream) float64 {
	t.Helper()
	go func() {
		block := make([]byte, 32<<10)
		for {
			if _, err := far.Write(block); err != nil {
				return
			}
		}
	}()
	const warm, run = 2 * time.Second, 5 * time.Second
	buf := make([]byte, 32<<10)
	n := 0
	for begin := time.Now(); time.Since(begin) < warm+run; {
		m, err := near.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) > warm {
			n += m
		}
	}
	return float64(n) * 8 / 1e6 / run.Seconds()
}

// The goal: a session fills a line that loses one packet in a hundred, in both directions. What quic-go has by itself
// carries 3 Mbit/s there.
func TestSessionFillsALineThatLosesPackets(t *testing.T) {
	for _, up := range []bool{true, false} {
		name := map[bool]string{true: "from the edge", false: "to the edge"}[up]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const mbit = 100
				edge, relay := newBadLine(mbit, 50*time.Millisecond, 0.01).across(t)
				from, to := edge, relay
				if !up {
					from, to = relay, edge
				}
				near, far := stream(t, to, from)
				got := download(t, near, far)
				if from.InFlight() == 0 {
					t.Error("nothing in flight in the midst of a download")
				}
				near.Cut(wire.OK)
				far.Cut(wire.OK)
				t.Logf("%.1f of %d Mbit/s", got, mbit)
				if got < 0.85*mbit {
					t.Errorf("%.1f Mbit/s, want at least %.1f", got, 0.85*mbit)
				}
			})
		})
	}
}

// The home's router forgets the edge's port and gives it another. quic-go starts over at the relay's end, with Reno; the
// next control frame puts the session back under ours.
func TestSessionStaysFastOnANewPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mbit = 20
		line := newBadLine(mbit, 50*time.Millisecond, 0.01)
		edge, relay := line.across(t)
		before := relay.pace.control
		line.mu.Lock()
		moved := &net.UDPAddr{IP: net.ParseIP("192.0.2.1"), Port: 9999}
		line.alias = map[string]net.Addr{"192.0.2.1:7400": moved}
		line.nodes[moved.String()] = line.nodes["192.0.2.1:7400"]
		line.mu.Unlock()
		for range 5 { // as an edge does, every few seconds
			if err := edge.Send(wire.Status{}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := relay.Control(soon(t)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if got := relay.RemoteAddr().String(); got != moved.String() {
			t.Fatalf("the relay sends to %s, want %s", got, moved)
		}
		if relay.pace.control == before {
			t.Fatal("the new path has the old one's controller, or none")
		}
		near, far := stream(t, edge, relay)
		got := download(t, near, far)
		near.Cut(wire.OK)
		far.Cut(wire.OK)
		if got < 0.85*mbit {
			t.Errorf("%.1f Mbit/s to the edge on its new path, want at least %.1f", got, 0.85*mbit)
		}
	})
}
