package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/quota"
	"github.com/commandcenter/commandcenter/services/auth/internal/transfer"
)

// ImportJob is the kind of the jobs that import a project.
const ImportJob = "import"

// Imports keeps what is being imported.
type Imports struct {
	*Store
	Holders []string // the services that purge what is given up
}

// Enqueue begins an import, in the transaction of ctx.
func (s Imports) Enqueue(ctx context.Context, by tenant.Identity, t transfer.Task) (id uuid.UUID, err error) {
	payload, err := json.Marshal(t)
	if err != nil {
		return uuid.Nil, fmt.Errorf("begin an import: %w", err)
	}
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := s.callerNow(ctx, tx, by); err != nil {
			return err
		}
		id, err = jobs.Enqueue(ctx, tx, jobs.Job{Project: tenant.Instance, Kind: ImportJob, Payload: payload, Long: true, MaxAttempts: importTries})
		return err
	})
	return id, err
}

// importTries is how often an import is tried that ends by a fault.
const importTries = 5

// Free refuses a name that the user has given to a project.
func (s Imports) Free(ctx context.Context, userID int64, name string) error {
	return s.db.AcrossProjects(ctx, "import a project", func(ctx context.Context, tx *sqlx.Tx) error {
		return free(ctx, tx, userID, name)
	})
}

func free(ctx context.Context, tx *sqlx.Tx, userID int64, name string) error {
	var used bool
	const q = `SELECT EXISTS (SELECT 1 FROM projects WHERE owner_id = $1 AND name = $2 AND deleted_at IS NULL)`
	if err := tx.GetContext(ctx, &used, q, userID, name); err != nil {
		return fmt.Errorf("look for the name of a project: %w", err)
	}
	if used {
		return project.ErrExists
	}
	return nil
}

// Reserve gives a number to a try of a job, and gives up that of the try before.
func (s Imports) Reserve(ctx context.Context, job uuid.UUID, userID int64, name string, now time.Time) (p tenant.Project, err error) {
	err = s.db.AcrossProjects(ctx, "import a project", func(ctx context.Context, tx *sqlx.Tx) error {
		if err := free(ctx, tx, userID, name); err != nil {
			return err
		}
		if err := s.abandon(ctx, tx, `job_id = $1`, job, now); err != nil {
			return err
		}
		const q = `
			INSERT INTO project_imports (project_id, job_id, owner_id, began_at)
			VALUES (nextval(pg_get_serial_sequence('projects', 'project_id')), $1, $2, $3)
			RETURNING project_id`
		if err := tx.GetContext(ctx, &p, q, job, userID, now); err != nil {
			return fmt.Errorf("reserve a number: %w", err)
		}
		return nil
	})
	return p, err
}

// Settle makes the project of a number, with its owner as member and its limits,
// and says so, unless its account or API key has ended.
func (s Imports) Settle(ctx context.Context, p tenant.Project, t transfer.Task, d project.Draft, limits []quota.Quota, now time.Time) (made project.Project, err error) {
	err = s.db.AcrossProjects(ctx, "import a project", func(ctx context.Context, tx *sqlx.Tx) error {
		const take = `DELETE FROM project_imports WHERE project_id = $1 RETURNING 1`
		var one int
		if err := tx.GetContext(ctx, &one, take, int64(p)); pg.NoRows(err) {
			return fmt.Errorf("project %d is not being imported any more", p)
		} else if err != nil {
			return fmt.Errorf("settle an import: %w", err)
		}
		// The job may have waited: what its owner was when it was given counts no more.
		// Its session may have ended: that is no word on what it began, which lets nobody in.
		if err := s.callerNow(ctx, tx, tenant.Identity{UserID: t.UserID, Key: t.Key}); err != nil {
			return err
		}
		var superuser bool
		if err := tx.GetContext(ctx, &superuser, `SELECT is_superuser FROM users WHERE id = $1`, t.UserID); err != nil {
			return fmt.Errorf("look at who imports: %w", err)
		}
		if made, err = createProject(ctx, tx, p, t.UserID, d, now); err != nil {
			return err
		}
		for _, q := range limits {
			if q.Raised && !superuser {
				continue
			}
			const put = `INSERT INTO project_quotas (project_id, class, calls, seconds, raised, set_by, set_at) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING version`
			var version int32
			if err := tx.GetContext(ctx, &version, put, int64(p), q.Class, q.Calls, int64(q.Per/time.Second), q.Raised, q.By, q.Set); err != nil {
				return fmt.Errorf("write quota: %w", err)
			}
			if err := outbox.Add(ctx, tx, limitChanged(p, q.Class, version, q.Limit())); err != nil {
				return err
			}
		}
		return nil
	})
	return made, err
}

// Abandon has everybody purge what came under the number of a job.
func (s Imports) Abandon(ctx context.Context, job uuid.UUID, now time.Time) error {
	return s.db.AcrossProjects(ctx, "give up an import", func(ctx context.Context, tx *sqlx.Tx) error {
		return s.abandon(ctx, tx, `job_id = $1`, job, now)
	})
}

// Sweep gives up the numbers of imports whose job has ended without.
func (s Imports) Sweep(ctx context.Context, now time.Time) error {
	return s.db.AcrossProjects(ctx, "give up imports", func(ctx context.Context, tx *sqlx.Tx) error {
		const ended = `NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = job_id AND j.finished_at IS NULL) AND began_at < $1`
		return s.abandon(ctx, tx, ended, now.Add(-time.Minute), now)
	})
}

// Dead are the imports of the last hour whose process died at every try, so that
// nobody has answered them.
func (s Imports) Dead(ctx context.Context) (out []transfer.Task, err error) {
	err = s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT payload FROM jobs WHERE project_id = 0 AND kind = $1 AND state = 'dead' AND finished_at > now() - interval '1 hour'`
		var payloads [][]byte
		if err := tx.SelectContext(ctx, &payloads, q, ImportJob); err != nil {
			return fmt.Errorf("find dead imports: %w", err)
		}
		for _, p := range payloads {
			var t transfer.Task
			if err := json.Unmarshal(p, &t); err != nil {
				return fmt.Errorf("read a dead import: %w", err)
			}
			out = append(out, t)
		}
		return nil
	})
	return out, err
}

// abandon makes a project that is being deleted of each number, so that it goes
// the way of all projects that are deleted.
func (s Imports) abandon(ctx context.Context, tx *sqlx.Tx, which string, arg any, now time.Time) error {
	var rows []struct {
		ID    int64 `db:"project_id"`
		Owner int64 `db:"owner_id"`
	}
	if err := tx.SelectContext(ctx, &rows, `DELETE FROM project_imports WHERE `+which+` RETURNING project_id, owner_id`, arg); err != nil {
		return fmt.Errorf("give up imports: %w", err)
	}
	for _, r := range rows {
		const mark = `
			INSERT INTO projects (project_id, name, owner_id, created_at, updated_at, deleted_at, deleted_by, reminded_at)
			VALUES ($1, $2, $3, $4, $4, $4, $3, $4)`
		if _, err := tx.ExecContext(ctx, mark, r.ID, fmt.Sprintf("import %d", r.ID), r.Owner, now); err != nil {
			return fmt.Errorf("mark an import: %w", err)
		}
		const ask = `INSERT INTO project_purges (project_id, service, asked_at) SELECT $1, unnest($2::text[]), $3`
		if _, err := tx.ExecContext(ctx, ask, r.ID, pq.StringArray(s.Holders), now); err != nil {
			return fmt.Errorf("note purges: %w", err)
		}
		const note = `INSERT INTO project_deletions (project_id, requested_by, requested_at) VALUES ($1, $2, $3)`
		if _, err := tx.ExecContext(ctx, note, r.ID, r.Owner, now); err != nil {
			return fmt.Errorf("note the end of an import: %w", err)
		}
		if err := outbox.Add(ctx, tx, &authv1.ProjectDeleting{ProjectId: id32(r.ID), Version: 1, RequestedBy: id32(r.Owner)}); err != nil {
			return err
		}
	}
	return nil
}
