package relay

import (
	"context"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"sward/internal/geo"
	"sward/internal/wire"
)

const (
	// demandEvery is how often edges hear what was asked for, PROTOCOL.md §4.1.
	demandEvery = time.Minute
	// maxAsked bounds the kinds of request that are told apart within that time: a partner may name any city. What is beyond
	// it counts as asked for elsewhere.
	maxAsked = 4096
	// demandSenders is how many edges are told at once: one that does not read must not keep the others waiting.
	demandSenders = 16
)

// demand is what was asked of the table since the last look. A choice adds one to one number here and one to its edge's, so
// that it costs the same however many edges there are; what that means for each edge is worked out once a minute.
type demand struct {
	since   time.Time
	open    uint64 // requests that any edge of a place might serve
	named   uint64 // for one certain edge
	asked   map[question]*tally
	blocked map[uint32]uint64 // of open, those that a policy is known to refuse, by its number
}

// question is a kind of request: who may serve it is a matter of where an edge is and what it serves.
type question struct {
	app   wire.App
	where Where
}

// tally is how often it was asked for, and what an average edge for it was given.
type tally struct {
	n    uint64
	fair float64 // sum of 1/edges over the requests that found one
}

func newDemand(now time.Time) *demand {
	return &demand{since: now, asked: map[question]*tally{}, blocked: map[uint32]uint64{}}
}

// ask counts a request that was open to all edges of a pool; found says whether one of them was given it.
func (d *demand) ask(w *Want, found bool) {
	d.open++
	kind := question{w.App, w.Where}
	a := d.asked[kind]
	if a == nil {
		if len(d.asked) >= maxAsked {
			return
		}
		a = &tally{}
		d.asked[kind] = a
	}
	a.n++
	if found {
		a.fair += 1 / float64(w.pool)
	}
}

// absence is why an edge could not have been given a request.
type absence uint8

const (
	present absence = iota
	absentPaused
	absentFull
	absentCapped
	absentAway
	absentBarred
	absentUnsealed
	absences
)

// absence is why c takes no streams now, the reason that its owner can do least about first.
func (c *Candidate) absence() absence {
	switch {
	case c.Suspended:
		return absentBarred
	case !c.Ready || c.Silent:
		return absentAway
	case !c.sealed():
		return absentUnsealed
	case c.Room < minRoom:
		return absentCapped
	case c.Paused:
		return absentPaused
	case c.Streams >= c.Limit:
		return absentFull
	}
	return present
}

// chance is what an edge had of the demand since the last look.
type chance struct {
	won, kept uint64 // given to it: open to others, and for it by name
	from      uint64 // of demand.open when it came
	named     uint64 // of demand.named when it came
	missed    [absences]uint64
	why       absence
	since     uint64 // of demand.open when that began
	told      bool   // a Demand was sent
}

// beginChance counts for e from now on.
func (t *table) beginChance(e *edge) {
	open := t.demand.open
	e.chance = chance{from: open, named: t.demand.named, why: e.facts.absence(), since: open}
}

// keepChance notes a change of why e takes no streams.
func (t *table) keepChance(e *edge) {
	if why := e.facts.absence(); why != e.chance.why {
		e.chance.missed[e.chance.why] += t.demand.open - e.chance.since
		e.chance.why, e.chance.since = why, t.demand.open
	}
}

// told is what one edge is to hear.
type told struct {
	edge  *edge
	frame wire.Demand
	place geo.Place
	apps  wire.Apps
	open  uint64 // requests that were open to any edge since it came
}

// takeDemand ends a period: it gives what was asked in it, and what each edge that is an agent had of it.
func (t *table) takeDemand() (*demand, []told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, d := t.now(), t.demand
	t.demand = newDemand(now)
	var all []told
	for _, e := range t.edges {
		h, c := &e.chance, &e.facts
		h.missed[h.why] += d.open - h.since
		one := told{edge: e, place: c.Place, apps: c.Apps, open: d.open - h.from}
		named := d.named - h.named
		if e.class == classAgent && (one.open+named > 0 || !h.told) {
			one.frame = wire.Demand{
				Period: uint32(min(max(now.Sub(d.since)/time.Second, 1), math.MaxUint32)),
				Seen:   one.open + named, Named: named, Won: h.won, Kept: h.kept,
				Paused: h.missed[absentPaused], Full: h.missed[absentFull], Capped: h.missed[absentCapped], Away: h.missed[absentAway],
				Barred: h.missed[absentBarred], Unsealed: h.missed[absentUnsealed], Blocked: min(d.blocked[c.Policy], one.open),
			}
			t.stands(c, &one.frame, now)
			all = append(all, one)
			h.told = true
		}
		e.chance = chance{why: h.why, told: h.told}
	}
	return d, all
}

// stands says how c is placed among others.
func (t *table) stands(c *Candidate, m *wire.Demand, now time.Time) {
	app := wire.AppProxy
	if !c.Apps.Has(app) {
		app = wire.AppCrawl
	}
	near := shelf{app: app, kind: everywhere}
	if c.Place.Country != "" {
		near = shelf{app: app, kind: byCountry, name: c.Place.Country}
	}
	m.Lines = uint32(len(t.index.shelves[near]))
	all := c.score.all.fade(now)
	m.Failing, m.Delay = thousandths(float64(all.failing)), thousandths(float64(all.delay))
	m.Weight = thousandths(max(all.weight()*c.standing(), leastWeight))
	m.RoomLeft = thousandths(c.ease())
	m.Prefix, m.Fellows = 1, 1
	if c.neighbour != nil {
		m.Prefix = uint16(min(*c.neighbour, math.MaxUint16))
	}
	if c.fellow != nil {
		m.Fellows = uint32(*c.fellow)
	}
}

func thousandths(x float64) uint16 { return uint16(min(max(math.Round(x*1000), 0), math.MaxUint16)) }

// fill works out what the demand was for each edge. Edges of one place and the same apps, of which there may be thousands,
// are looked at once.
func (d *demand) fill(all []told) {
	type kind struct {
		place geo.Place
		apps  wire.Apps
	}
	type sums struct {
		eligible, other uint64
		fair            float64
	}
	known := map[kind]sums{}
	for i := range all {
		one := &all[i]
		k := kind{one.place, one.apps}
		k.place.Org = "" // for people to read
		s, done := known[k]
		if !done {
			for a, n := range d.asked {
				switch {
				case !a.where.holds(k.place):
				case !k.apps.Has(a.app):
					s.other += n.n
				default:
					s.eligible += n.n
					s.fair += n.fair
				}
			}
			known[k] = s
		}
		one.share(s.eligible, s.other, s.fair, d.open)
	}
}

// share fills in the frame from the sums of a place. An edge that came within the period is given its part of them.
func (o *told) share(eligible, other uint64, fair float64, open uint64) {
	m, part := &o.frame, 1.0
	if open > 0 {
		part = float64(o.open) / float64(open)
	}
	scaled := func(n uint64, by float64) uint64 { return uint64(math.Round(float64(n) * by)) }
	m.Eligible = min(max(scaled(eligible, part), m.Won), o.open)
	m.OtherApp = min(scaled(other, part), o.open-m.Eligible)
	m.Elsewhere = o.open - m.Eligible - m.OtherApp
	m.Fair = uint64(math.Round(fair * part * 1000))
	if o.open == 0 {
		return
	}
	here := float64(m.Eligible) / float64(o.open)
	for _, estimate := range []*uint64{&m.Paused, &m.Full, &m.Capped, &m.Away, &m.Barred, &m.Unsealed, &m.Blocked} {
		*estimate = min(scaled(*estimate, here), m.Eligible)
	}
}

// tellDemand lets each edge know what was asked for within the last minute.
func (r *Relay) tellDemand(ctx context.Context) error {
	d, all := r.edges.takeDemand()
	d.fill(all)
	var sending errgroup.Group
	sending.SetLimit(demandSenders)
	for _, one := range all {
		if ctx.Err() != nil {
			break
		}
		sending.Go(func() error {
			one.edge.session.Send(one.frame) //nolint:errcheck // an edge that does not hear it has gone
			return nil
		})
	}
	return sending.Wait()
}
