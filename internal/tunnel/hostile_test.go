package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apernet/quic-go"
	"github.com/apernet/quic-go/testutils/simnet"

	"sward/internal/identity"
	"sward/internal/wire"
)

// mostGrown is what any one peer may make the heap grow by, in bytes.
const mostGrown = 64 << 20

// rawEdge is a peer below the frames: it has said Hello, and may do next what it likes.
func rawEdge(t *testing.T, l *Listener) (*quic.Conn, *Session) {
	t.Helper()
	config := testKey(t, 'x').TLSConfig(identity.Only(testKey(t, 'r').ID()))
	config.NextProtos = []string{wire.ALPN}
	conn, err := quic.DialAddr(soon(t), l.Addr().String(), config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseWithError(0, "") })
	control, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	h := hello()
	h.Version, h.Network, h.Clock = wire.Version, "test", time.Now().UnixMilli()
	if err := wire.Write(control, h); err != nil {
		t.Fatal(err)
	}
	s, _, err := l.Accept(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return conn, s
}

// E01: ten thousand streams at once are cut off at the limit, and cost no more than those.
func TestPeerCannotOpenWithoutEnd(t *testing.T) {
	l := listen(t, relayConfig(t))
	conn, s := rawEdge(t, l)
	before, opened := heapInUse(), 0
	for range 10_000 {
		st, err := conn.OpenStream()
		if err != nil {
			if _, full := errors.AsType[*quic.StreamLimitReachedError](err); !full {
				t.Fatal(err)
			}
			continue
		}
		opened++
		st.Write(make([]byte, 1000))
	}
	if opened >= maxStreams { // the control stream is one
		t.Errorf("a peer opened %d streams, want fewer than %d", opened, maxStreams)
	}
	if grown := heapInUse() - before; grown > mostGrown {
		t.Errorf("the heap has grown by %d bytes, want at most %d", grown, mostGrown)
	}
	if s.Err() != nil {
		t.Errorf("the session ended: %v", s.Err())
	}
}

// E05 as far as an honest QUIC can be driven to it: a peer that fills every stream finds the end of the session's
// window, and of what it costs. (What is sent past the window ends the connection in quic-go, whose own tests forge it;
// over TCP it is forged here too.)
func TestPeerCannotFillMoreThanTheWindow(t *testing.T) {
	l := listen(t, relayConfig(t))
	conn, _ := rawEdge(t, l)
	before := heapInUse()
	var (
		wrote atomic.Int64
		wg    sync.WaitGroup
	)
	for range 64 {
		st, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for block := make([]byte, 64<<10); ; {
				n, err := st.Write(block)
				if wrote.Add(int64(n)); err != nil {
					return
				}
			}
		})
	}
	for last := int64(-1); last != wrote.Load(); time.Sleep(200 * time.Millisecond) { // until nothing moves
		last = wrote.Load()
	}
	// What stands in the sender's own buffers has not left it.
	if most := int64(16*firstWindow + 64*64<<10); wrote.Load() > most {
		t.Errorf("a peer wrote %d bytes that nobody reads, want at most %d", wrote.Load(), most)
	}
	if grown := heapInUse() - before; grown > mostGrown {
		t.Errorf("the heap has grown by %d bytes, want at most %d", grown, mostGrown)
	}
	conn.CloseWithError(0, "")
	wg.Wait()
}

// E08 as far as quic-go can be driven to it: a peer that probes from one address after the other, with a path challenge
// and new connection ids for each, costs little, and other peers nothing.
func TestPathProbesAreBounded(t *testing.T) {
	l := listen(t, relayConfig(t))
	conn, s := rawEdge(t, l)
	before := heapInUse()
	var wg sync.WaitGroup
	for range 200 {
		tr := &quic.Transport{Conn: socket(t)}
		defer tr.Close()
		path, err := conn.AddPath(tr)
		if err != nil {
			break // out of connection ids, or the relay has had enough
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			path.Probe(ctx) // which the relay may leave unanswered
		})
	}
	wg.Wait()
	if grown := heapInUse() - before; grown > mostGrown {
		t.Errorf("the heap has grown by %d bytes, want at most %d", grown, mostGrown)
	}
	conn.CloseWithError(0, "")
	<-s.Done()
	honest := make(chan error, 1)
	go func() {
		other, _, err := Dial(soon(t), edgeConfigOver(t, QUIC), nil, l.Addr().String(), testKey(t, 'r').ID(), hello())
		if err == nil {
			other.Close(wire.OK, "")
		}
		honest <- err
	}()
	answered, _, err := l.Accept(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	answered.Send(wire.Welcome{Version: wire.Version})
	if err := <-honest; err != nil {
		t.Errorf("an honest peer after the flood: %v", err)
	}
}

// The session's own frames, and streams that move, get past streams that nobody reads.
func TestStuckStreamsHoldUpNobody(t *testing.T) {
	edge, relay := pair(t, QUIC)
	var stuck []*Stream
	for range 8 {
		near, far := stream(t, edge, relay)
		stuck = append(stuck, near, far)
		go near.Write(make([]byte, 2*firstWindow)) // more than its window takes
	}
	near, far := stream(t, edge, relay)
	go func() {
		near.Write(make([]byte, 1<<20))
		near.CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, far); n != 1<<20 || err != nil {
		t.Errorf("got %d bytes and %v, want all", n, err)
	}
	if err := edge.Send(wire.Status{}); err != nil {
		t.Error(err)
	}
	if kind, _, err := relay.Control(soon(t)); kind != wire.TypeStatus || err != nil {
		t.Errorf("got %v and %v, want the status", kind, err)
	}
	for _, st := range stuck {
		st.Reset()
	}
}

// badRoad is a network that loses, doubles and delays datagrams, or swallows all.
type badRoad struct {
	simnet.PerfectRouter
	black atomic.Bool
	rate  int // bytes a second in each direction; 0 is as fast as they come

	mu                      sync.Mutex
	rnd                     *rand.Rand
	lose, double, late      float64 // shares of the datagrams
	lost, doubled, overtook int
	free                    map[string]time.Time // when the last datagram to an address has left
}

// mostQueued is how long a datagram may wait for those before it; one that would wait longer is lost.
const mostQueued = 200 * time.Millisecond

// queueLocked is how long a datagram takes to leave, on a line with a rate.
func (r *badRoad) queueLocked(p simnet.Packet) (wait time.Duration, room bool) {
	if r.rate == 0 {
		return 0, true
	}
	if r.free == nil {
		r.free = map[string]time.Time{}
	}
	now, to := time.Now(), p.To.String()
	start := r.free[to]
	if start.Before(now) {
		start = now
	}
	if start.Sub(now) > mostQueued {
		return 0, false
	}
	r.free[to] = start.Add(time.Duration(len(p.Data)) * time.Second / time.Duration(r.rate))
	return r.free[to].Sub(now), true
}

func (r *badRoad) SendPacket(p simnet.Packet) error {
	if r.black.Load() {
		return nil
	}
	r.mu.Lock()
	lose, double, late := r.rnd.Float64() < r.lose, r.rnd.Float64() < r.double, r.rnd.Float64() < r.late
	wait, room := r.queueLocked(p)
	switch {
	case lose || !room:
		r.lost++
	case double:
		r.doubled++
	case late:
		r.overtook++
	}
	r.mu.Unlock()
	switch {
	case lose || !room:
		return nil
	case wait > 0:
		p.Data = bytes.Clone(p.Data)
		time.AfterFunc(wait, func() { r.PerfectRouter.SendPacket(p) }) //nolint:errcheck // whoever it is for has gone
		return nil
	case double:
		again := p
		again.Data = bytes.Clone(p.Data)
		r.PerfectRouter.SendPacket(again) //nolint:errcheck // whoever it is for has gone
	case late:
		p.Data = bytes.Clone(p.Data)
		time.AfterFunc(15*time.Millisecond, func() { r.PerfectRouter.SendPacket(p) }) //nolint:errcheck // likewise
		return nil
	}
	return r.PerfectRouter.SendPacket(p)
}

// onBadRoad runs a test in fake time between two ends that are half of rtt apart.
func onBadRoad(t *testing.T, road *badRoad, rtt time.Duration, f func(t *testing.T, w world)) {
	synctest.Test(t, func(t *testing.T) {
		road.rnd = rand.New(rand.NewPCG(1, 2))
		n := &simnet.Simnet{Router: road}
		link := simnet.NodeBiDiLinkSettings{Latency: rtt / 2}
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

// connected is a session in a world, from both ends.
func (w world) connected(t *testing.T) (edge, relay *Session, end func()) {
	l, err := Listen(relayConfig(t), w.relay)
	if err != nil {
		t.Fatal(err)
	}
	accepted := welcome(l)
	edge, _, err = w.dial(t)(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return edge, <-accepted, func() {
		edge.Close(wire.OK, "")
		l.Close()
	}
}

// transfer sends size bytes over a new stream from edge to relay and returns how long it took until the last was read, and
// what was read.
func transfer(t *testing.T, edge, relay *Session, size int) (took time.Duration, got int64, err error) {
	began := time.Now()
	opened := make(chan *Stream, 1)
	go func() {
		st, err := edge.Accept(context.Background())
		if err != nil {
			opened <- nil
			return
		}
		wire.ReadFrame(st, nil)
		wire.Write(st, wire.Opened{})
		opened <- st
	}()
	near, _, err := relay.Open(context.Background(), target())
	far := <-opened
	if err != nil || far == nil {
		return 0, 0, errors.Join(err, edge.Err())
	}
	defer near.Close()
	go func() {
		defer far.Close()
		for sent, block := 0, make([]byte, 32<<10); sent < size; {
			n, err := far.Write(block[:min(len(block), size-sent)])
			if sent += n; err != nil {
				return
			}
		}
	}()
	got, err = io.Copy(io.Discard, near)
	return time.Since(began), got, err
}

// E11: a line that swallows everything for half a minute costs half a minute. One that does so for five ends the
// session, at both ends and in time, and every reader hears of it.
func TestBlackHole(t *testing.T) {
	const downloads, size = 20, 1 << 20
	for _, c := range []struct {
		hole  time.Duration
		whole bool
	}{{30 * time.Second, true}, {5 * time.Minute, false}} {
		t.Run(c.hole.String(), func(t *testing.T) {
			road := &badRoad{}
			onBadRoad(t, road, 40*time.Millisecond, func(t *testing.T, w world) {
				edge, relay, end := w.connected(t)
				defer end()
				var (
					wg    sync.WaitGroup
					began = time.Now()
				)
				for range downloads {
					wg.Go(func() {
						took, got, err := transfer(t, edge, relay, size)
						switch {
						case c.whole && (err != nil || got != size):
							t.Errorf("got %d bytes and %v, want %d", got, err, size)
						case !c.whole && (err == nil || got == size):
							t.Error("a download outlived five minutes of nothing")
						case !c.whole && took > idleTimeout+keepAlive:
							t.Errorf("the reader heard after %v, want within %v", took, idleTimeout+keepAlive)
						}
					})
				}
				time.Sleep(100 * time.Millisecond) // under way
				road.black.Store(true)
				time.Sleep(c.hole)
				road.black.Store(false)
				wg.Wait()
				t.Logf("%d downloads ended %v after they began", downloads, time.Since(began))
				if !c.whole && (wire.CodeOf(relay.Err()) != wire.EdgeGone || edge.Err() == nil) {
					t.Errorf("relay says %v and edge %v, want edge_gone and a reason", relay.Err(), edge.Err())
				}
			})
		})
	}
}

// E12: a relay that is killed in the middle of transfers and started again has its edges back within half a minute, not
// all at one moment; the streams end with an error.
func TestRelayKilledInTheMiddle(t *testing.T) {
	road := &badRoad{}
	onBadRoad(t, road, 40*time.Millisecond, func(t *testing.T, w world) {
		l, err := Listen(relayConfig(t), w.relay)
		if err != nil {
			t.Fatal(err)
		}
		accepted := welcome(l)
		client, stop := runClient(t, ClientConfig{
			Dial: w.dial(t),
			Serve: func(ctx context.Context, s *Session, _ wire.Welcome) error {
				go func() { // uploads for as long as it can
					st, err := s.Accept(ctx)
					if err != nil {
						return
					}
					wire.ReadFrame(st, nil)
					wire.Write(st, wire.Opened{})
					for err == nil {
						_, err = st.Write(make([]byte, 32<<10))
					}
					st.Close()
				}()
				for {
					if _, _, err := s.Control(ctx); err != nil {
						return err
					}
				}
			},
		})
		first := <-accepted
		st, _, err := first.Open(context.Background(), target())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, st, 1<<20); err != nil {
			t.Fatal(err)
		}
		l.transport.Close() // every session is forgotten, without a packet
		l.Close()
		if _, err := io.Copy(io.Discard, st); err == nil {
			t.Error("a stream of the killed relay ended as if it were whole")
		}
		time.Sleep(3 * time.Second)
		if l, err = Listen(relayConfig(t), w.relay); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		second := <-welcome(l)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("the edge was back after %v, want within 30 s", took)
		}
		time.Sleep(time.Second) // the Welcome is on its way
		if second.Peer() != first.Peer() || client.Session() == nil {
			t.Errorf("%s came and the client's session is %v, want %s and one", second.Peer(), client.Session(), first.Peer())
		}
		stop()
		l.Close()
	})
}

// N11: datagrams that come twice or late are neither read twice nor out of order.
func TestDoubledAndLateDatagrams(t *testing.T) {
	road := &badRoad{double: 0.1, late: 0.1}
	onBadRoad(t, road, 40*time.Millisecond, func(t *testing.T, w world) {
		edge, relay, end := w.connected(t)
		defer end()
		go echo(context.Background(), edge)
		st, _, err := relay.Open(context.Background(), target())
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, 4<<20)
		rand.NewChaCha8([32]byte{}).Read(data)
		go func() {
			st.Write(data)
			st.CloseWrite()
		}()
		if got, err := io.ReadAll(st); err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %d bytes, %v: not the %d that were sent", len(got), err, len(data))
		}
		st.Close()
	})
	if road.doubled < 100 || road.overtook < 100 {
		t.Errorf("%d datagrams came twice and %d late: too few to mean anything", road.doubled, road.overtook)
	}
}
