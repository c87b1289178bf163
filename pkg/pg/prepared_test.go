package pg_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

// single returns a database with a single connection, so that its memory is seen.
func single(t *testing.T) *pg.DB {
	t.Helper()
	db := pgtest.New(t, notes)
	return pgtest.Open(t, pgtest.DSN(t, db), db.Service(), 1)
}

func prepared(ctx context.Context, t *testing.T, tx *sqlx.Tx) (n int) {
	t.Helper()
	if err := tx.GetContext(ctx, &n, `SELECT count(*) FROM pg_prepared_statements`); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAStatementIsPreparedOnceForAConnection(t *testing.T) {
	t.Parallel()
	db := single(t)
	first := 0 // with those that the opening needed
	for i := range 5 {
		err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			var got int
			if err := tx.GetContext(ctx, &got, `SELECT $1::int + 1`, i); err != nil || got != i+1 {
				return fmt.Errorf("%d + 1 = %d: %w", i, got, err)
			}
			if _, err := tx.ExecContext(ctx, `SELECT set_config('app.mark', $1, true)`, "x"); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `SELECT 1; SELECT 2`); err != nil {
				return fmt.Errorf("several statements without parameters: %w", err)
			}
			n := prepared(ctx, t, tx)
			if i == 0 {
				first = n
			}
			if n != first || n < 2 {
				t.Errorf("round %d: %d statements are prepared, at first %d", i, n, first)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPreparedStatementsSurviveARollbackAndAreBounded(t *testing.T) {
	t.Parallel()
	db := single(t)
	boom := fmt.Errorf("boom")
	for range 2 {
		err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			var got int
			if err := tx.GetContext(ctx, &got, `SELECT $1::int`, 7); err != nil || got != 7 {
				t.Errorf("got %d, %v", got, err)
			}
			return boom
		})
		if err == nil {
			t.Fatal("no error")
		}
	}
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		for i := range 300 {
			var got int
			if err := tx.GetContext(ctx, &got, fmt.Sprintf(`SELECT $1::int + %d`, i), 1); err != nil || got != i+1 {
				return fmt.Errorf("statement %d: %d, %w", i, got, err)
			}
		}
		if n := prepared(ctx, t, tx); n != 256 {
			t.Errorf("%d statements are kept, want 256", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestATableThatChangesItsShapeCostsOneTry(t *testing.T) {
	t.Parallel()
	home := pgtest.New(t, notes)
	db := pgtest.Open(t, pgtest.DSN(t, home), home.Service(), 1)
	admin := pgtest.Admin(t, home)
	read := func() error {
		return db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			err := tx.QueryRowxContext(ctx, `SELECT * FROM notes WHERE $1`, true).MapScan(map[string]any{})
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			return err
		})
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ExecContext(t.Context(), `ALTER TABLE `+home.Service()+`.notes ADD COLUMN later text`); err != nil {
		t.Fatal(err)
	}
	first := read() // the server may notice
	if err := read(); err != nil {
		t.Fatalf("the second try after a change: %v (the first: %v)", err, first)
	}
}
