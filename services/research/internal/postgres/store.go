package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Store is the database of the service. It is safe for concurrent use.
type Store struct{ db *pg.DB }

// New returns the store in db, whose schema must be migrated.
func New(db *pg.DB) *Store { return &Store{db: db} }

// next gives an id that no row of the project has in a table of ours. Those that came
// with an archive may be ahead of the sequence, and most is how many a project has.
func next(ctx context.Context, tx *sqlx.Tx, p tenant.Project, table string, most int) (id int64, err error) {
	q := `
		SELECT n FROM (SELECT nextval(pg_get_serial_sequence('` + table + `', 'id')) AS n FROM (SELECT generate_series(0, $2)) tries) ahead -- one by one, and mostly one
		WHERE  NOT EXISTS (SELECT 1 FROM ` + table + ` WHERE project_id = $1 AND id = n) LIMIT 1`
	if err := tx.GetContext(ctx, &id, q, int64(p), most); err != nil {
		return 0, fmt.Errorf("number a row of %s: %w", table, err)
	}
	return id, nil
}

// Purge removes everything of a project, and says so.
func (s *Store) Purge(ctx context.Context, p tenant.Project, o purge.Order) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return purge.Obey(ctx, tx, p, o) })
	if err != nil {
		return fmt.Errorf("purge project %s: %w", p.Token(), err)
	}
	return nil
}
