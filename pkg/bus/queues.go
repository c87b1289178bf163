package bus

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// depthWithin bounds the look-ups of one scrape: a stream that cannot say leaves
// its figure out, and the scrape goes on.
const depthWithin = time.Second

// measured is a durable consumer whose queue is measured.
type measured struct{ service, stream, durable string }

// queues measures, when it is scraped, what waits for the consumers that a
// process takes from or gives to. A figure that was only kept when something
// passed would stand still at its last value.
type queues struct {
	desc *prometheus.Desc

	mu    sync.Mutex
	known map[measured]*Bus // the one that asks
}

func newQueues() *queues {
	return &queues{
		known: map[measured]*Bus{},
		desc: prometheus.NewDesc("cc_bus_queue", "Messages that wait for a durable consumer or are being handled. Every process that knows it says the same.",
			[]string{"service", "consumer"}, nil),
	}
}

func (q *queues) add(b *Bus, stream, durable, service string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.known[measured{service, stream, durable}] = b
}

// forget drops what b asked for.
func (q *queues) forget(b *Bus) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for one, by := range q.known {
		if by == b {
			delete(q.known, one)
		}
	}
}

// Describe is of prometheus.Collector.
func (q *queues) Describe(ch chan<- *prometheus.Desc) { ch <- q.desc }

// Collect is of prometheus.Collector.
func (q *queues) Collect(ch chan<- prometheus.Metric) {
	q.mu.Lock()
	known := make(map[measured]*Bus, len(q.known))
	for one, by := range q.known {
		known[one] = by
	}
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), depthWithin)
	defer cancel()
	var asking sync.WaitGroup
	for one, by := range known {
		asking.Go(func() {
			n, err := by.waiting(ctx, one.stream, one.durable)
			if err == nil {
				ch <- prometheus.MustNewConstMetric(q.desc, prometheus.GaugeValue, float64(n), one.service, one.durable)
			}
		})
	}
	asking.Wait()
}

// waiting is how many messages a durable consumer has before it and in hand.
func (b *Bus) waiting(ctx context.Context, stream, durable string) (uint64, error) {
	c, err := b.js.Consumer(ctx, stream, durable)
	if err != nil {
		return 0, err
	}
	return depthOf(c.CachedInfo()), nil
}

func depthOf(info *jetstream.ConsumerInfo) uint64 {
	return info.NumPending + uint64(info.NumAckPending) //nolint:gosec // G115: a count
}
