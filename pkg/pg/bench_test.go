package pg_test

import (
	"context"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

// BenchmarkInTenant is the price of a transaction with one statement.
func BenchmarkInTenant(b *testing.B) {
	db := pgtest.New(b, notes)
	for b.Loop() {
		must(b, db.InTenant(b.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `SELECT 1`)
			return err
		}))
	}
}

// BenchmarkUnit is the same in two joined calls of a unit.
func BenchmarkUnit(b *testing.B) {
	db := pgtest.New(b, notes)
	for b.Loop() {
		ctx, u := db.Unit(b.Context())
		for range 2 {
			must(b, db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error {
				_, err := tx.ExecContext(ctx, `SELECT 1`)
				return err
			}))
		}
		must(b, u.Commit(ctx))
	}
}

// BenchmarkMigrateAgain is what migrating costs every start when there is
// nothing to do, for five services.
func BenchmarkMigrateAgain(b *testing.B) {
	dsn := pgtest.AdminDSN(b)
	var schemas []pg.Schema
	for _, name := range []string{"b_one", "b_two", "b_three", "b_four", "b_five"} {
		schemas = append(schemas, pg.Schema{Name: name, FS: files("000001_a.up.sql", up1)})
	}
	must(b, pg.Migrate(b.Context(), dsn, pgtest.Secrets(), schemas...))
	for b.Loop() {
		must(b, pg.Migrate(b.Context(), dsn, pgtest.Secrets(), schemas...))
	}
}
