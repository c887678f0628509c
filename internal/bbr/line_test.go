package bbr

import (
	"testing"
	"time"

	"github.com/apernet/quic-go/congestion"
	"github.com/apernet/quic-go/monotime"
)

const (
	ms = time.Millisecond
	// off turns the bound on the queue off.
	off = -1
)

func control(yield time.Duration) *Control {
	return New(Config{PacketSize: packetSize, Yield: yield, seed: 1})
}

// One sender on a line of its own: what it carries, and how long its queue stands.
func TestLineIsFilledAndItsQueueIsNot(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mbit   float64
		rtt    time.Duration
		buffer time.Duration // of the queue, at the line's rate
		loss   float64
		yield  time.Duration

		goodput float64       // at least, as a share of the line's rate
		median  time.Duration // of the queue that packets met, at most
		most    time.Duration // of 95 in a hundred
	}{
		{"the goal: 1 % lost", 100, 50 * ms, time.Second, 0.01, 0, 0.96, 2 * ms, 25 * ms},
		{"the goal, not yielding", 100, 50 * ms, time.Second, 0.01, off, 0.96, 2 * ms, 50 * ms},
		{"nothing lost", 100, 50 * ms, time.Second, 0, 0, 0.98, 2 * ms, 25 * ms},
		{"a bad radio: 5 % lost", 100, 50 * ms, time.Second, 0.05, 0, 0.85, 2 * ms, 25 * ms},
		{"a worse one: 10 % lost", 50, 50 * ms, time.Second, 0.10, 0, 0.75, 2 * ms, 25 * ms},
		{"a buffer of eight packets", 100, 50 * ms, 1 * ms, 0, 0, 0.88, 1 * ms, 1 * ms},
		{"and 1 % lost", 100, 50 * ms, 1 * ms, 0.01, 0, 0.85, 1 * ms, 1 * ms},
		{"a short buffer", 100, 50 * ms, 5 * ms, 0, 0, 0.96, 2 * ms, 5 * ms},
		{"a bloated buffer", 10, 30 * ms, 2 * time.Second, 0, 0, 0.96, 15 * ms, 25 * ms},
		{"a bloated buffer, not yielding", 10, 30 * ms, 2 * time.Second, 0, off, 0.96, 30 * ms, 45 * ms},
		{"a slow line", 1, 40 * ms, 500 * ms, 0.01, 0, 0.90, 30 * ms, 50 * ms}, // a packet is 10 ms
		{"a long line", 50, 300 * ms, 500 * ms, 0.01, 0, 0.93, 5 * ms, 80 * ms},
		{"a fast line", 500, 20 * ms, 50 * ms, 0.001, 0, 0.95, 2 * ms, 25 * ms},
		{"a fast short line", 500, 2 * ms, 50 * ms, 0, 0, 0.95, 2 * ms, 10 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := line(tc.mbit, tc.rtt, tc.buffer, tc.loss)
			f := w.flow(control(tc.yield))
			w.run(4 * time.Second)
			w.measure(f)
			w.run(8 * time.Second)
			median, most := quantile(w.queue, 0.5), quantile(w.queue, 0.95)
			t.Logf("%.1f of %.0f Mbit/s, queue %v, 95 %% within %v", f.mbit(), tc.mbit, median, most)
			if f.mbit() < tc.goodput*tc.mbit {
				t.Errorf("carried %.1f Mbit/s of %.0f, want at least %.1f", f.mbit(), tc.mbit, tc.goodput*tc.mbit)
			}
			if median > tc.median || most > tc.most {
				t.Errorf("queue %v, 95 %% within %v; want at most %v and %v", median, most, tc.median, tc.most)
			}
		})
	}
}

// Startup doubles until the line is full, and must not drown a short queue or stand in a deep one.
func TestStartupFindsTheRateWithoutADisaster(t *testing.T) {
	for _, tc := range []struct {
		name   string
		buffer time.Duration
		loss   float64
		lost   float64       // share of what was sent in two seconds, at most
		queue  time.Duration // at most
	}{
		{"deep", time.Second, 0, 0, 75 * ms},
		{"deep, 1 % lost", time.Second, 0.01, 0.02, 75 * ms},
		{"short", 20 * ms, 0, 0.08, 20 * ms},
		{"eight packets", 1 * ms, 0, 0.15, 1 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := line(100, 50*ms, tc.buffer, tc.loss)
			c := control(0)
			f := w.flow(c)
			w.run(2 * time.Second)
			lost := float64(f.lostBytes) / float64(f.sentBytes)
			most := quantile(w.queue, 1)
			t.Logf("%.1f Mbit/s, lost %.3f, queue up to %v", f.mbit(), lost, most)
			if c.InSlowStart() {
				t.Error("still starting after two seconds")
			}
			if f.mbit() < 75 || lost > tc.lost || most > tc.queue {
				t.Errorf("%.1f Mbit/s, lost %.3f, queue %v; want at least 75, at most %.3f and %v", f.mbit(), lost, most, tc.lost, tc.queue)
			}
		})
	}
}

// Beside another sender in the same queue, each has a share. A session that yields takes the crumbs of a full queue,
// and at least an eighth of what the line once gave.
func TestNeighboursHaveTheirShare(t *testing.T) {
	loss := func(reno bool) func() congestion.CongestionControlEx {
		return func() congestion.CongestionControlEx { return newCubic(reno) }
	}
	own := func(yield time.Duration) func() congestion.CongestionControlEx {
		return func() congestion.CongestionControlEx {
			return New(Config{PacketSize: packetSize, Yield: yield, seed: 5})
		}
	}
	for _, tc := range []struct {
		name        string
		neighbour   func() congestion.CongestionControlEx
		yield       time.Duration
		buffer      time.Duration
		least, most float64 // our share of what both carry
	}{
		{"yields to cubic in a deep queue", loss(false), 0, 200 * ms, 0.10, 0.15},
		{"yields to reno in a deep queue", loss(true), 0, 200 * ms, 0.10, 0.15},
		{"yields to cubic", loss(false), 0, 50 * ms, 0.10, 0.30},
		{"shares a short queue with cubic", loss(false), 0, 20 * ms, 0.20, 0.85},
		{"does not starve behind cubic", loss(false), off, 200 * ms, 0.04, 0.5},
		{"shares with cubic", loss(false), off, 50 * ms, 0.25, 0.70},
		{"shares with reno", loss(true), off, 50 * ms, 0.25, 0.75},
		{"shares with its own kind", own(0), 0, 200 * ms, 0.2, 0.85},
		{"shares a tiny queue with its own kind", own(0), 0, 5 * ms, 0.2, 0.8},
		{"shares with its own kind, not yielding", own(off), off, 200 * ms, 0.2, 0.85},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := line(50, 40*ms, tc.buffer, 0)
			us := w.flow(control(tc.yield))
			w.run(5 * time.Second)
			them := w.flow(tc.neighbour())
			w.run(15 * time.Second)
			w.measure(us, them)
			w.run(25 * time.Second)
			all := us.mbit() + them.mbit()
			share := us.mbit() / all
			t.Logf("we %.1f, they %.1f Mbit/s", us.mbit(), them.mbit())
			if all < 47 {
				t.Errorf("together %.1f Mbit/s of 50", all)
			}
			if share < tc.least || share > tc.most {
				t.Errorf("our share is %.2f, want between %.2f and %.2f", share, tc.least, tc.most)
			}
			them.data = func(monotime.Time) bool { return false }
			w.run(5 * time.Second)
			w.measure(us)
			w.run(3 * time.Second)
			if us.mbit() < 45 {
				t.Errorf("the neighbour is gone for five seconds, and we carry %.1f Mbit/s of 50", us.mbit())
			}
		})
	}
}

// A video call in the house, and a line that changes under us.
func TestCallIsNotDisturbed(t *testing.T) {
	w := line(20, 40*ms, 500*ms, 0)
	call := w.call(4)
	us := w.flow(control(0))
	w.run(3 * time.Second)
	for _, tc := range []struct {
		name         string
		mbit         float64
		settle       time.Duration
		least        float64 // Mbit/s of ours
		median, most time.Duration
	}{
		{"steady", 20, 0, 15.3, 15 * ms, 26 * ms},
		{"the line drops to 8", 8, 3 * time.Second, 3, 20 * ms, 45 * ms},
		{"the line rises to 40", 40, 4 * time.Second, 34, 15 * ms, 26 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.setRate(tc.mbit)
			w.run(tc.settle)
			w.measure(us, call)
			w.run(10 * time.Second)
			median, most := quantile(call.delays, 0.5), quantile(call.delays, 0.95)
			t.Logf("we %.1f Mbit/s, the call waits %v, 95 %% within %v", us.mbit(), median, most)
			if us.mbit() < tc.least {
				t.Errorf("we carry %.1f Mbit/s, want %.1f", us.mbit(), tc.least)
			}
			if median > tc.median || most > tc.most {
				t.Errorf("the call waits %v, 95 %% within %v; want %v and %v", median, most, tc.median, tc.most)
			}
		})
	}
}

// A path that grew longer looks like somebody's queue, until it has stood still for flatFor.
func TestLongerPathIsBelievedInTheEnd(t *testing.T) {
	w := line(20, 40*ms, 500*ms, 0)
	c := control(0)
	us := w.flow(c)
	w.run(5 * time.Second)
	w.delay = 60 * ms
	w.measure(us)
	w.run(15 * time.Second)
	if got := us.mbit(); got < 1.5 {
		t.Errorf("%.1f Mbit/s while it is a question, want the eighth that is always ours", got)
	}
	w.run(flatFor)
	w.measure(us)
	w.run(5 * time.Second)
	if got := us.mbit(); got < 18 {
		t.Errorf("%.1f Mbit/s of 20 after %v; the shortest round trip is %v", got, flatFor, c.base.rtt)
	}
}

// A sender that says little, then much: what it measured while it said little is no limit.
func TestAppLimitedSenderKeepsItsRate(t *testing.T) {
	w := line(50, 40*ms, 200*ms, 0.01)
	c := control(0)
	f := w.flow(c)
	w.run(3 * time.Second)
	known := c.max.rate()
	left := 0
	f.data = func(monotime.Time) bool {
		left--
		return left >= 0
	}
	var ask func()
	ask = func() {
		if f.data == nil {
			return
		}
		left = 16 // 20 kB each 100 ms: 1.6 Mbit/s
		f.send()
		w.after(100*ms, ask)
	}
	ask()
	w.run(20 * time.Second)
	if got := c.max.rate(); got < known*9/10 {
		t.Errorf("after twenty quiet seconds the path is believed to carry %.1f Mbit/s, was %.1f", got*8e-6, known*8e-6)
	}
	f.data = nil
	f.send()
	w.measure(f)
	w.run(time.Second)
	if f.mbit() < 40 {
		t.Errorf("%.1f Mbit/s in the first second of plenty", f.mbit())
	}
}

// A blackout loses the whole flight and says nothing of the path after it.
func TestBlackoutIsSurvived(t *testing.T) {
	w := line(50, 40*ms, 200*ms, 0)
	c := control(0)
	f := w.flow(c)
	w.run(3 * time.Second)
	w.loss = 1
	w.run(3 * time.Second)
	c.OnRetransmissionTimeout(true)
	w.loss = 0
	f.timeout()
	w.run(time.Second)
	w.measure(f)
	w.run(3 * time.Second)
	if f.mbit() < 45 {
		t.Errorf("%.1f Mbit/s of 50 after a blackout", f.mbit())
	}
}

// What a relay is given by its client comes in drops, and the machine is busy: neither is the path's rate.
func TestSenderFedInDropsFindsTheRate(t *testing.T) {
	for _, drop := range []int{4, 20, 60} { // packets in 10 ms: 4, 20 and 60 Mbit/s
		w := line(100, 50*ms, 50*ms, 0.001)
		c := control(0)
		f := w.flow(c)
		left := 0
		f.data = func(monotime.Time) bool {
			left--
			return left >= 0
		}
		var feed func()
		feed = func() {
			if f.data == nil {
				return
			}
			left = drop
			f.send()
			w.after(10*ms, feed)
		}
		feed()
		w.run(3 * time.Second)
		f.data = nil
		f.send()
		w.run(2 * time.Second)
		w.measure(f)
		w.run(2 * time.Second)
		t.Logf("fed %d packets at a time, then %.1f of 100 Mbit/s", drop, f.mbit())
		if f.mbit() < 85 {
			t.Errorf("fed %d packets at a time, then %.1f of 100 Mbit/s, in phase %d", drop, f.mbit(), c.phase.name)
		}
	}
}

// At a rate that has less than a burst on its way, everything is acknowledged between two bursts: the sender waits for the
// pacer then, and must not be taken for one with nothing to say, which never probes.
func TestSlowSessionProbes(t *testing.T) {
	for _, rtt := range []time.Duration{2 * ms, 10 * ms, 50 * ms} {
		w := line(0.3, rtt, time.Second, 0)
		c := control(0)
		f := w.flow(c)
		w.run(20 * time.Second)
		w.setRate(20)
		w.buffer, w.free = int64(w.rate*0.1), w.now
		w.run(20 * time.Second)
		w.measure(f)
		w.run(5 * time.Second)
		if f.mbit() < 16 {
			t.Errorf("round trip of %v: %.1f Mbit/s of 20, after the line carried 0.3", rtt, f.mbit())
		}
	}
}
