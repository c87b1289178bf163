package serve

import (
	"context"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/job"
)

var (
	errMember  = errs.New(errs.Forbidden, "this takes a member of the project")
	errOver    = errs.New(errs.Conflict, "the job is over, and cannot be cancelled")
	errForeign = errs.InvalidField("value_error", "the project is that of the call: say another one in X-Project-ID", "query", "project_id")
)

// ofProject is the parameter of the seed that named a project. The call has one
// already, which its caller may see.
type ofProject struct {
	Project int64 `json:"project_id"`
}

func (r ofProject) check(who tenant.Identity) error {
	if r.Project != 0 && tenant.Project(r.Project) != who.Project {
		return errForeign
	}
	return nil
}

// member looks again: a command may have waited since the edge did.
func member(ctx context.Context) (tenant.Identity, error) {
	who := tenant.From(ctx)
	if !who.Superuser && !who.Role.Allows(tenant.Member) {
		return who, errMember
	}
	return who, nil
}

type listJobs struct {
	ofProject
	Status job.Status `json:"status_filter"`
	Type   string     `json:"job_type"`
	Skip   int        `json:"skip"`
	Limit  int        `json:"limit"`
}

// page is a list of jobs.
type page struct {
	Jobs  []job.Job `json:"jobs"`
	Total int       `json:"total"`
	Skip  int       `json:"skip"`
	Limit int       `json:"limit"`
}

func (h *Handlers) listJobs(ctx context.Context, r listJobs) (page, error) {
	who := tenant.From(ctx)
	if err := r.check(who); err != nil {
		return page{}, err
	}
	f := job.Filter{Type: r.Type}
	if r.Status != "" {
		if f.States = r.Status.States(); f.States == nil {
			return page{}, errs.InvalidField("enum", "no such status", "query", "status_filter")
		}
	}
	all, total, err := h.Jobs.List(ctx, who.Project, f, r.Skip, r.Limit)
	return page{all, total, r.Skip, r.Limit}, err
}

type activeJobs struct {
	ofProject
	Limit int `json:"limit"`
}

func (h *Handlers) activeJobs(ctx context.Context, r activeJobs) (page, error) {
	who := tenant.From(ctx)
	if err := r.check(who); err != nil {
		return page{}, err
	}
	all, total, err := h.Jobs.List(ctx, who.Project, job.Filter{States: job.Active()}, 0, r.Limit)
	return page{all, total, 0, r.Limit}, err
}

type oneJob struct {
	ID int64 `json:"job_id"`
}

func (h *Handlers) getJob(ctx context.Context, r oneJob) (job.Job, error) {
	return h.Jobs.Get(ctx, tenant.From(ctx).Project, r.ID)
}

func (h *Handlers) deleteJob(ctx context.Context, r oneJob) (struct{}, error) {
	who, err := member(ctx)
	if err != nil {
		return struct{}{}, err
	}
	_, err = h.Jobs.Change(ctx, who.Project, r.ID, job.Change{What: job.Delete, By: who.Principal})
	return struct{}{}, err
}

// cancelJob ends a job. One that was cancelled before stays so, and the caller has
// what was asked for; a command that runs a second time finds it like that.
func (h *Handlers) cancelJob(ctx context.Context, r oneJob) (job.Job, error) {
	who, err := member(ctx)
	if err != nil {
		return job.Job{}, err
	}
	j, err := h.Jobs.Change(ctx, who.Project, r.ID, job.Change{What: job.Cancel, By: who.Principal})
	if err == nil && j.Status.Final() && j.Status != job.Cancelled {
		err = errOver
	}
	return j, err
}

// progress is how far a job is.
type progress struct {
	ID          int64      `json:"job_id"`
	Status      job.Status `json:"status"`
	Progress    int        `json:"progress"`
	Step        *string    `json:"current_step"`
	Final       bool       `json:"is_terminal"`
	Active      bool       `json:"is_active"`
	CreatedAt   time.Time  `json:"created_at"`
	StartedAt   *time.Time `json:"started_at"`
	CompletedAt *time.Time `json:"completed_at"`
	Duration    *float64   `json:"duration_seconds"`
	State       string     `json:"celery_status"`
	Info        info       `json:"celery_info"`
}

// info is what only the engine knows.
type info struct {
	Service       string     `json:"service"`
	Attempts      int        `json:"attempts"`
	MaxAttempts   int        `json:"max_attempts"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	Cancelling    bool       `json:"cancel_requested"`
}

func (h *Handlers) progress(ctx context.Context, r oneJob) (progress, error) {
	j, err := h.Jobs.Get(ctx, tenant.From(ctx).Project, r.ID)
	return progress{
		ID: j.ID, Status: j.Status, Progress: j.Progress, Step: j.Step, Final: j.Status.Final(), Active: !j.Status.Final(),
		CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, CompletedAt: j.CompletedAt, Duration: j.Duration, State: j.State,
		Info: info{j.Service, j.Attempts, j.MaxAttempts, j.NextAttemptAt, j.Cancelling},
	}, err
}

func (h *Handlers) statistics(ctx context.Context, r ofProject) (job.Statistics, error) {
	who := tenant.From(ctx)
	if err := r.check(who); err != nil {
		return job.Statistics{}, err
	}
	return h.Jobs.Statistics(ctx, who.Project)
}
