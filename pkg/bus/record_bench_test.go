package bus_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgserver"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

// durable is a database that syncs, which those of tests do not.
func durable(b *testing.B) *pg.DB {
	b.Helper()
	dir, err := os.MkdirTemp("", "cc-bench-*")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL may run as another user
		b.Fatal(err)
	}
	s, err := pgserver.Start(b.Context(), pgserver.Config{DataDir: filepath.Join(dir, "pg")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	dsn := s.AdminDSN() + " dbname=postgres"
	if err := pg.Migrate(b.Context(), dsn, pgtest.Secrets(), pg.Schema{Name: "auth"}); err != nil {
		b.Fatal(err)
	}
	return pgtest.Open(b, dsn, "auth", 4)
}

// BenchmarkRecord is what the audit log costs a write: of each pair one is
// recorded and the other, the same, is not. A command's record is a row in its
// own transaction; that of a request is a transaction after the handler's, in
// which it was promised. What auth does with a record is behind the answer.
func BenchmarkRecord(b *testing.B) {
	w := &world{Env: bustest.Start(b, []string{"auth"}), db: durable(b)}
	s := w.serve(bus.ServerConfig{}, nil)
	bus.Request(s, "keep", func(ctx context.Context, r echoRequest) (echoAnswer, error) {
		return echoAnswer{}, w.count(ctx, r.Text)
	})
	var off atomic.Bool
	s.Unrecorded(off.Load)
	w.Run(s)
	edge := w.Bus(bustest.Edge)
	for name, write := range map[string]func(ctx context.Context) error{
		"command": func(ctx context.Context) error {
			_, err := edge.Command(ctx, count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{})
			return err
		},
		"request": func(ctx context.Context) error {
			_, err := edge.Request(bus.WithOrigin(ctx, bus.Origin{Writes: !off.Load()}), op("keep"), alice, []byte(`{"text":"a"}`))
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			var with, without times
			for b.Loop() {
				for _, silent := range []bool{false, true} {
					off.Store(silent)
					began := time.Now()
					if err := write(b.Context()); err != nil {
						b.Fatal(err)
					}
					if took := time.Since(began); silent {
						without = append(without, took)
					} else {
						with = append(with, took)
					}
				}
			}
			slices.Sort(with)
			slices.Sort(without)
			recorded, bare := with[len(with)/2], without[len(without)/2]
			b.ReportMetric(0, "ns/op") // of both
			b.ReportMetric(float64(recorded.Nanoseconds()), "recorded-p50-ns")
			b.ReportMetric(float64(bare.Nanoseconds()), "unrecorded-p50-ns")
			b.ReportMetric(float64(recorded)/float64(bare), "ratio")
		})
	}
}
