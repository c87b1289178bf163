package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/session"
)

// Open keeps a new session and its first token.
func (s Sessions) Open(ctx context.Context, n session.Session, version int64, first session.Next) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := unchanged(ctx, tx, n.UserID, version); err != nil {
			return err
		}
		const q = `
			WITH opened AS (
				INSERT INTO sessions (id, user_id, created_at, used_at, expires_at, address, client)
				VALUES ($1, $2, $3, $3, $4, $7, $8)
				RETURNING id
			)
			INSERT INTO refresh_tokens (token_hash, session_id, created_at, expires_at)
			SELECT $5, id, $3, $6 FROM opened`
		_, err := tx.ExecContext(ctx, q, n.ID, n.UserID, n.CreatedAt, n.ExpiresAt, first.Hash, first.ExpiresAt, n.From.Address, n.From.Client)
		return err
	})
}

// unchanged keeps the account at the version that who was let in found, for the
// rest of the transaction: what ends all sessions comes before, and is seen here,
// or after, and ends the one that is opened.
func unchanged(ctx context.Context, tx *sqlx.Tx, userID, version int64) error {
	const q = `SELECT 1 FROM users WHERE id = $1 AND version = $2 AND is_active FOR NO KEY UPDATE`
	var one int
	if err := tx.GetContext(ctx, &one, q, userID, version); pg.NoRows(err) {
		return session.ErrChanged
	} else if err != nil {
		return fmt.Errorf("lock user: %w", err)
	}
	return nil
}

type storedRow struct {
	SessionID    uuid.UUID  `db:"session_id"`
	UserID       int64      `db:"user_id"`
	CreatedAt    time.Time  `db:"created_at"`
	ExpiresAt    time.Time  `db:"expires_at"`
	RevokedAt    *time.Time `db:"revoked_at"`
	Email        string     `db:"email"`
	Active       bool       `db:"is_active"`
	TokenExpires time.Time  `db:"token_expires_at"`
	TradedAt     *time.Time `db:"traded_at"`
}

func (r storedRow) noun() session.Stored {
	return session.Stored{
		Session: session.Session{ID: r.SessionID, UserID: r.UserID, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt},
		Email:   r.Email, Active: r.Active, TokenExpires: r.TokenExpires, TradedAt: r.TradedAt, RevokedAt: r.RevokedAt,
	}
}

// Trade finds the token, locks it and its session, asks judge, and does what
// the verdict says. Two that come with the same token wait for each other here.
func (s Sessions) Trade(ctx context.Context, hash []byte, now time.Time, judge func(session.Stored) (session.Verdict, session.Next)) (
	found session.Stored, v session.Verdict, ok bool, err error,
) {
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT s.id AS session_id, s.user_id, s.created_at, s.expires_at, s.revoked_at,
			       u.email, u.is_active, t.expires_at AS token_expires_at, t.traded_at
			FROM   refresh_tokens t
			JOIN   sessions s ON s.id = t.session_id
			JOIN   users u    ON u.id = s.user_id
			WHERE  t.token_hash = $1
			FOR    UPDATE OF s, t`
		var row storedRow
		err := tx.GetContext(ctx, &row, q, hash)
		if pg.NoRows(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock refresh token: %w", err)
		}
		found, ok = row.noun(), true
		var next session.Next
		v, next = judge(found)
		switch v {
		case session.Trade:
			return trade(ctx, tx, row.SessionID, hash, next, now)
		case session.Revoke:
			_, err := revoke(ctx, tx, row.SessionID, row.UserID, now, session.StolenReason)
			return err
		}
		return nil
	})
	return found, v, ok, err
}

func trade(ctx context.Context, tx *sqlx.Tx, id uuid.UUID, old []byte, next session.Next, now time.Time) error {
	const q = `
		WITH used AS (
			UPDATE sessions SET used_at = $4, expires_at = $5, address = $6, client = $7 WHERE id = $1
		), traded AS (
			UPDATE refresh_tokens SET traded_at = $4, replaced_by = $3 WHERE token_hash = $2
		)
		INSERT INTO refresh_tokens (token_hash, session_id, created_at, expires_at) VALUES ($3, $1, $4, $5)`
	if _, err := tx.ExecContext(ctx, q, id, old, next.Hash, now, next.ExpiresAt, next.From.Address, next.From.Client); err != nil {
		return fmt.Errorf("keep next token: %w", err)
	}
	return nil
}

// Revoke ends a live session of the user and says so. It does nothing, and
// reports false, when there is none.
func (s Sessions) Revoke(ctx context.Context, id uuid.UUID, userID int64, now time.Time, reason string) (ended bool, err error) {
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		ended, err = revoke(ctx, tx, id, userID, now, reason)
		return err
	})
	return ended, err
}

func revoke(ctx context.Context, tx *sqlx.Tx, id uuid.UUID, userID int64, now time.Time, reason string) (bool, error) {
	const q = `
		UPDATE sessions SET revoked_at = $3, revoke_reason = $4
		WHERE  id = $1 AND user_id = $2 AND revoked_at IS NULL`
	res, err := tx.ExecContext(ctx, q, id, userID, now, reason)
	if err != nil {
		return false, fmt.Errorf("revoke session: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	return true, outbox.Add(ctx, tx, &authv1.SessionRevoked{
		SessionId: id.String(), UserId: id32(userID), Version: 1, Reason: reason,
	}, outbox.Heard())
}

// Live returns the live sessions of the user, latest used first.
func (s Sessions) Live(ctx context.Context, userID int64, now time.Time) (live []session.Live, err error) {
	const q = `
		SELECT id, created_at, used_at, expires_at, address, client FROM sessions
		WHERE  user_id = $1 AND revoked_at IS NULL AND expires_at > $2
		ORDER  BY used_at DESC, id LIMIT 1000`
	var rows []struct {
		ID        uuid.UUID `db:"id"`
		CreatedAt time.Time `db:"created_at"`
		UsedAt    time.Time `db:"used_at"`
		ExpiresAt time.Time `db:"expires_at"`
		Address   string    `db:"address"`
		Client    string    `db:"client"`
	}
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, userID, now)
	})
	for _, r := range rows {
		live = append(live, session.Live{
			ID: r.ID, CreatedAt: r.CreatedAt.UTC(), UsedAt: r.UsedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(), From: session.Place{Address: r.Address, Client: r.Client},
		})
	}
	return live, err
}

// RevokeAll ends every live session of the user, says so of each, and returns
// how many there were. The account gets another version, for who is logging in.
func (s Sessions) RevokeAll(ctx context.Context, userID int64, now time.Time, reason string) (ended int, err error) {
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const next = `UPDATE users SET version = version + 1 WHERE id = $1`
		if _, err := tx.ExecContext(ctx, next, userID); err != nil {
			return fmt.Errorf("count the version: %w", err)
		}
		ended, err = revokeAll(ctx, tx, userID, uuid.Nil, now, reason)
		return err
	})
	return ended, err
}

// revokeAll spares the session keep, and ends those too that have run out: a command
// that was given in time may wait yet. Of these nothing is said and none is counted.
// Its caller has given the account another version before, and so holds its lock.
func revokeAll(ctx context.Context, tx *sqlx.Tx, userID int64, keep uuid.UUID, now time.Time, reason string) (int, error) {
	const q = `
		UPDATE sessions SET revoked_at = $2, revoke_reason = $3
		WHERE  user_id = $1 AND id <> $4 AND revoked_at IS NULL
		RETURNING id, expires_at > $2 AS live`
	var all []struct {
		ID   uuid.UUID `db:"id"`
		Live bool      `db:"live"`
	}
	if err := tx.SelectContext(ctx, &all, q, userID, now, reason, keep); err != nil {
		return 0, fmt.Errorf("revoke all sessions: %w", err)
	}
	ended := 0
	for _, s := range all {
		if !s.Live {
			continue
		}
		ended++
		e := &authv1.SessionRevoked{SessionId: s.ID.String(), UserId: id32(userID), Version: 1, Reason: reason}
		if err := outbox.Add(ctx, tx, e, outbox.Heard()); err != nil {
			return 0, err
		}
	}
	return ended, nil
}

// rememberSessions is how long a session that has run out is known: commands that were
// given while it lived ask for it, and wait for up to as long, as dead letters.
const rememberSessions = 30 * 24 * time.Hour

// Sweep removes what has run out: tokens and cookies of sessions and later these
// themselves, password resets, and records of failed logins that no longer count. It
// works in bounded steps and returns how many rows it removed.
func (s *Store) Sweep(ctx context.Context, now, attemptsBefore time.Time) (removed int64, err error) {
	steps := []struct {
		q     string
		until time.Time
	}{
		{`
			DELETE FROM refresh_tokens WHERE token_hash IN
			(SELECT t.token_hash FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE s.expires_at <= $1 LIMIT $2)`, now},
		{`
			DELETE FROM browser_sessions WHERE cookie_hash IN
			(SELECT b.cookie_hash FROM browser_sessions b JOIN sessions s ON s.id = b.session_id WHERE s.expires_at <= $1 LIMIT $2)`, now},
		{`DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= $1 LIMIT $2)`, now.Add(-rememberSessions)},
		{`DELETE FROM password_resets WHERE user_id IN (SELECT user_id FROM password_resets WHERE expires_at <= $1 LIMIT $2)`, now},
		{`
			DELETE FROM login_attempts WHERE address_hash IN
			(SELECT address_hash FROM login_attempts WHERE updated_at <= $1 AND coalesce(locked_until, updated_at) <= $1 LIMIT $2)`, attemptsBefore},
	}
	const batch = 1000
	for _, step := range steps {
		for n := int64(batch); n == batch; removed += n {
			err := s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
				res, err := tx.ExecContext(ctx, step.q, step.until, batch)
				if err != nil {
					return err
				}
				n, err = res.RowsAffected()
				return err
			})
			if err != nil {
				return removed, fmt.Errorf("sweep: %w", err)
			}
		}
	}
	return removed, nil
}
