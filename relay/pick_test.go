package relay

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/wire"
)

var pickTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func candidate(n int, change func(*Candidate)) *Candidate {
	c := &Candidate{
		ID: idOf(n), Apps: wire.AppsOf(wire.AppProxy, wire.AppCrawl), Ready: true, Sealed: true, Room: 1 << 40, Limit: 10, Policy: 1,
		Place:  geo.Place{Country: "de", Region: "bavaria", RegionCode: "by", City: "munich", ASN: 3320, Class: geo.Residential},
		Prefix: netip.MustParsePrefix("44.128.7.0/24"),
	}
	if change != nil {
		change(c)
	}
	return c
}

func TestPickTakesOnlyEdgesThatMayServe(t *testing.T) {
	proxy := Want{App: wire.AppProxy}
	at := func(w Where) Want { return Want{App: wire.AppProxy, Where: w} }
	for _, test := range []struct {
		name string
		edge *Candidate
		want Want
		ok   bool
	}{
		{"free", candidate(1, nil), proxy, true},
		{"without a channel", candidate(1, func(c *Candidate) { c.Ready = false }), proxy, false},
		{"paused", candidate(1, func(c *Candidate) { c.Paused = true }), proxy, false},
		{"suspended", candidate(1, func(c *Candidate) { c.Suspended = true }), proxy, false},
		{"silent", candidate(1, func(c *Candidate) { c.Silent = true }), proxy, false},
		{"no room left", candidate(1, func(c *Candidate) { c.Room = minRoom - 1 }), proxy, false},
		{"streams full", candidate(1, func(c *Candidate) { c.Streams = 10 }), proxy, false},
		{"full by its own word", candidate(1, func(c *Candidate) { c.rests = pickTime.Add(time.Millisecond) }), proxy, false},
		{"full by its own word a while ago", candidate(1, func(c *Candidate) { c.rests = pickTime }), proxy, true},
		{"app off", candidate(1, func(c *Candidate) { c.Apps = wire.AppsOf(wire.AppCrawl) }), proxy, false},
		{"browser for a proxy stream", candidate(1, func(c *Candidate) { c.Class = classExtension }), proxy, false},
		{"not sealed", candidate(1, func(c *Candidate) { c.Sealed = false }), proxy, false},
		{"not sealed, for a crawl", candidate(1, func(c *Candidate) { c.Sealed = false }), Want{App: wire.AppCrawl}, false},
		{"browser for a crawl", candidate(1, func(c *Candidate) { c.Class = classExtension }), Want{App: wire.AppCrawl}, true},
		{"browser, which cannot be sealed", candidate(1, func(c *Candidate) { c.Class, c.Sealed = classExtension, false }), Want{App: wire.AppCrawl}, true},
		{"the one asked for", candidate(1, nil), Want{App: wire.AppProxy, Edge: idOf(1)}, true},
		{"not the one asked for", candidate(1, nil), Want{App: wire.AppProxy, Edge: idOf(2)}, false},
		{"avoided", candidate(1, nil), Want{App: wire.AppProxy, Avoid: []identity.ID{idOf(1)}}, false},
		{"its rules refuse this", candidate(1, nil), Want{App: wire.AppProxy, refuse: []uint32{1}}, false},
		{"other rules refuse this", candidate(1, nil), Want{App: wire.AppProxy, refuse: []uint32{2}}, true},
		{"another session's", candidate(1, nil), Want{App: wire.AppProxy, taken: func(identity.ID) bool { return true }}, false},
		{"country", candidate(1, nil), at(Where{Country: "de"}), true},
		{"other country", candidate(1, nil), at(Where{Country: "fr"}), false},
		{"union", candidate(1, nil), at(Where{Country: "eu"}), true},
		{"not in the union", candidate(1, func(c *Candidate) { c.Place.Country = "ch" }), at(Where{Country: "eu"}), false},
		{"country not known", candidate(1, func(c *Candidate) { c.Place = geo.Place{} }), at(Where{Country: "de"}), false},
		{"region by name", candidate(1, nil), at(Where{Region: "bavaria"}), true},
		{"region by code", candidate(1, nil), at(Where{Country: "de", Region: "by"}), true},
		{"other region", candidate(1, nil), at(Where{Region: "berlin"}), false},
		{"city", candidate(1, nil), at(Where{Country: "de", City: "munich"}), true},
		{"city of that name elsewhere", candidate(1, nil), at(Where{Country: "us", City: "munich"}), false},
		{"network", candidate(1, nil), at(Where{ASN: 3320}), true},
		{"other network", candidate(1, nil), at(Where{ASN: 3209}), false},
		{"class", candidate(1, nil), at(Where{Class: geo.Residential}), true},
		{"other class", candidate(1, nil), at(Where{Class: geo.Hosting}), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Pick([]*Candidate{test.edge}, &test.want, pickTime, rand.New(rand.NewPCG(1, 2)))
			if (got != nil) != test.ok {
				t.Errorf("Pick found = %v, want %v", got != nil, test.ok)
			}
		})
	}
}

// shares counts who is picked of pool for w.
func shares(pool []*Candidate, w Want, picks int) map[identity.ID]int {
	rnd := rand.New(rand.NewPCG(3, 4))
	got := map[identity.ID]int{}
	for range picks {
		if c := Pick(pool, &w, pickTime, rnd); c != nil {
			got[c.ID]++
		}
	}
	return got
}

// Of two edges, the one that is worth less in some way gets less, and never nothing.
func TestPickGivesLessToWhatIsWorthLess(t *testing.T) {
	two, forty := 2, 4*crowdedNetwork
	bad := func(site int, code wire.Code, n int) func(*Candidate) {
		return func(c *Candidate) {
			for range n {
				c.score.count(site, outcome{code: code}, time.Second, pickTime)
			}
		}
	}
	street := netip.MustParsePrefix("44.128.8.0/24")
	recently := &recent{}
	recently.add(street)
	for _, test := range []struct {
		name        string
		worse       func(*Candidate)
		want        Want
		least, most float64 // its share
	}{
		{"the same", func(*Candidate) {}, Want{}, 0.45, 0.55},
		{"never asked", nil, Want{}, 0.45, 0.55}, // the other one has succeeded ten times
		{"failed once", bad(0, wire.EdgeGone, 1), Want{}, 0.15, 0.35},
		{"always fails", bad(0, wire.EdgeTimeout, 30), Want{}, 0.005, 0.03},
		{"fails on this site", bad(5, wire.DialTimeout, 30), Want{Site: 5}, 0.005, 0.03},
		{"fails on another site", bad(5, wire.DialTimeout, 30), Want{Site: 6}, 0.45, 0.55},
		{"is full now and then", bad(0, wire.StreamLimit, 30), Want{}, 0.45, 0.55},
		{"refuses by its rules", bad(0, wire.DomainDenied, 30), Want{}, 0.45, 0.55},
		{"five times as slow", func(c *Candidate) {
			for range 30 {
				c.score.count(0, outcome{code: wire.OK, took: 5 * time.Second}, time.Second, pickTime)
			}
		}, Want{}, 0.1, 0.25},
		{"failed half an hour ago", func(c *Candidate) {
			for range 30 {
				c.score.count(0, outcome{code: wire.EdgeGone}, time.Second, pickTime.Add(-30*time.Minute))
			}
		}, Want{}, 0.4, 0.52},
		{"little room", func(c *Candidate) { c.Room = easyRoom }, Want{}, 0.25, 0.4},
		{"shares its prefix", func(c *Candidate) { c.neighbour = &two }, Want{}, 0.35, 0.45},
		{"in a large network", func(c *Candidate) { c.fellow = &forty }, Want{}, 0.35, 0.47},
		{"had lately", func(c *Candidate) { c.Prefix = street }, Want{recent: recently}, 0.15, 0.25},
	} {
		t.Run(test.name, func(t *testing.T) {
			good := candidate(1, func(c *Candidate) {
				if test.worse == nil {
					for range 10 {
						c.score.count(0, outcome{code: wire.OK, took: time.Second}, time.Second, pickTime)
					}
				}
			})
			other := candidate(2, test.worse)
			const picks = 20000
			test.want.App = wire.AppProxy
			share := float64(shares([]*Candidate{good, other}, test.want, picks)[other.ID]) / picks
			if share < test.least || share > test.most {
				t.Errorf("got %.3f of the streams, want %.3f to %.3f", share, test.least, test.most)
			}
		})
	}
}

func TestPickTakesTheLessLoadedOfTwo(t *testing.T) {
	busy, idle := candidate(1, func(c *Candidate) { c.Streams = 5 }), candidate(2, func(c *Candidate) { c.Streams = 1 })
	got := shares([]*Candidate{busy, idle}, Want{App: wire.AppProxy}, 1000)
	if got[idle.ID] < 990 {
		t.Errorf("the less loaded edge got %d of 1000 streams", got[idle.ID])
	}
}

func TestPickSpreadsLoadAndStarvesNobody(t *testing.T) {
	const edges, streams = 100, 5000
	all := make([]*Candidate, edges)
	for i := range all {
		all[i] = candidate(i, func(c *Candidate) { c.Limit = 1000 })
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range streams {
		c := Pick(all, &Want{App: wire.AppProxy}, pickTime, rnd)
		if c == nil {
			t.Fatal("Pick found nobody among free edges")
		}
		c.Streams++
	}
	mean := streams / edges
	for _, c := range all {
		if c.Streams < mean-8 || c.Streams > mean+8 {
			t.Errorf("edge %d has %d streams, want %d ± 8", c.ID[2], c.Streams, mean)
		}
	}
}

func TestPickFindsTheOnlyEdgeAmongManyThatMayNot(t *testing.T) {
	all := make([]*Candidate, 200)
	for i := range all {
		all[i] = candidate(i, func(c *Candidate) { c.Paused = i != 137 })
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		if c := Pick(all, &Want{App: wire.AppProxy}, pickTime, rnd); c != all[137] {
			t.Fatalf("got %v, want edge 137", c)
		}
	}
}

func TestPickIsAFunctionOfItsArguments(t *testing.T) {
	var pool []*Candidate
	for i := range 50 {
		pool = append(pool, candidate(i, func(c *Candidate) { c.Streams = i % 7 }))
	}
	var runs [2][]identity.ID
	for i := range runs {
		rnd := rand.New(rand.NewPCG(9, 9))
		for range 100 {
			runs[i] = append(runs[i], Pick(pool, &Want{App: wire.AppProxy}, pickTime, rnd).ID)
		}
	}
	if !slices.Equal(runs[0], runs[1]) {
		t.Error("the same arguments gave two answers")
	}
}

// benchTable is 10,000 edges in ten countries and a hundred networks, as busy as a day makes them.
func benchTable(tb testing.TB) *table {
	tb.Helper()
	edges := newTable()
	edges.rnd = rand.New(rand.NewPCG(7, 8))
	countries := []string{"de", "fr", "us", "gb", "it", "es", "pl", "br", "in", "jp"}
	edges.place = func(id identity.ID, _ netip.Addr) geo.Place {
		n := int(id[1])<<8 | int(id[2])
		return geo.Place{Country: countries[n%10], City: fmt.Sprint("city", n%500), ASN: uint32(1000 + n%100), Class: geo.Residential}
	}
	for n := range 10000 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{44, byte(n >> 8), byte(n), 1}), 1).String()
		e, _ := enterAt(tb, edges, n, from)
		e.facts.Limit, e.facts.Streams = 20, n/10%10
		e.facts.score.count(n%siteClasses, outcome{wire.OK, time.Second}, time.Second, time.Now())
	}
	return edges
}

func BenchmarkPick(b *testing.B) {
	edges := benchTable(b)
	for name, w := range map[string]Want{
		"anywhere": {}, "country": {Where: Where{Country: "de"}}, "eu": {Where: Where{Country: "eu"}},
		"country+asn": {Where: Where{Country: "us", ASN: 1002}}, "city": {Where: Where{City: "city7"}},
		"avoid 2, rules refused": {Avoid: []identity.ID{idOf(1), idOf(2)}, refuse: []uint32{7, 8}, Host: "site.example", Port: 443},
	} {
		b.Run(name, func(b *testing.B) {
			w.App, w.who = wire.AppProxy, tag{1}
			b.ReportAllocs()
			for b.Loop() {
				w.asked = false
				e, err := edges.pick(&w)
				if err != nil {
					b.Fatal(err)
				}
				e.release()
			}
		})
	}
}

// The dearest questions: a place made of parts that exist and do not meet, and one where everybody is full.
func BenchmarkPickNobody(b *testing.B) {
	edges := benchTable(b)
	for name, w := range map[string]Want{
		"no such country": {Where: Where{Country: "zz"}}, "parts that do not meet": {Where: Where{Country: "de", ASN: 1001}},
		"large parts that do not meet": {Where: Where{Country: "eu", City: "city7"}},
	} {
		b.Run(name, func(b *testing.B) {
			w.App, w.who = wire.AppProxy, tag{1}
			for b.Loop() {
				if _, err := edges.pick(&w); wire.CodeOf(err) != wire.NoMatch {
					b.Fatal(err)
				}
			}
		})
	}
}
