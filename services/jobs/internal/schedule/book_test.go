package schedule_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
)

// one keeps one schedule.
type one struct {
	schedule.Keeper
	kept schedule.Schedule
	ran  time.Time
}

func (o *one) Add(_ context.Context, _ tenant.Project, s schedule.Schedule) (schedule.Schedule, error) {
	s.ID = 1
	o.kept = s
	return s, nil
}

func (o *one) Alike(context.Context, tenant.Project, schedule.Schedule) ([]int64, error) {
	return []int64{9}, nil
}

func (o *one) Get(_ context.Context, _ tenant.Project, id int64) (schedule.Schedule, error) {
	if id != 1 {
		return schedule.Schedule{}, schedule.ErrNotFound
	}
	return o.kept, nil
}

func (o *one) Change(_ context.Context, _ tenant.Project, _ int64, edit func(*schedule.Schedule) error) (schedule.Schedule, error) {
	s := o.kept
	if err := edit(&s); err != nil {
		return s, err
	}
	o.kept = s
	return s, nil
}

func (o *one) Now(_ context.Context, _ tenant.Project, _ schedule.Schedule, at time.Time) (string, error) {
	o.ran = at
	return "task", nil
}

func TestAScheduleIsDueAnewWhenWhatThatFollowsFromChanges(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 7, 12, 20, 0, 0, time.UTC)
	keeper := &one{}
	var checked string
	b := schedule.Book{Keeper: keeper, Clock: func() time.Time { return now }, Check: func(_ context.Context, task string, params []byte) error {
		checked = task + string(params)
		if task == "none" {
			return errs.New(errs.Invalid, "no such type")
		}
		return nil
	}}
	s, alike, err := b.Add(t.Context(), 1, draft(schedule.Daily, "UTC"), "user:1")
	if err != nil || !s.NextRun.Equal(now.Truncate(24*time.Hour).Add(24*time.Hour)) || len(alike) != 1 || checked != "call{}" || s.By != "user:1" {
		t.Fatalf("%+v %v %v, checked %s", s, alike, err, checked)
	}
	for _, bad := range []schedule.Draft{draft(schedule.Daily, "x"), draft(schedule.Daily, "UTC", func(d *schedule.Draft) { d.Task = "none" })} {
		if _, _, err := b.Add(t.Context(), 1, bad, ""); errs.As(err).Kind != errs.Invalid {
			t.Errorf("%v", err)
		}
	}
	first := *s.NextRun
	now = now.Add(48 * time.Hour) // it was due meanwhile, and nobody has looked yet
	if s, err = b.Change(t.Context(), 1, 1, func(d *schedule.Draft) error { d.Name, d.Jitter = "m", 5; return nil }); err != nil || !s.NextRun.Equal(first) {
		t.Errorf("a name: %v, %v", s.NextRun, err)
	}
	cron, every := "0 3 * * *", 60
	for name, edit := range map[string]func(*schedule.Draft){
		"cron": func(d *schedule.Draft) { d.Frequency, d.Cron, d.Every = schedule.Cron, &cron, nil }, "interval": func(d *schedule.Draft) { d.Frequency, d.Every, d.Cron = schedule.Interval, &every, nil },
		"zone": func(d *schedule.Draft) { d.Frequency, d.Every, d.Cron, d.Zone = schedule.Daily, nil, nil, "Asia/Tokyo" }, "start": func(d *schedule.Draft) { later := now.Add(time.Hour); d.Start = &later },
	} {
		keeper.kept.NextRun = &first
		if s, err = b.Change(t.Context(), 1, 1, func(d *schedule.Draft) error { edit(d); return nil }); err != nil || !s.NextRun.After(now) {
			t.Errorf("%s: %v, %v", name, s.NextRun, err)
		}
	}
	checked = ""
	if _, err = b.Change(t.Context(), 1, 1, func(d *schedule.Draft) error {
		copy(d.Params, `{ }`)
		d.Params = append(d.Params[:0], `{"a":1}`...)
		return nil
	}); err != nil || checked != `call{"a":1}` {
		t.Errorf("checked %q, %v", checked, err)
	}
	if _, err = b.Change(t.Context(), 1, 1, func(d *schedule.Draft) error { d.Task = "none"; return nil }); errs.As(err).Kind != errs.Invalid {
		t.Errorf("%v", err)
	}
}

func TestAScheduleIsRunNowWhereItMay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 7, 12, 20, 0, 0, time.UTC)
	keeper := &one{kept: schedule.Schedule{Draft: draft(schedule.Daily, "UTC"), ID: 1}}
	b := schedule.Book{Keeper: keeper, Clock: func() time.Time { return now }}
	if _, task, err := b.Execute(t.Context(), 1, 1, false, now); err != nil || task != "task" || !keeper.ran.Equal(now) {
		t.Errorf("%s, %v", task, err)
	}
	keeper.kept.Enabled = false
	if _, _, err := b.Execute(t.Context(), 1, 1, false, now); !errors.Is(err, schedule.ErrOff) {
		t.Errorf("%v", err)
	}
	if _, _, err := b.Execute(t.Context(), 1, 1, true, now); err != nil {
		t.Errorf("%v", err)
	}
	keeper.kept.End = &now
	if _, _, err := b.Execute(t.Context(), 1, 1, true, now); errs.As(err).Kind != errs.Conflict {
		t.Errorf("%v", err)
	}
	if _, _, err := b.Execute(t.Context(), 1, 2, true, now); !errors.Is(err, schedule.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
