package accounting

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sward/internal/wire"
)

const testWindow = 512 << 10 // of testChannel

// fillWindow moves bytes down on f until nothing more is allowed, and returns how many.
func fillWindow(t *testing.T, f *Flow) (moved int) {
	t.Helper()
	for {
		n := f.room(32 << 10)
		if n == 0 {
			return moved
		}
		f.Down(n)
		moved += n
	}
}

func TestStreamStopsAtTheWindowUntilAReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSides()
		edge, relay := s.stream(t, 4, grantA)
		if got := fillWindow(t, edge); got != testWindow {
			t.Errorf("moved %d bytes without a receipt, want the window of %d", got, testWindow)
		}
		relay.Down(100_000)

		allowed := make(chan int)
		go func() {
			n, err := edge.Allow(t.Context(), 32<<10)
			if err != nil {
				t.Error(err)
			}
			allowed <- n
		}()
		synctest.Wait()
		select {
		case n := <-allowed:
			t.Errorf("allowed %d bytes beyond the window", n)
		default:
		}
		s.receipt(t)
		if n := <-allowed; n != 32<<10 {
			t.Errorf("after a receipt for 100000 bytes: allowed %d, want %d", n, 32<<10)
		}
		if got := fillWindow(t, edge); got != 100_000 {
			t.Errorf("moved %d bytes after a receipt for 100000", got)
		}
	})
}

func TestStreamGivesUpOnAPeerThatStopsSigning(t *testing.T) {
	for _, side := range []Side{EdgeSide, RelaySide} {
		synctest.Test(t, func(t *testing.T) {
			s := newSides()
			flow, other := s.stream(t, 4, grantA)
			if side == RelaySide {
				flow = other
			}
			moved := fillWindow(t, flow)
			start := time.Now()
			_, err := flow.Allow(t.Context(), 1)
			if !errors.Is(err, ErrUnsigned) || time.Since(start) != signDeadline {
				t.Errorf("side %d: got %v after %s, want %v after %s", side, err, time.Since(start), ErrUnsigned, signDeadline)
			}
			if wire.CodeOf(err) != wire.WindowClosed {
				t.Errorf("side %d: got code %s, want window_closed", side, wire.CodeOf(err).Name())
			}
			if moved > testWindow {
				t.Errorf("side %d: lost %d bytes, want at most the window", side, moved)
			}
		})
	}
}

func TestStreamWaitsOnWhileReceiptsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSides()
		edge, relay := s.stream(t, 4, grantA)
		slow, _ := s.stream(t, 8, grantB)
		moved := fillWindow(t, edge)
		relay.Down(3 * moved / 4)
		edge.tally.unsigned.Add(1 << 40) // as a grant that is far above its share, whatever is signed
		start, waited := time.Now(), make(chan time.Duration)
		go func() {
			_, err := edge.Allow(t.Context(), 1)
			if !errors.Is(err, ErrUnsigned) {
				t.Errorf("got %v, want %v", err, ErrUnsigned)
			}
			waited <- time.Since(start)
		}()
		time.Sleep(signDeadline - time.Second)
		s.receipt(t)
		if got := <-waited; got != 2*signDeadline-time.Second {
			t.Errorf("waited %s, want the deadline again after the receipt", got)
		}
		if slow.room(1) != 1 {
			t.Error("the other grant is stopped too")
		}
	})
}

func TestStreamStopsWaitingWhenItsContextEnds(t *testing.T) {
	s := newSides()
	edge, _ := s.stream(t, 4, grantA)
	fillWindow(t, edge)
	cause := errors.New("the owner pressed pause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := edge.Allow(ctx, 1); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}

// A partner that opens streams and reads nothing fills what lies between edge and relay.
func TestStalledPartnersLeaveRoomForOthers(t *testing.T) {
	s := newSides()
	honest, _ := s.stream(t, 4, fill16(0xff))
	for i := range byte(5) { // each takes half of what it finds
		stalled, _ := s.stream(t, 8+uint64(i), fill16(i+1))
		fillWindow(t, stalled)
		if honest.room(1024) != 1024 {
			t.Fatalf("no room for another grant's stream beside %d stalled ones", i+1)
		}
	}
}

func TestStreamsThatMoveAtOncePassTheWindowOnce(t *testing.T) {
	s := newSides()
	var flows []*Flow
	for i := range 50 {
		f, _ := s.stream(t, uint64(4*i), grantA)
		flows = append(flows, f)
	}
	allowed := 0
	for _, f := range flows {
		allowed += f.room(32<<10) + f.room(32<<10) // both directions read
	}
	if allowed > testWindow {
		t.Errorf("%d streams may move %d bytes before any is counted, want at most the window of %d", len(flows), allowed, testWindow)
	}
}

func TestUndeliveredBytesAreWrittenOff(t *testing.T) {
	for name, order := range map[string]func(edge, relay *Meter, edgeFlow, relayFlow *Flow) error{
		"closed, then told": func(edge, relay *Meter, e, r *Flow) error {
			fromEdge, fromRelay := e.Close(), r.Close()
			return errors.Join(edge.PeerDone(fromRelay), relay.PeerDone(fromEdge))
		},
		"told, then closed": func(edge, relay *Meter, e, r *Flow) error {
			fromEdge := wire.Done{Stream: e.stream, Bytes: e.up.Load()}
			err := relay.PeerDone(fromEdge)
			err = errors.Join(err, edge.PeerDone(r.Close()))
			e.Close()
			return err
		},
		"told twice": func(edge, relay *Meter, e, r *Flow) error {
			fromEdge, fromRelay := e.Close(), r.Close()
			return errors.Join(edge.PeerDone(fromRelay), edge.PeerDone(fromRelay), relay.PeerDone(fromEdge), relay.PeerDone(fromEdge))
		},
	} {
		s := newSides()
		edge, relay := s.stream(t, 4, grantA)
		relay.Up(5000)
		edge.Up(4000)
		edge.Down(300_000)
		relay.Down(200_000) // then the partner hung up
		if err := order(s.edge, s.relay, edge, relay); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		relay.Close()
		if r := s.receipt(t); r.Up != 4000 || r.Down != 200_000 {
			t.Errorf("%s: signed up %d, down %d; want 4000 and 200000", name, r.Up, r.Down)
		}
		for side, m := range map[string]*Meter{"edge": s.edge, "relay": s.relay} {
			up, down, _, _ := m.Totals()
			if up != 4000 || down != 200_000 || m.unsigned.Load() != 0 {
				t.Errorf("%s: %s has up %d, down %d, %d unsigned; want 4000, 200000 and none", name, side, up, down, m.unsigned.Load())
			}
		}
	}
}

func TestWriteOffOpensTheWindowAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSides()
		reset, _ := s.stream(t, 4, grantA)
		next, _ := s.stream(t, 8, grantA)
		fillWindow(t, reset)
		reset.Close()
		allowed := make(chan int)
		go func() {
			n, _ := next.Allow(t.Context(), 1000)
			allowed <- n
		}()
		synctest.Wait()
		if err := s.edge.PeerDone(wire.Done{Stream: 4}); err != nil {
			t.Fatal(err)
		}
		if n := <-allowed; n != 1000 {
			t.Errorf("allowed %d bytes after the write-off, want 1000", n)
		}
	})
}

func TestDoneMayOvertakeTheStream(t *testing.T) {
	s := newSides()
	if err := s.relay.PeerDone(wire.Done{Stream: 4, Bytes: 100}); err != nil { // the edge was quick
		t.Fatal(err)
	}
	_, relay := s.stream(t, 4, grantA)
	relay.Up(700)
	relay.Close()
	if up, _, _, _ := s.relay.Totals(); up != 100 || !s.relay.Idle() == (s.relay.unsigned.Load() == 0) {
		t.Errorf("got %d bytes up, want the 100 that were delivered", up)
	}
	for i := range uint64(10 * maxEarly) {
		if err := s.relay.PeerDone(wire.Done{Stream: 1000 + i}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(s.relay.early.bytes); got != maxEarly {
		t.Errorf("kept %d early ends, want %d", got, maxEarly)
	}
}

func TestDoneIsHeldAgainstOwnCounts(t *testing.T) {
	for name, x := range map[string]struct {
		sent, signed int // down, by the edge; signed is delivered and in a receipt
		told         uint64
		want         error
		left         uint64 // the edge's count afterwards
	}{
		"all":                    {100_000, 0, 100_000, nil, 100_000},
		"a part":                 {100_000, 0, 60_000, nil, 60_000},
		"a few bytes more":       {100_000, 0, 100_001, nil, 100_000},
		"far more":               {100_000, 0, 100_001 + minTolerance, ErrTold, 100_000},
		"less than signed":       {100_000, 80_000, 79_999, ErrRegression, 100_000},
		"what was signed":        {100_000, 80_000, 80_000, nil, 80_000},
		"a number past any byte": {100_000, 0, 1<<64 - 1, ErrTold, 100_000},
	} {
		s := newSides()
		edge, relay := s.stream(t, 4, grantA)
		edge.Down(x.sent)
		if x.signed > 0 {
			relay.Down(x.signed)
			s.receipt(t)
		}
		edge.Close()
		if err := s.edge.PeerDone(wire.Done{Stream: 4, Bytes: x.told}); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
		if _, down, _, _ := s.edge.Totals(); down != x.left {
			t.Errorf("%s: the edge counts %d bytes, want %d", name, down, x.left)
		}
	}
}

func TestRelayKeepsWhatItHasOfferedToSign(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	relay.Up(1000)
	edge.Up(1000)
	s.offer(t) // with 1000 bytes up; the edge may sign it at any time
	relay.Close()
	if err := s.relay.PeerDone(wire.Done{Stream: 4, Bytes: 900}); !errors.Is(err, ErrRegression) {
		t.Errorf("got %v, want %v", err, ErrRegression)
	}
}

// A fault that shows when the stream closes has no caller to go to: the next receipt meets it.
func TestFaultAtCloseEndsTheChannel(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	edge.Down(100)
	relay.Down(100)
	o := s.offer(t)
	if err := s.edge.PeerDone(wire.Done{Stream: 4, Bytes: 101 + minTolerance}); err != nil {
		t.Fatal(err)
	}
	edge.Close()
	if _, _, err := s.edge.Cosign(o); !errors.Is(err, ErrTold) {
		t.Errorf("cosign: got %v, want %v", err, ErrTold)
	}
	if _, err := s.edge.Flow(8, grantA); !errors.Is(err, ErrTold) {
		t.Errorf("a new stream: got %v, want %v", err, ErrTold)
	}
	if _, more := s.edge.Count(); more {
		t.Error("the edge still counts")
	}
}

// A relay that says of every stream that nothing arrived gets that much for nothing, and then no more.
func TestWriteOffsHaveAnEnd(t *testing.T) {
	s := newSides()
	lost := uint64(0)
	for i := range uint64(1000) {
		edge, _ := s.stream(t, i, grantA)
		edge.Down(200_000)
		edge.Close()
		err := s.edge.PeerDone(wire.Done{Stream: i})
		if err == nil {
			lost += 200_000
			continue
		}
		if !errors.Is(err, ErrWriteOff) {
			t.Fatalf("got %v, want %v", err, ErrWriteOff)
		}
		if lost > writeOffWindows*testWindow {
			t.Errorf("lost %d bytes, want at most %d windows", lost, writeOffWindows)
		}
		return
	}
	t.Errorf("lost %d bytes and still no end", lost)
}

func TestChannelKeepsAccountOfSoMuchAndNoMore(t *testing.T) {
	s := newSides()
	s.stream(t, 4, grantA)
	if _, err := s.edge.Flow(4, grantB); !errors.Is(err, ErrField) {
		t.Errorf("a stream twice: got %v, want %v", err, ErrField)
	}
	for i := range MaxTallies - 1 {
		if _, err := s.edge.Flow(uint64(100+i), GrantID{0: 1, 1: byte(i >> 8), 2: byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.edge.Flow(8, grantB); !errors.Is(err, ErrCrowded) {
		t.Errorf("a grant too many: got %v, want %v", err, ErrCrowded)
	}
	for i := range maxFlows - MaxTallies {
		if _, err := s.edge.Flow(uint64(10_000+i), grantA); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.edge.Flow(8, grantA); !errors.Is(err, ErrCrowded) {
		t.Errorf("a stream too many: got %v, want %v", err, ErrCrowded)
	}
}

func TestClosedStreamsCountNothing(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	edge.Up(10)
	if got := edge.Close(); got != (wire.Done{Stream: 4, Bytes: 10}) {
		t.Errorf("the edge's word: got %+v, want 10 bytes up", got)
	}
	edge.Up(5)
	if got := edge.Close(); got.Bytes != 10 {
		t.Errorf("after the end: got %d bytes, want 10", got.Bytes)
	}
	relay.Up(10)
	relay.Down(3)
	if got := relay.Close(); got.Bytes != 3 {
		t.Errorf("the relay's word: got %d bytes, want 3 down", got.Bytes)
	}
	if n, err := edge.Allow(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("nothing asked: got %d, %v", n, err)
	}
	if n, err := edge.Allow(t.Context(), 10); n != 10 || err != nil {
		t.Errorf("asked after the end: got %d, %v; want no harm", n, err)
	}
}

func TestMovingBytesAllocatesNothing(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	move := func() {
		for _, f := range []*Flow{edge, relay} {
			n, err := f.Allow(t.Context(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			f.Down(n / 10000) // no bytes, so that the window lasts
			f.Up(1)
		}
	}
	if got := testing.AllocsPerRun(100, move); got != 0 {
		t.Errorf("got %v allocations for a move, want 0", got)
	}
}

func BenchmarkFlowMove(b *testing.B) {
	s := newSides()
	s.edge.cfg.Now = time.Now
	edge, _ := s.stream(b, 4, grantA)
	s.edge.cfg.Channel.Expires = time.Now().Add(time.Hour).UnixMilli()
	b.ReportAllocs()
	for b.Loop() {
		n, err := edge.Allow(b.Context(), 32<<10)
		if err != nil {
			b.Fatal(err)
		}
		edge.Down(n)
		s.edge.settled(edge.tally, uint64(n)) // as if signed at once
	}
}
