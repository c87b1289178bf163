package jobs

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	registerer prometheus.Registerer
	running    prometheus.Gauge
	finished   *prometheus.CounterVec
	took       *prometheus.HistogramVec
}

func newMetrics(service string, r prometheus.Registerer) (*metrics, error) {
	labels := prometheus.Labels{"service": service}
	m := &metrics{
		registerer: r,
		running:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "jobs_running", Help: "Jobs that run in this process.", ConstLabels: labels}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jobs_finished_total", Help: "Jobs that ended, by kind and final state.", ConstLabels: labels}, []string{"kind", "state"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "jobs_run_seconds", Help: "Duration of one try.", ConstLabels: labels,
			Buckets: []float64{.01, .05, .25, 1, 5, 15, 60, 300, 1800}}, []string{"kind"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range m.all() {
		if err := r.Register(c); err != nil {
			m.close()
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.running, m.finished, m.took}
}

func (m *metrics) close() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all() {
		m.registerer.Unregister(c)
	}
}
