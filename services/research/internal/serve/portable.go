package serve

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// Restoring keeps rows of an archive under the ids that they had.
type Restoring interface {
	Restore(ctx context.Context, p tenant.Project, x technology.Technology) error
	RestoreMove(ctx context.Context, p tenant.Project, m technology.Move) error
}

// Import is how the service takes in what was exported.
func Import(in Restoring, now func() time.Time) portable.Importer {
	return portable.Importer{Rows: map[string]func(ctx context.Context, to portable.Destination, row []byte) (bool, error){
		"technologies": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
			x := technology.Technology{Draft: technology.New()}
			if err := json.Unmarshal(row, &x); err != nil {
				return false, errs.Wrap(errs.Invalid, err, "a technology cannot be read")
			}
			if x.ID < 1 || x.ID > math.MaxInt32 || x.Version < 1 || x.Version > math.MaxInt32/2 {
				return false, errs.New(errs.Invalid, "a technology has an id or a version that is none")
			}
			x.CreatedBy, x.CreatedAt, x.UpdatedAt = to.Principal, past(x.CreatedAt, now()), past(x.UpdatedAt, now())
			if err := x.Normalise(); err != nil {
				return false, err
			}
			return true, in.Restore(ctx, to.Project, x)
		},
		"moves": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
			var m technology.Move
			if err := json.Unmarshal(row, &m); err != nil {
				return false, errs.Wrap(errs.Invalid, err, "a move cannot be read")
			}
			if err := m.Check(); err != nil {
				return false, err
			}
			m.By, m.At = to.Principal, past(m.At, now())
			return true, in.RestoreMove(ctx, to.Project, m)
		},
	}}
}

// past is a time that can have been.
func past(t, now time.Time) time.Time {
	if t.After(now) || t.Year() < 1970 {
		return now
	}
	return t
}
