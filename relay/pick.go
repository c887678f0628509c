package relay

import (
	"math/rand/v2"

	"sward/internal/identity"
	"sward/internal/wire"
)

// Want says which edge a stream needs.
type Want struct {
	App   wire.App
	Edge  identity.ID   // exactly this one, unless zero
	Avoid []identity.ID // none of these
}

// Candidate is one edge as the choice sees it: plain facts copied from the table, so that choosing needs no lock.
type Candidate struct {
	ID      identity.ID
	Apps    wire.Apps
	Paused  bool
	Room    uint64 // bytes that the owner's caps still allow
	Streams int    // open now
	Limit   int    // streams the owner allows
	Class   uint16 // kind of edge: a browser only fetches
}

// minRoom is the least room with which an edge is offered a stream: less would end in a refusal or a stump.
const minRoom = 64 << 10

// eligible reports whether c may be offered a stream at all.
func (c Candidate) eligible(w Want) bool {
	if c.Class == classExtension && w.App != wire.AppCrawl {
		return false
	}
	if c.Paused || !c.Apps.Has(w.App) || c.Room < minRoom || c.Streams >= c.Limit {
		return false
	}
	if !w.Edge.IsZero() && c.ID != w.Edge {
		return false
	}
	for _, id := range w.Avoid {
		if c.ID == id {
			return false
		}
	}
	return true
}

// load is the share of its streams that an edge has in use.
func (c Candidate) load() float64 { return float64(c.Streams) / float64(c.Limit) }

// Pick chooses an edge for w by the power of two choices: of two random eligible edges the less loaded one, which
// keeps the busiest edge within log log n of the mean without everybody running to the one idle edge
// (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001). It is a pure function of its arguments.
func Pick(all []Candidate, w Want, rnd *rand.Rand) (Candidate, bool) {
	first, found := draw(all, w, rnd, identity.ID{})
	if !found {
		return Candidate{}, false
	}
	second, found := draw(all, w, rnd, first.ID)
	if found && second.load() < first.load() {
		return second, true
	}
	return first, true
}

// draw takes a random eligible candidate other than not. A few blind draws find one in a healthy network; only when
// most are ineligible does it walk the table, from a random place, so that no edge is favoured by its position.
func draw(all []Candidate, w Want, rnd *rand.Rand, not identity.ID) (Candidate, bool) {
	const blind = 8
	if len(all) == 0 {
		return Candidate{}, false
	}
	for range blind {
		if c := all[rnd.IntN(len(all))]; c.ID != not && c.eligible(w) {
			return c, true
		}
	}
	start := rnd.IntN(len(all))
	for i := range all {
		if c := all[(start+i)%len(all)]; c.ID != not && c.eligible(w) {
			return c, true
		}
	}
	return Candidate{}, false
}
