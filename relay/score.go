package relay

import (
	"hash/fnv"
	"math"
	"net/netip"
	"time"

	"golang.org/x/net/publicsuffix"

	"sward/internal/wire"
)

const (
	// siteClasses is into how many classes targets' domains fall, by hash: an edge that one site turns away is passed over
	// for that site, and goes on serving the others. Sites that share a class are judged as one.
	siteClasses = 16
	// goodGain is what one opening that succeeded counts against all before it, badGain one that failed (exponentially
	// weighted means). An edge among thousands is asked once or twice a minute, so a failure must tell at once.
	goodGain = 1.0 / 6
	badGain  = 1.0 / 3
	// scoreMemory is the time after which what was measured counts 1/e: an edge nobody has asked for a while is taken for
	// a new one again.
	scoreMemory = 10 * time.Minute
	// slowest bounds the delay that is believed of one opening, as a multiple of the usual one.
	slowest = 20
)

// measure is one decaying mean of outcomes. The zero value is an edge that was never asked: no failures, the usual delay.
// It is small, since each edge has one for each class of sites.
type measure struct {
	failing float32 // share of openings that failed
	delay   float32 // beyond the usual, in multiples of it: 0 as quick as others, 1 twice as slow
	at      int32   // of the last opening, in seconds since the epoch of the scores
}

// score is what openings on an edge have shown.
type score struct {
	all   measure
	sites [siteClasses]measure
}

// scoreEpoch is second 0 of measures, so that their times fit into 32 bits for another century.
var scoreEpoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func seconds(now time.Time) int32 { return int32(now.Sub(scoreEpoch) / time.Second) }

// fade is what is left of m by now.
func (m measure) fade(now time.Time) measure {
	if m.at == 0 {
		return measure{}
	}
	age := float64(seconds(now) - m.at)
	if age <= 0 {
		return m
	}
	left := float32(math.Exp(-age / scoreMemory.Seconds()))
	return measure{failing: m.failing * left, delay: m.delay * left, at: m.at}
}

// add counts one opening. Its delay is counted when there is one: it is of openings that succeeded.
func (m measure) add(failed bool, delay float64, now time.Time) measure {
	m = m.fade(now)
	if failed {
		m.failing += badGain * (1 - m.failing)
	} else {
		m.failing -= goodGain * m.failing
		m.delay += goodGain * (float32(min(delay, slowest)) - m.delay)
	}
	m.at = seconds(now)
	return m
}

// weight is 1 for an edge that never failed and is as quick as others, on whatever site. It falls with the cube of the
// share of openings that succeed, and with the delay.
func (s *score) weight(site int, now time.Time) float64 {
	all, here := s.all.fade(now), s.sites[site].fade(now)
	good := float64(1-all.failing) * float64(1-here.failing)
	return good * good * good / float64(1+max(all.delay, here.delay, 0))
}

// weight is that of an edge whose openings all went like this.
func (m measure) weight() float64 {
	good := float64(1 - m.failing)
	return good * good * good / float64(1+max(m.delay, 0))
}

// outcome is how one opening went.
type outcome struct {
	code wire.Code
	took time.Duration
}

// count adds an opening to s. What the edge is to blame for counts everywhere, what its target is said to have done on
// that class of sites alone: other edges see the same if it is true. Refusals by rule are nobody's failure.
func (s *score) count(site int, o outcome, usual time.Duration, now time.Time) {
	delay := 0.0
	if usual > 0 {
		delay = max(float64(o.took)/float64(usual)-1, 0)
	}
	switch o.code.Owner() {
	case wire.OwnerNone:
		s.all = s.all.add(false, delay, now)
		s.sites[site] = s.sites[site].add(false, delay, now)
	case wire.OwnerTarget:
		s.sites[site] = s.sites[site].add(true, 0, now)
	case wire.OwnerEdge, wire.OwnerRelay:
		if o.code == wire.StreamLimit {
			return // it is busy, which is no fault
		}
		s.all = s.all.add(true, 0, now)
	}
}

// usual is how long an opening takes on each class of sites, over all edges: a site far away is slow through everybody.
type usual [siteClasses]time.Duration

// usualGain is smaller than a single edge's: it is a mean over all of them.
const usualGain = 64

func (u *usual) count(site int, took time.Duration) {
	if u[site] == 0 {
		u[site] = took
	}
	u[site] += (took - u[site]) / usualGain
}

// siteOf is the class of a target's domain. Names below one registrable domain are one site.
func siteOf(host string) int {
	if _, err := netip.ParseAddr(host); err != nil {
		if site, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
			host = site
		}
	}
	h := fnv.New32a()
	h.Write([]byte(host))
	return int(h.Sum32() % siteClasses)
}
