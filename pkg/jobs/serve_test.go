package jobs_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

func TestTheServiceOfJobsSeesAndSteersThoseOfAnother(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "work", "jobs")
	w := &world{t: t, db: pgtest.New(t, schema), bus: env.Bus("work")}
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error { return nil }})
	server := bus.NewServer(w.bus, bus.ServerConfig{Service: "work", DB: w.db})
	m.Serve(server)
	env.Run(server)
	asker := env.Bus("jobs")

	for i := range 3 {
		w.enqueue(jobs.Job{Kind: "later", RunAt: time.Now().Add(time.Hour), Priority: i, Tags: json.RawMessage(`{"n":"` + strconv.Itoa(i) + `"}`)})
	}
	ran := w.enqueue(jobs.Job{})
	w.enqueue(jobs.Job{Project: 2})
	final(t, m, ran)

	keys, err := bus.CallInternal[*platformv1.JobKeys](t.Context(), asker, "work", "jobKeys", &platformv1.JobKeysRequest{ProjectId: 1, Most: 3})
	must(t, err)
	if !slices.Equal(keys.GetNumbers(), []string{"4", "3", "2"}) || keys.GetTotal() != 4 || len(keys.GetMade()) != 3 {
		t.Fatalf("%v", keys)
	}
	some, err := bus.CallInternal[*platformv1.JobKeys](t.Context(), asker, "work", "jobKeys", &platformv1.JobKeysRequest{ProjectId: 1, States: []string{jobs.Queued}, Kind: "later"})
	must(t, err)
	if some.GetTotal() != 3 || len(some.GetNumbers()) != 0 {
		t.Errorf("%v", some)
	}
	rows, err := bus.CallInternal[*platformv1.JobRows](t.Context(), asker, "work", "jobRows", &platformv1.JobRowsRequest{ProjectId: 1, Numbers: []string{"2", "9", "4", "5"}})
	must(t, err)
	var got [2]jobs.Job
	if len(rows.GetJobs()) != 2 {
		t.Fatalf("%d jobs", len(rows.GetJobs()))
	}
	for i := range got {
		must(t, json.Unmarshal(rows.GetJobs()[i], &got[i]))
	}
	if got[0].Number != 2 || got[0].Priority != 1 || string(got[0].Tags) != `{"n": "1"}` && string(got[0].Tags) != `{"n":"1"}` || got[1].ID != ran || got[1].State != jobs.Done || got[1].BegunAt.IsZero() || got[1].FinishedAt.Before(got[1].BegunAt) {
		t.Errorf("%+v", got)
	}
	counts, err := bus.CallInternal[*platformv1.JobCounts](t.Context(), asker, "work", "countJobs", &platformv1.CountJobsRequest{ProjectId: 1})
	must(t, err)
	if s := counts.GetStates(); s[jobs.Queued] != 3 || s[jobs.Done] != 1 || counts.GetSeconds() < 0 {
		t.Errorf("%v", counts)
	}

	change := func(number, what string) error {
		_, err := bus.CallInternal[*platformv1.JobRows](t.Context(), asker, "work", "changeJob", &platformv1.ChangeJobRequest{ProjectId: 1, Number: number, Change: what})
		return err
	}
	for _, c := range []struct {
		number, what string
		want         errs.Kind
	}{
		{"1", jobs.ToDelete, errs.Conflict}, {"1", jobs.ToCancel, ""}, {"1", jobs.ToCancel, ""}, {"1", jobs.ToDelete, ""}, {"1", jobs.ToDelete, errs.NotFound},
		{"5", jobs.ToDelete, errs.NotFound}, {"5", jobs.ToCancel, errs.NotFound}, {"4", "explode", errs.Malformed}, {"x", jobs.ToCancel, errs.Malformed},
	} {
		if err := change(c.number, c.what); c.want == "" && err != nil || c.want != "" && errs.As(err).Kind != c.want {
			t.Errorf("%s %s: %v, want %s", c.what, c.number, err, c.want)
		}
	}
	if _, err := m.Rows(t.Context(), 1, make([]int64, jobs.MostRows+1)); errs.As(err).Kind != errs.Invalid {
		t.Errorf("%v", err)
	}
}
