package accounting

import (
	"errors"
	"slices"
	"testing"

	"sward/internal/identity"
)

func TestReceiptRefusesBadValues(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*Receipt)
		want   error
	}{
		"serial zero":         {func(r *Receipt) { r.Serial = 0 }, ErrField},
		"serial past bound":   {func(r *Receipt) { r.Serial = MaxCount + 1 }, ErrField},
		"second without prev": {func(r *Receipt) { r.Prev = [32]byte{} }, ErrField},
		"first with prev":     {func(r *Receipt) { r.Serial = 1 }, ErrField},
		"negative time":       {func(r *Receipt) { r.Time = -1 }, ErrField},
		"unknown flag":        {func(r *Receipt) { r.Flags |= 2 }, ErrField},
		"tallies swapped":     {func(r *Receipt) { slices.Reverse(r.Tallies) }, ErrOrder},
		"one grant twice":     {func(r *Receipt) { r.Tallies[1].Grant = r.Tallies[0].Grant }, ErrOrder},
		"total up":            {func(r *Receipt) { r.Up++ }, ErrTotal},
		"total down":          {func(r *Receipt) { r.Down-- }, ErrTotal},
		"total streams":       {func(r *Receipt) { r.Streams++ }, ErrTotal},
		"total without tally": {func(r *Receipt) { r.Tallies = nil }, ErrTotal},
		"2^63":                {func(r *Receipt) { r.Tallies[0].Up = 1 << 63 }, ErrCount},
		"2^64-1":              {func(r *Receipt) { r.Tallies[0].Down = 1<<64 - 1 }, ErrCount},
		"sum wraps to right":  {func(r *Receipt) { r.Tallies[0].Up, r.Tallies[1].Up = 1<<63+512, 1<<63+512 }, ErrCount},
		"sum past bound":      {func(r *Receipt) { r.Tallies[0].Up, r.Tallies[1].Up = MaxCount, 1 }, ErrCount},
		"both past bound":     {func(r *Receipt) { r.Tallies[0].Up, r.Tallies[1].Down = MaxCount-1, 2 }, ErrCount},
	} {
		r := testReceipt()
		x.change(&r)
		if _, err := ParseReceipt(r.Append(nil)); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
}

func TestReceiptHoldsNoMoreGrantsThanAFrame(t *testing.T) {
	r := testReceipt()
	r.Tallies = make([]Tally, MaxTallies)
	for i := range r.Tallies {
		r.Tallies[i] = Tally{Grant: GrantID{0: byte(i >> 8), 1: byte(i)}, Up: 1, Down: 2, Streams: 3}
	}
	if !r.Sum() || r.Up != MaxTallies || r.Streams != 3*MaxTallies {
		t.Fatalf("sums of %d tallies: got up %d, streams %d", MaxTallies, r.Up, r.Streams)
	}
	if _, err := ParseSignedReceipt(signedReceipt(r).Bytes()); err != nil {
		t.Errorf("%d tallies: got %v, want them accepted", MaxTallies, err)
	}
	r.Tallies = append(r.Tallies, Tally{Grant: fill16(0xff)})
	if _, err := ParseReceipt(r.Append(nil)); !errors.Is(err, ErrLength) {
		t.Errorf("%d tallies: got %v, want %v", MaxTallies+1, err, ErrLength)
	}
}

func TestReceiptNeedsBothChannelKeys(t *testing.T) {
	other := testChannel()
	other.RelayNonce[0]++
	for name, x := range map[string]struct {
		network string
		channel Channel
		change  func(*SignedReceipt)
		want    error
	}{
		"good":             {testNetwork, testChannel(), func(*SignedReceipt) {}, nil},
		"another network":  {"main", testChannel(), func(*SignedReceipt) {}, ErrChannel},
		"another channel":  {testNetwork, other, func(*SignedReceipt) {}, ErrChannel},
		"changed later":    {testNetwork, testChannel(), func(r *SignedReceipt) { r.Time++ }, ErrBody},
		"edge alone":       {testNetwork, testChannel(), func(r *SignedReceipt) { r.RelaySig = make([]byte, 64) }, ErrHalfSigned},
		"relay alone":      {testNetwork, testChannel(), func(r *SignedReceipt) { r.EdgeSig = nil }, ErrHalfSigned},
		"signed by itself": {testNetwork, testChannel(), func(r *SignedReceipt) { r.EdgeSig = r.RelaySig }, ErrSignature},
		"identity's key":   {testNetwork, testChannel(), func(r *SignedReceipt) { r.EdgeSig = r.Sign(testNetwork, edgeKey) }, ErrSignature},
		"another relay":    {testNetwork, testChannel(), func(r *SignedReceipt) { r.RelaySig = r.Sign(testNetwork, otherKey) }, ErrSignature},
		"scalar + order":   {testNetwork, testChannel(), func(r *SignedReceipt) { r.RelaySig = malleate(r.RelaySig) }, ErrSignature},
	} {
		r := signedReceipt(testReceipt())
		x.change(&r)
		if err := r.Verify(x.network, x.channel); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
}

func TestReceiptsVerifyInABatchAsOneByOne(t *testing.T) {
	good, bad := signedReceipt(testReceipt()), signedReceipt(testReceipt())
	bad.EdgeSig = bad.Sign(testNetwork, otherKey)
	var all []identity.Signed
	for _, r := range []SignedReceipt{good, bad} {
		s := r.Signatures(testChannel())
		all = append(all, s[:]...)
	}
	if got, want := identity.VerifyBatch(testNetwork, all), []bool{true, true, false, true}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A receipt that differs in nothing but its time is another receipt: signing both is a fork.
func TestReceiptHashCoversEveryField(t *testing.T) {
	seen := map[[32]byte]string{testReceipt().Hash(): "as it is"}
	for name, change := range map[string]func(*Receipt){
		"channel": func(r *Receipt) { r.Channel[0]++ }, "serial": func(r *Receipt) { r.Serial++ },
		"up": func(r *Receipt) { r.Up++ }, "down": func(r *Receipt) { r.Down++ }, "streams": func(r *Receipt) { r.Streams++ },
		"time": func(r *Receipt) { r.Time++ }, "flags": func(r *Receipt) { r.Flags++ }, "prev": func(r *Receipt) { r.Prev[0]++ },
		"tally": func(r *Receipt) { r.Tallies[1].Down++ }, "grant": func(r *Receipt) { r.Tallies[1].Grant[0]++ },
	} {
		r := testReceipt()
		change(&r)
		if before, known := seen[r.Hash()]; known {
			t.Errorf("%s: got the hash of the receipt with another %s", name, before)
		}
		seen[r.Hash()] = name
	}
}

func BenchmarkReceiptVerify(b *testing.B) {
	r, c := signedReceipt(testReceipt()), testChannel()
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Verify(testNetwork, c); err != nil {
			b.Fatal(err)
		}
	}
}
