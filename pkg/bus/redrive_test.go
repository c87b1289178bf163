package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

// TestARedrivenFactReachesTheConsumerThatGaveItUpAndNobodyElse goes by the rights
// that services have, and by nothing more.
func TestARedrivenFactReachesTheConsumerThatGaveItUpAndNobodyElse(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{"auth", "knowledge", "ingestion"}, append(contracts(), bustest.WithContract("ingestion", bus.Contract{
		Serves: []string{"health"}, Hears: []events.Description{describe(&authv1.ProjectDeleting{})},
	}))...)
	db := pgtest.New(t, pg.Schema{Name: "knowledge"})
	fault := make(chan error, 8)
	heard, other, followed := make(chan bus.Meta, 8), make(chan string, 8), make(chan string, 8)
	in := newInbox(env, bus.InboxConfig{DB: db, Attempts: 1}, func(ctx context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error {
		err := db.InTenant(ctx, m.Project, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := outbox.Once(ctx, tx, "effect", m.ID)
			return err
		})
		if err == nil {
			err = <-fault
		}
		if err == nil {
			heard <- m
		}
		return err
	})
	beside := bus.NewInbox(env.Bus("ingestion"), bus.InboxConfig{})
	bus.Handle(beside, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error { other <- m.ID; return nil })
	server := bus.NewServer(env.Bus("knowledge"), bus.ServerConfig{})
	env.Run(in, beside, bus.Follow(env.Bus(bustest.Edge), func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) { followed <- m.ID }))
	edge := env.Bus(bustest.Edge)

	fault <- errors.New("no room")
	env.SayAs("bad", deleting(42, 1))
	dead := deadLetters(t, env, 1)[0]
	for _, ch := range []chan string{other, followed} {
		if got := bustest.Await(env, ch); got != "bad" {
			t.Errorf("heard %s", got)
		}
	}
	if err := edge.Redrive(t.Context(), dead.Seq); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("while its service is away: %v", err)
	}
	env.Run(server)
	fault <- errors.New("still no room")
	if err := edge.Redrive(t.Context(), dead.Seq); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "still no room") {
		t.Errorf("while the cause is there: %v", err)
	}
	fault <- errs.New(errs.Unavailable, "no database")
	if err := edge.Redrive(t.Context(), dead.Seq); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("while something is away: %v", err)
	}
	deadLetters(t, env, 1)
	if n := effects(t, db); n != 0 {
		t.Errorf("%d effects of tries that failed", n)
	}
	fault <- nil
	if err := edge.Redrive(t.Context(), dead.Seq); err != nil {
		t.Fatal(err)
	}
	if m := bustest.Await(env, heard); m.ID != "bad" || m.Project != 42 || m.Sequence != 1 || m.Attempt != 1 {
		t.Errorf("redriven %+v", m)
	}
	deadLetters(t, env, 0)
	if err := edge.Redrive(t.Context(), dead.Seq); errs.KindOf(err) != errs.NotFound {
		t.Errorf("twice: %v", err)
	}
	fault <- nil
	env.SayAs("next", deleting(42, 2))
	for _, ch := range []chan string{other, followed} {
		if got := bustest.Await(env, ch); got != "next" {
			t.Errorf("heard %s, want nothing of the redrive", got)
		}
	}
	if m := bustest.Await(env, heard); m.ID != "next" || m.Sequence != 2 {
		t.Errorf("then %+v", m)
	}
	eventually(t, func() bool { return effects(t, db) == 2 }) // heard before it was committed
}

func TestTheWordThatAJobMayRunIsNotSaidAgain(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	b := env.Bus("knowledge")
	env.Run(bus.NewConsumer(b, bus.ConsumerConfig{Stream: bus.StreamJobs, Durable: bus.JobDurable("knowledge")}, func(context.Context, *bus.Delivery) error {
		return bus.Bury(errors.New("unreadable"))
	}))
	if _, _, err := b.Publish(t.Context(), bus.JobSubject(42, "knowledge", "index"), "", nil, []byte("?")); err != nil {
		t.Fatal(err)
	}
	dead := deadLetters(t, env, 1)[0]
	if err := env.Bus(bustest.Edge).Redrive(t.Context(), dead.Seq); errs.KindOf(err) != errs.Conflict {
		t.Errorf("redriven: %v", err)
	}
	deadLetters(t, env, 1)
}

// effects counts what handlers have left in project 42.
func effects(t *testing.T, db *pg.DB) (n int) {
	t.Helper()
	err := db.InTenant(t.Context(), 42, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, `SELECT count(*) FROM inbox WHERE consumer = 'effect'`)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
