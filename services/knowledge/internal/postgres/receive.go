package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// Receive is the transaction of an accepted document, see document.Receiving.
func (s *Store) Receive(ctx context.Context, n document.Document, chunks []document.Chunk, b document.Blob) (d document.Document, changed bool, err error) {
	err = s.db.InTenant(ctx, n.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if d, changed, err = s.place(ctx, tx, n, b); err != nil {
			return err
		}
		if !changed {
			if d.Extracted || n.Operation == uuid.Nil {
				return nil
			}
			d.Operation = n.Operation
			_, err = enqueueTask(ctx, tx, d, document.Task{Document: d.ID, Version: d.Version, Operation: n.Operation, Follows: true})
			return err
		}
		if n.Extracted {
			if err := s.saveChunks(ctx, tx, d, chunks); err != nil {
				return err
			}
			d.Chunks = len(chunks)
		}
		if d.Job, err = enqueue(ctx, tx, d); err != nil {
			return err
		}
		wanted, err := s.wanted(ctx, tx, d.Project)
		if err != nil {
			return err
		}
		const q = `UPDATE documents SET job_id = $3, chunks = $4, extracted = $5, wanted = $6 WHERE project_id = $1 AND id = $2`
		if _, err := tx.ExecContext(ctx, q, int64(d.Project), d.ID, d.Job, d.Chunks, n.Extracted, wanted); err != nil {
			return fmt.Errorf("note the job of document %d: %w", d.ID, err)
		}
		d.Extracted = n.Extracted
		if err := outbox.Add(ctx, tx, received(d)); err != nil {
			return err
		}
		d.Generation, err = raise(ctx, tx, d.Project, d.ID)
		return err
	})
	return d, changed, err
}

// place makes or replaces the row of the document. It locks the row before
// anything else, and bytes after it, so that two calls never wait for each
// other.
func (s *Store) place(ctx context.Context, tx *sqlx.Tx, n document.Document, b document.Blob) (document.Document, bool, error) {
	old, found, err := s.bySource(ctx, tx, n, true)
	if err != nil {
		return old, false, err
	}
	if !found {
		d, inserted, err := s.insert(ctx, tx, n)
		if err != nil {
			return d, false, err
		}
		if inserted {
			return d, true, keepBlob(ctx, tx, n.Project, b)
		}
		// Somebody else inserted it between the two looks.
		if old, found, err = s.bySource(ctx, tx, n, true); err != nil {
			return old, false, err
		}
		if !found {
			return old, false, errs.Newf(errs.Unavailable, "the document %q came and went", n.Source)
		}
	}
	if old.Same(n) {
		return old, false, nil
	}
	return s.replace(ctx, tx, old, n, b)
}

func (s *Store) insert(ctx context.Context, tx *sqlx.Tx, n document.Document) (document.Document, bool, error) {
	const q = `
		INSERT INTO documents (project_id, collection, source, title, titled, category, repository_id, technology_id, kind, language,
			content_type, size, sha256, version, state, extracted, created_by, principal, created_at, text_language)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, 'indexing', false, $14, $15, coalesce($16, now()), $17)
		ON CONFLICT (project_id, collection, md5(source)) DO NOTHING
		RETURNING id, created_at, updated_at`
	n.Version, n.State = 1, document.Indexing
	err := tx.QueryRowxContext(ctx, q, int64(n.Project), n.Collection, n.Source, n.Title, n.Titled, n.Category, orNull(n.Repository), orNull(n.Technology),
		string(n.Format.Kind), n.Format.Language, n.ContentType, n.Size, n.SHA256, n.CreatedBy, n.Principal,
		sql.NullTime{Time: n.CreatedAt, Valid: !n.CreatedAt.IsZero()}, n.TextLanguage).Scan(&n.ID, &n.CreatedAt, &n.UpdatedAt)
	if pg.NoRows(err) {
		return n, false, nil
	}
	if err != nil {
		return n, false, fmt.Errorf("insert a document: %w", err)
	}
	return n, true, nil
}

// replace gives the row of old the content of n. Its chunks stay until those
// of n are there.
func (s *Store) replace(ctx context.Context, tx *sqlx.Tx, old, n document.Document, b document.Blob) (document.Document, bool, error) {
	const q = `
		UPDATE documents SET title = $3, titled = $4, category = $5, repository_id = $6, technology_id = $7, kind = $8, language = $9,
			content_type = $10, size = $11, sha256 = $12, version = version + 1, state = 'indexing', extracted = false, reason = '', error = '', model = '',
			text_language = $13
		WHERE project_id = $1 AND id = $2
		RETURNING version`
	if !n.Extracted && !n.Titled {
		n.Title = old.Title
	}
	n.ID, n.Chunks, n.CreatedBy, n.Principal, n.CreatedAt, n.UpdatedAt = old.ID, old.Chunks, old.CreatedBy, old.Principal, old.CreatedAt, old.UpdatedAt
	n.State = document.Indexing
	if err := tx.QueryRowxContext(ctx, q, int64(n.Project), n.ID, n.Title, n.Titled, n.Category, orNull(n.Repository), orNull(n.Technology),
		string(n.Format.Kind), n.Format.Language, n.ContentType, n.Size, n.SHA256, n.TextLanguage).Scan(&n.Version); err != nil {
		return n, false, fmt.Errorf("replace document %d: %w", n.ID, err)
	}
	if err := keepBlob(ctx, tx, n.Project, b); err != nil {
		return n, false, err
	}
	if old.SHA256 != n.SHA256 {
		if err := releaseBlob(ctx, tx, n.Project, old.SHA256); err != nil {
			return n, false, err
		}
	}
	return n, true, nil
}

func enqueue(ctx context.Context, tx *sqlx.Tx, d document.Document) (uuid.UUID, error) {
	t := document.Task{Document: d.ID, Version: d.Version}
	if !d.Extracted {
		t.Operation = d.Operation
	}
	return enqueueTask(ctx, tx, d, t)
}

func enqueueTask(ctx context.Context, tx *sqlx.Tx, d document.Document, t document.Task) (uuid.UUID, error) {
	payload, err := json.Marshal(t)
	if err != nil {
		return uuid.Nil, fmt.Errorf("job of document %d: %w", d.ID, err)
	}
	id, err := jobs.Enqueue(ctx, tx, jobs.Job{Project: d.Project, Kind: IndexJob, Payload: payload, Total: d.Chunks, Long: !d.Extracted && !t.Follows})
	if err != nil {
		return uuid.Nil, fmt.Errorf("job of document %d: %w", d.ID, err)
	}
	return id, nil
}

// keepBlob makes b the bytes of its digest, unless there are some already;
// then b's object is thrown away.
func keepBlob(ctx context.Context, tx *sqlx.Tx, p tenant.Project, b document.Blob) error {
	const q = `
		INSERT INTO blobs (project_id, sha256, size, bucket, name, body) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (project_id, sha256) DO UPDATE SET size = blobs.size
		RETURNING name`
	var body any
	if !b.Stored() {
		body = b.Body
	}
	var name string
	if err := tx.QueryRowxContext(ctx, q, int64(p), b.SHA256, b.Size, b.Bucket, b.Name, body).Scan(&name); err != nil {
		return fmt.Errorf("keep the bytes of a document: %w", err)
	}
	if b.Stored() && name != b.Name {
		return throw(ctx, tx, p, b.Bucket, b.Name, grace)
	}
	return nil
}

// grace is how long an object stays that a command still in delivery may ask
// for.
const grace = time.Hour

// releaseBlob throws the bytes of a digest away when no document refers to
// them any more.
func releaseBlob(ctx context.Context, tx *sqlx.Tx, p tenant.Project, sha256 string) error {
	const q = `
		DELETE FROM blobs b WHERE b.project_id = $1 AND b.sha256 = $2
		AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.project_id = $1 AND d.sha256 = $2)
		RETURNING bucket, name`
	var bucket, name string
	err := tx.QueryRowxContext(ctx, q, int64(p), sha256).Scan(&bucket, &name)
	if pg.NoRows(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("release the bytes of a document: %w", err)
	}
	if name == "" {
		return nil
	}
	return throw(ctx, tx, p, bucket, name, 0)
}

func throw(ctx context.Context, tx *sqlx.Tx, p tenant.Project, bucket, name string, after time.Duration) error {
	const q = `
		INSERT INTO trash (project_id, bucket, name, due_at) VALUES ($1, $2, $3, now() + make_interval(secs => $4))
		ON CONFLICT (bucket, name) DO NOTHING`
	if _, err := tx.ExecContext(ctx, q, int64(p), bucket, name, after.Seconds()); err != nil {
		return fmt.Errorf("throw an object away: %w", err)
	}
	return nil
}

// Discard throws the object of a submission away, whatever becomes of ctx's
// transaction.
func (s *Store) Discard(ctx context.Context, n document.Submission) error {
	return s.db.InTenant(pg.Detached(ctx), n.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		return throw(ctx, tx, n.Project, n.Blob.Bucket, n.Blob.Name, grace)
	})
}
