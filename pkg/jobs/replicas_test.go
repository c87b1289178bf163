package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

// TestADispatcherHearsOfJobsOfOtherReplicas has dispatchers that look for
// themselves once an hour: what another process enqueues or ends, it is told.
func TestADispatcherHearsOfJobsOfOtherReplicas(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{"work"}, bustest.WithContract("work", bus.Contract{Jobs: true, Live: true}))
	leads := &world{t: t, db: pgtest.New(t, schema), bus: env.Bus("work")}
	dsn, err := pg.ServiceDSN(pgtest.DSN(t, leads.db), "work", pgtest.Secrets())
	must(t, err)
	db, err := pg.Open(t.Context(), pg.Config{DSN: dsn, Service: "work"})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() }) // the database goes with the test
	follows := &world{t: t, db: db, bus: env.Connect(env.Config("work"))}

	slow := quick()
	slow.Poll, slow.Retake = time.Hour, time.Hour
	here, there := make(chan struct{}, 100), make(chan struct{}, 100)
	kind := func(done chan struct{}) map[string]jobs.Handler {
		return map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error {
			done <- struct{}{}
			return nil
		}}
	}
	m, _ := leads.run(slow, kind(here))
	final(t, m, leads.enqueue(jobs.Job{})) // it leads
	receive(t, here)
	follows.run(slow, kind(there))
	var ids []uuid.UUID
	for range 20 { // more than may be in flight, so that ends are told as well
		ids = append(ids, follows.enqueue(jobs.Job{}))
	}
	for _, id := range ids {
		if j := final(t, m, id); j.State != jobs.Done {
			t.Fatalf("%+v", j)
		}
	}
}
