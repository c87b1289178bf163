package research

import (
	"context"
	"log/slog"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// sweepEvery is how often the whole object store is looked through.
const sweepEvery = time.Hour

// sweeper removes objects to which no document of a task refers: those of documents that
// were deleted, and those whose command did not come. Every replica has one: a sweep is
// safe to run at the same time.
type sweeper struct {
	after    time.Duration // age from which they go
	bus      *bus.Bus
	referred func(ctx context.Context, p tenant.Project, names []string) ([]string, error)
	now      func() time.Time
	log      *slog.Logger

	app.Loop
}

// Name is "research.sweeper".
func (s *sweeper) Name() string { return Name + ".sweeper" }

// Start begins with a sweep at once, beside the start of the rest.
func (s *sweeper) Start(ctx context.Context) error {
	s.Go(ctx, s.run)
	return nil
}

func (s *sweeper) run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		n, err := s.sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.WarnContext(ctx, "research.sweep", "err", err)
		case n > 0:
			s.log.InfoContext(ctx, "research.sweep", "removed", n)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *sweeper) sweep(ctx context.Context) (removed int, err error) {
	return s.bus.SweepObjects(ctx, s.now().Add(-s.after), func(owner string) bool { return owner == Name }, s.referred)
}
