package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/job"
	"github.com/commandcenter/commandcenter/services/jobs/internal/postgres"
)

// Pauses of a scheduler.
const (
	idle       = time.Second // at most, so that a new schedule is seen by every replica
	sweepEvery = 10 * time.Minute
	again      = 5 * time.Second // after a fault of a job's owner
)

// scheduler makes jobs of what is due. Every replica has one: each step is a transaction
// that one of them gets, and a job's id follows from schedule and due time, so that what a
// replica leaves when it dies is gone on with by another, and is done once.
type scheduler struct {
	store *postgres.Store
	jobs  job.Book
	now   func() time.Time
	log   *slog.Logger

	swept time.Time

	app.Loop
}

// Name is "jobs.scheduler".
func (s *scheduler) Name() string { return Name + ".scheduler" }

// Start returns at once.
func (s *scheduler) Start(ctx context.Context) error {
	s.Go(ctx, s.run)
	return nil
}

func (s *scheduler) run(ctx context.Context) {
	for {
		busy, err := s.round(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := idle
		if err != nil {
			s.log.ErrorContext(ctx, "jobs.schedule", "err", err)
		} else if busy {
			continue
		} else if at, err := s.store.Soonest(ctx); err == nil && !at.IsZero() {
			pause = max(5*time.Millisecond, min(idle, at.Sub(s.now())))
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// round does what is to be done now, a bounded part of it, and says whether there was any.
func (s *scheduler) round(ctx context.Context) (busy bool, err error) {
	now := s.now()
	claimed, err := s.store.Claim(ctx, now)
	if err != nil {
		return false, err
	}
	let, err := s.store.Let(ctx, now)
	if err != nil {
		return false, err
	}
	taken, err := s.store.Take(ctx, now)
	if err != nil {
		return false, err
	}
	for _, f := range taken {
		if err := s.look(ctx, f); err != nil {
			return false, err
		}
	}
	if now.Sub(s.swept) > sweepEvery {
		s.swept = now
		err = s.store.Sweep(ctx, now)
	}
	return claimed+let+len(taken) > 0, err
}

// look makes the job of a firing, or sees what became of it.
func (s *scheduler) look(ctx context.Context, f postgres.Firing) error {
	p := tenant.Project(f.ProjectID)
	if f.Job == nil {
		return s.make(ctx, p, f)
	}
	j, err := s.jobs.Get(ctx, p, *f.Job)
	switch {
	case errors.Is(err, job.ErrNotFound):
		return s.store.End(ctx, f, s.now(), "its job is not there any more")
	case err != nil:
		return s.store.Later(ctx, f, s.now().Add(again), "")
	case !j.Status.Final():
		return s.store.Later(ctx, f, s.now().Add(soon(s.now().Sub(f.MadeAt))), "")
	case j.Status == job.Completed:
		return s.store.End(ctx, f, *j.CompletedAt, "")
	case j.Error != nil:
		return s.store.End(ctx, f, *j.CompletedAt, *j.Error)
	}
	return s.store.End(ctx, f, *j.CompletedAt, string(j.Status))
}

// soon is when to look again at a job of that age.
func soon(age time.Duration) time.Duration { return max(time.Second, min(30*time.Second, age/10)) }

func (s *scheduler) make(ctx context.Context, p tenant.Project, f postgres.Firing) error {
	for _, id := range f.Replace {
		if _, err := s.jobs.Change(ctx, p, id, job.Change{What: job.Cancel, By: f.By}); err != nil && !errs.As(err).Kind.Refusal() {
			return s.store.Later(ctx, f, s.now().Add(again), "")
		}
	}
	j, err := s.jobs.Make(ctx, p, orderOf(f))
	switch {
	case err == nil:
		return s.store.Made(ctx, f, j.ID, s.now())
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errs.As(err).Kind.Refusal() && errs.As(err).Kind != errs.RateLimited:
		return s.store.End(ctx, f, s.now(), errs.As(err).Msg)
	}
	s.log.WarnContext(ctx, "jobs.fire", "schedule", f.ID, "project", p.Token(), "due", f.Due, "err", err)
	return s.store.Later(ctx, f, s.now().Add(again), errs.As(err).Msg)
}

func orderOf(f postgres.Firing) job.Order { return orderFor(f.Schedule, f.Task.String(), f.Due) }
