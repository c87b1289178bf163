package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/pg"
)

// Run is one try of a job.
type Run struct {
	Job Job // as it was when the try began

	m      *Manager
	run    uuid.UUID
	turn   time.Time // when it began
	result json.RawMessage

	mu       sync.Mutex
	saved    time.Time // of the progress in the row
	advanced bool      // a step of this try is committed
	costs    map[string]int64
}

// Decode reads the job's payload into v.
func (r *Run) Decode(v any) error {
	if err := json.Unmarshal(r.Job.Payload, v); err != nil {
		return fmt.Errorf("payload of %s job %s: %w", r.Job.Kind, r.Job.ID, err)
	}
	return nil
}

// SetResult keeps v with the job; it is saved when the handler returns.
func (r *Run) SetResult(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("result of %s job %s: %w", r.Job.Kind, r.Job.ID, err)
	}
	r.result = b
	return nil
}

// Step does one part of the job, once: fn runs in a unit of work of the
// service's database, and what it changed commits together with the note that
// the step is done. A step that was saved before is skipped. Names are unique
// within the job and the same in every try. What takes long is computed before
// the first statement: from then on the transaction is open. See the function
// [Step] for steps with a result.
func (r *Run) Step(ctx context.Context, name string, fn func(ctx context.Context) error) error {
	_, err := Step(ctx, r, name, func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) })
	return err
}

// Step is [Run.Step] for a function with a result, which must survive JSON: a
// step that was saved before yields the saved one.
func Step[T any](ctx context.Context, r *Run, name string, fn func(ctx context.Context) (T, error)) (T, error) {
	var zero, out T
	saved, found, err := r.savedStep(ctx, name)
	if err != nil {
		return zero, err
	}
	if found {
		if err := json.Unmarshal(saved, &out); err != nil {
			return zero, fmt.Errorf("step %s: saved result: %w", name, err)
		}
		return out, nil
	}
	if err := context.Cause(ctx); err != nil {
		return zero, err
	}
	unitCtx, unit := r.m.db.Unit(ctx)
	defer unit.Rollback()
	if out, err = fn(unitCtx); err != nil {
		return zero, err
	}
	b, err := json.Marshal(out)
	if err != nil {
		return zero, fmt.Errorf("step %s: result: %w", name, err)
	}
	if err := r.saveStep(unitCtx, name, b); err != nil {
		return zero, err
	}
	if err := unit.Commit(ctx); err != nil {
		return zero, fmt.Errorf("step %s: %w", name, err)
	}
	r.mu.Lock()
	r.advanced = true
	r.mu.Unlock()
	return out, nil
}

// attempts is the try's number since the last saved step.
func (r *Run) attempts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.advanced {
		return 1
	}
	return r.Job.Attempts
}

func (r *Run) savedStep(ctx context.Context, name string) (output []byte, found bool, err error) {
	const q = `SELECT output FROM job_steps WHERE project_id = $1 AND job_id = $2 AND name = $3`
	err = r.m.db.InTenant(pg.Detached(ctx), r.Job.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.QueryRowxContext(ctx, q, int64(r.Job.Project), r.Job.ID, name).Scan(&output)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("step %s: look it up: %w", name, err)
	}
	return output, true, nil
}

// saveStep notes the step in the unit's transaction, if the job is still this
// run's. The lock on its row keeps another worker from claiming it meanwhile.
// The count of tries begins anew, so a long job that gets on may lose its worker
// any number of times.
func (r *Run) saveStep(ctx context.Context, name string, output []byte) error {
	const fence = `
		SELECT attempts FROM jobs
		WHERE  project_id = $1 AND id = $2 AND run = $3 AND state = 'running' FOR NO KEY UPDATE`
	const anew = `UPDATE jobs SET attempts = 1 WHERE project_id = $1 AND id = $2`
	const q = `INSERT INTO job_steps (project_id, job_id, name, output) VALUES ($1, $2, $3, $4)`
	err := r.m.db.InTenant(ctx, r.Job.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		var attempts int
		if err := tx.GetContext(ctx, &attempts, fence, int64(r.Job.Project), r.Job.ID, r.run); err != nil {
			if pg.NoRows(err) {
				return ErrLost
			}
			return err
		}
		if attempts > 1 {
			if _, err := tx.ExecContext(ctx, anew, int64(r.Job.Project), r.Job.ID); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, q, int64(r.Job.Project), r.Job.ID, name, string(output))
		return err
	})
	if err != nil {
		return fmt.Errorf("step %s: save: %w", name, err)
	}
	return nil
}

// waited ends a run that goes on later.
type waited struct {
	d    time.Duration
	long bool
}

func (w *waited) Error() string {
	return fmt.Sprintf("goes on when others have had their turn, in %v at the earliest", w.d)
}

// Wait is what a handler returns when something that the job needs is taken: the
// job goes on after d, at the first step that was not saved, behind those that
// wait by then. It is no try.
func Wait(d time.Duration) error { return &waited{d: max(d, 0)} }

// Waits reports whether err is of [Wait] or [Run.Yield].
func Waits(err error) bool {
	var w *waited
	return errors.As(err, &w)
}

// Yield is called where a handler that takes long has just saved something. It
// returns nil while the job may go on. When the job has had its turn and others
// wait, it returns what the handler returns then: the job goes behind them, in
// the lane of the long ones. So a short job waits for short ones only, or where
// there is but one worker for a turn, and never for the end of a long one.
func (r *Run) Yield(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil || time.Since(r.turn) < r.m.conf.Turn {
		return err
	}
	const q = `
		SELECT EXISTS (SELECT FROM jobs WHERE state = 'queued' AND next_attempt_at <= now() AND kind = ANY ($1) AND (long = $2 OR $3))
		    OR EXISTS (SELECT FROM jobs WHERE state = 'released' AND (long = $2 OR $3))`
	var others bool
	err := r.m.db.AcrossProjects(pg.Detached(ctx), "look whether other jobs wait", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &others, q, pq.Array(r.m.kinds()), r.Job.Long, r.m.conf.Workers == 1)
	})
	if err != nil {
		return fmt.Errorf("look whether other jobs wait: %w", err)
	}
	if others {
		return &waited{long: true}
	}
	r.turn = time.Now()
	return nil
}

// rowEvery bounds how often progress is written to the row; the live subject
// gets all of it.
const rowEvery = 500 * time.Millisecond

// Progress says how far the job is: done of total, in a unit of the handler's
// choice, and what it does at the moment. It goes to the live subject at once
// and to the row now and then; it may be lost and never fails.
func (r *Run) Progress(ctx context.Context, done, total int, msg string) {
	r.mu.Lock()
	now := time.Now()
	r.Job.Progress, r.Job.Total, r.Job.Message = done, total, msg
	j := r.Job
	due := now.Sub(r.saved) >= rowEvery || done == total
	if due {
		r.saved = now
	}
	r.mu.Unlock()
	r.m.tell(j)
	if !due {
		return
	}
	const q = `
		UPDATE jobs SET progress = $4, total = $5, message = $6
		WHERE  project_id = $1 AND id = $2 AND run = $3`
	err := r.m.db.InTenant(pg.Detached(ctx), j.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q, int64(j.Project), j.ID, r.run, done, total, msg)
		return err
	})
	if err != nil && ctx.Err() == nil {
		r.m.conf.Log.DebugContext(ctx, "job.progress", "job", j.ID, "err", err)
	}
}
