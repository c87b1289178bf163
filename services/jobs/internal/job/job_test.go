package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/job"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// kept are the jobs of each service, the latest first.
type kept map[string][]job.Row

func (k kept) Keys(_ context.Context, service string, _ tenant.Project, f job.Filter, most int) (keys []job.Key, total int, err error) {
	for _, r := range k[service] {
		if f.States != nil && !slices.Contains(f.States, r.State) || f.Type != "" && f.Type != r.Kind {
			continue
		}
		if total++; len(keys) < most {
			keys = append(keys, job.Key{Number: r.Number, Made: r.CreatedAt})
		}
	}
	return keys, total, nil
}

func (k kept) Rows(_ context.Context, service string, _ tenant.Project, numbers []int64) (out []job.Row, err error) {
	for _, r := range k[service] {
		if slices.Contains(numbers, r.Number) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (k kept) Change(_ context.Context, service string, _ tenant.Project, number int64, what job.Change) (job.Row, error) {
	if service == "mute" {
		return job.Row{}, errs.New(errs.Unavailable, "not now")
	}
	for _, r := range k[service] {
		if r.Number == number {
			r.Message = what.What
			return r, nil
		}
	}
	return job.Row{}, job.ErrNotFound
}

func (k kept) Count(_ context.Context, service string, _ tenant.Project) (job.Counts, error) {
	if service == "mute" {
		return job.Counts{}, errs.New(errs.Unavailable, "not now")
	}
	c := job.Counts{States: map[string]int{}}
	for _, r := range k[service] {
		c.States[r.State]++
		if r.State == "done" {
			c.Seconds += 2
		}
	}
	return c, nil
}

func (k kept) Types(_ context.Context, service string) ([]job.Type, error) {
	if service == "mute" {
		return nil, errs.New(errs.Unavailable, "not now")
	}
	return []job.Type{{Name: "of-" + service}}, nil
}

func (k kept) Make(_ context.Context, service string, _ tenant.Project, o job.Order) (job.Row, error) {
	return job.Row{ID: o.ID, Number: 9, Kind: o.Type, Message: service, Error: strings.Join(o.Tasks(), " ")}, nil
}

func (k kept) Notes(_ context.Context, service string, _ tenant.Project, number int64) (job.Notes, error) {
	return job.Notes{Lines: []job.Line{{Seq: int(number), Message: service}}}, nil
}

func book(k kept, services ...string) job.Book {
	b := job.Book{Ask: k, Now: func() time.Time { return noon }, Known: &job.Catalogue{}}
	for i, s := range services {
		b.Owners = append(b.Owners, job.Owner{Code: i + 1, Service: s})
	}
	return b
}

func TestEveryStateHasAStatus(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]job.Status{
		"queued": job.Pending, "released": job.Pending, "running": job.Running, "done": job.Completed, "failed": job.Failed, "dead": job.Failed,
		"cancelled": job.Cancelled, "of a later version": job.Pending,
	} {
		if got := job.StatusOf(state); got != want {
			t.Errorf("%s is %s, want %s", state, got, want)
		}
	}
	if s := job.Status("x").States(); s != nil || job.Pending.Final() || !job.Failed.Final() || len(job.Active()) != 4 {
		t.Errorf("%v", s)
	}
}

func TestAPageIsTheSameHoweverTheServicesShareTheJobs(t *testing.T) {
	t.Parallel()
	k := kept{}
	var want []int64
	for n := range 60 {
		service := []string{"a", "b", "c"}[n*n%3]
		number := int64(n + 1)
		k[service] = slices.Insert(k[service], 0, job.Row{Number: number, CreatedAt: noon.Add(time.Duration(n) * time.Second), State: "queued"})
		want = slices.Insert(want, 0, number)
	}
	b := book(k, "a", "b", "c")
	var got []int64
	for skip := 0; ; skip += 7 {
		page, total, err := b.List(t.Context(), 1, job.Filter{}, skip, 7)
		if err != nil || total != 60 {
			t.Fatal(total, err)
		}
		if len(page) == 0 {
			break
		}
		for _, j := range page {
			got = append(got, j.ID/32)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestAJobSaysWhatItsRowDoes(t *testing.T) {
	t.Parallel()
	b := book(kept{"a": {
		{Number: 3, Kind: "k", State: "running", BegunAt: noon.Add(-time.Minute), Progress: 5, Total: 3, Payload: json.RawMessage(`[1]`), Tags: json.RawMessage(`{}`), Principal: "user:4", Message: "m"},
		{Number: 2, Kind: "k", State: "done", BegunAt: noon, FinishedAt: noon.Add(time.Second), Result: json.RawMessage(`{"a":1}`), Principal: "account:4", Progress: 1, Total: 9},
		{Number: 1, Kind: "k", State: "queued", NextAttemptAt: noon, Principal: "user:x", Error: "once"},
	}}, "a")
	j, err := b.Get(t.Context(), 5, 3*32+1)
	if err != nil || j.ProjectID != 5 || j.Status != job.Running || j.Progress != 100 || string(j.Parameters) != `{"value":[1]}` || *j.Duration != 60 || *j.CreatedBy != 4 || *j.Step != "m" || j.NextAttemptAt != nil {
		t.Errorf("%+v, %v", j, err)
	}
	if j, err = b.Get(t.Context(), 5, 2*32+1); err != nil || j.Progress != 100 || string(j.Result) != `{"a":1}` || string(j.Parameters) != "null" || *j.Duration != 1 || j.CreatedBy != nil || j.CompletedAt == nil {
		t.Errorf("%+v, %v", j, err)
	}
	if j, err = b.Get(t.Context(), 5, 1*32+1); err != nil || j.Progress != 0 || j.Duration != nil || j.StartedAt != nil || j.NextAttemptAt == nil || j.CreatedBy != nil || *j.Error != "once" {
		t.Errorf("%+v, %v", j, err)
	}
	if j, err = b.Change(t.Context(), 5, 2*32+1, job.Change{What: job.Cancel}); err != nil || *j.Step != "cancel" {
		t.Errorf("%+v, %v", j, err)
	}
}

func TestAPageHasABound(t *testing.T) {
	t.Parallel()
	big := json.RawMessage(`{"x":"` + strings.Repeat("x", 3<<20) + `"}`)
	b := book(kept{"a": {{Number: 2, Payload: big}, {Number: 1, Result: big}}}, "a")
	if _, _, err := b.List(t.Context(), 1, job.Filter{}, 0, 2); errs.As(err).Kind != errs.Invalid {
		t.Errorf("%v", err)
	}
	if page, _, err := b.List(t.Context(), 1, job.Filter{}, 1, 1); err != nil || len(page) != 1 {
		t.Errorf("%d, %v", len(page), err)
	}
	for _, bad := range [][2]int{{-1, 1}, {10_001, 1}, {0, 0}, {0, 1001}} {
		if _, _, err := b.List(t.Context(), 1, job.Filter{}, bad[0], bad[1]); errs.As(err).Kind != errs.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestStatisticsAddUpAndASilentServiceIsNoZero(t *testing.T) {
	t.Parallel()
	k := kept{"a": {{State: "done"}, {State: "dead"}}, "b": {{State: "done"}, {State: "done"}, {State: "released"}, {State: "cancelled"}}}
	s, err := book(k, "a", "b").Statistics(t.Context(), 1)
	if err != nil || s.Total != 6 || *s.SuccessRate != 75 || *s.Average != 2 || s.Active != 1 || s.ByStatus[job.Cancelled] != 1 || s.ByStatus[job.Running] != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := book(kept{}, "a").Statistics(t.Context(), 1); err != nil || s.SuccessRate != nil || s.Average != nil || len(s.ByStatus) != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := book(k, "a", "mute").Statistics(t.Context(), 1); errs.As(err).Kind != errs.Unavailable || !strings.Contains(err.Error(), "mute") {
		t.Errorf("%v", err)
	}
	if _, err := book(k, "mute").Change(t.Context(), 1, 33, job.Change{What: job.Delete}); errs.As(err).Kind != errs.Unavailable {
		t.Errorf("%v", err)
	}
	for _, id := range []int64{0, -31, 2, 34, 33} {
		if _, err := book(k, "a").Get(t.Context(), 1, id); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("%d: %v", id, err)
		}
	}
}

func TestAJobIsMadeWhereItsTypeIs(t *testing.T) {
	t.Parallel()
	b := book(kept{"b": {{Number: 1, ID: "one"}, {Number: 2, ID: "two"}}}, "a", "b")
	j, err := b.Make(t.Context(), 1, job.Order{ID: "x", Type: "of-b", Needs: []int64{1*32 + 2, 2*32 + 2, 1*32 + 2}})
	if err != nil || j.Service != "b" || j.ID != 9*32+2 || *j.Error != "one two" {
		t.Errorf("%+v, %v", j, err)
	}
	types, err := b.Types(t.Context())
	if err != nil || len(types) != 2 || types[1].Service != "b" {
		t.Errorf("%v, %v", types, err)
	}
	for name, o := range map[string]job.Order{
		"no such type": {Type: "of-c"}, "of another service": {Type: "of-b", Needs: []int64{33}}, "not there": {Type: "of-b", Needs: []int64{3*32 + 2}}, "too many": {Type: "of-b", Needs: make([]int64, 51)},
	} {
		if _, err := b.Make(t.Context(), 1, o); errs.As(err).Kind != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := b.Notes(t.Context(), 1, 5*32+1); err != nil || n.Lines[0].Seq != 5 || n.Lines[0].Message != "a" {
		t.Errorf("%v, %v", n, err)
	}
	if _, err := b.Notes(t.Context(), 1, 5*32+3); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestASilentServiceKeepsNobodyFromTheTypesOfOthers(t *testing.T) {
	t.Parallel()
	b := book(kept{}, "a")
	if _, err := b.Types(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Owners = append(b.Owners, job.Owner{Code: 2, Service: "mute"})
	b.Now = func() time.Time { return noon.Add(time.Hour) }
	if j, err := b.Make(t.Context(), 1, job.Order{Type: "of-a"}); err != nil || j.Service != "a" {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := b.Make(t.Context(), 1, job.Order{Type: "of-mute"}); errs.As(err).Kind != errs.Unavailable {
		t.Errorf("%v", err)
	}
}
