package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Frequency says how often a schedule is due.
type Frequency string

// All of them. The local ones are at the beginning of what they name.
const (
	Once     Frequency = "once" // at its start
	Hourly   Frequency = "hourly"
	Daily    Frequency = "daily"
	Weekly   Frequency = "weekly" // Monday
	Monthly  Frequency = "monthly"
	Cron     Frequency = "cron"
	Interval Frequency = "interval" // from its start on
)

// Frequencies lists them.
func Frequencies() []Frequency {
	return []Frequency{Once, Hourly, Daily, Weekly, Monthly, Cron, Interval}
}

var crons = map[Frequency]string{Hourly: "0 * * * *", Daily: "0 0 * * *", Weekly: "0 0 * * 1", Monthly: "0 0 1 * *"}

// farthest is how far ahead a due time is looked for.
const farthest = 9 * 366 * 24 * time.Hour

// When is a rule for due times. Make one with [Draft.When].
type When struct {
	zone       *time.Location
	start, end time.Time // zero: none
	every      time.Duration
	once       bool
	spec       *cron.SpecSchedule // over the wall's clock
	passing    bool               // by time that passes: its hour is a wildcard
}

var (
	fields     = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	descriptor = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
)

// ParseCron reads five fields, six with the second last, or an alias (@daily). It is due once
// a minute at most.
func ParseCron(text string) (spec *cron.SpecSchedule, passing bool, err error) {
	refuse := func(format string, args ...any) (*cron.SpecSchedule, bool, error) {
		return nil, false, errs.InvalidField("value_error", fmt.Sprintf(format, args...), "body", "cron_expression")
	}
	words := strings.Fields(text)
	var s cron.Schedule
	switch {
	case len(words) == 1 && strings.HasPrefix(words[0], "@") && !strings.HasPrefix(words[0], "@every"):
		s, err = descriptor.Parse(words[0])
		passing = words[0] == "@hourly"
	case len(words) == 5:
		s, err = fields.Parse("0 " + strings.Join(words, " "))
		passing = strings.HasPrefix(words[1], "*")
	case len(words) == 6:
		if strings.Trim(words[5], "0123456789") != "" {
			return refuse("the sixth field is a second, a number: a schedule is due once a minute at most")
		}
		s, err = fields.Parse(words[5] + " " + strings.Join(words[:5], " "))
		passing = strings.HasPrefix(words[1], "*")
	default:
		return refuse("want minute, hour, day, month and weekday, a second after them if any, or @hourly, @daily, @weekly, @monthly, @yearly")
	}
	if err != nil {
		return refuse("%s", err)
	}
	spec, ok := s.(*cron.SpecSchedule)
	if !ok || spec.Location != time.Local {
		return refuse("the zone of a schedule is said by its timezone")
	}
	spec.Location = time.UTC
	if spec.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return refuse("there is no such day")
	}
	return spec, passing, nil
}

// Next is the first due time after a moment; zero when there is none.
func (w When) Next(after time.Time) time.Time {
	if after.Before(w.start) {
		after = w.start.Add(-time.Nanosecond)
	}
	var due time.Time
	switch {
	case w.once:
		if w.start.After(after) {
			due = w.start
		}
	case w.every > 0:
		if due = w.start.Add(after.Sub(w.start).Truncate(w.every)); !due.After(after) {
			due = due.Add(w.every)
		}
	default:
		due = w.onTheWall(after)
	}
	if !w.end.IsZero() && due.After(w.end) {
		return time.Time{}
	}
	return due.UTC()
}

// onTheWall goes through the stretches of time in which the zone's clock is not changed.
func (w When) onTheWall(after time.Time) time.Time {
	at := after.In(w.zone)
	from := at // where the stretch is looked at from
	for from.Sub(after) < farthest {
		begin, end := from.ZoneBounds()
		_, offset := from.Zone()
		before := offset
		if !begin.IsZero() {
			_, before = begin.Add(-time.Nanosecond).Zone()
		}
		wall := func(t time.Time, off int) time.Time { return t.UTC().Add(time.Duration(off) * time.Second) }
		floor := wall(from, offset)
		if !from.Equal(after) {
			floor = floor.Add(-time.Nanosecond) // the first moment of it counts
		}
		if !w.passing && !begin.IsZero() && before > offset { // put back: what was shown before is not due again
			if shown := wall(begin, before).Add(-time.Nanosecond); floor.Before(shown) {
				floor = shown
			}
		}
		if next := w.spec.Next(floor); !next.IsZero() {
			if due := next.Add(-time.Duration(offset) * time.Second); end.IsZero() || due.Before(end) {
				return due
			}
		} else if end.IsZero() {
			return time.Time{}
		}
		if end.IsZero() {
			return time.Time{}
		}
		if _, then := end.In(w.zone).Zone(); !w.passing && then > offset { // put forward: what is left out is due now
			if left := w.spec.Next(wall(end, offset).Add(-time.Nanosecond)); !left.IsZero() && left.Before(wall(end, then)) {
				return end
			}
		}
		from = end.In(w.zone)
	}
	return time.Time{}
}

// Upcoming are the next n due times after a moment.
func (w When) Upcoming(after time.Time, n int) []time.Time {
	out := []time.Time{}
	for len(out) < n {
		if after = w.Next(after); after.IsZero() {
			break
		}
		out = append(out, after)
	}
	return out
}
