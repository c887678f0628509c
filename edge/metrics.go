package edge

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"sward/internal/splice"
	"sward/internal/wire"
	"sward/policy"
)

// metrics are numbers about this edge. They name rules and directions, never targets.
type metrics struct {
	streams  *prometheus.CounterVec // by app and end
	refusals *prometheus.CounterVec // by rule
	bytes    *prometheus.CounterVec // by direction
	receipts prometheus.Counter
	gauges   []prometheus.Collector
}

func newMetrics(e *Edge) *metrics {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "edge", Name: name, Help: help}, value)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "edge", Name: name, Help: help}, labels)
	}
	return &metrics{
		streams:  counter("streams_total", "Streams that ended, by app and how.", "app", "end"),
		refusals: counter("refusals_total", "Streams that were refused, by rule.", "rule"),
		bytes:    counter("payload_bytes_total", "Bytes exchanged with targets; up is towards them.", "direction"),
		receipts: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "edge", Name: "receipts_total", Help: "Receipts signed by both sides.",
		}),
		gauges: []prometheus.Collector{
			gauge("streams", "Streams running now.", func() float64 { return float64(e.live.count()) }),
			gauge("relays_connected", "Relays with a tunnel up.", func() float64 { return float64(e.connected()) }),
			gauge("receipts_unsubmitted", "Receipts that the hub has not confirmed.", func() float64 {
				e.mu.Lock()
				defer e.mu.Unlock()
				return float64(e.points.unsubmitted)
			}),
		},
	}
}

// Metrics are the edge's collectors, for main to register.
func (e *Edge) Metrics() []prometheus.Collector {
	m := e.metrics
	return append([]prometheus.Collector{m.streams, m.refusals, m.bytes, m.receipts}, m.gauges...)
}

func (m *metrics) refused(code wire.Code) { m.refusals.WithLabelValues(code.Name()).Inc() }

func (m *metrics) moved(up, down int64) {
	m.bytes.WithLabelValues("up").Add(float64(up))
	m.bytes.WithLabelValues("down").Add(float64(down))
}

func (m *metrics) ended(app policy.App, err error) {
	m.streams.WithLabelValues(string(app), endOf(err)).Inc()
}

// endOf sorts the ends of streams into few kinds.
func endOf(err error) string {
	switch code := wire.CodeOf(err); {
	case err == nil:
		return "clean"
	case errors.Is(err, splice.ErrIdle):
		return "idle"
	case errors.Is(err, context.DeadlineExceeded):
		return "too_long"
	case errors.Is(err, context.Canceled):
		return "stopped"
	case code != wire.Internal:
		return code.Name()
	}
	return "broken"
}
