package postgres_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs"
	"github.com/commandcenter/commandcenter/services/jobs/internal/postgres"
	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

type world struct {
	*postgres.Store
	t  *testing.T
	db *pg.DB
}

func newWorld(t *testing.T) world {
	t.Helper()
	db := pgtest.New(t, jobs.Migrations)
	return world{postgres.New(db), t, db}
}

func (w world) add(p tenant.Project, edit func(*schedule.Schedule)) schedule.Schedule {
	w.t.Helper()
	x := schedule.Schedule{Draft: schedule.New(), By: "user:1", CreatedAt: noon, UpdatedAt: noon}
	x.Name, x.Task, x.Frequency, x.Cron, x.NextRun = "n", "call", schedule.Cron, ptr("* * * * *"), &noon
	if edit != nil {
		edit(&x)
	}
	x, err := w.Add(w.t.Context(), p, x)
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func (w world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w world) states(x schedule.Schedule) []string {
	w.t.Helper()
	runs, err := w.Runs(w.t.Context(), tenant.Project(x.ProjectID), x.ID, 500)
	w.must(err)
	var out []string
	for _, r := range runs {
		out = append(out, r.Due.UTC().Format("15:04")+" "+r.State)
	}
	slices.Sort(out)
	return out
}

func TestAScheduleIsKeptListedAndChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.add(1, func(x *schedule.Schedule) {
		x.Params = []byte(`{"url":"a"}`)
		x.Start, x.End = &noon, ptr(noon.Add(time.Hour))
		x.Jitter = 5
	})
	two := w.add(1, func(x *schedule.Schedule) {
		x.Frequency, x.Cron, x.Params, x.Enabled, x.CreatedAt = schedule.Daily, nil, []byte(`{"url":"a","b":1}`), false, noon.Add(time.Second)
	})
	w.add(2, nil)
	got, err := w.Get(t.Context(), 1, one.ID)
	if err != nil || got.Name != "n" || !got.Start.Equal(noon) || got.Jitter != 5 || string(got.Params) != `{"url": "a"}` || got.By != "user:1" {
		t.Errorf("%+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		f    schedule.Filter
		want []int64
	}{
		"all": {schedule.Filter{}, []int64{two.ID, one.ID}}, "on": {schedule.Filter{Enabled: ptr(true)}, []int64{one.ID}}, "daily": {schedule.Filter{Frequency: "daily"}, []int64{two.ID}},
		"due": {schedule.Filter{Due: noon}, []int64{one.ID}}, "not due": {schedule.Filter{Due: noon.Add(-time.Second)}, nil}, "task": {schedule.Filter{Task: "x"}, nil},
	} {
		list, total, err := w.List(t.Context(), 1, c.f, 0, 10)
		var ids []int64
		for _, x := range list {
			ids = append(ids, x.ID)
		}
		if err != nil || total != len(c.want) || !slices.Equal(ids, c.want) {
			t.Errorf("%s: %v of %d, %v", name, ids, total, err)
		}
	}
	if alike, err := w.Alike(t.Context(), 1, two); err != nil || !slices.Equal(alike, []int64{one.ID}) {
		t.Errorf("%v, %v", alike, err)
	}
	x, err := w.Change(t.Context(), 1, two.ID, func(s *schedule.Schedule) error { s.Name, s.Enabled = "m", true; return nil })
	if err != nil || x.Name != "m" || !x.Enabled {
		t.Errorf("%+v, %v", x, err)
	}
	s, err := w.Statistics(t.Context(), 1)
	if err != nil || s.Total != 2 || s.Enabled != 2 || s.ByFrequency["daily"] != 1 || s.SuccessRate != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, p := range []tenant.Project{2, 3} {
		if _, err := w.Get(t.Context(), p, one.ID); !errors.Is(err, schedule.ErrNotFound) {
			t.Errorf("%v", err)
		}
		if err := w.Delete(t.Context(), p, one.ID); !errors.Is(err, schedule.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
	w.must(w.Delete(t.Context(), 1, one.ID))
	if _, err := w.Change(t.Context(), 1, one.ID, func(*schedule.Schedule) error { return nil }); !errors.Is(err, schedule.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := w.Change(t.Context(), 1, two.ID, func(*schedule.Schedule) error { return errs.New(errs.Invalid, "no") }); errs.As(err).Kind != errs.Invalid {
		t.Errorf("%v", err)
	}
}

func TestADueTimeIsOneFiringHoweverManyLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []schedule.Schedule
	for range 30 {
		all = append(all, w.add(1, func(x *schedule.Schedule) { x.CatchUp = schedule.CatchAll }))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := map[string]int{}
	for range 6 { // as many replicas
		wg.Go(func() {
			for now := noon; now.Before(noon.Add(10 * time.Minute)); now = now.Add(20 * time.Second) {
				_, err := w.Claim(t.Context(), now)
				w.must(err)
				_, err = w.Let(t.Context(), now)
				w.must(err)
				fs, err := w.Take(t.Context(), now)
				w.must(err)
				for _, f := range fs {
					mu.Lock()
					taken[f.Task.String()]++
					mu.Unlock()
					w.must(w.Made(t.Context(), f, 34, now))
					w.must(w.End(t.Context(), f, now, ""))
					w.must(w.End(t.Context(), f, now, "twice"))
				}
			}
		})
	}
	wg.Wait()
	last := noon.Add(time.Hour)
	for range 50 { // what a faster one had left
		_, err := w.Let(t.Context(), last)
		w.must(err)
		fs, err := w.Take(t.Context(), last)
		w.must(err)
		for _, f := range fs {
			taken[f.Task.String()]++
			w.must(w.Made(t.Context(), f, 34, last))
			w.must(w.End(t.Context(), f, last, ""))
		}
	}
	for _, x := range all {
		got, err := w.Get(t.Context(), 1, x.ID)
		w.must(err)
		if n := len(w.states(x)); n != 10 || got.Runs != 10 || got.Successes != 10 || got.Failures != 0 || got.LastRun == nil {
			t.Errorf("schedule %d: %d firings, %d runs, %d done", x.ID, n, got.Runs, got.Successes)
		}
	}
	if len(taken) != 300 {
		t.Errorf("%d jobs", len(taken))
	}
}

func TestATimeThatComesWhileTheJobBeforeGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for how, want := range map[schedule.Overlap][]string{
		schedule.Allow: {"12:00 made", "12:01 made"}, schedule.SkipIt: {"12:00 made", "12:01 skipped"},
		schedule.WaitFor: {"12:00 made", "12:01 due"}, schedule.TakesPlace: {"12:00 made", "12:01 made"},
	} {
		x := w.add(1, func(x *schedule.Schedule) { x.Overlap = how })
		for _, now := range []time.Time{noon, noon.Add(time.Minute)} {
			_, err := w.Claim(t.Context(), now)
			w.must(err)
			_, err = w.Let(t.Context(), now)
			w.must(err)
			fs, err := w.Take(t.Context(), now)
			w.must(err)
			for _, f := range fs {
				if f.ID == x.ID && f.Job == nil {
					if replaces := len(f.Replace); replaces > 0 != (how == schedule.TakesPlace && now.After(noon)) {
						t.Errorf("%s: in the place of %v", how, f.Replace)
					}
					w.must(w.Made(t.Context(), f, x.ID*100, now))
				}
			}
		}
		if got := w.states(x); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", how, got, want)
		}
		if how == schedule.WaitFor {
			first := postgres.Firing{Schedule: x, Due: noon}
			w.must(w.End(t.Context(), first, noon.Add(2*time.Minute), "it failed"))
			_, err := w.Let(t.Context(), noon.Add(90*time.Second))
			w.must(err)
			got, err := w.Get(t.Context(), 1, x.ID)
			w.must(err)
			if s := w.states(x); !slices.Equal(s, []string{"12:00 failed", "12:01 made"}) || got.Failures != 1 || *got.LastError != "it failed" {
				t.Errorf("%v, %+v", s, got)
			}
		}
		w.must(w.Delete(t.Context(), 1, x.ID))
	}
}

func TestWhatIsDueOnceIsOffThenAndAFiringIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.add(1, func(x *schedule.Schedule) { x.Frequency, x.Cron, x.Start = schedule.Once, nil, &noon })
	if at, err := w.Soonest(t.Context()); err != nil || !at.Equal(noon) {
		t.Errorf("%v, %v", at, err)
	}
	n, err := w.Claim(t.Context(), noon)
	got, _ := w.Get(t.Context(), 1, x.ID)
	if err != nil || n != 1 || got.Enabled || got.NextRun != nil {
		t.Errorf("%d %+v, %v", n, got, err)
	}
	_, err = w.Let(t.Context(), noon)
	w.must(err)
	fs, err := w.Take(t.Context(), noon)
	w.must(err)
	if again, err := w.Take(t.Context(), noon.Add(10*time.Second)); err != nil || len(again) != 0 || len(fs) != 1 {
		t.Errorf("%v %v", again, err)
	}
	if again, err := w.Take(t.Context(), noon.Add(31*time.Second)); err != nil || len(again) != 1 || again[0].Task != fs[0].Task {
		t.Errorf("a replica that died: %v %v", again, err)
	}
	w.must(w.Later(t.Context(), fs[0], noon.Add(time.Minute), "not now"))
	if at, err := w.Soonest(t.Context()); err != nil || !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("%v, %v", at, err)
	}
	task, err := w.Now(t.Context(), 1, x, noon.Add(time.Hour))
	w.must(err)
	if same, err := w.Now(t.Context(), 1, x, noon.Add(time.Hour)); err != nil || same != task {
		t.Errorf("%s %s, %v", task, same, err)
	}
	w.must(w.Noted(t.Context(), 1, x, noon.Add(time.Hour), 34))
	if got, _ = w.Get(t.Context(), 1, x.ID); got.Runs != 1 {
		t.Errorf("%+v", got)
	}
	w.must(w.End(t.Context(), fs[0], noon, ""))
	w.must(w.Sweep(t.Context(), noon.AddDate(0, 0, 31)))
	if s := w.states(x); len(s) != 1 {
		t.Errorf("%v", s)
	}
	bad := w.add(1, func(x *schedule.Schedule) { x.Zone = "Gone/Zone" })
	_, err = w.Claim(t.Context(), noon)
	w.must(err)
	if got, _ = w.Get(t.Context(), 1, bad.ID); got.Enabled || got.LastError == nil {
		t.Errorf("%+v", got)
	}
}
