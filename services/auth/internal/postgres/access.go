package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/access"
)

// Access reads the standing of a user in one statement. An unknown user has
// none.
func (s *Store) Access(ctx context.Context, userID int64, p tenant.Project, id *uuid.UUID, now time.Time) (access.Access, error) {
	// A project that is being deleted has no memberships; only a superuser could
	// still name it.
	const q = `
		SELECT u.id, u.email, u.is_active, u.is_superuser,
		       $3::uuid IS NULL OR EXISTS (
		           SELECT 1 FROM sessions s
		           WHERE  s.id = $3 AND s.user_id = u.id AND s.revoked_at IS NULL AND s.expires_at > $4) AS session_live,
		       coalesce(m.project_id, g.project_id, 0) AS project_id, coalesce(m.role, '') AS role,
		       (SELECT json_agg(json_build_object('class', l.class, 'calls', l.calls, 'seconds', l.seconds, 'raised', l.raised) ORDER BY l.class)
		        FROM project_quotas l WHERE l.project_id = coalesce(m.project_id, g.project_id)) AS quotas
		FROM   users u
		LEFT   JOIN LATERAL (
		           SELECT project_id, role FROM memberships
		           WHERE  user_id = u.id AND ($2::bigint = 0 OR project_id = $2)
		           ORDER  BY is_default DESC, created_at, project_id LIMIT 1) m ON true
		LEFT   JOIN projects g ON u.is_superuser AND g.project_id = $2 AND g.deleted_at IS NULL
		WHERE  u.id = $1`
	var row struct {
		ID          int64  `db:"id"`
		Email       string `db:"email"`
		Active      bool   `db:"is_active"`
		Superuser   bool   `db:"is_superuser"`
		SessionLive bool   `db:"session_live"`
		Project     int64  `db:"project_id"`
		Role        string `db:"role"`
		Quotas      []byte `db:"quotas"`
	}
	err := s.db.AcrossProjects(ctx, "resolve access", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &row, q, userID, int64(p), id, now)
	})
	if pg.NoRows(err) {
		return access.Access{}, nil
	}
	if err != nil {
		return access.Access{}, err
	}
	quotas, err := quotasOf(tenant.Project(row.Project), row.Quotas)
	if err != nil {
		return access.Access{}, err
	}
	return access.Access{
		Quotas: quotas,
		UserID: row.ID, Email: row.Email, Active: row.Active, Superuser: row.Superuser, SessionLive: row.SessionLive,
		Project: tenant.Project(row.Project), Role: tenant.Role(row.Role),
	}, nil
}
