package pg_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func TestASessionSeesAllProjectsAndHoldsItsLock(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	must(t, add(t.Context(), db, 1, "one"))
	must(t, add(t.Context(), db, 2, "two"))
	if _, err := db.Session(t.Context(), ""); err == nil {
		t.Fatal("a session without a reason")
	}
	a, err := db.Session(t.Context(), "test")
	must(t, err)
	b, err := db.Session(t.Context(), "test")
	must(t, err)
	defer func() { must(t, b.Close()) }()
	try := func(s *pg.Session) bool {
		got, err := s.TryLock(t.Context(), "x")
		must(t, err)
		return got
	}
	if !try(a) || try(b) {
		t.Fatal("two hold one lock")
	}
	ran := false
	must(t, a.Tx(t.Context(), func(ctx context.Context, tx *sqlx.Tx) error {
		pg.OnCommit(ctx, func() { ran = true })
		all, err := seen(ctx, tx)
		equal(t, all, []string{"one", "two"})
		return err
	}))
	if !ran {
		t.Fatal("the hook did not run")
	}
	if err := a.Tx(t.Context(), func(context.Context, *sqlx.Tx) error { return errOops }); !errors.Is(err, errOops) {
		t.Fatal(err)
	}
	must(t, a.Close())
	deadline := time.After(10 * time.Second)
	for !try(b) { // the server notices the end of a connection a little later
		select {
		case <-deadline:
			t.Fatal("the lock was not given up")
		default:
		}
	}
}

func TestOneProcessLeadsAndAnotherTakesOverWhenItsSessionDies(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	dsn := pgtest.DSN(t, db)
	admin := pgtest.Admin(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	led := make(chan int)
	failed := make(chan error, 10)
	done := make(chan struct{}, 2)
	for i := range 2 {
		replica := pgtest.Open(t, dsn, "notes", 1)
		go func() {
			defer func() { done <- struct{}{} }()
			replica.Lead(ctx, "test", func(err error) { failed <- err }, func(ctx context.Context, s *pg.Session) error {
				led <- i
				<-ctx.Done()
				return s.Tx(context.WithoutCancel(ctx), func(context.Context, *sqlx.Tx) error { return nil })
			})
		}()
	}
	first := <-led
	select {
	case second := <-led:
		t.Fatalf("%d and %d lead at once", first, second)
	case <-time.After(1500 * time.Millisecond): // longer than a try
	}
	// The leader's connection goes; it must not go on for ever as if it led.
	admin.MustExec(`
		SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE  l.locktype = 'advisory' AND l.granted AND d.datname = current_database()`)
	if second := <-led; second == first {
		t.Fatalf("%d leads again while it still believes that it does", second)
	}
	cancel()
	<-done
	<-done
	if len(failed) != 0 {
		t.Fatalf("failures after the end: %v", <-failed)
	}
}

func TestALeadThatFailsIsReportedAndTriedAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var reported error
	db.Lead(ctx, "test", func(err error) { reported = err }, func(context.Context, *pg.Session) error {
		if n++; n == 2 {
			cancel()
			return nil
		}
		return errOops
	})
	if !errors.Is(reported, errOops) {
		t.Fatal(reported)
	}
}

func TestThePoolsFiguresAreMetrics(t *testing.T) {
	t.Parallel()
	seed := pgtest.New(t, notes)
	registry := prometheus.NewRegistry()
	c := pg.Config{DSN: mustDSN(t, pgtest.DSN(t, seed), "notes"), Service: "notes", Registerer: registry}
	db, err := pg.Open(t.Context(), c)
	must(t, err)
	families, err := registry.Gather()
	must(t, err)
	if len(families) == 0 {
		t.Fatal("no metrics")
	}
	if _, err := pg.Open(t.Context(), c); err == nil {
		t.Fatal("the same metrics twice")
	}
	must(t, db.Close())
	if families, err = registry.Gather(); err != nil || len(families) != 0 {
		t.Fatalf("%d metrics of a closed pool, %v", len(families), err)
	}
}

func TestConnectionsSayWhoTheyAre(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		var row struct{ Name, Path, Timeout string }
		err := tx.GetContext(ctx, &row, `
			SELECT current_setting('application_name') AS name, current_setting('search_path') AS path, current_setting('statement_timeout') AS timeout`)
		if row.Name != "commandcenter notes" || row.Path != "notes, extensions" || row.Timeout != "30s" {
			t.Errorf("%+v", row)
		}
		return err
	}))
}
