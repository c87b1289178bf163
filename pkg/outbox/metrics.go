package outbox

import "github.com/prometheus/client_golang/prometheus"

// metrics are the figures of one relay. The gauges are those of the process
// that leads.
type metrics struct {
	registerer prometheus.Registerer
	leading    prometheus.Gauge
	waiting    prometheus.Gauge
	parked     prometheus.Gauge
	lag        prometheus.Gauge
	published  prometheus.Counter
	delay      prometheus.Histogram
}

func newMetrics(service string, r prometheus.Registerer) (*metrics, error) {
	labels := prometheus.Labels{"service": service}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
	}
	m := &metrics{
		registerer: r,
		leading:    gauge("outbox_leading", "1 while this process publishes the outbox."),
		waiting:    gauge("outbox_waiting_messages", "Committed messages that are not on their stream."),
		parked:     gauge("outbox_parked_messages", "Messages that the stream refused for good."),
		lag:        gauge("outbox_lag_seconds", "Age of the oldest message that waits."),
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "outbox_published_total", Help: "Messages that the stream acknowledged.", ConstLabels: labels}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "outbox_delay_seconds", Help: "Time from the event's transaction to the stream's ack.", ConstLabels: labels,
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300}}),
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
	return []prometheus.Collector{m.leading, m.waiting, m.parked, m.lag, m.published, m.delay}
}

func (m *metrics) close() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all() {
		m.registerer.Unregister(c)
	}
}
