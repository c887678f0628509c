package relay

import (
	"math/rand/v2"
	"testing"

	"sward/internal/identity"
	"sward/internal/wire"
)

func candidate(n byte, change func(*Candidate)) Candidate {
	c := Candidate{ID: identity.ID{n}, Apps: wire.AppsOf(wire.AppProxy, wire.AppCrawl), Room: 1 << 30, Limit: 10}
	if change != nil {
		change(&c)
	}
	return c
}

func TestPickTakesOnlyEdgesThatMayServe(t *testing.T) {
	proxy := Want{App: wire.AppProxy}
	for _, test := range []struct {
		name string
		edge Candidate
		want Want
		ok   bool
	}{
		{"free", candidate(1, nil), proxy, true},
		{"paused", candidate(1, func(c *Candidate) { c.Paused = true }), proxy, false},
		{"no room left", candidate(1, func(c *Candidate) { c.Room = minRoom - 1 }), proxy, false},
		{"streams full", candidate(1, func(c *Candidate) { c.Streams = 10 }), proxy, false},
		{"app off", candidate(1, func(c *Candidate) { c.Apps = wire.AppsOf(wire.AppCrawl) }), proxy, false},
		{"the one asked for", candidate(1, nil), Want{App: wire.AppProxy, Edge: identity.ID{1}}, true},
		{"not the one asked for", candidate(1, nil), Want{App: wire.AppProxy, Edge: identity.ID{2}}, false},
		{"avoided", candidate(1, nil), Want{App: wire.AppProxy, Avoid: []identity.ID{{1}}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, ok := Pick([]Candidate{test.edge}, test.want, rand.New(rand.NewPCG(1, 2)))
			if ok != test.ok {
				t.Errorf("Pick found = %v, want %v", ok, test.ok)
			}
		})
	}
}

func TestPickSpreadsLoadAndStarvesNobody(t *testing.T) {
	const edges, streams = 100, 5000
	all := make([]Candidate, edges)
	for i := range all {
		all[i] = candidate(byte(i), func(c *Candidate) { c.Limit = 1000 })
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range streams {
		c, ok := Pick(all, Want{App: wire.AppProxy}, rnd)
		if !ok {
			t.Fatal("Pick found nobody among free edges")
		}
		all[c.ID[0]].Streams++
	}
	mean := streams / edges
	for _, c := range all {
		if c.Streams < mean-8 || c.Streams > mean+8 {
			t.Errorf("edge %d has %d streams, want %d ± 8", c.ID[0], c.Streams, mean)
		}
	}
}

func TestPickFindsTheOnlyEdgeAmongManyThatMayNot(t *testing.T) {
	all := make([]Candidate, 200)
	for i := range all {
		all[i] = candidate(byte(i), func(c *Candidate) { c.Paused = i != 137 })
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		c, ok := Pick(all, Want{App: wire.AppProxy}, rnd)
		if !ok || c.ID != (identity.ID{137}) {
			t.Fatalf("Pick = %v, %v, want edge 137", c.ID, ok)
		}
	}
}

func BenchmarkPickAmong10000(b *testing.B) {
	all := make([]Candidate, 10000)
	for i := range all {
		all[i] = candidate(0, func(c *Candidate) { c.ID = identity.ID{byte(i >> 8), byte(i)}; c.Streams = i % 10 })
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Pick(all, Want{App: wire.AppProxy}, rnd); !ok {
			b.Fatal("nobody")
		}
	}
}
