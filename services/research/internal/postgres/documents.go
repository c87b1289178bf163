package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

const documentColumns = `id, task_id, filename, content_type, sha256, uploaded_by, uploaded_at`

// DocumentColumns are the columns of a document in an archive.
func DocumentColumns() []string { return strings.FieldsFunc(documentColumns, between) }

// ExportedDocuments reads the documents of an archive.
const ExportedDocuments = `SELECT ` + documentColumns + ` FROM task_documents`

// withDocuments reads the documents of tasks, in one statement.
func withDocuments(ctx context.Context, tx *sqlx.Tx, p tenant.Project, tasks ...*task.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	const q = `
		SELECT d.id, d.task_id, d.filename, d.content_type, d.sha256, d.uploaded_by, d.uploaded_at, f.size
		FROM   task_documents d JOIN task_files f USING (project_id, sha256)
		WHERE  d.project_id = $1 AND d.task_id = ANY($2) ORDER BY d.id`
	ids, at := make([]int64, len(tasks)), make(map[int64]*task.Task, len(tasks))
	for i, t := range tasks {
		ids[i], at[t.ID], t.Documents = t.ID, t, []task.Document{}
	}
	var all []task.Document
	if err := tx.SelectContext(ctx, &all, q, int64(p), pq.Array(ids)); err != nil {
		return err
	}
	for _, d := range all {
		d.UploadedAt = d.UploadedAt.UTC()
		at[d.TaskID].Documents = append(at[d.TaskID].Documents, d)
	}
	return nil
}

// touch makes the next version of a task, of which nothing else changes.
func touch(ctx context.Context, tx *sqlx.Tx, p tenant.Project, t *task.Task, by string, now time.Time) error {
	t.Version++
	if now.After(t.UpdatedAt) {
		t.UpdatedAt = now
	}
	const q = `UPDATE tasks SET (version, updated_at) = ($3, $4) WHERE project_id = $1 AND id = $2`
	if _, err := tx.ExecContext(ctx, q, int64(p), t.ID, t.Version, t.UpdatedAt); err != nil {
		return err
	}
	return say(ctx, tx, []proto.Message{changed(p, *t, by)})
}

// Attach puts a document to a task.
func (s *Tasks) Attach(ctx context.Context, p tenant.Project, id int64, d task.Document) (t task.Task, err error) {
	const count = `SELECT count(*) FROM task_documents WHERE project_id = $1 AND task_id = $2`
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if t, err = getTask(ctx, tx, p, id, ` FOR UPDATE`); err != nil {
			return err
		}
		var n int
		if err := tx.GetContext(ctx, &n, count, int64(p), id); err != nil {
			return err
		}
		if n >= task.MaxDocuments {
			return task.ErrManyDocuments
		}
		if d.ID, err = next(ctx, tx, p, "task_documents", task.MaxPerProject); err != nil {
			return err
		}
		if err := keepFile(ctx, tx, p, d.File); err != nil {
			return err
		}
		d.TaskID = id
		if err := insertDocument(ctx, tx, p, d); err != nil {
			return err
		}
		if err := touch(ctx, tx, p, &t, d.UploadedBy, d.UploadedAt); err != nil {
			return err
		}
		return withDocuments(ctx, tx, p, &t)
	})
	return t, doing(err, fmt.Sprintf("put a document to research task %d", id))
}

// keepFile keeps bytes, of which the same may be there already: then the new object is
// nobody's, and a sweep finds it.
func keepFile(ctx context.Context, tx *sqlx.Tx, p tenant.Project, f task.File) error {
	const q = `
		INSERT INTO task_files (project_id, sha256, size, bucket, name) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (project_id, sha256) DO UPDATE SET size = task_files.size` // which locks it
	_, err := tx.ExecContext(ctx, q, int64(p), f.SHA256, f.Size, f.Bucket, f.Name)
	return err
}

// insertDocument writes the row and says that there is one.
func insertDocument(ctx context.Context, tx *sqlx.Tx, p tenant.Project, d task.Document) error {
	const q = `INSERT INTO task_documents (project_id, ` + documentColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	if _, err := tx.ExecContext(ctx, q, int64(p), d.ID, d.TaskID, d.Filename, d.ContentType, d.SHA256, d.UploadedBy, d.UploadedAt); err != nil {
		return err
	}
	return say(ctx, tx, []proto.Message{&researchv1.DocumentAttached{
		ProjectId: int32(p), DocumentId: int32(d.ID), Version: 1, TaskId: int32(d.TaskID), ContentType: d.ContentType, Size: int32(d.Size), Sha256: d.SHA256, AttachedBy: d.UploadedBy, //nolint:gosec // G115: MAXVALUE of the sequence
	}})
}

// Document returns one of a task.
func (s *Tasks) Document(ctx context.Context, p tenant.Project, id, document int64) (d task.Document, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		d, err = getDocument(ctx, tx, p, id, document)
		return err
	})
	return d, doing(err, fmt.Sprintf("read document %d of research task %d", document, id))
}

func getDocument(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id, document int64) (d task.Document, err error) {
	const q = `
		SELECT d.id, d.task_id, d.filename, d.content_type, d.sha256, d.uploaded_by, d.uploaded_at, f.size, f.bucket, f.name
		FROM   task_documents d JOIN task_files f USING (project_id, sha256) WHERE d.project_id = $1 AND d.task_id = $2 AND d.id = $3`
	var row struct {
		task.Document
		Bucket string `db:"bucket"`
		Name   string `db:"name"`
	}
	err = tx.GetContext(ctx, &row, q, int64(p), id, document)
	if pg.NoRows(err) {
		return d, task.ErrNoDocument
	}
	d = row.Document
	d.UploadedAt = row.UploadedAt.UTC()
	d.File = task.File{SHA256: d.SHA256, Size: d.Size, Bucket: row.Bucket, Name: row.Name}
	return d, err
}

// Detach removes a document that the caller may remove.
func (s *Tasks) Detach(ctx context.Context, p tenant.Project, id, document int64, by string, now time.Time, may func(task.Document) error) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		t, err := getTask(ctx, tx, p, id, ` FOR UPDATE`)
		if err != nil {
			return err
		}
		d, err := getDocument(ctx, tx, p, id, document)
		if err != nil {
			return err
		}
		if err := may(d); err != nil {
			return err
		}
		if err := removeDocuments(ctx, tx, p, `id = $2`, document); err != nil {
			return err
		}
		return touch(ctx, tx, p, &t, by, now)
	})
	return doing(err, fmt.Sprintf("delete document %d of research task %d", document, id))
}

// removeDocuments removes those of a condition with one argument, says so, and lets go of
// bytes that no other one has.
func removeDocuments(ctx context.Context, tx *sqlx.Tx, p tenant.Project, which string, arg any) error {
	var gone []task.Document
	if err := tx.SelectContext(ctx, &gone, `DELETE FROM task_documents WHERE project_id = $1 AND `+which+` RETURNING id, task_id, sha256`, int64(p), arg); err != nil || len(gone) == 0 {
		return err
	}
	sums, facts := make([]string, len(gone)), make([]proto.Message, len(gone))
	for i, d := range gone {
		sums[i] = d.SHA256
		facts[i] = &researchv1.DocumentRemoved{ProjectId: int32(p), DocumentId: int32(d.ID), Version: 2, TaskId: int32(d.TaskID)} //nolint:gosec // G115: MAXVALUE of the sequence
	}
	if err := release(ctx, tx, p, sums); err != nil {
		return err
	}
	return say(ctx, tx, facts)
}

// release lets go of bytes that no document has; whoever puts one to them waits.
func release(ctx context.Context, tx *sqlx.Tx, p tenant.Project, sums []string) error {
	const lock = `SELECT sha256 FROM task_files WHERE project_id = $1 AND sha256 = ANY($2) ORDER BY sha256 FOR UPDATE`
	const q = `
		DELETE FROM task_files f WHERE project_id = $1 AND sha256 = ANY($2)
		AND    NOT EXISTS (SELECT 1 FROM task_documents d WHERE d.project_id = $1 AND d.sha256 = f.sha256)`
	for _, statement := range []string{lock, q} {
		if _, err := tx.ExecContext(ctx, statement, int64(p), pq.Array(sums)); err != nil {
			return err
		}
	}
	return nil
}

// Referred are those of some objects of a project that documents have.
func (s *Tasks) Referred(ctx context.Context, p tenant.Project, names []string) (kept []string, err error) {
	const q = `SELECT name FROM task_files WHERE project_id = $1 AND name = ANY($2)`
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &kept, q, int64(p), pq.Array(names))
	})
	return kept, doing(err, "find the objects of documents")
}

// Refers returns the bytes of a document's row, see [portable.Referring].
func Refers(ctx context.Context, tx *sqlx.Tx, p tenant.Project, table string, row []byte) (*portable.Object, error) {
	if table != "task_documents" {
		return nil, nil
	}
	var d struct {
		SHA256 string `json:"sha256"`
	}
	if err := json.Unmarshal(row, &d); err != nil {
		return nil, fmt.Errorf("read a document of a task: %w", err)
	}
	o := portable.Object{SHA256: d.SHA256}
	const q = `SELECT size, bucket, name FROM task_files WHERE project_id = $1 AND sha256 = $2`
	if err := tx.QueryRowxContext(ctx, q, int64(p), d.SHA256).Scan(&o.Size, &o.Bucket, &o.Name); err != nil {
		return nil, fmt.Errorf("find the bytes of a document of a task: %w", err)
	}
	return &o, nil
}

// KeepFile keeps bytes of an archive, to which documents are going to refer.
func (s *Tasks) KeepFile(ctx context.Context, p tenant.Project, f task.File) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return keepFile(ctx, tx, p, f) })
	return doing(err, "keep the bytes of a document")
}

// RestoreDocument keeps a document of an archive, whose task and bytes are there.
func (s *Tasks) RestoreDocument(ctx context.Context, p tenant.Project, d task.Document) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const size = `SELECT size FROM task_files WHERE project_id = $1 AND sha256 = $2`
		if err := tx.GetContext(ctx, &d.Size, size, int64(p), d.SHA256); pg.NoRows(err) {
			return errs.New(errs.Invalid, "a document of a task has no bytes")
		} else if err != nil {
			return err
		}
		return insertDocument(ctx, tx, p, d)
	})
	switch {
	case pg.UniqueViolation(err, "task_documents_pkey"):
		return errs.New(errs.Conflict, "a document of a task is there twice")
	case pg.ForeignKeyViolation(err, "task_documents_project_id_task_id_fkey"):
		return task.ErrNotFound
	}
	return doing(err, "restore a document of a task")
}

// Tidy lets go of bytes that were kept and no document has.
func (s *Tasks) Tidy(ctx context.Context, p tenant.Project) error {
	const q = `SELECT sha256 FROM task_files WHERE project_id = $1`
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var sums []string
		if err := tx.SelectContext(ctx, &sums, q, int64(p)); err != nil {
			return err
		}
		return release(ctx, tx, p, sums)
	})
	return doing(err, "let go of bytes without a document")
}
