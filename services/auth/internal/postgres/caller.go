package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/key"
	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// Whoever writes takes locks in this order, so that nobody waits in a circle: the
// project, under whose lock nobody joins, leaves or gets another role; the account of
// the caller, its session and its API key; then what is changed: memberships, service
// accounts, keys.

// callerNow refuses a call whose account is switched off, or whose session or API key
// has been ended: the gateway may not have heard of it yet, and a command may have
// waited until after. What it would do lasts longer than what it came with. That a
// session has run out is no end: the command was given while it lived. A superuser's
// call is refused when its caller is none any more. An operator's call and nobody's
// have none of these.
func (s *Store) callerNow(ctx context.Context, tx *sqlx.Tx, by tenant.Identity) error {
	if by.UserID != 0 {
		const q = `SELECT is_active, is_superuser FROM users WHERE id = $1 FOR KEY SHARE`
		var now struct {
			Active    bool `db:"is_active"`
			Superuser bool `db:"is_superuser"`
		}
		err := tx.GetContext(ctx, &now, q, by.UserID)
		switch {
		case pg.NoRows(err):
			return user.ErrGone
		case err != nil:
			return fmt.Errorf("look at the account of the call: %w", err)
		case !now.Active:
			return user.ErrInactive
		case by.Superuser && !now.Superuser:
			return user.ErrRank
		}
	}
	if by.Session != "" {
		const q = `SELECT 1 FROM sessions WHERE id = $1 AND revoked_at IS NULL FOR SHARE`
		if is, err := stands(ctx, tx, q, by.Session); err != nil {
			return fmt.Errorf("look at the session of the call: %w", err)
		} else if !is {
			return session.ErrEnded
		}
	}
	if by.Key == "" {
		return nil
	}
	// A call without project may come with a key as well, which is of one.
	return s.db.AcrossProjects(ctx, "look at the key of a call", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT 1 FROM api_keys WHERE key_id = $1 AND revoked_at IS NULL FOR SHARE`
		if is, err := stands(ctx, tx, q, by.Key); err != nil {
			return fmt.Errorf("look at the key of the call: %w", err)
		} else if !is {
			return key.ErrEnded
		}
		return nil
	})
}

// roleNow is [Store.callerNow] for a write of the project, which is locked: it returns
// the caller with the role that it has there now. That stays so for the rest of the
// transaction.
func (s *Store) roleNow(ctx context.Context, tx *sqlx.Tx, p tenant.Project, by tenant.Identity) (now tenant.Identity, err error) {
	now = by
	now.Project = p
	if by.ServiceAccount == 0 {
		if now.Role, err = roleOf(ctx, tx, p, by.UserID); err != nil {
			return now, err
		}
		return now, s.callerNow(ctx, tx, by)
	}
	const q = `SELECT role FROM service_accounts WHERE project_id = $1 AND account_id = $2 FOR SHARE`
	if err := tx.GetContext(ctx, &now.Role, q, int64(p), by.ServiceAccount); pg.NoRows(err) {
		now.Role = tenant.NoRole
	} else if err != nil {
		return now, fmt.Errorf("read service account: %w", err)
	}
	return now, s.callerNow(ctx, tx, by)
}

// stands reports whether there is a row of that id, which stays so for the rest of
// the transaction.
func stands(ctx context.Context, tx *sqlx.Tx, q, id string) (bool, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return false, nil //nolint:nilerr // what is no id is of nothing
	}
	var one int
	if err := tx.GetContext(ctx, &one, q, parsed); pg.NoRows(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}
