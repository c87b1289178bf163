package bus_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// BenchmarkFairness gives commands of one project, one after another, first
// alone and then beside a project that keeps its queue full. The work of a
// command is a wait of 20 ms, as for a disk or a neighbour, and a commit. It
// shows both p99 and their ratio.
func BenchmarkFairness(b *testing.B) {
	const work = 20 * time.Millisecond
	env := bustest.Start(b, []string{"auth"})
	db := pgtest.New(b, pg.Schema{Name: "auth"})
	s := bus.NewServer(env.Bus("auth"), bus.ServerConfig{DB: db})
	bus.Command(s, "count", func(ctx context.Context, _ echoRequest) (created, error) {
		t := time.NewTimer(work)
		defer t.Stop()
		select {
		case <-t.C:
			return created{1}, nil
		case <-ctx.Done():
			return created{}, context.Cause(ctx)
		}
	})
	env.Run(s)
	edge := env.Bus(bustest.Edge)
	quiet := bustest.Person(8, 43, tenant.Member)
	measure := func(b *testing.B) times {
		var took times
		for b.Loop() {
			began := time.Now()
			a, err := edge.Command(b.Context(), countElsewhere, quiet, []byte(`{}`), bus.CommandOptions{Wait: bustest.Patience})
			if err != nil || a.Pending {
				b.Fatalf("%+v, %v", a, err)
			}
			took = append(took, time.Since(began))
		}
		return took
	}
	var alone time.Duration
	b.Run("alone", func(b *testing.B) {
		took := measure(b)
		took.report(b)
		alone = took[len(took)*99/100]
	})
	b.Run("flood", func(b *testing.B) {
		ctx, stop := context.WithCancel(b.Context())
		full := make(chan struct{})
		isFull := sync.OnceFunc(func() { close(full) })
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, err := edge.Command(ctx, count, alice, []byte(`{}`), bus.CommandOptions{Wait: -1})
					if errs.KindOf(err) == errs.RateLimited {
						isFull()
						select {
						case <-time.After(50 * time.Millisecond):
						case <-ctx.Done():
						}
					}
				}
			})
		}
		<-full
		took := measure(b)
		took.report(b)
		b.ReportMetric(float64(took[len(took)*99/100])/float64(alone), "p99-flood/alone")
		stop()
		wg.Wait()
	})
}
