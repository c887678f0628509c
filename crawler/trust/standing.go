package trust

import (
	"math"
	"time"
)

// What evidence weighs, in nats: the logarithm of how much likelier it is from an edge that alters one page of a hundred
// than from an honest one on sites that change. Three in a thousand honest pages differ in a number that moved between
// two readings; one in a thousand is accused wrongly where the second road could lie as well (plain HTTP), one in ten
// thousand where TLS ended at the crawler, one in a hundred thousand where that road left through the edge's own line.
const (
	altering = 0.01 // the share of pages for which the test is made

	WeightNumbers = 1.2 // ln(altering / 0.003)
	WeightPlain   = 2.3 // ln(altering / 0.001)
	WeightTLS     = 4.6 // ln(altering / 0.0001)
	WeightOwnLine = 6.9 // ln(altering / 0.00001)

	// weightMatch is what one page that agrees takes away: ln((1 - 0.01) / (1 - 0.001)).
	weightMatch = 0.00905

	// Guilty is where an edge is suspended: the sum is a CUSUM (Page, Biometrika 1954), which an honest edge drives so high
	// once in e^13.8 = 10^6 times that it leaves zero.
	Guilty = 13.8
	// watched is the sum above which every page is checked: less than any one strike, more than none.
	watched = 0.05
	// MissRate is the share of failures that others did not have above which an edge is asked less: it blocks what its
	// owner does not say it blocks, or its line is bad.
	MissRate = 0.2
	minMiss  = 10 // failures and pages below which no share is taken
)

// Standing is what is known of an edge. The zero value is one that nobody has met.
type Standing struct {
	Pages      int64     // that it attested
	Matches    int64     // of these, found to be the site's
	Mismatches int64     // found not to be
	Clean      int64     // matches in a row
	Sum        float64   // of the evidence, in nats; never below zero, so that a good past buys nothing
	Missed     int64     // pages that it could not get and another edge could
	Seen       time.Time // last
	Suspended  bool
}

// Match notes a page that agreed with another road.
func (s *Standing) Match() {
	s.Matches++
	s.Clean++
	s.Sum = max(0, s.Sum-weightMatch)
}

// Mismatch notes a page that did not, with what that weighs (Site.Mismatch). It reports whether the edge is to be
// suspended, which is said once.
func (s *Standing) Mismatch(weight float64) bool {
	s.Mismatches++
	s.Clean = 0
	s.Sum += weight
	return s.guilty()
}

// Forged notes what needs no second reading: a signature that is not the edge's, or a page that is not the one it signed.
func (s *Standing) Forged() bool {
	s.Mismatches++
	s.Clean, s.Sum = 0, max(s.Sum, Guilty)
	return s.guilty()
}

func (s *Standing) guilty() bool {
	if s.Suspended || s.Sum < Guilty {
		return false
	}
	s.Suspended = true
	return true
}

// Doubted reports whether nothing of the edge is to be delivered unchecked.
func (s Standing) Doubted() bool { return s.Suspended || s.Sum > watched }

// Rate is the share of an edge's next pages to check: all of the first, then fewer with each that agrees, down to the
// given share for an edge with a name; all again while anything stands against it.
func (s Standing) Rate(least float64, first int) float64 {
	if s.Doubted() || s.Clean < int64(first) {
		return 1
	}
	return math.Min(1, math.Max(least, float64(first)/float64(s.Clean)))
}

// Share is how many of the leases that it could have an edge gets.
func (s Standing) Share() float64 {
	switch {
	case s.Suspended:
		return 0
	case s.Sum > watched:
		return 0.25
	case s.Missed >= minMiss && float64(s.Missed) > MissRate*float64(s.Pages+s.Missed):
		return 0.5
	}
	return 1
}

// Name is the standing in a word, as metrics and operators have it.
func (s Standing) Name(first int) string {
	switch {
	case s.Suspended:
		return "suspended"
	case s.Sum > watched:
		return "watched"
	case s.Clean < int64(first):
		return "new"
	}
	return "trusted"
}
