package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/member"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
)

type memberRow struct {
	UserID   int64     `db:"user_id"`
	Email    string    `db:"email"`
	FullName *string   `db:"full_name"`
	Active   bool      `db:"is_active"`
	Role     string    `db:"role"`
	Joined   time.Time `db:"created_at"`
}

func (r memberRow) noun() member.Member {
	return member.Member{UserID: r.UserID, Email: r.Email, FullName: r.FullName, Active: r.Active, Role: tenant.Role(r.Role), Joined: r.Joined.UTC()}
}

// List returns a page of the project's members, in the order of joining.
func (s Members) List(ctx context.Context, p tenant.Project, skip, limit int) ([]member.Member, error) {
	const q = `
		SELECT m.user_id, u.email, u.full_name, u.is_active, m.role, m.created_at
		FROM   memberships m
		JOIN   users u ON u.id = m.user_id
		WHERE  m.project_id = $1
		ORDER  BY m.created_at, m.user_id
		LIMIT  $3 OFFSET $2`
	var rows []memberRow
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, int64(p), skip, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	out := make([]member.Member, len(rows))
	for i, r := range rows {
		out[i] = r.noun()
	}
	return out, nil
}

// SetRole gives a member the role that decide returns, and says so.
func (s Members) SetRole(ctx context.Context, p tenant.Project, by tenant.Identity, userID int64, decide member.Decision) (member.Member, error) {
	var row memberRow
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		role, err := s.decide(ctx, tx, p, by, userID, decide)
		if err != nil {
			return err
		}
		before, err := changeRole(ctx, tx, p, userID, role, by.UserID)
		if err != nil {
			return err
		}
		bus.Changed(ctx, "role", string(before), string(role))
		const q = `
			SELECT m.user_id, u.email, u.full_name, u.is_active, m.role, m.created_at
			FROM   memberships m
			JOIN   users u ON u.id = m.user_id
			WHERE  m.project_id = $1 AND m.user_id = $2`
		return tx.GetContext(ctx, &row, q, int64(p), userID)
	})
	if err != nil {
		return member.Member{}, err
	}
	return row.noun(), nil
}

// decide locks the project and asks with what both are now.
func (s Members) decide(ctx context.Context, tx *sqlx.Tx, p tenant.Project, by tenant.Identity, userID int64, decide member.Decision) (tenant.Role, error) {
	if err := lockProject(ctx, tx, p); err != nil {
		return "", err
	}
	now, err := s.roleNow(ctx, tx, p, by)
	if err != nil {
		return "", err
	}
	target, err := roleOf(ctx, tx, p, userID)
	if err != nil {
		return "", err
	}
	if target == tenant.NoRole {
		return "", member.ErrNone
	}
	return decide(now, target)
}

// lockProject keeps the project, and who belongs to it, as it is; others who do so
// wait.
func lockProject(ctx context.Context, tx *sqlx.Tx, p tenant.Project) error {
	return holdProject(ctx, tx, p, `SELECT 1 FROM projects WHERE project_id = $1 AND deleted_at IS NULL FOR UPDATE`)
}

// keepProject does so for who changes neither: others may do so at the same time.
func keepProject(ctx context.Context, tx *sqlx.Tx, p tenant.Project) error {
	return holdProject(ctx, tx, p, `SELECT 1 FROM projects WHERE project_id = $1 AND deleted_at IS NULL FOR SHARE`)
}

func holdProject(ctx context.Context, tx *sqlx.Tx, p tenant.Project, lock string) error {
	var one int
	if err := tx.GetContext(ctx, &one, lock, int64(p)); pg.NoRows(err) {
		return project.ErrNotFound
	} else if err != nil {
		return fmt.Errorf("lock project: %w", err)
	}
	return nil
}

// roleOf is the role of a user, none for who is no member. It stays so while the
// project is locked.
func roleOf(ctx context.Context, tx *sqlx.Tx, p tenant.Project, userID int64) (role tenant.Role, err error) {
	const q = `SELECT role FROM memberships WHERE project_id = $1 AND user_id = $2`
	err = tx.GetContext(ctx, &role, q, int64(p), userID)
	if pg.NoRows(err) {
		return tenant.NoRole, nil
	}
	if err != nil {
		return "", fmt.Errorf("read membership: %w", err)
	}
	return role, nil
}

// changeRole changes the role of a member, with its facts, and returns the one
// before; to the one that it has it does nothing.
func changeRole(ctx context.Context, tx *sqlx.Tx, p tenant.Project, userID int64, role tenant.Role, by int64) (before tenant.Role, err error) {
	const q = `
		UPDATE memberships m SET role = $3, version = nextval('membership_versions')
		FROM  (SELECT role FROM memberships WHERE project_id = $1 AND user_id = $2 FOR UPDATE) before
		WHERE  m.project_id = $1 AND m.user_id = $2 AND before.role <> $3
		RETURNING m.version, before.role AS role`
	var changed struct {
		Version int64       `db:"version"`
		Before  tenant.Role `db:"role"`
	}
	if err := tx.GetContext(ctx, &changed, q, int64(p), userID, string(role)); pg.NoRows(err) {
		return role, nil
	} else if err != nil {
		return "", fmt.Errorf("set role: %w", err)
	}
	if err := sayMembership(ctx, tx, p, userID, role, changed.Version); err != nil {
		return "", err
	}
	return changed.Before, outbox.Add(ctx, tx, &authv1.MemberRoleChanged{
		ProjectId: id32(p), MemberId: memberID(p, userID), Version: id32(changed.Version), UserId: id32(userID),
		Role: string(role), RoleBefore: string(changed.Before), ChangedBy: id32(by),
	})
}

// Remove ends a membership, with its facts, and with keys the keys that the member has
// made for service accounts.
func (s Members) Remove(ctx context.Context, p tenant.Project, by tenant.Identity, userID int64, keys bool, now time.Time, decide member.Decision) error {
	return s.db.AcrossProjects(ctx, "remove a member", func(ctx context.Context, tx *sqlx.Tx) error {
		var had tenant.Role
		_, err := s.decide(ctx, tx, p, by, userID, func(now tenant.Identity, has tenant.Role) (tenant.Role, error) {
			had = has
			return decide(now, has)
		})
		if err != nil {
			return err
		}
		bus.Changed(ctx, "role", string(had), "")
		if err := remove(ctx, tx, p, by.UserID, userID, now); err != nil || !keys {
			return err
		}
		ended, err := revokeMade(ctx, tx, p, userID, now) // after: nobody makes one any more
		if err == nil {
			bus.Changed(ctx, "made_keys", strconv.Itoa(ended), "0")
		}
		return err
	})
}

// remove ends a membership of a project that is locked, with its facts, and what
// the member had there: open invitations and keys.
func remove(ctx context.Context, tx *sqlx.Tx, p tenant.Project, by, userID int64, now time.Time) error {
	if err := lockMemberships(ctx, tx, userID); err != nil {
		return err
	}
	const end = `
			DELETE FROM memberships WHERE project_id = $1 AND user_id = $2
			RETURNING nextval('membership_versions') AS version, is_default`
	var ended struct {
		Version   int64 `db:"version"`
		IsDefault bool  `db:"is_default"`
	}
	if err := tx.GetContext(ctx, &ended, end, int64(p), userID); err != nil {
		return fmt.Errorf("end membership: %w", err)
	}
	const closing = `
			UPDATE invitations SET revoked_at = $3
			WHERE  project_id = $1 AND invited_by = $2 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $3
			RETURNING id`
	var closed []int64
	if err := tx.SelectContext(ctx, &closed, closing, int64(p), userID, now); err != nil {
		return fmt.Errorf("close invitations: %w", err)
	}
	for _, id := range closed {
		if err := sayRevoked(ctx, tx, p, id, by); err != nil {
			return err
		}
	}
	if err := revokeKeys(ctx, tx, p, userID, now); err != nil { // they would be good again with a new invitation
		return err
	}
	if ended.IsDefault {
		const move = `
				UPDATE memberships SET is_default = true
				WHERE  user_id = $1 AND project_id = (SELECT project_id FROM memberships WHERE user_id = $1 ORDER BY created_at, project_id LIMIT 1)`
		if _, err := tx.ExecContext(ctx, move, userID); err != nil {
			return fmt.Errorf("move default: %w", err)
		}
	}
	if err := sayMembership(ctx, tx, p, userID, tenant.NoRole, ended.Version); err != nil {
		return err
	}
	return outbox.Add(ctx, tx, &authv1.MemberRemoved{
		ProjectId: id32(p), MemberId: memberID(p, userID), Version: id32(ended.Version), UserId: id32(userID), RemovedBy: id32(by),
	})
}

// SetDefault makes the project the caller's default.
func (s Members) SetDefault(ctx context.Context, p tenant.Project, by tenant.Identity) error {
	return s.db.AcrossProjects(ctx, "choose a default project", func(ctx context.Context, tx *sqlx.Tx) error {
		if err := s.callerNow(ctx, tx, by); err != nil {
			return err
		}
		if err := lockMemberships(ctx, tx, by.UserID); err != nil {
			return err
		}
		return makeDefault(ctx, tx, p, by.UserID)
	})
}

// lockMemberships orders what is done to the default of a user, as a deletion of
// its projects does.
func lockMemberships(ctx context.Context, tx *sqlx.Tx, userID int64) error {
	const q = `SELECT project_id FROM memberships WHERE user_id = $1 ORDER BY project_id FOR UPDATE`
	var all []int64
	if err := tx.SelectContext(ctx, &all, q, userID); err != nil {
		return fmt.Errorf("lock memberships: %w", err)
	}
	return nil
}

// makeDefault moves the default of a user. Gateways that remember which project
// that is are told by the membership.
func makeDefault(ctx context.Context, tx *sqlx.Tx, p tenant.Project, userID int64) error {
	const leave = `UPDATE memberships SET is_default = false WHERE user_id = $1 AND is_default AND project_id <> $2`
	if _, err := tx.ExecContext(ctx, leave, userID, int64(p)); err != nil {
		return fmt.Errorf("leave default: %w", err)
	}
	const take = `
		UPDATE memberships SET is_default = true, version = nextval('membership_versions')
		WHERE  user_id = $1 AND project_id = $2
		RETURNING version, role`
	var taken struct {
		Version int64  `db:"version"`
		Role    string `db:"role"`
	}
	if err := tx.GetContext(ctx, &taken, take, userID, int64(p)); pg.NoRows(err) {
		return member.ErrNone
	} else if err != nil {
		return fmt.Errorf("take default: %w", err)
	}
	return sayMembership(ctx, tx, p, userID, tenant.Role(taken.Role), taken.Version)
}

// memberID is the aggregate of a membership's facts.
func memberID(p tenant.Project, userID int64) string { return fmt.Sprintf("%d:%d", p, userID) }
