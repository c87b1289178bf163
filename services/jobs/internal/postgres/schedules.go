package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
)

const columns = `id, project_id, name, description, task_type, task_parameters, frequency, cron_expression, interval_seconds, timezone, start_time, end_time,
	enabled, tags, catch_up, overlap, jitter_seconds, priority, last_run_at, next_run_at, run_count, success_count, failure_count, missed_count, last_error,
	last_success_at, last_failure_at, created_by, created_at, updated_at`

type scanner interface{ Scan(dest ...any) error }

func scan(r scanner) (s schedule.Schedule, err error) {
	var params, tags []byte
	err = r.Scan(&s.ID, &s.ProjectID, &s.Name, &s.Description, &s.Task, &params, &s.Frequency, &s.Cron, &s.Every, &s.Zone, &s.Start, &s.End,
		&s.Enabled, &tags, &s.CatchUp, &s.Overlap, &s.Jitter, &s.Priority, &s.LastRun, &s.NextRun, &s.Runs, &s.Successes, &s.Failures, &s.Missed, &s.LastError,
		&s.LastSuccess, &s.LastFailure, &s.By, &s.CreatedAt, &s.UpdatedAt)
	s.Params, s.Tags = json.RawMessage(params), json.RawMessage(tags)
	for _, t := range []*time.Time{s.Start, s.End, s.LastRun, s.NextRun, s.LastSuccess, s.LastFailure, &s.CreatedAt, &s.UpdatedAt} {
		if t != nil {
			*t = t.UTC()
		}
	}
	return s, err
}

func all(rows *sqlx.Rows) ([]schedule.Schedule, error) {
	defer rows.Close()
	out := []schedule.Schedule{}
	for rows.Next() {
		s, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// Add keeps a new schedule, under an id that none of the project has.
func (s *Store) Add(ctx context.Context, p tenant.Project, x schedule.Schedule) (out schedule.Schedule, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var n int
		if err := tx.GetContext(ctx, &n, `SELECT count(*) FROM schedules WHERE project_id = $1`, int64(p)); err != nil {
			return err
		}
		if n >= schedule.MaxPerProject {
			return schedule.ErrMany
		}
		const next = `
			SELECT n FROM (SELECT nextval(pg_get_serial_sequence('schedules', 'id')) AS n FROM (SELECT generate_series(0, $2)) tries) ahead
			WHERE  NOT EXISTS (SELECT 1 FROM schedules WHERE project_id = $1 AND id = n) LIMIT 1`
		if err := tx.GetContext(ctx, &x.ID, next, int64(p), schedule.MaxPerProject); err != nil {
			return err
		}
		out, err = insert(ctx, tx, p, x)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("add a schedule: %w", err)
	}
	return out, nil
}

func insert(ctx context.Context, tx *sqlx.Tx, p tenant.Project, x schedule.Schedule) (schedule.Schedule, error) {
	const q = `
		INSERT INTO schedules (project_id, id, name, description, task_type, task_parameters, frequency, cron_expression, interval_seconds, timezone, start_time,
		       end_time, enabled, tags, catch_up, overlap, jitter_seconds, priority, next_run_at, created_by, created_at, updated_at,
		       last_run_at, run_count, success_count, failure_count, missed_count, last_error, last_success_at, last_failure_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)
		RETURNING ` + columns
	return scan(tx.QueryRowxContext(ctx, q, int64(p), x.ID, x.Name, x.Description, x.Task, string(x.Params), string(x.Frequency), x.Cron, x.Every, x.Zone, x.Start,
		x.End, x.Enabled, string(x.Tags), string(x.CatchUp), string(x.Overlap), x.Jitter, x.Priority, x.NextRun, x.By, x.CreatedAt, x.UpdatedAt,
		x.LastRun, x.Runs, x.Successes, x.Failures, x.Missed, x.LastError, x.LastSuccess, x.LastFailure))
}

// Get returns a schedule of the project.
func (s *Store) Get(ctx context.Context, p tenant.Project, id int64) (out schedule.Schedule, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		out, err = scan(tx.QueryRowxContext(ctx, `SELECT `+columns+` FROM schedules WHERE project_id = $1 AND id = $2`, int64(p), id))
		return err
	})
	return out, found(err, id)
}

func found(err error, id int64) error {
	if errors.Is(err, sql.ErrNoRows) || pg.NoRows(err) {
		return schedule.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("schedule %d: %w", id, err)
	}
	return nil
}

// Change keeps what edit makes of a schedule, whose row is locked meanwhile.
func (s *Store) Change(ctx context.Context, p tenant.Project, id int64, edit func(*schedule.Schedule) error) (out schedule.Schedule, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		x, err := scan(tx.QueryRowxContext(ctx, `SELECT `+columns+` FROM schedules WHERE project_id = $1 AND id = $2 FOR UPDATE`, int64(p), id))
		if err != nil {
			return err
		}
		if err := edit(&x); err != nil {
			return err
		}
		const q = `
			UPDATE schedules SET name = $3, description = $4, task_type = $5, task_parameters = $6, frequency = $7, cron_expression = $8, interval_seconds = $9,
			       timezone = $10, start_time = $11, end_time = $12, enabled = $13, tags = $14, catch_up = $15, overlap = $16, jitter_seconds = $17,
			       priority = $18, next_run_at = $19, updated_at = $20
			WHERE  project_id = $1 AND id = $2 RETURNING ` + columns
		out, err = scan(tx.QueryRowxContext(ctx, q, int64(p), id, x.Name, x.Description, x.Task, string(x.Params), string(x.Frequency), x.Cron, x.Every, x.Zone,
			x.Start, x.End, x.Enabled, string(x.Tags), string(x.CatchUp), string(x.Overlap), x.Jitter, x.Priority, x.NextRun, x.UpdatedAt))
		return err
	})
	return out, found(err, id)
}

// Delete forgets a schedule and its firings. Jobs stay.
func (s *Store) Delete(ctx context.Context, p tenant.Project, id int64) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM schedules WHERE project_id = $1 AND id = $2`, int64(p), id)
		if err != nil {
			return fmt.Errorf("delete schedule %d: %w", id, err)
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return schedule.ErrNotFound
		}
		return nil
	})
}

// List returns schedules, the latest first; those that are due, the longest due first.
func (s *Store) List(ctx context.Context, p tenant.Project, f schedule.Filter, skip, limit int) (out []schedule.Schedule, total int, err error) {
	const where = ` FROM schedules WHERE project_id = $1 AND ($2::boolean IS NULL OR enabled = $2) AND ($3 = '' OR task_type = $3) AND ($4 = '' OR frequency = $4)
		AND ($5::timestamptz IS NULL OR enabled AND next_run_at <= $5)`
	due := sql.NullTime{Time: f.Due, Valid: !f.Due.IsZero()}
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &total, `SELECT count(*)`+where, int64(p), f.Enabled, f.Task, string(f.Frequency), due); err != nil {
			return err
		}
		const q = `SELECT ` + columns + where + ` ORDER BY CASE WHEN $5::timestamptz IS NULL THEN NULL ELSE next_run_at END, created_at DESC, id DESC OFFSET $6 LIMIT $7`
		rows, err := tx.QueryxContext(ctx, q, int64(p), f.Enabled, f.Task, string(f.Frequency), due, skip, limit)
		if err != nil {
			return err
		}
		out, err = all(rows)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list schedules: %w", err)
	}
	return out, total, nil
}

// Alike are the other schedules of the project that are on, do the same, and share a parameter
// with this one.
func (s *Store) Alike(ctx context.Context, p tenant.Project, x schedule.Schedule) (ids []int64, err error) {
	ids = []int64{}
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT id FROM schedules s
			WHERE  project_id = $1 AND id <> $2 AND enabled AND task_type = $3
			AND    EXISTS (SELECT 1 FROM jsonb_each(s.task_parameters) a JOIN jsonb_each($4::jsonb) b ON a.key = b.key AND a.value = b.value)
			ORDER  BY id LIMIT 100`
		return tx.SelectContext(ctx, &ids, q, int64(p), x.ID, x.Task, string(x.Params))
	})
	if err != nil {
		return nil, fmt.Errorf("schedules like %d: %w", x.ID, err)
	}
	return ids, nil
}

// Runs are the latest firings of a schedule.
func (s *Store) Runs(ctx context.Context, p tenant.Project, id int64, limit int) (out []schedule.Run, err error) {
	out = []schedule.Run{}
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT due_at, state, job_id, made_at, ended_at, error FROM firings
			WHERE  project_id = $1 AND schedule_id = $2 ORDER BY due_at DESC LIMIT $3`
		return tx.SelectContext(ctx, &out, q, int64(p), id, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("runs of schedule %d: %w", id, err)
	}
	return out, nil
}

// Statistics count the schedules of a project and their runs.
func (s *Store) Statistics(ctx context.Context, p tenant.Project) (schedule.Statistics, error) {
	out := schedule.Statistics{ByFrequency: map[schedule.Frequency]int{}}
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var rows []struct {
			Frequency schedule.Frequency `db:"frequency"`
			Total     int                `db:"total"`
			On        int                `db:"on_now"`
			Runs      int                `db:"runs"`
			Good      int                `db:"good"`
			Bad       int                `db:"bad"`
		}
		const q = `
			SELECT frequency, count(*) AS total, count(*) FILTER (WHERE enabled) AS on_now, coalesce(sum(run_count), 0) AS runs,
			       coalesce(sum(success_count), 0) AS good, coalesce(sum(failure_count), 0) AS bad
			FROM   schedules WHERE project_id = $1 GROUP BY frequency`
		if err := tx.SelectContext(ctx, &rows, q, int64(p)); err != nil {
			return err
		}
		for _, r := range rows {
			out.Total, out.Enabled, out.Runs, out.Successes, out.Failures = out.Total+r.Total, out.Enabled+r.On, out.Runs+r.Runs, out.Successes+r.Good, out.Failures+r.Bad
			out.ByFrequency[r.Frequency] = r.Total
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("count schedules: %w", err)
	}
	out.Disabled = out.Total - out.Enabled
	if out.Successes+out.Failures > 0 {
		out.SuccessRate = 100 * float64(out.Successes) / float64(out.Successes+out.Failures)
	}
	return out, nil
}
