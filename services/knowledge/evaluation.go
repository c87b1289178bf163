package knowledge

import (
	"context"
	"errors"
	"time"

	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/postgres"
)

// evaluating is the handler of the jobs that run evaluations. After the last try
// the evaluation is failed.
func evaluating(x *evaluation.Runner) jobs.Handler {
	return func(ctx context.Context, r *jobs.Run) error {
		var t postgres.EvaluationTask
		if err := r.Decode(&t); err != nil {
			return err
		}
		advanced := false
		err := x.Run(ctx, r.Job.Project, t.ID, func(ctx context.Context, asked, total int) error {
			advanced = true
			r.Progress(ctx, asked, total, "asking")
			return r.Yield(ctx)
		})
		switch {
		case err == nil, jobs.Waits(err), ctx.Err() != nil:
			return err
		case advanced: // what it has come to is kept, so that was no try in vain
			return jobs.Wait(time.Second)
		case r.Job.Attempts >= r.Job.MaxAttempts:
			return errors.Join(err, x.GiveUp(ctx, r.Job.Project, t.ID, err))
		}
		return err
	}
}
