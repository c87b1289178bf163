package bus_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// What is fetched while the handlers are busy has to find room: a message for
// which there is none comes again after the ack wait, behind those that came later.
func TestABurstOnBusyHandlersIsHandledOnce(t *testing.T) {
	t.Parallel()
	for workers := range 4 {
		workers++
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			e := bustest.Start(t, []string{"knowledge"}, bustest.WithContract("knowledge", bus.Contract{Jobs: true}))
			js, err := jetstream.New(e.Conn(natsd.UserAdmin))
			if err != nil {
				t.Fatal(err)
			}
			b := e.Bus("knowledge")
			const burst = 1000
			var handled atomic.Int64
			over := make(chan struct{})
			for i := range burst {
				if _, err := js.PublishAsync("job.p1.knowledge.index", fmt.Append(nil, i)); err != nil {
					t.Fatal(err)
				}
			}
			e.Run(bus.NewConsumer(b, bus.ConsumerConfig{Stream: bus.StreamJobs, Durable: bus.JobDurable("knowledge"), Workers: workers}, func(ctx context.Context, d *bus.Delivery) error {
				if d.Delivered != 1 {
					t.Errorf("message %d was delivered %d times", d.Sequence, d.Delivered)
				}
				n := handled.Add(1)
				if workers == 1 && d.Sequence != uint64(n) { //nolint:gosec // G115: a count
					t.Errorf("message %d came as the %dth", d.Sequence, n)
				}
				if n == burst {
					close(over)
				}
				return b.Ready(ctx) // takes a moment
			}))
			bustest.Await(e, over)
		})
	}
}
