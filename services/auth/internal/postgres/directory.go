package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// likeText makes a pattern that matches only the text itself.
var likeText = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// Find returns a page of accounts, oldest first, and how many there are in all.
func (s Users) Find(ctx context.Context, q user.Query) ([]user.User, int, error) {
	const which = `
		FROM  users
		WHERE ($1 = '' OR email LIKE '%' || lower($1) || '%' OR $3 <> '' AND email LIKE '%' || lower($3) || '%' OR lower(full_name) LIKE '%' || lower($1) || '%')
		AND   ($2::boolean IS NULL OR is_active = $2)`
	const page = `
		SELECT id, email, full_name, is_active, is_superuser, version, created_at, updated_at, last_login_at` + which + `
		ORDER BY id LIMIT $4 OFFSET $5`
	var rows []userRow
	var total int
	err := s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		text, address := likeText.Replace(q.Search), likeText.Replace(q.Address)
		if err := tx.GetContext(ctx, &total, `SELECT count(*)`+which, text, q.Active, address); err != nil {
			return fmt.Errorf("count users: %w", err)
		}
		return tx.SelectContext(ctx, &rows, page, text, q.Active, address, q.Limit, q.Skip)
	})
	out := make([]user.User, len(rows))
	for i, r := range rows {
		out[i] = r.noun()
	}
	return out, total, err
}

// Switch makes an account active or not for somebody who is a superuser now, and says
// so.
func (s Users) Switch(ctx context.Context, id int64, active bool, by tenant.Identity, now time.Time) (user.User, error) {
	var row userRow
	err := s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		super, err := lockSuperusers(ctx, tx)
		if err != nil {
			return err
		}
		if !slices.Contains(super, by.UserID) {
			return user.ErrRank
		}
		if row, err = lockUser(ctx, tx, id); err != nil {
			return err
		}
		if err := s.callerNow(ctx, tx, by); err != nil {
			return err
		}
		switch {
		case row.Active == active:
			return nil
		case !active && row.Superuser && len(super) == 1:
			return user.ErrLastSuperuser
		}
		const write = `
			UPDATE users SET is_active = $2, version = version + 1, updated_at = $3 WHERE id = $1
			RETURNING id, email, full_name, is_active, is_superuser, version, created_at, updated_at, last_login_at`
		if err := tx.GetContext(ctx, &row, write, id, active, now); err != nil {
			return fmt.Errorf("switch user: %w", err)
		}
		var fact proto.Message = &authv1.UserReactivated{UserId: id32(id), Version: id32(row.Version), ByUserId: id32(by.UserID)}
		if !active {
			if err := endResets(ctx, tx, id, true); err != nil {
				return err
			}
			if _, err := revokeAll(ctx, tx, id, uuid.Nil, now, session.DeactivatedReason); err != nil {
				return err
			}
			fact = &authv1.UserDeactivated{UserId: id32(id), Version: id32(row.Version), ByUserId: id32(by.UserID)}
		}
		return outbox.Add(ctx, tx, fact, outbox.Heard())
	})
	if err != nil {
		return user.User{}, err
	}
	return row.noun(), nil
}

// lockSuperusers locks all of them in one order, and returns those that are active:
// two that switch each other off at the same time wait here. Those that are not are
// locked as well, or who switches one on would take its lock out of order.
func lockSuperusers(ctx context.Context, tx *sqlx.Tx) (active []int64, err error) {
	const q = `SELECT id, is_active FROM users WHERE is_superuser ORDER BY id FOR UPDATE`
	var all []struct {
		ID     int64 `db:"id"`
		Active bool  `db:"is_active"`
	}
	if err := tx.SelectContext(ctx, &all, q); err != nil {
		return nil, fmt.Errorf("lock superusers: %w", err)
	}
	for _, u := range all {
		if u.Active {
			active = append(active, u.ID)
		}
	}
	return active, nil
}

// lockUser reads an account under its lock, or returns [user.ErrUnknown].
func lockUser(ctx context.Context, tx *sqlx.Tx, id int64) (row userRow, err error) {
	const q = `
		SELECT id, email, full_name, is_active, is_superuser, version, created_at, updated_at, last_login_at
		FROM   users WHERE id = $1 FOR UPDATE`
	if err := tx.GetContext(ctx, &row, q, id); pg.NoRows(err) {
		return row, user.ErrUnknown
	} else if err != nil {
		return row, fmt.Errorf("lock user: %w", err)
	}
	return row, nil
}

// Names returns how people know principals: the address of a user, the name of a
// service account of the project. Whoever is gone is not among them.
func (s *Store) Names(ctx context.Context, p tenant.Project, principals []string) (map[string]string, error) {
	const q = `
		SELECT 'user:' || id AS principal, email AS name FROM users WHERE id = ANY ($2)
		UNION ALL
		SELECT 'service-account:' || account_id, name FROM service_accounts WHERE project_id = $1 AND account_id = ANY ($3)`
	ids := map[string][]int64{}
	for _, who := range principals {
		kind, text, _ := strings.Cut(who, ":")
		if id, err := strconv.ParseInt(text, 10, 64); err == nil { // a service has a name already
			ids[kind] = append(ids[kind], id)
		}
	}
	out := map[string]string{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []struct{ Principal, Name string }
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, int64(p), pq.Int64Array(ids["user"]), pq.Int64Array(ids["service-account"]))
	})
	if err != nil {
		return nil, fmt.Errorf("names of principals: %w", err)
	}
	for _, r := range rows {
		out[r.Principal] = r.Name
	}
	return out, nil
}
