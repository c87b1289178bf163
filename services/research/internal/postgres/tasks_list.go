package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

// where is the conditions of a filter, all of which have to hold; what is not said is not
// asked for, so that each way of asking finds its index.
type where struct {
	conditions []string
	args       []any
}

func tasksOf(p tenant.Project, f task.Filter) *where {
	w := &where{}
	w.and("project_id = $%d", int64(p))
	if f.Status != "" {
		w.and("status = $%d", string(f.Status))
	}
	if f.TechnologyID != 0 {
		w.and("technology_id = $%d", f.TechnologyID)
	}
	if f.RepositoryID != 0 {
		w.and("repository_id = $%d", f.RepositoryID)
	}
	if f.AssignedTo != "" {
		w.and("assigned_to = $%d", f.AssignedTo)
	}
	return w
}

// arg is the place of one more argument.
func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return fmt.Sprintf("$%d", len(w.args))
}

func (w *where) and(condition string, v any) {
	w.args = append(w.args, v)
	w.conditions = append(w.conditions, fmt.Sprintf(condition, len(w.args)))
}

func (w *where) String() string { return " WHERE " + strings.Join(w.conditions, " AND ") }

// List returns a page, what changed last first. The rows of pages before are counted in
// the index alone.
func (s *Tasks) List(ctx context.Context, p tenant.Project, f task.Filter) ([]task.Task, error) {
	w := tasksOf(p, f)
	page := `SELECT id FROM tasks` + w.String() + ` ORDER BY updated_at DESC, id DESC LIMIT ` + w.arg(f.Limit) + ` OFFSET ` + w.arg(f.Skip)
	q := `SELECT ` + taskColumns + ` FROM tasks WHERE project_id = $1 AND id = ANY(ARRAY(` + page + `)) ORDER BY updated_at DESC, id DESC`
	return s.read(ctx, p, "list research tasks", q, w.args)
}

// Lines are tasks behind an id, with the titles of their technologies.
func (s *Tasks) Lines(ctx context.Context, p tenant.Project, f task.Filter, after int64) (lines []task.Line, err error) {
	w := tasksOf(p, f)
	w.and("id > $%d", after)
	page := `SELECT ` + taskColumns + ` FROM tasks` + w.String() + ` ORDER BY id LIMIT ` + w.arg(f.Limit)
	q := `SELECT page.*, (SELECT x.title FROM technologies x WHERE x.project_id = $1 AND x.id = page.technology_id) AS technology FROM (` + page + `) page ORDER BY page.id`
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &lines, q, w.args...); err != nil {
			return err
		}
		all := make([]*task.Task, len(lines))
		for i := range lines {
			lines[i].Task = taskUTC(lines[i].Task)
			all[i] = &lines[i].Task
		}
		return withDocuments(ctx, tx, p, all...)
	})
	return lines, doing(err, "export research tasks")
}

// due are the conditions of what is due.
func due(w *where, d task.Due) string {
	return `due_date IS NOT NULL AND status IN ('pending', 'in_progress', 'blocked') AND status = ANY(` + w.arg(statusesOf(d.Statuses)) +
		`) AND due_date < ` + w.arg(d.Until) + ` AND due_date >= ` + w.arg(d.From)
}

// Due returns those that are due, the first one first.
func (s *Tasks) Due(ctx context.Context, p tenant.Project, d task.Due) ([]task.Task, error) {
	w := tasksOf(p, task.Filter{})
	q := `SELECT ` + taskColumns + ` FROM tasks` + w.String() + ` AND ` + due(w, d) + ` ORDER BY due_date, id LIMIT ` + w.arg(d.Limit)
	return s.read(ctx, p, "list research tasks that are due", q, w.args)
}

func (s *Tasks) read(ctx context.Context, p tenant.Project, what, q string, args []any) (tasks []task.Task, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &tasks, q, args...); err != nil {
			return err
		}
		all := make([]*task.Task, len(tasks))
		for i := range tasks {
			tasks[i] = taskUTC(tasks[i])
			all[i] = &tasks[i]
		}
		return withDocuments(ctx, tx, p, all...)
	})
	return tasks, doing(err, what)
}

// Statistics counts in one statement, so that its figures are of one moment.
func (s *Tasks) Statistics(ctx context.Context, p tenant.Project, f task.Filter, overdue, upcoming task.Due) (task.Statistics, error) {
	w := tasksOf(p, task.Filter{TechnologyID: f.TechnologyID, RepositoryID: f.RepositoryID})
	of := w.String()
	late, soon := due(w, overdue), due(w, upcoming)
	first := func(what string, most int) string {
		return `(SELECT json_agg(x) FROM (SELECT id, title, due_date FROM tasks` + of + ` AND ` + what + ` ORDER BY due_date, id LIMIT ` + w.arg(most) + `) x)`
	}
	q := `SELECT (SELECT json_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM tasks` + of + ` GROUP BY status) x) AS by_status,
		(SELECT count(*) FROM tasks` + of + ` AND ` + late + `) AS overdue, (SELECT count(*) FROM tasks` + of + ` AND ` + soon + `) AS upcoming,
		` + first(late, overdue.Limit) + ` AS overdue_tasks, ` + first(soon, upcoming.Limit) + ` AS upcoming_tasks`
	var row struct {
		ByStatus []byte `db:"by_status"`
		Overdue  int    `db:"overdue"`
		Upcoming int    `db:"upcoming"`
		Late     []byte `db:"overdue_tasks"`
		Soon     []byte `db:"upcoming_tasks"`
	}
	out := task.Statistics{ByStatus: map[task.Status]int{}, OverdueTasks: []task.Brief{}, UpcomingTasks: []task.Brief{}}
	for _, s := range task.Statuses {
		out.ByStatus[s] = 0
	}
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return tx.GetContext(ctx, &row, q, w.args...) })
	if err != nil {
		return out, doing(err, "count research tasks")
	}
	out.Overdue, out.Upcoming = row.Overdue, row.Upcoming
	for _, x := range []struct {
		from []byte
		into any
	}{{row.ByStatus, &out.ByStatus}, {row.Late, &out.OverdueTasks}, {row.Soon, &out.UpcomingTasks}} {
		if x.from == nil {
			continue
		}
		if err := json.Unmarshal(x.from, x.into); err != nil {
			return out, doing(err, "read what research tasks were counted")
		}
	}
	for _, n := range out.ByStatus {
		out.Total += n
	}
	for _, briefs := range [][]task.Brief{out.OverdueTasks, out.UpcomingTasks} {
		for i := range briefs {
			briefs[i].DueDate = briefs[i].DueDate.UTC()
		}
	}
	return out, nil
}
