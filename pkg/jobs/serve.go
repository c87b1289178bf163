package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

// What may be asked of a job by [platformv1.ChangeJobRequest].
const (
	ToCancel   = "cancel"
	ToDispatch = "dispatch"
	ToRetry    = "retry"
	ToRelabel  = "relabel"
	ToDelete   = "delete"
)

// Serve answers what the service of jobs asks every service that has some.
func (m *Manager) Serve(s *bus.Server) {
	bus.Internal(s, "jobKeys", m.list)
	bus.Internal(s, "jobRows", m.get)
	bus.Internal(s, "changeJob", m.change)
	bus.Internal(s, "countJobs", m.count)
	bus.Internal(s, "jobTypes", m.kindsAsked)
	bus.Internal(s, "askJob", m.ask)
	bus.Internal(s, "jobNotes", m.notes)
}

func (m *Manager) list(ctx context.Context, r *platformv1.JobKeysRequest) (*platformv1.JobKeys, error) {
	keys, total, err := m.Keys(ctx, tenant.Project(r.GetProjectId()), Filter{States: r.GetStates(), Kind: r.GetKind()}, int(r.GetMost()))
	if err != nil {
		return nil, err
	}
	out := &platformv1.JobKeys{Total: int32(total)} //nolint:gosec // G115: MostCounted
	for _, k := range keys {
		out.Numbers = append(out.Numbers, strconv.FormatInt(k.Number, 10))
		out.Made = append(out.Made, strconv.FormatInt(k.Made.UnixMicro(), 10))
	}
	return out, nil
}

func (m *Manager) get(ctx context.Context, r *platformv1.JobRowsRequest) (*platformv1.JobRows, error) {
	numbers := make([]int64, len(r.GetNumbers()))
	for i, text := range r.GetNumbers() {
		n, err := number(text)
		if err != nil {
			return nil, err
		}
		numbers[i] = n
	}
	rows, err := m.Rows(ctx, tenant.Project(r.GetProjectId()), numbers)
	if err != nil {
		return nil, err
	}
	return written(rows...)
}

func (m *Manager) change(ctx context.Context, r *platformv1.ChangeJobRequest) (*platformv1.JobRows, error) {
	p := tenant.Project(r.GetProjectId())
	n, err := number(r.GetNumber())
	if err != nil {
		return nil, err
	}
	ctx = tenant.With(ctx, tenant.Identity{Project: p, Principal: r.GetPrincipal()})
	var j Job
	switch r.GetChange() {
	case ToDispatch:
		j, err = m.Dispatch(ctx, p, n, time.Duration(r.GetDelaySeconds())*time.Second)
	case ToRetry:
		j, err = m.Retry(ctx, p, n, r.GetFromStep(), r.GetInput())
	case ToRelabel:
		var priority *int
		if r.Priority != nil {
			v := int(r.GetPriority())
			priority = &v
		}
		j, err = m.Relabel(ctx, p, n, r.GetTags(), priority)
	case ToCancel:
		if j, err = m.Numbered(ctx, p, n); err == nil {
			j, err = m.Cancel(ctx, p, j.ID)
		}
	case ToDelete:
		j, err = m.Delete(ctx, p, n)
	default:
		return nil, errs.Newf(errs.Malformed, "a job cannot be told to %.40q", r.GetChange())
	}
	if err != nil {
		return nil, err
	}
	return written(j)
}

func (m *Manager) count(ctx context.Context, r *platformv1.CountJobsRequest) (*platformv1.JobCounts, error) {
	c, err := m.Count(ctx, tenant.Project(r.GetProjectId()))
	if err != nil {
		return nil, err
	}
	out := &platformv1.JobCounts{States: map[string]int32{}, Seconds: c.Seconds}
	for state, n := range c.States {
		out.States[state] = int32(n) //nolint:gosec // G115: rows of a table
	}
	return out, nil
}

func (m *Manager) kindsAsked(context.Context, *platformv1.JobTypesRequest) (*platformv1.JobTypes, error) {
	out := &platformv1.JobTypes{}
	var err error
	out.Types, err = lines(m.Types())
	return out, err
}

func (m *Manager) ask(ctx context.Context, r *platformv1.AskJobRequest) (*platformv1.JobRows, error) {
	id, err := uuid.Parse(r.GetId())
	if err != nil {
		return nil, errs.Newf(errs.Malformed, "id of a job: %w", err)
	}
	j := Job{
		ID: id, Project: tenant.Project(r.GetProjectId()), Kind: r.GetJobType(), Payload: r.GetInput(), Tags: r.GetTags(),
		Principal: r.GetPrincipal(), Priority: int(r.GetPriority()), Held: r.GetHeld(), Unique: r.GetUniqueKey(),
	}
	for _, text := range r.GetNeeds() {
		need, err := uuid.Parse(text)
		if err != nil {
			return nil, errs.Newf(errs.Malformed, "id of a job that is needed: %w", err)
		}
		j.Needs = append(j.Needs, need)
	}
	if j, err = m.Ask(ctx, j); err != nil {
		return nil, err
	}
	return written(j)
}

func (m *Manager) notes(ctx context.Context, r *platformv1.JobNotesRequest) (*platformv1.JobNotes, error) {
	n, err := number(r.GetNumber())
	if err != nil {
		return nil, err
	}
	noted, steps, err := m.Noted(ctx, tenant.Project(r.GetProjectId()), n)
	if err != nil {
		return nil, err
	}
	out := &platformv1.JobNotes{}
	if out.Lines, err = lines(noted); err == nil {
		out.Steps, err = lines(steps)
	}
	return out, err
}

// lines writes each as JSON.
func lines[T any](all []T) ([][]byte, error) {
	out := make([][]byte, len(all))
	for i, v := range all {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

func number(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errs.Newf(errs.Malformed, "number of a job: %w", err)
	}
	return n, nil
}

func written(rows ...Job) (*platformv1.JobRows, error) {
	all, err := lines(rows)
	if err != nil {
		return nil, fmt.Errorf("write jobs: %w", err)
	}
	return &platformv1.JobRows{Jobs: all}, nil
}
