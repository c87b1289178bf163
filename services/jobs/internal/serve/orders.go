package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/job"
)

// made is the answer 201.
type made struct{ job.Job }

// StatusCode says that the job is new.
func (made) StatusCode() int { return http.StatusCreated }

// Headers says where the job is.
func (m made) Headers() map[string]string {
	return map[string]string{"Location": "/api/v1/jobs/" + strconv.FormatInt(m.ID, 10)}
}

type createJob struct {
	Body struct {
		ofProject
		Type       string          `json:"job_type"`
		Parameters json.RawMessage `json:"parameters"`
		Tags       json.RawMessage `json:"tags"`
		Priority   int             `json:"priority"`
		Dispatch   bool            `json:"dispatch"`
		Unique     string          `json:"unique_key"`
		DependsOn  []int64         `json:"depends_on"`
	} `json:"body"`
}

// createJob makes one job of a command, however often that runs: its id follows from
// the command's.
func (h *Handlers) createJob(ctx context.Context, r createJob) (made, error) {
	who, err := member(ctx)
	if err != nil {
		return made{}, err
	}
	b := r.Body
	if b.Project != 0 && tenant.Project(b.Project) != who.Project {
		return made{}, errs.InvalidField("value_error", errForeign.Fields[0].Msg, "body", "project_id")
	}
	id := bus.CallFrom(ctx).CommandID
	if id == uuid.Nil {
		return made{}, errs.New(errs.Internal, "a job is made by a command")
	}
	j, err := h.Jobs.Make(ctx, who.Project, job.Order{
		ID: uuid.NewSHA1(id, []byte("job")).String(), Type: b.Type, Input: given(b.Parameters), Tags: given(b.Tags), By: who.Principal,
		Priority: b.Priority, Held: !b.Dispatch, Unique: b.Unique, Needs: b.DependsOn,
	})
	return made{j}, err
}

// given is a value that is not null.
func given(v json.RawMessage) json.RawMessage {
	if string(v) == "null" {
		return nil
	}
	return v
}

type updateJob struct {
	oneJob
	Body struct {
		Tags     json.RawMessage `json:"tags"`
		Priority *int            `json:"priority"`
	} `json:"body"`
}

func (h *Handlers) updateJob(ctx context.Context, r updateJob) (job.Job, error) {
	who, err := member(ctx)
	if err != nil {
		return job.Job{}, err
	}
	return h.Jobs.Change(ctx, who.Project, r.ID, job.Change{What: job.Relabel, By: who.Principal, Tags: given(r.Body.Tags), Priority: r.Body.Priority})
}

type dispatchJob struct {
	oneJob
	Delay int `json:"delay_seconds"`
}

func (h *Handlers) dispatchJob(ctx context.Context, r dispatchJob) (job.Job, error) {
	who, err := member(ctx)
	if err != nil {
		return job.Job{}, err
	}
	return h.Jobs.Change(ctx, who.Project, r.ID, job.Change{What: job.Dispatch, By: who.Principal, Delay: time.Duration(r.Delay) * time.Second})
}

type retryJob struct {
	oneJob
	Body struct {
		From       string          `json:"from_step"`
		Parameters json.RawMessage `json:"parameters"`
	} `json:"body"`
}

func (h *Handlers) retryJob(ctx context.Context, r retryJob) (job.Job, error) {
	who, err := member(ctx)
	if err != nil {
		return job.Job{}, err
	}
	return h.Jobs.Change(ctx, who.Project, r.ID, job.Change{What: job.Retry, By: who.Principal, From: r.Body.From, Input: given(r.Body.Parameters)})
}

func (h *Handlers) log(ctx context.Context, r oneJob) (job.Notes, error) {
	n, err := h.Jobs.Notes(ctx, tenant.From(ctx).Project, r.ID)
	if n.Lines == nil {
		n.Lines = []job.Line{}
	}
	if n.Steps == nil {
		n.Steps = []job.Step{}
	}
	return n, err
}

// types are what may be asked for.
type types struct {
	Items []job.Type `json:"items"`
}

func (h *Handlers) types(ctx context.Context, _ struct{}) (types, error) {
	all, err := h.Jobs.Types(ctx)
	if all == nil {
		all = []job.Type{}
	}
	return types{all}, err
}
