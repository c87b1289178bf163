package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research"
	"github.com/commandcenter/commandcenter/services/research/internal/postgres"
	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

// BenchmarkTasks100k asks for pages of 100,000 tasks of a project, beside which there are
// a hundred projects with a thousand each.
func BenchmarkTasks100k(b *testing.B) {
	db := pgtest.New(b, research.Migrations)
	const technologies = `
		INSERT INTO technologies (project_id, id, title, domain, status, relevance_score, priority, version, created_by, created_at, updated_at)
		SELECT $1, i, 'Technology ' || i, 'other', 'discovery', 50, 3, 1, 'user:1', now(), now() FROM generate_series(1, 1000) i`
	const tasks = `
		INSERT INTO tasks (project_id, id, title, description, task_type, technology_id, assigned_to, due_date, status, progress_percentage, completed_at, version, created_by, created_at, updated_at)
		SELECT $1, i, 'Task ' || i, repeat('what is to be found out ', 12) || i, 'research', 1 + i % 1000, 'Person ' || i % 100, now() + (i % 400 - 200) * interval '1 day',
		       status, CASE status WHEN 'completed' THEN 100 ELSE 0 END, CASE status WHEN 'completed' THEN now() END, 1, 'user:1', now(), now() - i * interval '1 second'
		FROM   (SELECT i, (ARRAY['pending', 'in_progress', 'blocked', 'completed', 'completed', 'completed', 'cancelled'])[1 + i % 7] AS status FROM generate_series(1, $2) i) made`
	fill := func(p tenant.Project, n int) {
		err := db.InTenant(b.Context(), p, func(ctx context.Context, tx *sqlx.Tx) error {
			if _, err := tx.ExecContext(ctx, technologies, int64(p)); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, tasks, int64(p), n)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	fill(1, 100_000)
	for p := range 100 {
		fill(tenant.Project(2+p), 1000)
	}
	if _, err := pgtest.Admin(b, db).Exec(`VACUUM ANALYZE research.tasks`); err != nil { // as autovacuum does, sooner or later
		b.Fatal(err)
	}
	book := task.Book{Keeper: postgres.NewTasks(db), Now: time.Now}
	list := func(f task.Filter) func() error {
		return func() error { return second(book.List(b.Context(), 1, f)) }
	}
	for _, c := range []struct {
		name string
		read func() error
	}{
		{"page", list(task.Filter{Limit: 100})},
		{"status", list(task.Filter{Limit: 100, Status: task.Blocked})},
		{"technology", list(task.Filter{Limit: 100, TechnologyID: 7})},
		{"person", list(task.Filter{Limit: 100, AssignedTo: "Person 7"})},
		{"three", list(task.Filter{Limit: 100, AssignedTo: "Person 7", TechnologyID: 8, Status: task.Completed})},
		{"nothing", list(task.Filter{Limit: 100, AssignedTo: "Nobody"})},
		{"last", list(task.Filter{Limit: 100, Skip: 99_900})},
		{"upcoming", func() error { return second(book.Due(b.Context(), 1, book.Upcoming(7, 100))) }},
		{"overdue", func() error { return second(book.Due(b.Context(), 1, book.Overdue(100))) }},
		{"statistics", func() error { return second(book.Count(b.Context(), 1, task.Filter{})) }},
		{"add", func() error {
			d := task.New()
			d.Title = "One more"
			return second(book.Add(b.Context(), 1, d, task.Step{}, "user:1"))
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				began := time.Now()
				if err := c.read(); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(began))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
