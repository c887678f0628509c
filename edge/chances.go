package edge

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	chancesFile = "chances.json"
	chanceDays  = 31 // of counts
	// demandSpacing is how soon after one Demand the next of the same relay is believed: a relay that floods adds nothing.
	demandSpacing = 30 * time.Second
	// maxDemand bounds the count that is believed of one frame: a thousand times what a relay can choose in a minute.
	maxDemand = 1 << 32
	maxSpoken = 64 // relays whose last word is kept
)

// Chances says why the edge earned what it earned: what was asked of its relays, how much of that it could have had, and what
// became of the rest.
type Chances struct {
	Today  Chance     `json:"today"`
	Days   []Chance   `json:"days"`   // newest first, today included
	Relays []Standing `json:"relays"` // how the edge stands at each, by its last word
}

// Chance is one day. Counts of Demand are of all relays together: PROTOCOL.md §4.1 says which are exact.
type Chance struct {
	Day string `json:"day"` // 2006-01-02

	Seen      uint64 `json:"seen"`      // requests that the relays saw
	Named     uint64 `json:"named"`     // of them, for one certain edge
	Elsewhere uint64 `json:"elsewhere"` // for other places
	OtherApp  uint64 `json:"other_app"` // for an app that is off here
	Eligible  uint64 `json:"eligible"`  // that this edge could have served
	Offered   uint64 `json:"offered"`   // of them, came while it could be chosen, as far as its relays can tell
	Won       uint64 `json:"won"`       // of them, given to it
	Kept      uint64 `json:"kept"`      // of Named, given to it
	Fair      uint64 `json:"fair"`      // what an average edge had of Eligible

	Missed  map[string]uint64 `json:"missed"`  // eligible and not offered, by reason: estimates
	Lost    map[string]uint64 `json:"lost"`    // offered and not won, by reason: estimates
	Refused map[string]int    `json:"refused"` // given to it and turned down by its owner's rules, by rule: its own count

	Why []Reason `json:"why"` // the same in words, what weighs most first
}

// Reason is one cause, for people.
type Reason struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
	Exact bool   `json:"exact"` // else it is an estimate
	Text  string `json:"text"`
}

// Standing is how the edge is placed among those that it shares the requests of one relay with.
type Standing struct {
	Relay    identity.ID `json:"relay"`
	At       time.Time   `json:"at"`
	Lines    uint32      `json:"lines"`     // edges of its country that took streams then
	Weight   float64     `json:"weight"`    // its share against that of an edge without fault: 1 is full
	Failing  float64     `json:"failing"`   // part of its openings that failed lately
	Delay    float64     `json:"delay"`     // how much slower its openings are than others': 0 as quick, 1 twice as slow
	Prefix   uint16      `json:"prefix"`    // edges in its /24 or /48, itself included
	Fellows  uint32      `json:"fellows"`   // edges of its provider, itself included
	RoomLeft float64     `json:"room_left"` // 1: its caps do not lower its share
}

// The names of what was missed and lost.
const (
	missedPaused   = "paused"
	missedFull     = "full"
	missedCapped   = "capped"
	missedAway     = "away"
	missedBarred   = "barred"
	missedUnsealed = "unsealed"
	missedBlocked  = "blocked"
	lostTurn       = "turn"
	lostStanding   = "standing"
)

// chances adds up what relays say.
type chances struct {
	path string

	mu     sync.Mutex
	days   map[string]*demandDay
	spoken map[identity.ID]*Standing // the last word of each relay
	dirty  bool
}

// demandDay is the sum of a day's Demands.
type demandDay struct {
	Heard uint64      `json:"heard"` // words of relays, empty ones included
	Sum   wire.Demand `json:"sum"`
}

// openChances reads what was remembered. A damaged file is forgotten: nothing depends on it.
func openChances(dir string) *chances {
	c := &chances{path: filepath.Join(dir, chancesFile), days: map[string]*demandDay{}, spoken: map[identity.ID]*Standing{}}
	var days map[string]*demandDay
	if data, err := readFile(c.path); err == nil && data != nil && json.Unmarshal(data, &days) == nil {
		for day, d := range days {
			if _, err := time.Parse(time.DateOnly, day); err == nil && d != nil {
				c.days[day] = d
			}
		}
	}
	return c
}

// counts are the fields of a Demand that are added up.
func counts(m *wire.Demand) []*uint64 {
	return []*uint64{
		&m.Seen, &m.Named, &m.Elsewhere, &m.OtherApp, &m.Eligible, &m.Won, &m.Kept, &m.Paused, &m.Full, &m.Capped, &m.Away,
		&m.Barred, &m.Unsealed, &m.Blocked, &m.Fair,
	}
}

// add takes a relay's word of now. It tells whether the word was believed.
func (c *chances) add(now time.Time, relay identity.ID, m wire.Demand) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.spoken[relay]
	if last != nil && now.Sub(last.At).Abs() < demandSpacing {
		return false
	}
	if last == nil && len(c.spoken) >= maxSpoken {
		oldest := slices.MinFunc(slices.Collect(maps.Values(c.spoken)), func(a, b *Standing) int { return a.At.Compare(b.At) })
		delete(c.spoken, oldest.Relay)
	}
	part := func(n uint16) float64 { return float64(n) / 1000 }
	c.spoken[relay] = &Standing{
		Relay: relay, At: now, Lines: m.Lines, Weight: part(m.Weight), Failing: part(m.Failing), Delay: part(m.Delay),
		Prefix: m.Prefix, Fellows: m.Fellows, RoomLeft: part(m.RoomLeft),
	}
	day := now.Format(time.DateOnly)
	d := c.days[day]
	if d == nil {
		d = &demandDay{}
		c.days[day] = d
		for _, old := range slices.Sorted(maps.Keys(c.days))[:max(0, len(c.days)-chanceDays)] {
			delete(c.days, old)
		}
	}
	d.Heard++
	sum := counts(&d.Sum)
	for i, n := range counts(&m) {
		*sum[i] += min(*n, maxDemand) // of 2880 frames a day at most: no overflow
	}
	c.dirty = true
	return true
}

// save writes the file if anything changed since it was written.
func (c *chances) save() error {
	c.mu.Lock()
	if !c.dirty {
		c.mu.Unlock()
		return nil
	}
	data, err := json.Marshal(c.days)
	c.dirty = false
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return writeFile(c.path, data)
}

// Chances says why the edge earned what it earned.
func (e *Edge) Chances() Chances {
	all := Chances{Days: []Chance{}, Relays: []Standing{}}
	if !e.isOpen() {
		return all
	}
	today := e.cfg.Clock().Format(time.DateOnly)
	refused := e.refusals.byDay()
	e.chances.mu.Lock()
	for _, s := range e.chances.spoken {
		all.Relays = append(all.Relays, *s)
	}
	days := map[string]demandDay{}
	for day, d := range e.chances.days {
		days[day] = *d
	}
	e.chances.mu.Unlock()
	slices.SortFunc(all.Relays, func(a, b Standing) int { return bytes.Compare(a.Relay[:], b.Relay[:]) })
	if _, heard := days[today]; !heard {
		days[today] = demandDay{}
	}
	for _, day := range slices.Backward(slices.Sorted(maps.Keys(days))) {
		all.Days = append(all.Days, chanceOf(day, days[day], refused[day]))
	}
	for _, d := range all.Days {
		if d.Day == today {
			all.Today = d
		}
	}
	return all
}

// chanceOf works out a day.
func chanceOf(day string, d demandDay, refused map[string]int) Chance {
	m := d.Sum
	c := Chance{
		Day: day, Seen: m.Seen, Named: m.Named, Elsewhere: m.Elsewhere, OtherApp: m.OtherApp, Eligible: m.Eligible,
		Won: m.Won, Kept: m.Kept, Fair: (m.Fair + 500) / 1000, Missed: map[string]uint64{}, Lost: map[string]uint64{}, Refused: map[string]int{},
	}
	rest := c.Eligible - min(c.Eligible, c.Won) // what the reasons have to explain, whatever a relay says
	take := func(into map[string]uint64, name string, n uint64) {
		if n = min(n, rest); n > 0 {
			into[name] = n
			rest -= n
		}
	}
	take(c.Missed, missedUnsealed, m.Unsealed)
	take(c.Missed, missedBarred, m.Barred)
	take(c.Missed, missedCapped, m.Capped)
	take(c.Missed, missedPaused, m.Paused)
	take(c.Missed, missedAway, m.Away)
	take(c.Missed, missedFull, m.Full)
	take(c.Missed, missedBlocked, m.Blocked)
	c.Offered = rest + min(c.Won, c.Eligible)
	// Of a fair share of what was offered, the edge had less by as much as its standing is worse than others'. What a draw
	// differs by as a rule, √n of n, is chance.
	if c.Eligible > 0 {
		fair := float64(c.Fair) * float64(c.Offered) / float64(c.Eligible)
		take(c.Lost, lostStanding, uint64(max(fair-math.Sqrt(fair)-float64(c.Won), 0)))
	}
	take(c.Lost, lostTurn, rest)
	maps.Copy(c.Refused, refused)
	c.Why = c.reasons(d.Heard > 0)
	return c
}

// reasons puts a day into words.
func (c Chance) reasons(heard bool) []Reason {
	switch {
	case !heard:
		return []Reason{{Name: "unknown", Text: "No relay has said yet what it was asked for."}}
	case c.Seen == 0:
		return []Reason{{Name: "no_demand", Exact: true, Text: "Nobody asked your relays for anything."}}
	}
	var all []Reason
	add := func(name string, n uint64, exact bool, text string) {
		if n > 0 {
			all = append(all, Reason{name, n, exact, text})
		}
	}
	add("elsewhere", c.Elsewhere, true, "were for another country, city or provider than yours")
	add("named", c.Named-min(c.Named, c.Kept), true, "belonged to sessions that another line had begun")
	add("other_app", c.OtherApp, true, "were for a use that you have switched off")
	add(missedPaused, c.Missed[missedPaused], false, "came while you were not sharing: paused, outside your hours, or held by your machine")
	add(missedCapped, c.Missed[missedCapped], false, "came when your cap was reached")
	add(missedFull, c.Missed[missedFull], false, "came while you carried as many streams as you allow")
	add(missedAway, c.Missed[missedAway], false, "came while your relay had no good connection to you")
	add(missedBarred, c.Missed[missedBarred], false, "came while the network had suspended this edge")
	add(missedUnsealed, c.Missed[missedUnsealed], false, "came before your home had passed its own test")
	add(missedBlocked, c.Missed[missedBlocked], false, "were for sites or purposes that your rules block")
	add(lostTurn, c.Lost[lostTurn], false, "went to other lines in their turn")
	add(lostStanding, c.Lost[lostStanding], false, "went to others because your line was slower, failed more often, or is one of many at one place")
	for _, rule := range slices.Sorted(maps.Keys(c.Refused)) {
		add("refused_"+rule, uint64(c.Refused[rule]), true, fmt.Sprintf("reached you and were turned down: %s", meaning(rule)))
	}
	add("won", c.Won+c.Kept, true, "were yours")
	slices.SortStableFunc(all, func(a, b Reason) int { return cmp.Compare(b.Count, a.Count) })
	return all
}

// demand takes a relay's word on what was asked of it.
func (s *session) demand(body []byte) error {
	m, err := wire.ParseDemand(body)
	if err != nil {
		return err
	}
	s.edge.chances.add(s.edge.cfg.Clock(), s.relay, m)
	return nil
}
