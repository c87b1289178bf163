package grants

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// Warden ends the grants of projects that are gone: as soon as it hears that one
// is being deleted, and for what it did not hear by asking auth at the start and
// now and then. It also tells servers of revocations that could not be told
// before. It is a part of an application.
type Warden struct {
	Book Book
	// Connect opens the connection of the provisioning user; it is closed at Stop.
	Connect func(ctx context.Context) (*bus.Bus, error)
	Log     *slog.Logger

	b     *bus.Bus
	heard *bus.Follower
	kick  chan struct{}
	stop  context.CancelFunc
	ended chan struct{}
	mu    sync.Mutex
	gone  map[int64]bool // projects of which was heard
}

// How often auth is asked, and how long after a failure; and how often servers
// are told of revocations that one of them may have forgotten since.
const (
	sweepEvery = 10 * time.Minute
	remind     = time.Minute
	sweepAgain = 5 * time.Second
	sweepTime  = 30 * time.Second
)

// Name is "grants".
func (w *Warden) Name() string { return "grants" }

// Start begins to hear of deletions, as soon as the streams are there: another
// process may be about to make them.
func (w *Warden) Start(ctx context.Context) error {
	w.kick, w.ended, w.gone = make(chan struct{}, 1), make(chan struct{}), map[int64]bool{}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.stop = stop
	go w.run(run)
	return nil
}

// Stop ends the hearing.
func (w *Warden) Stop(ctx context.Context) error {
	if w.stop == nil {
		return nil
	}
	w.stop()
	select {
	case <-w.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if w.b == nil {
		return nil
	}
	defer w.b.Close()
	return w.heard.Stop(ctx)
}

// hear connects and listens. What it has after an error is nothing.
func (w *Warden) hear(ctx context.Context) error {
	b, err := w.Connect(ctx)
	if err != nil {
		return err
	}
	heard := bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.ProjectDeleting) {
		w.mu.Lock()
		w.gone[int64(e.GetProjectId())] = true
		w.mu.Unlock()
		select {
		case w.kick <- struct{}{}:
		default:
		}
	})
	if err := heard.Start(ctx); err != nil {
		b.Close()
		return err
	}
	w.b, w.heard = b, heard
	return nil
}

func (w *Warden) run(ctx context.Context) {
	defer close(w.ended)
	for {
		within, cancel := context.WithTimeout(ctx, sweepTime)
		err := w.turn(within)
		cancel()
		next := sweepEvery
		if err != nil {
			next = sweepAgain
			if ctx.Err() == nil && !away(err) { // auth may be starting, or be a process of its own
				w.Log.WarnContext(ctx, "grants.sweep", "err", err)
			}
		}
		if !w.pause(ctx, next) {
			return
		}
	}
}

// pause waits until it is time for another turn, and tells servers of revocations
// meanwhile. It is false when ctx has ended.
func (w *Warden) pause(ctx context.Context, next time.Duration) bool {
	t, again := time.NewTimer(next), time.NewTicker(remind)
	defer t.Stop()
	defer again.Stop()
	for {
		select {
		case <-t.C:
			return true
		case <-w.kick:
			return true
		case <-ctx.Done():
			return false
		case <-again.C:
			within, cancel := context.WithTimeout(ctx, sweepTime)
			if err := w.Book.Remind(within); err != nil && ctx.Err() == nil && !away(err) {
				w.Log.WarnContext(ctx, "grants.remind", "err", err)
			}
			cancel()
		}
	}
}

// turn listens, if it does not yet, and looks at every grant.
func (w *Warden) turn(ctx context.Context) error {
	if w.b == nil {
		if err := w.hear(ctx); err != nil {
			return err
		}
	}
	return w.sweep(ctx)
}

// sweep revokes what it can, also when auth cannot be asked about the rest.
func (w *Warden) sweep(ctx context.Context) error {
	all, err := w.Book.List()
	if err != nil {
		return err
	}
	var faults []error
	there := map[int64]bool{} // projects that were asked about
	for _, r := range all {
		if r.RevokedAt != nil && r.Pending == nil {
			continue
		}
		w.mu.Lock()
		gone := w.gone[r.Project] || r.RevokedAt != nil
		w.mu.Unlock()
		if !gone && !there[r.Project] {
			found, err := Projects(ctx, w.b, tenant.Project(r.Project))
			if err != nil {
				faults = append(faults, err)
				continue
			}
			there[r.Project], gone = len(found) > 0, len(found) == 0
		}
		if !gone {
			continue
		}
		if _, err := w.Book.Revoke(ctx, r.Name); err != nil {
			faults = append(faults, err)
			continue
		}
		w.Log.InfoContext(ctx, "grants.revoked", "grant", r.Name, "team", r.Team, "project", r.Project, "reason", "the project is gone")
	}
	// A team whose last facts were still to be handled when it was revoked.
	faults = append(faults, w.Book.asAdmin(func(nc *nats.Conn) error { return w.Book.Settle(ctx, nc) }), w.Book.Remind(ctx))
	return errors.Join(faults...)
}
