package outbox_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// TestWhatIsInHandIsSeenByAPurgeOrNotCommitted lets a purge and a write meet both
// ways: whichever is first, nothing is left.
func TestWhatIsInHandIsSeenByAPurgeOrNotCommitted(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pg.Schema{Name: "auth"})
	write := func(ctx context.Context, tx *sqlx.Tx, p tenant.Project) error {
		_, err := outbox.Once(ctx, tx, "c", "m")
		return err
	}
	left := func(p tenant.Project) (n int) {
		must(t, pgtest.Admin(t, db).Get(&n, `SELECT count(*) FROM auth.inbox WHERE project_id = $1`, int64(p)))
		return n
	}
	purge := func(ctx context.Context, p tenant.Project, then func()) error {
		return db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
			if err := outbox.Close(ctx, tx, p); err != nil {
				return err
			}
			then()
			if _, err := tx.ExecContext(ctx, `DELETE FROM inbox WHERE project_id = $1`, int64(p)); err != nil {
				return err
			}
			return outbox.Open(ctx, tx, p) // who closes may commit
		})
	}

	// The write is first, and the purge waits for it.
	done := make(chan error, 1)
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := errors.Join(write(ctx, tx, 1), outbox.Open(ctx, tx, 1)); err != nil {
			return err
		}
		go func() { done <- purge(t.Context(), 1, func() {}) }()
		waits(t, db)
		return nil
	}))
	must(t, <-done)
	if n := left(1); n != 0 {
		t.Errorf("%d rows are left of a write that was first", n)
	}

	// The purge is first, and the write, which has begun before, does not commit.
	began, wrote := make(chan struct{}), make(chan error, 1)
	must(t, purge(t.Context(), 2, func() {
		go func() {
			wrote <- db.InTenant(t.Context(), 2, func(ctx context.Context, tx *sqlx.Tx) error {
				if err := write(ctx, tx, 2); err != nil {
					return err
				}
				close(began)
				return outbox.Open(ctx, tx, 2)
			})
		}()
		<-began
		waits(t, db)
	}))
	if err := <-wrote; !errors.Is(err, outbox.ErrClosed) {
		t.Errorf("a write to a project that is gone: %v", err)
	}
	if n := left(2); n != 0 {
		t.Errorf("%d rows are left of a write that came late", n)
	}
	must(t, purge(t.Context(), 2, func() {})) // once more, when somebody reminds of it
	for _, p := range []tenant.Project{tenant.Instance, 3} {
		must(t, db.InTenant(t.Context(), p, func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Open(ctx, tx, p) }))
	}
}

// TestAnAnswerIsSeenByAPurgeOrNotCommitted is the same for the end of a command.
func TestAnAnswerIsSeenByAPurgeOrNotCommitted(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pg.Schema{Name: "auth"})
	closes := func(p tenant.Project, then func()) error {
		return db.InTenant(t.Context(), p, func(ctx context.Context, tx *sqlx.Tx) error {
			if err := outbox.Close(ctx, tx, p); err != nil {
				return err
			}
			then()
			_, err := tx.ExecContext(ctx, `DELETE FROM operations WHERE project_id = $1`, int64(p))
			return err
		})
	}
	answer := func(p tenant.Project, meanwhile func()) error {
		ctx, unit := db.Unit(t.Context())
		return unit.CommitIn(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
			rec := outbox.Operation{ID: uuid.New(), Project: p, Operation: "updateProject", Status: 200}
			if err := outbox.NewOperations(db).Answer(ctx, tx, rec, updated(p, 1)); err != nil {
				return err
			}
			meanwhile()
			return nil
		})
	}

	done := make(chan error, 1)
	must(t, answer(1, func() { // is first, and the purge waits for it
		go func() { done <- closes(1, func() {}) }()
		waits(t, db)
	}))
	must(t, <-done)

	answered := make(chan error, 1)
	must(t, closes(2, func() { // is first, and the command waits for it
		go func() { answered <- answer(2, func() {}) }()
		waits(t, db)
	}))
	if err := <-answered; !errors.Is(err, outbox.ErrClosed) {
		t.Errorf("an answer in a project that is gone: %v", err)
	}
	if n := left(t, db, "operations"); n != 0 {
		t.Errorf("%d answers are left", n)
	}
	if n := left(t, db, "outbox"); n != 1 { // of the one that was first
		t.Errorf("%d events, want the one of the answer that was committed", n)
	}
	must(t, answer(tenant.Instance, func() {}))
}

// waits returns when somebody waits for the lock of a purge.
func waits(t *testing.T, db *pg.DB) {
	t.Helper()
	admin := pgtest.Admin(t, db)
	for n := 0; n == 0; {
		const q = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
		if err := admin.GetContext(t.Context(), &n, q); err != nil {
			t.Error(err)
			return
		}
	}
}
