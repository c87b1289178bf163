package pg_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func TestAFailureRollsBackAndDropsTheHooks(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	var ran []string
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		pg.OnCommit(ctx, func() { ran = append(ran, "lost") })
		must(t, insert(ctx, tx, 1, "lost"))
		return errOops
	})
	if !errors.Is(err, errOops) {
		t.Fatal(err)
	}
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		pg.OnCommit(ctx, func() { ran = append(ran, "first") })
		pg.OnCommit(ctx, func() { ran = append(ran, "second") })
		if len(ran) != 0 {
			t.Error("a hook ran before the commit")
		}
		return insert(ctx, tx, 1, "kept")
	}))
	pg.OnCommit(t.Context(), func() { ran = append(ran, "outside") })
	equal(t, ran, []string{"first", "second", "outside"})
	equal(t, bodies(t, db, 1), []string{"kept"})
}

func TestAPanicRollsBackAndFreesTheConnection(t *testing.T) {
	t.Parallel()
	db, _ := one(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			must(t, insert(ctx, tx, 1, "lost"))
			panic("on the way")
		})
	}()
	equal(t, bodies(t, db, 1), nil)
}

func TestANestedCallJoinsAndGivesTheOuterProjectBack(t *testing.T) {
	t.Parallel()
	db, other := one(t) // a second connection would wait for ever
	must(t, add(t.Context(), other, 1, "one"))
	must(t, add(t.Context(), other, 2, "two"))
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		must(t, db.InTenant(ctx, 2, func(ctx context.Context, tx *sqlx.Tx) error {
			all, err := seen(ctx, tx)
			equal(t, all, []string{"two"})
			return errors.Join(err, insert(ctx, tx, 2, "two-b"))
		}))
		must(t, db.AcrossProjects(ctx, "test", func(ctx context.Context, tx *sqlx.Tx) error {
			all, err := seen(ctx, tx)
			equal(t, all, []string{"one", "two", "two-b"})
			return err
		}))
		all, err := seen(ctx, tx)
		equal(t, all, []string{"one"})
		return err
	}))
	equal(t, bodies(t, other, 2), []string{"two", "two-b"})
}

func TestANestedFailureUndoesItselfAlone(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	var ran []string
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		must(t, insert(ctx, tx, 1, "a"))
		pg.OnCommit(ctx, func() { ran = append(ran, "outer") })
		err := db.InTenant(ctx, 2, func(ctx context.Context, tx *sqlx.Tx) error {
			pg.OnCommit(ctx, func() { ran = append(ran, "inner") })
			must(t, insert(ctx, tx, 2, "b"))
			return insert(ctx, tx, 2, "b") // the database aborts the transaction, not only Go
		})
		if !pg.UniqueViolation(err, "") {
			t.Errorf("inner: %v", err)
		}
		return insert(ctx, tx, 1, "c") // still of project 1
	}))
	equal(t, bodies(t, db, 1), []string{"a", "c"})
	equal(t, bodies(t, db, 2), nil)
	equal(t, ran, []string{"outer"})
}

func TestDetachedWorkHasAFateOfItsOwn(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		must(t, insert(ctx, tx, 1, "inside"))
		must(t, add(pg.Detached(ctx), db, 1, "detached"))
		return errOops
	})
	if !errors.Is(err, errOops) {
		t.Fatal(err)
	}
	equal(t, bodies(t, db, 1), []string{"detached"})
}

func TestAUnitCommitsAllCallsTogether(t *testing.T) {
	t.Parallel()
	db, other := one(t)
	ctx, u := db.Unit(t.Context())
	defer u.Rollback()
	var ran []string
	pg.OnCommit(ctx, func() { ran = append(ran, "unit") })
	if u.Begun() {
		t.Fatal("begun without a call")
	}
	must(t, db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		pg.OnCommit(ctx, func() { ran = append(ran, "call") })
		return insert(ctx, tx, 1, "a")
	}))
	must(t, add(ctx, db, 2, "b"))
	if !u.Begun() {
		t.Fatal("not begun after two calls")
	}
	equal(t, bodies(t, other, 1), nil)
	if len(ran) != 0 {
		t.Fatal("a hook ran before the commit")
	}
	must(t, u.Commit(ctx))
	equal(t, bodies(t, other, 1), []string{"a"})
	equal(t, bodies(t, other, 2), []string{"b"})
	equal(t, ran, []string{"call", "unit"})
	if err := add(ctx, db, 1, "late"); !errors.Is(err, pg.ErrUnitOver) {
		t.Fatalf("a call after the commit: %v", err)
	}
	if err := u.Commit(ctx); !errors.Is(err, pg.ErrUnitOver) {
		t.Fatalf("second commit: %v", err)
	}
}

func TestAUnitRollsBackAllCallsTogether(t *testing.T) {
	t.Parallel()
	db, other := one(t)
	ctx, u := db.Unit(t.Context())
	pg.OnCommit(ctx, func() { t.Error("a hook ran") })
	must(t, add(ctx, db, 1, "a"))
	u.Rollback()
	u.Rollback()
	equal(t, bodies(t, other, 1), nil)
	equal(t, bodies(t, db, 1), nil) // and the connection is free
}

func TestAUnitWithoutCallsCommitsWithoutAConnection(t *testing.T) {
	t.Parallel()
	db, _ := one(t)
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, _ *sqlx.Tx) error { // holds the only connection
		ctx, u := db.Unit(ctx)
		return u.Commit(ctx)
	}))
}

func TestAUnitGoesOnAfterACallThatFailed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	ctx, u := db.Unit(t.Context())
	defer u.Rollback()
	if err := add(ctx, db, 1, ""); !pg.CheckViolation(err, "") { // the first: the transaction goes
		t.Fatal(err)
	}
	if u.Begun() {
		t.Fatal("begun by a call that failed")
	}
	must(t, add(ctx, db, 1, "a"))
	if err := add(ctx, db, 1, "a"); !pg.UniqueViolation(err, "") { // a later one: its savepoint goes
		t.Fatal(err)
	}
	must(t, add(ctx, db, 1, "b"))
	must(t, u.Commit(ctx))
	equal(t, bodies(t, db, 1), []string{"a", "b"})
}

func TestConcurrentCallsOfAUnitTakeTurns(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	ctx, u := db.Unit(t.Context())
	defer u.Rollback()
	var wg sync.WaitGroup
	for _, body := range []string{"a", "b", "c", "d", "e", "f"} {
		wg.Go(func() {
			if err := add(ctx, db, 1, body); err != nil {
				t.Errorf("add %s: %v", body, err)
			}
			if body == "c" {
				if err := add(ctx, db, 1, body); !pg.UniqueViolation(err, "") {
					t.Errorf("add %s again: %v", body, err)
				}
			}
		})
	}
	wg.Wait()
	must(t, u.Commit(ctx))
	equal(t, bodies(t, db, 1), []string{"a", "b", "c", "d", "e", "f"})
}

func TestACallWaitsForItsTurnNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	ctx, u := db.Unit(t.Context())
	defer u.Rollback()
	must(t, db.InTenant(ctx, 1, func(context.Context, *sqlx.Tx) error {
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := add(short, db, 1, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("joined while another call ran: %v", err)
		}
		return nil
	}))
}

func TestAUnitDoesNotCommitUnderAContextThatEnded(t *testing.T) {
	t.Parallel()
	db, other := one(t)
	parent, cancel := context.WithCancel(t.Context())
	ctx, u := db.Unit(parent)
	must(t, add(ctx, db, 1, "a"))
	cancel()
	if err := u.Commit(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("commit: %v", err)
	}
	equal(t, bodies(t, other, 1), nil)
	must(t, add(t.Context(), db, 1, "b")) // the connection is free
}

func TestUnitsOfTwoServicesNestWithoutTouching(t *testing.T) {
	t.Parallel()
	other := pg.Schema{Name: "other", FS: files("000001_n.up.sql", `CREATE TABLE IF NOT EXISTS notes (project_id bigint NOT NULL, body text); SELECT platform.protect('notes', true)`)}
	dbs := pgtest.NewAll(t, notes, other)
	outer, u1 := dbs["notes"].Unit(t.Context())
	inner, u2 := dbs["other"].Unit(outer)
	must(t, add(inner, dbs["notes"], 1, "a"))
	must(t, add(inner, dbs["other"], 1, "b"))
	u2.Rollback()
	must(t, u1.Commit(outer))
	equal(t, bodies(t, dbs["notes"], 1), []string{"a"})
	equal(t, bodies(t, dbs["other"], 1), nil)
}

func TestARingIsHeardAfterTheCommitAndNotAfterARollback(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	rung, stop := db.Listen("bell")
	defer stop()
	heard := func() bool {
		select {
		case <-rung:
			return true
		default:
			return false
		}
	}
	_ = db.InTenant(t.Context(), 1, func(ctx context.Context, _ *sqlx.Tx) error {
		pg.Ring(ctx, "bell")
		return errOops
	})
	if heard() {
		t.Fatal("heard a ring that was rolled back")
	}
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, _ *sqlx.Tx) error {
		pg.Ring(ctx, "bell")
		pg.Ring(ctx, "bell")
		if heard() {
			t.Error("heard before the commit")
		}
		return nil
	}))
	if !heard() || heard() {
		t.Fatal("want one ring for two")
	}
	pg.Ring(t.Context(), "bell")
	stop()
	db.Ring("bell")
	if heard() {
		t.Fatal("heard a ring outside a transaction, or after stop")
	}
}

func TestAStatementThatTakesTooLongIsATimeout(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	dsn, err := pg.ServiceDSN(pgtest.DSN(t, db), "notes", pgtest.Secrets())
	must(t, err)
	hasty, err := pg.Open(t.Context(), pg.Config{DSN: dsn, Service: "notes", MaxConns: 1, StatementTimeout: 50 * time.Millisecond})
	must(t, err)
	defer hasty.Close()
	err = hasty.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `SELECT pg_sleep(10)`)
		return err
	})
	if errs.KindOf(err) != errs.Timeout {
		t.Fatalf("%s: %v", errs.KindOf(err), err)
	}
}

func TestAPingIsNotAnsweredByConnectionsThatTheServerHasEnded(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	admin := pgtest.Admin(t, db)
	var pids []int
	var hold func(left int) error
	hold = func(left int) error {
		return db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error { // t.Context(): a connection of its own
			var pid int
			must(t, tx.GetContext(ctx, &pid, `SELECT pg_backend_pid()`))
			pids = append(pids, pid)
			if left == 0 {
				return nil
			}
			return hold(left - 1)
		})
	}
	must(t, hold(2))
	for _, pid := range pids {
		admin.MustExec(`SELECT pg_terminate_backend($1, 10000)`, pid) // and waits for its end
	}
	must(t, db.Ping(t.Context()))
}

func TestAServerThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	admin := pgtest.Admin(t, db)
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		var pid int
		must(t, tx.GetContext(ctx, &pid, `SELECT pg_backend_pid()`))
		admin.MustExec(`SELECT pg_terminate_backend($1)`, pid)
		_, err := tx.ExecContext(ctx, `SELECT 1`)
		return err
	})
	if errs.KindOf(err) != errs.Unavailable {
		t.Fatalf("%s: %v", errs.KindOf(err), err)
	}
	must(t, db.Ping(t.Context())) // the next one gets a new connection
	if _, err := pg.Open(t.Context(), pg.Config{DSN: "host=/nowhere user=x dbname=y", Service: "notes"}); errs.KindOf(err) != errs.Unavailable {
		t.Fatalf("%s: %v", errs.KindOf(err), err)
	}
}

func TestAFailureKeepsTheKindThatItHas(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	want := errs.New(errs.Conflict, "taken")
	err := db.InTenant(t.Context(), 1, func(context.Context, *sqlx.Tx) error { return want })
	if !errors.Is(err, want) || !slices.Contains([]errs.Kind{errs.Conflict}, errs.KindOf(err)) {
		t.Fatal(err)
	}
}

func TestSettingsHoldForTheirTransactionAlone(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	show := func(ctx context.Context, tx *sqlx.Tx) (project, sort string) {
		if err := tx.QueryRowxContext(ctx, `SELECT current_setting('app.project_id'), current_setting('enable_sort')`).Scan(&project, &sort); err != nil {
			t.Fatal(err)
		}
		return project, sort
	}
	err := db.InTenant(t.Context(), 3, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := db.InTenantSet(ctx, 4, `SET LOCAL enable_sort = off`, func(ctx context.Context, tx *sqlx.Tx) error {
			if project, sort := show(ctx, tx); project != "4" || sort != "off" {
				t.Errorf("project %s, sort %s", project, sort)
			}
			return nil
		}); err != nil {
			return err
		}
		if project, sort := show(ctx, tx); project != "3" || sort != "on" {
			t.Errorf("outside: project %s, sort %s", project, sort)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.InTenantSet(t.Context(), -1, "", nil); err == nil {
		t.Error("a project below zero was taken")
	}
}
