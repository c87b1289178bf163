package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
	"github.com/commandcenter/commandcenter/services/federation/internal/share"
)

// Answerer answers other instances. All fields are needed.
type Answerer struct {
	Catalog interface {
		Get(ctx context.Context, slug string) (instance.Entry, error)
	}
	Shares interface {
		With(ctx context.Context, instance string) ([]share.Share, error)
	}
	Local func(ctx context.Context, p tenant.Project, q Query) ([]Hit, error)
	Now   func() time.Time

	mu   sync.Mutex
	seen map[string]map[string]time.Time // ids of questions, by who asked
}

// Bounds of a question.
const (
	maxText   = 4096
	maxLimit  = 50
	maxBudget = 10 * time.Second
	maxAge    = 5 * time.Minute // clocks differ
	maxSeen   = 2000            // questions of one instance within twice maxAge
)

// Admit returns the instance that asks, when key is the one that it is known by
// and the question with the id is new; else ErrRefused with the cause.
func (a *Answerer) Admit(ctx context.Context, from, key, id string, at time.Time) (instance.Instance, error) {
	refuse := func(why string) (instance.Instance, error) {
		return instance.Instance{}, fmt.Errorf("%w (%s)", ErrRefused, why)
	}
	e, err := a.Catalog.Get(ctx, from)
	switch {
	case errors.Is(err, instance.ErrNotFound):
		return refuse("unknown")
	case err != nil:
		return instance.Instance{}, err
	case e.Self || !e.Admitted:
		return refuse("not admitted")
	case e.Key == "" || e.Key != key:
		return refuse("another key")
	}
	now := a.Now()
	if age := now.Sub(at); age > maxAge || age < -maxAge {
		return refuse("its clock is off")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// Each has a bound of its own: one that asks without end silences itself
	// alone. Those who get here are admitted, so that they are not without bound.
	if a.seen == nil {
		a.seen = map[string]map[string]time.Time{}
	}
	seen := a.seen[from]
	if seen == nil {
		seen = map[string]time.Time{}
		a.seen[from] = seen
	}
	if len(seen) >= maxSeen/2 {
		maps.DeleteFunc(seen, func(_ string, at time.Time) bool { return now.Sub(at) > 2*maxAge })
	}
	if _, again := seen[id]; again {
		return refuse("asked already")
	}
	if len(seen) >= maxSeen {
		return instance.Instance{}, ErrBusy
	}
	seen[id] = now
	return e.Instance, nil
}

// Answer searches what is shared with the instance.
func (a *Answerer) Answer(ctx context.Context, from string, q Query) ([]Hit, error) {
	if q.Text == "" || len(q.Text) > maxText || len(q.Category) > 100 {
		return nil, ErrRefused
	}
	q.Limit = min(max(q.Limit, 1), maxLimit)
	budget := time.Duration(q.Budget) * time.Millisecond
	if budget <= 0 || budget > maxBudget {
		budget = maxBudget
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	shared, err := a.Shares.With(ctx, from)
	if err != nil {
		return nil, err
	}
	if len(shared) == 0 {
		return nil, ErrShares
	}
	var out []Hit
	for _, s := range shared {
		hits, err := a.Local(ctx, s.Project, q)
		if err != nil {
			return nil, err
		}
		for _, h := range hits {
			h.Project = s.Name
			out = append(out, h)
		}
	}
	slices.SortStableFunc(out, func(x, y Hit) int { return cmp.Compare(y.Score, x.Score) })
	return out[:min(q.Limit, len(out))], nil
}
