package crawler

import (
	"cmp"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"sward/crawler/trust"
)

const (
	maxMissing   = 10_000 // failed pages of which it is not known yet whether another edge gets them
	maxMissSites = 32     // sites named in an edge's report
)

// failed notes that an edge could not get an address, without a word of its owner's rules. It is held against the edge
// when another gets it.
func (b *edgeBook) failed(edge string, item int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.missing[item]; len(at) < maxAttempts && (at != nil || len(b.missing) < maxMissing) && !slices.Contains(at, edge) {
		b.missing[item] = append(at, edge)
	}
}

// settled says what has become of an address: edges that could not get what another has brought have missed it.
func (b *edgeBook) settled(item int64, site string, delivered bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.missing[item]
	delete(b.missing, item)
	if !delivered {
		return
	}
	for _, edge := range at {
		b.changeLocked(edge, func(e *trust.Standing) { e.Missed++ })
		if b.misses[edge] == nil {
			b.misses[edge] = map[string]int{}
		}
		if m := b.misses[edge]; m[site] > 0 || len(m) < maxMissSites {
			m[site]++
		}
	}
}

// Edge is what a hub's operator may know of an edge.
type Edge struct {
	ID   string
	Name string // new, trusted, watched or suspended
	trust.Standing
	Sites map[string]int // that it could not reach and others could, with the number of pages
}

// Edges lists the edges that have brought pages, worst first.
func (c *Crawler) Edges() []Edge {
	b := c.edges
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Edge, 0, len(b.edges))
	for id, e := range b.edges {
		list = append(list, Edge{ID: id, Name: e.Name(c.cfg.FirstPages), Standing: *e, Sites: maps.Clone(b.misses[id])})
	}
	slices.SortFunc(list, func(x, y Edge) int {
		return cmp.Or(cmp.Compare(y.Sum, x.Sum), cmp.Compare(y.Missed, x.Missed), cmp.Compare(x.ID, y.ID))
	})
	return list
}

// count is the number of edges by standing, for metrics.
func (b *edgeBook) count() map[string]float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[string]float64{"new": 0, "trusted": 0, "watched": 0, "suspended": 0}
	for _, e := range b.edges {
		n[e.Name(b.cfg.FirstPages)]++
	}
	return n
}

// edgeGauge counts the edges by standing.
type edgeGauge struct{ book *edgeBook }

var edgeStandings = prometheus.NewDesc("crawler_edges", "Edges that have brought pages, by standing: new, trusted, watched or suspended.",
	[]string{"standing"}, nil)

func (g *edgeGauge) Describe(ch chan<- *prometheus.Desc) { ch <- edgeStandings }

func (g *edgeGauge) Collect(ch chan<- prometheus.Metric) {
	for name, n := range g.book.count() {
		ch <- prometheus.MustNewConstMetric(edgeStandings, prometheus.GaugeValue, n, name)
	}
}
