package bbr

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/apernet/quic-go/congestion"
	"github.com/apernet/quic-go/monotime"
)

// The link of these tests is a list of events in a time that only they move: packets leave a sender when its controller
// lets them, are lost at random, wait in one tail-drop queue that all senders share, cross, and are acknowledged in
// twos, as quic-go's receiver does. The same seed gives the same run to the byte.

const packetSize = 1252

type world struct {
	now    monotime.Time
	events events
	random *rand.Rand

	rate   float64 // bytes a second
	delay  time.Duration
	buffer int64   // bytes
	loss   float64 // share
	jitter time.Duration
	free   monotime.Time // when the queue is empty

	from  monotime.Time // measurements count from here
	queue []time.Duration
}

type event struct {
	at  monotime.Time
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

const dawn = monotime.Time(time.Hour)

// line makes a world with one bottleneck: Mbit/s, round trip, queue in time at that rate, share lost at random.
func line(mbit float64, rtt, queue time.Duration, loss float64) *world {
	w := &world{now: dawn, from: dawn, random: rand.New(rand.NewPCG(1, 2)), delay: rtt / 2, loss: loss}
	w.setRate(mbit)
	w.buffer = max(int64(w.rate*queue.Seconds()), 2*packetSize)
	return w
}

func (w *world) setRate(mbit float64) { w.rate = mbit * 1e6 / 8 }

func (w *world) after(d time.Duration, do func()) {
	w.seq(w.now.Add(d), do)
}

var seq int

func (w *world) seq(at monotime.Time, do func()) {
	seq++
	heap.Push(&w.events, event{at, seq, do})
}

func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.events) > 0 && w.events[0].at <= end {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

// measure forgets what was measured so far.
func (w *world) measure(flows ...*flow) {
	w.from, w.queue = w.now, nil
	for _, f := range flows {
		f.got, f.lostBytes, f.sentBytes, f.delays = 0, 0, 0, nil
	}
}

// cross carries a packet to the other end, or drops it.
func (w *world) cross(size int64, arrive func(queued time.Duration)) {
	if w.random.Float64() < w.loss {
		return
	}
	w.free = max(w.free, w.now)
	queued := w.free.Sub(w.now)
	if int64(queued.Seconds()*w.rate)+size > w.buffer {
		return
	}
	w.queue = append(w.queue, queued)
	w.free = w.free.Add(time.Duration(float64(size) / w.rate * 1e9))
	d := w.free.Sub(w.now) + w.delay
	if w.jitter > 0 {
		d += time.Duration(w.random.Int64N(int64(w.jitter)))
	}
	w.after(d, func() { arrive(queued) })
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Clone(d)
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))]
}

// flow is a sender with its receiver.
type flow struct {
	w  *world
	cc congestion.CongestionControlEx

	data func(now monotime.Time) bool // whether there is something to say; nil: always

	next      int64
	inFlight  int64
	out       []outstanding // in order
	largest   int64
	srtt      time.Duration
	waking    monotime.Time
	lossTimer bool

	unacked []int64 // receiver
	delayed bool

	got, lostBytes, sentBytes int64
	delays                    []time.Duration
}

type outstanding struct {
	number int64
	sent   monotime.Time
	gone   bool
}

func (w *world) flow(cc congestion.CongestionControlEx) *flow {
	f := &flow{w: w, cc: cc, largest: -1}
	w.after(0, f.send)
	return f
}

// send does what quic-go's connection does when it wakes.
func (f *flow) send() {
	now := f.w.now
	for f.cc.CanSend(congestion.ByteCount(f.inFlight)) {
		if !f.cc.HasPacingBudget(now) {
			at := f.cc.TimeUntilSend(congestion.ByteCount(f.inFlight))
			if at <= now {
				panic("told to wait for what is past")
			}
			if f.waking <= now || at < f.waking {
				f.waking = at
				f.w.seq(at, f.send)
			}
			return
		}
		if f.data != nil && !f.data(now) {
			return
		}
		f.packet(now)
	}
}

func (f *flow) packet(now monotime.Time) {
	n := f.next
	f.next++
	f.inFlight += packetSize
	f.sentBytes += packetSize
	f.out = append(f.out, outstanding{number: n, sent: now})
	f.cc.OnPacketSent(now, congestion.ByteCount(f.inFlight), congestion.PacketNumber(n), packetSize, true)
	f.w.cross(packetSize, func(queued time.Duration) { f.receive(n, queued) })
}

func (f *flow) receive(n int64, queued time.Duration) {
	f.got += packetSize
	f.delays = append(f.delays, queued)
	f.unacked = append(f.unacked, n)
	if len(f.unacked) >= 2 {
		f.acknowledge()
	} else if !f.delayed {
		f.delayed = true
		f.w.after(25*time.Millisecond, func() {
			f.delayed = false
			if len(f.unacked) > 0 {
				f.acknowledge()
			}
		})
	}
}

func (f *flow) acknowledge() {
	numbers := f.unacked
	f.unacked = nil
	f.w.after(f.w.delay, func() { f.acked(numbers) })
}

func (f *flow) acked(numbers []int64) {
	now, prior := f.w.now, f.inFlight
	slices.Sort(numbers)
	var acked []congestion.AckedPacketInfo
	for _, n := range numbers {
		i, ok := slices.BinarySearchFunc(f.out, n, func(o outstanding, n int64) int { return int(o.number - n) })
		if !ok || f.out[i].gone {
			continue
		}
		f.out[i].gone = true
		f.inFlight -= packetSize
		if n > f.largest {
			f.largest = n
			f.srtt = now.Sub(f.out[i].sent)
		}
		acked = append(acked, congestion.AckedPacketInfo{PacketNumber: congestion.PacketNumber(n), BytesAcked: packetSize})
	}
	lost := f.detect(now)
	if len(acked)+len(lost) > 0 {
		f.cc.OnCongestionEventEx(congestion.ByteCount(prior), now, acked, lost)
	}
	f.send()
}

// detect finds lost packets as RFC 9002 §6.1 does, and keeps a timer for the last ones.
func (f *flow) detect(now monotime.Time) (lost []congestion.LostPacketInfo) {
	delay := max(f.srtt*9/8, time.Millisecond)
	pending := false
	for i := range f.out {
		o := &f.out[i]
		if o.gone {
			continue
		}
		if o.number >= f.largest {
			break
		}
		if f.largest-o.number >= 3 || now.Sub(o.sent) >= delay {
			o.gone = true
			f.inFlight -= packetSize
			f.lostBytes += packetSize
			lost = append(lost, congestion.LostPacketInfo{PacketNumber: congestion.PacketNumber(o.number), BytesLost: packetSize})
			continue
		}
		pending = true
	}
	for len(f.out) > 0 && f.out[0].gone {
		f.out = f.out[1:]
	}
	if (pending || len(f.out) > 0) && !f.lossTimer {
		f.lossTimer = true
		f.w.after(2*delay+50*time.Millisecond, f.timeout)
	}
	return lost
}

// timeout gives up what a whole flight's loss has left without an acknowledgement: quic-go would probe.
func (f *flow) timeout() {
	f.lossTimer = false
	now, prior := f.w.now, f.inFlight
	if len(f.out) > 0 && now.Sub(f.out[0].sent) > 2*f.srtt+50*time.Millisecond {
		f.largest = max(f.largest, f.out[len(f.out)-1].number-1)
	}
	if lost := f.detect(now); len(lost) > 0 {
		f.cc.OnCongestionEventEx(congestion.ByteCount(prior), now, nil, lost)
	}
	f.send()
}

// mbit is what has arrived since the measurement began, in Mbit/s.
func (f *flow) mbit() float64 {
	return float64(f.got) * 8 / 1e6 / f.w.now.Sub(f.w.from).Seconds()
}

// call is a paced flow that nothing slows down: a video call. It has a packet every interval.
func (w *world) call(mbit float64) *flow {
	f := &flow{w: w}
	var tick func()
	tick = func() {
		f.w.cross(packetSize, func(queued time.Duration) {
			f.got += packetSize
			f.delays = append(f.delays, queued)
		})
		w.after(time.Duration(packetSize*8/mbit*1e3), tick)
	}
	w.after(0, tick)
	return f
}

// cubic is a loss-based neighbour: RFC 9438 without its TCP-friendly region, or Reno. It is here to compete, not to
// be exact.
type cubic struct {
	reno      bool
	window    float64 // packets
	threshold float64
	most      float64
	since     monotime.Time
	recover   monotime.Time
	sent      map[int64]monotime.Time
	srtt      time.Duration
}

func newCubic(reno bool) *cubic {
	return &cubic{reno: reno, window: 10, threshold: math.Inf(1), sent: map[int64]monotime.Time{}}
}

func (c *cubic) OnPacketSent(now monotime.Time, _ congestion.ByteCount, n congestion.PacketNumber, _ congestion.ByteCount, _ bool) {
	c.sent[int64(n)] = now
}

func (c *cubic) OnCongestionEventEx(_ congestion.ByteCount, now monotime.Time, acked []congestion.AckedPacketInfo, lost []congestion.LostPacketInfo) {
	for _, p := range lost {
		if c.sent[int64(p.PacketNumber)] > c.recover {
			c.recover, c.since, c.most = now, now, c.window
			beta := 0.7
			if c.reno {
				beta = 0.5
			}
			c.window = max(c.window*beta, 2)
			c.threshold = c.window
		}
		delete(c.sent, int64(p.PacketNumber))
	}
	for _, p := range acked {
		c.srtt = now.Sub(c.sent[int64(p.PacketNumber)])
		delete(c.sent, int64(p.PacketNumber))
		switch {
		case c.window < c.threshold:
			c.window++
		case c.reno:
			c.window += 1 / c.window
		default:
			t := (now.Sub(c.since) + c.srtt).Seconds() - math.Cbrt(c.most*0.3/0.4)
			if want := 0.4*t*t*t + c.most; want > c.window {
				c.window += (min(want, 1.5*c.window) - c.window) / c.window
			} else {
				c.window += 0.01 / c.window
			}
		}
	}
}

func (c *cubic) CanSend(inFlight congestion.ByteCount) bool {
	return float64(inFlight) < c.window*packetSize
}
func (c *cubic) HasPacingBudget(monotime.Time) bool               { return true }
func (c *cubic) TimeUntilSend(congestion.ByteCount) monotime.Time { return 0 }
func (c *cubic) SetRTTStatsProvider(congestion.RTTStatsProvider)  {}
func (c *cubic) MaybeExitSlowStart()                              {}
func (c *cubic) OnRetransmissionTimeout(bool)                     {}
func (c *cubic) SetMaxDatagramSize(congestion.ByteCount)          {}
func (c *cubic) InSlowStart() bool                                { return false }
func (c *cubic) InRecovery() bool                                 { return false }
func (c *cubic) GetCongestionWindow() congestion.ByteCount        { return 0 }
func (c *cubic) OnPacketAcked(congestion.PacketNumber, congestion.ByteCount, congestion.ByteCount, monotime.Time) {
}
func (c *cubic) OnCongestionEvent(congestion.PacketNumber, congestion.ByteCount, congestion.ByteCount) {
}
