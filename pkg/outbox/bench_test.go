package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

// BenchmarkAdd is the price of one event in its own transaction.
func BenchmarkAdd(b *testing.B) {
	db := pgtest.New(b, schema)
	for b.Loop() {
		say(b, db, 1, 1)
	}
}

// BenchmarkRelay is the time per event from a full table to the stream, with
// streams in memory and on disk with fsync.
func BenchmarkRelay(b *testing.B) {
	for name, opts := range map[string][]bustest.Option{"memory": nil, "disk": {bustest.OnDisk()}} {
		b.Run(name, func(b *testing.B) {
			db := pgtest.New(b, schema)
			env := bustest.Start(b, []string{"auth"}, opts...)
			must(b, db.InTenant(b.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
				for i := range b.N {
					if err := outbox.Add(ctx, tx, updated(1, i)); err != nil {
						return err
					}
				}
				return nil
			}))
			b.ResetTimer()
			start(b, db, env.Bus("auth"))
			admin := pgtest.Admin(b, db)
			for n := 1; n > 0; {
				must(b, admin.Get(&n, `SELECT count(*) FROM auth.outbox WHERE published_at IS NULL`))
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkCommitToStream is the delay of one event from its commit to the
// stream's ack, with nothing else to do.
func BenchmarkCommitToStream(b *testing.B) {
	db := pgtest.New(b, schema)
	_, bus := newBus(b)
	h := listen(b, bus)
	start(b, db, bus)
	say(b, db, 1, 0)
	h.next(1)
	var total time.Duration
	for i := 0; b.Loop(); i++ {
		say(b, db, 1, i)
		committed := time.Now()
		h.next(1)
		total += time.Since(committed)
	}
	b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs/commit-to-heard")
}
