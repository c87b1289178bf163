package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/key"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
)

// Keys keeps API keys and service accounts.
type Keys struct{ *Store }

type apiKeyRow struct {
	Project   int64          `db:"project_id"`
	ID        uuid.UUID      `db:"key_id"`
	User      int64          `db:"user_id"`
	Account   int64          `db:"account_id"`
	Name      string         `db:"name"`
	Prefix    string         `db:"prefix"`
	Scopes    pq.StringArray `db:"scopes"`
	CreatedBy int64          `db:"created_by"`
	CreatedAt time.Time      `db:"created_at"`
	Expires   *time.Time     `db:"expires_at"`
	LastUsed  *time.Time     `db:"last_used_at"`
}

func (r apiKeyRow) noun() key.Key {
	return key.Key{
		ID: r.ID, Project: tenant.Project(r.Project), Holder: key.Holder{User: r.User, Account: r.Account}, Name: r.Name, Prefix: r.Prefix,
		Scopes: r.Scopes, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.UTC(), Expires: utc(r.Expires), LastUsed: utc(r.LastUsed),
	}
}

// columnsOfKey are those of an apiKeyRow, of the table k.
const columnsOfKey = `
	k.project_id, k.key_id, coalesce(k.user_id, 0) AS user_id, coalesce(k.account_id, 0) AS account_id, k.name, k.prefix, k.scopes,
	k.created_by, k.created_at, k.expires_at, k.last_used_at`

// Add keeps a new key with its hash and says so.
func (s Keys) Add(ctx context.Context, by tenant.Identity, k key.Key, hash []byte) error {
	return s.db.InTenant(ctx, k.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := s.holder(ctx, tx, by, k.Project, k.Holder); err != nil {
			return err
		}
		if err := room(ctx, tx, k, uuid.Nil); err != nil {
			return err
		}
		const named = `
			SELECT EXISTS (SELECT FROM api_keys
			WHERE  project_id = $1 AND coalesce(user_id, 0) = $2 AND coalesce(account_id, 0) = $3 AND lower(name) = lower($5)
			AND    revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4))`
		var taken bool
		if err := tx.GetContext(ctx, &taken, named, int64(k.Project), k.Holder.User, k.Holder.Account, k.CreatedAt, k.Name); err != nil {
			return fmt.Errorf("look for the name: %w", err)
		}
		if taken {
			return key.ErrNamed
		}
		return addKey(ctx, tx, k, hash, "")
	})
}

// holder locks the holder of a key that is to be, or to end, after the project: who
// makes two at a time waits here, so that the count is right. It refuses a caller who
// does not belong to the project any more, and for a service account's key who is no
// admin.
func (s Keys) holder(ctx context.Context, tx *sqlx.Tx, by tenant.Identity, p tenant.Project, h key.Holder) error {
	if err := keepProject(ctx, tx, p); err != nil {
		return err
	}
	if h.Account != 0 {
		if err := s.adminNow(ctx, tx, p, by); err != nil {
			return err
		}
		return lockHolder(ctx, tx, `SELECT account_id FROM service_accounts WHERE account_id = $1 AND project_id = $2 FOR UPDATE`, h.Account, int64(p))
	}
	if h.User == by.UserID { // before its session, as whoever ends all sessions of an account
		if err := lockHolder(ctx, tx, `SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE`, h.User); err != nil {
			return err
		}
	}
	now, err := s.roleNow(ctx, tx, p, by)
	if err != nil {
		return err
	}
	if h.User == by.UserID {
		return project.Permit(now, p, tenant.Viewer)
	}
	if !now.Allows(tenant.Admin) {
		return key.ErrUnknown
	}
	return nil
}

func lockHolder(ctx context.Context, tx *sqlx.Tx, lock string, args ...any) error {
	var id int64
	if err := tx.GetContext(ctx, &id, lock, args...); pg.NoRows(err) {
		return key.ErrUnknownAccount
	} else if err != nil {
		return fmt.Errorf("lock the holder: %w", err)
	}
	return nil
}

// room refuses one key more than its holder, who is locked, may have; the key that
// ends is not counted.
func room(ctx context.Context, tx *sqlx.Tx, k key.Key, ends uuid.UUID) error {
	const count = `
		SELECT count(*) FROM api_keys
		WHERE  project_id = $1 AND coalesce(user_id, 0) = $2 AND coalesce(account_id, 0) = $3 AND key_id <> $5
		AND    revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4)`
	var live int
	if err := tx.GetContext(ctx, &live, count, int64(k.Project), k.Holder.User, k.Holder.Account, k.CreatedAt, ends); err != nil {
		return fmt.Errorf("count keys: %w", err)
	}
	if live >= key.MaxPerHolder {
		return key.ErrTooMany
	}
	return nil
}

func addKey(ctx context.Context, tx *sqlx.Tx, k key.Key, hash []byte, replaces string) error {
	const q = `
		INSERT INTO api_keys (project_id, key_id, user_id, account_id, name, prefix, hash, scopes, created_by, created_at, expires_at)
		VALUES ($1, $2, nullif($3, 0), nullif($4, 0), $5, $6, $7, $8, $9, $10, $11)`
	_, err := tx.ExecContext(ctx, q, int64(k.Project), k.ID, k.Holder.User, k.Holder.Account, k.Name, k.Prefix, hash, pq.StringArray(k.Scopes),
		k.CreatedBy, k.CreatedAt, k.Expires)
	if err != nil {
		return fmt.Errorf("insert key: %w", err)
	}
	return outbox.Add(ctx, tx, &authv1.ApiKeyCreated{
		ProjectId: id32(k.Project), KeyId: k.ID.String(), Version: 1, UserId: id32(k.Holder.User), ServiceAccountId: id32(k.Holder.Account),
		Scopes: k.Scopes, ReplacesKeyId: replaces,
	})
}

// List returns the live keys of the project, newest first: those of a user, or
// with 0 all.
func (s Keys) List(ctx context.Context, p tenant.Project, user int64, now time.Time) ([]key.Key, error) {
	const q = `
		SELECT ` + columnsOfKey + `
		FROM   api_keys k
		WHERE  k.project_id = $1 AND ($2 = 0 OR k.user_id = $2) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $3)
		ORDER  BY k.created_at DESC, k.key_id LIMIT 1000`
	var rows []apiKeyRow
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, int64(p), user, now)
	})
	keys := make([]key.Key, len(rows))
	for i, r := range rows {
		keys[i] = r.noun()
	}
	return keys, err
}

// End finds a live key, locks it, and does what judge says. Who may end it, and who
// holds it, is locked before: the other way round it would wait in a circle with
// whoever ends an account and its keys.
func (s Keys) End(ctx context.Context, p tenant.Project, by tenant.Identity, id uuid.UUID, now time.Time, judge func(key.Key) (key.Ending, error)) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT ` + columnsOfKey + `
			FROM   api_keys k
			WHERE  k.project_id = $1 AND k.key_id = $2 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $3)`
		var row apiKeyRow
		if err := tx.GetContext(ctx, &row, q, int64(p), id, now); pg.NoRows(err) {
			return key.ErrUnknown
		} else if err != nil {
			return fmt.Errorf("read key: %w", err)
		}
		if _, err := judge(row.noun()); err != nil { // nobody waits for who may not
			return err
		}
		if err := s.holder(ctx, tx, by, p, row.noun().Holder); errors.Is(err, key.ErrUnknownAccount) {
			return key.ErrUnknown
		} else if err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &row, q+` FOR UPDATE`, int64(p), id, now); pg.NoRows(err) {
			return key.ErrUnknown
		} else if err != nil {
			return fmt.Errorf("lock key: %w", err)
		}
		e, err := judge(row.noun())
		if err != nil {
			return err
		}
		if e.Next != nil {
			ends := id
			if e.Until.After(now) {
				ends = uuid.Nil // there are both for a while
			}
			if err := room(ctx, tx, *e.Next, ends); err != nil {
				return err
			}
			if err := addKey(ctx, tx, *e.Next, e.Hash, id.String()); err != nil {
				return err
			}
		}
		if e.Until.After(now) {
			const outlive = `UPDATE api_keys SET expires_at = least(expires_at, $3) WHERE project_id = $1 AND key_id = $2`
			_, err := tx.ExecContext(ctx, outlive, int64(p), id, e.Until)
			return err
		}
		const revoke = `UPDATE api_keys SET revoked_at = $3, revoke_reason = $4, version = 2 WHERE project_id = $1 AND key_id = $2`
		if _, err := tx.ExecContext(ctx, revoke, int64(p), id, now, e.Reason); err != nil {
			return fmt.Errorf("revoke key: %w", err)
		}
		return outbox.Add(ctx, tx, apiKeyRevoked(row, e.Reason), outbox.Heard())
	})
}

func apiKeyRevoked(r apiKeyRow, reason string) *authv1.ApiKeyRevoked {
	return &authv1.ApiKeyRevoked{
		ProjectId: id32(r.Project), KeyId: r.ID.String(), Version: 2, UserId: id32(r.User), ServiceAccountId: id32(r.Account), Reason: reason,
	}
}

// liveKey is a condition on the table k at $2: a key that is good, of a project
// that is not being deleted.
const liveKey = `
	k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)
	AND EXISTS (SELECT 1 FROM projects p WHERE p.project_id = k.project_id AND p.deleted_at IS NULL)`

// Find returns the live key with this hash.
func (s Keys) Find(ctx context.Context, hash []byte, now time.Time) (key.Key, error) {
	const q = `SELECT ` + columnsOfKey + ` FROM api_keys k WHERE k.hash = $1 AND ` + liveKey
	var row apiKeyRow
	err := s.db.AcrossProjects(ctx, "find an API key by its hash", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &row, q, hash, now)
	})
	if pg.NoRows(err) {
		return key.Key{}, key.ErrUnknown
	}
	return row.noun(), err
}

// ByID returns the live key of this id.
func (s Keys) ByID(ctx context.Context, id uuid.UUID, now time.Time) (key.Key, error) {
	const q = `SELECT ` + columnsOfKey + ` FROM api_keys k WHERE k.key_id = $1 AND ` + liveKey
	var row apiKeyRow
	err := s.db.AcrossProjects(ctx, "find an API key by its id", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &row, q, id, now)
	})
	if pg.NoRows(err) {
		return key.Key{}, key.ErrUnknown
	}
	return row.noun(), err
}

// Used notes when keys were used, each at most once a minute.
func (s Keys) Used(ctx context.Context, last map[uuid.UUID]time.Time) error {
	ids, times := make([]string, 0, len(last)), make([]time.Time, 0, len(last))
	for id, at := range last {
		ids, times = append(ids, id.String()), append(times, at)
	}
	const q = `
		UPDATE api_keys k SET last_used_at = u.at
		FROM   unnest($1::uuid[], $2::timestamptz[]) AS u (id, at)
		WHERE  k.key_id = u.id AND (k.last_used_at IS NULL OR k.last_used_at <= u.at - interval '1 minute')`
	return s.db.AcrossProjects(ctx, "note when API keys were used", func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q, pq.Array(ids), pq.Array(times))
		return err
	})
}

// SweepKeys removes keys that ended before the time, and returns how many.
func (s Keys) SweepKeys(ctx context.Context, before time.Time) (removed int64, err error) {
	const q = `
		DELETE FROM api_keys WHERE (project_id, key_id) IN
		  (SELECT project_id, key_id FROM api_keys WHERE revoked_at <= $1 OR expires_at <= $1 LIMIT 1000)`
	err = s.db.AcrossProjects(ctx, "remove API keys that ended long ago", func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, q, before)
		if err != nil {
			return err
		}
		removed, err = res.RowsAffected()
		return err
	})
	return removed, err
}

// revokeKeys ends the keys of a person, in one project or, for 0, in all, and says
// so of each.
func revokeKeys(ctx context.Context, tx *sqlx.Tx, p tenant.Project, userID int64, now time.Time) error {
	const end = `
		UPDATE api_keys k SET revoked_at = $2, revoke_reason = $3, version = 2
		WHERE  k.user_id = $1 AND ($4 = 0 OR k.project_id = $4) AND k.revoked_at IS NULL RETURNING ` + columnsOfKey
	var keys []apiKeyRow
	if err := tx.SelectContext(ctx, &keys, end, userID, now, key.Revoked, int64(p)); err != nil {
		return fmt.Errorf("revoke keys: %w", err)
	}
	return sayKeysRevoked(ctx, tx, keys)
}

// revokeMade ends the keys of service accounts of the project that a person has made,
// says so of each, and returns how many there were.
func revokeMade(ctx context.Context, tx *sqlx.Tx, p tenant.Project, userID int64, now time.Time) (int, error) {
	const end = `
		UPDATE api_keys k SET revoked_at = $3, revoke_reason = $4, version = 2
		WHERE  k.project_id = $1 AND k.created_by = $2 AND k.account_id IS NOT NULL AND k.revoked_at IS NULL
		AND    (k.expires_at IS NULL OR k.expires_at > $3) RETURNING ` + columnsOfKey
	var keys []apiKeyRow
	if err := tx.SelectContext(ctx, &keys, end, int64(p), userID, now, key.Revoked); err != nil {
		return 0, fmt.Errorf("revoke keys of service accounts: %w", err)
	}
	return len(keys), sayKeysRevoked(ctx, tx, keys)
}

func sayKeysRevoked(ctx context.Context, tx *sqlx.Tx, keys []apiKeyRow) error {
	for _, k := range keys {
		if err := outbox.Add(ctx, tx, apiKeyRevoked(k, key.Revoked), outbox.Heard()); err != nil {
			return err
		}
	}
	return nil
}
