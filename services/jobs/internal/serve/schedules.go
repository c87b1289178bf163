package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
)

// answer is a schedule as the contract shows it.
type answer struct {
	schedule.Schedule
	SuccessRate *float64 `json:"success_rate"` // percent of the runs that ended
	Active      bool     `json:"is_active"`
	CreatedBy   *int64   `json:"created_by"`
	Alike       []int64  `json:"conflicts,omitempty"`
}

func (h *Handlers) shown(s schedule.Schedule) answer {
	a := answer{Schedule: s, Active: s.Active(h.Schedules.Clock())}
	if ended := s.Successes + s.Failures; ended > 0 {
		rate := 100 * float64(s.Successes) / float64(ended)
		a.SuccessRate = &rate
	}
	if id, ok := strings.CutPrefix(s.By, "user:"); ok {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil {
			a.CreatedBy = &n
		}
	}
	return a
}

// newSchedule is the answer 201.
type newSchedule struct{ answer }

// StatusCode says that the schedule is new.
func (newSchedule) StatusCode() int { return http.StatusCreated }

// Headers says where the schedule is.
func (n newSchedule) Headers() map[string]string {
	return map[string]string{"Location": "/api/v1/schedules/" + strconv.FormatInt(n.ID, 10)}
}

// kept are the fields of which nothing can be taken away: null leaves them as they are.
var kept = []string{"name", "task_type", "frequency", "timezone", "enabled", "catch_up", "overlap", "jitter_seconds", "priority"}

// into writes what a body says over a draft, and leaves the rest as it is.
func into(d *schedule.Draft, p tenant.Project, body []byte) error {
	var said map[string]json.RawMessage
	if err := json.Unmarshal(body, &said); err != nil {
		return errs.Wrap(errs.Malformed, err, "the body cannot be read")
	}
	if id, ok := said["project_id"]; ok {
		if string(id) != strconv.FormatInt(int64(p), 10) {
			return errs.InvalidField("value_error", errForeign.Fields[0].Msg, "body", "project_id")
		}
		delete(said, "project_id")
	}
	for _, name := range kept {
		if bytes.Equal(said[name], []byte("null")) {
			delete(said, name)
		}
	}
	plain, err := json.Marshal(said)
	if err == nil {
		err = json.Unmarshal(plain, d)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return errs.InvalidField("type_error", fmt.Sprintf("%s cannot be a %s", wrong.Field, wrong.Value), "body", wrong.Field)
	}
	if err != nil {
		return errs.Wrap(errs.Malformed, err, "the body cannot be read")
	}
	return nil
}

type createSchedule struct {
	Body json.RawMessage `json:"body"`
}

func (h *Handlers) createSchedule(ctx context.Context, r createSchedule) (newSchedule, error) {
	who, err := member(ctx)
	if err != nil {
		return newSchedule{}, err
	}
	d := schedule.New()
	if err := into(&d, who.Project, r.Body); err != nil {
		return newSchedule{}, err
	}
	s, alike, err := h.Schedules.Add(ctx, who.Project, d, who.Principal)
	a := h.shown(s)
	a.Alike = alike
	return newSchedule{a}, err
}

type oneSchedule struct {
	ID int64 `json:"schedule_id"`
}

func (h *Handlers) getSchedule(ctx context.Context, r oneSchedule) (answer, error) {
	s, err := h.Schedules.Keeper.Get(ctx, tenant.From(ctx).Project, r.ID)
	return h.shown(s), err
}

type updateSchedule struct {
	oneSchedule
	Body json.RawMessage `json:"body"`
}

func (h *Handlers) updateSchedule(ctx context.Context, r updateSchedule) (answer, error) {
	who, err := member(ctx)
	if err != nil {
		return answer{}, err
	}
	if _, err := h.Jobs.Types(ctx); err != nil { // known then, while the row is locked
		return answer{}, err
	}
	s, err := h.Schedules.Change(ctx, who.Project, r.ID, func(d *schedule.Draft) error { return into(d, who.Project, r.Body) })
	return h.shown(s), err
}

func (h *Handlers) enable(on bool) func(ctx context.Context, r oneSchedule) (answer, error) {
	return func(ctx context.Context, r oneSchedule) (answer, error) {
		who, err := member(ctx)
		if err != nil {
			return answer{}, err
		}
		s, err := h.Schedules.Change(ctx, who.Project, r.ID, func(d *schedule.Draft) error {
			d.Enabled = on
			return nil
		})
		return h.shown(s), err
	}
}

func (h *Handlers) deleteSchedule(ctx context.Context, r oneSchedule) (struct{}, error) {
	who, err := member(ctx)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.Schedules.Keeper.Delete(ctx, who.Project, r.ID)
}

type listSchedules struct {
	ofProject
	Enabled   *bool              `json:"enabled"`
	Task      string             `json:"task_type"`
	Frequency schedule.Frequency `json:"frequency"`
	Page      int                `json:"page"`
	PageSize  int                `json:"page_size"`
}

// schedules is a page of them.
type schedules struct {
	Schedules []answer `json:"schedules"`
	Total     int      `json:"total"`
	Page      int      `json:"page"`
	PageSize  int      `json:"page_size"`
	Pages     int      `json:"pages"`
}

func (h *Handlers) listSchedules(ctx context.Context, r listSchedules) (schedules, error) {
	who := tenant.From(ctx)
	if err := r.check(who); err != nil {
		return schedules{}, err
	}
	if r.Page < 1 || r.Page > 1000 || r.PageSize < 1 || r.PageSize > 100 {
		return schedules{}, errs.InvalidField("value_error", "a page is 1 to 1000, of 1 to 100", "query", "page")
	}
	all, total, err := h.Schedules.Keeper.List(ctx, who.Project, schedule.Filter{Enabled: r.Enabled, Task: r.Task, Frequency: r.Frequency}, (r.Page-1)*r.PageSize, r.PageSize)
	return schedules{h.each(all), total, r.Page, r.PageSize, (total + r.PageSize - 1) / r.PageSize}, err
}

func (h *Handlers) each(all []schedule.Schedule) []answer {
	out := make([]answer, len(all))
	for i, s := range all {
		out[i] = h.shown(s)
	}
	return out
}

type limited struct {
	Limit int `json:"limit"`
}

func (h *Handlers) dueSchedules(ctx context.Context, r limited) ([]answer, error) {
	all, _, err := h.Schedules.Keeper.List(ctx, tenant.From(ctx).Project, schedule.Filter{Due: h.Schedules.Clock()}, 0, r.Limit)
	return h.each(all), err
}

func (h *Handlers) scheduleStatistics(ctx context.Context, r ofProject) (schedule.Statistics, error) {
	who := tenant.From(ctx)
	if err := r.check(who); err != nil {
		return schedule.Statistics{}, err
	}
	return h.Schedules.Keeper.Statistics(ctx, who.Project)
}

type ofSchedule struct {
	oneSchedule
	limited
}

// times are what is due next.
type times struct {
	Zone  string   `json:"timezone"`
	Items []moment `json:"items"`
}

type moment struct {
	At    time.Time `json:"at"`
	Local string    `json:"local"` // in the schedule's zone, with the offset that holds then
}

func (h *Handlers) upcoming(ctx context.Context, r ofSchedule) (times, error) {
	s, err := h.Schedules.Keeper.Get(ctx, tenant.From(ctx).Project, r.ID)
	if err != nil {
		return times{}, err
	}
	next, err := s.Upcoming(h.Schedules.Clock(), r.Limit)
	if err != nil {
		return times{}, err
	}
	out := times{Zone: s.Zone, Items: make([]moment, len(next))}
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return times{}, err
	}
	for i, t := range next {
		out.Items[i] = moment{t, t.In(zone).Format(time.RFC3339)}
	}
	return out, nil
}

// history is the runs of a schedule.
type history struct {
	Items []schedule.Run `json:"items"`
}

func (h *Handlers) runs(ctx context.Context, r ofSchedule) (history, error) {
	p := tenant.From(ctx).Project
	if _, err := h.Schedules.Keeper.Get(ctx, p, r.ID); err != nil {
		return history{}, err
	}
	all, err := h.Schedules.Keeper.Runs(ctx, p, r.ID, r.Limit)
	return history{all}, err
}

type executeSchedule struct {
	oneSchedule
	Body struct {
		Force bool `json:"force"`
	} `json:"body"`
}

// executed is the answer 202 of the seed, which here means what it says: the job is there.
type executed struct {
	ID      int64      `json:"schedule_id"`
	Name    string     `json:"schedule_name"`
	Job     int64      `json:"job_id"`
	At      time.Time  `json:"executed_at"`
	NextRun *time.Time `json:"next_run_at"`
	Message string     `json:"message"`
}

// execute makes the job before anything is written: a command that runs twice is of the time
// at which it was accepted, and so of one job.
func (h *Handlers) execute(ctx context.Context, r executeSchedule) (executed, error) {
	who, err := member(ctx)
	if err != nil {
		return executed{}, err
	}
	at := bus.CallFrom(ctx).AcceptedAt.UTC().Truncate(time.Microsecond)
	s, task, err := h.Schedules.Execute(pg.Detached(ctx), who.Project, r.ID, r.Body.Force, at)
	if err != nil {
		return executed{}, err
	}
	j, err := h.Jobs.Make(ctx, who.Project, h.Order(s, task, at))
	if err != nil {
		return executed{}, err
	}
	return executed{s.ID, s.Name, j.ID, at, s.NextRun, "job " + strconv.FormatInt(j.ID, 10) + " is made"}, h.Made(ctx, who.Project, s, at, j.ID)
}
