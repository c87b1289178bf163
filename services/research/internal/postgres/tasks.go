package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// taskSaid are the columns of a draft and a state, and named the same as parameters.
const (
	taskSaid = `title, description, task_type, technology_id, repository_id, user_notes, findings, assigned_to, due_date, estimated_hours, actual_hours, metadata,
		status, progress_percentage, started_at, completed_at`
	taskColumns = `id, ` + taskSaid + `, version, created_by, created_at, updated_at`
)

// TaskColumns are the columns of a task in an archive.
func TaskColumns() []string { return strings.FieldsFunc(taskColumns, between) }

// ExportedTasks reads the tasks of an archive.
const ExportedTasks = `SELECT ` + taskColumns + ` FROM tasks`

var taskNamed = ":" + strings.Join(strings.FieldsFunc(taskSaid, between), ", :")

// Tasks are the tasks in the database. They are safe for concurrent use.
type Tasks struct{ db *pg.DB }

// NewTasks returns the tasks in db, whose schema must be migrated.
func NewTasks(db *pg.DB) *Tasks { return &Tasks{db: db} }

// keptTask is a task as the database has it.
type keptTask struct {
	Project int64 `db:"project_id"`
	task.Task
}

// Insert keeps tasks, all or none, each under a new id.
func (s *Tasks) Insert(ctx context.Context, p tenant.Project, tasks ...task.Task) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		for i := range tasks {
			if tasks[i].ID, err = next(ctx, tx, p, "tasks", task.MaxPerProject); err != nil {
				return err
			}
			if err := fullOfTasks(ctx, tx, p, tasks[i].ID); err != nil {
				return err
			}
			if err := insertTask(ctx, tx, p, tasks[i]); err != nil {
				return err
			}
			tasks[i].Documents = []task.Document{}
		}
		return nil
	})
	return doing(err, "add research tasks")
}

// Restore keeps t, of an archive, under its own id.
func (s *Tasks) Restore(ctx context.Context, p tenant.Project, t task.Task) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := fullOfTasks(ctx, tx, p, t.ID); err != nil {
			return err
		}
		return insertTask(ctx, tx, p, t)
	})
	return doing(err, "restore a research task")
}

// fullOfTasks refuses more tasks than a project may have. It counts for one id in a
// hundred, since a count reads the index of all: so there may be some hundred more.
func fullOfTasks(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64) error {
	if id%100 != 0 {
		return nil
	}
	const q = `SELECT count(*) FROM tasks WHERE project_id = $1`
	var n int
	if err := tx.GetContext(ctx, &n, q, int64(p)); err != nil {
		return err
	}
	if n >= task.MaxPerProject {
		return task.ErrMany
	}
	return nil
}

// insertTask writes the row and says that there is something to find out.
func insertTask(ctx context.Context, tx *sqlx.Tx, p tenant.Project, t task.Task) error {
	if err := ofProject(ctx, tx, p, t.TechnologyID); err != nil {
		return err
	}
	q := `INSERT INTO tasks (project_id, ` + taskColumns + `) VALUES (:project_id, :id, ` + taskNamed + `, :version, :created_by, :created_at, :updated_at)`
	if _, err := tx.NamedExecContext(ctx, q, keptTask{int64(p), t}); err != nil {
		if pg.UniqueViolation(err, "tasks_pkey") {
			return task.ErrExists
		}
		return err
	}
	opened := &researchv1.TaskOpened{
		ProjectId: int32(p), TaskId: int32(t.ID), Version: int32(t.Version), Title: t.Title, TaskType: string(t.Type), //nolint:gosec // G115: MAXVALUE of the sequence
		Status: string(t.Status), OpenedBy: t.CreatedBy,
	}
	if t.TechnologyID != nil {
		opened.TechnologyId = int32(*t.TechnologyID) //nolint:gosec // G115: of the same kind
	}
	return say(ctx, tx, append([]proto.Message{opened}, stepped(p, task.Pending, t, t.CreatedBy)...))
}

// ofProject refuses a technology that is not there, and keeps it there until the end of
// the transaction.
func ofProject(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id *int64) error {
	if id == nil {
		return nil
	}
	const q = `SELECT id FROM technologies WHERE project_id = $1 AND id = $2 FOR KEY SHARE`
	var found int64
	if err := absent(tx.GetContext(ctx, &found, q, int64(p), *id)); errors.Is(err, technology.ErrNotFound) {
		return task.ErrNoTechnology
	} else if err != nil {
		return err
	}
	return nil
}

// stepped is what has to be said of a change of status beside that there was one.
func stepped(p tenant.Project, before task.Status, t task.Task, by string) []proto.Message {
	project, id, version := int32(p), int32(t.ID), int32(t.Version) //nolint:gosec // G115: MAXVALUE of the sequence
	switch {
	case before == t.Status:
	case t.Status == task.Completed:
		return []proto.Message{&researchv1.TaskCompleted{ProjectId: project, TaskId: id, Version: version, Title: t.Title, CompletedBy: by}}
	case t.Status == task.Cancelled:
		return []proto.Message{&researchv1.TaskCancelled{ProjectId: project, TaskId: id, Version: version, Title: t.Title, CancelledBy: by}}
	case !slices.Contains(task.Open, before):
		return []proto.Message{&researchv1.TaskReopened{ProjectId: project, TaskId: id, Version: version, Title: t.Title, ReopenedBy: by}}
	}
	return nil
}

func say(ctx context.Context, tx *sqlx.Tx, facts []proto.Message) error {
	for _, f := range facts {
		if err := outbox.Add(ctx, tx, f); err != nil {
			return err
		}
	}
	return nil
}

// Update locks the task, has change change it, and keeps what is different.
func (s *Tasks) Update(ctx context.Context, p tenant.Project, id int64, by string, change func(task.Task) (task.Task, error)) (t task.Task, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		before, err := getTask(ctx, tx, p, id, ` FOR UPDATE`)
		if err != nil {
			return err
		}
		if err := withDocuments(ctx, tx, p, &before); err != nil {
			return err
		}
		if t, err = change(before); err != nil || t.Same(before) {
			t = before
			return err
		}
		t.Version = before.Version + 1
		if t.TechnologyID != nil && (before.TechnologyID == nil || *before.TechnologyID != *t.TechnologyID) {
			if err := ofProject(ctx, tx, p, t.TechnologyID); err != nil {
				return err
			}
		}
		q := `UPDATE tasks SET (` + taskSaid + `, version, updated_at) = (` + taskNamed + `, :version, :updated_at) WHERE project_id = :project_id AND id = :id`
		if _, err := tx.NamedExecContext(ctx, q, keptTask{int64(p), t}); err != nil {
			return err
		}
		return say(ctx, tx, append([]proto.Message{changed(p, t, by)}, stepped(p, before.Status, t, by)...))
	})
	return t, doing(err, fmt.Sprintf("change research task %d", id))
}

func changed(p tenant.Project, t task.Task, by string) *researchv1.TaskChanged {
	return &researchv1.TaskChanged{
		ProjectId: int32(p), TaskId: int32(t.ID), Version: int32(t.Version), Title: t.Title, //nolint:gosec // G115: MAXVALUE of the sequence
		Status: string(t.Status), ProgressPercentage: int32(t.Progress), ChangedBy: by, //nolint:gosec // G115: at most 100
	}
}

// Delete removes a task that the caller may remove.
func (s *Tasks) Delete(ctx context.Context, p tenant.Project, id int64, may func(task.Task) error) error {
	const q = `DELETE FROM tasks WHERE project_id = $1 AND id = $2`
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		t, err := getTask(ctx, tx, p, id, ` FOR UPDATE`)
		if err != nil {
			return err
		}
		if err := may(t); err != nil {
			return err
		}
		if err := removeDocuments(ctx, tx, p, `task_id = $2`, id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, q, int64(p), id); err != nil {
			return err
		}
		return say(ctx, tx, []proto.Message{removed(p, id, t.Version)})
	})
	return doing(err, fmt.Sprintf("delete research task %d", id))
}

func removed(p tenant.Project, id, version int64) *researchv1.TaskRemoved {
	return &researchv1.TaskRemoved{ProjectId: int32(p), TaskId: int32(id), Version: int32(version + 1)} //nolint:gosec // G115: MAXVALUE of the sequence
}

// removeTasksOf removes the tasks of a technology that goes.
func removeTasksOf(ctx context.Context, tx *sqlx.Tx, p tenant.Project, technology int64) error {
	const all = `SELECT id FROM tasks WHERE project_id = $1 AND technology_id = $2 ORDER BY id LIMIT $3 FOR UPDATE` // nobody adds a document meanwhile
	const q = `DELETE FROM tasks WHERE project_id = $1 AND technology_id = $2 RETURNING id, version`
	var ids []int64
	if err := tx.SelectContext(ctx, &ids, all, int64(p), technology, task.MaxPerTechnology+1); err != nil {
		return err
	}
	if len(ids) > task.MaxPerTechnology {
		return task.ErrManyOfOne
	}
	const their = `task_id IN (SELECT id FROM tasks WHERE project_id = $1 AND technology_id = $2)`
	if err := removeDocuments(ctx, tx, p, their, technology); err != nil {
		return err
	}
	var gone []struct {
		ID      int64 `db:"id"`
		Version int64 `db:"version"`
	}
	if err := tx.SelectContext(ctx, &gone, q, int64(p), technology); err != nil {
		return err
	}
	facts := make([]proto.Message, len(gone))
	for i, t := range gone {
		facts[i] = removed(p, t.ID, t.Version)
	}
	return say(ctx, tx, facts)
}

func getTask(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64, lock string) (t task.Task, err error) {
	q := `SELECT ` + taskColumns + ` FROM tasks WHERE project_id = $1 AND id = $2` + lock
	err = tx.GetContext(ctx, &t, q, int64(p), id)
	if pg.NoRows(err) {
		err = task.ErrNotFound
	}
	return taskUTC(t), err
}

// Get returns a task.
func (s *Tasks) Get(ctx context.Context, p tenant.Project, id int64) (t task.Task, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if t, err = getTask(ctx, tx, p, id, ""); err != nil {
			return err
		}
		return withDocuments(ctx, tx, p, &t)
	})
	return t, doing(err, fmt.Sprintf("read research task %d", id))
}

func taskUTC(t task.Task) task.Task {
	t.CreatedAt, t.UpdatedAt = t.CreatedAt.UTC(), t.UpdatedAt.UTC()
	for _, at := range []**time.Time{&t.DueDate, &t.StartedAt, &t.CompletedAt} {
		if *at != nil {
			u := (*at).UTC()
			*at = &u
		}
	}
	return t
}

func statusesOf(all []task.Status) any {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = string(s)
	}
	return pq.Array(words)
}
