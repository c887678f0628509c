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
	}
}

func (m *metrics) refused(code wire.Code) { m.refusals.WithLabelValues(code.Name()).Inc() }

func (m *metrics) streamEnded(up, down uint64) {
	m.bytes.WithLabelValues("up").Add(float64(up))
	m.bytes.WithLabelValues("down").Add(float64(down))
}

// Metrics are the relay's collectors, for the role's registry.
func (r *Relay) Metrics() []prometheus.Collector {
	m := r.metrics
	return []prometheus.Collector{m.edges, m.streams, m.bytes, m.refusals, m.receipts, r.limits.abuse}
}
