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

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

type projectRow struct {
	ID          int64     `db:"project_id"`
	Name        string    `db:"name"`
	OwnerID     int64     `db:"owner_id"`
	Owner       string    `db:"owner"`
	Description *string   `db:"description"`
	Version     int64     `db:"version"`
	CreatedAt   time.Time `db:"created_at"`
	UpdatedAt   time.Time `db:"updated_at"`
}

func (r projectRow) noun() project.Project {
	return project.Project{
		ID: tenant.Project(r.ID), Name: r.Name, OwnerID: r.OwnerID, Owner: r.Owner, Description: r.Description,
		Version: r.Version, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

// Create makes a project of the caller, with its events.
func (s Projects) Create(ctx context.Context, owner tenant.Identity, d project.Draft, now time.Time) (p project.Project, err error) {
	err = s.db.AcrossProjects(ctx, "create a project", func(ctx context.Context, tx *sqlx.Tx) error {
		if p, err = createProject(ctx, tx, 0, owner.UserID, d, now); err != nil {
			return err
		}
		return s.callerNow(ctx, tx, owner)
	})
	return p, err
}

// createProject makes the project of a number that was reserved, or of a new one.
func createProject(ctx context.Context, tx *sqlx.Tx, id tenant.Project, ownerID int64, d project.Draft, now time.Time) (project.Project, error) {
	row := projectRow{Name: d.Name, OwnerID: ownerID, Description: d.Description, Version: 1, CreatedAt: now, UpdatedAt: now}
	if err := holdOwner(ctx, tx, ownerID, &row.Owner); err != nil {
		return project.Project{}, err
	}
	const q = `
		INSERT INTO projects (project_id, name, owner_id, description, created_at, updated_at)
		VALUES (coalesce(nullif($5::bigint, 0), nextval(pg_get_serial_sequence('projects', 'project_id'))), $1, $2, $3, $4, $4)
		ON CONFLICT (owner_id, name) WHERE deleted_at IS NULL DO NOTHING
		RETURNING project_id`
	if err := tx.GetContext(ctx, &row.ID, q, d.Name, ownerID, d.Description, now, int64(id)); pg.NoRows(err) {
		return project.Project{}, project.ErrExists
	} else if err != nil {
		return project.Project{}, fmt.Errorf("insert project: %w", err)
	}
	p := row.noun()
	err := outbox.Add(ctx, tx, &authv1.ProjectCreated{
		ProjectId: id32(p.ID), Version: id32(p.Version), Name: p.Name, CreatedBy: id32(ownerID),
	})
	if err != nil {
		return project.Project{}, err
	}
	_, err = addMember(ctx, tx, p.ID, ownerID, tenant.Owner, now)
	return p, err
}

// holdOwner keeps the owner's account for the rest of the transaction and gives
// its address. The first project of an account becomes its default, so only an
// account without one has its creations ordered: a lock held until the commit
// would let each person create one project per flush of the disk.
func holdOwner(ctx context.Context, tx *sqlx.Tx, id int64, email *string) error {
	const keep = `
		SELECT email, EXISTS (SELECT 1 FROM memberships WHERE user_id = $1 AND is_default) AS settled
		FROM   users WHERE id = $1 FOR KEY SHARE`
	var owner struct {
		Email   string `db:"email"`
		Settled bool   `db:"settled"`
	}
	if err := tx.GetContext(ctx, &owner, keep, id); pg.NoRows(err) {
		return user.ErrGone
	} else if err != nil {
		return fmt.Errorf("hold owner: %w", err)
	}
	*email = owner.Email
	if owner.Settled {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE`, id); err != nil {
		return fmt.Errorf("lock owner: %w", err)
	}
	return nil
}

// addMember makes the project the user's default when there is none. It returns
// the version of the membership.
func addMember(ctx context.Context, tx *sqlx.Tx, p tenant.Project, userID int64, role tenant.Role, now time.Time) (version int64, err error) {
	const q = `
		INSERT INTO memberships (project_id, user_id, role, is_default, created_at)
		VALUES ($1, $2, $3, NOT EXISTS (SELECT 1 FROM memberships WHERE user_id = $2 AND is_default), $4)
		RETURNING version`
	if err := tx.GetContext(ctx, &version, q, int64(p), userID, string(role), now); err != nil {
		return 0, fmt.Errorf("insert membership: %w", err)
	}
	return version, outbox.Add(ctx, tx, membershipChanged(p, userID, role, version))
}

// sayMembership tells of rights that are others now, or none; before the call that
// changed them is answered.
func sayMembership(ctx context.Context, tx *sqlx.Tx, p tenant.Project, userID int64, role tenant.Role, version int64) error {
	return outbox.Add(ctx, tx, membershipChanged(p, userID, role, version), outbox.Heard())
}

func membershipChanged(p tenant.Project, userID int64, role tenant.Role, version int64) *authv1.MembershipChanged {
	return &authv1.MembershipChanged{
		ProjectId: id32(p), MembershipId: memberID(p, userID), Version: id32(version),
		UserId: id32(userID), Role: string(role),
	}
}

// List returns a page of the user's projects, oldest first.
func (s Projects) List(ctx context.Context, userID int64, skip, limit int) ([]project.Mine, error) {
	const q = `
		SELECT p.project_id, p.name, p.owner_id, o.email AS owner, p.description, p.version, p.created_at, p.updated_at, m.role, m.is_default
		FROM   memberships m
		JOIN   projects p ON p.project_id = m.project_id AND p.deleted_at IS NULL
		JOIN   users o    ON o.id = p.owner_id
		WHERE  m.user_id = $1
		ORDER  BY p.created_at, p.project_id
		LIMIT  $3 OFFSET $2`
	var rows []struct {
		projectRow
		Role    string `db:"role"`
		Default bool   `db:"is_default"`
	}
	err := s.db.AcrossProjects(ctx, "list a user's projects", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, userID, skip, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	out := make([]project.Mine, len(rows))
	for i, r := range rows {
		out[i] = project.Mine{Project: r.noun(), Role: tenant.Role(r.Role), Default: r.Default}
	}
	return out, nil
}

const selectProject = `
	SELECT p.project_id, p.name, p.owner_id, o.email AS owner, p.description, p.version, p.created_at, p.updated_at
	FROM   projects p
	JOIN   users o ON o.id = p.owner_id
	WHERE  p.project_id = $1 AND p.deleted_at IS NULL`

// Get returns a project, or [project.ErrNotFound].
func (s Projects) Get(ctx context.Context, id tenant.Project) (project.Project, error) {
	var row projectRow
	err := s.db.InTenant(ctx, id, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &row, selectProject, int64(id))
	})
	if pg.NoRows(err) {
		return project.Project{}, project.ErrNotFound
	}
	if err != nil {
		return project.Project{}, fmt.Errorf("read project: %w", err)
	}
	return row.noun(), nil
}

// Update locks the project, asks change for who is an admin now, and keeps and says what is different
// afterwards. A new owner gets the role, and the old one becomes an admin.
func (s Projects) Update(ctx context.Context, id tenant.Project, by tenant.Identity, now time.Time, change project.Change) (project.Project, error) {
	var out project.Project
	err := s.db.InTenant(ctx, id, func(ctx context.Context, tx *sqlx.Tx) error {
		var row projectRow
		if err := tx.GetContext(ctx, &row, selectProject+` FOR UPDATE OF p`, int64(id)); pg.NoRows(err) {
			return project.ErrNotFound
		} else if err != nil {
			return fmt.Errorf("lock project: %w", err)
		}
		caller, err := s.roleNow(ctx, tx, id, by)
		if err != nil {
			return err
		}
		if err := project.Permit(caller, id, tenant.Admin); err != nil {
			return err
		}
		before := row.noun()
		after, changed, err := change(before, project.Members{
			ByAddress: func(address string) (int64, error) { return memberByAddress(ctx, tx, id, address) },
			ByID:      func(user int64) (int64, error) { return memberByID(ctx, tx, id, user) },
		})
		if err != nil || !changed {
			out = before
			return err
		}
		const q = `
			UPDATE projects
			SET    name = $2, owner_id = $3, description = $4, version = version + 1, updated_at = $5
			WHERE  project_id = $1`
		_, err = tx.ExecContext(ctx, q, int64(id), after.Name, after.OwnerID, after.Description, now)
		switch {
		case pg.UniqueViolation(err, "projects_owner_name") && after.OwnerID != before.OwnerID:
			return project.ErrHeirHas
		case pg.UniqueViolation(err, "projects_owner_name"):
			return project.ErrExists
		}
		if err != nil {
			return fmt.Errorf("update project: %w", err)
		}
		if after.OwnerID != before.OwnerID {
			if err := handOver(ctx, tx, id, before.OwnerID, after.OwnerID, by.UserID); err != nil {
				return err
			}
		}
		if err := tx.GetContext(ctx, &row, selectProject, int64(id)); err != nil {
			return fmt.Errorf("read updated project: %w", err)
		}
		out = row.noun()
		told(ctx, before, out)
		if after.OwnerID != before.OwnerID {
			err := outbox.Add(ctx, tx, &authv1.ProjectTransferred{
				ProjectId: id32(id), Version: id32(out.Version), FromUserId: id32(before.OwnerID), ToUserId: id32(out.OwnerID), TransferredBy: id32(by.UserID),
			})
			if err != nil {
				return err
			}
		}
		return outbox.Add(ctx, tx, &authv1.ProjectUpdated{ProjectId: id32(id), Version: id32(out.Version), Name: out.Name})
	})
	if err != nil {
		return project.Project{}, err
	}
	return out, nil
}

// told tells the audit log what of a project has changed; of the description, in
// which anything may stand, no more than that it has.
func told(ctx context.Context, before, now project.Project) {
	bus.Changed(ctx, "name", before.Name, now.Name)
	bus.Changed(ctx, "owner_id", strconv.FormatInt(before.OwnerID, 10), strconv.FormatInt(now.OwnerID, 10))
	if before.Description != now.Description && (before.Description == nil || now.Description == nil || *before.Description != *now.Description) {
		bus.Touched(ctx, "description")
	}
}

// handOver makes one member the owner and the one before an admin: in this order,
// since a project has one owner at a time.
func handOver(ctx context.Context, tx *sqlx.Tx, id tenant.Project, from, to, by int64) error {
	if _, err := changeRole(ctx, tx, id, from, tenant.Admin, by); err != nil {
		return fmt.Errorf("old owner: %w", err)
	}
	if _, err := changeRole(ctx, tx, id, to, tenant.Owner, by); err != nil {
		return fmt.Errorf("new owner: %w", err)
	}
	return nil
}

func memberByID(ctx context.Context, tx *sqlx.Tx, id tenant.Project, userID int64) (found int64, err error) {
	const q = `
		SELECT u.id FROM memberships m JOIN users u ON u.id = m.user_id
		WHERE  m.project_id = $1 AND u.id = $2 AND u.is_active`
	err = tx.GetContext(ctx, &found, q, int64(id), userID)
	if pg.NoRows(err) {
		return 0, nil
	}
	return found, err
}

// memberByAddress returns the active member with that address, 0 when there is
// none.
func memberByAddress(ctx context.Context, tx *sqlx.Tx, id tenant.Project, address string) (userID int64, err error) {
	email, err := user.Normalise(address)
	if err != nil {
		return 0, nil //nolint:nilerr // what is no address has no member
	}
	const q = `
		SELECT u.id FROM memberships m JOIN users u ON u.id = m.user_id
		WHERE  m.project_id = $1 AND u.email = $2 AND u.is_active`
	err = tx.GetContext(ctx, &userID, q, int64(id), email)
	if pg.NoRows(err) {
		return 0, nil
	}
	return userID, err
}
