package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

// IndexJob is the kind of the jobs whose payload is a document.Task.
const IndexJob = "index"

// Store keeps documents. It must be made by [New].
type Store struct {
	db    *pg.DB
	model func(choice string) string
}

// New returns a store on db. model is the name of the vectors of a model that a
// project has chosen ("": that of the instance), "" while it is not known.
func New(db *pg.DB, model func(choice string) string) *Store { return &Store{db: db, model: model} }

// separator joins the names of a heading path; extraction drops control
// characters, so that no name holds it.
const separator = "\x1f"

func joinPath(p []string) string { return strings.Join(p, separator) }

func splitPath(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, separator)
}

// row is a document as the table has it.
type row struct {
	ID          int64         `db:"id"`
	Project     int64         `db:"project_id"`
	Collection  string        `db:"collection"`
	Source      string        `db:"source"`
	Title       string        `db:"title"`
	Titled      bool          `db:"titled"`
	Category    string        `db:"category"`
	Repository  sql.NullInt64 `db:"repository_id"`
	Technology  sql.NullInt64 `db:"technology_id"`
	Kind        string        `db:"kind"`
	Language    string        `db:"language"`
	Text        string        `db:"text_language"`
	ContentType string        `db:"content_type"`
	Size        int64         `db:"size"`
	SHA256      string        `db:"sha256"`
	Version     int           `db:"version"`
	State       string        `db:"state"`
	Extracted   bool          `db:"extracted"`
	Reason      string        `db:"reason"`
	Error       string        `db:"error"`
	Chunks      int           `db:"chunks"`
	Embedded    int           `db:"embedded"`
	Model       string        `db:"model"`
	Job         uuid.NullUUID `db:"job_id"`
	Generation  int64         `db:"generation"`
	CreatedBy   int64         `db:"created_by"`
	Principal   string        `db:"principal"`
	CreatedAt   time.Time     `db:"created_at"`
	UpdatedAt   time.Time     `db:"updated_at"`
}

// columns are those of row; embedded counts the vectors of the document's own
// model, or of the one that is at work on it: the one that is searched, or else
// that of the instance ($2).
const columns = documentColumns + `,
	CASE WHEN d.model <> '' AND d.state = 'indexed' THEN d.chunks ELSE (
		SELECT count(*) FROM chunks c JOIN embeddings e ON e.project_id = c.project_id AND e.chunk_id = c.id
			AND e.model = coalesce((SELECT nullif(m.searched, '') FROM models m WHERE m.project_id = d.project_id), $2)
		WHERE c.project_id = d.project_id AND c.document_id = d.id) END AS embedded`

// documentColumns are those of row without embedded: chunks are read within a
// project only.
const documentColumns = `
	d.id, d.project_id, d.collection, d.source, d.title, d.titled, d.category, d.repository_id, d.technology_id, d.kind, d.language, d.text_language,
	d.content_type, d.size, d.sha256, d.version, d.state, d.extracted, d.reason, d.error, d.chunks, d.model, d.job_id, d.generation,
	d.created_by, d.principal, d.created_at, d.updated_at`

func (r row) document() document.Document {
	return document.Document{
		ID: r.ID, Project: tenant.Project(r.Project), Collection: r.Collection, Source: r.Source, Title: r.Title, Titled: r.Titled,
		Category: r.Category, Repository: r.Repository.Int64, Technology: r.Technology.Int64, TextLanguage: r.Text,
		Format: extract.Format{Kind: extract.Kind(r.Kind), Language: r.Language}, ContentType: r.ContentType, Size: r.Size, SHA256: r.SHA256,
		Version: r.Version, State: document.State(r.State), Extracted: r.Extracted, Reason: r.Reason, Error: r.Error, Chunks: r.Chunks,
		Embedded: r.Embedded, Model: r.Model, Job: r.Job.UUID, Generation: r.Generation, CreatedBy: r.CreatedBy, Principal: r.Principal,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

func orNull(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: n > 0} }

// Get returns a document, document.ErrNotFound when the project has none of
// that id.
func (s *Store) Get(ctx context.Context, p tenant.Project, id int64) (document.Document, error) {
	var d document.Document
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var err error
		d, err = s.get(ctx, tx, p, id, false)
		return err
	})
	return d, err
}

func (s *Store) get(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64, lock bool) (document.Document, error) {
	q := `SELECT ` + columns + ` FROM documents d WHERE d.project_id = $1 AND d.id = $3`
	if lock {
		q += ` FOR UPDATE OF d`
	}
	var r row
	if err := tx.GetContext(ctx, &r, q, int64(p), s.model(""), id); err != nil {
		if pg.NoRows(err) {
			return document.Document{}, document.ErrNotFound
		}
		return document.Document{}, fmt.Errorf("read document %d: %w", id, err)
	}
	return r.document(), nil
}

// bySource returns the document of a source name, with its row locked.
func (s *Store) bySource(ctx context.Context, tx *sqlx.Tx, n document.Document, lock bool) (document.Document, bool, error) {
	q := `SELECT ` + columns + ` FROM documents d
		WHERE d.project_id = $1 AND d.collection = $3 AND md5(d.source) = md5($4) AND d.source = $4`
	if lock {
		q += ` FOR UPDATE OF d`
	}
	var r row
	err := tx.GetContext(ctx, &r, q, int64(n.Project), s.model(""), n.Collection, n.Source)
	if pg.NoRows(err) {
		return document.Document{}, false, nil
	}
	if err != nil {
		return document.Document{}, false, fmt.Errorf("read the document of a source: %w", err)
	}
	return r.document(), true, nil
}

// Unchanged is the look before the work, see document.Receiving.
func (s *Store) Unchanged(ctx context.Context, n document.Document) (d document.Document, same bool, err error) {
	err = s.db.InTenant(pg.Detached(ctx), n.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		var found bool
		if d, found, err = s.bySource(ctx, tx, n, false); err != nil {
			return err
		}
		same = found && d.Same(n)
		return nil
	})
	return d, same, err
}

// raise lets the project's generation rise, and gives it to a document (0:
// none). Nothing may follow it in a transaction that could wait for another
// one.
func raise(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64) (int64, error) {
	const up = `
		INSERT INTO generations (project_id, generation) VALUES ($1, 1)
		ON CONFLICT (project_id) DO UPDATE SET generation = generations.generation + 1
		RETURNING generation, closed`
	var g int64
	var closed bool
	if err := tx.QueryRowxContext(ctx, up, int64(p)).Scan(&g, &closed); err != nil {
		return 0, fmt.Errorf("raise the generation: %w", err)
	}
	if closed {
		return 0, document.ErrClosed
	}
	if id == 0 {
		return g, nil
	}
	const mark = `UPDATE documents SET generation = $3, updated_at = now() WHERE project_id = $1 AND id = $2`
	if _, err := tx.ExecContext(ctx, mark, int64(p), id, g); err != nil {
		return 0, fmt.Errorf("mark document %d as changed: %w", id, err)
	}
	return g, nil
}

// List returns documents of a project, newest first; collection "" is all.
func (s *Store) List(ctx context.Context, p tenant.Project, collection string, skip, limit int) (page document.Page, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const count = `SELECT count(*) FROM documents WHERE project_id = $1 AND ($2 = '' OR collection = $2)`
		if err := tx.GetContext(ctx, &page.Total, count, int64(p), collection); err != nil {
			return fmt.Errorf("count documents: %w", err)
		}
		const q = `SELECT ` + columns + ` FROM documents d WHERE d.project_id = $1 AND ($3 = '' OR d.collection = $3)
			ORDER BY d.created_at DESC, d.id DESC OFFSET $4 LIMIT $5`
		var rows []row
		if err := tx.SelectContext(ctx, &rows, q, int64(p), s.model(""), collection, skip, limit); err != nil {
			return fmt.Errorf("list documents: %w", err)
		}
		for _, r := range rows {
			page.Documents = append(page.Documents, r.document())
		}
		return nil
	})
	return page, err
}

// closeRows closes rows and joins the failure, which would be an unfinished
// read, with err.
func closeRows(rows interface{ Close() error }, err *error) {
	*err = errors.Join(*err, rows.Close())
}
