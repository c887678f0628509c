package bbr

import (
	"testing"
	"time"
)

// Two packets a millisecond leave, and arrive 50 ms later: the sampler sees their rate, whoever bunches the answers.
func TestSamplerSeesTheRate(t *testing.T) {
	for _, bunch := range []int64{2, 20} {
		var s sampler
		s.idle(dawn)
		var got rate
		for n := int64(0); n < 1000; n += 2 {
			now := dawn.Add(time.Duration(n/2) * ms)
			s.sent(now, n, 1000)
			s.sent(now, n+1, 1000)
			if n < 100 || n%bunch != 0 {
				continue
			}
			s.begin()
			for a := n - 100 - bunch; a < n-100; a++ {
				s.acked(now, a, 1000)
			}
			if r, ok := s.sample(now); ok && n > 300 {
				got = max(got, r.rate)
			}
		}
		if got < 1.9e6 || got > 2.5e6 {
			t.Errorf("in bunches of %d: %v bytes a second, want 2e6", bunch, got)
		}
	}
}

func TestSamplerMarksASenderWithLittleToSay(t *testing.T) {
	var s sampler
	s.idle(dawn)
	s.sent(dawn, 1, 1000)
	s.markAppLimited(1000)
	s.sent(dawn, 2, 1000)
	for n, want := range map[int64]bool{1: false, 2: true} {
		s.begin()
		s.acked(dawn.Add(ms), n, 1000)
		if r, ok := s.sample(dawn.Add(ms)); !ok || r.appLimited != want {
			t.Errorf("packet %d: app-limited %v (%v), want %v", n, r.appLimited, ok, want)
		}
	}
	s.sent(dawn, 3, 1000)
	s.begin()
	s.acked(dawn.Add(2*ms), 3, 1000)
	if r, _ := s.sample(dawn.Add(2 * ms)); r.appLimited {
		t.Error("the mark outlives what was in flight")
	}
}

// Records are bounded: by those in flight, by the most that may be, and by a pause that gives them back.
func TestSamplerMemoryIsBounded(t *testing.T) {
	var s sampler
	now := dawn
	for n := range int64(100_000) { // all answered but for one in a thousand, given up without a word
		now = now.Add(ms)
		s.sent(now, n, 1000)
		if n%1000 != 0 {
			s.acked(now, n, 1000)
		}
	}
	if len(s.ring) > 64 {
		t.Errorf("%d records for one packet in flight", len(s.ring))
	}
	for n := range int64(3 * largeRing) { // none answered
		s.sent(now, 100_000+n, 1000)
	}
	if len(s.ring) != largeRing {
		t.Errorf("%d records, want at most %d", len(s.ring), largeRing)
	}
	now = now.Add(time.Minute)
	s.idle(now)
	s.sent(now, 1<<20, 1000)
	if len(s.ring) != smallRing {
		t.Errorf("%d records after a pause, want %d", len(s.ring), smallRing)
	}
}
