package edge

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sward/internal/wire"
	"sward/policy"
)

// lentByte is one direction of a stream with everything that the owner holds it to.
func lentByte(t testing.TB, caps policy.Caps) *lane {
	t.Helper()
	v, err := openVolume(filepath.Join(t.TempDir(), volumeFile), caps, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return &lane{volume: v, pace: paced{pace: newPace(0)}, moved: new(atomic.Int64), total: new(atomic.Int64)}
}

func TestMovingBytesAllocatesNothing(t *testing.T) {
	l := lentByte(t, policy.Caps{Day: 1e12})
	b := newGrantBook(t)
	g, err := b.accept(b.relay, b.sign(1, 1<<40, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.allow(t.Context(), 1); err != nil { // takes the lease
		t.Fatal(err)
	}
	ctx := t.Context()
	allocs := testing.AllocsPerRun(500, func() {
		paid, err := g.reserve(ctx, 4<<10)
		if err != nil {
			t.Fatal(err)
		}
		n, err := l.allow(ctx, paid)
		if err != nil {
			t.Fatal(err)
		}
		g.giveBack(paid - n)
		l.settle(n)
	})
	if allocs != 0 {
		t.Errorf("each piece costs %.1f allocations, want none", allocs)
	}
}

func BenchmarkLentBytes(b *testing.B) {
	const piece = 32 << 10
	l := lentByte(b, policy.Caps{Day: 1e18})
	ctx := b.Context()
	b.SetBytes(piece)
	b.ReportAllocs()
	for b.Loop() {
		n, err := l.allow(ctx, piece)
		if err != nil {
			b.Fatal(err)
		}
		l.settle(n)
	}
}

func TestHoursEndRunningStreamsAndTellTheRelay(t *testing.T) {
	const open = 20 * time.Minute // less than the life of the channel, whose end would cut the stream as well
	var offset atomic.Int64
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t), func(c *Config) {
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		now, end := time.Now(), time.Now().Add(open)
		c.Settings.Policy.Hours = map[string]string{weekday(now): "00:00-24:00"} // where the test runs shortly before midnight
		c.Settings.Policy.Hours[weekday(end)] = "00:00-" + max(end.Format("15:04"), "00:01")
	})
	s := r.next()
	awaitStatus(t, s, false)
	st, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	offset.Store(int64(2 * open))
	e.announce() // what the next tick does
	awaitStatus(t, s, true)
	if err := st.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Read(make([]byte, 1)); wire.CodeOf(err) != wire.OutOfHours {
		t.Errorf("the running stream: got %v, want it cut with %s", err, wire.OutOfHours)
	}
	st.end()
	if _, err := s.open(t.Context(), r.grant(), "site.example", 80); wire.CodeOf(err) != wire.OutOfHours {
		t.Errorf("a new stream: got %v, want %s", err, wire.OutOfHours)
	}
}

// weekday is the key of t's day in the owner's hours.
func weekday(t time.Time) string { return strings.ToLower(t.Format("Mon")) }
