package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// inline is the largest content that a fact carries itself, in bytes.
const inline = 48 << 10

// keeper is the service that is going to refer to contents.
const keeper = "knowledge"

// Objects keeps contents that a fact does not carry. One that no document refers to
// in the end is removed by who reads the fact.
type Objects interface {
	PutObjectFor(ctx context.Context, owner string, p tenant.Project, filename, contentType string, r io.Reader, max int64) (bus.ObjectRef, error)
}

// Saving is the sources with a place for large contents.
type Saving struct {
	*Sources
	Objects Objects
	Now     func() time.Time
}

// Save keeps documents, see [source.Saving].
func (s Saving) Save(ctx context.Context, x source.Source, r source.Run, docs []source.Document, same []string) (out []source.Outcome, err error) {
	large, err := s.large(ctx, x, docs)
	if err != nil {
		return nil, doing(err, "store a document")
	}
	err = s.db.InTenant(ctx, x.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		const as = `UPDATE sightings SET run_id = $3 WHERE project_id = $1 AND source_id = $2 AND key = ANY ($4)`
		if _, err := tx.ExecContext(ctx, as, int64(x.Project), x.ID, r.ID, pq.Array(same)); err != nil {
			return err
		}
		if err := room(ctx, tx, x.Project, len(docs)); err != nil {
			return err
		}
		out = out[:0]
		for _, d := range docs {
			o, err := s.place(ctx, tx, x, r.ID, d, large)
			if err != nil {
				return err
			}
			out = append(out, o)
		}
		c := r.Counts
		const far = `UPDATE runs SET seen = $3, taken = $4, unchanged = $5, elsewhere = $6, failed = $7, total = $8, doing = $9 WHERE project_id = $1 AND id = $2`
		_, err := tx.ExecContext(ctx, far, int64(x.Project), r.ID, c.Seen+len(out)+len(same), c.Taken, c.Unchanged+len(same), c.Elsewhere, c.Failed, r.Total, r.Doing)
		return err
	})
	return out, doing(err, "keep documents")
}

// room refuses documents that the project has no place for.
func room(ctx context.Context, tx *sqlx.Tx, p tenant.Project, more int) error {
	if more == 0 {
		return nil
	}
	const q = `SELECT count(*) FROM documents WHERE project_id = $1`
	var have int
	if err := tx.GetContext(ctx, &have, q, int64(p)); err != nil {
		return err
	}
	if have+more > source.MaxDocuments {
		return source.ErrFull
	}
	return nil
}

// large stores the contents that are too large for a fact, of documents that are
// not kept as they are, by their digests.
func (s Saving) large(ctx context.Context, x source.Source, docs []source.Document) (map[string]string, error) {
	out := map[string]string{}
	for _, d := range docs {
		sum := source.Digest(d.Content)
		if len(d.Content) <= inline || out[sum] != "" {
			continue
		}
		var have bool
		err := s.db.InTenant(ctx, x.Project, func(ctx context.Context, tx *sqlx.Tx) error {
			const q = `SELECT EXISTS (SELECT 1 FROM documents WHERE project_id = $1 AND collection = $2 AND md5(place) = md5($3) AND sha256 = $4)`
			return tx.GetContext(ctx, &have, q, int64(x.Project), x.Config.Collection, d.Place, sum)
		})
		if err != nil || have {
			if err != nil {
				return nil, err
			}
			continue
		}
		ref, err := s.Objects.PutObjectFor(ctx, keeper, x.Project, d.Title, d.ContentType, bytes.NewReader(d.Content), source.MaxContent)
		if err != nil {
			return nil, err
		}
		out[sum] = ref.Name
	}
	return out, nil
}

type documentRow struct {
	ID      int64         `db:"id"`
	Source  sql.NullInt64 `db:"source_id"`
	SHA256  string        `db:"sha256"`
	Version int32         `db:"version"`
}

// place keeps one document: it belongs to the source that has seen it first, and
// goes to another one when that is no more.
func (s Saving) place(ctx context.Context, tx *sqlx.Tx, x source.Source, run uuid.UUID, d source.Document, large map[string]string) (source.Outcome, error) {
	const find = `SELECT id, source_id, sha256, version FROM documents WHERE project_id = $1 AND collection = $2 AND md5(place) = md5($3) FOR UPDATE`
	const insert = `
		INSERT INTO documents (project_id, collection, place, source_id, sha256, version, fetched_at) VALUES ($1, $2, $3, $4, $5, 1, $6)
		ON CONFLICT (project_id, collection, md5(place)) DO NOTHING RETURNING id, source_id, sha256, version`
	const change = `UPDATE documents SET source_id = $3, sha256 = $4, version = version + 1, fetched_at = $5 WHERE project_id = $1 AND id = $2 RETURNING version`
	const adopt = `UPDATE documents SET source_id = $3 WHERE project_id = $1 AND id = $2`
	p, sum, now := int64(x.Project), source.Digest(d.Content), s.Now()
	var r documentRow
	outcome := source.Taken
	err := tx.GetContext(ctx, &r, find, p, x.Config.Collection, d.Place)
	switch {
	case pg.NoRows(err):
		if err = tx.GetContext(ctx, &r, insert, p, x.Config.Collection, d.Place, x.ID, sum, now); pg.NoRows(err) { // another run was faster
			outcome = source.Elsewhere
			err = tx.GetContext(ctx, &r, find, p, x.Config.Collection, d.Place)
		}
	case err != nil:
	case r.Source.Valid && r.Source.Int64 != x.ID:
		outcome = source.Elsewhere
	case r.SHA256 == sum:
		outcome = source.Unchanged
		if !r.Source.Valid {
			_, err = tx.ExecContext(ctx, adopt, p, r.ID, x.ID)
		}
	default:
		err = tx.GetContext(ctx, &r.Version, change, p, r.ID, x.ID, sum, now)
	}
	if err != nil {
		return "", err
	}
	const see = `
		INSERT INTO sightings (project_id, source_id, key, mark, document_id, run_id) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (project_id, source_id, key) DO UPDATE SET mark = excluded.mark, document_id = excluded.document_id, run_id = excluded.run_id`
	if _, err := tx.ExecContext(ctx, see, p, x.ID, d.Key, d.Mark, r.ID, run); err != nil {
		return "", err
	}
	if outcome != source.Taken {
		return outcome, nil
	}
	return outcome, outbox.Add(ctx, tx, fetched(x, d, r, sum, large[sum]))
}

func fetched(x source.Source, d source.Document, r documentRow, sum, object string) *ingestionv1.DocumentFetched {
	e := &ingestionv1.DocumentFetched{
		ProjectId: int32(x.Project), DocumentId: strconv.FormatInt(r.ID, 10), Version: r.Version, SourceId: int32(x.ID), Place: d.Place, Url: d.URL, Title: d.Title, Author: d.Author, //nolint:gosec // G115: int4
		ContentType: d.ContentType, Typed: d.Typed, Size: int32(len(d.Content)), Sha256: sum, Object: object, //nolint:gosec // G115: source.MaxContent
		Collection: x.Config.Collection, Category: x.Config.Category, TechnologyId: int32(x.Config.Technology), Language: x.Config.Language, //nolint:gosec // G115: int4
	}
	if e.Category == "" {
		e.Category = clip(x.Name, 100)
	}
	if !d.Published.IsZero() {
		e.PublishedAt = timestamppb.New(d.Published)
	}
	if object == "" {
		e.Content = d.Content
	}
	return e
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// everything is a condition on sightings.
const everything = `true`

// release forgets sightings of a source. A document that it owned goes to another
// source that has seen it, which reads it anew, or else is gone.
func release(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64, which string, args ...any) (gone int, err error) {
	forget := `DELETE FROM sightings WHERE project_id = $1 AND source_id = $2 AND ` + which + ` RETURNING document_id`
	const orphan = `
		UPDATE documents d SET source_id = NULL WHERE d.project_id = $1 AND d.source_id = $2 AND d.id = ANY ($3)
		AND NOT EXISTS (SELECT 1 FROM sightings s WHERE s.project_id = $1 AND s.source_id = $2 AND s.document_id = d.id)`
	const remove = `
		DELETE FROM documents d WHERE d.project_id = $1 AND d.id = ANY ($2) AND d.source_id IS NULL
		AND NOT EXISTS (SELECT 1 FROM sightings s WHERE s.project_id = $1 AND s.document_id = d.id)
		RETURNING d.id, d.version, d.collection, d.place`
	var ids []int64
	if err := tx.SelectContext(ctx, &ids, forget, append([]any{int64(p), id}, args...)...); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, orphan, int64(p), id, pq.Array(ids)); err != nil {
		return 0, err
	}
	var rows []struct {
		ID         int64  `db:"id"`
		Version    int32  `db:"version"`
		Collection string `db:"collection"`
		Place      string `db:"place"`
	}
	if err := tx.SelectContext(ctx, &rows, remove, int64(p), pq.Array(ids)); err != nil {
		return 0, err
	}
	for _, r := range rows {
		err := outbox.Add(ctx, tx, &ingestionv1.DocumentGone{
			ProjectId: int32(p), DocumentId: strconv.FormatInt(r.ID, 10), Version: r.Version + 1, Place: r.Place, Collection: r.Collection, //nolint:gosec // G115: int4
		})
		if err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// Sweep forgets what a run has not seen, see [source.Saving].
func (s *Sources) Sweep(ctx context.Context, x source.Source, run uuid.UUID) (gone int, err error) {
	err = s.db.InTenant(ctx, x.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		gone, err = release(ctx, tx, x.Project, x.ID, `run_id <> $3`, run)
		return err
	})
	return gone, doing(err, fmt.Sprintf("forget what source %d has not any more", x.ID))
}
