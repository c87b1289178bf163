package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// model is what the specification says of a task, written down once more: the arrows as
// text, and what is to be seen after each.
type model struct {
	status             string
	progress           int
	started, completed bool
}

const arrows = "pending>in_progress pending>blocked pending>cancelled pending>completed " +
	"in_progress>blocked in_progress>completed in_progress>cancelled in_progress>pending " +
	"blocked>in_progress blocked>pending blocked>cancelled blocked>completed completed>in_progress cancelled>pending "

// ask is what the model makes of a step; "" and -1 ask nothing. ok is whether it is taken.
func (m model) ask(status string, progress int) (model, bool) {
	if status == m.status {
		status = ""
	}
	if progress == m.progress {
		progress = -1
	}
	if status == "" && progress >= 0 {
		switch {
		case progress == 100:
			status = "completed"
		case m.status == "completed", m.status == "pending" && progress > 0:
			status = "in_progress"
		default:
			m.progress = progress
			return m, true
		}
	} else if status != "" && progress >= 0 && (status == "completed") != (progress == 100) {
		return m, false
	}
	if status == "" {
		return m, true
	}
	if !strings.Contains(arrows, m.status+">"+status+" ") {
		return m, false
	}
	if progress >= 0 {
		m.progress = progress
	}
	if m.completed = status == "completed"; m.completed {
		m.progress = 100
	} else if m.progress > 99 {
		m.progress = 99
	}
	m.started = m.started || status == "in_progress"
	m.status = status
	return m, true
}

func TestATaskMovesAsItsModelDoes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // chance, not a secret
	seen := map[string]int{}
	for range 20_000 {
		m, s, now := model{status: "pending"}, task.State{Status: task.Pending}, noon
		for range 1 + r.IntN(12) {
			now = now.Add(time.Minute)
			var step task.Step
			status, progress := "", -1
			if r.IntN(3) > 0 {
				status = string(task.Statuses[r.IntN(len(task.Statuses))])
				step.Status = ptr(task.Status(status))
			}
			if r.IntN(3) > 0 {
				progress = []int{0, 1, 40, 99, 100, s.Progress}[r.IntN(6)]
				step.Progress = &progress
			}
			want, ok := m.ask(status, progress)
			got, err := s.Next(step, now)
			if ok != (err == nil) {
				t.Fatalf("%+v asked %q %d: %v, the model says %t", s, status, progress, err, ok)
			}
			if err != nil {
				if got != s {
					t.Fatalf("refused, and changed: %+v %+v", s, got)
				}
				seen[string(errs.KindOf(err))]++
				continue
			}
			if string(got.Status) != want.status || got.Progress != want.progress || (got.StartedAt != nil) != want.started || (got.CompletedAt != nil) != want.completed || got.Check() != nil {
				t.Fatalf("%+v asked %q %d: %+v, the model says %+v", s, status, progress, got, want)
			}
			if s.StartedAt != nil && got.StartedAt != s.StartedAt {
				t.Fatalf("begun again: %+v %+v", s, got)
			}
			if got.Status == task.Completed && s.Status != task.Completed && !got.CompletedAt.Equal(now) {
				t.Fatalf("completed at %v, not at %v", got.CompletedAt, now)
			}
			seen[string(s.Status)+">"+string(got.Status)]++
			m, s = want, got
		}
	}
	for arrow := range strings.FieldsSeq(arrows) {
		if seen[arrow] == 0 {
			t.Errorf("%s was not tried", arrow)
		}
	}
	if seen["conflict"] == 0 || seen["invalid"] == 0 {
		t.Errorf("nothing was refused: %v", seen)
	}
}

func TestAStatusAndAProgressAgree(t *testing.T) {
	t.Parallel()
	done := task.State{Status: task.Completed, Progress: 100, StartedAt: &noon, CompletedAt: &noon}
	for name, c := range map[string]struct {
		from task.State
		step task.Step
		want string
	}{
		"100 completes":                           {task.State{Status: task.Blocked, Progress: 7}, task.Step{Progress: ptr(100)}, "completed 100"},
		"done is at 100":                          {task.State{Status: task.Pending}, task.Step{Status: ptr(task.Completed)}, "completed 100"},
		"reopened is at 99":                       {done, task.Step{Status: ptr(task.InProgress)}, "in_progress 99"},
		"less reopens":                            {done, task.Step{Progress: ptr(30)}, "in_progress 30"},
		"reopened where it is said":               {done, task.Step{Status: ptr(task.InProgress), Progress: ptr(30)}, "in_progress 30"},
		"something begins":                        {task.State{Status: task.Pending}, task.Step{Progress: ptr(1)}, "in_progress 1"},
		"nothing begins nothing":                  {task.State{Status: task.Pending, Progress: 5}, task.Step{Progress: ptr(0)}, "pending 0"},
		"what is blocked stays so":                {task.State{Status: task.Blocked}, task.Step{Progress: ptr(50)}, "blocked 50"},
		"the whole task, with another status":     {task.State{Status: task.InProgress, Progress: 40}, task.Step{Status: ptr(task.Completed), Progress: ptr(40)}, "completed 100"},
		"the whole task, with another progress":   {task.State{Status: task.InProgress, Progress: 40}, task.Step{Status: ptr(task.InProgress), Progress: ptr(100)}, "completed 100"},
		"nothing new":                             {done, task.Step{Status: ptr(task.Completed), Progress: ptr(100)}, "completed 100"},
		"done at 30":                              {task.State{Status: task.InProgress, Progress: 40}, task.Step{Status: ptr(task.Completed), Progress: ptr(30)}, "invalid"},
		"blocked at 100":                          {task.State{Status: task.InProgress, Progress: 40}, task.Step{Status: ptr(task.Blocked), Progress: ptr(100)}, "invalid"},
		"more than all":                           {task.State{Status: task.InProgress}, task.Step{Progress: ptr(101)}, "invalid"},
		"no status":                               {task.State{Status: task.InProgress}, task.Step{Status: ptr(task.Status("done"))}, "invalid"},
		"what was given up is not done by itself": {task.State{Status: task.Cancelled}, task.Step{Progress: ptr(100)}, "conflict"},
		"what is done is not given up":            {done, task.Step{Status: ptr(task.Cancelled)}, "conflict"},
	} {
		got, err := c.from.Next(c.step, noon)
		is := fmt.Sprintf("%s %d", got.Status, got.Progress)
		if err != nil {
			is = string(errs.KindOf(err))
		}
		if is != c.want {
			t.Errorf("%s: %s, want %s (%v)", name, is, c.want, err)
		}
	}
}

func TestWhatIsSaidIsPutIntoOneForm(t *testing.T) {
	t.Parallel()
	d := task.New()
	d.Title, d.Description, d.AssignedTo, d.Metadata = "  Why?  ", ptr(" "), ptr(" Jo "), ptr(json.RawMessage(`{"b":1, "a":[{"c":"d"}]}`))
	d.DueDate = ptr(time.Date(2026, 1, 2, 13, 0, 0, 1, time.FixedZone("", 3600)))
	if err := d.Normalise(); err != nil || d.Title != "Why?" || d.Description != nil || *d.AssignedTo != "Jo" || string(*d.Metadata) != `{"a":[{"c":"d"}],"b":1}` || *d.DueDate != noon {
		t.Errorf("%+v %v", d, err)
	}
	e := d
	e.Metadata, e.DueDate = ptr(json.RawMessage(`{ "b": 1, "a": [{"c": "d"}] }`)), ptr(noon.Local())
	if !d.Same(e) {
		t.Error("what is the same is not")
	}
	if e.Metadata = ptr(json.RawMessage(`{"b":2}`)); d.Same(e) {
		t.Error("what is not the same is")
	}
	if d.Metadata = ptr(json.RawMessage(`null`)); d.Normalise() != nil || d.Metadata != nil {
		t.Errorf("nothing is %s", *d.Metadata)
	}
}

func TestWhatCannotBeIsNamed(t *testing.T) {
	t.Parallel()
	deep := json.RawMessage(`{"a":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`)
	for field, edit := range map[string]func(*task.Draft){
		"title":           func(d *task.Draft) { d.Title = " " },
		"description":     func(d *task.Draft) { d.Description = ptr(strings.Repeat("ü", 20_001)) },
		"user_notes":      func(d *task.Draft) { d.Notes = ptr("a\x00b") },
		"findings":        func(d *task.Draft) { d.Findings = ptr(strings.Repeat("x", 20_001)) },
		"assigned_to":     func(d *task.Draft) { d.AssignedTo = ptr(strings.Repeat("x", 256)) },
		"task_type":       func(d *task.Draft) { d.Type = "chore" },
		"technology_id":   func(d *task.Draft) { d.TechnologyID = ptr(int64(0)) },
		"repository_id":   func(d *task.Draft) { d.RepositoryID = ptr(int64(1 << 31)) },
		"estimated_hours": func(d *task.Draft) { d.EstimatedHours = ptr(-1) },
		"actual_hours":    func(d *task.Draft) { d.ActualHours = ptr(1_000_001) },
		"due_date":        func(d *task.Draft) { d.DueDate = ptr(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)) },
		"metadata_":       func(d *task.Draft) { d.Metadata = ptr(json.RawMessage(`[1]`)) },
	} {
		d := task.New()
		d.Title = "Why?"
		edit(&d)
		err := d.Normalise()
		if errs.KindOf(err) != errs.Invalid || len(errs.As(err).Fields) != 1 || errs.As(err).Fields[0].Loc[1] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, raw := range []json.RawMessage{deep, json.RawMessage(`{"a":"\u0000"}`), json.RawMessage(`{"\u0000":1}`), json.RawMessage(`{"a":["\u0000"]}`), json.RawMessage(`{"a":1e999}`), json.RawMessage(`{"a":"` + strings.Repeat("x", 17_000) + `"}`)} {
		d := task.New()
		d.Title, d.Metadata = "Why?", &raw
		if err := d.Normalise(); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%.40s: %v", raw, err)
		}
	}
	for _, s := range []task.State{
		{Status: "done"}, {Status: task.Completed, Progress: 100}, {Status: task.Completed, Progress: 99, CompletedAt: &noon}, {Status: task.Pending, Progress: 100}, {Status: task.Pending, CompletedAt: &noon}, {Status: task.Blocked, Progress: -1},
	} {
		if s.Check() == nil {
			t.Errorf("%+v can be", s)
		}
	}
}

func TestADayAndATimeAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31T12:30:00+02:00": "2026-01-31T10:30:00Z", "2026-01-31T12:30:00.5Z": "2026-01-31T12:30:00.5Z",
		"2026-01-31T12:30:00": "2026-01-31T12:30:00Z", "2026-01-31T12:30": "2026-01-31T12:30:00Z", "tomorrow": "", "": "", "31.1.2026": "", "2026-02-30": "",
	} {
		got, err := task.ParseTime(text)
		if is := got.Format(time.RFC3339Nano); (err != nil) != (want == "") || err == nil && is != want {
			t.Errorf("%s: %s, %v", text, is, err)
		}
	}
}

// shelf keeps one task, without a database.
type shelf struct {
	task.Keeper
	t task.Task
}

func (s *shelf) Insert(_ context.Context, _ tenant.Project, all ...task.Task) error {
	s.t = all[0]
	return nil
}

func (s *shelf) Update(_ context.Context, _ tenant.Project, _ int64, _ string, change func(task.Task) (task.Task, error)) (task.Task, error) {
	t, err := change(s.t)
	if err == nil {
		s.t = t
	}
	return t, err
}

func (s *shelf) Delete(_ context.Context, _ tenant.Project, _ int64, may func(task.Task) error) error {
	return may(s.t)
}

func TestATaskIsChangedByWhoHasReadItAndDeletedByWhoMay(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	b := task.Book{Keeper: s, Now: func() time.Time { return noon }}
	d := task.New()
	if _, err := b.Add(t.Context(), 1, d, task.Step{}, "user:1"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("without a title: %v", err)
	}
	d.Title, d.AssignedTo, d.Metadata = "Why?", ptr("user:2"), ptr(json.RawMessage(`{"a":1}`))
	if _, err := b.Add(t.Context(), 1, d, task.Step{Status: ptr(task.Completed)}, "user:1"); err != nil || s.t.Progress != 100 || s.t.Version != 1 || *s.t.CompletedAt != noon {
		t.Errorf("%+v %v", s.t, err)
	}
	before := s.t
	if _, err := b.Change(t.Context(), 1, 1, 2, "user:1", nil); !errors.Is(err, task.ErrMoved) {
		t.Errorf("another version: %v", err)
	}
	fails := errors.New("fails")
	for _, edit := range []func(*task.Draft, *task.Step) error{
		func(*task.Draft, *task.Step) error { return fails },
		func(d *task.Draft, _ *task.Step) error {
			*d.AssignedTo, d.Title = "user:9", ""
			copy(*d.Metadata, `{"b":2}`)
			return nil
		},
		func(_ *task.Draft, s *task.Step) error { s.Status = ptr(task.Cancelled); return nil },
	} {
		if _, err := b.Change(t.Context(), 1, 1, 1, "user:1", edit); err == nil {
			t.Error("was taken")
		}
	}
	if !s.t.Same(before) || *s.t.AssignedTo != "user:2" || string(*s.t.Metadata) != `{"a":1}` {
		t.Errorf("refused, and changed: %+v", s.t)
	}
	if _, err := b.Change(t.Context(), 1, 1, 1, "user:1", func(d *task.Draft, s *task.Step) error {
		d.Findings, s.Progress = ptr("so"), ptr(10)
		return nil
	}); err != nil || s.t.Status != task.InProgress || *s.t.Findings != "so" || s.t.CompletedAt != nil {
		t.Errorf("%+v %v", s.t, err)
	}
	for by, want := range map[string]error{"user:1": nil, "user:2": nil, "user:3": task.ErrNotYours} {
		if err := b.Remove(t.Context(), 1, 1, by, false); !errors.Is(err, want) {
			t.Errorf("%s: %v", by, err)
		}
	}
	if err := b.Remove(t.Context(), 1, 1, "user:3", true); err != nil {
		t.Errorf("an admin: %v", err)
	}
	if u, o := b.Upcoming(7, 5), b.Overdue(5); !slices.Equal(u.Statuses, []task.Status{task.Pending, task.InProgress}) || u.Until != noon.AddDate(0, 0, 7) || len(o.Statuses) != 3 || o.Until != noon {
		t.Errorf("%+v %+v", u, o)
	}
}
