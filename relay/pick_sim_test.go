package relay

import (
	"container/heap"
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

// The kinds of edge in the simulation, and how many there are of each.
const (
	simGood    = iota // quick, alone in its prefix
	simCrowd          // good, 256 in one /24
	simSlow           // ten times as slow, until simMends
	simFailing        // fails every stream, until simMends
	simBlocked        // one site turns it away, until simMends
	simKinds
)

var simCounts = [simKinds]int{simGood: 8844, simCrowd: 256, simSlow: 300, simFailing: 300, simBlocked: 300}

const (
	simRate  = 500 // streams a second
	simMends = 10 * time.Minute
	simEnd   = 24 * time.Minute
	simLimit = 8 // streams of an edge
)

// ending is a stream that runs in the simulation.
type ending struct {
	at   time.Time
	edge *edge
}

type endings []ending

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(ending)) }
func (e *endings) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// Ten thousand edges carry the streams of a busy relay for 24 minutes of their time: nobody starves, nobody is
// overloaded, the slow and the failing fade and come back when they have mended. -v prints who got what.
func TestSimulationOfTenThousandEdges(t *testing.T) {
	if testing.Short() {
		t.Skip("700,000 choices")
	}
	var (
		now   = pickTime
		rnd   = rand.New(rand.NewPCG(11, 12))
		edges = newTable()
		kinds []int
		picks = map[time.Duration][]int{} // from this time on for two minutes, by edge
		peak  []int
		site  = [2]string{"plain.example", "picky.example"} // the second turns some edges away
		runs  endings
		fails [2]int // streams that failed at their first edge, before and after simMends
	)
	edges.now, edges.rnd = func() time.Time { return now }, rand.New(rand.NewPCG(13, 14))
	edges.place = func(id identity.ID, _ netip.Addr) geo.Place {
		return geo.Place{ASN: uint32(id[1])*2 + uint32(id[2])%2, Class: geo.Residential}
	}
	if siteOf(site[0]) == siteOf(site[1]) {
		t.Fatal("both sites are of one class: name them otherwise")
	}
	for kind, n := range simCounts {
		for range n {
			i := len(kinds)
			from := netip.AddrFrom4([4]byte{44, byte(i >> 8), byte(i), 1})
			if kind == simCrowd {
				from = netip.AddrFrom4([4]byte{45, 1, 1, byte(i)})
			}
			e, _ := enterAt(t, edges, i, netip.AddrPortFrom(from, 1).String())
			e.facts.Limit = simLimit
			kinds = append(kinds, kind)
		}
	}
	peak = make([]int, len(kinds))
	indexOf := func(e *edge) int { return int(e.id[0])<<16 | int(e.id[1])<<8 | int(e.id[2]) }
	for n := range int(simEnd.Seconds()) * simRate {
		now = pickTime.Add(time.Duration(n) * time.Second / simRate)
		for len(runs) > 0 && !runs[0].at.After(now) {
			heap.Pop(&runs).(ending).edge.release()
		}
		elapsed := now.Sub(pickTime)
		broken := elapsed < simMends
		host := site[n%2]
		w := Want{App: wire.AppProxy, Host: host, Port: 443, Site: siteOf(host), who: tag{byte(n % 50)}}
		e, err := edges.pick(&w)
		if err != nil {
			t.Fatalf("after %s: %v", elapsed, err)
		}
		i := indexOf(e)
		window := elapsed.Truncate(2 * time.Minute)
		if picks[window] == nil {
			picks[window] = make([]int, len(kinds))
		}
		picks[window][i]++
		peak[i] = max(peak[i], e.facts.Streams)
		took := time.Duration(80+rnd.IntN(80)) * time.Millisecond
		err = nil
		switch {
		case broken && kinds[i] == simFailing:
			err = wire.Errorf(wire.EdgeTimeout, "")
		case broken && kinds[i] == simBlocked && host == site[1]:
			err = wire.Errorf(wire.DialTimeout, "")
		case broken && kinds[i] == simSlow:
			took *= 10
		}
		edges.count(e, &w, err, took)
		if err != nil {
			fails[min(int(elapsed/simMends), 1)]++
			e.release()
			continue
		}
		heap.Push(&runs, ending{now.Add(took + time.Duration(rnd.ExpFloat64()*float64(8*time.Second))), e})
	}

	// share is what an edge of a kind got in the two minutes from at, as a multiple of what a good one got.
	mean := func(kind int, at time.Duration) float64 {
		sum := 0
		for i, n := range picks[at] {
			if kinds[i] == kind {
				sum += n
			}
		}
		return float64(sum) / float64(simCounts[kind])
	}
	share := func(kind int, at time.Duration) float64 { return mean(kind, at) / mean(simGood, at) }
	names := [simKinds]string{"good", "crowded /24", "slow till 10m", "failing till 10m", "blocked by a site till 10m"}
	t.Logf("streams per edge in two minutes, as a multiple of a good edge's:")
	for kind, name := range names {
		line := fmt.Sprintf("%-27s", name)
		for at := time.Duration(0); at < simEnd; at += 2 * time.Minute {
			line += fmt.Sprintf(" %5.2f", share(kind, at))
		}
		t.Log(line)
	}
	total := make([]int, len(kinds))
	for _, window := range picks {
		for i, n := range window {
			total[i] += n
		}
	}
	good := slices.Sorted(slices.Values(total[:simCounts[simGood]]))
	t.Logf("streams of good edges in all: least %d, median %d, most %d; busiest moment of any edge: %d of %d streams",
		good[0], good[len(good)/2], good[len(good)-1], slices.Max(peak), simLimit)
	t.Logf("first tries that failed: %.2f %% before the edges mended, %.2f %% after",
		100*float64(fails[0])/float64(int(simMends.Seconds())*simRate), 100*float64(fails[1])/float64(int((simEnd-simMends).Seconds())*simRate))

	if least := slices.Min(total); least == 0 {
		t.Error("an edge got nothing in all this time")
	}
	if median := good[len(good)/2]; good[0] < median/4 || good[len(good)-1] > median*2 {
		t.Errorf("good edges got %d to %d streams, want each within a quarter and twice the median of %d", good[0], good[len(good)-1], median)
	}
	if most := slices.Max(peak); most > simLimit-2 {
		t.Errorf("an edge had %d streams at once, while the mean is below one", most)
	}
	late, end := simMends-2*time.Minute, simEnd-2*time.Minute
	for _, want := range []struct {
		kind        int
		at          time.Duration
		least, most float64
	}{
		{simFailing, 0, 0.25, 0.9}, // new: as good as any, until it was tried
		{simFailing, late, 0.02, 0.25},
		{simFailing, end, 0.7, 1.2},
		{simSlow, late, 0.05, 0.35},
		{simSlow, end, 0.7, 1.2},
		{simBlocked, late, 0.5, 0.8}, // half of the streams are for the other site
		{simBlocked, end, 0.8, 1.2},
		{simCrowd, end, 0.01, 0.2},
	} {
		if got := share(want.kind, want.at); got < want.least || got > want.most {
			t.Errorf("%s, from %s on: %.2f of a good edge's streams, want %.2f to %.2f", names[want.kind], want.at, got, want.least, want.most)
		}
	}
}
