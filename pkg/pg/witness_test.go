package pg_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func TestAWitnessAddsToEachTransactionBeforeItsCommit(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	seen := 0
	ctx := db.BeforeCommit(t.Context(), 2, func(ctx context.Context, tx *sqlx.Tx) error {
		seen++
		return insert(ctx, tx, 2, fmt.Sprint("seen ", seen))
	})
	must(t, db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		must(t, insert(ctx, tx, 1, "a"))
		return db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error { return insert(ctx, tx, 1, "b") }) // has no end of its own
	}))
	equal(t, bodies(t, db, 1), []string{"a", "b"})
	equal(t, bodies(t, db, 2), []string{"seen 1"})
	_ = db.InTenant(ctx, 1, func(context.Context, *sqlx.Tx) error { return errOops })
	must(t, db.InTenant(pg.Detached(ctx), 1, func(ctx context.Context, tx *sqlx.Tx) error { return insert(ctx, tx, 1, "c") }))
	if seen != 2 {
		t.Errorf("seen %d times, want 2: what is rolled back is none of its business", seen)
	}
	within, unit := db.Unit(ctx)
	must(t, db.InTenant(within, 1, func(ctx context.Context, tx *sqlx.Tx) error { return insert(ctx, tx, 1, "d") }))
	must(t, unit.Commit(within))
	if seen != 3 {
		t.Errorf("a unit: seen %d times", seen)
	}
}

func TestWhatAWitnessCannotAddToIsNotCommitted(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	ctx := db.BeforeCommit(t.Context(), 2, func(context.Context, *sqlx.Tx) error { return errOops })
	err := db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error { return insert(ctx, tx, 1, "a") })
	if !errors.Is(err, errOops) {
		t.Errorf("got %v", err)
	}
	within, unit := db.Unit(ctx)
	must(t, db.InTenant(within, 1, func(ctx context.Context, tx *sqlx.Tx) error { return insert(ctx, tx, 1, "b") }))
	if err := unit.Commit(within); !errors.Is(err, errOops) {
		t.Errorf("a unit: %v", err)
	}
	equal(t, bodies(t, db, 1), nil)
}
