package relay

import (
	"github.com/prometheus/client_golang/prometheus"

	"sward/internal/wire"
)

// metrics are a relay's numbers. Labels name codes and directions, never peers or targets.
type metrics struct {
	edges    prometheus.GaugeFunc
	streams  prometheus.GaugeFunc
	bytes    *prometheus.CounterVec
	refusals *prometheus.CounterVec
	receipts prometheus.Counter
	picks    *prometheus.CounterVec
	retries  *prometheus.CounterVec
	called   *prometheus.CounterVec
	stays    prometheus.GaugeFunc
	lines    lines
}

func newMetrics(r *Relay) *metrics {
	return &metrics{
		edges: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sward_relay_edges", Help: "Connected edges."},
			func() float64 { return float64(r.edges.len()) }),
		streams: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sward_relay_streams", Help: "Streams open on edges."},
			func() float64 { return float64(r.streams()) }),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sward_relay_bytes_total", Help: "Bytes of ended streams: up towards targets, down delivered to partners.",
		}, []string{"direction"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sward_relay_refusals_total", Help: "Streams that were not opened, by code.",
		}, []string{"code"}),
		receipts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sward_relay_receipts_total", Help: "Receipts that both sides signed.",
		}),
		picks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sward_relay_picks_total", Help: "Choices of an edge: ok, or the code of why there was none.",
		}, []string{"result"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sward_relay_retries_total", Help: "Streams that went to another edge, by the code of the one before.",
		}, []string{"code"}),
		called: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sward_relay_calls_total", Help: "Calls to edges without a session here: the path by which they came, or failed.",
		}, []string{"path"}),
		stays: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sward_relay_sessions", Help: "Sticky sessions."},
			func() float64 { return float64(r.stays.len()) }),
		lines: lines{r.edges},
	}
}

func (m *metrics) refused(code wire.Code) { m.refusals.WithLabelValues(code.Name()).Inc() }

func (m *metrics) picked(err error) { m.picks.WithLabelValues(wire.CodeOf(err).Name()).Inc() }

func (m *metrics) retried(code wire.Code) { m.retries.WithLabelValues(code.Name()).Inc() }

func (m *metrics) streamEnded(up, down uint64) {
	m.bytes.WithLabelValues("up").Add(float64(up))
	m.bytes.WithLabelValues("down").Add(float64(down))
}

// Metrics are the relay's collectors, for the role's registry.
func (r *Relay) Metrics() []prometheus.Collector {
	m := r.metrics
	return []prometheus.Collector{m.edges, m.streams, m.bytes, m.refusals, m.receipts, m.picks, m.retries, m.called, m.stays, m.lines, r.limits.abuse}
}

// lines collects how many edges are where. The labels are bounded: a country is two letters, and there are three classes.
type lines struct{ edges *table }

var (
	countryDesc = prometheus.NewDesc("sward_relay_edges_by_country", "Connected edges by country.", []string{"country"}, nil)
	classDesc   = prometheus.NewDesc("sward_relay_edges_by_class", "Connected edges by kind of line.", []string{"class"}, nil)
)

// Describe is prometheus.Collector's.
func (l lines) Describe(to chan<- *prometheus.Desc) { to <- countryDesc; to <- classDesc }

// Collect is prometheus.Collector's.
func (l lines) Collect(to chan<- prometheus.Metric) {
	for s, n := range l.edges.counts() {
		switch {
		case s.kind == byCountry && s.name != union:
			to <- prometheus.MustNewConstMetric(countryDesc, prometheus.GaugeValue, float64(n), s.name)
		case s.kind == byClass:
			to <- prometheus.MustNewConstMetric(classDesc, prometheus.GaugeValue, float64(n), s.name)
		}
	}
}
