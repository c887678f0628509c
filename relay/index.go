package relay

import (
	"sward/internal/geo"
	"sward/internal/wire"
)

// shelf is one way to ask for edges: all that serve an app, or those of one country, region, city, network or class.
type shelf struct {
	app  wire.App // 0: counts edges whatever they serve
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

// index holds the edges that take streams, by every way to ask for them, so that a choice looks at none that is elsewhere.
// It holds those alone that offer anything: an edge that is paused, full or out of room is taken off until that changes.
type index map[shelf][]*Candidate

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
	shortest := x[shelf{app: app, kind: everywhere}]
	w.parts(app, func(s shelf) {
		if list := x[s]; len(list) < len(shortest) {
			shortest = list
		}
	})
	return shortest
}

// put lists c under each app that it serves and each part of its place.
func (x index) put(c *Candidate) {
	places := shelvesOf(c.Place)
	for _, app := range []wire.App{wire.AppProxy, wire.AppCrawl} {
		if !c.Apps.Has(app) {
			continue
		}
		for _, s := range places {
			s.app = app
			c.shelves, c.spots = append(c.shelves, s), append(c.spots, len(x[s]))
			x[s] = append(x[s], c)
		}
	}
}

// take removes c from wherever it stands. The last of each list moves to its place.
func (x index) take(c *Candidate) {
	for i, s := range c.shelves {
		list, spot := x[s], c.spots[i]
		last := list[len(list)-1]
		list[spot] = last
		for j, at := range last.shelves {
			if at == s {
				last.spots[j] = spot
				break
			}
		}
		list[len(list)-1] = nil
		if list = list[:len(list)-1]; len(list) == 0 {
			delete(x, s)
		} else {
			x[s] = list
		}
	}
	c.shelves, c.spots = c.shelves[:0], c.spots[:0]
}
