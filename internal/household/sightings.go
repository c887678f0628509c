package household

import (
	"net/netip"
	"slices"
	"time"

	"sward/internal/identity"
)

const (
	// nearFor is how long a device counts as being where it last called from: edges call every ten minutes.
	nearFor      = 30 * time.Minute
	maxSightings = 200_000 // devices; each is some hundred bytes, and is forgotten after nearFor
	maxBeside    = 64      // devices behind one address that are told apart: a carrier's may have thousands
)

// sightings is from where each edge last called. It is in memory only: ten minutes after a start it is whole again.
type sightings struct {
	at map[identity.ID]sighting
	by map[netip.Prefix][]identity.ID
}

type sighting struct {
	line netip.Prefix
	when time.Time
}

// lineOf is the home line that an address belongs to: the address itself for IPv4, where a home has one, and the /64 for
// IPv6, where each device has its own in the home's prefix.
func lineOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func (s *sightings) note(edge identity.ID, from netip.Addr, now time.Time) {
	line := lineOf(from)
	if before, known := s.at[edge]; known {
		if before.line == line {
			s.at[edge] = sighting{line, now}
			return
		}
		s.forget(edge)
	}
	if len(s.at) >= maxSightings {
		for id, seen := range s.at {
			if now.Sub(seen.when) > nearFor {
				s.forget(id)
			}
		}
	}
	if len(s.at) >= maxSightings {
		return
	}
	for _, id := range slices.Clone(s.by[line]) { // those that have gone make room
		if now.Sub(s.at[id].when) > nearFor {
			s.forget(id)
		}
	}
	if len(s.by[line]) >= maxBeside {
		return
	}
	s.at[edge] = sighting{line, now}
	s.by[line] = append(s.by[line], edge)
}

func (s *sightings) forget(edge identity.ID) {
	line := s.at[edge].line
	delete(s.at, edge)
	left := slices.DeleteFunc(s.by[line], func(id identity.ID) bool { return id == edge })
	if len(left) == 0 {
		delete(s.by, line)
		return
	}
	s.by[line] = left
}

// together tells whether two devices called from one line lately.
func (s *sightings) together(a, b identity.ID, now time.Time) bool {
	x, y := s.at[a], s.at[b]
	return a != b && x.line.IsValid() && x.line == y.line && now.Sub(x.when) <= nearFor && now.Sub(y.when) <= nearFor
}

// beside are the other devices on an edge's line.
func (s *sightings) beside(edge identity.ID, now time.Time) []identity.ID {
	var found []identity.ID
	for _, id := range s.by[s.at[edge].line] {
		if s.together(edge, id, now) {
			found = append(found, id)
		}
	}
	return found
}
