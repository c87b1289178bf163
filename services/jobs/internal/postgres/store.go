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

// Purge removes everything of a project, and says so.
func (s *Store) Purge(ctx context.Context, p tenant.Project, o purge.Order) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return purge.Obey(ctx, tx, p, o) })
	if err != nil {
		return fmt.Errorf("purge project %s: %w", p.Token(), err)
	}
	return nil
}
