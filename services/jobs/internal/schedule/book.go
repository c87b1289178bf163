package schedule

import (
	"bytes"
	"context"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// The refusals of the package.
var (
	ErrNotFound = errs.New(errs.NotFound, "schedule not found")
	ErrMany     = errs.Newf(errs.Conflict, "a project has at most %d schedules", MaxPerProject)
	ErrOff      = errs.New(errs.Conflict, "the schedule is off, or not between its start and its end: force it")
	errOver     = errs.New(errs.Conflict, "the schedule is not between its start and its end")
)

// Filter chooses schedules; the zero value chooses all.
type Filter struct {
	Enabled   *bool
	Task      string
	Frequency Frequency
	Due       time.Time // those that are due by then; zero for all
}

// Statistics are of the schedules of a project.
type Statistics struct {
	Total       int               `json:"total_schedules"`
	Enabled     int               `json:"enabled_schedules"`
	Disabled    int               `json:"disabled_schedules"`
	Runs        int               `json:"total_runs"`
	Successes   int               `json:"successful_runs"`
	Failures    int               `json:"failed_runs"`
	SuccessRate float64           `json:"success_rate"` // percent; 0 while there was no run
	ByFrequency map[Frequency]int `json:"by_frequency"`
}

// Run is a firing of a schedule.
type Run struct {
	Due   time.Time  `json:"due_at" db:"due_at"`
	State string     `json:"state" db:"state"` // due, made, done, failed, skipped
	Job   *int64     `json:"job_id" db:"job_id"`
	Made  *time.Time `json:"made_at" db:"made_at"`
	Ended *time.Time `json:"ended_at" db:"ended_at"`
	Error *string    `json:"error" db:"error"`
}

// Keeper keeps schedules.
type Keeper interface {
	Add(ctx context.Context, p tenant.Project, s Schedule) (Schedule, error)
	Get(ctx context.Context, p tenant.Project, id int64) (Schedule, error)
	// Change hands the schedule to edit, under a lock, and keeps what that makes of it.
	Change(ctx context.Context, p tenant.Project, id int64, edit func(s *Schedule) error) (Schedule, error)
	Delete(ctx context.Context, p tenant.Project, id int64) error
	List(ctx context.Context, p tenant.Project, f Filter, skip, limit int) ([]Schedule, int, error)
	Alike(ctx context.Context, p tenant.Project, s Schedule) ([]int64, error)
	Runs(ctx context.Context, p tenant.Project, id int64, limit int) ([]Run, error)
	// Now notes a run that somebody asked for, and returns the id of its job.
	Now(ctx context.Context, p tenant.Project, s Schedule, at time.Time) (task string, err error)
	Statistics(ctx context.Context, p tenant.Project) (Statistics, error)
}

// Book is the schedules of all projects.
type Book struct {
	Keeper Keeper
	Clock  func() time.Time
	// Check refuses parameters that the type of a job does not take.
	Check func(ctx context.Context, task string, params []byte) error
}

// Add keeps a new schedule. The ids of others that do the same with some of the same
// parameters come with it, for the caller to judge.
func (b Book) Add(ctx context.Context, p tenant.Project, d Draft, by string) (s Schedule, alike []int64, err error) {
	if err := d.Normalise(); err != nil {
		return Schedule{}, nil, err
	}
	if err := b.Check(ctx, d.Task, d.Params); err != nil {
		return Schedule{}, nil, err
	}
	now := b.Clock()
	s = Schedule{Draft: d, ProjectID: int64(p), By: by, CreatedAt: now, UpdatedAt: now}
	if s.NextRun, err = s.Restart(now); err != nil {
		return Schedule{}, nil, err
	}
	if s, err = b.Keeper.Add(ctx, p, s); err != nil {
		return Schedule{}, nil, err
	}
	alike, err = b.Keeper.Alike(ctx, p, s)
	return s, alike, err
}

// Change keeps what edit makes of a schedule. When it is due is found anew if anything
// that this follows from has changed.
func (b Book) Change(ctx context.Context, p tenant.Project, id int64, edit func(d *Draft) error) (Schedule, error) {
	return b.Keeper.Change(ctx, p, id, func(s *Schedule) error {
		was := s.Draft.clone() // what is read into the draft is written through its pointers
		if err := edit(&s.Draft); err != nil {
			return err
		}
		if err := s.Normalise(); err != nil {
			return err
		}
		if s.Task != was.Task || string(s.Params) != string(was.Params) {
			if err := b.Check(ctx, s.Task, s.Params); err != nil {
				return err
			}
		}
		s.UpdatedAt = b.Clock()
		if sameWhen(was, s.Draft) {
			return nil
		}
		var err error
		s.NextRun, err = s.Restart(b.Clock())
		return err
	})
}

// clone shares nothing with d.
func (d Draft) clone() Draft {
	d.Params, d.Tags = bytes.Clone(d.Params), bytes.Clone(d.Tags)
	d.Description, d.Cron, d.Every, d.Start, d.End = copied(d.Description), copied(d.Cron), copied(d.Every), copied(d.Start), copied(d.End)
	return d
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// sameWhen reports whether both are due at the same times.
func sameWhen(a, b Draft) bool {
	same := func(x, y *time.Time) bool { return x == nil && y == nil || x != nil && y != nil && x.Equal(*y) }
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	number := func(n *int) int {
		if n == nil {
			return 0
		}
		return *n
	}
	return a.Frequency == b.Frequency && text(a.Cron) == text(b.Cron) && number(a.Every) == number(b.Every) && a.Zone == b.Zone &&
		a.Enabled == b.Enabled && same(a.Start, b.Start) && same(a.End, b.End)
}

// Execute notes a run at a moment, and returns the schedule and the id of the job that
// is to be made. It takes a schedule that is on, or force; the window holds either way.
func (b Book) Execute(ctx context.Context, p tenant.Project, id int64, force bool, at time.Time) (Schedule, string, error) {
	s, err := b.Keeper.Get(ctx, p, id)
	if err != nil {
		return Schedule{}, "", err
	}
	on := s
	on.Enabled = true
	switch {
	case !on.Active(at):
		return Schedule{}, "", errOver
	case !s.Enabled && !force:
		return Schedule{}, "", ErrOff
	}
	task, err := b.Keeper.Now(ctx, p, s, at)
	return s, task, err
}
