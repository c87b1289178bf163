package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
)

// Begin hides the project of its owner, or for a superuser anybody's, and says that it
// is being deleted.
func (s Projects) Begin(ctx context.Context, id tenant.Project, by tenant.Identity, holders []string, now time.Time) error {
	return s.db.AcrossProjects(ctx, "delete a project", func(ctx context.Context, tx *sqlx.Tx) error {
		var owner int64
		const lock = `SELECT owner_id FROM projects WHERE project_id = $1 AND deleted_at IS NULL FOR UPDATE`
		if err := tx.GetContext(ctx, &owner, lock, int64(id)); pg.NoRows(err) {
			return project.ErrNotFound
		} else if err != nil {
			return fmt.Errorf("lock project: %w", err)
		}
		if err := s.callerNow(ctx, tx, by); err != nil {
			return err
		}
		if !by.Superuser && by.UserID != owner { // of a moment ago
			return project.ErrForbidden
		}
		if err := refuseLast(ctx, tx, id, owner); err != nil {
			return err
		}
		if err := dissolve(ctx, tx, id); err != nil {
			return err
		}
		const mark = `
			UPDATE projects SET deleted_at = $2, reminded_at = $2, deleted_by = nullif($3, 0), updated_at = $2, version = version + 1
			WHERE  project_id = $1
			RETURNING version`
		var version int64
		if err := tx.GetContext(ctx, &version, mark, int64(id), now, by.UserID); err != nil {
			return fmt.Errorf("mark project: %w", err)
		}
		const ask = `INSERT INTO project_purges (project_id, service, asked_at) SELECT $1, unnest($2::text[]), $3`
		if _, err := tx.ExecContext(ctx, ask, int64(id), pq.StringArray(holders), now); err != nil {
			return fmt.Errorf("note purges: %w", err)
		}
		const note = `
			INSERT INTO project_deletions (project_id, requested_by, requested_at) VALUES ($1, $2, $3)
			ON CONFLICT (project_id) DO UPDATE SET requested_by = excluded.requested_by, requested_at = excluded.requested_at`
		if _, err := tx.ExecContext(ctx, note, int64(id), by.UserID, now); err != nil {
			return fmt.Errorf("note the deletion: %w", err)
		}
		return outbox.Add(ctx, tx, &authv1.ProjectDeleting{ProjectId: id32(id), Version: id32(version), RequestedBy: id32(by.UserID)}, outbox.Heard())
	})
}

// refuseLast locks all memberships of the owner, so that two deletions cannot
// take the last two projects at once.
func refuseLast(ctx context.Context, tx *sqlx.Tx, id tenant.Project, owner int64) error {
	const q = `SELECT project_id FROM memberships WHERE user_id = $1 ORDER BY project_id FOR UPDATE`
	var all []int64
	if err := tx.SelectContext(ctx, &all, q, owner); err != nil {
		return fmt.Errorf("lock memberships: %w", err)
	}
	for _, other := range all {
		if other != int64(id) {
			return nil
		}
	}
	return project.ErrLast
}

// dissolve ends all memberships of the project and gives each member whose
// default it was the oldest other one. Nobody is told of each: that the project
// is being deleted says it all.
func dissolve(ctx context.Context, tx *sqlx.Tx, id tenant.Project) error {
	const end = `
		WITH ended AS (DELETE FROM memberships WHERE project_id = $1 RETURNING user_id, is_default)
		SELECT user_id FROM ended WHERE is_default ORDER BY user_id`
	var homeless []int64
	if err := tx.SelectContext(ctx, &homeless, end, int64(id)); err != nil {
		return fmt.Errorf("end memberships: %w", err)
	}
	const move = `
		UPDATE memberships m SET is_default = true
		FROM  (SELECT DISTINCT ON (user_id) user_id, project_id FROM memberships
		       WHERE  user_id = ANY ($1)
		       ORDER  BY user_id, created_at, project_id) next
		WHERE m.user_id = next.user_id AND m.project_id = next.project_id`
	if _, err := tx.ExecContext(ctx, move, pq.Int64Array(homeless)); err != nil {
		return fmt.Errorf("move defaults: %w", err)
	}
	return nil
}

// Confirm notes that a holder has purged the project. Whatever is not awaited
// changes nothing.
func (s Projects) Confirm(ctx context.Context, id tenant.Project, holder string, parts []purge.Part, now time.Time) error {
	counted, err := json.Marshal(parts)
	if err != nil {
		return fmt.Errorf("confirm purge: %w", err)
	}
	return s.db.InTenant(ctx, id, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			UPDATE project_purges SET confirmed_at = $3, parts = $4
			WHERE  project_id = $1 AND service = $2 AND confirmed_at IS NULL`
		if _, err := tx.ExecContext(ctx, q, int64(id), holder, now, string(counted)); err != nil {
			return fmt.Errorf("confirm purge: %w", err)
		}
		return nil
	})
}

// Remind says project.deleting again for what has waited since before.
func (s Projects) Remind(ctx context.Context, before, now time.Time) (n int, err error) {
	err = s.db.AcrossProjects(ctx, "remind of purges", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			UPDATE projects SET reminded_at = $2
			WHERE  project_id IN (SELECT project_id FROM projects
			                      WHERE  deleted_at IS NOT NULL AND reminded_at <= $1
			                      ORDER  BY reminded_at LIMIT 100 FOR UPDATE SKIP LOCKED)
			RETURNING project_id, version, coalesce(deleted_by, 0) AS deleted_by`
		var rows []struct {
			ID      int64 `db:"project_id"`
			Version int64 `db:"version"`
			By      int64 `db:"deleted_by"`
		}
		if err := tx.SelectContext(ctx, &rows, q, before, now); err != nil {
			return fmt.Errorf("find waiting deletions: %w", err)
		}
		for _, r := range rows {
			err := outbox.Add(ctx, tx, &authv1.ProjectDeleting{ProjectId: id32(r.ID), Version: id32(r.Version), RequestedBy: id32(r.By)})
			if err != nil {
				return err
			}
		}
		n = len(rows)
		return nil
	})
	return n, err
}
