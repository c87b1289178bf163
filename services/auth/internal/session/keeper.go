package session

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// ErrUnknown is the answer for a session that is not there, has ended, or is
// somebody else's alike.
var ErrUnknown = errs.New(errs.NotFound, "session not found")

// Live is a session as its owner sees it.
type Live struct {
	ID        uuid.UUID
	CreatedAt time.Time
	UsedAt    time.Time // opened, or last refreshed
	ExpiresAt time.Time
	From      Place // opened, or last refreshed
}

// Keeper shows a person the own sessions, and ends them.
type Keeper struct {
	Sessions own
	Now      func() time.Time
}

type own interface {
	// Live returns the live sessions of the user, latest used first.
	Live(ctx context.Context, userID int64, now time.Time) ([]Live, error)
	// Revoke ends one and says so; ended is false when there was none.
	Revoke(ctx context.Context, id uuid.UUID, userID int64, now time.Time, reason string) (ended bool, err error)
	// RevokeAll ends all, with the logins that are under way, and says so of each.
	RevokeAll(ctx context.Context, userID int64, now time.Time, reason string) (ended int, err error)
}

// List returns the live sessions of the user, latest used first.
func (k Keeper) List(ctx context.Context, userID int64) ([]Live, error) {
	live, err := k.Sessions.Live(ctx, userID, k.Now())
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return live, nil
}

// End ends one session of the user, or returns [ErrUnknown].
func (k Keeper) End(ctx context.Context, userID int64, id string) error {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return ErrUnknown
	}
	ended, err := k.Sessions.Revoke(ctx, parsed, userID, k.Now(), LogoutReason)
	switch {
	case err != nil:
		return fmt.Errorf("end session: %w", err)
	case !ended:
		return ErrUnknown
	}
	return nil
}

// EndAll ends every session of the user, and every login that is under way.
func (k Keeper) EndAll(ctx context.Context, userID int64) error {
	if _, err := k.Sessions.RevokeAll(ctx, userID, k.Now(), LogoutReason); err != nil {
		return fmt.Errorf("end all sessions: %w", err)
	}
	return nil
}
