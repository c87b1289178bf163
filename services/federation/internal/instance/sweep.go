package instance

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Sweeper looks at intervals for who is late. Every replica may run one: a row
// is decided under its lock, so that a change is said once. It is a part of an
// application.
type Sweeper struct {
	Catalog *Catalog
	Every   time.Duration
	Log     *slog.Logger
	// Told is given what became of each sweep; may be nil.
	Told func(s Swept, err error)

	stop context.CancelFunc
	done sync.WaitGroup
}

// Name is "sweeper".
func (s *Sweeper) Name() string { return "sweeper" }

// Start begins with a sweep: what was missed while nobody looked is said at
// once.
func (s *Sweeper) Start(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	s.done.Go(func() {
		t := time.NewTicker(s.Every)
		defer t.Stop()
		for {
			swept, err := s.Catalog.Sweep(ctx)
			if err != nil && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "federation.sweep", "changed", swept.Changed, "err", err)
			}
			if s.Told != nil && ctx.Err() == nil {
				s.Told(swept, err)
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
	return nil
}

// Stop ends it.
func (s *Sweeper) Stop(context.Context) error {
	s.stop()
	s.done.Wait()
	return nil
}
