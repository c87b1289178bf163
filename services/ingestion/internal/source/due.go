package source

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// The times between two runs.
const (
	least       = time.Minute
	most        = 24 * time.Hour
	feedEvery   = time.Hour
	folderEvery = 5 * time.Minute
)

// CheckSchedule says what is wrong with a schedule; "" is one.
func CheckSchedule(s string) error {
	_, err := parse(s)
	return err
}

func parse(s string) (cron.Schedule, error) {
	if s == "" {
		return nil, nil
	}
	if strings.Contains(s, "TZ=") || strings.HasPrefix(strings.ToLower(s), "@every") {
		return nil, errors.New("a schedule has five fields of cron, in UTC, or is one of @hourly, @daily, @weekly, @monthly")
	}
	c, err := cron.ParseStandard(s)
	if err != nil {
		return nil, fmt.Errorf("a schedule has five fields of cron, such as 0 6 * * *, or is one of @hourly, @daily, @weekly, @monthly: %w", err)
	}
	if c.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, errors.New("the schedule never comes")
	}
	return c, nil
}

// every is how often a source without a schedule is asked.
func (s Source) every(r Report) time.Duration {
	d := feedEvery
	if s.Kind == Folder { // whose changes are heard
		d = folderEvery
	}
	if r.Every > d {
		d = r.Every
	}
	return min(max(d, least), most)
}

// Next is when a source is asked again after a run that ended at now. chance is
// from 0 to 1: sources that were added at one time do not stay together.
func (s Source) Next(now time.Time, r Report, chance float64) time.Time {
	if !s.Enabled || !s.Parked.IsZero() {
		return time.Time{}
	}
	every := s.every(r)
	next := now.Add(every + time.Duration((chance-0.5)*0.2*float64(every)))
	if c, err := parse(s.Schedule); err == nil && c != nil {
		// Within a minute, so that all that are due at six are not asked at once.
		next = c.Next(now.UTC()).Add(time.Duration(chance * float64(least)))
	}
	if s.Faults > 0 { // ever later, whatever the schedule
		wait := min(least<<min(s.Faults, 20), most)
		if at := now.Add(wait + time.Duration(chance*0.2*float64(wait))); at.After(next) {
			next = at
		}
	}
	if latest := now.Add(7 * most); r.After.After(latest) {
		r.After = latest
	}
	if r.After.After(next) {
		next = r.After
	}
	if r.Shift != nil {
		next = r.Shift(next)
	}
	return next
}

// First is when a source that was added or changed is asked.
func (s Source) First(now time.Time) time.Time {
	if !s.Enabled {
		return time.Time{}
	}
	return now
}
