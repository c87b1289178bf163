package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// ModelJob is the kind of the jobs that have somebody look after the vectors of a
// project that has chosen another model. They have no payload.
const ModelJob = "model"

// Use is which models a project has to do with.
type Use struct {
	Project  tenant.Project
	Chosen   string // by the project, as settings name it; "" follows the instance
	Searched string // whose vectors are searched, as vectors name it; "" while there are none
	Tidy     bool   // no vectors of earlier models are left
}

// searched is the model whose vectors are searched, "" while there are none. Before
// it is noted it is that of any document: they have one.
func searched(ctx context.Context, tx *sqlx.Tx, p tenant.Project) (name string, err error) {
	const q = `
		SELECT coalesce((SELECT nullif(searched, '') FROM models WHERE project_id = $1),
		                (SELECT min(model) FROM documents WHERE project_id = $1 AND state = 'indexed' AND model <> ''), '')`
	if err := tx.GetContext(ctx, &name, q, int64(p)); err != nil {
		return "", fmt.Errorf("read the model that is searched: %w", err)
	}
	return name, nil
}

// settle notes the model that is searched, unless one is noted already: that of
// the documents, or else first. It returns the one that holds.
func settle(ctx context.Context, tx *sqlx.Tx, p tenant.Project, first string) (string, error) {
	name, err := searched(ctx, tx, p)
	if err != nil {
		return "", err
	}
	if name == "" {
		name = first
	}
	const q = `
		INSERT INTO models (project_id, searched) VALUES ($1, $2)
		ON CONFLICT (project_id) DO UPDATE SET searched = excluded.searched WHERE models.searched = ''`
	if _, err := tx.ExecContext(ctx, q, int64(p), name); err != nil {
		return "", fmt.Errorf("note the model that is searched: %w", err)
	}
	return searched(ctx, tx, p)
}

// Models are the names of vectors of a project: those that are searched ("": there
// are none), and those that all of its chunks are to have.
func (s *Store) Models(ctx context.Context, p tenant.Project) (now, wanted string, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if now, err = searched(ctx, tx, p); err != nil {
			return err
		}
		wanted, err = s.wanted(ctx, tx, p)
		return err
	})
	return now, wanted, err
}

// wanted is the name of the vectors that the chunks of a project are to have.
func (s *Store) wanted(ctx context.Context, tx *sqlx.Tx, p tenant.Project) (string, error) {
	chosen, err := chosen(ctx, tx, p)
	return s.model(chosen), err
}

func chosen(ctx context.Context, tx *sqlx.Tx, p tenant.Project) (name string, err error) {
	const q = `SELECT coalesce((SELECT chosen FROM models WHERE project_id = $1), '')`
	if err := tx.GetContext(ctx, &name, q, int64(p)); err != nil {
		return "", fmt.Errorf("read the model that was chosen: %w", err)
	}
	return name, nil
}

// Chosen is the model that a project has chosen, as settings name it; "" follows
// the instance.
func (s *Store) Chosen(ctx context.Context, p tenant.Project) (name string, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		name, err = chosen(ctx, tx, p)
		return err
	})
	return name, err
}

// Choose has the chunks of a project get the vectors of another model. What is
// searched changes when they have.
func (s *Store) Choose(ctx context.Context, p tenant.Project, name string) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const shut = `SELECT closed FROM generations WHERE project_id = $1 FOR SHARE`
		var closed bool
		if err := tx.GetContext(ctx, &closed, shut, int64(p)); err != nil && !pg.NoRows(err) {
			return fmt.Errorf("look whether the project is closed: %w", err)
		}
		if closed {
			return document.ErrClosed
		}
		if _, err := settle(ctx, tx, p, ""); err != nil {
			return err
		}
		before, err := chosen(ctx, tx, p)
		if err != nil {
			return err
		}
		bus.Changed(ctx, "embedding_model", before, name)
		const q = `UPDATE models SET chosen = $2, updated_at = now() WHERE project_id = $1`
		if _, err := tx.ExecContext(ctx, q, int64(p), name); err != nil {
			return fmt.Errorf("choose a model: %w", err)
		}
		// Whoever looks for what is to do must see the choice, so not before it is committed.
		if _, err := jobs.Enqueue(ctx, tx, jobs.Job{Project: p, Kind: ModelJob, Payload: []byte("{}")}); err != nil {
			return fmt.Errorf("choose a model: %w", err)
		}
		return nil
	})
}

// Uses are those of the projects after one, in order, at most limit of them.
func (s *Store) Uses(ctx context.Context, after tenant.Project, limit int) (uses []Use, err error) {
	err = s.db.AcrossProjects(ctx, "see which models are in use", func(ctx context.Context, tx *sqlx.Tx) (err error) {
		const q = `SELECT project_id, chosen, searched, tidy FROM models WHERE project_id > $1 ORDER BY project_id LIMIT $2`
		rows, err := tx.QueryContext(ctx, q, int64(after), limit)
		if err != nil {
			return err
		}
		defer closeRows(rows, &err)
		for rows.Next() {
			var u Use
			if err := rows.Scan(&u.Project, &u.Chosen, &u.Searched, &u.Tidy); err != nil {
				return err
			}
			uses = append(uses, u)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read which models are in use: %w", err)
	}
	return uses, nil
}

// Adopt notes which model is searched where documents have vectors and nothing is
// noted, at most for limit projects; it returns for how many.
func (s *Store) Adopt(ctx context.Context, limit int) (int, error) {
	var projects []int64
	err := s.db.AcrossProjects(ctx, "find projects without a note of their model", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT DISTINCT d.project_id FROM documents d LEFT JOIN models m ON m.project_id = d.project_id
			WHERE  d.state = 'indexed' AND d.model <> '' AND coalesce(m.searched, '') = '' LIMIT $1`
		return tx.SelectContext(ctx, &projects, q, limit)
	})
	if err != nil {
		return 0, fmt.Errorf("find projects without a note of their model: %w", err)
	}
	for i, p := range projects {
		err := s.db.InTenant(ctx, tenant.Project(p), func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := settle(ctx, tx, tenant.Project(p), "")
			return err
		})
		if err != nil {
			return i, err
		}
	}
	return len(projects), nil
}

// Swap has the searches of a project use the vectors of model from now on, if all
// documents have them, or at once. A document that was given up does not keep the
// others. It reports whether anything changed.
func (s *Store) Swap(ctx context.Context, p tenant.Project, model string, atOnce bool) (swapped bool, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		// Two ranges, so that the index is read and not the table.
		const q = `
			UPDATE models SET searched = $2, tidy = false, updated_at = now()
			WHERE  project_id = $1 AND searched <> $2 AND ($3 OR NOT EXISTS (
				SELECT 1 FROM documents WHERE project_id = $1 AND state = 'indexed' AND model < $2 AND reason <> 'internal'
				UNION ALL
				SELECT 1 FROM documents WHERE project_id = $1 AND state = 'indexed' AND model > $2 AND reason <> 'internal'))`
		r, err := tx.ExecContext(ctx, q, int64(p), model, atOnce)
		if err != nil {
			return fmt.Errorf("search by another model: %w", err)
		}
		n, err := r.RowsAffected()
		if err != nil || n == 0 {
			return err
		}
		swapped = true
		_, err = raise(ctx, tx, p, 0) // indexes of before are too old now
		return err
	})
	return swapped && err == nil, err
}

// Clean removes the vectors of a project that are of no model in use, at most
// limit of them at a time, and notes when there are none left.
func (s *Store) Clean(ctx context.Context, p tenant.Project, limit int) (removed int, err error) {
	for ctx.Err() == nil {
		var n int64
		err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
			now, err := searched(ctx, tx, p)
			if err != nil {
				return err
			}
			wanted, err := s.wanted(ctx, tx, p)
			if err != nil {
				return err
			}
			const q = `
				DELETE FROM embeddings e USING (
					SELECT chunk_id, model FROM embeddings WHERE project_id = $1 AND model <> $2 AND model <> $3 LIMIT $4) old
				WHERE  e.project_id = $1 AND e.chunk_id = old.chunk_id AND e.model = old.model`
			r, err := tx.ExecContext(ctx, q, int64(p), now, wanted, limit)
			if err != nil {
				return fmt.Errorf("remove the vectors of an earlier model: %w", err)
			}
			if n, err = r.RowsAffected(); err != nil || n == int64(limit) {
				return err
			}
			const done = `UPDATE models SET tidy = true WHERE project_id = $1 AND NOT tidy AND searched = $2`
			_, err = tx.ExecContext(ctx, done, int64(p), now)
			return err
		})
		removed += int(n)
		if err != nil || n < int64(limit) {
			return removed, err
		}
	}
	return removed, ctx.Err()
}
