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
	known map[measured]map[*Bus]struct{} // by whom one can be asked for
}

func newQueues() *queues {
	return &queues{
		known: map[measured]map[*Bus]struct{}{},
		desc: prometheus.NewDesc("cc_bus_queue", "Messages that wait for a durable consumer or are being handled. Every process that knows it says the same.",
			[]string{"service", "consumer"}, nil),
	}
}

func (q *queues) add(b *Bus, stream, durable, service string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := measured{service, stream, durable}
	if q.known[m] == nil {
		q.known[m] = map[*Bus]struct{}{}
	}
	q.known[m][b] = struct{}{}
}

func (q *queues) remove(b *Bus, stream, durable, service string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(measured{service, stream, durable}, b)
}

// forget drops what b asked for.
func (q *queues) forget(b *Bus) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for m := range q.known {
		q.drop(m, b)
	}
}

func (q *queues) drop(m measured, b *Bus) {
	delete(q.known[m], b)
	if len(q.known[m]) == 0 {
		delete(q.known, m)
	}
}

// Describe is of prometheus.Collector.
func (q *queues) Describe(ch chan<- *prometheus.Desc) { ch <- q.desc }

// Collect is of prometheus.Collector. One consumer may be on several streams.
func (q *queues) Collect(ch chan<- prometheus.Metric) {
	asked := map[measured]*Bus{}
	q.mu.Lock()
	for m, by := range q.known {
		for b := range by {
			asked[m] = b
		}
	}
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), depthWithin)
	defer cancel()
	var mu sync.Mutex
	depths := map[[2]string]uint64{}
	var asking sync.WaitGroup
	for m, b := range asked {
		asking.Go(func() {
			if n, err := b.waiting(ctx, m.stream, m.durable); err == nil {
				mu.Lock()
				defer mu.Unlock()
				depths[[2]string{m.service, m.durable}] += n
			}
		})
	}
	asking.Wait()
	for of, n := range depths {
		ch <- prometheus.MustNewConstMetric(q.desc, prometheus.GaugeValue, float64(n), of[0], of[1])
	}
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
