package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Bounds of what is shown at once.
const (
	MostKeys    = 11_000  // of a list
	MostRows    = 1_000   // of jobs with all that is known of them
	MostCounted = 100_000 // of a list's total
)

// ErrRuns refuses to delete a job that somebody works at.
var ErrRuns = errs.New(errs.Conflict, "the job is not over: cancel it first")

// Filter chooses jobs. The zero value chooses all.
type Filter struct {
	States []string
	Kind   string
}

// Key finds a job in a list.
type Key struct {
	Number int64     `db:"number"`
	Made   time.Time `db:"created_at"`
}

// Keys returns the first most keys of the project's jobs, the latest first, and how
// many there are, counted no further than [MostCounted].
func (m *Manager) Keys(ctx context.Context, p tenant.Project, f Filter, most int) (keys []Key, total int, err error) {
	const of = ` FROM jobs WHERE project_id = $1 AND ($2::text[] IS NULL OR state = ANY ($2)) AND ($3 = '' OR kind = $3)`
	states := pq.Array(f.States)
	err = m.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const count = `SELECT count(*) FROM (SELECT 1` + of + ` LIMIT $4) counted`
		if err := tx.GetContext(ctx, &total, count, int64(p), states, f.Kind, MostCounted); err != nil || most <= 0 {
			return err
		}
		const q = `SELECT number, created_at` + of + ` ORDER BY number DESC LIMIT $4`
		return tx.SelectContext(ctx, &keys, q, int64(p), states, f.Kind, min(most, MostKeys))
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list the jobs of project %s: %w", p.Token(), err)
	}
	return keys, total, nil
}

// Rows returns the project's jobs of these numbers, at most [MostRows], in the
// order of the numbers. Those that are not there are left out.
func (m *Manager) Rows(ctx context.Context, p tenant.Project, numbers []int64) ([]Job, error) {
	if len(numbers) > MostRows {
		return nil, errs.Newf(errs.Invalid, "%d jobs at once, %d at most", len(numbers), MostRows)
	}
	var out []Job
	err := m.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT ` + columns + ` FROM jobs WHERE project_id = $1 AND number = ANY ($2)
			ORDER  BY array_position($2, number)`
		rows, err := tx.QueryxContext(ctx, q, int64(p), pq.Array(numbers))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			j, err := scan(rows)
			if err != nil {
				return err
			}
			out = append(out, j)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read jobs of project %s: %w", p.Token(), err)
	}
	return out, nil
}

// Numbered returns the project's job of the number, [ErrNotFound] when there is none.
func (m *Manager) Numbered(ctx context.Context, p tenant.Project, number int64) (Job, error) {
	rows, err := m.Rows(ctx, p, []int64{number})
	if err != nil {
		return Job{}, err
	}
	if len(rows) == 0 {
		return Job{}, ErrNotFound
	}
	return rows[0], nil
}

// Delete removes a job that is over, with its steps, and returns it as it was: [ErrRuns] when it is not over.
func (m *Manager) Delete(ctx context.Context, p tenant.Project, number int64) (Job, error) {
	var j Job
	err := m.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const lock = `SELECT ` + columns + ` FROM jobs WHERE project_id = $1 AND number = $2 FOR UPDATE`
		var err error
		if j, err = scan(tx.QueryRowxContext(ctx, lock, int64(p), number)); err != nil {
			return err
		}
		if !j.Final() {
			return ErrRuns
		}
		const q = `DELETE FROM jobs WHERE project_id = $1 AND number = $2`
		_, err = tx.ExecContext(ctx, q, int64(p), number)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) || pg.NoRows(err) {
		return Job{}, ErrNotFound
	}
	if err != nil {
		return Job{}, fmt.Errorf("delete job %d of project %s: %w", number, p.Token(), err)
	}
	return j, nil
}

// Counts say how a project's jobs fare.
type Counts struct {
	States  map[string]int
	Seconds float64 // of those that are done, from the first try's begin to the end
}

// Count counts the project's jobs that are kept.
func (m *Manager) Count(ctx context.Context, p tenant.Project) (Counts, error) {
	var rows []struct {
		State   string  `db:"state"`
		N       int     `db:"n"`
		Seconds float64 `db:"seconds"`
	}
	err := m.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT state, count(*) AS n, coalesce(sum(extract(epoch FROM finished_at - begun_at)) FILTER (WHERE state = 'done'), 0)::float8 AS seconds
			FROM   jobs WHERE project_id = $1 GROUP BY state`
		return tx.SelectContext(ctx, &rows, q, int64(p))
	})
	if err != nil {
		return Counts{}, fmt.Errorf("count the jobs of project %s: %w", p.Token(), err)
	}
	out := Counts{States: map[string]int{}}
	for _, r := range rows {
		out.States[r.State] = r.N
		out.Seconds += r.Seconds
	}
	return out, nil
}
