package accounting

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

var grantA, grantB = fill16(0x0a), fill16(0x0b)

// sides are the two meters of one channel, and their clock.
type sides struct {
	edge, relay *Meter
	now         time.Time
}

func newSides() *sides {
	s := &sides{now: testStart}
	cfg := MeterConfig{Side: EdgeSide, Network: testNetwork, Channel: testChannel(), Key: edgeChanKey, Now: func() time.Time { return s.now }}
	s.edge = NewMeter(cfg)
	cfg.Side, cfg.Key = RelaySide, relayChanKey
	s.relay = NewMeter(cfg)
	return s
}

// stream registers a stream on both sides.
func (s *sides) stream(t testing.TB, id uint64, g GrantID) (edge, relay *Flow) {
	t.Helper()
	relay, err := s.relay.Flow(id, g)
	if err != nil {
		t.Fatal(err)
	}
	if edge, err = s.edge.Flow(id, g); err != nil {
		t.Fatal(err)
	}
	return edge, relay
}

// offer carries the edge's count to the relay.
func (s *sides) offer(t testing.TB) wire.ReceiptOffer {
	t.Helper()
	count, ok := s.edge.Count()
	if !ok {
		t.Fatal("the edge has nothing to count")
	}
	o, err := s.relay.Offer(count)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// receipt goes through a whole exchange and checks that both sides end up with the same.
func (s *sides) receipt(t testing.TB) SignedReceipt {
	t.Helper()
	onEdge, sign, err := s.edge.Cosign(s.offer(t))
	if err != nil {
		t.Fatal(err)
	}
	onRelay, err := s.relay.Complete(sign)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(onEdge, onRelay); diff != "" {
		t.Errorf("receipts of edge and relay differ (-edge +relay):\n%s", diff)
	}
	if err := onEdge.Verify(testNetwork, testChannel()); err != nil {
		t.Errorf("receipt %d: %v", onEdge.Serial, err)
	}
	return onEdge
}

func TestReceiptHoldsWhatWasDelivered(t *testing.T) {
	s := newSides()
	edgeA, relayA := s.stream(t, 4, grantA)
	edgeB, relayB := s.stream(t, 8, grantB)
	relayA.Up(1000)    // of these the edge has delivered 900,
	edgeA.Up(900)      // the rest is on its way
	edgeA.Down(70_000) // and of these the relay has delivered all but 5000
	relayA.Down(65_000)
	relayB.Up(10)
	edgeB.Up(10)

	first := s.receipt(t)
	want := []Tally{{Grant: grantA, Up: 900, Down: 65_000, Streams: 1}, {Grant: grantB, Up: 10, Streams: 1}}
	if diff := cmp.Diff(want, first.Tallies); diff != "" {
		t.Errorf("tallies (-want +got):\n%s", diff)
	}

	edgeA.Up(100)
	relayA.Down(5000)
	s.now = s.now.Add(2 * time.Second)
	second := s.receipt(t)
	want = []Tally{{Grant: grantA, Up: 1000, Down: 70_000, Streams: 1}, {Grant: grantB, Up: 10, Streams: 1}}
	if diff := cmp.Diff(want, second.Tallies); diff != "" {
		t.Errorf("tallies of the second (-want +got):\n%s", diff)
	}
	if second.Serial != 2 || second.Prev != first.Hash() {
		t.Errorf("got serial %d after %x, want 2 after %x", second.Serial, second.Prev, first.Hash())
	}
	if _, more := s.edge.Count(); more {
		t.Error("everything is signed: got another count")
	}
}

// lie changes a good offer of the relay and signs it again with the relay's key.
func lie(o wire.ReceiptOffer, change func(*Receipt)) wire.ReceiptOffer {
	r, err := ParseReceipt(o.Body)
	if err != nil {
		panic(err)
	}
	change(&r)
	r.Sum()
	return wire.ReceiptOffer{Body: r.Append(nil), Sig: [64]byte(r.Sign(testNetwork, relayChanKey))}
}

func TestEdgeSignsNothingThatIsNotTrue(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*Receipt)
		want   error
	}{
		"another channel":     {func(r *Receipt) { r.Channel[0]++ }, ErrChannel},
		"the serial again":    {func(r *Receipt) { r.Serial, r.Prev = 1, [32]byte{} }, ErrFork},
		"a serial left out":   {func(r *Receipt) { r.Serial = 9 }, ErrSerial},
		"another history":     {func(r *Receipt) { r.Prev[0]++ }, ErrPrevious},
		"one byte down more":  {func(r *Receipt) { r.Tallies[0].Down += 30_001 }, ErrMismatch},
		"one byte up more":    {func(r *Receipt) { r.Tallies[0].Up += 901 }, ErrMismatch},
		"a stream more":       {func(r *Receipt) { r.Tallies[0].Streams++ }, ErrMismatch},
		"a grant more":        {func(r *Receipt) { r.Tallies = append(r.Tallies, Tally{Grant: grantB, Down: 1}) }, ErrMismatch},
		"down has shrunk":     {func(r *Receipt) { r.Tallies[0].Down = 59_999 }, ErrRegression},
		"up has shrunk":       {func(r *Receipt) { r.Tallies[0].Up = 99 }, ErrRegression},
		"streams have shrunk": {func(r *Receipt) { r.Tallies[0].Streams = 0 }, ErrRegression},
		"a grant is gone":     {func(r *Receipt) { r.Tallies = nil }, ErrRegression},
		"a count of 2^63":     {func(r *Receipt) { r.Tallies[0].Up = 1 << 63 }, ErrCount},
	} {
		s := newSides()
		edge, relay := s.stream(t, 4, grantA)
		relay.Up(1000)
		edge.Up(100)
		edge.Down(60_000)
		relay.Down(60_000)
		first := s.receipt(t)

		edge.Down(30_000)
		relay.Down(30_000)
		_, _, err := s.edge.Cosign(lie(s.offer(t), x.change))
		if !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
		if got := s.edge.Last(); got.Serial != first.Serial {
			t.Errorf("%s: the edge has signed receipt %d", name, got.Serial)
		}
	}
}

func TestEdgeSignsOnlyWhatTheRelaySigned(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	edge.Down(10)
	relay.Down(10)
	o := s.offer(t)
	o.Sig[0]++
	if _, _, err := s.edge.Cosign(o); !errors.Is(err, ErrSignature) {
		t.Errorf("got %v, want %v", err, ErrSignature)
	}
}

func TestEdgeRefusesARelayThatHidesDeliveries(t *testing.T) {
	s := newSides()
	edge, _ := s.stream(t, 4, grantA)
	edge.Down(2*int(testChannel().Window) + 2*minAllow + minTolerance + 1) // more than Allow ever lets be under way
	if _, _, err := s.edge.Cosign(s.offer(t)); !errors.Is(err, ErrMismatch) {
		t.Errorf("got %v, want %v", err, ErrMismatch)
	}
}

func TestRelayRefusesAnEdgeThatClaimsTooMuch(t *testing.T) {
	for name, x := range map[string]struct {
		sent, claimed uint64
		signed        uint64
		want          error
	}{
		"what was sent":           {1000, 1000, 1000, nil},
		"less":                    {1000, 900, 900, nil},
		"a few bytes early":       {1000, 1100, 1000, nil},
		"64 KiB more":             {1000, 1000 + minTolerance, 1000, nil},
		"64 KiB and a byte more":  {1000, 1001 + minTolerance, 0, ErrMismatch},
		"half a percent more":     {1 << 30, 1<<30 + 1<<30/200, 1 << 30, nil},
		"over half a percent":     {1 << 30, 1<<30 + 1<<30/200 + 1, 0, ErrMismatch},
		"2^64-1":                  {1000, 1<<64 - 1, 0, ErrCount},
		"a sum with down of 2^63": {1000, MaxCount + 1, 0, ErrCount},
	} {
		s := newSides()
		_, relay := s.stream(t, 4, grantA)
		relay.Up(int(x.sent))
		o, err := s.relay.Offer(wire.Count{Channel: s.relay.ID(), Tallies: []wire.Tally{{Grant: grantA, Up: x.claimed, Streams: 1}}})
		if !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
		if err != nil {
			continue
		}
		if r, err := ParseReceipt(o.Body); err != nil || r.Up != x.signed {
			t.Errorf("%s: got a receipt of %d bytes up, %v; want %d", name, r.Up, err, x.signed)
		}
	}
}

func TestRelayRefusesCountsThatAreNotItsOwn(t *testing.T) {
	s := newSides()
	s.stream(t, 4, grantA)
	if _, err := s.relay.Offer(wire.Count{Channel: fill32(9)}); !errors.Is(err, ErrChannel) {
		t.Errorf("another channel: got %v, want %v", err, ErrChannel)
	}
	unknown := wire.Count{Channel: s.relay.ID(), Tallies: []wire.Tally{{Grant: grantB, Up: minTolerance + 1}}}
	if _, err := s.relay.Offer(unknown); !errors.Is(err, ErrMismatch) {
		t.Errorf("a grant it never used: got %v, want %v", err, ErrMismatch)
	}
	if _, err := s.edge.Offer(wire.Count{Channel: s.edge.ID()}); !errors.Is(err, ErrParty) {
		t.Errorf("the edge offers: got %v, want %v", err, ErrParty)
	}
}

func TestRelayCompletesOnlyWithTheEdgesSignature(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	edge.Down(10)
	relay.Down(10)
	_, sign, err := s.edge.Cosign(s.offer(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		change func(*wire.ReceiptSign)
		want   error
	}{
		"another channel":  {func(s *wire.ReceiptSign) { s.Channel[0]++ }, ErrChannel},
		"a later receipt":  {func(s *wire.ReceiptSign) { s.Serial++ }, ErrSerial},
		"serial zero":      {func(s *wire.ReceiptSign) { s.Serial = 0 }, ErrSerial},
		"a bad signature":  {func(s *wire.ReceiptSign) { s.Sig[3]++ }, ErrSignature},
		"the relay's own":  {func(r *wire.ReceiptSign) { r.Sig = s.relay.pending.offer.Sig }, ErrSignature},
		"malleated scalar": {func(s *wire.ReceiptSign) { s.Sig = [64]byte(malleate(s.Sig[:])) }, ErrSignature},
	} {
		bad := sign
		x.change(&bad)
		if _, err := s.relay.Complete(bad); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
	if r, err := s.relay.Complete(sign); err != nil || r.Serial != 1 {
		t.Errorf("the good one: got receipt %d, %v", r.Serial, err)
	}
}

// Every message may be lost or come twice: the relay offers one body for a serial, whatever has been counted since.
func TestRelayNeverForks(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	edge.Down(10_000)
	relay.Down(10_000)
	lost := s.offer(t)
	edge.Down(100_000)
	relay.Down(100_000)
	s.now = s.now.Add(time.Minute)
	again := s.offer(t)
	if !bytes.Equal(lost.Body, again.Body) || lost.Sig != again.Sig {
		t.Errorf("offered for one serial:\n%x\n%x", lost.Body, again.Body)
	}
	_, sign, err := s.edge.Cosign(again)
	if err != nil {
		t.Fatal(err)
	}
	if _, twice, err := s.edge.Cosign(lost); err != nil || twice != sign {
		t.Errorf("the offer again: got %v, want the same signature", err)
	}
	for range 2 {
		if r, err := s.relay.Complete(sign); err != nil || r.Serial != 1 {
			t.Errorf("the signature: got receipt %d, %v; want 1 each time", r.Serial, err)
		}
	}
	if r := s.receipt(t); r.Serial != 2 || r.Down != 110_000 {
		t.Errorf("the next: got receipt %d of %d bytes, want 2 of 110000", r.Serial, r.Down)
	}
	if stale, err := s.relay.Complete(sign); err != nil || stale.Serial != 2 {
		t.Errorf("a signature that comes late: got receipt %d, %v; want it to change nothing", stale.Serial, err)
	}
}

func TestCountThatWasOvertakenChangesNothing(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	relay.Up(50_000)
	edge.Up(10_000)
	late, _ := s.edge.Count()
	edge.Up(40_000)
	before := s.receipt(t)
	s.now = s.now.Add(time.Minute)
	o, err := s.relay.Offer(late)
	if err != nil || !bytes.Equal(o.Body, before.Body) {
		t.Errorf("got %v and\n%x\nwant the receipt that is signed already:\n%x", err, o.Body, before.Body)
	}
}

func TestCrumbsWaitForASecond(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	move := func(n int) { edge.Down(n); relay.Down(n) }
	move(100)
	if r := s.receipt(t); r.Serial != 1 {
		t.Fatalf("the first bytes: got receipt %d, want 1", r.Serial)
	}
	move(100)
	if r := s.receipt(t); r.Serial != 1 {
		t.Errorf("a crumb at once: got receipt %d, want the first again", r.Serial)
	}
	s.now = s.now.Add(signAnyway)
	if r := s.receipt(t); r.Serial != 2 {
		t.Errorf("a crumb after a second: got receipt %d, want 2", r.Serial)
	}
	move(MinStep / smallAdvance)
	if r := s.receipt(t); r.Serial != 3 {
		t.Errorf("an eighth of a step: got receipt %d, want 3", r.Serial)
	}
	move(1)
	for _, f := range []*Flow{edge, relay} {
		f.Close()
	}
	s.edge.PeerDone(wire.Done{Stream: 4, Bytes: 8393})
	s.relay.PeerDone(wire.Done{Stream: 4})
	if r := s.receipt(t); r.Serial != 4 {
		t.Errorf("the last bytes of all streams: got receipt %d, want 4", r.Serial)
	}
}

func TestCountIsDueAfterEachStep(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	due := func() bool {
		select {
		case <-s.edge.Due():
			return true
		default:
			return false
		}
	}
	edge.Down(MinStep - 1)
	if due() {
		t.Error("due before a step has passed")
	}
	edge.Down(1)
	relay.Down(MinStep)
	if !due() {
		t.Error("not due after a step")
	}
	o := s.offer(t)
	edge.Down(MinStep / 2)
	if due() {
		t.Error("due again before another step")
	}
	edge.Down(MinStep)
	if !due() {
		t.Error("not due after another step, while a receipt is on its way")
	}
	if _, _, err := s.edge.Cosign(o); err != nil {
		t.Fatal(err)
	}
	if !due() {
		t.Error("not due after a receipt that left more than a step unsigned")
	}
}

func TestClockMovesNoMoney(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	var last SignedReceipt
	for i, step := range []time.Duration{0, -time.Hour, 5 * time.Second, 3 * time.Hour / 4} {
		s.now = s.now.Add(step)
		edge.Down(100_000)
		relay.Down(100_000)
		r := s.receipt(t)
		if want := uint64(i+1) * 100_000; r.Serial != uint64(i+1) || r.Down != want || r.Time < last.Time {
			t.Errorf("after %s: got receipt %d of %d bytes at %d, want %d of %d at %d or later", step, r.Serial, r.Down, r.Time, i+1, want, last.Time)
		}
		last = r
	}
}

func TestChannelSignsNothingAfterItsGrace(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	end := time.UnixMilli(testChannel().Expires)
	edge.Down(100_000)
	relay.Down(100_000)

	s.now = end
	if !s.edge.Expired(s.now) {
		t.Error("not expired at its end")
	}
	if _, err := s.relay.Flow(8, grantA); !errors.Is(err, ErrExpired) {
		t.Errorf("a new stream at the end: got %v, want %v", err, ErrExpired)
	}
	s.now = end.Add(ChannelGrace - time.Millisecond)
	s.receipt(t)
	edge.Down(100_000)
	relay.Down(100_000)
	count, _ := s.edge.Count()
	o := s.offer(t)
	s.now = end.Add(ChannelGrace)
	if _, _, err := s.edge.Cosign(o); !errors.Is(err, ErrExpired) {
		t.Errorf("an offer after the grace: got %v, want %v", err, ErrExpired)
	}
	if _, err := s.relay.Offer(count); !errors.Is(err, ErrExpired) {
		t.Errorf("a count after the grace: got %v, want %v", err, ErrExpired)
	}
	if _, more := s.edge.Count(); more {
		t.Error("the edge still counts after the grace")
	}
	if _, err := edge.Allow(t.Context(), 1); !errors.Is(err, ErrExpired) {
		t.Errorf("a byte after the grace: got %v, want %v", err, ErrExpired)
	}
}

func TestDrainedChannelEndsWithAFinalReceipt(t *testing.T) {
	s := newSides()
	edge, relay := s.stream(t, 4, grantA)
	edge.Down(1000)
	relay.Down(900)
	s.edge.Drain()
	s.relay.Drain()
	if _, err := s.edge.Flow(8, grantA); !errors.Is(err, ErrExpired) {
		t.Errorf("a new stream: got %v, want %v", err, ErrExpired)
	}
	if r := s.receipt(t); r.Flags != 0 {
		t.Errorf("with a stream open: got flags %d, want none", r.Flags)
	}
	relay.Down(100)
	for _, x := range []struct {
		flow *Flow
		peer *Meter
	}{{edge, s.relay}, {relay, s.edge}} {
		if err := x.peer.PeerDone(x.flow.Close()); err != nil {
			t.Fatal(err)
		}
	}
	final := s.receipt(t)
	if final.Flags != FlagFinal || final.Down != 1000 {
		t.Errorf("got flags %d and %d bytes, want the final receipt of 1000", final.Flags, final.Down)
	}
	if !s.edge.Idle() || !s.relay.Idle() {
		t.Errorf("idle: got edge %t, relay %t, want both", s.edge.Idle(), s.relay.Idle())
	}
	after := lie(wire.ReceiptOffer{Body: final.Body}, func(r *Receipt) { r.Serial, r.Prev = r.Serial+1, final.Hash() })
	if _, _, err := s.edge.Cosign(after); !errors.Is(err, ErrSerial) {
		t.Errorf("a receipt after the final one: got %v, want %v", err, ErrSerial)
	}
}

func TestMeterSignsOnlyWithTheChannelsKey(t *testing.T) {
	m := NewMeter(MeterConfig{Side: EdgeSide, Network: testNetwork, Channel: testChannel(), Key: otherKey})
	if _, err := m.Flow(4, grantA); !errors.Is(err, ErrParty) {
		t.Errorf("got %v, want %v", err, ErrParty)
	}
}

func BenchmarkReceiptExchange(b *testing.B) {
	s := newSides()
	edge, relay := s.stream(b, 4, grantA)
	b.ReportAllocs()
	for b.Loop() {
		edge.Down(MinStep)
		relay.Down(MinStep)
		count, _ := s.edge.Count()
		o, err := s.relay.Offer(count)
		if err != nil {
			b.Fatal(err)
		}
		_, sign, err := s.edge.Cosign(o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.relay.Complete(sign); err != nil {
			b.Fatal(err)
		}
	}
}
