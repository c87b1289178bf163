package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
)

// Store is the database of the service. It is safe for concurrent use.
type Store struct{ db *pg.DB }

// New returns the store in db, whose schema must be migrated.
func New(db *pg.DB) *Store { return &Store{db: db} }

type row struct {
	ID           int64     `db:"id"`
	Team         string    `db:"team"`
	Noun         string    `db:"noun"`
	Fact         string    `db:"fact"`
	Version      int       `db:"version"`
	Document     []byte    `db:"document"`
	RegisteredBy string    `db:"registered_by"`
	CreatedAt    time.Time `db:"created_at"`
}

func (r row) schema() schema.Schema {
	return schema.Schema{
		ID: r.ID, Name: schema.Name{Team: r.Team, Noun: r.Noun, Fact: r.Fact, Version: r.Version},
		Document: json.RawMessage(r.Document), RegisteredBy: r.RegisteredBy, CreatedAt: r.CreatedAt,
	}
}

// Insert keeps x, unless there is one of its name.
func (s *Store) Insert(ctx context.Context, p tenant.Project, x schema.Schema) (kept schema.Schema, made bool, err error) {
	const count = `SELECT count(*) FROM schemas WHERE project_id = $1 AND team = $2`
	const q = `
		INSERT INTO schemas (project_id, team, noun, fact, version, document, registered_by, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT ON CONSTRAINT schemas_of_a_fact DO NOTHING
		RETURNING id`
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var have int
		if err := tx.GetContext(ctx, &have, count, int64(p), x.Name.Team); err != nil {
			return err
		}
		n := x.Name
		if have < schema.MaxPerTeam {
			err := tx.GetContext(ctx, &x.ID, q, int64(p), n.Team, n.Noun, n.Fact, n.Version, []byte(x.Document), x.RegisteredBy, x.CreatedAt)
			if err == nil || !errors.Is(err, sql.ErrNoRows) {
				kept, made = x, err == nil
				return err
			}
		}
		kept, err = find(ctx, tx, p, n)
		if errors.Is(err, schema.ErrNotFound) {
			return schema.ErrMany
		}
		return err
	})
	return kept, made, wrap(err, "register schema "+x.Name.String())
}

func find(ctx context.Context, tx *sqlx.Tx, p tenant.Project, n schema.Name) (schema.Schema, error) {
	const q = `
		SELECT id, team, noun, fact, version, document, registered_by, created_at
		FROM   schemas
		WHERE  project_id = $1 AND team = $2 AND noun = $3 AND fact = $4 AND version = $5`
	var r row
	err := tx.GetContext(ctx, &r, q, int64(p), n.Team, n.Noun, n.Fact, n.Version)
	return r.schema(), absent(err)
}

// Find returns the schema of a name.
func (s *Store) Find(ctx context.Context, p tenant.Project, n schema.Name) (x schema.Schema, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		x, err = find(ctx, tx, p, n)
		return err
	})
	return x, wrap(err, "find schema "+n.String())
}

// Get returns the schema of an id.
func (s *Store) Get(ctx context.Context, p tenant.Project, id int64) (schema.Schema, error) {
	const q = `
		SELECT id, team, noun, fact, version, document, registered_by, created_at
		FROM   schemas
		WHERE  project_id = $1 AND id = $2`
	var r row
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return absent(tx.GetContext(ctx, &r, q, int64(p), id))
	})
	return r.schema(), wrap(err, fmt.Sprintf("get schema %d", id))
}

// List returns the schemas of a team, or of all.
func (s *Store) List(ctx context.Context, p tenant.Project, team string) ([]schema.Schema, error) {
	const q = `
		SELECT id, team, noun, fact, version, document, registered_by, created_at
		FROM   schemas
		WHERE  project_id = $1 AND ($2 = '' OR team = $2)
		ORDER  BY team, noun, fact, version`
	var rows []row
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, int64(p), team)
	})
	out := make([]schema.Schema, len(rows))
	for i, r := range rows {
		out[i] = r.schema()
	}
	return out, wrap(err, "list schemas")
}

// Delete removes a schema.
func (s *Store) Delete(ctx context.Context, p tenant.Project, id int64) error {
	const q = `DELETE FROM schemas WHERE project_id = $1 AND id = $2`
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, q, int64(p), id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, schema.ErrNotFound)
		}
		return nil
	})
	return wrap(err, fmt.Sprintf("delete schema %d", id))
}

// Purge removes everything of a project, and says so.
func (s *Store) Purge(ctx context.Context, p tenant.Project, o purge.Order) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return purge.Obey(ctx, tx, p, o) })
	return wrap(err, "purge project "+p.Token())
}

func absent(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return schema.ErrNotFound
	}
	return err
}

// wrap says what was being done, unless the error is a refusal for the caller.
func wrap(err error, doing string) error {
	if err == nil || errors.Is(err, schema.ErrNotFound) || errors.Is(err, schema.ErrMany) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}
