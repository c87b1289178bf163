package serve

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

// taskAnswer is a task as the contract shows it.
type taskAnswer struct{ task.Task }

// Headers tells the version, for If-Match.
func (a taskAnswer) Headers() map[string]string { return tagged(a.Version) }

// createdTask is the answer 201.
type createdTask struct{ taskAnswer }

// StatusCode says that the task is new.
func (createdTask) StatusCode() int { return http.StatusCreated }

// Headers says where the task is.
func (c createdTask) Headers() map[string]string {
	h := c.taskAnswer.Headers()
	h["Location"] = "/api/v1/research-tasks/" + strconv.FormatInt(c.ID, 10)
	return h
}

type createTask struct {
	Body json.RawMessage `json:"body"`
}

func (h *Handlers) createTask(ctx context.Context, r createTask) (createdTask, error) {
	who, err := member(ctx)
	if err != nil {
		return createdTask{}, err
	}
	d, step := task.New(), task.Step{}
	if err := intoTask(&d, &step, r.Body); err != nil {
		return createdTask{}, err
	}
	t, err := h.Tasks.Add(ctx, who.Project, d, step, who.Principal)
	return createdTask{taskAnswer{t}}, err
}

type oneTask struct {
	ID int64 `json:"task_id"`
}

func (h *Handlers) getTask(ctx context.Context, r oneTask) (taskAnswer, error) {
	t, err := h.Tasks.Get(ctx, tenant.From(ctx).Project, r.ID)
	return taskAnswer{t}, err
}

type matchedTask struct {
	oneTask
	IfMatch string `json:"If-Match"`
}

// change is what the three operations do that change a task.
func (h *Handlers) change(ctx context.Context, r matchedTask, edit func(*task.Draft, *task.Step) error) (taskAnswer, error) {
	who, err := member(ctx)
	if err != nil {
		return taskAnswer{}, err
	}
	version, err := matched(r.IfMatch, task.ErrMoved)
	if err != nil {
		return taskAnswer{}, err
	}
	t, err := h.Tasks.Change(ctx, who.Project, r.ID, version, who.Principal, edit)
	return taskAnswer{t}, err
}

type updateTask struct {
	matchedTask
	Body json.RawMessage `json:"body"`
}

func (h *Handlers) updateTask(ctx context.Context, r updateTask) (taskAnswer, error) {
	return h.change(ctx, r.matchedTask, func(d *task.Draft, step *task.Step) error { return intoTask(d, step, r.Body) })
}

type setStatus struct {
	matchedTask
	Status task.Status `json:"new_status"`
}

func (h *Handlers) setStatus(ctx context.Context, r setStatus) (taskAnswer, error) {
	return h.change(ctx, r.matchedTask, func(_ *task.Draft, step *task.Step) error {
		step.Status = &r.Status
		return nil
	})
}

type setProgress struct {
	matchedTask
	Progress int `json:"progress_percentage"`
}

func (h *Handlers) setProgress(ctx context.Context, r setProgress) (taskAnswer, error) {
	return h.change(ctx, r.matchedTask, func(_ *task.Draft, step *task.Step) error {
		step.Progress = &r.Progress
		return nil
	})
}

func (h *Handlers) removeTask(ctx context.Context, r oneTask) (struct{}, error) {
	who, err := member(ctx)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.Tasks.Remove(ctx, who.Project, r.ID, who.Principal, who.Superuser || who.Role.Allows(tenant.Admin))
}

type listTasks struct {
	Status       task.Status `json:"status"`
	TechnologyID int64       `json:"technology_id"`
	RepositoryID int64       `json:"repository_id"`
	AssignedTo   string      `json:"assigned_to"`
	Skip         int         `json:"skip"`
	Limit        int         `json:"limit"`
}

func (h *Handlers) listTasks(ctx context.Context, r listTasks) ([]taskAnswer, error) {
	return shownTasks(h.Tasks.List(ctx, tenant.From(ctx).Project, task.Filter(r)))
}

func shownTasks(all []task.Task, err error) ([]taskAnswer, error) {
	out := make([]taskAnswer, len(all))
	for i, t := range all {
		out[i] = taskAnswer{t}
	}
	return out, err
}

type dueTasks struct {
	Days  int `json:"days"`
	Limit int `json:"limit"`
}

func (h *Handlers) upcomingTasks(ctx context.Context, r dueTasks) ([]taskAnswer, error) {
	return shownTasks(h.Tasks.Due(ctx, tenant.From(ctx).Project, h.Tasks.Upcoming(r.Days, r.Limit)))
}

func (h *Handlers) overdueTasks(ctx context.Context, r dueTasks) ([]taskAnswer, error) {
	return shownTasks(h.Tasks.Due(ctx, tenant.From(ctx).Project, h.Tasks.Overdue(r.Limit)))
}

func (h *Handlers) taskStatistics(ctx context.Context, r listTasks) (task.Statistics, error) {
	return h.Tasks.Count(ctx, tenant.From(ctx).Project, task.Filter(r))
}

// keptOfTask are the fields of a task that cannot be made nothing.
var keptOfTask = []string{"status", "progress_percentage", "task_type"}

// intoTask writes what a body says over a draft and a step.
func intoTask(d *task.Draft, step *task.Step, body []byte) error {
	all, err := said(body, "a research task has a title", keptOfTask)
	if err != nil {
		return err
	}
	if all["due_date"], err = due(all["due_date"]); err != nil {
		return errs.InvalidField("datetime_parsing", "due_date: "+err.Error(), "body", "due_date")
	}
	if all["due_date"] == nil {
		delete(all, "due_date")
	}
	return over(&struct {
		*task.Draft
		*task.Step
	}{d, step}, all)
}

// due puts a day or a time into the form of a time; what is not said, and null, stay.
func due(said json.RawMessage) (json.RawMessage, error) {
	if said == nil || string(said) == "null" {
		return said, nil
	}
	var text string
	if err := json.Unmarshal(said, &text); err != nil {
		return nil, errors.New("this is no text")
	}
	at, err := task.ParseTime(text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(at)
}
