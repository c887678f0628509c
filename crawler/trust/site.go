package trust

import "time"

const (
	disputeAge = 24 * time.Hour // for which an accusation by a site's pages is remembered
	settledBy  = 50             // pages in a row, of any edge, that agree: then all is as ever
	witnesses  = 32             // edges whose pages of a site are counted, each by itself
	rest       = ""             // all others
	clearly    = 10             // pages of other edges that agree before a site speaks against one
	oneIn      = 20             // of other edges' pages at most that may differ, for the same

	// perLease is the most that one lease of one site weighs against an edge: when a site changes while it is being read,
	// all pages of the lease differ from what is read afterwards.
	perLease = 0.6 * Guilty
)

// Site is how well the pages of one site can be compared, and what they have said of whom. While there is a dispute all of
// its pages are checked, whoever brings them, so that nothing altered is delivered. That shows whether the site accuses one
// edge after the other, because it changes in a way that no reading shows, or the one edge only: beyond its first lease
// that alone counts. The zero value is a site without dispute.
type Site struct {
	edges map[string]*tally
	at    time.Time // of the last accusation
	clean int       // pages in a row that agreed
}

// tally is of one edge at one site.
type tally struct {
	matches, mismatches int
	given               float64 // nats that were counted against it
	lease               int64
	inLease             float64 // the same, of the newest lease
}

// of is an edge's tally. Those who come after the first are counted as one, which accuses none of them wrongly.
func (s *Site) of(edge string) *tally {
	if s.edges == nil {
		s.edges = map[string]*tally{}
	}
	if s.edges[edge] == nil && len(s.edges) >= witnesses {
		edge = rest
	}
	if s.edges[edge] == nil {
		s.edges[edge] = &tally{}
	}
	return s.edges[edge]
}

// Match notes a page of an edge that agreed.
func (s *Site) Match(edge string) {
	s.of(edge).matches++
	if s.clean++; s.clean >= settledBy {
		s.at = time.Time{}
	}
}

// Mismatch notes a page that did not, which came in a certain lease, and returns what of its weight counts.
func (s *Site) Mismatch(edge string, lease int64, weight float64, now time.Time) float64 {
	if now.Sub(s.at) >= disputeAge {
		clear(s.edges)
	}
	s.at, s.clean = now, 0
	t := s.of(edge)
	t.mismatches++
	if t.lease != lease {
		t.lease, t.inLease = lease, 0
	}
	matches, mismatches := 0, 0
	for _, other := range s.edges {
		if other != t {
			matches, mismatches = matches+other.matches, mismatches+other.mismatches
		}
	}
	weight = min(weight, perLease-t.inLease)
	if plain := matches >= clearly && mismatches*oneIn <= matches; !plain {
		weight = min(weight, perLease-t.given)
		if mismatches > 0 {
			weight = min(weight, WeightNumbers-t.given) // somebody else is accused as well: it may be the site
		}
	}
	weight = max(0, weight)
	t.given, t.inLease = t.given+weight, t.inLease+weight
	return weight
}

// Disputed reports whether every page of the site is to be checked.
func (s *Site) Disputed(now time.Time) bool { return now.Sub(s.at) < disputeAge }
