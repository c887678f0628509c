package bbr

import (
	"time"

	"github.com/apernet/quic-go/monotime"
)

const (
	// lookAgain is how long the shortest round trip is believed without being seen again. Then the session holds back
	// for a moment, so that its own queue drains, and looks.
	lookAgain = 10 * time.Second
	// forgetAfter is when a shortest round trip that was not seen again is given up for the shortest of that time:
	// RFC 6817 keeps a base delay for ten minutes. A neighbour's download that fills the queue for so long is then
	// taken for the path. A session that does not yield must do so at once, or it would be starved behind such a
	// queue: a look, and what it has shown is the path (draft-ietf-ccwg-bbr §5.3.4).
	forgetAfter = 10 * time.Minute
	// flatFor is how long the round trip must stand still, longer than it was, before that is taken for another path
	// and not for a neighbour's queue, which swings as the neighbour probes.
	flatFor = 30 * time.Second
	// flatWithin is how much a path's round trip may vary and still be standing still; more on long paths.
	flatWithin = 2 * time.Millisecond
)

// baseRTT is the round trip of the path with its queues empty: the shortest one seen, until there is reason to believe
// that the path has changed.
type baseRTT struct {
	rtt    time.Duration // 0: none measured yet
	forget time.Duration // after which it is given up, if not seen again
	look   monotime.Time // when a look at it is next due, but for lookAgain

	since monotime.Time // when it was last seen, nearly
	low   time.Duration // the shortest round trip after that; 0: none

	flat    monotime.Time // since when the rounds' shortest round trips stand still
	flatLow time.Duration // between this
	flatTop time.Duration // and this; 0: no round yet
}

func (b *baseRTT) begin(rtt time.Duration, now monotime.Time) {
	*b = baseRTT{rtt: rtt, forget: b.forget, look: now, since: now}
}

// take hears of one round trip.
func (b *baseRTT) take(rtt time.Duration, now monotime.Time) {
	switch {
	case b.rtt == 0 || rtt < b.rtt:
		b.begin(rtt, now)
	case rtt <= b.rtt+nearly(b.rtt):
		b.begin(b.rtt, now)
	case b.low == 0 || rtt < b.low:
		b.low = rtt
	}
}

// nearly is how close to the shortest round trip another one counts as seeing it again: clocks and schedulers jitter,
// and waiting for the very same nanosecond would hold the session back every lookAgain.
func nearly(rtt time.Duration) time.Duration { return max(rtt/32, 200*time.Microsecond) }

// endRound hears of the shortest round trip of one round, and forgets the base when the path seems to be another.
func (b *baseRTT) endRound(rtt time.Duration, now monotime.Time) {
	low, top := min(b.flatLow, rtt), max(b.flatTop, rtt)
	if b.flatTop == 0 || top-low > max(flatWithin, b.rtt/8) {
		b.flat, low, top = now, rtt, rtt
	}
	b.flatLow, b.flatTop = low, top
	switch {
	case low > b.rtt+nearly(b.rtt) && now.Sub(b.flat) > flatFor:
		b.begin(low, now)
	case b.low > 0 && now.Sub(b.since) > b.forget:
		b.begin(b.low, now)
	}
}

// stale reports whether it is time to look for the base again.
func (b *baseRTT) stale(now monotime.Time) bool { return b.rtt > 0 && now.Sub(b.look) > lookAgain }

// looked puts the next look off: one has ended, or the path is empty and its first answer is one.
func (b *baseRTT) looked(now monotime.Time) { b.look = now }
