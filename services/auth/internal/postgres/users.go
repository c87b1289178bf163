package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

type userRow struct {
	ID        int64      `db:"id"`
	Email     string     `db:"email"`
	FullName  *string    `db:"full_name"`
	Active    bool       `db:"is_active"`
	Superuser bool       `db:"is_superuser"`
	Version   int64      `db:"version"`
	CreatedAt time.Time  `db:"created_at"`
	UpdatedAt time.Time  `db:"updated_at"`
	LastLogin *time.Time `db:"last_login_at"`
}

func (r userRow) noun() user.User {
	return user.User{
		ID: r.ID, Email: r.Email, FullName: r.FullName, Active: r.Active, Superuser: r.Superuser, Version: r.Version,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), LastLogin: utc(r.LastLogin),
	}
}

// addressHash is the key of all login attempts of an e-mail address: the table
// is no list of addresses.
func addressHash(email string) []byte {
	sum := sha256.Sum256([]byte(email))
	return sum[:]
}

// attemptsFrom is the key of those from one network address. An e-mail address
// holds no NUL.
func attemptsFrom(email, client string) []byte { return addressHash(email + "\x00" + client) }

// Registered reports whether the address has an account.
func (s Users) Registered(ctx context.Context, email string) (taken bool, err error) {
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT EXISTS (SELECT 1 FROM users WHERE email = $1)`
		return tx.GetContext(ctx, &taken, q, email)
	})
	return taken, err
}

// Create makes the account, its first project and the owner's membership, with
// their events; with an invitation also the membership of that project, which
// is the default then. It returns [user.ErrRegistered] for an address that has
// an account, and [invitation.ErrInvalid].
func (s Users) Create(ctx context.Context, d user.Draft, now time.Time) (user.User, error) {
	var row userRow
	var joined accepted
	err := s.db.AcrossProjects(ctx, "register an account", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			INSERT INTO users (email, password_hash, full_name, is_superuser, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $5)
			ON CONFLICT (email) DO NOTHING
			RETURNING id, email, full_name, is_active, is_superuser, version, created_at, updated_at, last_login_at`
		err := tx.GetContext(ctx, &row, q, d.Email, d.Hash, d.FullName, d.Superuser, now)
		if pg.NoRows(err) {
			return user.ErrRegistered
		}
		if err != nil {
			return fmt.Errorf("insert user: %w", err)
		}
		p, err := createProject(ctx, tx, 0, row.ID, project.Draft{Name: project.DefaultName}, now)
		if err != nil {
			return fmt.Errorf("create first project: %w", err)
		}
		first := p.ID
		if d.Invitation != nil {
			if joined, err = accept(ctx, tx, d.Invitation, row.ID, now); err != nil {
				return err
			}
			first = joined.project
			if err := makeDefault(ctx, tx, first, row.ID); err != nil {
				return err
			}
		}
		return outbox.Add(ctx, tx, &authv1.UserRegistered{
			UserId: id32(row.ID), Version: id32(row.Version), DefaultProjectId: id32(first),
		})
	})
	if err != nil {
		return user.User{}, err
	}
	u := row.noun()
	u.Joined, u.JoinedBy = joined.project, joined.invitation
	return u, nil
}

// Get returns an account, or [user.ErrGone].
func (s Users) Get(ctx context.Context, id int64) (user.User, error) {
	var row userRow
	err := s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT id, email, full_name, is_active, is_superuser, version, created_at, updated_at, last_login_at
			FROM   users WHERE id = $1`
		return tx.GetContext(ctx, &row, q, id)
	})
	if pg.NoRows(err) {
		return user.User{}, user.ErrGone
	}
	return row.noun(), err
}

// Owner returns the oldest superuser; found is false when there is none.
func (s Users) Owner(ctx context.Context) (u user.User, found bool, err error) {
	var row userRow
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT id, email, full_name, is_active, is_superuser, version, created_at, updated_at, last_login_at
			FROM   users WHERE is_superuser ORDER BY id LIMIT 1`
		return tx.GetContext(ctx, &row, q)
	})
	if pg.NoRows(err) {
		return user.User{}, false, nil
	}
	return row.noun(), err == nil, err
}

// attemptsRow has no NULLs but the lock, so that a missing row reads as a clean
// record.
type attemptsRow struct {
	Failures    int          `db:"failures"`
	WindowFrom  sql.NullTime `db:"window_from"`
	LockedUntil sql.NullTime `db:"locked_until"`
	Locks       int          `db:"locks"`
}

func (r attemptsRow) noun() user.Attempts {
	return user.Attempts{Failures: r.Failures, WindowFrom: r.WindowFrom.Time, LockedUntil: r.LockedUntil.Time, Locks: r.Locks}
}

// Credentials reads account and records of an e-mail address in one statement,
// which does the same work whether or not there is an account.
func (s Users) Credentials(ctx context.Context, email, client string) (user.Credentials, error) {
	var row struct {
		Known     bool       `db:"known"`
		Hash      string     `db:"password_hash"`
		ID        int64      `db:"id"`
		FullName  *string    `db:"full_name"`
		Active    bool       `db:"is_active"`
		Superuser bool       `db:"is_superuser"`
		Version   int64      `db:"version"`
		CreatedAt *time.Time `db:"created_at"`
		UpdatedAt *time.Time `db:"updated_at"`
		LastLogin *time.Time `db:"last_login_at"`
		attemptsRow
		All attemptsRow `db:"all"`
	}
	err := s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT u.id IS NOT NULL AS known, coalesce(u.password_hash, '') AS password_hash, coalesce(u.id, 0) AS id,
			       u.full_name, coalesce(u.is_active, false) AS is_active, coalesce(u.is_superuser, false) AS is_superuser,
			       coalesce(u.version, 0) AS version, u.created_at, u.updated_at, u.last_login_at,
			       coalesce(h.failures, 0) AS failures, h.window_from, h.locked_until, coalesce(h.locks, 0) AS locks,
			       coalesce(a.failures, 0) AS "all.failures", a.window_from AS "all.window_from", a.locked_until AS "all.locked_until",
			       coalesce(a.locks, 0) AS "all.locks"
			FROM   (SELECT $1::text AS email, $2::bytea AS here, $3::bytea AS anywhere) asked
			LEFT   JOIN users u          ON u.email = asked.email
			LEFT   JOIN login_attempts h ON h.address_hash = asked.here
			LEFT   JOIN login_attempts a ON a.address_hash = asked.anywhere`
		return tx.GetContext(ctx, &row, q, email, attemptsFrom(email, client), addressHash(email))
	})
	if err != nil {
		return user.Credentials{}, err
	}
	c := user.Credentials{Attempts: row.noun(), Account: row.All.noun()}
	if row.Known {
		c.Hash = row.Hash
		c.User = userRow{
			ID: row.ID, Email: email, FullName: row.FullName, Active: row.Active, Superuser: row.Superuser,
			Version: row.Version, CreatedAt: *row.CreatedAt, UpdatedAt: *row.UpdatedAt, LastLogin: row.LastLogin,
		}.noun()
	}
	return c, nil
}

// Failed applies next to the records of the e-mail address, of the client and
// of all, under their locks.
func (s Users) Failed(ctx context.Context, email, client string, now time.Time, next func(here, all user.Attempts) (user.Attempts, user.Attempts)) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		// Always in this order: all failures of an account wait for each other at
		// its own record.
		all, err := lockAttempts(ctx, tx, addressHash(email), now)
		if err != nil {
			return err
		}
		here, err := lockAttempts(ctx, tx, attemptsFrom(email, client), now)
		if err != nil {
			return err
		}
		here, all = next(here, all)
		if err := saveAttempts(ctx, tx, addressHash(email), all, now); err != nil {
			return err
		}
		return saveAttempts(ctx, tx, attemptsFrom(email, client), here, now)
	})
}

// lockAttempts reads a record under its lock; what is not there begins clean.
func lockAttempts(ctx context.Context, tx *sqlx.Tx, key []byte, now time.Time) (user.Attempts, error) {
	const q = `
		INSERT INTO login_attempts (address_hash, failures, window_from, updated_at) VALUES ($1, 0, $2, $2)
		ON CONFLICT (address_hash) DO UPDATE SET updated_at = excluded.updated_at
		RETURNING failures, window_from, locked_until, locks`
	var row attemptsRow
	if err := tx.GetContext(ctx, &row, q, key, now); err != nil {
		return user.Attempts{}, fmt.Errorf("lock login attempts: %w", err)
	}
	return row.noun(), nil
}

func saveAttempts(ctx context.Context, tx *sqlx.Tx, key []byte, a user.Attempts, now time.Time) error {
	const save = `
		UPDATE login_attempts
		SET    failures = $2, window_from = $3, locked_until = $4, locks = $5, updated_at = $6
		WHERE  address_hash = $1`
	locked := sql.NullTime{Time: a.LockedUntil, Valid: !a.LockedUntil.IsZero()}
	if _, err := tx.ExecContext(ctx, save, key, a.Failures, a.WindowFrom, locked, a.Locks, now); err != nil {
		return fmt.Errorf("save login attempts: %w", err)
	}
	return nil
}

// forgetAttempts removes the records of an e-mail address, of the client and of
// all, in the order of [Users.Failed].
func forgetAttempts(ctx context.Context, tx *sqlx.Tx, email, client string) error {
	for _, key := range [][]byte{addressHash(email), attemptsFrom(email, client)} {
		const forget = `DELETE FROM login_attempts WHERE address_hash = $1`
		if _, err := tx.ExecContext(ctx, forget, key); err != nil {
			return fmt.Errorf("forget login attempts: %w", err)
		}
	}
	return nil
}

// LoggedIn forgets the failures of the account and notes the time; rehash, when
// not empty, replaces the stored hash, unless the account has changed since: it
// may be that of a password which is none any more.
func (s Users) LoggedIn(ctx context.Context, u user.User, client string, now time.Time, rehash string) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := forgetAttempts(ctx, tx, u.Email, client); err != nil {
			return err
		}
		const note = `
			UPDATE users
			SET    last_login_at = $2, password_hash = CASE WHEN version = $4 AND $3 <> '' THEN $3 ELSE password_hash END
			WHERE  id = $1`
		if _, err := tx.ExecContext(ctx, note, u.ID, now, rehash, u.Version); err != nil {
			return fmt.Errorf("note login: %w", err)
		}
		return nil
	})
}

// ChangePassword replaces the hash and ends every session of the user but the caller's,
// and a reset that is open.
func (s Users) ChangePassword(ctx context.Context, by tenant.Identity, u user.User, hash string, now time.Time) error {
	keep, err := uuid.Parse(by.Session)
	if err != nil {
		keep = uuid.Nil // never the id of a session
	}
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			UPDATE users SET password_hash = $2, version = version + 1, updated_at = $3
			WHERE  id = $1 AND version = $4 AND is_active RETURNING version`
		var version int64
		if err := tx.GetContext(ctx, &version, q, u.ID, hash, now, u.Version); pg.NoRows(err) {
			return user.ErrChanged
		} else if err != nil {
			return fmt.Errorf("replace password hash: %w", err)
		}
		if err := s.callerNow(ctx, tx, by); err != nil {
			return err
		}
		if err := endResets(ctx, tx, u.ID, false); err != nil {
			return err
		}
		_, err := revokeAll(ctx, tx, u.ID, keep, now, session.PasswordReason)
		return err
	})
}
