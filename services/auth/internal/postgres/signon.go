package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/signon"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// ByIdentity returns the account of an identity.
func (s Users) ByIdentity(ctx context.Context, issuer, subject string) (user.User, error) {
	const q = `
		SELECT u.id, u.email, u.full_name, u.is_active, u.is_superuser, u.version, u.created_at, u.updated_at, u.last_login_at
		FROM   user_identities i JOIN users u ON u.id = i.user_id
		WHERE  i.issuer = $1 AND i.subject = $2`
	var row userRow
	err := s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &row, q, issuer, subject)
	})
	if pg.NoRows(err) {
		return user.User{}, user.ErrUnknown
	}
	return row.noun(), err
}

// Link gives the account of the address to the identity. Unless its password is
// proven, nobody has vouched for the address until now: what it opened ends.
func (s Users) Link(ctx context.Context, id signon.Identity, hash string, proven int64, now time.Time) (user.User, signon.Ended, error) {
	var row userRow
	var ended signon.Ended
	err := s.db.AcrossProjects(ctx, "link an account to an identity", func(ctx context.Context, tx *sqlx.Tx) error {
		owned, err := lockOwned(ctx, tx, id.Email)
		if err != nil {
			return err
		}
		const read = `
			SELECT id, email, full_name, is_active, is_superuser, version, created_at, updated_at, last_login_at
			FROM   users WHERE email = $1 FOR NO KEY UPDATE`
		if err := tx.GetContext(ctx, &row, read, id.Email); pg.NoRows(err) {
			return user.ErrUnknown
		} else if err != nil {
			return fmt.Errorf("lock user: %w", err)
		}
		if row.Superuser {
			return signon.ErrPowerful
		}
		// Whoever has the address now may be somebody else than whom it was linked for.
		var linked bool
		const taken = `SELECT EXISTS (SELECT FROM user_identities WHERE user_id = $1 AND issuer = $2 AND subject <> $3)`
		if err := tx.GetContext(ctx, &linked, taken, row.ID, id.Issuer, id.Subject); err != nil {
			return fmt.Errorf("look for an identity: %w", err)
		}
		if linked {
			return signon.ErrTaken
		}
		const link = `INSERT INTO user_identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
		if _, err := tx.ExecContext(ctx, link, id.Issuer, id.Subject, row.ID, now); err != nil {
			return fmt.Errorf("link identity: %w", err)
		}
		// Whoever issued it did not know that the account has another way in now.
		if err := endResets(ctx, tx, row.ID, false); err != nil {
			return err
		}
		if row.ID == proven {
			return nil
		}
		const replace = `
			UPDATE users SET password_hash = $2, version = version + 1, updated_at = $3 WHERE id = $1
			RETURNING id, email, full_name, is_active, is_superuser, version, created_at, updated_at, last_login_at`
		if err := tx.GetContext(ctx, &row, replace, row.ID, hash, now); err != nil {
			return fmt.Errorf("replace password hash: %w", err)
		}
		ended, err = (&takeover{tx: tx, user: row.ID, owned: owned, now: now}).all(ctx)
		return err
	})
	if err != nil {
		return user.User{}, signon.Ended{}, err
	}
	return row.noun(), ended, nil
}

// OpenBrowser keeps a new session with the hash of its cookie, and notes the
// login.
func (s Sessions) OpenBrowser(ctx context.Context, n session.Session, version int64, hash []byte) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := unchanged(ctx, tx, n.UserID, version); err != nil {
			return err
		}
		const q = `
			WITH opened AS (
				INSERT INTO sessions (id, user_id, created_at, used_at, expires_at, address, client) VALUES ($1, $2, $3, $3, $4, $6, $7)
				RETURNING id
			), noted AS (
				UPDATE users SET last_login_at = $3 WHERE id = $2
			)
			INSERT INTO browser_sessions (cookie_hash, session_id) SELECT $5, id FROM opened`
		_, err := tx.ExecContext(ctx, q, n.ID, n.UserID, n.CreatedAt, n.ExpiresAt, hash, n.From.Address, n.From.Client)
		return err
	})
}

// Browser returns the live session of a cookie.
func (s Sessions) Browser(ctx context.Context, hash []byte, now time.Time) (found session.Session, email string, used time.Time, ok bool, err error) {
	const q = `
		SELECT s.id, s.user_id, s.created_at, s.expires_at, s.used_at, u.email
		FROM   browser_sessions b JOIN sessions s ON s.id = b.session_id JOIN users u ON u.id = s.user_id
		WHERE  b.cookie_hash = $1 AND s.revoked_at IS NULL AND s.expires_at > $2`
	var row struct {
		ID        uuid.UUID `db:"id"`
		UserID    int64     `db:"user_id"`
		CreatedAt time.Time `db:"created_at"`
		ExpiresAt time.Time `db:"expires_at"`
		UsedAt    time.Time `db:"used_at"`
		Email     string    `db:"email"`
	}
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error { return tx.GetContext(ctx, &row, q, hash, now) })
	if pg.NoRows(err) {
		return session.Session{}, "", time.Time{}, false, nil
	}
	found = session.Session{ID: row.ID, UserID: row.UserID, CreatedAt: row.CreatedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC()}
	return found, row.Email, row.UsedAt, err == nil, err
}

// Touch writes down that a session is used, and until when it lives then.
func (s Sessions) Touch(ctx context.Context, id uuid.UUID, now, expires time.Time) error {
	const q = `UPDATE sessions SET used_at = $2, expires_at = $3 WHERE id = $1 AND revoked_at IS NULL`
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q, id, now, expires)
		return err
	})
}

// ByCookie says whether a session is one of a browser.
func (s Sessions) ByCookie(ctx context.Context, id uuid.UUID) (is bool, err error) {
	const q = `SELECT EXISTS (SELECT 1 FROM browser_sessions WHERE session_id = $1)`
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error { return tx.GetContext(ctx, &is, q, id) })
	return is, err
}
