package relay

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// minRoom is the least room with which an edge is offered a stream: less would end in a refusal or a stump.
	minRoom = 64 << 10
	// easyRoom is the room in bytes at which an edge weighs half: with less, a stream is ever likelier to outlast it.
	easyRoom = 4 << 20
	// leastWeight is what the worst edge still weighs, so that it is tried now and then and can come back.
	leastWeight = 1.0 / 64
	// crowdedNetwork is how many edges a network (ASN) has before each of them weighs less. A large provider is no fault of
	// its customers, so it is far more than one, as it is of a prefix.
	crowdedNetwork = 32
	// againWeight is what an edge weighs whose prefix the account had lately.
	againWeight = 1.0 / 4
	// blindDraws is how many random edges are looked at for one draw before the pool is walked.
	blindDraws = 12
)

// Want says which edge a stream needs.
type Want struct {
	App     wire.App
	Edge    identity.ID   // exactly this one, unless zero
	Avoid   []identity.ID // none of these
	Where   Where
	Purpose uint16 // of the account
	Host    string // the target; empty for a crawl
	Port    uint16
	Site    int // class of the target's domain: siteOf

	asked  bool                   // it has been counted
	pool   int                    // edges that it was last chosen from
	who    tag                    // the account; zero for the hub
	recent *recent                // prefixes that it had lately
	refuse []uint32               // policies that are known to refuse this
	taken  func(identity.ID) bool // edges that serve other sessions of the account; nil for none
}

// Candidate is one edge as the choice sees it. The table keeps it up to date under its lock.
type Candidate struct {
	ID        identity.ID
	Apps      wire.Apps
	Ready     bool // its channel is open
	Paused    bool
	Suspended bool   // by the hub
	Sealed    bool   // says that its home is out of every stream's reach
	Silent    bool   // nothing has come from it though something should
	Room      uint64 // bytes that the owner's caps still allow
	Streams   int    // open now
	Limit     int    // streams the owner allows
	Class     uint16 // kind of edge: a browser only fetches
	Place     geo.Place
	Prefix    netip.Prefix // its /24 or /48; not valid where the address says nothing
	Far       bool         // it is reached over another relay: for those who ask for this very edge
	Policy    uint32       // number in the table of its policy's digest

	rests     time.Time // until then it is full, by its own word
	score     score
	neighbour *int    // edges in its prefix, itself included; nil for none that counts
	fellow    *int    // edges in its network, itself included
	offered   listing // on the index of those that take streams
	here      listing // on that of all
}

// offers reports whether c takes streams at all: the index holds those alone.
func (c *Candidate) offers() bool {
	return c.Ready && c.sealed() && !c.Paused && !c.Suspended && !c.Silent && c.Room >= minRoom && c.Streams < c.Limit
}

// sealed reports whether nothing at c's home is in reach of a stream. A browser cannot attack itself: its relay resolves
// and screens for it, and it only fetches.
func (c *Candidate) sealed() bool { return c.Sealed || c.Class == classExtension }

// serves reports whether c may be given a stream for w.
func (c *Candidate) serves(w *Want, now time.Time) bool {
	switch {
	case !c.offers(), !c.Apps.Has(w.App), now.Before(c.rests):
		return false
	case c.Class == classExtension && w.App != wire.AppCrawl:
		return false
	case !w.Edge.IsZero() && c.ID != w.Edge, c.Far && w.Edge.IsZero():
		return false
	}
	return !slices.Contains(w.Avoid, c.ID) && w.Where.holds(c.Place) && !slices.Contains(w.refuse, c.Policy) &&
		(w.taken == nil || !w.taken(c.ID))
}

// weight is c's share of the streams for w, in comparison with other edges: 1 for one that has never failed, is as quick as
// others, has room, and stands alone in its prefix. A new edge is one.
func (c *Candidate) weight(w *Want, now time.Time) float64 {
	weight := c.score.weight(w.Site, now) * c.standing()
	if w.recent.has(c.Prefix) {
		weight *= againWeight
	}
	return max(weight, leastWeight)
}

// standing is the part of c's weight that is the same for all streams: its caps' room, and how crowded its place is.
func (c *Candidate) standing() float64 {
	weight := c.ease()
	if c.neighbour != nil && *c.neighbour > 1 {
		weight /= math.Sqrt(float64(*c.neighbour)) // a prefix of n edges weighs √n
	}
	if c.fellow != nil && *c.fellow > crowdedNetwork {
		weight /= math.Sqrt(math.Sqrt(float64(*c.fellow) / crowdedNetwork))
	}
	return weight
}

// ease is 1 for an edge whose caps leave all room, and falls as they are reached.
func (c *Candidate) ease() float64 { return float64(c.Room) / float64(c.Room+easyRoom) }

// load is the share of its streams that an edge has in use.
func (c *Candidate) load() float64 { return float64(c.Streams) / float64(c.Limit) }

// Pick chooses an edge of pool for w: two are drawn, each as often as it weighs, and the less loaded one is it. Weights
// share the traffic out by what edges have shown; two choices keep the busiest edge within log log n of the mean without
// everybody running to the one idle edge (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001). nil
// is nobody. It is a pure function of its arguments: it changes nothing, and the same rnd gives the same choice.
func Pick(pool []*Candidate, w *Want, now time.Time, rnd *rand.Rand) *Candidate {
	first := draw(pool, w, now, rnd, nil)
	if first == nil || first.Streams == 0 {
		return first // nobody is less loaded
	}
	if second := draw(pool, w, now, rnd, first); second != nil && second.load() < first.load() {
		return second
	}
	return first
}

// draw takes a random candidate that serves w, each as often as it weighs: one is looked at, and kept with the likelihood
// of its weight. After a few in vain it is the heaviest of those. Only when there was none among them is the pool walked,
// from a random place, so that no edge is favoured by its position.
func draw(pool []*Candidate, w *Want, now time.Time, rnd *rand.Rand, not *Candidate) *Candidate {
	if len(pool) == 0 {
		return nil
	}
	var (
		best     *Candidate
		heaviest float64
	)
	for range blindDraws {
		c := pool[rnd.IntN(len(pool))]
		if c == not || !c.serves(w, now) {
			continue
		}
		weight := c.weight(w, now)
		if rnd.Float64() < weight {
			return c
		}
		if weight > heaviest {
			best, heaviest = c, weight
		}
	}
	if best != nil || not != nil && len(pool) > blindDraws { // a second one is not worth a walk
		return best
	}
	start := rnd.IntN(len(pool))
	for i := range pool {
		if c := pool[(start+i)%len(pool)]; c != not && c.serves(w, now) {
			return c
		}
	}
	return nil
}
