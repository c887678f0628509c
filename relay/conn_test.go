package relay

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/accounting"
	"sward/internal/wire"
)

// slowSession is a session whose edge answers Open when it is told to, and which remembers what it was sent.
type slowSession struct {
	session
	asked, answer chan struct{}
	write         func([]byte) // of the stream

	mu   sync.Mutex
	sent []wire.Message
}

type nullStream struct {
	net.Conn
	write func(p []byte) // before it returns
}

func (nullStream) ID() uint64        { return 4 }
func (nullStream) CloseWrite() error { return nil }
func (nullStream) Close() error      { return nil }
func (nullStream) Reset()            {}
func (s nullStream) Write(p []byte) (int, error) {
	s.write(p)
	return len(p), nil
}

func (s *slowSession) Draining() bool { return false }

func (s *slowSession) Open(ctx context.Context, _ ...wire.Message) (stream, wire.Opened, error) {
	close(s.asked)
	select {
	case <-s.answer:
		return nullStream{write: s.write}, wire.Opened{}, nil
	case <-ctx.Done():
		return nil, wire.Opened{}, ctx.Err()
	}
}

func (s *slowSession) Send(m wire.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, m)
	return nil
}

// slowEdge is an edge of r on such a session, with room and an open channel.
func slowEdge(t *testing.T, r *Relay) (*slowSession, *accounting.Meter) {
	t.Helper()
	s := &slowSession{asked: make(chan struct{}), answer: make(chan struct{})}
	key := newKey(t)
	meter := accounting.NewMeter(accounting.MeterConfig{
		Side: accounting.RelaySide, Network: "test", Key: key,
		Channel: accounting.Channel{RelayKey: key.ID(), Window: newWindow, Expires: 1 << 60},
	})
	e := &edge{
		id: newKey(t).ID(), session: s, meter: meter, limit: 1, apps: wire.AppsOf(wire.AppProxy), live: map[*conn]struct{}{},
	}
	if err := r.edges.add(e); err != nil {
		t.Fatal(err)
	}
	e.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: e.apps})
	r.metrics = newMetrics(r)
	return s, meter
}

// The edge may have opened the stream, and sent what the target said first, when the partner goes away. If the relay let go
// of the stream without a Done, the edge would keep those bytes as unsigned for ever, in a window that all streams share.
func TestOpeningThatAPartnerAbandonsStillGetsItsDone(t *testing.T) {
	r, _, g, _ := grantRelay(t, 1000)
	s, _ := slowEdge(t, r)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-s.asked
		leave()
		close(s.answer)
	}()
	if c, err := r.open(ctx, Want{App: wire.AppProxy}, g, "site.example", 443, 1); err == nil {
		c.Close()
	}
	want := []wire.Message{wire.Done{Stream: 4}}
	if diff := cmp.Diff(want, s.sent); diff != "" {
		t.Errorf("sent to the edge (-want +got):\n%s", diff)
	}
}

// The same of a stream that opened as its channel ended.
func TestStreamOnAnEndedChannelGetsItsDone(t *testing.T) {
	r, _, g, _ := grantRelay(t, 1000)
	s, meter := slowEdge(t, r)
	go func() {
		<-s.asked
		meter.Drain()
		close(s.answer)
	}()
	if _, err := r.open(t.Context(), Want{App: wire.AppProxy}, g, "site.example", 443, 1); err == nil {
		t.Error("open on an ended channel: got no error")
	}
	want := []wire.Message{wire.Done{Stream: 4}}
	if diff := cmp.Diff(want, s.sent); diff != "" {
		t.Errorf("sent to the edge (-want +got):\n%s", diff)
	}
}

// An edge counts what it has passed on, and may say so before this relay's write has returned. With many streams that is
// more than honest counts may differ by, so the relay counts first: what it wrote in vain the edge's Done takes back.
func TestUpBytesAreCountedBeforeTheEdgeCanCountThem(t *testing.T) {
	const size = 1000
	r, _, g, _ := grantRelay(t, 1<<20)
	s, meter := slowEdge(t, r)
	close(s.answer)
	var counted uint64
	s.write = func([]byte) { counted, _, _, _ = meter.Totals() }
	c, err := r.open(t.Context(), Want{App: wire.AppProxy}, g, "site.example", 443, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Write(make([]byte, size)); n != size || err != nil {
		t.Fatalf("write: got %d, %v, want %d", n, err, size)
	}
	if counted != size {
		t.Errorf("while %d bytes were written %d were counted, want all of them", size, counted)
	}
	if up, _, _, _ := meter.Totals(); up != size {
		t.Errorf("after %d bytes were written %d are counted", size, up)
	}
}

// A stream waits for its last bytes while they, or those before them on its connection, arrive: but not for ever, as when a
// client of HTTP/3 leaves out one packet and acknowledges all others.
func TestLastBytesAreWaitedForWithABound(t *testing.T) {
	const second, longest = time.Second, 10 * time.Minute
	for _, c := range []struct {
		name        string
		own, others time.Duration // between two acknowledgements; 0 is none
		want        time.Duration
	}{
		{"nothing is acknowledged", 0, 0, lingerLimit},
		{"other streams' bytes alone", 0, second, lingerBehind},
		{"the stream's alone", second, 0, longest},
		{"both, the stream's seldom", lingerBehind / 2, second, longest},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			p, pending, ahead := newPatience(1_000_000, 0, began), 1_000_000, uint64(0)
			var waited time.Duration
			for ; waited < longest && !p.over(began.Add(waited)); waited += second {
				if c.own > 0 && waited%c.own == 0 {
					pending--
				}
				if c.others > 0 && waited%c.others == 0 {
					ahead++
				}
				p.look(pending, ahead, began.Add(waited))
			}
			if waited < c.want || waited > c.want+2*second {
				t.Errorf("waited for %v, want %v", waited, c.want)
			}
		})
	}
}
