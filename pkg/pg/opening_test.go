package pg_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
)

func visible(ctx context.Context, t *testing.T, tx *sqlx.Tx) (s string) {
	t.Helper()
	must(t, tx.GetContext(ctx, &s, `SELECT current_setting('app.project_id') || ' ' || current_setting('role')`))
	return s
}

// TestWhatATransactionSeesIsSetOnlyWhenItChanges goes through all ways in which
// it changes: a call that joins, one that is undone, a witness, the last call.
func TestWhatATransactionSeesIsSetOnlyWhenItChanges(t *testing.T) {
	t.Parallel()
	db := single(t)
	ctx := db.BeforeCommit(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		equal(t, []string{visible(ctx, t, tx)}, []string{"1 none"})
		return nil
	})
	see := func(want string, fail error) func(context.Context, *sqlx.Tx) error {
		return func(ctx context.Context, tx *sqlx.Tx) error {
			equal(t, []string{visible(ctx, t, tx)}, []string{want})
			return fail
		}
	}
	across := " " + db.Service() + "_across"
	within, unit := db.Unit(ctx)
	must(t, db.InTenant(within, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		must(t, see("1 none", nil)(ctx, tx))
		must(t, db.InTenant(ctx, 2, see("2 none", nil)))
		must(t, see("1 none", nil)(ctx, tx))
		if err := db.AcrossProjects(ctx, "a test", see(across, errOops)); !errors.Is(err, errOops) {
			t.Error(err)
		}
		return see("1 none", nil)(ctx, tx)
	}))
	must(t, db.AcrossProjects(within, "a test", see(across, nil)))
	if err := db.InTenant(within, 3, see("3 none", errOops)); !errors.Is(err, errOops) {
		t.Error(err)
	}
	must(t, unit.CommitIn(within, 2, see("2 none", nil)))
	must(t, db.InTenant(t.Context(), 3, see("3 none", nil))) // the connection is the same
}

func TestAUnitWhoseLastCallFailsIsUndoneWhole(t *testing.T) {
	t.Parallel()
	db := single(t)
	ctx, unit := db.Unit(t.Context())
	told := false
	must(t, db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		pg.OnCommit(ctx, func() { told = true })
		return insert(ctx, tx, 1, "a")
	}))
	last := func(ctx context.Context, tx *sqlx.Tx) error { return errors.Join(insert(ctx, tx, 1, "b"), errOops) }
	if err := unit.CommitIn(ctx, 1, last); !errors.Is(err, errOops) || told {
		t.Errorf("%v, told %t", err, told)
	}
	if err := unit.CommitIn(ctx, 1, last); !errors.Is(err, pg.ErrUnitOver) {
		t.Errorf("after its end: %v", err)
	}
	equal(t, bodies(t, db, 1), nil)
	ctx, unit = db.Unit(t.Context()) // that nobody has joined
	must(t, unit.CommitIn(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error { return insert(ctx, tx, 1, "c") }))
	equal(t, bodies(t, db, 1), []string{"c"})
}

func TestAConnectionIsGivenUpAfterAnOpeningThatFailsOrAContextThatEnds(t *testing.T) {
	t.Parallel()
	db := single(t)
	if err := db.Begin(t.Context(), `SELECT 1 / 0`); err == nil {
		t.Error("no error of an opening")
	}
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error { return insert(ctx, tx, 1, "a") }))
	short, cancel := context.WithCancel(t.Context())
	err := db.InTenant(short, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		must(t, insert(ctx, tx, 1, "b"))
		cancel()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error { return insert(ctx, tx, 1, "c") }))
	equal(t, bodies(t, db, 1), []string{"a", "c"})
}
