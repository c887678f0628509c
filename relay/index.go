package relay

import (
	"slices"

	"sward/internal/geo"
	"sward/internal/wire"
)

// shelf is one way to ask for edges: all that serve an app, or those of one country, region, city, network or class.
type shelf struct {
	app  wire.App // 0: whatever they serve
	kind byte
	name string
	asn  uint32
}

// The kinds of shelf.
const (
	everywhere byte = iota
	byCountry
	byRegion
	byCity
	byASN
	byClass
)

// index holds edges by every way to ask for them, so that a question looks at none that is elsewhere. A table has two: of
// the edges that take streams, from which one is chosen, and of all that are connected.
type index struct {
	shelves map[shelf][]*Candidate
	listing func(*Candidate) *listing // of an edge on this index
}

// listing is where an edge stands on an index.
type listing struct {
	shelves []shelf
	spots   []int
}

func newIndex(of func(*Candidate) *listing) index { return index{map[shelf][]*Candidate{}, of} }

// shelvesOf are the shelves of a place, without an app.
func shelvesOf(p geo.Place) []shelf {
	all := []shelf{{kind: everywhere}}
	if p.Country != "" {
		all = append(all, shelf{kind: byCountry, name: p.Country})
		if inUnion(p.Country) {
			all = append(all, shelf{kind: byCountry, name: union})
		}
	}
	if p.Region != "" {
		all = append(all, shelf{kind: byRegion, name: p.Region})
	}
	if p.RegionCode != "" && p.RegionCode != p.Region {
		all = append(all, shelf{kind: byRegion, name: p.RegionCode})
	}
	if p.City != "" {
		all = append(all, shelf{kind: byCity, name: p.City})
	}
	if p.ASN != 0 {
		all = append(all, shelf{kind: byASN, asn: p.ASN})
	}
	if p.Class != "" {
		all = append(all, shelf{kind: byClass, name: string(p.Class)})
	}
	return all
}

// parts calls do with the shelf of each part of w.
func (w Where) parts(app wire.App, do func(shelf)) {
	if w.Country != "" {
		do(shelf{app: app, kind: byCountry, name: w.Country})
	}
	if w.Region != "" {
		do(shelf{app: app, kind: byRegion, name: w.Region})
	}
	if w.City != "" {
		do(shelf{app: app, kind: byCity, name: w.City})
	}
	if w.ASN != 0 {
		do(shelf{app: app, kind: byASN, asn: w.ASN})
	}
	if w.Class != "" {
		do(shelf{app: app, kind: byClass, name: string(w.Class)})
	}
}

// pool is the shortest list on which every edge for w stands.
func (x index) pool(app wire.App, w Where) []*Candidate {
	shortest := x.shelves[shelf{app: app, kind: everywhere}]
	w.parts(app, func(s shelf) {
		if list := x.shelves[s]; len(list) < len(shortest) {
			shortest = list
		}
	})
	return shortest
}

// put lists c under each of apps and each part of its place.
func (x index) put(c *Candidate, apps ...wire.App) {
	at, places := x.listing(c), shelvesOf(c.Place)
	for _, app := range apps {
		for _, s := range places {
			s.app = app
			at.shelves, at.spots = append(at.shelves, s), append(at.spots, len(x.shelves[s]))
			x.shelves[s] = append(x.shelves[s], c)
		}
	}
}

// take removes c from wherever it stands. The last of each list moves to its place.
func (x index) take(c *Candidate) {
	at := x.listing(c)
	for i, s := range at.shelves {
		list, spot := x.shelves[s], at.spots[i]
		last := list[len(list)-1]
		list[spot] = last
		moved := x.listing(last)
		moved.spots[slices.Index(moved.shelves, s)] = spot
		list[len(list)-1] = nil
		if list = list[:len(list)-1]; len(list) == 0 {
			delete(x.shelves, s)
		} else {
			x.shelves[s] = list
		}
	}
	at.shelves, at.spots = at.shelves[:0], at.spots[:0]
}
