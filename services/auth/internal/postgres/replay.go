package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// replayPage is how many rows are read at once: whoever listens may be slow, and
// must hold no transaction meanwhile.
const replayPage = 500

// Replay tells which projects there are, and then who belongs to them, with the
// versions of now: those of one project, or of all for the instance, that have
// changed since the time. Memberships do not know when they changed, and are told
// always.
func (s *Store) Replay(ctx context.Context, p tenant.Project, since time.Time, tell func(fact proto.Message, at time.Time) error) error {
	if err := s.replayProjects(ctx, p, since, tell); err != nil {
		return fmt.Errorf("replay projects: %w", err)
	}
	if err := s.replayMemberships(ctx, p, tell); err != nil {
		return fmt.Errorf("replay memberships: %w", err)
	}
	return nil
}

func (s *Store) replayProjects(ctx context.Context, p tenant.Project, since time.Time, tell func(fact proto.Message, at time.Time) error) error {
	const q = `
		SELECT project_id, name, owner_id, version, updated_at, deleted_at, coalesce(deleted_by, 0) AS deleted_by
		FROM   projects
		WHERE  ($1::bigint = 0 OR project_id = $1) AND updated_at >= $2 AND project_id > $3
		ORDER  BY project_id
		LIMIT  $4`
	type row struct {
		ID        int64      `db:"project_id"`
		Name      string     `db:"name"`
		OwnerID   int64      `db:"owner_id"`
		Version   int64      `db:"version"`
		UpdatedAt time.Time  `db:"updated_at"`
		DeletedAt *time.Time `db:"deleted_at"`
		DeletedBy int64      `db:"deleted_by"`
	}
	for after := int64(0); ; {
		var rows []row
		err := s.db.AcrossProjects(ctx, "tell which projects there are", func(ctx context.Context, tx *sqlx.Tx) error {
			return tx.SelectContext(ctx, &rows, q, int64(p), since.UTC(), after, replayPage)
		})
		if err != nil {
			return err
		}
		for _, r := range rows {
			after = r.ID
			// The name that a deletion found is that of the version before it.
			version := r.Version
			if r.DeletedAt != nil {
				version--
			}
			created := &authv1.ProjectCreated{ProjectId: id32(r.ID), Version: id32(version), Name: r.Name, CreatedBy: id32(r.OwnerID)}
			if err := tell(created, r.UpdatedAt); err != nil {
				return err
			}
			if r.DeletedAt == nil {
				continue
			}
			deleting := &authv1.ProjectDeleting{ProjectId: id32(r.ID), Version: id32(r.Version), RequestedBy: id32(r.DeletedBy)}
			if err := tell(deleting, *r.DeletedAt); err != nil {
				return err
			}
		}
		if len(rows) < replayPage {
			return nil
		}
	}
}

func (s *Store) replayMemberships(ctx context.Context, p tenant.Project, tell func(fact proto.Message, at time.Time) error) error {
	const q = `
		SELECT m.project_id, m.user_id, m.role, m.version, m.created_at
		FROM   memberships m JOIN projects p ON p.project_id = m.project_id AND p.deleted_at IS NULL
		WHERE  ($1::bigint = 0 OR m.project_id = $1) AND (m.project_id, m.user_id) > ($2, $3)
		ORDER  BY m.project_id, m.user_id
		LIMIT  $4`
	type row struct {
		ProjectID int64     `db:"project_id"`
		UserID    int64     `db:"user_id"`
		Role      string    `db:"role"`
		Version   int64     `db:"version"`
		CreatedAt time.Time `db:"created_at"`
	}
	for project, user := int64(0), int64(0); ; {
		var rows []row
		err := s.db.AcrossProjects(ctx, "tell who belongs to projects", func(ctx context.Context, tx *sqlx.Tx) error {
			return tx.SelectContext(ctx, &rows, q, int64(p), project, user, replayPage)
		})
		if err != nil {
			return err
		}
		for _, r := range rows {
			project, user = r.ProjectID, r.UserID
			err := tell(membershipChanged(tenant.Project(r.ProjectID), r.UserID, tenant.Role(r.Role), r.Version), r.CreatedAt)
			if err != nil {
				return err
			}
		}
		if len(rows) < replayPage {
			return nil
		}
	}
}
