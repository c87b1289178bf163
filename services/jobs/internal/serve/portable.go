package serve

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
)

// Restoring keeps rows of an archive under the ids that they had.
type Restoring interface {
	Restore(ctx context.Context, p tenant.Project, s schedule.Schedule) error
}

// Import is how the service takes in what was exported. A schedule comes in switched off: whoever
// imports has not said that it may run here too.
func Import(in Restoring, now func() time.Time) portable.Importer {
	return portable.Importer{Rows: map[string]func(ctx context.Context, to portable.Destination, row []byte) (bool, error){
		"schedules": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
			s, err := readSchedule(row)
			if err != nil {
				return false, err
			}
			s.Enabled, s.NextRun, s.By = false, nil, to.Principal
			for _, t := range []*time.Time{&s.CreatedAt, &s.UpdatedAt, s.LastRun, s.LastSuccess, s.LastFailure} {
				if t != nil && (t.After(now()) || t.Year() < 1970) {
					*t = now()
				}
			}
			return true, in.Restore(ctx, to.Project, s)
		},
	}}
}

func readSchedule(row []byte) (schedule.Schedule, error) {
	s := schedule.Schedule{Draft: schedule.New()}
	if err := json.Unmarshal(row, &s); err != nil {
		return s, errs.Wrap(errs.Invalid, err, "a schedule cannot be read")
	}
	if s.ID < 1 || s.ID > math.MaxInt32 || min(s.Runs, s.Successes, s.Failures, s.Missed) < 0 || max(s.Runs, s.Successes, s.Failures, s.Missed) > math.MaxInt32/2 ||
		s.LastError != nil && len(*s.LastError) > 4000 {
		return s, errs.New(errs.Invalid, "a schedule has an id, a count or an error that is none")
	}
	return s, s.Normalise()
}

// CheckSchedule refuses a schedule that could not have been kept.
func CheckSchedule(row []byte) error {
	_, err := readSchedule(row)
	return err
}
