package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

// locked returns the document of a task with its row locked, or ErrMoved.
func (s *Store) locked(ctx context.Context, tx *sqlx.Tx, p tenant.Project, t document.Task) (document.Document, error) {
	d, err := s.get(ctx, tx, p, t.Document, true)
	if errors.Is(err, document.ErrNotFound) || err == nil && d.Version != t.Version {
		return d, document.ErrMoved
	}
	return d, err
}

// Open returns the document of a task and its bytes, see document.Saving.
func (s *Store) Open(ctx context.Context, p tenant.Project, t document.Task) (d document.Document, b document.Blob, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if d, err = s.locked(ctx, tx, p, t); err != nil {
			return err
		}
		if d.Extracted {
			return nil
		}
		const q = `SELECT sha256, size, bucket, name, body FROM blobs WHERE project_id = $1 AND sha256 = $2`
		if err := tx.QueryRowxContext(ctx, q, int64(p), d.SHA256).Scan(&b.SHA256, &b.Size, &b.Bucket, &b.Name, &b.Body); err != nil {
			return fmt.Errorf("read the bytes of document %d: %w", d.ID, err)
		}
		return nil
	})
	return d, b, err
}

// Look returns the document of a task, see document.Saving.
func (s *Store) Look(ctx context.Context, p tenant.Project, t document.Task) (document.Document, error) {
	d, err := s.Get(ctx, p, t.Document)
	if errors.Is(err, document.ErrNotFound) || err == nil && d.Version != t.Version {
		return d, document.ErrMoved
	}
	return d, err
}

// Extracted saves chunks that the caller did not wait for.
func (s *Store) Extracted(ctx context.Context, d document.Document, chunks []document.Chunk) (document.Document, error) {
	err := s.db.InTenant(ctx, d.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := s.locked(ctx, tx, d.Project, document.Task{Document: d.ID, Version: d.Version}); err != nil {
			return err
		}
		if err := s.saveChunks(ctx, tx, d, chunks); err != nil {
			return err
		}
		d.Chunks, d.Extracted = len(chunks), true
		const q = `UPDATE documents SET title = $3, chunks = $4, extracted = true WHERE project_id = $1 AND id = $2`
		if _, err := tx.ExecContext(ctx, q, int64(d.Project), d.ID, d.Title, d.Chunks); err != nil {
			return fmt.Errorf("save the extraction of document %d: %w", d.ID, err)
		}
		var err error
		d.Generation, err = raise(ctx, tx, d.Project, d.ID)
		return err
	})
	return d, err
}

// Unembedded returns chunks that lack a vector of the model.
func (s *Store) Unembedded(ctx context.Context, d document.Document, model string, after, limit int) (out []document.Chunk, err error) {
	err = s.db.InTenant(ctx, d.Project, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		const q = `
			SELECT c.id, c.ordinal, c.path, c.symbol, c.kind, c.body, c.tokens
			FROM   chunks c
			WHERE  c.project_id = $1 AND c.document_id = $2 AND c.ordinal > $4
			AND    NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.project_id = c.project_id AND e.chunk_id = c.id AND e.model = $3)
			ORDER  BY c.ordinal LIMIT $5`
		rows, err := tx.QueryContext(ctx, q, int64(d.Project), d.ID, model, after, limit)
		if err != nil {
			return fmt.Errorf("find chunks without vector: %w", err)
		}
		defer closeRows(rows, &err)
		for rows.Next() {
			var c document.Chunk
			var path, kind string
			if err := rows.Scan(&c.ID, &c.Ordinal, &path, &c.Symbol, &kind, &c.Text, &c.Tokens); err != nil {
				return fmt.Errorf("find chunks without vector: %w", err)
			}
			c.Chunk = chunk.Chunk{Text: c.Text, Path: splitPath(path), Symbol: c.Symbol, Kind: extract.BlockKind(kind), Tokens: c.Tokens}
			out = append(out, c)
		}
		return rows.Err()
	})
	return out, err
}

// Embedded saves vectors. A chunk that is gone means that the document has
// another version.
func (s *Store) Embedded(ctx context.Context, d document.Document, model string, chunks []document.Chunk, vectors [][]float32) error {
	return s.db.InTenant(ctx, d.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		ids, bytes := make([]int64, len(chunks)), make([][]byte, len(chunks))
		for i := range chunks {
			ids[i], bytes[i] = chunks[i].ID, encodeVector(vectors[i])
		}
		const q = `
			INSERT INTO embeddings (project_id, chunk_id, model, vector)
			SELECT $1, n.id, $2, n.vector FROM unnest($3::bigint[], $4::bytea[]) AS n (id, vector)
			ON CONFLICT (project_id, chunk_id, model) DO UPDATE SET vector = excluded.vector`
		_, err := tx.ExecContext(ctx, q, int64(d.Project), model, pq.Array(ids), pq.Array(bytes))
		if pg.ForeignKeyViolation(err, "embeddings_of_chunk") {
			return document.ErrMoved
		}
		if err != nil {
			return fmt.Errorf("save vectors of document %d: %w", d.ID, err)
		}
		return mirror(ctx, tx, d.Project, model, ids, vectors)
	})
}

// Indexed ends the indexing of a document; model "" means without vectors.
func (s *Store) Indexed(ctx context.Context, d document.Document, model string) error {
	return s.db.InTenant(ctx, d.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		now, err := s.locked(ctx, tx, d.Project, document.Task{Document: d.ID, Version: d.Version})
		if err != nil {
			return err
		}
		if now.State == document.Indexed && now.Model == model { // done by an earlier run of the job, or chosen again meanwhile
			const done = `UPDATE documents SET wanted = '' WHERE project_id = $1 AND id = $2 AND wanted <> '' AND reason = ''`
			if _, err := tx.ExecContext(ctx, done, int64(d.Project), d.ID); err != nil {
				return fmt.Errorf("end the indexing of document %d: %w", d.ID, err)
			}
			return nil
		}
		if model == "" && now.Model != "" {
			// It has vectors, of a model that is not here now.
			const keep = `UPDATE documents SET wanted = '' WHERE project_id = $1 AND id = $2`
			if _, err := tx.ExecContext(ctx, keep, int64(d.Project), d.ID); err != nil {
				return fmt.Errorf("end the indexing of document %d: %w", d.ID, err)
			}
			return nil
		}
		kept := ""
		if model != "" {
			if kept, err = settle(ctx, tx, d.Project, model); err != nil {
				return err
			}
		}
		const q = `UPDATE documents SET state = 'indexed', model = $3, wanted = '', reason = '', error = '' WHERE project_id = $1 AND id = $2`
		if _, err := tx.ExecContext(ctx, q, int64(d.Project), d.ID, model); err != nil {
			return fmt.Errorf("end the indexing of document %d: %w", d.ID, err)
		}
		const others = `
			DELETE FROM embeddings e USING chunks c
			WHERE  e.project_id = $1 AND c.project_id = $1 AND e.chunk_id = c.id AND c.document_id = $2 AND e.model <> $3 AND e.model <> $4`
		if model != "" {
			if _, err := tx.ExecContext(ctx, others, int64(d.Project), d.ID, model, kept); err != nil {
				return fmt.Errorf("drop the old vectors of document %d: %w", d.ID, err)
			}
		}
		if now.State == document.Indexed && model != kept {
			return nil // ready for the day when these are searched; nothing is found otherwise until then
		}
		generation, err := raise(ctx, tx, d.Project, d.ID)
		if err != nil {
			return err
		}
		now.Model, now.Generation = model, generation
		return outbox.Add(ctx, tx, indexed(now))
	})
}

// Failed ends the indexing of a document that cannot be read. What an earlier
// version left behind goes.
func (s *Store) Failed(ctx context.Context, d document.Document, reason, detail string) error {
	return s.db.InTenant(ctx, d.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := s.locked(ctx, tx, d.Project, document.Task{Document: d.ID, Version: d.Version}); err != nil {
			return err
		}
		const clear = `DELETE FROM chunks WHERE project_id = $1 AND document_id = $2`
		if _, err := tx.ExecContext(ctx, clear, int64(d.Project), d.ID); err != nil {
			return fmt.Errorf("drop the chunks of document %d: %w", d.ID, err)
		}
		const q = `UPDATE documents SET state = 'failed', reason = $3, error = $4, chunks = 0, extracted = true, model = '', wanted = '' WHERE project_id = $1 AND id = $2`
		if _, err := tx.ExecContext(ctx, q, int64(d.Project), d.ID, reason, detail); err != nil {
			return fmt.Errorf("fail document %d: %w", d.ID, err)
		}
		if _, err := raise(ctx, tx, d.Project, d.ID); err != nil {
			return err
		}
		d.Reason, d.Error = reason, detail
		return outbox.Add(ctx, tx, failed(d))
	})
}

// GaveUp ends the indexing of a document after faults, see document.Saving.
func (s *Store) GaveUp(ctx context.Context, p tenant.Project, t document.Task, detail string) error {
	var d document.Document
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var err error
		if d, err = s.locked(ctx, tx, p, t); err != nil || !d.Extracted || d.State == document.Failed {
			return err
		}
		wanted, err := s.wanted(ctx, tx, p)
		if err != nil {
			return err
		}
		if d.State == document.Indexed {
			// It was to get the vectors of another model, beside those that it has.
			const q = `UPDATE documents SET reason = 'internal', error = $3 WHERE project_id = $1 AND id = $2 AND model <> $4 AND wanted = $4 AND $4 <> ''`
			if _, err := tx.ExecContext(ctx, q, int64(p), d.ID, detail, wanted); err != nil {
				return fmt.Errorf("give up document %d: %w", d.ID, err)
			}
			return nil
		}
		if err := s.Indexed(ctx, d, ""); err != nil {
			return err
		}
		const q = `UPDATE documents SET wanted = $3, reason = 'internal', error = $4 WHERE project_id = $1 AND id = $2`
		if _, err := tx.ExecContext(ctx, q, int64(p), d.ID, wanted, detail); err != nil {
			return fmt.Errorf("give up document %d: %w", d.ID, err)
		}
		return nil
	})
	if err != nil || d.Extracted {
		return err
	}
	return s.Failed(ctx, d, "internal", detail)
}

// stranded is a document whose job has ended without a word.
type stranded struct {
	Project int64           `db:"project_id"`
	ID      int64           `db:"id"`
	Version int             `db:"version"`
	Payload json.RawMessage `db:"payload"`
}

// task is that of the last job, of which only the document is certain.
func (l stranded) task() (t document.Task, err error) {
	if err := json.Unmarshal(l.Payload, &t); err != nil {
		return t, fmt.Errorf("the last job of document %d: %w", l.ID, err)
	}
	t.Document, t.Version = l.ID, l.Version
	return t, nil
}

// Stranded hands all documents to giveUp that are being indexed by a job that
// has ended without a word, because its worker died at every try; it reads
// step of them at a time. One that cannot be given up does not keep the
// others. It returns how many were given up.
func (s *Store) Stranded(ctx context.Context, step int, giveUp func(ctx context.Context, p tenant.Project, t document.Task) error) (given int, err error) {
	var f faults
	for after := int64(0); ; {
		lost, err := s.strandedAfter(ctx, after, step)
		if err != nil {
			return given, errors.Join(f.err(), err)
		}
		for _, l := range lost {
			after = l.ID
			t, err := l.task()
			if err == nil {
				err = giveUp(ctx, tenant.Project(l.Project), t)
			}
			if err != nil {
				f.add(fmt.Errorf("give up document %d: %w", l.ID, err))
				continue
			}
			given++
		}
		if len(lost) < step || ctx.Err() != nil {
			return given, f.err()
		}
	}
}

func (s *Store) strandedAfter(ctx context.Context, after int64, limit int) (lost []stranded, err error) {
	err = s.db.AcrossProjects(ctx, "find documents without a job", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT d.project_id, d.id, d.version, coalesce(j.payload, '{}') AS payload
			FROM   documents d LEFT JOIN jobs j ON j.project_id = d.project_id AND j.id = d.job_id
			WHERE  d.id > $2 AND (d.state = 'indexing' OR d.state = 'indexed' AND d.wanted <> '' AND d.wanted <> d.model AND d.reason = '')
			AND    (j.id IS NULL OR j.state IN ('failed', 'dead', 'cancelled'))
			ORDER  BY d.id LIMIT $1`
		return tx.SelectContext(ctx, &lost, q, limit, after)
	})
	if err != nil {
		return nil, fmt.Errorf("find documents without a job: %w", err)
	}
	return lost, nil
}

// Backlog queues documents that are indexed without the vectors of model, of the
// projects that have made a choice ("": none, so that the instance's holds), at most
// limit of them. It returns how many it queued.
func (s *Store) Backlog(ctx context.Context, choice, model string, limit int) (queued int, err error) {
	var projects []int64
	err = s.db.AcrossProjects(ctx, "find documents without vectors", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT DISTINCT d.project_id FROM documents d LEFT JOIN models m ON m.project_id = d.project_id
			WHERE  d.state = 'indexed' AND d.model <> $1 AND d.wanted <> $1 AND coalesce(m.chosen, '') = $2`
		return tx.SelectContext(ctx, &projects, q, model, choice)
	})
	if err != nil {
		return 0, fmt.Errorf("find documents without vectors: %w", err)
	}
	for _, p := range projects {
		if queued >= limit {
			break
		}
		n, err := s.queue(ctx, tenant.Project(p), model, limit-queued)
		if queued += n; err != nil {
			return queued, err
		}
	}
	return queued, nil
}

func (s *Store) queue(ctx context.Context, p tenant.Project, model string, limit int) (n int, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT ` + columns + ` FROM documents d
			WHERE d.project_id = $1 AND d.state = 'indexed' AND d.model <> $2 AND d.wanted <> $2
			ORDER BY d.id LIMIT $3 FOR UPDATE OF d SKIP LOCKED`
		var rows []row
		if err := tx.SelectContext(ctx, &rows, q, int64(p), model, limit); err != nil {
			return fmt.Errorf("queue documents for %s: %w", model, err)
		}
		for _, r := range rows {
			id, err := enqueue(ctx, tx, r.document())
			if err != nil {
				return err
			}
			const mark = `UPDATE documents SET wanted = $3, job_id = $4, reason = '', error = '' WHERE project_id = $1 AND id = $2`
			if _, err := tx.ExecContext(ctx, mark, int64(p), r.ID, model, id); err != nil {
				return fmt.Errorf("queue document %d: %w", r.ID, err)
			}
		}
		n = len(rows)
		return nil
	})
	return n, err
}
