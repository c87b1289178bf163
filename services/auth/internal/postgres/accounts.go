package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/access"
	"github.com/commandcenter/commandcenter/services/auth/internal/key"
)

type accountRow struct {
	Project   int64     `db:"project_id"`
	ID        int64     `db:"account_id"`
	Name      string    `db:"name"`
	Role      string    `db:"role"`
	Version   int64     `db:"version"`
	CreatedBy int64     `db:"created_by"`
	CreatedAt time.Time `db:"created_at"`
	UpdatedAt time.Time `db:"updated_at"`
}

func (r accountRow) noun() key.Account {
	return key.Account{
		ID: r.ID, Project: tenant.Project(r.Project), Name: r.Name, Role: tenant.Role(r.Role),
		CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

func (r accountRow) changed(role string) *authv1.ServiceAccountChanged {
	return &authv1.ServiceAccountChanged{ProjectId: id32(r.Project), ServiceAccountId: id32(r.ID), Version: id32(r.Version), Role: role}
}

// Accounts returns the service accounts of the project, by name.
func (s Keys) Accounts(ctx context.Context, p tenant.Project) ([]key.Account, error) {
	const q = `
		SELECT project_id, account_id, name, role, version, created_by, created_at, updated_at
		FROM   service_accounts WHERE project_id = $1 ORDER BY lower(name), account_id LIMIT 1000`
	var rows []accountRow
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return tx.SelectContext(ctx, &rows, q, int64(p)) })
	out := make([]key.Account, len(rows))
	for i, r := range rows {
		out[i] = r.noun()
	}
	return out, err
}

// CreateAccount keeps a new one and says so.
func (s Keys) CreateAccount(ctx context.Context, by tenant.Identity, a key.Account) (key.Account, error) {
	const q = `
		INSERT INTO service_accounts (project_id, name, role, created_by, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)
		RETURNING project_id, account_id, name, role, version, created_by, created_at, updated_at`
	var row accountRow
	err := s.db.InTenant(ctx, a.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := lockProject(ctx, tx, a.Project); err != nil { // so that the count is right
			return err
		}
		if err := s.adminNow(ctx, tx, a.Project, by); err != nil {
			return err
		}
		var there int
		if err := tx.GetContext(ctx, &there, `SELECT count(*) FROM service_accounts WHERE project_id = $1`, int64(a.Project)); err != nil {
			return fmt.Errorf("count service accounts: %w", err)
		}
		if there >= key.MaxAccounts {
			return key.ErrManyAccounts
		}
		if err := tx.GetContext(ctx, &row, q, int64(a.Project), a.Name, string(a.Role), a.CreatedBy, a.CreatedAt); err != nil {
			return named(err)
		}
		return outbox.Add(ctx, tx, row.changed(row.Role))
	})
	return row.noun(), err
}

// adminNow refuses somebody who is no admin of the project any more, see
// [Store.roleNow].
func (s *Store) adminNow(ctx context.Context, tx *sqlx.Tx, p tenant.Project, by tenant.Identity) error {
	now, err := s.roleNow(ctx, tx, p, by)
	if err == nil && !now.Allows(tenant.Admin) {
		return key.ErrAdmin
	}
	return err
}

// named makes a refusal of a name that is taken.
func named(err error) error {
	if pg.UniqueViolation(err, "service_accounts_named") {
		return key.ErrNameTaken.Because(err)
	}
	return fmt.Errorf("write service account: %w", err)
}

// UpdateAccount changes one and says so.
func (s Keys) UpdateAccount(ctx context.Context, p tenant.Project, by tenant.Identity, id int64, now time.Time, c key.Change) (key.Account, error) {
	const q = `
		UPDATE service_accounts a SET name = coalesce($3, a.name), role = coalesce($4, a.role), version = a.version + 1, updated_at = $5
		FROM  (SELECT name, role FROM service_accounts WHERE project_id = $1 AND account_id = $2 FOR UPDATE) before
		WHERE  a.project_id = $1 AND a.account_id = $2
		RETURNING a.project_id, a.account_id, a.name, a.role, a.version, a.created_by, a.created_at, a.updated_at,
		          before.name AS name_before, before.role AS role_before`
	var row struct {
		accountRow
		NameBefore string `db:"name_before"`
		RoleBefore string `db:"role_before"`
	}
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := keepProject(ctx, tx, p); err != nil {
			return err
		}
		if err := s.adminNow(ctx, tx, p, by); err != nil {
			return err
		}
		err := tx.GetContext(ctx, &row, q, int64(p), id, c.Name, c.Role, now)
		if pg.NoRows(err) {
			return key.ErrUnknownAccount
		}
		if err != nil {
			return named(err)
		}
		bus.Changed(ctx, "name", row.NameBefore, row.Name)
		bus.Changed(ctx, "role", row.RoleBefore, row.Role)
		return outbox.Add(ctx, tx, row.changed(row.Role), outbox.Heard())
	})
	return row.noun(), err
}

// DeleteAccount ends one with its keys, and says so of each.
func (s Keys) DeleteAccount(ctx context.Context, p tenant.Project, by tenant.Identity, id int64) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := keepProject(ctx, tx, p); err != nil {
			return err
		}
		if err := s.adminNow(ctx, tx, p, by); err != nil {
			return err
		}
		_, err := deleteAccount(ctx, tx, p, id)
		return err
	})
}

// deleteAccount returns how many keys of the account it ended.
func deleteAccount(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64) (ended int, err error) {
	// Locked before its keys are looked for: one that is being made would otherwise go
	// with the account, and nobody would say so.
	const lock = `SELECT account_id FROM service_accounts WHERE project_id = $1 AND account_id = $2 FOR UPDATE`
	var locked int64
	if err := tx.GetContext(ctx, &locked, lock, int64(p), id); pg.NoRows(err) {
		return 0, key.ErrUnknownAccount
	} else if err != nil {
		return 0, fmt.Errorf("lock service account: %w", err)
	}
	const end = `
			DELETE FROM api_keys k WHERE k.project_id = $1 AND k.account_id = $2 RETURNING ` + columnsOfKey
	var keys []apiKeyRow
	if err := tx.SelectContext(ctx, &keys, end, int64(p), id); err != nil {
		return 0, fmt.Errorf("end the keys of a service account: %w", err)
	}
	const remove = `
			DELETE FROM service_accounts WHERE project_id = $1 AND account_id = $2
			RETURNING project_id, account_id, name, role, version + 1 AS version, created_by, created_at, updated_at`
	var row accountRow
	if err := tx.GetContext(ctx, &row, remove, int64(p), id); pg.NoRows(err) {
		return 0, key.ErrUnknownAccount
	} else if err != nil {
		return 0, fmt.Errorf("delete service account: %w", err)
	}
	for _, k := range keys {
		if err := outbox.Add(ctx, tx, apiKeyRevoked(k, key.AccountDeleted), outbox.Heard()); err != nil {
			return 0, err
		}
	}
	return len(keys), outbox.Add(ctx, tx, row.changed(""), outbox.Heard())
}

// AccountAccess reads the standing of a service account. One that is not there
// has none, and one of a project that is being deleted has none either.
func (s *Store) AccountAccess(ctx context.Context, id int64, p tenant.Project) (access.Access, error) {
	const q = `
		SELECT a.account_id, a.role, a.project_id,
		       (SELECT json_agg(json_build_object('class', l.class, 'calls', l.calls, 'seconds', l.seconds, 'raised', l.raised) ORDER BY l.class)
		        FROM project_quotas l WHERE l.project_id = a.project_id) AS quotas
		FROM   service_accounts a JOIN projects p ON p.project_id = a.project_id AND p.deleted_at IS NULL
		WHERE  a.account_id = $1 AND ($2 = 0 OR a.project_id = $2)`
	var row struct {
		ID      int64  `db:"account_id"`
		Role    string `db:"role"`
		Project int64  `db:"project_id"`
		Quotas  []byte `db:"quotas"`
	}
	err := s.db.AcrossProjects(ctx, "resolve access of a service account", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &row, q, id, int64(p))
	})
	if pg.NoRows(err) {
		return access.Access{}, nil
	}
	if err != nil {
		return access.Access{}, err
	}
	quotas, err := quotasOf(tenant.Project(row.Project), row.Quotas)
	return access.Access{
		ServiceAccount: row.ID, Active: true, SessionLive: true, Project: tenant.Project(row.Project), Role: tenant.Role(row.Role), Quotas: quotas,
	}, err
}
