package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
)

// Bounds of one look.
const (
	lookedAt = 50  // schedules, and firings
	mostOpen = 100 // firings of a schedule that are not over; what is due beyond is missed
	keepRuns = 30 * 24 * time.Hour
)

// mine is how long a replica keeps a firing to itself.
const mine = 30 * time.Second

var firingSpace = uuid.MustParse("6f1f0b0e-7f0c-4e0b-9a55-7c1f5f1f5a11")

// taskOf is the id of the job of a firing: the same on every replica and in every try.
func taskOf(p tenant.Project, id int64, due time.Time) uuid.UUID {
	return uuid.NewSHA1(firingSpace, []byte(p.Token()+"/"+strconv.FormatInt(id, 10)+"/"+due.UTC().Format(time.RFC3339Nano)))
}

// Claim notes what is due of the schedules whose time has come, and when each is due again,
// in one transaction: whoever comes later, or after a crash, finds it done or nothing done.
// It returns how many schedules it looked at.
func (s *Store) Claim(ctx context.Context, now time.Time) (n int, err error) {
	err = s.db.AcrossProjects(ctx, "schedules that are due", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT ` + columns + ` FROM schedules WHERE enabled AND next_run_at <= $1 ORDER BY next_run_at LIMIT $2 FOR UPDATE SKIP LOCKED`
		rows, err := tx.QueryxContext(ctx, q, now, lookedAt)
		if err != nil {
			return err
		}
		due, err := all(rows)
		if err != nil {
			return err
		}
		for _, x := range due {
			if err := claim(ctx, tx, x, now); err != nil {
				return fmt.Errorf("schedule %d of project %d: %w", x.ID, x.ProjectID, err)
			}
		}
		n = len(due)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look at schedules: %w", err)
	}
	return n, nil
}

func claim(ctx context.Context, tx *sqlx.Tx, x schedule.Schedule, now time.Time) error {
	look, err := x.Due(now)
	if err != nil { // its zone is gone from the database of zones: it is off, with the reason
		const off = `UPDATE schedules SET enabled = false, next_run_at = NULL, last_error = $3, updated_at = $4 WHERE project_id = $1 AND id = $2`
		_, err := tx.ExecContext(ctx, off, x.ProjectID, x.ID, err.Error(), now)
		return err
	}
	var open int
	if err := tx.GetContext(ctx, &open, `SELECT count(*) FROM firings WHERE project_id = $1 AND schedule_id = $2 AND state IN ('due', 'made')`, x.ProjectID, x.ID); err != nil {
		return err
	}
	for _, f := range look.Firings {
		if open >= mostOpen {
			look.Missed++
			continue
		}
		open++
		const fire = `
			INSERT INTO firings (project_id, schedule_id, due_at, state, look_at, task_id)
			VALUES ($1, $2, $3, 'due', $4, $5) ON CONFLICT DO NOTHING`
		if _, err := tx.ExecContext(ctx, fire, x.ProjectID, x.ID, f.Due, f.From, taskOf(tenant.Project(x.ProjectID), x.ID, f.Due)); err != nil {
			return err
		}
	}
	const q = `
		UPDATE schedules SET next_run_at = $3, missed_count = missed_count + $4, enabled = enabled AND NOT (frequency = 'once' AND $3::timestamptz IS NULL)
		WHERE  project_id = $1 AND id = $2`
	_, err = tx.ExecContext(ctx, q, x.ProjectID, x.ID, look.Next, look.Missed)
	return err
}

// Firing is one whose job is to be made, or is looked after.
type Firing struct {
	schedule.Schedule
	Due     time.Time
	Task    uuid.UUID
	Job     *int64    // nil until it is made
	MadeAt  time.Time // zero until it is made
	Replace []int64   // jobs of the schedule that are not over, in whose place this one is to run
}

// Let decides of the firings whose time has come, under the lock of their schedule, how they
// stand to the one before: which then may be made, wait, or are skipped.
func (s *Store) Let(ctx context.Context, now time.Time) (n int, err error) {
	err = s.db.AcrossProjects(ctx, "firings that are due", func(ctx context.Context, tx *sqlx.Tx) error {
		var all []struct {
			Project  int64            `db:"project_id"`
			Schedule int64            `db:"schedule_id"`
			Due      time.Time        `db:"due_at"`
			Overlap  schedule.Overlap `db:"overlap"`
		}
		const q = `
			SELECT f.project_id, f.schedule_id, f.due_at, s.overlap
			FROM   firings f JOIN schedules s ON s.project_id = f.project_id AND s.id = f.schedule_id
			WHERE  f.state = 'due' AND f.look_at <= $1 ORDER BY f.look_at, f.due_at LIMIT $2 FOR UPDATE OF f, s SKIP LOCKED`
		if err := tx.SelectContext(ctx, &all, q, now, lookedAt); err != nil {
			return err
		}
		for _, f := range all {
			var before int
			if f.Overlap == schedule.SkipIt || f.Overlap == schedule.WaitFor {
				const going = `SELECT count(*) FROM firings WHERE project_id = $1 AND schedule_id = $2 AND state = 'made'`
				if err := tx.GetContext(ctx, &before, going, f.Project, f.Schedule); err != nil {
					return err
				}
			}
			what := `state = 'made', look_at = $4::timestamptz`
			switch {
			case before > 0 && f.Overlap == schedule.SkipIt:
				what = `state = 'skipped', ended_at = $4::timestamptz, error = 'the job of the time before is not over'`
				if _, err := tx.ExecContext(ctx, `UPDATE schedules SET missed_count = missed_count + 1 WHERE project_id = $1 AND id = $2`, f.Project, f.Schedule); err != nil {
					return err
				}
			case before > 0:
				what = `look_at = $4::timestamptz + interval '1 second'`
			}
			if _, err := tx.ExecContext(ctx, `UPDATE firings SET `+what+` WHERE project_id = $1 AND schedule_id = $2 AND due_at = $3`, f.Project, f.Schedule, f.Due, now); err != nil {
				return err
			}
		}
		n = len(all)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("let what is due go: %w", err)
	}
	return n, nil
}

// Take hands out firings whose job is to be made or looked after, to this replica alone for
// a while.
func (s *Store) Take(ctx context.Context, now time.Time) (out []Firing, err error) {
	err = s.db.AcrossProjects(ctx, "firings to be made and looked after", func(ctx context.Context, tx *sqlx.Tx) error {
		var rows []struct {
			Project  int64      `db:"project_id"`
			Schedule int64      `db:"schedule_id"`
			Due      time.Time  `db:"due_at"`
			Task     uuid.UUID  `db:"task_id"`
			Job      *int64     `db:"job_id"`
			Made     *time.Time `db:"made_at"`
		}
		const q = `
			UPDATE firings f SET look_at = $2
			FROM  (SELECT project_id, schedule_id, due_at FROM firings WHERE state = 'made' AND look_at <= $1 ORDER BY look_at LIMIT $3 FOR UPDATE SKIP LOCKED) t
			WHERE  f.project_id = t.project_id AND f.schedule_id = t.schedule_id AND f.due_at = t.due_at
			RETURNING f.project_id, f.schedule_id, f.due_at, f.task_id, f.job_id, f.made_at`
		if err := tx.SelectContext(ctx, &rows, q, now, now.Add(mine), lookedAt); err != nil {
			return err
		}
		for _, r := range rows {
			x, err := scan(tx.QueryRowxContext(ctx, `SELECT `+columns+` FROM schedules WHERE project_id = $1 AND id = $2`, r.Project, r.Schedule))
			if err != nil {
				return err
			}
			f := Firing{Schedule: x, Due: r.Due, Task: r.Task, Job: r.Job}
			if r.Made != nil {
				f.MadeAt = *r.Made
			}
			if f.Job == nil && x.Overlap == schedule.TakesPlace {
				const going = `SELECT job_id FROM firings WHERE project_id = $1 AND schedule_id = $2 AND state = 'made' AND job_id IS NOT NULL AND due_at < $3 LIMIT $4`
				if err := tx.SelectContext(ctx, &f.Replace, going, r.Project, r.Schedule, r.Due, mostOpen); err != nil {
					return err
				}
			}
			out = append(out, f)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take firings: %w", err)
	}
	return out, nil
}

// Made notes the job of a firing, once.
func (s *Store) Made(ctx context.Context, f Firing, job int64, now time.Time) error {
	return s.db.InTenant(ctx, tenant.Project(f.ProjectID), func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			WITH made AS (
			    UPDATE firings SET job_id = $4, made_at = $5::timestamptz, look_at = $5::timestamptz + interval '1 second'
			    WHERE  project_id = $1 AND schedule_id = $2 AND due_at = $3 AND state = 'made' AND job_id IS NULL RETURNING 1
			)
			UPDATE schedules SET run_count = run_count + 1, last_run_at = $5::timestamptz WHERE project_id = $1 AND id = $2 AND EXISTS (SELECT 1 FROM made)`
		_, err := tx.ExecContext(ctx, q, f.ProjectID, f.ID, f.Due, job, now)
		return err
	})
}

// Later looks at a firing again.
func (s *Store) Later(ctx context.Context, f Firing, at time.Time, why string) error {
	return s.db.InTenant(ctx, tenant.Project(f.ProjectID), func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `UPDATE firings SET look_at = $4, error = nullif($5::text, '') WHERE project_id = $1 AND schedule_id = $2 AND due_at = $3 AND state = 'made'`
		_, err := tx.ExecContext(ctx, q, f.ProjectID, f.ID, f.Due, at, why)
		return err
	})
}

// End notes what became of a firing, once: why is "" for one whose job is done.
func (s *Store) End(ctx context.Context, f Firing, at time.Time, why string) error {
	return s.db.InTenant(ctx, tenant.Project(f.ProjectID), func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			WITH ended AS (
			    UPDATE firings SET state = CASE WHEN $5::text = '' THEN 'done' ELSE 'failed' END, ended_at = $4::timestamptz, error = nullif($5::text, '')
			    WHERE  project_id = $1 AND schedule_id = $2 AND due_at = $3 AND state = 'made' RETURNING 1
			)
			UPDATE schedules SET
			       success_count   = success_count + CASE WHEN $5::text = '' THEN 1 ELSE 0 END,
			       failure_count   = failure_count + CASE WHEN $5::text = '' THEN 0 ELSE 1 END,
			       last_success_at = CASE WHEN $5::text = '' THEN $4::timestamptz ELSE last_success_at END,
			       last_failure_at = CASE WHEN $5::text = '' THEN last_failure_at ELSE $4::timestamptz END,
			       last_error      = CASE WHEN $5::text = '' THEN last_error ELSE left($5::text, 1000) END
			WHERE  project_id = $1 AND id = $2 AND EXISTS (SELECT 1 FROM ended)`
		_, err := tx.ExecContext(ctx, q, f.ProjectID, f.ID, f.Due, at, why)
		return err
	})
}

// Now notes a run that somebody asked for; the scheduler looks after its job.
func (s *Store) Now(ctx context.Context, p tenant.Project, x schedule.Schedule, at time.Time) (string, error) {
	task := taskOf(p, x.ID, at)
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			INSERT INTO firings (project_id, schedule_id, due_at, state, look_at, task_id) VALUES ($1, $2, $3, 'made', $4, $5)
			ON CONFLICT DO NOTHING`
		_, err := tx.ExecContext(ctx, q, int64(p), x.ID, at, at.Add(mine), task)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("run schedule %d now: %w", x.ID, err)
	}
	return task.String(), nil
}

// Soonest is when the next schedule is due or the next firing has to be looked at; zero when none is.
func (s *Store) Soonest(ctx context.Context) (at time.Time, err error) {
	err = s.db.AcrossProjects(ctx, "when something is due", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT coalesce(least((SELECT min(next_run_at) FROM schedules WHERE enabled), (SELECT min(look_at) FROM firings WHERE state IN ('due', 'made'))), 'epoch')`
		return tx.GetContext(ctx, &at, q)
	})
	if err != nil || at.Unix() == 0 {
		return time.Time{}, err
	}
	return at, nil
}

// Sweep forgets firings that ended long ago, a bounded number at once.
func (s *Store) Sweep(ctx context.Context, now time.Time) error {
	return s.db.AcrossProjects(ctx, "firings that ended long ago", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			DELETE FROM firings f USING (SELECT project_id, schedule_id, due_at FROM firings WHERE ended_at < $1 LIMIT 1000) old
			WHERE  f.project_id = old.project_id AND f.schedule_id = old.schedule_id AND f.due_at = old.due_at`
		_, err := tx.ExecContext(ctx, q, now.Add(-keepRuns))
		return err
	})
}

// Restore keeps a schedule that came with an archive, under its id. It is off, since nobody has said
// here that it may run.
func (s *Store) Restore(ctx context.Context, p tenant.Project, x schedule.Schedule) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := insert(ctx, tx, p, x); err != nil {
			return fmt.Errorf("restore schedule %d: %w", x.ID, err)
		}
		return nil
	})
}

// Noted is [Store.Made] for a run that somebody asked for.
func (s *Store) Noted(ctx context.Context, p tenant.Project, x schedule.Schedule, due time.Time, job int64) error {
	x.ProjectID = int64(p)
	return s.Made(ctx, Firing{Schedule: x, Due: due}, job, due)
}

// Exported are the columns of a schedule that go into an archive.
const Exported = `id, name, description, task_type, task_parameters, frequency, cron_expression, interval_seconds, timezone, start_time, end_time,
	enabled, tags, catch_up, overlap, jitter_seconds, priority, run_count, success_count, failure_count, missed_count, last_run_at, last_error, last_success_at,
	last_failure_at, created_at, updated_at`

// Columns are the names of those.
func Columns() []string {
	names := strings.Split(Exported, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}
