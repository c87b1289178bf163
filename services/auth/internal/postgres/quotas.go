package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/quota"
)

// Put sets a quota, and says so.
func (s Quotas) Put(ctx context.Context, by tenant.Identity, q quota.Quota, keep func(old quota.Quota) error) error {
	return s.change(ctx, by, q.Project, q.Class, func(ctx context.Context, tx *sqlx.Tx, old *quota.Quota) error {
		if old != nil {
			if err := keep(*old); err != nil {
				return err
			}
		}
		before := ""
		if old != nil {
			before = old.Limit()
		}
		bus.Changed(ctx, "limit", before, q.Limit())
		const put = `
			INSERT INTO project_quotas (project_id, class, calls, seconds, raised, set_by, set_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (project_id, class) DO UPDATE
			SET calls = $3, seconds = $4, raised = $5, set_by = $6, set_at = $7, version = nextval('quota_versions')
			RETURNING version`
		var version int32
		if err := tx.GetContext(ctx, &version, put, int64(q.Project), q.Class, q.Calls, int64(q.Per/time.Second), q.Raised, q.By, q.Set); err != nil {
			return fmt.Errorf("write quota: %w", err)
		}
		return outbox.Add(ctx, tx, limitChanged(q.Project, q.Class, version, q.Limit()))
	})
}

// Reset removes a quota, and says so.
func (s Quotas) Reset(ctx context.Context, by tenant.Identity, p tenant.Project, class string, keep func(old quota.Quota) error) error {
	return s.change(ctx, by, p, class, func(ctx context.Context, tx *sqlx.Tx, old *quota.Quota) error {
		if old == nil {
			return quota.ErrNone
		}
		if err := keep(*old); err != nil {
			return err
		}
		bus.Changed(ctx, "limit", old.Limit(), "")
		const remove = `DELETE FROM project_quotas WHERE project_id = $1 AND class = $2 RETURNING nextval('quota_versions')`
		var version int32
		if err := tx.GetContext(ctx, &version, remove, int64(p), class); err != nil {
			return fmt.Errorf("remove quota: %w", err)
		}
		return outbox.Add(ctx, tx, limitChanged(p, class, version, ""))
	})
}

func limitChanged(p tenant.Project, class string, version int32, limit string) *authv1.LimitChanged {
	return &authv1.LimitChanged{ProjectId: id32(p), LimitId: fmt.Sprintf("%d:%s", p, class), Version: version, Limit: limit, Class: class}
}

// change locks the project and reads what it has set, nil for nothing, for who is an
// admin now.
func (s Quotas) change(ctx context.Context, by tenant.Identity, p tenant.Project, class string, fn func(ctx context.Context, tx *sqlx.Tx, old *quota.Quota) error) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := lockProject(ctx, tx, p); errors.Is(err, project.ErrNotFound) {
			return quota.ErrNone
		} else if err != nil {
			return err
		}
		now, err := s.roleNow(ctx, tx, p, by)
		if err != nil {
			return err
		}
		if err := project.Permit(now, p, tenant.Admin); err != nil {
			return err
		}
		old := quota.Quota{Project: p, Class: class}
		const read = `SELECT raised, calls, seconds FROM project_quotas WHERE project_id = $1 AND class = $2`
		var seconds int64
		if err := tx.QueryRowxContext(ctx, read, int64(p), class).Scan(&old.Raised, &old.Calls, &seconds); pg.NoRows(err) {
			return fn(ctx, tx, nil)
		} else if err != nil {
			return fmt.Errorf("read quota: %w", err)
		}
		old.Per = time.Duration(seconds) * time.Second
		return fn(ctx, tx, &old)
	})
}

// quotasOf reads what [Store.Access] has aggregated: NULL for none.
func quotasOf(p tenant.Project, aggregated []byte) ([]quota.Quota, error) {
	if len(aggregated) == 0 {
		return nil, nil
	}
	var rows []struct {
		Class   string `json:"class"`
		Calls   int    `json:"calls"`
		Seconds int    `json:"seconds"`
		Raised  bool   `json:"raised"`
	}
	if err := json.Unmarshal(aggregated, &rows); err != nil {
		return nil, fmt.Errorf("read quotas: %w", err)
	}
	out := make([]quota.Quota, len(rows))
	for i, r := range rows {
		out[i] = quota.Quota{Project: p, Class: r.Class, Calls: r.Calls, Per: time.Duration(r.Seconds) * time.Second, Raised: r.Raised}
	}
	return out, nil
}
