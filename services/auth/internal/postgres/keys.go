package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/token"
)

type keyRow struct {
	ID          string    `db:"kid"`
	Public      []byte    `db:"public_key"`
	Sealed      []byte    `db:"seed"`
	Legacy      []byte    `db:"sealed_seed"`
	SignFrom    time.Time `db:"sign_from"`
	SignUntil   time.Time `db:"sign_until"`
	VerifyUntil time.Time `db:"verify_until"`
}

// SigningKeys returns the keys that verify at now, newest first.
func (s *Store) SigningKeys(ctx context.Context, now time.Time) (keys []token.Row, err error) {
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		keys, err = signingKeys(ctx, tx, now)
		return err
	})
	return keys, err
}

// ChangeSigningKeys keeps what next returns, and drops the keys that no longer
// verify. Replicas that do it at the same time wait for each other.
func (s *Store) ChangeSigningKeys(ctx context.Context, now time.Time, next func([]token.Row) ([]token.Row, error)) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		// Readers pass; a second writer does not.
		if _, err := tx.ExecContext(ctx, `LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("lock signing keys: %w", err)
		}
		rows, err := signingKeys(ctx, tx, now)
		if err != nil {
			return err
		}
		changed, err := next(rows)
		if err != nil || len(changed) == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM signing_keys WHERE verify_until <= $1`, now); err != nil {
			return fmt.Errorf("drop old signing keys: %w", err)
		}
		for _, row := range changed {
			if err := keepSigningKey(ctx, tx, row); err != nil {
				return err
			}
		}
		return nil
	})
}

func keepSigningKey(ctx context.Context, tx *sqlx.Tx, row token.Row) error {
	const q = `
		INSERT INTO signing_keys (kid, public_key, seed, sealed_seed, sign_from, sign_until, verify_until)
		VALUES (:kid, :public_key, CAST(:seed AS bytea), :sealed_seed, :sign_from, :sign_until, :verify_until)
		ON CONFLICT (kid) DO UPDATE SET seed = EXCLUDED.seed, sealed_seed = EXCLUDED.sealed_seed`
	if _, err := tx.NamedExecContext(ctx, q, keyRow(row)); err != nil {
		return fmt.Errorf("keep signing key: %w", err)
	}
	return nil
}

// ReplaceSigningKeys keeps next as the one key that signs from now on, and says
// so. It calls committed after the commit, which may be that of a unit of work.
func (s *Store) ReplaceSigningKeys(ctx context.Context, by tenant.Identity, now, until time.Time, next token.Row, revoked bool, committed func()) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		pg.OnCommit(ctx, committed)
		if _, err := tx.ExecContext(ctx, `LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("lock signing keys: %w", err)
		}
		if err := s.callerNow(ctx, tx, by); err != nil {
			return err
		}
		// One that was to sign later has signed nothing.
		if _, err := tx.ExecContext(ctx, `DELETE FROM signing_keys WHERE sign_from >= $1 OR $2`, now, revoked); err != nil {
			return fmt.Errorf("drop signing keys: %w", err)
		}
		const end = `
			UPDATE signing_keys SET sign_until = least(sign_until, $1), verify_until = least(verify_until, $2)
			WHERE  sign_from < $1`
		if _, err := tx.ExecContext(ctx, end, now, until); err != nil {
			return fmt.Errorf("end signing keys: %w", err)
		}
		if err := keepSigningKey(ctx, tx, next); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, &authv1.SigningKeyRotated{SigningKeyId: next.ID, Version: 1, Revoked: revoked}, outbox.Heard())
	})
}

func signingKeys(ctx context.Context, tx *sqlx.Tx, now time.Time) ([]token.Row, error) {
	const q = `
		SELECT kid, public_key, seed, sealed_seed, sign_from, sign_until, verify_until
		FROM   signing_keys WHERE verify_until > $1 ORDER BY sign_from DESC, kid`
	var rows []keyRow
	if err := tx.SelectContext(ctx, &rows, q, now); err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	keys := make([]token.Row, len(rows))
	for i, r := range rows {
		keys[i] = token.Row(r)
	}
	return keys, nil
}
