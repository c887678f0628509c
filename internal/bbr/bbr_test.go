package bbr

import (
	"testing"
	"time"

	"github.com/apernet/quic-go/congestion"
	"github.com/apernet/quic-go/monotime"
)

// steady drives a controller with full windows and acknowledgements of two, and no simulation around it.
type steady struct {
	c        *Control
	now      monotime.Time
	number   int64
	inFlight congestion.ByteCount
	acked    [2]congestion.AckedPacketInfo
	lost     [1]congestion.LostPacketInfo
}

func (s *steady) turn() {
	s.now = s.now.Add(200 * time.Microsecond)
	for i := range s.acked {
		s.c.CanSend(s.inFlight)
		s.c.HasPacingBudget(s.now)
		s.inFlight += packetSize
		s.c.OnPacketSent(s.now, s.inFlight, congestion.PacketNumber(s.number), packetSize, true)
		s.number++
		s.acked[i] = congestion.AckedPacketInfo{PacketNumber: congestion.PacketNumber(s.number - 200), BytesAcked: packetSize}
	}
	if s.number < 200 {
		return
	}
	lost := s.lost[:0]
	if s.number%100 == 0 {
		s.lost[0] = congestion.LostPacketInfo{PacketNumber: congestion.PacketNumber(s.number - 201), BytesLost: packetSize}
		lost = s.lost[:]
	}
	s.c.OnCongestionEventEx(s.inFlight, s.now, s.acked[:], lost)
	s.inFlight = max(s.inFlight-2*packetSize, 0)
	s.c.TimeUntilSend(s.inFlight)
}

func TestNoAllocationPerAcknowledgement(t *testing.T) {
	s := &steady{c: control(0), now: dawn}
	for range 10_000 {
		s.turn()
	}
	if n := testing.AllocsPerRun(10_000, s.turn); n != 0 {
		t.Errorf("%v allocations for two packets and an acknowledgement, want none", n)
	}
}

func BenchmarkAcknowledgement(b *testing.B) {
	s := &steady{c: control(0), now: dawn}
	b.ReportAllocs()
	for b.Loop() {
		s.turn()
	}
}

func TestInFlightIsReadableFromElsewhere(t *testing.T) {
	c := control(0)
	c.OnPacketSent(dawn, packetSize, 1, packetSize, true)
	c.OnPacketSent(dawn, packetSize, 2, 40, false) // an acknowledgement counts for nothing
	got := make(chan int64)
	go func() { got <- c.InFlight() }()
	if n := <-got; n != packetSize {
		t.Errorf("%d bytes in flight, want %d", n, packetSize)
	}
	c.OnCongestionEventEx(packetSize, dawn.Add(ms), []congestion.AckedPacketInfo{{PacketNumber: 1, BytesAcked: packetSize}}, nil)
	if n := c.InFlight(); n != 0 {
		t.Errorf("%d bytes in flight after the answer, want 0", n)
	}
}

// MTU discovery raises the packet, and a new path lowers it: the window never falls below four of them, and a lost
// probe is no loss.
func TestPacketSizeChanges(t *testing.T) {
	c := control(0)
	for _, size := range []congestion.ByteCount{1452, 1200, 0, -1} {
		c.SetMaxDatagramSize(size)
		if c.packet < 1200 || c.window < minWindow*c.packet {
			t.Errorf("after a size of %d: packet %d, window %d", size, c.packet, c.window)
		}
	}
	c.OnCongestionEventEx(1452, dawn, nil, []congestion.LostPacketInfo{{PacketNumber: 7, BytesLost: 1452}})
	if c.round.lostBytes != 0 {
		t.Error("a lost probe of the path's MTU counts as loss")
	}
}

// A thousand times the window may be asked for: what is in flight stays within what quic-go keeps records of.
func TestWindowIsBounded(t *testing.T) {
	c := control(0)
	c.phase.filled, c.phase.name = true, cruise
	c.base.begin(time.Second, dawn)
	c.max.take(1e12)
	c.pace()
	c.open(1 << 40)
	if got := int64(c.GetCongestionWindow()) / c.packet; got != maxWindow {
		t.Errorf("window of %d packets, want %d", got, maxWindow)
	}
	c.max = maxRate{now: 1}
	c.pace()
	c.open(0)
	if got := int64(c.GetCongestionWindow()) / c.packet; got != minWindow {
		t.Errorf("window of %d packets, want %d", got, minWindow)
	}
}

// Answers to packets that nobody knows (the handshake's, or those before the controller came) and lost ones twice.
func TestUnknownPacketsAreHarmless(t *testing.T) {
	c := control(0)
	for n := range congestion.PacketNumber(100) {
		c.OnCongestionEventEx(0, dawn.Add(time.Duration(n)*ms),
			[]congestion.AckedPacketInfo{{PacketNumber: n, BytesAcked: 1200}},
			[]congestion.LostPacketInfo{{PacketNumber: n, BytesLost: 1200}, {PacketNumber: n, BytesLost: 1200}})
	}
	if c.InFlight() != 0 || c.base.rtt != 0 || c.max.rate() != 0 {
		t.Errorf("in flight %d, round trip %v, rate %v; want none", c.InFlight(), c.base.rtt, c.max.rate())
	}
	if !c.CanSend(0) || !c.HasPacingBudget(dawn.Add(time.Second)) {
		t.Error("nothing may be sent any more")
	}
}

// untimed is a path that quic-go has not measured: it says 100 ms.
type untimed struct{ deviation time.Duration }

func (untimed) MinRTT() time.Duration          { return 100 * ms }
func (untimed) LatestRTT() time.Duration       { return 100 * ms }
func (untimed) SmoothedRTT() time.Duration     { return 100 * ms }
func (u untimed) MeanDeviation() time.Duration { return u.deviation }
func (untimed) MaxAckDelay() time.Duration     { return 25 * ms }
func (untimed) PTO(bool) time.Duration         { return 200 * ms }
func (untimed) UpdateRTT(_, _ time.Duration)   {}
func (untimed) SetMaxAckDelay(time.Duration)   {}
func (untimed) SetInitialRTT(time.Duration)    {}

func TestADefaultIsNoMeasurement(t *testing.T) {
	c := control(0)
	c.SetRTTStatsProvider(untimed{})
	if c.base.rtt != 0 {
		t.Errorf("a path that nobody timed has a round trip of %v", c.base.rtt)
	}
	if got := c.withoutAckDelay(120 * ms); got != 120*ms {
		t.Errorf("a round trip of 120 ms is taken for %v", got)
	}
	c.SetRTTStatsProvider(untimed{deviation: 50 * ms})
	if c.base.rtt != 100*ms || c.withoutAckDelay(120*ms) != 100*ms {
		t.Errorf("timed, the path has %v, and 120 ms are %v; want 100 ms", c.base.rtt, c.withoutAckDelay(120*ms))
	}
}
