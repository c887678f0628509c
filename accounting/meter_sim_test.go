package accounting

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sward/internal/wire"
)

// world is a channel whose two sides are honest, whose streams end at any time, and whose control frames may be lost,
// repeated and overtaken. What the meters sign is held against what was really delivered.
type world struct {
	*sides
	t       *testing.T
	rand    *rand.Rand
	streams []*simStream
	nextID  uint64

	toRelay, toEdge []any             // control frames under way
	offered         map[uint64][]byte // body by serial: a second one would be a fork
	delivered       map[GrantID]*totals
	signed          Receipt // the greatest that anybody holds
}

// simStream is a stream and the bytes of it that are under way. A side is nil until it has heard of the stream.
type simStream struct {
	id          uint64
	grant       GrantID
	edge, relay *Flow
	edgeEnded   bool
	relayEnded  bool
	up, down    int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		sides: newSides(), t: t, rand: rand.New(rand.NewPCG(seed, 1)),
		offered: map[uint64][]byte{}, delivered: map[GrantID]*totals{},
	}
	for i := range byte(3) {
		w.delivered[fill16(i+1)] = &totals{}
	}
	return w
}

func (w *world) fail(format string, a ...any) {
	w.t.Helper()
	w.t.Fatalf(format, a...)
}

// step does one thing that can happen.
func (w *world) step() {
	switch n := w.rand.IntN(20); {
	case n < 1 && len(w.streams) < 30:
		w.openStream()
	case n < 9:
		w.move()
	case n < 10:
		w.endSide()
	case n < 12:
		w.count()
	case n < 19:
		w.frame(true)
	default:
		w.now = w.now.Add(time.Duration(w.rand.IntN(1500)) * time.Millisecond)
	}
}

func (w *world) openStream() {
	w.nextID += 4
	s := &simStream{id: w.nextID, grant: fill16(byte(w.rand.IntN(3) + 1))}
	var err error
	if s.edge, err = w.edge.Flow(s.id, s.grant); err != nil { // the relay hears of it later: Opened is under way
		w.fail("edge: %v", err)
	}
	w.streams = append(w.streams, s)
}

// move moves bytes of one stream over one of its four hops. A hop towards the other side asks the window, and carries no
// more than is allowed.
func (w *world) move() {
	if len(w.streams) == 0 {
		return
	}
	s := w.streams[w.rand.IntN(len(w.streams))]
	if s.relay == nil {
		var err error
		if s.relay, err = w.relay.Flow(s.id, s.grant); err != nil {
			w.fail("relay: %v", err)
		}
	}
	n := w.rand.IntN(40_000)
	truth := w.delivered[s.grant]
	switch hop := w.rand.IntN(4); {
	case hop == 0 && !s.relayEnded:
		n = s.relay.room(n)
		s.relay.Up(n)
		s.up += n
	case hop == 1 && !s.edgeEnded:
		n = min(n, s.up)
		s.edge.Up(n)
		s.up -= n
		truth.Up += uint64(n)
	case hop == 2 && !s.edgeEnded:
		n = s.edge.room(n)
		s.edge.Down(n)
		s.down += n
	case hop == 3 && !s.relayEnded:
		n = min(n, s.down)
		s.relay.Down(n)
		s.down -= n
		truth.Down += uint64(n)
	}
}

// endSide ends one side of a stream, wherever its bytes are.
func (w *world) endSide() {
	if len(w.streams) == 0 {
		return
	}
	i := w.rand.IntN(len(w.streams))
	s := w.streams[i]
	if w.rand.IntN(2) == 0 {
		s.edgeEnded = true
		w.toRelay = append(w.toRelay, s.edge.Close())
	} else if s.relay != nil {
		s.relayEnded = true
		w.toEdge = append(w.toEdge, s.relay.Close())
	}
	if s.edgeEnded && s.relayEnded {
		w.streams = append(w.streams[:i], w.streams[i+1:]...)
	}
}

func (w *world) count() {
	if c, ok := w.edge.Count(); ok {
		w.toRelay = append(w.toRelay, c)
	}
}

// frame delivers a control frame. When the network is bad, Counts and receipts may be lost, repeated or overtaken, and
// Dones repeated or overtaken: a lost Done ends the session.
func (w *world) frame(bad bool) {
	queue, deliver := &w.toRelay, w.atRelay
	if w.rand.IntN(2) == 0 {
		queue, deliver = &w.toEdge, w.atEdge
	}
	if len(*queue) == 0 {
		return
	}
	i := 0
	if bad && w.rand.IntN(4) == 0 {
		i = w.rand.IntN(len(*queue))
	}
	m := (*queue)[i]
	_, isDone := m.(wire.Done)
	repeat := bad && w.rand.IntN(8) == 0
	if !repeat {
		*queue = append((*queue)[:i:i], (*queue)[i+1:]...)
	}
	if lost := bad && !isDone && w.rand.IntN(8) == 0; !lost {
		deliver(m)
	}
}

func (w *world) atRelay(m any) {
	switch m := m.(type) {
	case wire.Count:
		o, err := w.relay.Offer(m)
		if err != nil {
			w.fail("offer: %v", err)
		}
		r, err := ParseReceipt(o.Body)
		if err != nil {
			w.fail("the relay has offered %v", err)
		}
		if before, again := w.offered[r.Serial]; again && !bytes.Equal(before, o.Body) {
			w.fail("the relay has forked receipt %d", r.Serial)
		}
		w.offered[r.Serial] = o.Body
		w.toEdge = append(w.toEdge, o)
	case wire.ReceiptSign:
		r, err := w.relay.Complete(m)
		if err != nil {
			w.fail("complete: %v", err)
		}
		w.check(r)
	case wire.Done:
		if err := w.relay.PeerDone(m); err != nil {
			w.fail("relay: %v", err)
		}
	}
}

func (w *world) atEdge(m any) {
	switch m := m.(type) {
	case wire.ReceiptOffer:
		r, sign, err := w.edge.Cosign(m)
		if errors.Is(err, ErrSerial) { // overtaken by later ones, which a stream of frames in order never does
			if old, _ := ParseReceipt(m.Body); old.Serial < w.edge.Last().Serial {
				return
			}
		}
		if err != nil {
			w.fail("cosign: %v", err)
		}
		w.check(r)
		w.toRelay = append(w.toRelay, sign)
	case wire.Done:
		if err := w.edge.PeerDone(m); err != nil {
			w.fail("edge: %v", err)
		}
	}
}

// check holds a receipt that somebody now has against the truth, and against the greatest before it.
func (w *world) check(r SignedReceipt) {
	if r.Serial <= w.signed.Serial {
		return
	}
	for _, t := range r.Tallies {
		if truth := w.delivered[t.Grant]; t.Up > truth.Up || t.Down > truth.Down {
			w.fail("receipt %d: %d up and %d down signed for grant %s, %+v delivered", r.Serial, t.Up, t.Down, t.Grant, *truth)
		}
	}
	if r.Up < w.signed.Up || r.Down < w.signed.Down || r.Streams < w.signed.Streams {
		w.fail("receipt %d has shrunk: %+v after %+v", r.Serial, r.Receipt, w.signed)
	}
	w.signed = r.Receipt
}

// settle ends every stream, lets the network be good, and lets the timers of both sides run.
func (w *world) settle() {
	for _, s := range w.streams {
		if s.relay == nil {
			s.relay, _ = w.relay.Flow(s.id, s.grant)
		}
		if !s.edgeEnded {
			w.toRelay = append(w.toRelay, s.edge.Close())
		}
		if !s.relayEnded {
			w.toEdge = append(w.toEdge, s.relay.Close())
		}
	}
	w.streams = nil
	for round := 0; !(w.edge.Idle() && w.relay.Idle()) || len(w.toEdge)+len(w.toRelay) > 0; round++ {
		if round > 10_000 {
			w.fail("never idle: edge %s, relay %s", inside(w.edge), inside(w.relay))
		}
		if len(w.toEdge)+len(w.toRelay) == 0 {
			w.now = w.now.Add(2 * time.Second)
			w.count()
		}
		w.frame(false)
	}
}

func inside(m *Meter) string {
	return fmt.Sprintf("%d flows, %d unsigned, pending %t", len(m.flows), m.unsigned.Load(), m.pending != nil)
}

func TestHonestSidesAlwaysAgreeOnWhatWasDelivered(t *testing.T) {
	runs := uint64(60)
	if testing.Short() {
		runs = 5
	}
	for seed := range runs {
		w := newWorld(t, seed)
		for range 1500 {
			w.step()
			for side, m := range map[string]*Meter{"edge": w.edge, "relay": w.relay} {
				if got, most := m.unsigned.Load(), int64(2*testWindow+2*minAllow*30); got > most {
					w.fail("seed %d: %s has %d unsigned bytes, want at most %d", seed, side, got, most)
				}
			}
		}
		w.settle()

		want := totals{}
		for _, truth := range w.delivered {
			want.Up += truth.Up
			want.Down += truth.Down
		}
		if w.signed.Up != want.Up || w.signed.Down != want.Down {
			t.Errorf("seed %d: signed up %d, down %d; delivered up %d, down %d", seed, w.signed.Up, w.signed.Down, want.Up, want.Down)
		}
		for side, m := range map[string]*Meter{"edge": w.edge, "relay": w.relay} {
			if up, down, signedUp, signedDown := m.Totals(); up != want.Up || down != want.Down || signedUp != up || signedDown != down {
				t.Errorf("seed %d: %s counts up %d, down %d, and has %d and %d signed; want %d and %d", seed, side, up, down, signedUp, signedDown, want.Up, want.Down)
			}
			if len(m.flows) != 0 {
				t.Errorf("seed %d: %s still keeps account of %d streams", seed, side, len(m.flows))
			}
		}
		if w.signed.Up+w.signed.Down == 0 {
			t.Errorf("seed %d: nothing was delivered", seed)
		}
	}
}

// The same with streams that really run at once, so that the race detector sees them.
func TestSidesAgreeWhileStreamsRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSides()
		s.edge.cfg.Now, s.relay.cfg.Now = time.Now, time.Now
		const streams, each = 20, 400_000
		var group sync.WaitGroup
		for i := range uint64(streams) {
			edge, relay := s.stream(t, 4*i, fill16(byte(i%3+1)))
			group.Go(func() {
				for left := each; left > 0; {
					n, err := edge.Allow(t.Context(), min(left, 32<<10))
					if err != nil {
						t.Error(err)
						return
					}
					edge.Down(n)
					if n, err = relay.Allow(t.Context(), n); err != nil {
						t.Error(err)
						return
					}
					relay.Down(n) // where less is allowed, the rest is lost in a reset
					relay.Up(1)
					edge.Up(1)
					left -= n
				}
				if err := errors.Join(s.edge.PeerDone(relay.Close()), s.relay.PeerDone(edge.Close())); err != nil {
					t.Error(err)
				}
			})
		}
		ended := make(chan struct{})
		go func() { group.Wait(); close(ended) }()
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for running := true; running || !s.edge.Idle() || !s.relay.Idle(); {
			select {
			case <-s.edge.Due():
			case <-tick.C:
			case <-ended:
				running, ended = false, nil
			}
			if c, ok := s.edge.Count(); ok {
				o, err := s.relay.Offer(c)
				if err != nil {
					t.Fatal(err)
				}
				_, sign, err := s.edge.Cosign(o)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.relay.Complete(sign); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := s.edge.Last(); got.Down != streams*each || got.Up == 0 {
			t.Errorf("signed up %d, down %d; want %d down", got.Up, got.Down, streams*each)
		}
	})
}
