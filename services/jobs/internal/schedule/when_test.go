package schedule_test

import (
	"archive/zip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
)

func ptr[T any](v T) *T { return &v }

func draft(f schedule.Frequency, zone string, more ...func(*schedule.Draft)) schedule.Draft {
	d := schedule.New()
	d.Name, d.Task, d.Frequency, d.Zone = "n", "call", f, zone
	for _, m := range more {
		m(&d)
	}
	return d
}

func cronOf(text string) func(*schedule.Draft) {
	return func(d *schedule.Draft) { d.Cron = &text }
}

func when(t testing.TB, d schedule.Draft) schedule.When {
	t.Helper()
	if err := d.Normalise(); err != nil {
		t.Fatal(err)
	}
	w, err := d.When(time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// zones are all of the tz database that Go comes with.
func zones(t testing.TB) []string {
	t.Helper()
	z, err := zip.OpenReader(filepath.Join(runtime.GOROOT(), "lib", "time", "zoneinfo.zip")) //nolint:staticcheck // SA1019: where tests are built they are run
	if err != nil {
		t.Fatal("a Go with its tz database is needed: ", err)
	}
	defer z.Close() //nolint:errcheck // was only read
	var out []string
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, "/") && len(f.Name) <= 50 {
			out = append(out, f.Name)
		}
	}
	if len(out) < 400 {
		t.Fatalf("only %d zones", len(out))
	}
	return out
}

func TestWhenTheClockIsChangedNothingIsMissedOrDoubled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, zone, cron, after string
		want                    []string // UTC
	}{
		{"does not come", "Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		{"several do not come", "Europe/Berlin", "0,15,30 2 * * *", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"}},
		{"comes twice", "Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"every quarter goes on, back", "Europe/Berlin", "*/30 * * * *", "2026-10-25T00:20:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"}},
		{"every quarter goes on, forward", "Europe/Berlin", "*/30 * * * *", "2026-03-29T00:20:00Z", []string{"2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"}},
		{"half an hour, back", "Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00:00Z", []string{"2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"}},
		{"half an hour, forward", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00Z", []string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
		{"a day that was left out", "Pacific/Apia", "0 12 * * *", "2011-12-29T00:00:00Z", []string{"2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"}},
		{"midnight does not come", "America/Santiago", "0 0 * * *", "2026-09-05T12:00:00Z", []string{"2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"}},
		{"second last", "UTC", "0 9 * * 1-5 30", "2026-01-02T12:00:00Z", []string{"2026-01-05T09:00:30Z"}},
		{"alias", "Asia/Kolkata", "@daily", "2026-01-02T12:00:00Z", []string{"2026-01-02T18:30:00Z"}},
	} {
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range when(t, draft(schedule.Cron, c.zone, cronOf(c.cron))).Upcoming(after, len(c.want)) {
			got = append(got, d.Format(time.RFC3339))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestAYearInEveryZone goes through every quarter of an hour of a year in each zone, and asks the
// clock of that zone what is due.
func TestAYearInEveryZone(t *testing.T) {
	t.Parallel()
	all := zones(t)
	begin, end := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, name := range all {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		daily := 0
		days := map[string]bool{}
		w := when(t, draft(schedule.Cron, name, cronOf("30 2 * * *")))
		for at := w.Next(begin.Add(-time.Nanosecond)); at.Before(end); at = w.Next(at) {
			local := at.In(zone)
			day := local.Format(time.DateOnly)
			if days[day] {
				t.Fatalf("%s: twice on %s", name, day)
			}
			days[day] = true
			daily++
			if h, m, _ := local.Clock(); h*60+m != 150 { // then 2:30 did not come that day, and this is the first moment after
				_, now := local.Zone()
				_, before := at.Add(-time.Nanosecond).In(zone).Zone()
				if now <= before {
					t.Fatalf("%s: due at %s", name, local)
				}
			} else if early := at.Add(-90 * time.Minute); early.In(zone).Format("15:04") == "02:30" {
				t.Fatalf("%s: due the second time, at %s", name, local)
			}
		}
		if daily < 364 || daily > 366 {
			t.Errorf("%s: %d times in a year", name, daily)
		}
		// What goes by time that passes is due whenever the clock shows it.
		w = when(t, draft(schedule.Cron, name, cronOf("*/30 * * * *")))
		next := w.Next(begin.Add(-time.Nanosecond))
		for at := begin; at.Before(end); at = at.Add(15 * time.Minute) { // of which every offset is a multiple
			shows := at.In(zone).Minute()%30 == 0 && at.In(zone).Second() == 0
			if due := next.Equal(at); due != shows {
				t.Fatalf("%s: at %s due %v, next %s", name, at.In(zone), due, next)
			}
			if next.Equal(at) {
				next = w.Next(next)
			}
		}
	}
	t.Logf("%d zones", len(all))
}

func TestFrequenciesAreDueWhereTheySay(t *testing.T) {
	t.Parallel()
	after := time.Date(2026, 1, 7, 12, 20, 0, 0, time.UTC) // a Wednesday
	start, end := after.Add(30*time.Hour), after.Add(54*time.Hour)
	for name, c := range map[string]struct {
		d    schedule.Draft
		want []string
	}{
		"hourly":         {draft(schedule.Hourly, "UTC"), []string{"2026-01-07T13:00:00Z", "2026-01-07T14:00:00Z"}},
		"daily":          {draft(schedule.Daily, "Europe/Berlin"), []string{"2026-01-07T23:00:00Z", "2026-01-08T23:00:00Z"}},
		"weekly":         {draft(schedule.Weekly, "America/New_York"), []string{"2026-01-12T05:00:00Z", "2026-01-19T05:00:00Z"}},
		"monthly":        {draft(schedule.Monthly, "UTC"), []string{"2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"}},
		"interval":       {draft(schedule.Interval, "UTC", func(d *schedule.Draft) { d.Every = ptr(90) }), []string{"2026-01-07T12:21:30Z", "2026-01-07T12:23:00Z"}},
		"interval later": {draft(schedule.Interval, "UTC", func(d *schedule.Draft) { d.Every, d.Start = ptr(3600), &start }), []string{"2026-01-08T18:20:00Z", "2026-01-08T19:20:00Z"}},
		"once":           {draft(schedule.Once, "UTC", func(d *schedule.Draft) { d.Start = &start }), []string{"2026-01-08T18:20:00Z"}},
		"once, past":     {draft(schedule.Once, "UTC", func(d *schedule.Draft) { d.Start = ptr(after.Add(-time.Hour)) }), nil},
		"with an end":    {draft(schedule.Daily, "UTC", func(d *schedule.Draft) { d.End = &end }), []string{"2026-01-08T00:00:00Z", "2026-01-09T00:00:00Z"}},
		"with a start":   {draft(schedule.Daily, "UTC", func(d *schedule.Draft) { d.Start = &start }), []string{"2026-01-09T00:00:00Z", "2026-01-10T00:00:00Z"}},
		"a leap day":     {draft(schedule.Cron, "UTC", cronOf("0 0 29 2 *")), []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
	} {
		var got []string
		for _, d := range when(t, c.d).Upcoming(after, 2) {
			got = append(got, d.Format(time.RFC3339))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestWhatIsNoScheduleIsRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	now := time.Now()
	for name, d := range map[string]schedule.Draft{
		"name": draft("daily", "UTC", func(d *schedule.Draft) { d.Name = " " }), "description": draft("daily", "UTC", func(d *schedule.Draft) { d.Description = &long }),
		"task": draft("daily", "UTC", func(d *schedule.Draft) { d.Task = "" }), "parameters": draft("daily", "UTC", func(d *schedule.Draft) { d.Params = []byte("[]") }),
		"tags": draft("daily", "UTC", func(d *schedule.Draft) { d.Tags = []byte("{") }), "frequency": draft("yearly", "UTC"), "catch up": draft("daily", "UTC", func(d *schedule.Draft) { d.CatchUp = "x" }),
		"overlap": draft("daily", "UTC", func(d *schedule.Draft) { d.Overlap = "x" }), "jitter": draft("daily", "UTC", func(d *schedule.Draft) { d.Jitter = 3601 }), "priority": draft("daily", "UTC", func(d *schedule.Draft) { d.Priority = 11 }),
		"end": draft("daily", "UTC", func(d *schedule.Draft) { d.Start, d.End = &now, &now }), "once": draft("once", "UTC"), "interval": draft("interval", "UTC", func(d *schedule.Draft) { d.Every = ptr(59) }),
		"no interval": draft("daily", "UTC", func(d *schedule.Draft) { d.Every = ptr(60) }), "no cron": draft("daily", "UTC", cronOf("* * * * *")), "cron missing": draft("cron", "UTC"),
		"zone": draft("daily", "Mars/Base"), "machine": draft("daily", "Local"), "no zone": draft("daily", ""), "every": draft("cron", "UTC", cronOf("@every 1s")), "seconds": draft("cron", "UTC", cronOf("* * * * * *")),
		"fields": draft("cron", "UTC", cronOf("* * *")), "minute": draft("cron", "UTC", cronOf("60 * * * *")), "no day": draft("cron", "UTC", cronOf("0 0 30 2 *")), "zone in it": draft("cron", "UTC", cronOf("TZ=UTC 0 0 * * 1")),
		"alias": draft("cron", "UTC", cronOf("@reboot")),
	} {
		if err := d.Normalise(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWhatWasMissedIsCaughtUpAsSaid(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 7, 12, 0, 5, 0, time.UTC)
	late := now.Add(-10 * time.Hour).Truncate(time.Hour)
	for policy, want := range map[schedule.CatchUp]struct{ fired, missed int }{schedule.Skip: {1, 10}, schedule.CatchOne: {2, 9}, schedule.CatchAll: {11, 0}} {
		s := schedule.Schedule{Draft: draft("hourly", "UTC", func(d *schedule.Draft) { d.CatchUp, d.Jitter = policy, 30 }), ID: 1, ProjectID: 1, NextRun: &late}
		look, err := s.Due(now)
		if err != nil || len(look.Firings) != want.fired || look.Missed != want.missed || look.Next == nil || !look.Next.Equal(now.Truncate(time.Hour).Add(time.Hour)) {
			t.Errorf("%s: %+v, %v", policy, look, err)
		}
		again, err := s.Due(now)
		if err != nil || !slices.Equal(again.Firings, look.Firings) {
			t.Errorf("another replica finds %v, %v", again, err)
		}
		for _, f := range look.Firings {
			if f.From.Before(f.Due) || f.From.After(f.Due.Add(30*time.Second)) {
				t.Errorf("%v", f)
			}
		}
	}
	years := now.AddDate(-3, 0, 0)
	s := schedule.Schedule{Draft: draft("cron", "UTC", cronOf("* * * * *"), func(d *schedule.Draft) { d.CatchUp = schedule.CatchAll }), NextRun: &years}
	look, err := s.Due(now)
	if err != nil || len(look.Firings) != 100 || !look.Next.Equal(look.Firings[99].Due.Add(time.Minute)) {
		t.Errorf("all of three years: %d, next %v, %v", len(look.Firings), look.Next, err)
	}
	s.CatchUp = schedule.Skip
	if look, err = s.Due(now); err != nil || len(look.Firings) != 1 || !look.Next.After(now) {
		t.Errorf("%d firings, next %v, %v", len(look.Firings), look.Next, err)
	}
	once := schedule.Schedule{Draft: draft("once", "UTC", func(d *schedule.Draft) { d.Start = &now }), NextRun: &now}
	if look, err = once.Due(now); err != nil || len(look.Firings) != 1 || look.Next != nil {
		t.Errorf("%+v, %v", look, err)
	}
	if next, err := once.Restart(now.Add(-time.Second)); err != nil || !next.Equal(now) || !once.Active(now) {
		t.Errorf("%v, %v", next, err)
	}
	if next, err := once.Restart(now); err != nil || next != nil {
		t.Errorf("%v, %v", next, err)
	}
	once.Enabled = false
	if next, err := once.Restart(now.Add(-time.Second)); err != nil || next != nil || once.Active(now) {
		t.Errorf("%v, %v", next, err)
	}
	if up, err := once.Upcoming(now.Add(-time.Second), 5); err != nil || len(up) != 1 {
		t.Errorf("%v, %v", up, err)
	}
}
