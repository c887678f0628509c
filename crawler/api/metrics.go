package api

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are numbers only: a route is one of a closed list, and holds no job's name.
type metrics struct {
	answers  *prometheus.CounterVec // by route and status
	watching prometheus.GaugeFunc
}

func newMetrics(w *watchers) metrics {
	return metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crawler_api_answers_total", Help: "Answers of the crawl API, by method, route and status.",
		}, []string{"route", "status"}),
		watching: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crawler_api_watchers", Help: "Connections that watch a job.",
		}, func() float64 {
			w.mu.Lock()
			defer w.mu.Unlock()
			return float64(w.open)
		}),
	}
}

// Metrics returns the collectors for main to register.
func (s *API) Metrics() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.answers, s.metrics.watching}
}

// counted passes an answer on and notes its status.
type counted struct {
	http.ResponseWriter
	status int
}

func (c *counted) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter } // for deadlines and flushes

func (m metrics) answered(r Route, c *counted) {
	m.answers.WithLabelValues(r.Method+" "+r.Path, strconv.Itoa(max(c.status, http.StatusOK))).Inc()
}
