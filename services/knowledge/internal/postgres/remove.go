package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// Delete removes a document if may agrees, whose error is returned as it is.
func (s *Store) Delete(ctx context.Context, p tenant.Project, id int64, may func(document.Document) error) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		d, err := s.get(ctx, tx, p, id, true)
		if err != nil {
			return err
		}
		if err := may(d); err != nil {
			return err
		}
		const q = `DELETE FROM documents WHERE project_id = $1 AND id = $2` // chunks and vectors follow
		if _, err := tx.ExecContext(ctx, q, int64(p), id); err != nil {
			return fmt.Errorf("delete document %d: %w", id, err)
		}
		if err := releaseBlob(ctx, tx, p, d.SHA256); err != nil {
			return err
		}
		generation, err := raise(ctx, tx, p, 0)
		if err != nil {
			return err
		}
		const note = `INSERT INTO removals (project_id, document_id, generation) VALUES ($1, $2, $3)`
		if _, err := tx.ExecContext(ctx, note, int64(p), id, generation); err != nil {
			return fmt.Errorf("note the removal of document %d: %w", id, err)
		}
		return outbox.Add(ctx, tx, &knowledgev1.DocumentDeleted{
			ProjectId: int32(p), DocumentId: strconv.FormatInt(id, 10), Version: int32(d.Version + 1), Collection: d.Collection, Generation: int32(generation),
		})
	})
}

// DeleteAt removes the document of a name in a collection, if it is one that the
// principal has added; one that is not there is as good.
func (s *Store) DeleteAt(ctx context.Context, p tenant.Project, collection, source, principal string) error {
	if collection == "" {
		collection = document.DefaultCollection
	}
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT id FROM documents WHERE project_id = $1 AND collection = $2 AND md5(source) = md5($3) AND principal = $4`
		var ids []int64
		if err := tx.SelectContext(ctx, &ids, q, int64(p), collection, document.CleanName(source), principal); err != nil {
			return fmt.Errorf("find the document %q: %w", source, err)
		}
		for _, id := range ids {
			err := s.Delete(ctx, p, id, func(document.Document) error { return nil })
			if err != nil && !errors.Is(err, document.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// DeleteOf removes every document of a technology, which is gone.
func (s *Store) DeleteOf(ctx context.Context, p tenant.Project, technology int64) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT id FROM documents WHERE project_id = $1 AND technology_id = $2 ORDER BY id FOR UPDATE` // all before the generation: uploads lock in this order
		var ids []int64
		if err := tx.SelectContext(ctx, &ids, q, int64(p), technology); err != nil {
			return fmt.Errorf("find the documents of technology %d: %w", technology, err)
		}
		for _, id := range ids {
			err := s.Delete(ctx, p, id, func(document.Document) error { return nil })
			if err != nil && !errors.Is(err, document.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// Purge removes everything of a project and closes it: nothing is accepted
// for it any more. It says so.
func (s *Store) Purge(ctx context.Context, p tenant.Project, o purge.Order) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const shut = `
			INSERT INTO generations (project_id, generation, closed) VALUES ($1, 1, true)
			ON CONFLICT (project_id) DO UPDATE SET generation = generations.generation + 1, closed = true, floor = generations.generation + 1`
		if _, err := tx.ExecContext(ctx, shut, int64(p)); err != nil {
			return fmt.Errorf("close project %d: %w", p, err)
		}
		// Objects go with the streams, by their names: there is no trash to note.
		return purge.Obey(ctx, tx, p, o, purge.Rule{Table: "generations", Stay: "closed", Why: "the mark that nothing is accepted for it any more"})
	})
}

// Closed are those of some projects that were purged.
func (s *Store) Closed(ctx context.Context, of []tenant.Project) (closed []tenant.Project, err error) {
	if len(of) == 0 {
		return nil, nil
	}
	err = s.db.AcrossProjects(ctx, "see which projects are gone", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT project_id FROM generations WHERE project_id = ANY ($1) AND closed`
		return tx.SelectContext(ctx, &closed, q, pq.Array(of))
	})
	if err != nil {
		return nil, fmt.Errorf("see which projects are gone: %w", err)
	}
	return closed, nil
}

// Trash is an object that nobody refers to.
type Trash struct {
	Bucket string `db:"bucket"`
	Name   string `db:"name"`
}

// Sweep hands all trash that is due to remove, which may see a piece twice,
// and forgets what it removed; it reads step pieces at a time. One that cannot
// be removed does not keep the others. It returns how many were removed.
//
// No transaction is open meanwhile: an object that is gone and still noted is
// removed again, to no effect.
func (s *Store) Sweep(ctx context.Context, step int, remove func(ctx context.Context, t Trash) error) (removed int, err error) {
	var f faults
	for last := (Trash{}); ; {
		due, err := s.due(ctx, last, step)
		if err != nil {
			return removed, errors.Join(f.err(), err)
		}
		for _, t := range due {
			last = t
			err := remove(ctx, t)
			if err == nil {
				err = s.forget(ctx, t)
			}
			if err != nil {
				f.add(fmt.Errorf("remove object %s: %w", t.Name, err))
				continue
			}
			removed++
		}
		if len(due) < step || ctx.Err() != nil {
			return removed, f.err()
		}
	}
}

func (s *Store) due(ctx context.Context, after Trash, limit int) (due []Trash, err error) {
	err = s.db.AcrossProjects(ctx, "sweep blobs", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT bucket, name FROM trash WHERE due_at <= now() AND (bucket, name) > ($2, $3) ORDER BY bucket, name LIMIT $1`
		return tx.SelectContext(ctx, &due, q, limit, after.Bucket, after.Name)
	})
	if err != nil {
		return nil, fmt.Errorf("find trash: %w", err)
	}
	return due, nil
}

func (s *Store) forget(ctx context.Context, t Trash) error {
	return s.db.AcrossProjects(ctx, "sweep blobs", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `DELETE FROM trash WHERE bucket = $1 AND name = $2`
		if _, err := tx.ExecContext(ctx, q, t.Bucket, t.Name); err != nil {
			return fmt.Errorf("forget it: %w", err)
		}
		return nil
	})
}

// faults are those of many pieces of work, of which each goes on without the
// others.
type faults struct {
	told []error
	more int
}

// tellFaults is how many are told one by one: what fails for one reason often
// does so for all.
const tellFaults = 5

func (f *faults) add(err error) {
	if len(f.told) == tellFaults {
		f.more++
		return
	}
	f.told = append(f.told, err)
}

func (f *faults) err() error {
	if f.more > 0 {
		return fmt.Errorf("%w\nand %d more", errors.Join(f.told...), f.more)
	}
	return errors.Join(f.told...)
}

// Referred returns which of the objects of a bucket are those of documents, or
// are going to be removed by [Store.Sweep].
func (s *Store) Referred(ctx context.Context, p tenant.Project, bucket string, names []string) (out []string, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT name FROM blobs WHERE project_id = $1 AND bucket = $2 AND name = ANY ($3) AND name <> ''
			UNION
			SELECT name FROM trash WHERE project_id = $1 AND bucket = $2 AND name = ANY ($3)`
		if err := tx.SelectContext(ctx, &out, q, int64(p), bucket, pq.Array(names)); err != nil {
			return fmt.Errorf("find the objects of documents: %w", err)
		}
		return nil
	})
	return out, err
}

// Forget drops the memory of removals before the given time. Indexes that have
// not been brought up to date since then are built anew.
func (s *Store) Forget(ctx context.Context, before time.Time) error {
	return s.db.AcrossProjects(ctx, "forget old removals", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			WITH old AS (DELETE FROM removals WHERE removed_at < $1 RETURNING project_id, generation)
			UPDATE generations g SET floor = greatest(g.floor, o.last)
			FROM   (SELECT project_id, max(generation) AS last FROM old GROUP BY project_id) o
			WHERE  g.project_id = o.project_id`
		if _, err := tx.ExecContext(ctx, q, before); err != nil {
			return fmt.Errorf("forget old removals: %w", err)
		}
		return nil
	})
}
