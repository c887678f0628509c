package indexer

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the index's collectors, for the role's registry.
func (x *Index) Metrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sward_index_documents", Help: "Documents in the index."}, func() float64 {
			n, err := x.Count()
			if err != nil {
				return -1 // closed or broken: not the same as empty
			}
			return float64(n)
		}),
	}
}
