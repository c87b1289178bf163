package serve

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// Restoring keeps rows of an archive under the ids that they had.
type Restoring interface {
	Restore(ctx context.Context, p tenant.Project, x technology.Technology) error
	RestoreMove(ctx context.Context, p tenant.Project, m technology.Move) error
}

// RestoringTasks keeps the tasks of an archive under the ids that they had.
type RestoringTasks interface {
	Restore(ctx context.Context, p tenant.Project, t task.Task) error
	KeepFile(ctx context.Context, p tenant.Project, f task.File) error
	RestoreDocument(ctx context.Context, p tenant.Project, d task.Document) error
	Tidy(ctx context.Context, p tenant.Project) error
}

// Import is how the service takes in what was exported.
func Import(in Restoring, tasks RestoringTasks, now func() time.Time) portable.Importer {
	return portable.Importer{
		Object: func(ctx context.Context, to portable.Destination, o portable.Object) error {
			if o.Size > task.MaxDocument {
				return task.ErrTooLarge
			}
			return tasks.KeepFile(ctx, to.Project, task.File{SHA256: o.SHA256, Size: o.Size, Bucket: o.Bucket, Name: o.Name})
		},
		End: func(ctx context.Context, to portable.Destination) error { return tasks.Tidy(ctx, to.Project) },
		Rows: map[string]func(ctx context.Context, to portable.Destination, row []byte) (bool, error){
			"technologies": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				x, err := readTechnology(row)
				if err != nil {
					return false, err
				}
				x.CreatedBy, x.CreatedAt, x.UpdatedAt = to.Principal, past(x.CreatedAt, now()), past(x.UpdatedAt, now())
				return true, in.Restore(ctx, to.Project, x)
			},
			"moves": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				m, err := readMove(row)
				if err != nil {
					return false, err
				}
				m.By, m.At = to.Principal, past(m.At, now())
				return true, in.RestoreMove(ctx, to.Project, m)
			},
			"tasks": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				t, err := readTask(row)
				if err != nil {
					return false, err
				}
				t.CreatedBy, t.CreatedAt, t.UpdatedAt = to.Principal, past(t.CreatedAt, now()), past(t.UpdatedAt, now())
				for _, at := range []**time.Time{&t.StartedAt, &t.CompletedAt} {
					if *at != nil {
						was := past(**at, now())
						*at = &was
					}
				}
				return true, tasks.Restore(ctx, to.Project, t)
			},
			"task_documents": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				d, err := readDocument(row)
				if err != nil {
					return false, err
				}
				d.UploadedBy, d.UploadedAt = to.Principal, past(d.UploadedAt, now())
				return true, tasks.RestoreDocument(ctx, to.Project, d)
			},
		}}
}

func readTechnology(row []byte) (technology.Technology, error) {
	x := technology.Technology{Draft: technology.New()}
	if err := json.Unmarshal(row, &x); err != nil {
		return x, errs.Wrap(errs.Invalid, err, "a technology cannot be read")
	}
	if x.ID < 1 || x.ID > math.MaxInt32 || x.Version < 1 || x.Version > math.MaxInt32/2 {
		return x, errs.New(errs.Invalid, "a technology has an id or a version that is none")
	}
	return x, x.Normalise()
}

func readMove(row []byte) (m technology.Move, err error) {
	if err := json.Unmarshal(row, &m); err != nil {
		return m, errs.Wrap(errs.Invalid, err, "a move cannot be read")
	}
	return m, m.Check()
}

// archived is a task as its table has it.
type archived struct {
	task.Task
	Metadata *json.RawMessage `json:"metadata"`
}

func readTask(row []byte) (task.Task, error) {
	x := archived{Task: task.Task{Draft: task.New()}}
	if err := json.Unmarshal(row, &x); err != nil {
		return x.Task, errs.Wrap(errs.Invalid, err, "a research task cannot be read")
	}
	t := x.Task
	t.Draft.Metadata = x.Metadata
	if t.ID < 1 || t.ID > math.MaxInt32 || t.Version < 1 || t.Version > math.MaxInt32/2 {
		return t, errs.New(errs.Invalid, "a research task has an id or a version that is none")
	}
	if err := t.Normalise(); err != nil {
		return t, err
	}
	return t, t.Check()
}

func readDocument(row []byte) (task.Document, error) {
	var x struct {
		task.Document
		TaskID int64 `json:"task_id"`
	}
	if err := json.Unmarshal(row, &x); err != nil {
		return x.Document, errs.Wrap(errs.Invalid, err, "a document of a task cannot be read")
	}
	d := x.Document
	d.TaskID = x.TaskID
	return d, d.Check()
}

// CheckDocument refuses a document that could not have been kept.
func CheckDocument(row []byte) error {
	_, err := readDocument(row)
	return err
}

// CheckTask refuses a task that could not have been kept.
func CheckTask(row []byte) error {
	_, err := readTask(row)
	return err
}

// CheckTechnology refuses a technology that could not have been kept.
func CheckTechnology(row []byte) error {
	_, err := readTechnology(row)
	return err
}

// CheckMove refuses a move that could not have been made.
func CheckMove(row []byte) error {
	_, err := readMove(row)
	return err
}

// past is a time that can have been.
func past(t, now time.Time) time.Time {
	if t.After(now) || t.Year() < 1970 {
		return now
	}
	return t
}
