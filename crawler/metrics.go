package crawler

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are numbers only: no label carries an address, a URL or an account.
type metrics struct {
	pages         *prometheus.CounterVec // by fate
	ended         *prometheus.CounterVec // jobs by state
	audits        *prometheus.CounterVec // by verdict
	roads         *prometheus.CounterVec // streams that were not to be had, by code
	calls         *prometheus.CounterVec // of webhooks, by what became of them
	memory        *prometheus.CounterVec // by what it was good for
	archiveErrors prometheus.Counter
	edges         *edgeGauge
	leased, queue prometheus.Collector
	outbox        prometheus.Collector
	waiting       prometheus.Collector
}

func newMetrics(c *Crawler) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, read func(context.Context) (float64, error)) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			n, err := read(ctx)
			if err != nil {
				return -1 // visible, and not mistaken for an empty queue
			}
			return n
		})
	}
	return &metrics{
		pages:  counter("crawler_pages_total", "Addresses settled, by what became of them.", "fate"),
		ended:  counter("crawler_jobs_ended_total", "Jobs ended, by state.", "state"),
		audits: counter("crawler_audits_total", "Pages checked by a second road or by their attestation, by verdict.", "verdict"),
		roads:  counter("crawler_roads_refused_total", "Crawl streams that were not to be had, by code.", "code"),
		calls:  counter("crawler_webhook_calls_total", "Calls of webhooks: taken, failed and to be repeated, or given up.", "result"),
		memory: counter("crawler_memory_total", "Remembered pages: served (hit), confirmed by their site, or lost from the archive.", "use"),
		archiveErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crawler_archive_errors_total", Help: "Exchanges that could not be archived."}),
		edges: &edgeGauge{c.edges},
		leased: gauge("crawler_hosts_leased", "Hosts being fetched from.", func(context.Context) (float64, error) {
			return float64(c.frontier.count()), nil
		}),
		queue: gauge("crawler_pages_queued", "Page addresses waiting in running jobs; -1 if unreadable.", func(ctx context.Context) (n float64, err error) {
			err = c.store.row(ctx, "SELECT coalesce(sum(pages), 0) FROM jobs WHERE state = 0").Scan(&n)
			return n, err
		}),
		waiting: gauge("crawler_jobs_waiting", "Running jobs that have settled nothing for two minutes, or may not; -1 if unreadable.", func(ctx context.Context) (n float64, err error) {
			err = c.store.row(ctx, "SELECT count(*) FROM jobs WHERE state = 0 AND waiting <> ''").Scan(&n)
			return n, err
		}),
		outbox: gauge("crawler_outbox_pages", "Settled pages that the index does not have yet; -1 if unreadable.", func(ctx context.Context) (float64, error) {
			n, err := c.outboxLen(ctx)
			return float64(n), err
		}),
	}
}

var fateNames = map[fate]string{deliver: "delivered", skip: "skipped", fail: "failed", retry: "retried", wait: "postponed", ruin: "ruined"}

func (m *metrics) settled(f fate) { m.pages.WithLabelValues(fateNames[f]).Inc() }

// Metrics returns the collectors for main to register.
func (c *Crawler) Metrics() []prometheus.Collector {
	m := c.metrics
	return []prometheus.Collector{m.pages, m.ended, m.audits, m.roads, m.calls, m.memory, m.archiveErrors, m.edges, m.leased, m.queue, m.outbox, m.waiting}
}
