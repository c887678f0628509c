package relay

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/wire"
)

// demandOf is what each edge would be told now.
func demandOf(t *table) map[identity.ID]wire.Demand {
	d, all := t.takeDemand()
	d.fill(all)
	frames := map[identity.ID]wire.Demand{}
	for _, one := range all {
		frames[one.edge.id] = one.frame
	}
	return frames
}

// notPlacing leaves out the fields of a Demand that say how an edge is placed.
var notPlacing = cmpopts.IgnoreFields(wire.Demand{}, "Lines", "Weight", "Failing", "Delay", "Prefix", "Fellows", "RoomLeft")

func TestDemandTellsEachEdgeWhatBecameOfTheRequests(t *testing.T) {
	edges := placed(geo.Place{}, geo.Place{Country: "de"}, geo.Place{Country: "de"}, geo.Place{Country: "fr"})
	now := time.Now()
	edges.now = func() time.Time { return now }
	alone, _ := enterAt(t, edges, 3, "192.0.2.3:1")
	alone.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: wire.AppsOf(wire.AppProxy)})
	first, _ := enterAt(t, edges, 1, "192.0.2.1:1")
	second, _ := enterAt(t, edges, 2, "192.0.2.2:1")
	if got := demandOf(edges); len(got) != 3 || got[first.id].Seen != 0 {
		t.Fatalf("at the beginning %+v, want an empty word to each of three", got)
	}
	ask := func(n int, w Want) {
		t.Helper()
		for range n {
			one := w
			if e, err := edges.pick(&one); err == nil {
				e.release()
			}
		}
	}
	proxy := func(country string) Want { return Want{App: wire.AppProxy, Where: Where{Country: country}} }
	ask(100, proxy("de"))
	ask(7, proxy("us"))
	ask(5, Want{App: wire.AppCrawl, Where: Where{Country: "fr"}})
	ask(3, Want{App: wire.AppProxy, Edge: first.id})
	second.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusPaused, Room: 1 << 30, Apps: second.apps})
	ask(50, proxy("de"))
	now = now.Add(demandEvery)
	got := demandOf(edges)

	if n := got[first.id].Won + got[second.id].Won; n != 150 {
		t.Errorf("won %d and %d, want 150 together", got[first.id].Won, got[second.id].Won)
	}
	for _, test := range []struct {
		name string
		edge *edge
		want wire.Demand
	}{
		{"the one that stayed", first, wire.Demand{Period: 60, Seen: 165, Named: 3, Elsewhere: 12, Eligible: 150, Won: got[first.id].Won, Kept: 3, Fair: 100_000}},
		// Of 162 requests 50 came while it was paused: so many of the 150 that were for its place, as far as the relay knows.
		{"the one that paused", second, wire.Demand{Period: 60, Seen: 165, Named: 3, Elsewhere: 12, Eligible: 150, Won: got[second.id].Won, Paused: 46, Fair: 100_000}},
		{"the one elsewhere that does not crawl", alone, wire.Demand{Period: 60, Seen: 165, Named: 3, Elsewhere: 157, OtherApp: 5}},
	} {
		if diff := cmp.Diff(test.want, got[test.edge.id], notPlacing); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	if m := got[first.id]; m.Lines != 1 || m.Weight == 0 || m.Weight > 1000 || m.RoomLeft < 990 || m.Failing != 0 {
		t.Errorf("the one that stayed stands so: %+v", m)
	}
	now = now.Add(demandEvery)
	if got := demandOf(edges); len(got) != 0 {
		t.Errorf("after a minute without requests %+v, want no word", got)
	}
}

// A request that several edges are tried for is one request, and each of them was given it.
func TestDemandCountsARequestOnceHoweverOftenItIsTried(t *testing.T) {
	edges := placed(geo.Place{Country: "de"})
	for n := range 3 {
		enterAt(t, edges, n, "192.0.2.1:1")
	}
	demandOf(edges)
	w := Want{App: wire.AppProxy}
	for range 3 {
		e, err := edges.pick(&w)
		if err != nil {
			t.Fatal(err)
		}
		e.release()
		w.Avoid = append(w.Avoid, e.id)
	}
	for id, m := range demandOf(edges) {
		if m.Seen != 1 || m.Eligible != 1 || m.Won != 1 || m.Fair != 333 {
			t.Errorf("edge %s was told %+v, want one request, given to it, and a third of one as its fair part", id.Short(), m)
		}
	}
}

// What others with the same rules are known to refuse is told as blocked, and so is the reason of each absence.
func TestDemandNamesTheReason(t *testing.T) {
	const asks = 20
	for _, test := range []struct {
		name string
		set  func(*table, *edge)
		want wire.Demand
	}{
		{"paused", func(_ *table, e *edge) {
			e.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusPaused, Room: 1 << 30, Apps: e.apps})
		}, wire.Demand{Paused: asks}},
		{"a cap is reached", func(_ *table, e *edge) {
			e.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusPaused, Apps: e.apps})
		}, wire.Demand{Capped: asks}},
		{"its home is not sealed", func(_ *table, e *edge) {
			e.setStatus(wire.Status{Flags: wire.StatusPaused, Room: 1 << 30, Apps: e.apps})
		}, wire.Demand{Unsealed: asks}},
		{"full", func(edges *table, e *edge) {
			edges.mu.Lock()
			e.facts.Streams = e.facts.Limit
			edges.relist(e)
			edges.mu.Unlock()
		}, wire.Demand{Full: asks}},
		{"silent", func(_ *table, e *edge) { e.setSilent(true) }, wire.Demand{Away: asks}},
		{"suspended", func(edges *table, e *edge) { edges.suspend([]identity.ID{e.id}) }, wire.Demand{Barred: asks}},
		{"its rules", func(edges *table, e *edge) {
			edges.refusals[thing{host: "bank.example"}] = []refuser{{
				policy: e.facts.Policy, confirmed: true, err: wire.Errorf(wire.CategoryDenied, ""), until: edges.now().Add(time.Hour),
			}}
		}, wire.Demand{Blocked: asks}},
	} {
		t.Run(test.name, func(t *testing.T) {
			edges := placed(geo.Place{Country: "de"})
			now := time.Now()
			edges.now = func() time.Time { return now }
			e, _ := enterAt(t, edges, 0, "192.0.2.1:1")
			demandOf(edges)
			test.set(edges, e)
			for range asks {
				if won, err := edges.pick(&Want{App: wire.AppProxy, Host: "bank.example"}); err == nil {
					t.Fatalf("%s was chosen", won.id)
				}
			}
			test.want.Period, test.want.Seen, test.want.Eligible = 1, asks, asks
			if diff := cmp.Diff(test.want, demandOf(edges)[e.id], notPlacing); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// However many places partners name, what is kept of them is bounded, and nothing is lost of the whole.
func TestDemandBoundsThePlacesItTellsApart(t *testing.T) {
	edges := placed(geo.Place{Country: "de"})
	e, _ := enterAt(t, edges, 0, "192.0.2.1:1")
	demandOf(edges)
	for n := range maxAsked + 100 {
		edges.pick(&Want{App: wire.AppProxy, Where: Where{ASN: uint32(n + 1)}}) //nolint:errcheck // nobody is there
	}
	if got := len(edges.demand.asked); got != maxAsked {
		t.Errorf("%d kinds are told apart, want %d", got, maxAsked)
	}
	if m := demandOf(edges)[e.id]; m.Seen != maxAsked+100 || m.Elsewhere != m.Seen {
		t.Errorf("told %+v, want %d requests, all elsewhere", m, maxAsked+100)
	}
}

// What counting adds to each choice: it must not allocate, nor depend on how many edges there are.
func BenchmarkCountDemand(b *testing.B) {
	edges := benchTable(b)
	w := Want{App: wire.AppProxy, Where: Where{Country: "br", City: "city7"}}
	e, err := edges.pick(&w)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.asked = false
		edges.counted(&w, e, nil)
	}
}

func BenchmarkTellDemand(b *testing.B) {
	edges := benchTable(b)
	for b.Loop() {
		b.StopTimer()
		for n := range 500 {
			edges.demand.ask(&Want{App: wire.AppProxy, Where: Where{ASN: uint32(n)}, pool: 10}, true)
		}
		b.StartTimer()
		d, all := edges.takeDemand()
		d.fill(all)
	}
}
