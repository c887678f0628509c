package accounting

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

func openTestSpool(t testing.TB, dir string) *Spool {
	t.Helper()
	s, err := openSpool(dir, testNetwork, func() time.Time { return testStart })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// spoolChannelN is the n-th of many channels, opened one second after the other.
func spoolChannelN(n int) SignedChannel {
	c := testChannel()
	c.EdgeNonce = [16]byte{byte(n), byte(n >> 8)}
	c.Opened += int64(n) * 1000
	return SignedChannel{Channel: c, Body: c.Append(nil), EdgeSig: make([]byte, 64), RelaySig: make([]byte, 64)}
}

func spoolReceiptN(n int, serial uint64) SignedReceipt {
	r := testReceipt()
	r.Channel, r.Serial, r.Flags, r.Prev = spoolChannelN(n).ID(testNetwork), serial, 0, [32]byte{}
	if serial > 1 {
		r.Prev[0] = 1
	}
	return SignedReceipt{Receipt: r, Body: r.Append(nil), EdgeSig: make([]byte, 64), RelaySig: make([]byte, 64)}
}

func putChannels(t testing.TB, s *Spool, n int) {
	t.Helper()
	for i := range n {
		if err := s.PutChannel(spoolChannelN(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func putReceipts(t testing.TB, s *Spool, n int, serials ...uint64) {
	t.Helper()
	for _, serial := range serials {
		if err := s.PutReceipt(spoolReceiptN(n, serial)); err != nil {
			t.Fatal(err)
		}
	}
}

// pendingSerials are the pending receipts, by the channel's number.
func pendingSerials(s *Spool) map[int]uint64 {
	serials := map[int]uint64{}
	for _, u := range s.Pending(maxSpool) {
		serials[int(u.Channel.EdgeNonce[0])+int(u.Channel.EdgeNonce[1])<<8] = u.Receipt.Serial
	}
	return serials
}

func wantPending(t *testing.T, s *Spool, want map[int]uint64) {
	t.Helper()
	if diff := cmp.Diff(want, pendingSerials(s)); diff != "" {
		t.Errorf("pending serials (-want +got):\n%s", diff)
	}
}

// copyDir is what a crash at this moment leaves on the disk.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestSpoolKeepsTheLatestReceiptOfEachChannel(t *testing.T) {
	dir := t.TempDir()
	s := openTestSpool(t, dir)
	putChannels(t, s, 3)
	putReceipts(t, s, 0, 1, 2, 3)
	putReceipts(t, s, 1, 1, 5, 4, 5) // late and repeated ones change nothing
	want := map[int]uint64{0: 3, 1: 5}
	wantPending(t, s, want)
	wantPending(t, openTestSpool(t, copyDir(t, dir)), want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openTestSpool(t, dir)
	wantPending(t, again, want)
	first := again.Pending(1)
	if len(first) != 1 || first[0].Channel.Opened != testStart.UnixMilli() {
		t.Errorf("got %d pending, want the one channel that is oldest", len(first))
	}
	if diff := cmp.Diff(Unsettled{Channel: spoolChannelN(0), Receipt: spoolReceiptN(0, 3)}, first[0]); diff != "" {
		t.Errorf("channel and receipt (-want +got):\n%s", diff)
	}
}

func TestSpoolForgetsWhatTheHubHas(t *testing.T) {
	dir := t.TempDir()
	s := openTestSpool(t, dir)
	putChannels(t, s, 2)
	putReceipts(t, s, 0, 1, 2)
	putReceipts(t, s, 1, 7)
	for _, ack := range []struct {
		channel int
		serial  uint64
	}{{0, 1}, {1, 7}, {1, 3}} {
		if err := s.Ack(spoolReceiptN(ack.channel, 1).Channel, ack.serial); err != nil {
			t.Fatal(err)
		}
	}
	wantPending(t, s, map[int]uint64{0: 2})
	putReceipts(t, s, 1, 8)
	wantPending(t, s, map[int]uint64{0: 2, 1: 8})
	if err := s.Ack(spoolReceiptN(1, 8).Channel, 8); err != nil {
		t.Fatal(err)
	}
	if err := s.Ack(ChannelID{}, 1); err != nil {
		t.Errorf("an unknown channel: got %v, want it ignored", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantPending(t, openTestSpool(t, dir), map[int]uint64{0: 2})
}

func TestSpoolRefusesAReceiptWithoutItsChannel(t *testing.T) {
	s := openTestSpool(t, t.TempDir())
	if err := s.PutReceipt(spoolReceiptN(0, 1)); !errors.Is(err, ErrChannel) {
		t.Errorf("got %v, want %v", err, ErrChannel)
	}
}

func TestSpoolShrinksWhenAllIsSettled(t *testing.T) {
	dir := t.TempDir()
	s := openTestSpool(t, dir)
	putChannels(t, s, 2)
	serial := uint64(0)
	for range 2000 { // about 800 KiB
		serial++
		putReceipts(t, s, 0, serial)
	}
	before := dirSize(t, dir)
	if err := s.Ack(spoolReceiptN(0, 1).Channel, serial); err != nil {
		t.Fatal(err)
	}
	if after := dirSize(t, dir); after > before/100 {
		t.Errorf("got %d bytes on disk, %d before all was settled", after, before)
	}
	putReceipts(t, s, 0, serial+1) // both channels are still live
	putReceipts(t, s, 1, 1)
	wantPending(t, openTestSpool(t, copyDir(t, dir)), map[int]uint64{0: serial + 1, 1: 1})
}

func TestSpoolStaysSmallWhileSomethingIsAlwaysPending(t *testing.T) {
	dir := t.TempDir()
	s := openTestSpool(t, dir)
	putChannels(t, s, 40)
	var group sync.WaitGroup
	const each = 800
	for n := range 40 { // 32 000 receipts, about 13 MiB
		group.Go(func() {
			for serial := range uint64(each) {
				if err := s.PutReceipt(spoolReceiptN(n, serial+1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if got := dirSize(t, dir); got > 2*busyGrowth {
		t.Errorf("got %d bytes on disk for 40 channels, want at most %d", got, 2*busyGrowth)
	}
	want := map[int]uint64{}
	for n := range 40 {
		want[n] = each
	}
	wantPending(t, s, want)
	wantPending(t, openTestSpool(t, copyDir(t, dir)), want)
}

// A crash while the spool is written anew leaves both editions.
func TestSpoolSurvivesACrashWhileItIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	s := openTestSpool(t, dir)
	putChannels(t, s, 3)
	putReceipts(t, s, 0, 1, 2)
	putReceipts(t, s, 1, 1)
	if err := s.Ack(spoolReceiptN(1, 1).Channel, 1); err != nil {
		t.Fatal(err)
	}
	putReceipts(t, s, 2, 4)
	s.journal.rollover()
	entries := s.keep()
	for n := range entries {
		if _, err := s.journal.Append(entries[n]); err != nil {
			t.Fatal(err)
		}
		wantPending(t, openTestSpool(t, copyDir(t, dir)), map[int]uint64{0: 2, 2: 4})
	}
}

func TestSpoolDropsWhatNobodyWillTakeAnyMore(t *testing.T) {
	s := openTestSpool(t, t.TempDir())
	now := testStart
	s.now = func() time.Time { return now }
	putChannels(t, s, 3)
	putReceipts(t, s, 0, 1)
	putReceipts(t, s, 1, 1)
	if err := s.Ack(spoolReceiptN(1, 1).Channel, 1); err != nil {
		t.Fatal(err)
	}
	channels := func() (n int) {
		for _, e := range s.keep() {
			if e.Type == spoolChannel {
				n++
			}
		}
		return n
	}
	s.End(spoolReceiptN(1, 1).Channel) // settled and its session over
	s.End(spoolReceiptN(0, 1).Channel) // not settled
	for _, x := range []struct {
		after time.Duration
		want  int
	}{{0, 2}, {2 * time.Hour, 1}, {keepUnsettled, 1}, {keepUnsettled + 2*time.Hour, 0}} {
		now = testStart.Add(x.after)
		if got := channels(); got != x.want {
			t.Errorf("%s after the channels opened: got %d of them, want %d", x.after, got, x.want)
		}
	}
}

func TestSpoolReportsATornTail(t *testing.T) {
	dir := t.TempDir()
	s := openTestSpool(t, dir)
	putChannels(t, s, 1)
	putReceipts(t, s, 0, 1, 2)
	s.Close()
	path := filepath.Join(dir, segmentName(1))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	again := openTestSpool(t, dir)
	if again.Torn().Bytes == 0 {
		t.Error("got no torn tail")
	}
	wantPending(t, again, map[int]uint64{0: 1})
}

func TestSubmitSettlesEverythingInBatches(t *testing.T) {
	s := openTestSpool(t, t.TempDir())
	const n = submitBatch + 10
	putChannels(t, s, n)
	for i := range n {
		putReceipts(t, s, i, 1)
	}
	var sizes []int
	left, err := s.Submit(t.Context(), func(_ context.Context, channels []SignedChannel, receipts []SignedReceipt) ([]Settled, error) {
		sizes = append(sizes, len(channels))
		var answers []Settled
		for _, r := range receipts {
			answers = append(answers, Settled{Channel: r.Channel, Serial: r.Serial})
		}
		return answers, nil
	})
	if left != 0 || err != nil {
		t.Errorf("got %d left, %v; want none", left, err)
	}
	if diff := cmp.Diff([]int{submitBatch, 10}, sizes); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

// The receipts of channels that many partners use are long: a batch is what one call may carry, not a number of channels.
func TestSubmitSplitsWhatIsTooLongForOneCall(t *testing.T) {
	s := openTestSpool(t, t.TempDir())
	const n = submitBatch / 2
	putChannels(t, s, n)
	for i := range n {
		r := testReceipt()
		r.Channel, r.Serial, r.Flags, r.Prev, r.Tallies = spoolChannelN(i).ID(testNetwork), 1, 0, [32]byte{}, nil
		for g := range wire.MaxTallies {
			r.Tallies = append(r.Tallies, Tally{Grant: GrantID{byte(g >> 8), byte(g)}, Down: 1, Streams: 1})
		}
		r.Sum()
		signed := SignedReceipt{Receipt: r, Body: r.Append(nil), EdgeSig: make([]byte, 64), RelaySig: make([]byte, 64)}
		if err := s.PutReceipt(signed); err != nil {
			t.Fatal(err)
		}
	}
	calls := 0
	left, err := s.Submit(t.Context(), func(_ context.Context, channels []SignedChannel, receipts []SignedReceipt) ([]Settled, error) {
		calls++
		if _, err := appendBatch(nil, channels, receipts); err != nil {
			return nil, err
		}
		var answers []Settled
		for _, r := range receipts {
			answers = append(answers, Settled{Channel: r.Channel, Serial: r.Serial})
		}
		return answers, nil
	})
	if left != 0 || err != nil || calls < 2 {
		t.Errorf("got %d left after %d calls, %v; want none, after two or more", left, calls, err)
	}
}

func TestSubmitKeepsWhatTheHubDoesNotConfirm(t *testing.T) {
	away := errors.New("the hub is away")
	for name, x := range map[string]struct {
		answer func(r SignedReceipt) Settled
		err    error
		left   int
		want   error
	}{
		"the hub is away":    {func(SignedReceipt) Settled { return Settled{} }, away, 2, away},
		"an older serial":    {func(r SignedReceipt) Settled { return Settled{Channel: r.Channel, Serial: 3} }, nil, 2, nil},
		"refused":            {func(r SignedReceipt) Settled { return Settled{Channel: r.Channel, Refused: ErrSignature} }, nil, 0, ErrSignature},
		"about nobody":       {func(SignedReceipt) Settled { return Settled{Serial: 9} }, nil, 2, nil},
		"a later one on top": {func(r SignedReceipt) Settled { return Settled{Channel: r.Channel, Serial: 9} }, nil, 0, nil},
	} {
		s := openTestSpool(t, t.TempDir())
		putChannels(t, s, 2)
		putReceipts(t, s, 0, 5)
		putReceipts(t, s, 1, 5)
		calls := 0
		left, err := s.Submit(t.Context(), func(_ context.Context, _ []SignedChannel, receipts []SignedReceipt) ([]Settled, error) {
			if calls++; calls > 1 {
				return nil, fmt.Errorf("%d calls", calls)
			}
			var answers []Settled
			for _, r := range receipts {
				answers = append(answers, x.answer(r))
			}
			return answers, x.err
		})
		if left != x.left || x.want != nil && !errors.Is(err, x.want) || (err == nil) != (x.left == 0 && x.want == nil) {
			t.Errorf("%s: got %d left, %v; want %d, %v", name, left, err, x.left, x.want)
		}
		putReceipts(t, s, 0, 10)
		if got := pendingSerials(s)[0]; got != 10 {
			t.Errorf("%s: a later receipt: got serial %d pending, want 10", name, got)
		}
	}
}

func dirSize(t *testing.T, dir string) (size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

func BenchmarkSpoolPutReceipt(b *testing.B) {
	s := openTestSpool(b, b.TempDir())
	putChannels(b, s, 1)
	b.ReportAllocs()
	for serial := uint64(1); b.Loop(); serial++ {
		if err := s.PutReceipt(spoolReceiptN(0, serial)); err != nil {
			b.Fatal(err)
		}
	}
}
