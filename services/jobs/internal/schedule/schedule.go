package schedule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Bounds.
const (
	MaxPerProject = 500
	MostUpcoming  = 50
	mostParams    = 64 << 10
	mostTags      = 8 << 10
	leastInterval = 60    // seconds
	mostJitter    = 3_600 // seconds
	mostCaughtUp  = 100   // firings of one look
	onTime        = time.Minute
)

// CatchUp says what becomes of due times that passed while nobody looked, or the
// schedule's owner was away.
type CatchUp string

// The ways to catch up. What is not older than a minute is on time with each of them.
const (
	Skip     CatchUp = "skip" // nothing
	CatchOne CatchUp = "once" // the first of them stands for all
	CatchAll CatchUp = "all"  // each
)

// Overlap says what becomes of a due time while the job of the one before is not over.
type Overlap string

// The ways with an overlap.
const (
	Allow      Overlap = "allow" // another job
	SkipIt     Overlap = "skip"  // no job
	WaitFor    Overlap = "wait"  // a job when that one is over
	TakesPlace Overlap = "replace"
)

// Draft is what people say of a schedule.
type Draft struct {
	Name        string          `json:"name"`
	Description *string         `json:"description"`
	Task        string          `json:"task_type"`
	Params      json.RawMessage `json:"task_parameters"`
	Frequency   Frequency       `json:"frequency"`
	Cron        *string         `json:"cron_expression"`
	Every       *int            `json:"interval_seconds"`
	Zone        string          `json:"timezone"`
	Start       *time.Time      `json:"start_time"`
	End         *time.Time      `json:"end_time"`
	Enabled     bool            `json:"enabled"`
	Tags        json.RawMessage `json:"tags"`
	CatchUp     CatchUp         `json:"catch_up"`
	Overlap     Overlap         `json:"overlap"`
	Jitter      int             `json:"jitter_seconds"`
	Priority    int             `json:"priority"`
}

// New is a draft about which nothing has been said.
func New() Draft {
	return Draft{
		Params: json.RawMessage("{}"), Tags: json.RawMessage("{}"), Zone: "UTC", Enabled: true, CatchUp: Skip, Overlap: Allow,
	}
}

// Schedule is one of a project.
type Schedule struct {
	Draft
	ID          int64      `json:"id"`
	ProjectID   int64      `json:"project_id"`
	LastRun     *time.Time `json:"last_run_at"`
	NextRun     *time.Time `json:"next_run_at"`
	Runs        int        `json:"run_count"`
	Successes   int        `json:"success_count"`
	Failures    int        `json:"failure_count"`
	Missed      int        `json:"missed_count"` // due times of which nothing became
	LastError   *string    `json:"last_error"`
	LastSuccess *time.Time `json:"last_success_at"`
	LastFailure *time.Time `json:"last_failure_at"`
	By          string     `json:"-"` // who made it, and in whose name its jobs run
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
}

// Active reports whether it is on, and a moment is between its start and end.
func (s Schedule) Active(now time.Time) bool {
	return s.Enabled && (s.Start == nil || !s.Start.After(now)) && (s.End == nil || s.End.After(now))
}

func fault(field, format string, args ...any) error {
	return errs.InvalidField("value_error", fmt.Sprintf(format, args...), "body", field)
}

// Normalise refuses a draft that cannot be kept, and brings it into its one form.
func (d *Draft) Normalise() error {
	d.Name = strings.TrimSpace(d.Name)
	if d.Description != nil && *d.Description == "" {
		d.Description = nil
	}
	if len(bytes.TrimSpace(d.Params)) == 0 || string(d.Params) == "null" {
		d.Params = json.RawMessage("{}")
	}
	if len(bytes.TrimSpace(d.Tags)) == 0 || string(d.Tags) == "null" {
		d.Tags = json.RawMessage("{}")
	}
	switch n := utf8.RuneCountInString(d.Name); {
	case n < 1 || n > 255:
		return fault("name", "a name has 1 to 255 characters")
	case d.Description != nil && utf8.RuneCountInString(*d.Description) > 512:
		return fault("description", "a description has at most 512 characters")
	case d.Task == "" || len(d.Task) > 50:
		return fault("task_type", "want the type of a job, see /api/v1/jobs/types")
	case len(d.Params) > mostParams || d.Params[0] != '{' || !json.Valid(d.Params):
		return fault("task_parameters", "want an object of at most %d bytes", mostParams)
	case len(d.Tags) > mostTags || d.Tags[0] != '{' || !json.Valid(d.Tags):
		return fault("tags", "want an object of at most %d bytes", mostTags)
	case !slices.Contains(Frequencies(), d.Frequency):
		return fault("frequency", "want one of %v", Frequencies())
	case !slices.Contains([]CatchUp{Skip, CatchOne, CatchAll}, d.CatchUp):
		return fault("catch_up", "want skip, once or all")
	case !slices.Contains([]Overlap{Allow, SkipIt, WaitFor, TakesPlace}, d.Overlap):
		return fault("overlap", "want allow, skip, wait or replace")
	case d.Jitter < 0 || d.Jitter > mostJitter:
		return fault("jitter_seconds", "want 0 to %d", mostJitter)
	case d.Priority < -10 || d.Priority > 10:
		return fault("priority", "want -10 to 10")
	case d.Start != nil && d.End != nil && !d.End.After(*d.Start):
		return fault("end_time", "it ends before it starts")
	case d.Frequency == Once && d.Start == nil:
		return fault("start_time", "what is due once says when")
	case d.Frequency == Interval && (d.Every == nil || *d.Every < leastInterval || *d.Every > 366*86_400):
		return fault("interval_seconds", "want %d seconds to a year", leastInterval)
	case d.Frequency != Interval && d.Every != nil:
		return fault("interval_seconds", "only the frequency interval has one")
	case d.Frequency != Cron && d.Cron != nil:
		return fault("cron_expression", "only the frequency cron has one")
	case d.Frequency == Cron && d.Cron == nil:
		return fault("cron_expression", "the frequency cron needs one")
	}
	_, err := d.When(time.Time{})
	return err
}

// When is the draft's rule for due times. An interval without a start is counted from made.
func (d *Draft) When(made time.Time) (When, error) {
	zone, err := zoneOf(d.Zone)
	if err != nil {
		return When{}, err
	}
	w := When{zone: zone, once: d.Frequency == Once}
	if d.Start != nil {
		w.start = *d.Start
	}
	if d.End != nil {
		w.end = *d.End
	}
	switch d.Frequency {
	case Once:
		return w, nil
	case Interval:
		w.every = time.Duration(*d.Every) * time.Second
		if d.Start == nil {
			w.start = made
		}
		return w, nil
	}
	text := crons[d.Frequency]
	if d.Frequency == Cron {
		text = *d.Cron
	}
	w.spec, w.passing, err = ParseCron(text)
	return w, err
}

// zoneOf finds a zone of the tz database. That of the machine is none.
func zoneOf(name string) (*time.Location, error) {
	if name == "" || name == "Local" || len(name) > 50 {
		return nil, fault("timezone", "want the name of a zone, as Europe/Berlin")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fault("timezone", "there is no zone %q", name)
	}
	return zone, nil
}

// Firing is a due time that is made a job of.
type Firing struct {
	Due  time.Time
	From time.Time // not before: later than due by the jitter
}

// Look is what is found when a schedule is looked at.
type Look struct {
	Firings []Firing
	Missed  int        // due times of which nothing becomes, as far as they were counted
	Next    *time.Time // nil: never again
}

// Due says what is due of a schedule whose next due time has come, and when it is due
// again. However long nobody looked, it takes no longer.
func (s Schedule) Due(now time.Time) (Look, error) {
	w, err := s.When(s.CreatedAt)
	if err != nil {
		return Look{}, err
	}
	var out Look
	at := *s.NextRun
	late := now.Add(-onTime)
	if at.Before(late) && s.CatchUp != CatchAll {
		if s.CatchUp == CatchOne {
			out.fire(s, at)
		} else {
			out.Missed++
		}
		for at = w.Next(at); !at.IsZero() && at.Before(late) && out.Missed < mostCaughtUp; at = w.Next(at) {
			out.Missed++
		}
		if !at.IsZero() && at.Before(late) {
			at = w.Next(late.Add(-time.Nanosecond))
		}
	}
	for ; !at.IsZero() && !at.After(now) && len(out.Firings) < mostCaughtUp; at = w.Next(at) {
		out.fire(s, at)
	}
	if !at.IsZero() {
		out.Next = &at
	}
	return out, nil
}

func (l *Look) fire(s Schedule, due time.Time) {
	from := due
	if s.Jitter > 0 { // the same on every replica
		h := fnv.New64a()
		_, _ = h.Write([]byte(strconv.FormatInt(s.ProjectID, 10) + "/" + strconv.FormatInt(s.ID, 10) + "/" + due.UTC().Format(time.RFC3339))) // never fails
		from = due.Add(time.Duration(h.Sum64()%uint64(s.Jitter*1000)) * time.Millisecond)                                                     //nolint:gosec // G115: an hour at most
	}
	l.Firings = append(l.Firings, Firing{due, from})
}

// Restart is the next due time of a schedule as it is from now on; nil for one that is off or
// is due no more.
func (s Schedule) Restart(now time.Time) (*time.Time, error) {
	if !s.Enabled {
		return nil, nil //nolint:nilnil // never is an answer
	}
	w, err := s.When(s.CreatedAt)
	if err != nil {
		return nil, err
	}
	next := w.Next(now)
	if next.IsZero() {
		return nil, nil //nolint:nilnil // never is an answer
	}
	return &next, nil
}

// Upcoming are the next due times, whether it is on or not.
func (s Schedule) Upcoming(now time.Time, n int) ([]time.Time, error) {
	w, err := s.When(s.CreatedAt)
	if err != nil {
		return nil, err
	}
	return w.Upcoming(now, min(n, MostUpcoming)), nil
}
