package trust

import (
	"slices"
	"time"
)

const (
	disputeAge = 24 * time.Hour // for which an accusation by a site's pages is remembered
	cleared    = 50             // pages in a row, of any edge, that agree: then the site speaks clearly
	accusers   = 2              // edges that a site may accuse before its word alone counts no more
	maxAccused = 8              // edges remembered
)

// Site is how well the pages of one site can be compared. A site that accuses one edge after the other is a site that
// changes in a way no reading shows, or one that several edges of one owner alter: while that is open its pages are all
// checked, so that nothing altered is delivered, and they weigh nothing. The zero value is a site without dispute.
type Site struct {
	accused []string
	at      time.Time // of the last accusation
	clean   int
}

// Match notes a page that agreed.
func (s *Site) Match() {
	if s.clean++; s.clean >= cleared {
		s.accused = nil
	}
}

// Mismatch notes a page that did not, and returns what that weighs against the edge. What the edge's own line has
// confirmed is beyond dispute.
func (s *Site) Mismatch(edge string, weight float64, now time.Time) float64 {
	if !s.Disputed(now) {
		s.accused = nil
	}
	s.at, s.clean = now, 0
	if !slices.Contains(s.accused, edge) && len(s.accused) < maxAccused {
		s.accused = append(s.accused, edge)
	}
	if len(s.accused) > accusers && weight < WeightOwnLine {
		return 0
	}
	return weight
}

// Disputed reports whether every page of the site is to be checked.
func (s *Site) Disputed(now time.Time) bool { return len(s.accused) > 0 && now.Sub(s.at) < disputeAge }
