package source

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Preview is what a run would take.
type Preview struct {
	Documents []Document
	Same      int // that are as they were
	Failed    []string
	Report    Report
	More      bool // there are more documents than are shown
}

var errEnough = errors.New("enough")

// Try fetches a source as a run does, and keeps nothing. It shows at most so many
// documents.
func (r *Runner) Try(ctx context.Context, p tenant.Project, d Draft, c Credentials, limit int) (out Preview, err error) {
	if err := r.normalise(&d); err != nil {
		return out, err
	}
	if err := c.Check(); err != nil {
		return out, err
	}
	return r.try(ctx, Source{Project: p, Draft: d}, c, nil, limit)
}

// TryKept is Try of a source that there is: it shows what is new.
func (r *Runner) TryKept(ctx context.Context, p tenant.Project, id int64, limit int) (out Preview, err error) {
	x, err := r.Get(ctx, p, id)
	if err != nil {
		return out, err
	}
	c, err := r.Opened(x)
	if err != nil {
		return out, err
	}
	marks, err := r.Marks(ctx, p, id)
	if err != nil {
		return out, err
	}
	x.State = nil
	return r.try(ctx, x, c, marks, limit)
}

func (r *Runner) try(ctx context.Context, x Source, c Credentials, marks map[string]string, limit int) (out Preview, err error) {
	out.Report, err = r.Kinds[x.Kind](ctx, Visit{
		Source: x, Credentials: c,
		Mark: func(key string) string { return marks[key] }, Known: func() []string { return slices.Sorted(maps.Keys(marks)) },
		Same: func(_ context.Context, keys ...string) error { out.Same += len(keys); return nil },
		Take: func(_ context.Context, d Document) error {
			if len(out.Documents) == limit {
				out.More = true
				return errEnough
			}
			out.Documents = append(out.Documents, d)
			return nil
		},
		Failed: func(key string, why error) {
			if len(out.Failed) < mostTold {
				out.Failed = append(out.Failed, clipTo(key, 200)+": "+said(why))
			}
		},
		Tell: func(int, int, string) {},
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}
