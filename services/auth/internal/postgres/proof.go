package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
)

// service is the name under which these rows are purged.
const service = "auth"

// stays is what the service keeps of a project that is gone.
var stays = []purge.Rule{
	{Table: "project_deletions", Stay: "true", Why: "this proof"},
	{Table: "outbox", Stay: "subject LIKE 'evt.%.auth.project.deleting.v1'", Why: "the fact that it is deleted, which others hear yet; for seven days"},
	{Table: "inbox", Stay: "true", Why: "ids of facts that were heard, so that none is taken twice; for thirty days"},
	{Table: "operations", Stay: "operation = 'deleteProject'", Why: "the answer of the deletion, for the same call again; for a day"},
	// They have a way of their own to go.
	{Table: "audit_entries", Stay: "true"},
	{Table: "audit_heads", Stay: "true"},
}

// Confirmed lists the deletions that no holder is awaited for. What this service
// has to say of the project yet, or to hear, comes first: it is not said of what
// is gone, and an entry of the audit log is not lost.
func (s Projects) Confirmed(ctx context.Context) ([]project.Confirmed, error) {
	const q = `
		SELECT p.project_id,
		       NOT EXISTS (SELECT FROM outbox o WHERE o.project_id = p.project_id AND o.published_at IS NULL AND o.parked_at IS NULL)
		       AND NOT EXISTS (SELECT FROM outbox_promises o WHERE o.project_id = p.project_id)
		       AND NOT EXISTS (SELECT FROM held_facts h WHERE h.project_id = p.project_id) AS settled
		FROM   projects p
		WHERE  p.deleted_at IS NOT NULL
		AND    NOT EXISTS (SELECT FROM project_purges w WHERE w.project_id = p.project_id AND w.confirmed_at IS NULL)
		ORDER  BY p.deleted_at LIMIT 100`
	var rows []struct {
		ID      int64 `db:"project_id"`
		Settled bool  `db:"settled"`
	}
	err := s.db.AcrossProjects(ctx, "end deletions of projects", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q)
	})
	if err != nil {
		return nil, fmt.Errorf("find deletions to end: %w", err)
	}
	out := make([]project.Confirmed, len(rows))
	for i, r := range rows {
		out[i] = project.Confirmed{Project: tenant.Project(r.ID), Settled: r.Settled}
	}
	return out, nil
}

// Finish removes the rest of a project and keeps what was counted.
func (s Projects) Finish(ctx context.Context, id tenant.Project, streams []purge.Part, now time.Time) error {
	return s.db.InTenant(ctx, id, func(ctx context.Context, tx *sqlx.Tx) error {
		const lock = `
			SELECT name, version, deleted_at, coalesce(deleted_by, 0) AS deleted_by
			FROM   projects WHERE project_id = $1 AND deleted_at IS NOT NULL FOR UPDATE`
		var row struct {
			Name    string    `db:"name"`
			Version int64     `db:"version"`
			At      time.Time `db:"deleted_at"`
			By      int64     `db:"deleted_by"`
		}
		if err := tx.GetContext(ctx, &row, lock, int64(id)); pg.NoRows(err) {
			return nil // another replica was faster
		} else if err != nil {
			return fmt.Errorf("lock project: %w", err)
		}
		proof, err := confirmed(ctx, tx, id)
		if err != nil {
			return err
		}
		own, err := purge.Rows(ctx, tx, id, stays...)
		if err != nil {
			return err
		}
		call, err := deletedBy(ctx, tx, id, row.By, row.At)
		if err != nil {
			return err
		}
		call.RecordedAt = now
		call.Target = []audit.Named{{Name: "project_id", Value: strconv.FormatInt(int64(id), 10)}, {Name: "name", Value: bus.Clean(row.Name)}}
		log, err := Trail(s).bury(ctx, id)
		if err != nil {
			return err
		}
		if err := recount(ctx, tx, id, own); err != nil {
			return err
		}
		if err := s.forgetAnswers(ctx, id); err != nil {
			return err
		}
		proof = append(proof, project.Purge{Service: project.Streams, ConfirmedAt: &now, Parts: streams}, project.Purge{Service: service, ConfirmedAt: &now, Parts: own})
		text, err := json.Marshal(proof)
		if err != nil {
			return fmt.Errorf("keep the proof: %w", err)
		}
		// A version of before has begun it without a row.
		const keep = `
			INSERT INTO project_deletions (project_id, requested_by, requested_at, finished_at, purges) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (project_id) DO UPDATE SET finished_at = excluded.finished_at, purges = excluded.purges`
		if _, err := tx.ExecContext(ctx, keep, int64(id), row.By, row.At, now, string(text)); err != nil {
			return fmt.Errorf("keep the proof: %w", err)
		}
		if err := Trail(s).tombstone(ctx, id, call, log, proof, now); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, &authv1.ProjectDeleted{ProjectId: id32(id), Version: id32(row.Version + 1)})
	})
}

// forgetAnswers takes the name of a project out of the answers to calls of the
// instance that tell of it: that of its creation, for a day. The same call again is
// told that it is gone, and does not make another.
func (s Projects) forgetAnswers(ctx context.Context, id tenant.Project) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			UPDATE operations SET status = 0, headers = '{}', body = NULL, error = '{"kind": "not_found", "msg": "project not found"}'
			WHERE  project_id = 0 AND operation IN ('createProject', 'acceptInvitation') AND body IS NOT NULL
			AND    convert_from(body, 'UTF8')::jsonb ->> 'id' = $1`
		if _, err := tx.ExecContext(ctx, q, strconv.FormatInt(int64(id), 10)); err != nil {
			return fmt.Errorf("forget the answer of its creation: %w", err)
		}
		return nil
	})
}

// recount looks at the audit log, which went after everything else.
func recount(ctx context.Context, tx *sqlx.Tx, id tenant.Project, parts []purge.Part) error {
	for i := range parts {
		part := &parts[i]
		if part.Name != "audit_entries" && part.Name != "audit_heads" {
			continue
		}
		before := part.Kept
		// The names are the two above.
		if err := tx.GetContext(ctx, &part.Left, `SELECT count(*) FROM `+part.Name+` WHERE project_id = $1`, int64(id)); err != nil {
			return fmt.Errorf("count what is left of the audit log: %w", err)
		}
		if part.Left > 0 {
			return fmt.Errorf("%w: %d rows of project %d in %s", purge.ErrLeft, part.Left, id, part.Name)
		}
		part.Removed, part.Kept, part.Why = before, 0, ""
	}
	return nil
}

// confirmed is what the holders have counted.
func confirmed(ctx context.Context, tx *sqlx.Tx, id tenant.Project) ([]project.Purge, error) {
	const q = `SELECT service, confirmed_at, parts FROM project_purges WHERE project_id = $1 ORDER BY service`
	var rows []struct {
		Service string     `db:"service"`
		At      *time.Time `db:"confirmed_at"`
		Parts   []byte     `db:"parts"`
	}
	if err := tx.SelectContext(ctx, &rows, q, int64(id)); err != nil {
		return nil, fmt.Errorf("read the purges: %w", err)
	}
	out := make([]project.Purge, len(rows))
	for i, r := range rows {
		out[i] = project.Purge{Service: r.Service, ConfirmedAt: utc(r.At)}
		if err := json.Unmarshal(r.Parts, &out[i].Parts); err != nil {
			return nil, fmt.Errorf("read the purge of %s: %w", r.Service, err)
		}
	}
	return out, nil
}

// Deletion returns what is known of a deletion.
func (s Projects) Deletion(ctx context.Context, id tenant.Project) (p project.Proof, err error) {
	err = s.db.InTenant(ctx, id, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT requested_by, requested_at, finished_at, purges FROM project_deletions WHERE project_id = $1`
		var row struct {
			By       int64      `db:"requested_by"`
			At       time.Time  `db:"requested_at"`
			Finished *time.Time `db:"finished_at"`
			Purges   []byte     `db:"purges"`
		}
		if err := tx.GetContext(ctx, &row, q, int64(id)); pg.NoRows(err) {
			return project.ErrNoDeletion
		} else if err != nil {
			return fmt.Errorf("read a deletion: %w", err)
		}
		p = project.Proof{Project: id, RequestedBy: row.By, RequestedAt: row.At.UTC(), FinishedAt: utc(row.Finished)}
		if p.FinishedAt == nil {
			p.Purges, err = confirmed(ctx, tx, id)
			return err
		}
		if err := json.Unmarshal(row.Purges, &p.Purges); err != nil {
			return fmt.Errorf("read a deletion: %w", err)
		}
		return nil
	})
	return p, err
}
