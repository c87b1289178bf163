package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/jobs/internal/job"
)

// owners asks the services that have jobs, over the bus.
type owners struct{ b *bus.Bus }

func (o owners) Keys(ctx context.Context, service string, p tenant.Project, f job.Filter, most int) ([]job.Key, int, error) {
	res, err := bus.CallInternal[*platformv1.JobKeys](ctx, o.b, service, "jobKeys", &platformv1.JobKeysRequest{
		ProjectId: int32(p), States: f.States, Kind: f.Type, Most: int32(most), //nolint:gosec // G115: MAXVALUE of the sequence; bounded by the book
	})
	if err != nil {
		return nil, 0, err
	}
	if len(res.GetNumbers()) != len(res.GetMade()) {
		return nil, 0, errs.Newf(errs.Upstream, "%s lists %d jobs and %d times", service, len(res.GetNumbers()), len(res.GetMade()))
	}
	keys := make([]job.Key, len(res.GetNumbers()))
	for i := range keys {
		number, err := strconv.ParseInt(res.GetNumbers()[i], 10, 64)
		if err != nil {
			return nil, 0, errs.Newf(errs.Upstream, "number of a job of %s: %w", service, err)
		}
		made, err := strconv.ParseInt(res.GetMade()[i], 10, 64)
		if err != nil {
			return nil, 0, errs.Newf(errs.Upstream, "time of a job of %s: %w", service, err)
		}
		keys[i] = job.Key{Number: number, Made: time.UnixMicro(made).UTC()}
	}
	return keys, int(res.GetTotal()), nil
}

func (o owners) Rows(ctx context.Context, service string, p tenant.Project, numbers []int64) ([]job.Row, error) {
	q := &platformv1.JobRowsRequest{ProjectId: int32(p)} //nolint:gosec // G115: MAXVALUE of the sequence
	for _, n := range numbers {
		q.Numbers = append(q.Numbers, strconv.FormatInt(n, 10))
	}
	res, err := bus.CallInternal[*platformv1.JobRows](ctx, o.b, service, "jobRows", q)
	if err != nil {
		return nil, err
	}
	return lines[job.Row](service, res.GetJobs())
}

func (o owners) Change(ctx context.Context, service string, p tenant.Project, number int64, what job.Change) (job.Row, error) {
	res, err := bus.CallInternal[*platformv1.JobRows](ctx, o.b, service, "changeJob", &platformv1.ChangeJobRequest{
		ProjectId: int32(p), Number: strconv.FormatInt(number, 10), Change: what.What, Principal: what.By, //nolint:gosec // G115: MAXVALUE of the sequence
		DelaySeconds: int32(what.Delay / time.Second), FromStep: what.From, Input: what.Input, Tags: what.Tags, Priority: wire(what.Priority), //nolint:gosec // G115: an hour at most
	})
	return one(service, res, err)
}

func (o owners) Make(ctx context.Context, service string, p tenant.Project, x job.Order) (job.Row, error) {
	res, err := bus.CallInternal[*platformv1.JobRows](ctx, o.b, service, "askJob", &platformv1.AskJobRequest{
		ProjectId: int32(p), Id: x.ID, JobType: x.Type, Input: x.Input, Tags: x.Tags, Principal: x.By, Priority: int32(x.Priority), //nolint:gosec // G115: MAXVALUE of the sequence; the contract bounds it
		Held: x.Held, UniqueKey: x.Unique, Needs: x.Tasks(),
	})
	return one(service, res, err)
}

func (o owners) Types(ctx context.Context, service string) ([]job.Type, error) {
	res, err := bus.CallInternal[*platformv1.JobTypes](ctx, o.b, service, "jobTypes", &platformv1.JobTypesRequest{})
	if err != nil {
		return nil, err
	}
	return lines[job.Type](service, res.GetTypes())
}

func (o owners) Notes(ctx context.Context, service string, p tenant.Project, number int64) (job.Notes, error) {
	res, err := bus.CallInternal[*platformv1.JobNotes](ctx, o.b, service, "jobNotes", &platformv1.JobNotesRequest{
		ProjectId: int32(p), Number: strconv.FormatInt(number, 10), //nolint:gosec // G115: MAXVALUE of the sequence
	})
	if err != nil {
		return job.Notes{}, err
	}
	var n job.Notes
	if n.Lines, err = lines[job.Line](service, res.GetLines()); err == nil {
		n.Steps, err = lines[job.Step](service, res.GetSteps())
	}
	return n, err
}

func wire(n *int) *int32 {
	if n == nil {
		return nil
	}
	v := int32(*n) //nolint:gosec // G115: the contract bounds it
	return &v
}

// one is the only job of an answer.
func one(service string, res *platformv1.JobRows, err error) (job.Row, error) {
	if err != nil {
		return job.Row{}, err
	}
	rows, err := lines[job.Row](service, res.GetJobs())
	if err == nil && len(rows) != 1 {
		err = errs.Newf(errs.Upstream, "%s answers with %d jobs", service, len(rows))
	}
	if err != nil {
		return job.Row{}, err
	}
	return rows[0], nil
}

func (o owners) Count(ctx context.Context, service string, p tenant.Project) (job.Counts, error) {
	res, err := bus.CallInternal[*platformv1.JobCounts](ctx, o.b, service, "countJobs", &platformv1.CountJobsRequest{ProjectId: int32(p)}) //nolint:gosec // G115: MAXVALUE of the sequence
	if err != nil {
		return job.Counts{}, err
	}
	out := job.Counts{States: map[string]int{}, Seconds: res.GetSeconds()}
	for state, n := range res.GetStates() {
		out.States[state] = int(n)
	}
	return out, nil
}

// lines reads what a service writes as JSON.
func lines[T any](service string, all [][]byte) ([]T, error) {
	out := make([]T, len(all))
	for i, b := range all {
		if err := json.Unmarshal(b, &out[i]); err != nil {
			return nil, errs.Newf(errs.Upstream, "answer of %s: %w", service, fmt.Errorf("read it: %w", err))
		}
	}
	return out, nil
}
