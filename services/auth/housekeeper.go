package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/token"
	"github.com/commandcenter/commandcenter/services/auth/internal/trail"
	"github.com/commandcenter/commandcenter/services/auth/internal/transfer"
)

// rememberKeys is how long the row of an API key that has ended is kept.
const rememberKeys = 90 * 24 * time.Hour

// keepInvitations is how long one that has run out is still known as such.
const keepInvitations = 30 * 24 * time.Hour

// housekeeper looks after the signing keys, removes what has run out, and asks
// again for purges that nobody confirmed. Every replica has one: each step is
// safe to run at the same time, and announces how the audit logs end.
type housekeeper struct {
	every, remind, forget time.Duration

	keys     *token.Keys
	store    *postgres.Store
	deletion project.Deletion
	audits   trail.Service
	imports  postgres.Imports
	// unanswered gives the last answer to an import whose job has died.
	unanswered func(ctx context.Context, t transfer.Task) error
	now        func() time.Time
	log        *slog.Logger

	app.Loop
}

// Name is "auth.housekeeper".
func (h *housekeeper) Name() string { return Name + ".housekeeper" }

// Start makes sure that there is a key to sign with, and returns.
func (h *housekeeper) Start(ctx context.Context) error {
	if err := h.keys.Refresh(ctx, h.now()); err != nil {
		return err
	}
	h.Go(ctx, h.run)
	return nil
}

func (h *housekeeper) run(ctx context.Context) {
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := h.round(ctx); err != nil && ctx.Err() == nil {
			h.log.ErrorContext(ctx, "auth.housekeeping", "err", err)
		}
	}
}

// round does everything once; a step that fails does not keep the others from
// running.
func (h *housekeeper) round(ctx context.Context) error {
	now := h.now()
	began := time.Now()
	rotate := h.keys.Refresh(ctx, now)
	removed, sweep := h.store.Sweep(ctx, now, now.Add(-h.forget))
	ended, keys := postgres.Keys{Store: h.store}.SweepKeys(ctx, now.Add(-rememberKeys))
	uninvited, invitations := postgres.Invitations{Store: h.store}.Sweep(ctx, now.Add(-keepInvitations))
	anchored, anchor := h.audits.Anchor(ctx)
	reminded, remind := h.deletion.Remind(ctx, h.remind)
	if err := errors.Join(rotate, sweep, keys, invitations, anchor, remind, h.strandedImports(ctx, now)); err != nil {
		return fmt.Errorf("after %v: %w", time.Since(began).Round(time.Millisecond), err)
	}
	h.log.DebugContext(ctx, "auth.housekeeping", "removed", removed+ended+uninvited, "anchored", anchored, "reminded", reminded, "ms", time.Since(began).Milliseconds())
	return nil
}

// strandedImports gives up what imports have left whose job has ended without.
func (h *housekeeper) strandedImports(ctx context.Context, now time.Time) error {
	faults := []error{h.imports.Sweep(ctx, now)}
	dead, err := h.imports.Dead(ctx)
	faults = append(faults, err)
	for _, t := range dead {
		faults = append(faults, h.unanswered(ctx, t))
	}
	return errors.Join(faults...)
}
