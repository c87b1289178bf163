package bus_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

// BenchmarkRequest compares one request and its reply over bare NATS with the
// same bytes over the bus: identity signed and verified (remembered), pool,
// metrics, deadline, both JSON conversions.
func BenchmarkRequest(b *testing.B) {
	env := bustest.New(b, "auth")
	payload := []byte(`{"project_id":42,"text":"hello"}`)
	b.Run("raw", func(b *testing.B) {
		serving, asking := env.Conn("auth"), env.Conn(bustest.Edge)
		sub, err := serving.QueueSubscribe("raw.auth.echo", "q", func(m *nats.Msg) {
			if err := m.Respond(m.Data); err != nil {
				b.Error(err)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		defer sub.Unsubscribe() //nolint:errcheck // the connection ends anyway
		if err := serving.Flush(); err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(b.Context(), bustest.Patience*10)
		defer cancel()
		var took times
		for b.Loop() {
			began := time.Now()
			if _, err := asking.RequestWithContext(ctx, "raw.auth.echo", payload); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
		took.report(b)
	})
	b.Run("bus", func(b *testing.B) {
		s := bus.NewServer(env.Bus("auth"), bus.ServerConfig{})
		bus.Request(s, "echo", echo)
		env.Run(s)
		edge := env.Bus(bustest.Edge)
		var took times
		for b.Loop() {
			began := time.Now()
			if _, err := edge.Request(b.Context(), target, alice, payload); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
		took.report(b)
	})
}

// times are the durations of single calls.
type times []time.Duration

func (t times) report(b *testing.B) {
	b.Helper()
	slices.Sort(t)
	b.ReportMetric(float64(t[len(t)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(t[len(t)*99/100].Nanoseconds()), "p99-ns")
}

// BenchmarkCommand compares a bare durable publish, fsync included, with a
// command that is stored, run in a transaction, answered and acknowledged.
func BenchmarkCommand(b *testing.B) {
	env := bustest.Start(b, []string{"auth"}, bustest.OnDisk())
	payload := []byte(`{"project_id":42,"text":"hello"}`)
	b.Run("raw publish", func(b *testing.B) {
		js, err := jetstream.New(env.Conn(natsd.UserAdmin))
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := js.Publish(b.Context(), "ext.bench", payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	db := pgtest.New(b, pg.Schema{Name: "auth"})
	s := bus.NewServer(env.Bus("auth"), bus.ServerConfig{DB: db})
	bus.Command(s, "echo", echo)
	env.Run(s)
	edge := env.Bus(bustest.Edge)
	run := func(b *testing.B) {
		if _, err := edge.Command(b.Context(), target, alice, payload, bus.CommandOptions{}); err != nil {
			b.Error(err)
		}
	}
	b.Run("bus", func(b *testing.B) {
		var took times
		for b.Loop() {
			began := time.Now()
			run(b)
			took = append(took, time.Since(began))
		}
		took.report(b)
	})
	b.Run("bus, 16 at a time", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				run(b)
			}
		})
	})
}
