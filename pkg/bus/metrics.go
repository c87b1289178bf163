package bus

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the bus's figures. Labels are names from the code and the
// contracts, never values of a call.
type metrics struct {
	served   *prometheus.HistogramVec // by service, operation, delivery, outcome
	called   *prometheus.HistogramVec // by service, operation, outcome
	consumed *prometheus.HistogramVec // by consumer, outcome
	dead     *prometheus.CounterVec   // by consumer
	replaced *prometheus.CounterVec   // by consumer: dead letters
	refused  *prometheus.CounterVec   // by service: pool full
	busy     *prometheus.GaugeVec     // by service, pool
	queues   *queues                  // by service, consumer
}

var latencies = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		served:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "cc_bus_served_seconds", Help: "Time a service took to answer, by outcome.", Buckets: latencies}, []string{"service", "operation", "delivery", "outcome"}),
		called:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "cc_bus_call_seconds", Help: "Time a caller waited for an answer, by outcome.", Buckets: latencies}, []string{"service", "operation", "outcome"}),
		consumed: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "cc_bus_consumed_seconds", Help: "Time a consumer took for a message, by outcome.", Buckets: latencies}, []string{"consumer", "outcome"}),
		dead:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cc_bus_dead_letters_total", Help: "Messages given up and kept in DEAD."}, []string{"consumer"}),
		replaced: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cc_bus_dead_letters_replaced_total", Help: "Dead letters that took the place of an older one of the same operation, or team, of a project: as many as are kept were there."}, []string{"consumer"}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cc_bus_pool_full_total", Help: "Requests refused because every worker was busy and the queue full."}, []string{"service"}),
		busy:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cc_bus_pool_busy", Help: "Requests and commands that are running or wait for a worker."}, []string{"service", "pool"}),
		queues:   newQueues(),
	}
	if r == nil {
		return m, nil
	}
	err := errors.Join(register(r, &m.served), register(r, &m.called), register(r, &m.consumed),
		register(r, &m.dead), register(r, &m.replaced), register(r, &m.refused), register(r, &m.busy), register(r, &m.queues))
	return m, err
}

// register adds c, or takes the one that another bus of the process added.
func register[C prometheus.Collector](r prometheus.Registerer, c *C) error {
	err := r.Register(*c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		existing, ok := already.ExistingCollector.(C)
		if !ok {
			return fmt.Errorf("metric: %w", err)
		}
		*c = existing
		return nil
	}
	return err
}
