package postgres

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/reset"
	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// Issue keeps a reset in the place of the account's earlier one. The locks are
// those of [Users.Switch], in its order: nobody issues one while losing the right
// to.
func (s Resets) Issue(ctx context.Context, d reset.Draft) (user.User, error) {
	var row userRow
	err := s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		super, err := lockSuperusers(ctx, tx)
		if err != nil {
			return err
		}
		if issuer := d.By.UserID; issuer != 0 && !slices.Contains(super, issuer) {
			return user.ErrRank
		}
		if row, err = lockUser(ctx, tx, d.UserID); err != nil {
			return err
		}
		if err := s.callerNow(ctx, tx, d.By); err != nil {
			return err
		}
		if !row.Active {
			return reset.ErrInactive
		}
		var identity bool
		const linked = `SELECT EXISTS (SELECT FROM user_identities WHERE user_id = $1)`
		if err := tx.GetContext(ctx, &identity, linked, d.UserID); err != nil {
			return fmt.Errorf("look for an identity: %w", err)
		}
		if identity && !d.AddPassword {
			return reset.ErrProvider
		}
		const put = `
			INSERT INTO password_resets (user_id, secret_hash, issued_by, created_at, expires_at) VALUES ($1, $2, nullif($3, 0), $4, $5)
			ON CONFLICT (user_id) DO UPDATE
			SET    secret_hash = excluded.secret_hash, issued_by = excluded.issued_by, created_at = excluded.created_at, expires_at = excluded.expires_at`
		if _, err := tx.ExecContext(ctx, put, d.UserID, d.Key, d.By.UserID, d.CreatedAt, d.ExpiresAt); err != nil {
			return fmt.Errorf("keep password reset: %w", err)
		}
		if d.By.UserID == 0 {
			return outbox.Add(ctx, tx, issuedHere(d))
		}
		return nil
	})
	if err != nil {
		return user.User{}, err
	}
	return row.noun(), nil
}

// issuedHere is the record of a reset that no call has asked for.
func issuedHere(d reset.Draft) *platformv1.CallRecorded {
	return &platformv1.CallRecorded{
		CallId: uuid.NewString(), Version: 1, Service: service, Operation: "issuePasswordReset", Principal: bus.Clean(d.Operator),
		Status: http.StatusCreated, AcceptedAt: timestamppb.New(d.CreatedAt), Count: 1,
		Target: []*platformv1.CallTarget{{Name: "user_id", Value: strconv.FormatInt(d.UserID, 10)}},
	}
}

// Find reads the account of a secret and the record of the client's address in one
// statement, which does the same work whether or not there is a reset.
func (s Resets) Find(ctx context.Context, key []byte, client string, now time.Time) (reset.Found, error) {
	var row struct {
		ID      int64      `db:"id"`
		Email   string     `db:"email"`
		Expires *time.Time `db:"expires_at"`
		attemptsRow
	}
	err := s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT coalesce(u.id, 0) AS id, coalesce(u.email, '') AS email, r.expires_at,
			       coalesce(h.failures, 0) AS failures, h.window_from, h.locked_until, coalesce(h.locks, 0) AS locks
			FROM   (SELECT $1::bytea AS secret, $2::bytea AS here) asked
			LEFT   JOIN (password_resets r JOIN users u ON u.id = r.user_id AND u.is_active LEFT JOIN users i ON i.id = r.issued_by)
			       ON r.secret_hash = asked.secret AND r.expires_at > $3 AND (r.issued_by IS NULL OR i.is_active AND i.is_superuser)
			LEFT   JOIN login_attempts h ON h.address_hash = asked.here`
		return tx.GetContext(ctx, &row, q, key, resetsFrom(client), now)
	})
	found := reset.Found{User: user.User{ID: row.ID, Email: row.Email}, Attempts: row.noun()}
	if row.Expires != nil {
		found.Expires = row.Expires.UTC()
	}
	return found, err
}

// resetsFrom is the key of the record of resets that were none, from one network
// address: no e-mail address is empty.
func resetsFrom(client string) []byte { return attemptsFrom("", client) }

// Failed applies next to the record of the client's address, under its lock.
func (s Resets) Failed(ctx context.Context, client string, now time.Time, next func(user.Attempts) user.Attempts) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		a, err := lockAttempts(ctx, tx, resetsFrom(client), now)
		if err != nil {
			return err
		}
		return saveAttempts(ctx, tx, resetsFrom(client), next(a), now)
	})
}

// Use gives the account its password and ends the reset and all sessions. The
// reset is locked by whoever ends it: of two that come with it one finds none.
func (s Resets) Use(ctx context.Context, key []byte, u user.User, client, hash string, now time.Time) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const replace = `
			UPDATE users SET password_hash = $2, version = version + 1, updated_at = $3
			WHERE  id = $1 AND is_active RETURNING version`
		var version int64
		if err := tx.GetContext(ctx, &version, replace, u.ID, hash, now); pg.NoRows(err) {
			return reset.ErrInvalid
		} else if err != nil {
			return fmt.Errorf("replace password hash: %w", err)
		}
		const use = `DELETE FROM password_resets WHERE user_id = $1 AND secret_hash = $2 AND expires_at > $3 RETURNING user_id`
		if err := tx.GetContext(ctx, &version, use, u.ID, key, now); pg.NoRows(err) {
			return reset.ErrInvalid
		} else if err != nil {
			return fmt.Errorf("use password reset: %w", err)
		}
		if err := forgetAttempts(ctx, tx, u.Email, client); err != nil {
			return err
		}
		_, err := revokeAll(ctx, tx, u.ID, uuid.Nil, now, session.PasswordReason)
		return err
	})
}

// endResets ends the reset of an account, and those that it has issued when it may
// issue none any more. Its caller holds the account's lock.
func endResets(ctx context.Context, tx *sqlx.Tx, userID int64, issued bool) error {
	const q = `DELETE FROM password_resets WHERE user_id = $1 OR $2 AND issued_by = $1`
	if _, err := tx.ExecContext(ctx, q, userID, issued); err != nil {
		return fmt.Errorf("end password resets: %w", err)
	}
	return nil
}
