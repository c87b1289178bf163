package jobs

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/pg"
)

type metrics struct {
	registerer prometheus.Registerer
	waiting    *waiting
	running    prometheus.Gauge
	finished   *prometheus.CounterVec
	took       *prometheus.HistogramVec
}

func newMetrics(db *pg.DB, r prometheus.Registerer) (*metrics, error) {
	labels := prometheus.Labels{"service": db.Service()}
	m := &metrics{
		registerer: r,
		waiting: &waiting{db: db, desc: prometheus.NewDesc("jobs_waiting",
			"Jobs whose time has come and that are not released yet. Every replica says the same.", nil, labels)},
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "jobs_running", Help: "Jobs that run in this process.", ConstLabels: labels}),
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
	return []prometheus.Collector{m.waiting, m.running, m.finished, m.took}
}

func (m *metrics) close() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all() {
		m.registerer.Unregister(c)
	}
}

const (
	countWithin = time.Second // of a scrape; a database that is slower leaves the figure out
	countedMost = 10_000      // whoever has so many needs no exact figure
)

// waiting counts, when it is scraped, the rows whose turn it could be: few of
// them are released at a time, so that the stream does not show how many.
type waiting struct {
	db   *pg.DB
	desc *prometheus.Desc
}

func (w *waiting) Describe(ch chan<- *prometheus.Desc) { ch <- w.desc }

func (w *waiting) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countWithin) //nolint:forbidigo // a scrape brings none
	defer cancel()
	var n int
	err := w.db.AcrossProjects(ctx, "count waiting jobs", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT count(*) FROM (
			    SELECT 1 FROM jobs WHERE state = 'queued' AND next_attempt_at <= now() LIMIT $1
			) due`
		return tx.GetContext(ctx, &n, q, countedMost)
	})
	if err == nil {
		ch <- prometheus.MustNewConstMetric(w.desc, prometheus.GaugeValue, float64(n))
	}
}
