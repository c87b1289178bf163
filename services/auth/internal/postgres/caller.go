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
)

// callerNow refuses a call whose session or API key has been ended: the gateway may
// not have heard of it yet, and a command may have waited until after. What it would
// do lasts longer than what it came with. Who ends sessions or keys waits for the
// transaction, so it is asked after the locks of projects, accounts and members. An
// operator's call and nobody's have neither.
func callerNow(ctx context.Context, tx *sqlx.Tx) error {
	who := tenant.From(ctx)
	if who.Session != "" {
		const q = `SELECT 1 FROM sessions WHERE id = $1 AND revoked_at IS NULL FOR SHARE`
		if is, err := stands(ctx, tx, q, who.Session); err != nil {
			return fmt.Errorf("look at the session of the call: %w", err)
		} else if !is {
			return session.ErrEnded
		}
	}
	if who.Key != "" && who.Project != tenant.Instance { // of a call without project no key can be seen
		const q = `SELECT 1 FROM api_keys WHERE key_id = $1 AND revoked_at IS NULL FOR SHARE`
		if is, err := stands(ctx, tx, q, who.Key); err != nil {
			return fmt.Errorf("look at the key of the call: %w", err)
		} else if !is {
			return key.ErrEnded
		}
	}
	return nil
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
