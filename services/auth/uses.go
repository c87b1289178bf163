package auth

import (
	"context"
	"log/slog"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/services/auth/internal/key"
	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
)

// noteUses is how often uses of keys are written down.
const noteUses = 10 * time.Second

// useNoter writes down, many at a time, when keys were last used.
type useNoter struct {
	every time.Duration
	uses  *key.Uses
	store postgres.Keys
	log   *slog.Logger

	app.Loop
}

// Name is "auth.key_uses".
func (n *useNoter) Name() string { return Name + ".key_uses" }

// Start returns at once.
func (n *useNoter) Start(ctx context.Context) error {
	n.Go(ctx, n.run)
	return nil
}

// Stop writes down what is left.
func (n *useNoter) Stop(ctx context.Context) error {
	if err := n.Loop.Stop(ctx); err != nil {
		return err
	}
	return n.note(ctx)
}

func (n *useNoter) run(ctx context.Context) {
	tick := time.NewTicker(n.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := n.note(ctx); err != nil && ctx.Err() == nil {
			n.log.ErrorContext(ctx, "auth.key_uses", "err", err)
		}
	}
}

func (n *useNoter) note(ctx context.Context) error {
	last := n.uses.Take()
	if len(last) == 0 {
		return nil
	}
	return n.store.Used(ctx, last)
}
