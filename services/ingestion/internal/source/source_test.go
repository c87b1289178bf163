package source_test

import (
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

func TestTheSameDocumentHasTheSamePlace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://Example.com/a?utm_source=x&b=1#top": "example.com/a?b=1", "http://example.com:80/a?b=1": "example.com/a?b=1", "https://example.com:443/": "example.com", "https://example.com": "example.com",
		"http://example.com:8080/a/": "example.com:8080/a", "https://u:p@example.com/a?fbclid=1": "example.com/a", "ftp://example.com/a": "", "/a": "", "": "", "https://example.com/a?": "example.com/a",
	} {
		if got := source.Place(in); got != want {
			t.Errorf("%s is kept as %q, want %q", in, got, want)
		}
	}
	long := "https://example.com/" + strings.Repeat("a", 2000)
	if a, b := source.Place(long+"1"), source.Place(long+"2"); len(a) > 1024 || a == b {
		t.Errorf("long names: %d characters, the same %v", len(a), a == b)
	}
	if got := source.Below("example.com", "a\x00b"); got != "example.com#ab" {
		t.Errorf("below: %q", got)
	}
}

func known(k source.Kind) bool { return k == source.Feed }

func TestWhatIsSaidOfASourceIsChecked(t *testing.T) {
	t.Parallel()
	good := source.Draft{Kind: source.Feed, Name: " News ", URL: " https://Example.com/feed#x", Priority: 5}
	d := good
	if err := d.Normalise(known); err != nil || d.Name != "News" || d.URL != "https://example.com/feed" {
		t.Errorf("%+v: %v", d, err)
	}
	for field, edit := range map[string]func(*source.Draft){
		"name": func(d *source.Draft) { d.Name = " " }, "type": func(d *source.Draft) { d.Kind = "fax" }, "url": func(d *source.Draft) { d.URL = "http://0x7f000001/" },
		"path": func(d *source.Draft) { d.Path = "/x" }, "schedule": func(d *source.Draft) { d.Schedule = "now and then" }, "priority": func(d *source.Draft) { d.Priority = 11 },
		"collection": func(d *source.Draft) { d.Config.Collection = strings.Repeat("x", 101) }, "category": func(d *source.Draft) { d.Config.Category = "a\nb" },
		"language": func(d *source.Draft) { d.Config.Language = "EN" }, "technology_id": func(d *source.Draft) { d.Config.Technology = -1 }, "max_items": func(d *source.Draft) { d.Config.MaxItems = 1 << 20 },
	} {
		d := good
		edit(&d)
		err := d.Normalise(known)
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", field, err)
			continue
		}
		if loc := errs.As(err).Fields[0].Loc; loc[len(loc)-1] != field {
			t.Errorf("%s: at fault is %v", field, loc)
		}
	}
	missing := good
	missing.URL = ""
	if err := missing.Normalise(known); err == nil {
		t.Error("no url: no error")
	}
	for _, c := range []source.Credentials{{Password: "x"}, {Token: "a", Username: "b"}, {Token: "a\nb"}, {Username: strings.Repeat("x", 2000)}} {
		if err := c.Check(); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := (source.Credentials{Username: "a", Password: "b"}).Check(); err != nil {
		t.Error(err)
	}
}

func TestASourceIsDueWhenItsScheduleItsFeedAndItsFaultsSay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC)
	x := source.Source{Draft: source.Draft{Kind: source.Feed, Enabled: true}}
	cron, failing, off, parked := x, x, x, x
	cron.Schedule, failing.Faults, off.Enabled, parked.Parked = "0 6 * * *", 8, false, now
	often := failing
	often.Schedule = "* * * * *"
	for name, c := range map[string]struct {
		x      source.Source
		r      source.Report
		chance float64
		want   time.Duration // 0: not by itself
	}{
		"an hour":             {x, source.Report{}, 0.5, time.Hour},
		"a little earlier":    {x, source.Report{}, 0, 54 * time.Minute},
		"a little later":      {x, source.Report{}, 1, 66 * time.Minute},
		"as the feed says":    {x, source.Report{Every: 3 * time.Hour}, 0.5, 3 * time.Hour},
		"a day at most":       {x, source.Report{Every: 90 * time.Hour}, 0.5, 24 * time.Hour},
		"cron":                {cron, source.Report{}, 0, 19*time.Hour + 30*time.Minute},
		"cron, spread":        {cron, source.Report{}, 0.5, 19*time.Hour + 30*time.Minute + 30*time.Second},
		"failing":             {failing, source.Report{}, 0, 256 * time.Minute},
		"failing, with cron":  {often, source.Report{}, 0, 256 * time.Minute},
		"as the server says":  {x, source.Report{After: now.Add(5 * time.Hour)}, 0.5, 5 * time.Hour},
		"a server that jests": {x, source.Report{After: now.Add(9000 * time.Hour)}, 0.5, 7 * 24 * time.Hour},
		"put off":             {x, source.Report{Shift: func(t time.Time) time.Time { return t.Add(time.Minute) }}, 0.5, time.Hour + time.Minute},
		"disabled":            {off, source.Report{}, 0.5, 0},
		"left alone":          {parked, source.Report{}, 0.5, 0},
	} {
		got := c.x.Next(now, c.r, c.chance)
		if c.want == 0 && !got.IsZero() || c.want > 0 && got != now.Add(c.want) {
			t.Errorf("%s: after %s, want %s", name, got.Sub(now), c.want)
		}
	}
	for s, good := range map[string]bool{"": true, "@daily": true, "*/5 * * * *": true, "0 0 30 2 *": false, "CRON_TZ=UTC * * * * *": false, "@every 1s": false, "* * * * * *": false, "61 * * * *": false} {
		if err := source.CheckSchedule(s); (err == nil) != good {
			t.Errorf("%q: %v", s, err)
		}
	}
}
