package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/invitation"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
)

type invitationRow struct {
	ID         int64      `db:"id"`
	Project    int64      `db:"project_id"`
	Name       string     `db:"project"`
	Role       string     `db:"role"`
	Email      *string    `db:"email"`
	InvitedBy  int64      `db:"invited_by"`
	CreatedAt  time.Time  `db:"created_at"`
	ExpiresAt  time.Time  `db:"expires_at"`
	AcceptedAt *time.Time `db:"accepted_at"`
	AcceptedBy *int64     `db:"accepted_by"`
	RevokedAt  *time.Time `db:"revoked_at"`
	standingRow
}

// standingRow is that of the inviter.
type standingRow struct {
	Inviter   string  `db:"inviter"`
	Active    bool    `db:"is_active"`
	Superuser bool    `db:"is_superuser"`
	Has       *string `db:"inviter_role"`
}

func (r standingRow) may(role string) bool {
	i := invitation.Inviter{Active: r.Active, Superuser: r.Superuser}
	if r.Has != nil {
		i.Role = tenant.Role(*r.Has)
	}
	return i.May(tenant.Role(role))
}

// open reports whether nothing is wrong with it but perhaps its inviter.
func (r invitationRow) open(now time.Time) bool {
	return r.AcceptedAt == nil && r.RevokedAt == nil && now.Before(r.ExpiresAt)
}

func (r invitationRow) noun() invitation.Invitation {
	return invitation.Invitation{
		ID: r.ID, Project: tenant.Project(r.Project), Name: r.Name, Role: tenant.Role(r.Role), Email: r.Email,
		InvitedBy: r.InvitedBy, Inviter: r.Inviter, CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
	}
}

// Create keeps an invitation of who may give its role now, and says so.
func (s Invitations) Create(ctx context.Context, by tenant.Identity, inv invitation.Invitation, key []byte) (invitation.Invitation, error) {
	err := s.db.InTenant(ctx, inv.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := lockProject(ctx, tx, inv.Project); err != nil {
			return err
		}
		who, err := standing(ctx, tx, inv.Project, inv.InvitedBy)
		if err != nil {
			return err
		}
		if !who.may(string(inv.Role)) {
			return project.ErrForbidden
		}
		if err := s.callerNow(ctx, tx, by); err != nil {
			return err
		}
		inv.Inviter = who.Inviter
		if inv.Email != nil {
			const q = `
				SELECT EXISTS (SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id
				               WHERE m.project_id = $1 AND u.email = $2)`
			var member bool
			if err := tx.GetContext(ctx, &member, q, int64(inv.Project), *inv.Email); err != nil {
				return fmt.Errorf("look for a member: %w", err)
			}
			if member {
				return invitation.ErrTheirs
			}
		}
		const count = `
			SELECT count(*) FROM invitations
			WHERE  project_id = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2`
		var open int
		if err := tx.GetContext(ctx, &open, count, int64(inv.Project), inv.CreatedAt); err != nil {
			return fmt.Errorf("count invitations: %w", err)
		}
		if open >= invitation.MaxOpen {
			return invitation.ErrMany
		}
		const put = `
			INSERT INTO invitations (project_id, secret_hash, role, email, invited_by, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			RETURNING id`
		err = tx.GetContext(ctx, &inv.ID, put, int64(inv.Project), key, string(inv.Role), inv.Email, inv.InvitedBy, inv.CreatedAt, inv.ExpiresAt)
		if err != nil {
			return fmt.Errorf("insert invitation: %w", err)
		}
		return outbox.Add(ctx, tx, &authv1.InvitationCreated{
			ProjectId: id32(inv.Project), InvitationId: id32(inv.ID), Version: 1, Role: string(inv.Role), InvitedBy: id32(inv.InvitedBy),
		})
	})
	return inv, err
}

// standing is what an inviter is now. Its role stays so while the project is locked.
func standing(ctx context.Context, tx *sqlx.Tx, p tenant.Project, userID int64) (standingRow, error) {
	const q = `SELECT email AS inviter, is_active, is_superuser FROM users WHERE id = $1`
	var row standingRow
	if err := tx.GetContext(ctx, &row, q, userID); pg.NoRows(err) {
		return row, nil // may nothing
	} else if err != nil {
		return row, fmt.Errorf("read inviter: %w", err)
	}
	role, err := roleOf(ctx, tx, p, userID)
	if err != nil {
		return row, err
	}
	has := string(role)
	row.Has = &has
	return row, nil
}

const selectInvitation = `
	SELECT i.id, i.project_id, p.name AS project, i.role, i.email, i.invited_by, i.created_at, i.expires_at, i.accepted_at, i.accepted_by, i.revoked_at,
	       u.email AS inviter, u.is_active, u.is_superuser, m.role AS inviter_role
	FROM   invitations i
	JOIN   projects p ON p.project_id = i.project_id AND p.deleted_at IS NULL
	JOIN   users u    ON u.id = i.invited_by
	LEFT   JOIN memberships m ON m.project_id = i.project_id AND m.user_id = i.invited_by`

// List returns the invitations that may be accepted, latest first.
func (s Invitations) List(ctx context.Context, p tenant.Project, now time.Time) ([]invitation.Invitation, error) {
	const q = selectInvitation + `
		WHERE  i.project_id = $1 AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > $2
		ORDER  BY i.id DESC`
	var rows []invitationRow
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, int64(p), now)
	})
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	out := make([]invitation.Invitation, 0, len(rows))
	for _, r := range rows {
		if r.may(r.Role) {
			out = append(out, r.noun())
		}
	}
	return out, nil
}

// Revoke takes an open invitation back for who is an admin now, and says so.
func (s Invitations) Revoke(ctx context.Context, p tenant.Project, id int64, by tenant.Identity, now time.Time) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := lockProject(ctx, tx, p); err != nil {
			return err
		}
		caller, err := s.roleNow(ctx, tx, p, by)
		if err != nil {
			return err
		}
		if err := project.Permit(caller, p, tenant.Admin); err != nil {
			return err
		}
		const q = `
			UPDATE invitations SET revoked_at = $3
			WHERE  project_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $3
			RETURNING id`
		var one int64
		if err := tx.GetContext(ctx, &one, q, int64(p), id, now); pg.NoRows(err) {
			return invitation.ErrNone
		} else if err != nil {
			return fmt.Errorf("revoke invitation: %w", err)
		}
		return sayRevoked(ctx, tx, p, id, by.UserID)
	})
}

func sayRevoked(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id, by int64) error {
	return outbox.Add(ctx, tx, &authv1.InvitationRevoked{ProjectId: id32(p), InvitationId: id32(id), Version: 2, RevokedBy: id32(by)})
}

// Open returns the invitation with that key, if it may be accepted.
func (s Invitations) Open(ctx context.Context, key []byte, now time.Time) (invitation.Invitation, error) {
	const q = selectInvitation + `
		WHERE  i.secret_hash = $1`
	var row invitationRow
	err := s.db.AcrossProjects(ctx, "look at an invitation", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &row, q, key)
	})
	switch {
	case pg.NoRows(err):
		return invitation.Invitation{}, invitation.ErrInvalid
	case err != nil:
		return invitation.Invitation{}, fmt.Errorf("read invitation: %w", err)
	case !row.open(now), !row.may(row.Role):
		return invitation.Invitation{}, invitation.ErrInvalid
	}
	return row.noun(), nil
}

// Accept makes the caller a member, and uses the invitation up, whose id it returns.
func (s Invitations) Accept(ctx context.Context, key []byte, by tenant.Identity, now time.Time) (out project.Mine, id int64, err error) {
	err = s.db.AcrossProjects(ctx, "accept an invitation", func(ctx context.Context, tx *sqlx.Tx) error {
		is, err := accept(ctx, tx, key, by.UserID, now)
		if err != nil {
			return err
		}
		if err := s.callerNow(ctx, tx, by); err != nil {
			return err
		}
		var row projectRow
		if err := tx.GetContext(ctx, &row, selectProject, int64(is.project)); err != nil {
			return fmt.Errorf("read project: %w", err)
		}
		out, id = project.Mine{Project: row.noun(), Role: is.role}, is.invitation
		return nil
	})
	return out, id, err
}

// accepted is what somebody has joined, as what, and by which invitation.
type accepted struct {
	project    tenant.Project
	role       tenant.Role
	invitation int64
}

// accept takes the locks in the order of whoever changes members: the project,
// then the invitation, then who invites and who joins.
func accept(ctx context.Context, tx *sqlx.Tx, key []byte, userID int64, now time.Time) (accepted, error) {
	const find = `SELECT project_id FROM invitations WHERE secret_hash = $1`
	var p tenant.Project
	if err := tx.GetContext(ctx, &p, find, key); pg.NoRows(err) {
		return accepted{}, invitation.ErrInvalid
	} else if err != nil {
		return accepted{}, fmt.Errorf("find invitation: %w", err)
	}
	if err := lockProject(ctx, tx, p); errors.Is(err, project.ErrNotFound) {
		return accepted{}, invitation.ErrInvalid
	} else if err != nil {
		return accepted{}, err
	}
	const read = selectInvitation + `
		WHERE  i.project_id = $1 AND i.secret_hash = $2
		FOR    UPDATE OF i`
	var inv invitationRow
	if err := tx.GetContext(ctx, &inv, read, int64(p), key); pg.NoRows(err) {
		return accepted{}, invitation.ErrInvalid
	} else if err != nil {
		return accepted{}, fmt.Errorf("lock invitation: %w", err)
	}
	has, err := roleOf(ctx, tx, p, userID)
	if err != nil {
		return accepted{}, err
	}
	if inv.AcceptedBy != nil && *inv.AcceptedBy == userID && has != tenant.NoRole {
		return accepted{p, has, inv.ID}, nil // the answer was lost
	}
	who, err := standing(ctx, tx, p, inv.InvitedBy)
	if err != nil {
		return accepted{}, err
	}
	var email string
	if err := holdOwner(ctx, tx, userID, &email); err != nil {
		return accepted{}, err
	}
	switch {
	case !inv.open(now), !who.may(inv.Role), inv.Email != nil && *inv.Email != email:
		return accepted{}, invitation.ErrInvalid
	case has != tenant.NoRole:
		return accepted{}, invitation.ErrMember
	}
	return accepted{p, tenant.Role(inv.Role), inv.ID}, join(ctx, tx, inv, userID, email, now)
}

// join makes the user a member and uses the invitation up. The caller has looked
// at both. Others to the same address end with it: who is removed later has none
// left to come back by.
func join(ctx context.Context, tx *sqlx.Tx, inv invitationRow, userID int64, email string, now time.Time) error {
	p, role := tenant.Project(inv.Project), tenant.Role(inv.Role)
	const use = `UPDATE invitations SET accepted_at = $3, accepted_by = $4 WHERE project_id = $1 AND id = $2`
	if _, err := tx.ExecContext(ctx, use, inv.Project, inv.ID, now, userID); err != nil {
		return fmt.Errorf("use invitation: %w", err)
	}
	const others = `
		UPDATE invitations SET revoked_at = $3
		WHERE  project_id = $1 AND email = $2 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $3
		RETURNING id`
	var ended []int64
	if err := tx.SelectContext(ctx, &ended, others, inv.Project, email, now); err != nil {
		return fmt.Errorf("end other invitations: %w", err)
	}
	for _, id := range ended {
		if err := sayRevoked(ctx, tx, p, id, userID); err != nil {
			return err
		}
	}
	version, err := addMember(ctx, tx, p, userID, role, now)
	if err != nil {
		return err
	}
	return outbox.Add(ctx, tx, &authv1.MemberJoined{
		ProjectId: id32(p), MemberId: memberID(p, userID), Version: id32(version), UserId: id32(userID),
		Role: string(role), InvitationId: id32(inv.ID), InvitedBy: id32(inv.InvitedBy),
	})
}

// Sweep removes what ended before the time, and returns how many that were.
func (s Invitations) Sweep(ctx context.Context, before time.Time) (removed int64, err error) {
	const q = `
		DELETE FROM invitations WHERE (project_id, id) IN
		(SELECT project_id, id FROM invitations WHERE expires_at <= $1 LIMIT $2)`
	const batch = 1000
	for n := int64(batch); n == batch; removed += n {
		err := s.db.AcrossProjects(ctx, "remove old invitations", func(ctx context.Context, tx *sqlx.Tx) error {
			res, err := tx.ExecContext(ctx, q, before, batch)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("sweep invitations: %w", err)
		}
	}
	return removed, nil
}
