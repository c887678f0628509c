package tunnel

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sward/internal/wire"
)

// nat is a home router: it passes an edge's datagrams on from a port of its own,
// which it may forget for another.
type nat struct {
	inside net.PacketConn
	relay  net.Addr
	edge   atomic.Pointer[net.UDPAddr]

	mu      sync.Mutex
	outside net.PacketConn
	wg      sync.WaitGroup
}

func newNAT(t *testing.T, relay net.Addr) *nat {
	n := &nat{inside: socket(t), relay: relay}
	n.rebind(t)
	n.wg.Go(func() {
		b := make([]byte, 64<<10)
		for {
			size, from, err := n.inside.ReadFrom(b)
			if err != nil {
				return
			}
			n.edge.Store(from.(*net.UDPAddr))
			n.mu.Lock()
			n.outside.WriteTo(b[:size], n.relay)
			n.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		n.inside.Close()
		n.mu.Lock()
		n.outside.Close()
		n.mu.Unlock()
		n.wg.Wait()
	})
	return n
}

// rebind takes another port outside. What was sent to the old one is lost.
func (n *nat) rebind(t *testing.T) {
	outside := socket(t)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outside != nil {
		n.outside.Close()
	}
	n.outside = outside
	n.wg.Go(func() {
		b := make([]byte, 64<<10)
		for {
			size, _, err := outside.ReadFrom(b)
			if err != nil {
				return
			}
			n.inside.WriteTo(b[:size], n.edge.Load())
		}
	})
}

// E13: the router gives the edge another port in the middle of a stream, which goes
// on, in both directions. It does so twice in a session: for a third path quic-go has
// no connection ID left, and the edge is back with a new session when it has heard
// nothing for idleTimeout.
func TestStreamSurvivesAnotherPort(t *testing.T) {
	l := listen(t, relayConfig(t))
	sessions := welcome(l)
	n := newNAT(t, l.Addr())
	edge, _, err := Dial(soon(t), edgeConfigOver(t, QUIC), nil, n.inside.LocalAddr().String(), testKey(t, 'r').ID(), hello())
	if err != nil {
		t.Fatal(err)
	}
	defer edge.end(wire.OK, "")
	relay := <-sessions
	near, far := stream(t, relay, edge)
	go io.Copy(far, far) //nolint:errcheck // an edge that sends back what it hears, until the end
	before, heard := relay.RemoteAddr().String(), relay.Received()
	piece := make([]byte, 100_000)
	for i := range 12 {
		if i == 3 || i == 7 {
			n.rebind(t)
			edge.Send(wire.Status{}) // the edge speaks first after a change, as it does every 30 s
		}
		go near.Write(piece)
		near.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(near, piece); err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
		if now := relay.Received(); now < heard {
			t.Errorf("the relay had received %d packets, now %d", heard, now)
		} else {
			heard = now
		}
	}
	for ctx := soon(t); relay.RemoteAddr().String() == before; {
		if ctx.Err() != nil {
			t.Fatalf("the relay still sends to %s", before)
		}
		time.Sleep(time.Millisecond)
	}
	near.Cut(wire.OK)
}

// hole is a socket on a path that swallows large datagrams without a word.
type hole struct {
	net.PacketConn
	most     int // bytes; 0: all pass
	swallows atomic.Int32
}

func (h *hole) WriteTo(p []byte, to net.Addr) (int, error) {
	if h.most > 0 && len(p) > h.most {
		h.swallows.Add(1)
		return len(p), nil
	}
	return h.PacketConn.WriteTo(p, to)
}

// E16: on a path that swallows what is larger than QUIC's least, a session comes up
// over QUIC, at half the speed at least.
func TestSessionThroughAnMTUHole(t *testing.T) {
	const least, size = 1200, 16 << 20
	carry := func(most int) (took time.Duration, swallowed int32) {
		inWorld(t, func(t *testing.T, w world) {
			here, there := &hole{PacketConn: w.edge, most: most}, &hole{PacketConn: w.relay, most: most}
			l, err := Listen(relayConfig(t), there)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			sessions := welcome(l)
			edge, _, err := Dial(context.Background(), edgeConfigOver(t, QUIC), here, w.relay.LocalAddr().String(), testKey(t, 'r').ID(), hello())
			if err != nil {
				t.Fatalf("datagrams above %d bytes are swallowed: %v", most, err)
			}
			near, far := stream(t, <-sessions, edge)
			began := time.Now()
			go func() {
				far.Write(make([]byte, size))
				far.CloseWrite()
			}()
			if n, err := io.Copy(io.Discard, near); n != size || err != nil {
				t.Errorf("%d bytes came, %v, want %d", n, err, size)
			}
			took = time.Since(began)
			near.Close()
			edge.end(wire.OK, "")
			swallowed = here.swallows.Load() + there.swallows.Load()
		})
		return took, swallowed
	}
	free, _ := carry(0)
	through, swallowed := carry(least)
	t.Logf("%v without the hole, %v through it, %d swallowed", free, through, swallowed)
	if swallowed == 0 {
		t.Error("nothing was large enough for the hole")
	}
	if through > 2*free {
		t.Errorf("took %v through the hole and %v without, want at most twice", through, free)
	}
}
