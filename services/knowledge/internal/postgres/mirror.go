package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
)

// BackendJob is the kind of the jobs that make what a chosen back end needs.
// They have no payload.
const BackendJob = "backend"

// hasVectors reports whether pgvector is there, with its column.
func hasVectors(ctx context.Context, tx *sqlx.Tx) (there bool, err error) {
	const q = `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'vectors'::regclass AND attname = 'embedding' AND NOT attisdropped)`
	if err := tx.GetContext(ctx, &there, q); err != nil {
		return false, fmt.Errorf("look for pgvector: %w", err)
	}
	return there, nil
}

// backends are where a project wants its vectors to be searched, and where they
// are. Before anything was chosen, and where pgvector is missing, that is memory.
func backends(ctx context.Context, tx *sqlx.Tx, p tenant.Project, lock string) (wanted, now index.Backend, err error) {
	const q = `SELECT backend, serving FROM models WHERE project_id = $1`
	err = tx.QueryRowxContext(ctx, q+lock, int64(p)).Scan(&wanted, &now)
	if pg.NoRows(err) {
		return index.Memory, index.Memory, nil
	}
	if err != nil {
		return "", "", fmt.Errorf("read the back end: %w", err)
	}
	if wanted == index.Memory && now == index.Memory {
		return wanted, now, nil
	}
	there, err := hasVectors(ctx, tx)
	if err == nil && !there {
		wanted, now = index.Memory, index.Memory
	}
	return wanted, now, err
}

// Backends are where the vectors of a project can be searched, where they are to
// be, and where they are.
func (s *Store) Backends(ctx context.Context, p tenant.Project) (can []index.Backend, wanted, now index.Backend, err error) {
	can = []index.Backend{index.Memory}
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		there, err := hasVectors(ctx, tx)
		if err != nil {
			return err
		}
		if there {
			can = append(can, index.PGVector, index.PGVectorHalf)
		}
		wanted, now, err = backends(ctx, tx, p, "")
		return err
	})
	return can, wanted, now, err
}

// ChooseBackend has the vectors of a project be searched elsewhere, when what
// that needs is there. Whether it can be had is the caller's to know.
func (s *Store) ChooseBackend(ctx context.Context, p tenant.Project, b index.Backend) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const shut = `SELECT closed FROM generations WHERE project_id = $1 FOR SHARE`
		var closed bool
		if err := tx.GetContext(ctx, &closed, shut, int64(p)); err != nil && !pg.NoRows(err) {
			return fmt.Errorf("look whether the project is closed: %w", err)
		}
		if closed {
			return document.ErrClosed
		}
		const q = `
			INSERT INTO models (project_id, backend) VALUES ($1, $2)
			ON CONFLICT (project_id) DO UPDATE SET backend = excluded.backend, updated_at = now() WHERE models.backend <> excluded.backend`
		r, err := tx.ExecContext(ctx, q, int64(p), b)
		if err != nil {
			return fmt.Errorf("choose a back end: %w", err)
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return mirroring(ctx, tx, p)
	})
}

func mirroring(ctx context.Context, tx *sqlx.Tx, p tenant.Project) error {
	if _, err := jobs.Enqueue(ctx, tx, jobs.Job{Project: p, Kind: BackendJob, Payload: json.RawMessage("{}"), Long: true}); err != nil {
		return fmt.Errorf("queue the move to another back end: %w", err)
	}
	return nil
}

// Unmoved queues the move of projects that are not searched where they want to
// be, and of which no job is at work, at most limit of them.
func (s *Store) Unmoved(ctx context.Context, limit int) (queued int, err error) {
	var projects []tenant.Project
	err = s.db.AcrossProjects(ctx, "find projects that are searched elsewhere than they want", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT project_id FROM models WHERE backend <> serving ORDER BY updated_at LIMIT $1`
		return tx.SelectContext(ctx, &projects, q, limit)
	})
	if err != nil {
		return 0, fmt.Errorf("find projects that are searched elsewhere than they want: %w", err)
	}
	for _, p := range projects {
		err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
			if there, err := hasVectors(ctx, tx); err != nil || !there {
				return err
			}
			const q = `SELECT EXISTS (SELECT FROM jobs WHERE project_id = $1 AND kind = $2 AND state IN ('queued', 'released', 'running'))`
			var busy bool
			if err := tx.GetContext(ctx, &busy, q, int64(p), BackendJob); err != nil || busy {
				return err
			}
			queued++
			return mirroring(ctx, tx, p)
		})
		if err != nil {
			return queued, err
		}
	}
	return queued, nil
}

// errElsewhere says that a project wants its vectors in memory by now.
var errElsewhere = errors.New("the project is searched in memory")

// Mirror copies vectors of the project to where pgvector searches, from those
// behind a chunk on, at most limit of them. It returns the last chunk, 0 when
// there is none left.
func (s *Store) Mirror(ctx context.Context, p tenant.Project, after int64, limit int) (last int64, copied int, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		wanted, _, err := backends(ctx, tx, p, "")
		if err != nil || !wanted.Elsewhere() {
			return errors.Join(err, errElsewhere)
		}
		half := wanted == index.PGVectorHalf
		const q = `
			SELECT e.chunk_id, e.model, e.vector FROM embeddings e
			WHERE  e.project_id = $1 AND e.chunk_id > $2 AND NOT EXISTS (
				SELECT FROM vectors v WHERE v.project_id = $1 AND v.model = e.model AND v.chunk_id = e.chunk_id AND v.half = $3)
			ORDER  BY e.chunk_id LIMIT $4`
		rows, err := tx.QueryContext(ctx, q, int64(p), after, half, limit)
		if err != nil {
			return fmt.Errorf("read vectors: %w", err)
		}
		byModel := map[string]*batch{}
		for rows.Next() {
			var id int64
			var model string
			var b []byte
			if err := rows.Scan(&id, &model, &b); err != nil {
				return errors.Join(fmt.Errorf("read vectors: %w", err), rows.Close())
			}
			v, err := decodeVector(b)
			if err != nil {
				return errors.Join(err, rows.Close())
			}
			if byModel[model] == nil {
				byModel[model] = &batch{}
			}
			byModel[model].add(id, v)
			last, copied = id, copied+1
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("read vectors: %w", err)
		}
		for model, b := range byModel {
			if err := b.save(ctx, tx, p, model, half); err != nil {
				return err
			}
		}
		if copied == limit {
			last-- // a chunk may have vectors of two models
		} else {
			last = 0
		}
		return nil
	})
	if errors.Is(err, errElsewhere) {
		return 0, 0, nil
	}
	return last, copied, err
}

// batch is vectors on their way to pgvector.
type batch struct {
	ids     []int64
	vectors []string
	dims    []int64
}

func (b *batch) add(id int64, v []float32) {
	b.ids, b.vectors, b.dims = append(b.ids, id), append(b.vectors, vectorText(unit(v))), append(b.dims, int64(len(v)))
}

func (b *batch) save(ctx context.Context, tx *sqlx.Tx, p tenant.Project, model string, half bool) error {
	const q = `
		INSERT INTO vectors (project_id, model, chunk_id, dims, half, embedding)
		SELECT $1, $2, n.id, n.dims, $3, n.v::vector FROM unnest($4::bigint[], $5::integer[], $6::text[]) AS n (id, dims, v)
		ON CONFLICT (project_id, model, chunk_id, half) DO UPDATE SET dims = excluded.dims, embedding = excluded.embedding`
	_, err := tx.ExecContext(ctx, q, int64(p), model, half, pq.Array(b.ids), pq.Array(b.dims), pq.Array(b.vectors))
	if pg.ForeignKeyViolation(err, "vectors_of_embedding") {
		return document.ErrMoved
	}
	if err != nil {
		return fmt.Errorf("save vectors for pgvector: %w", err)
	}
	return nil
}

// mirror gives new vectors to pgvector as well, where a project is searched
// there or going to be. Who changes that waits for us: afterwards there is no
// vector that pgvector was not given.
func mirror(ctx context.Context, tx *sqlx.Tx, p tenant.Project, model string, ids []int64, vectors [][]float32) error {
	wanted, now, err := backends(ctx, tx, p, " FOR SHARE")
	if err != nil || !wanted.Elsewhere() && !now.Elsewhere() {
		return err
	}
	b := &batch{}
	for i, id := range ids {
		b.add(id, vectors[i])
	}
	for _, x := range slices.Compact([]index.Backend{wanted, now}) {
		if x.Elsewhere() {
			if err := b.save(ctx, tx, p, model, x == index.PGVectorHalf); err != nil {
				return err
			}
		}
	}
	return nil
}

// Serve has a project be searched where it wants to be, if every vector is
// there. It reports whether anything changed.
func (s *Store) Serve(ctx context.Context, p tenant.Project) (moved bool, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		wanted, now, err := backends(ctx, tx, p, " FOR UPDATE")
		if err != nil || wanted == now {
			return err
		}
		const missing = `
			SELECT EXISTS (
				SELECT FROM embeddings e WHERE e.project_id = $1 AND NOT EXISTS (
					SELECT FROM vectors v WHERE v.project_id = $1 AND v.model = e.model AND v.chunk_id = e.chunk_id AND v.half = $2))`
		var some bool
		if wanted.Elsewhere() {
			if err := tx.GetContext(ctx, &some, missing, int64(p), wanted == index.PGVectorHalf); err != nil || some {
				return err
			}
		}
		const q = `UPDATE models SET serving = $2, updated_at = now() WHERE project_id = $1`
		if _, err := tx.ExecContext(ctx, q, int64(p), wanted); err != nil {
			return fmt.Errorf("move to another back end: %w", err)
		}
		moved = true
		_, err = raise(ctx, tx, p, 0) // indexes of before are too old now
		return err
	})
	return moved && err == nil, err
}

// Unmirror removes what pgvector has of a project and is not searched there any
// more, at most limit vectors, and returns how many.
func (s *Store) Unmirror(ctx context.Context, p tenant.Project, limit int) (removed int, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		wanted, now, err := backends(ctx, tx, p, "")
		if err != nil {
			return err
		}
		full, half := wanted == index.PGVector || now == index.PGVector, wanted == index.PGVectorHalf || now == index.PGVectorHalf
		const q = `
			DELETE FROM vectors v USING (
				SELECT model, chunk_id, half FROM vectors WHERE project_id = $1 AND (half AND NOT $3 OR NOT half AND NOT $2) LIMIT $4) old
			WHERE  v.project_id = $1 AND v.model = old.model AND v.chunk_id = old.chunk_id AND v.half = old.half`
		r, err := tx.ExecContext(ctx, q, int64(p), full, half, limit)
		if err != nil {
			return fmt.Errorf("remove what pgvector had: %w", err)
		}
		n, err := r.RowsAffected()
		removed = int(n)
		return err
	})
	return removed, err
}
