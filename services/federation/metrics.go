package federation

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// metrics count what the parts tell. Labels are of few values: slugs are chosen
// by others, and would be without bound.
type metrics struct {
	announced *prometheus.CounterVec
	sweeps    *prometheus.CounterVec
	lost      prometheus.Counter
	instances *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		announced: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "federation_announcements_total",
			Help: "Heartbeats of this instance: acknowledged by the stream, repeated because they were not, or lost for want of either.",
		}, []string{"outcome"}),
		sweeps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "federation_sweeps_total",
			Help: "Looks for who is late, by outcome.",
		}, []string{"outcome"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "federation_instances_lost_total",
			Help: "Times that a sweep found an instance offline that was not before.",
		}),
		instances: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "federation_instances",
			Help: "Instances in the catalog at the last sweep, this one too, by status.",
		}, []string{"status"}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.announced), r.Register(m.sweeps), r.Register(m.lost), r.Register(m.instances))
}

func (m *metrics) told(outcome string) { m.announced.WithLabelValues(outcome).Inc() }

func (m *metrics) swept(s instance.Swept, err error) {
	if err != nil {
		m.sweeps.WithLabelValues("failed").Inc()
		return
	}
	m.sweeps.WithLabelValues("done").Inc()
	m.lost.Add(float64(s.Offline))
	for _, status := range []instance.Status{instance.Online, instance.Degraded, instance.Offline} {
		m.instances.WithLabelValues(string(status)).Set(float64(s.Statuses[status]))
	}
}
