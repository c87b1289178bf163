package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/share"
)

// Shares keeps with whom projects are shared.
type Shares struct{ db *pg.DB }

// NewShares returns the store in db.
func NewShares(db *pg.DB) *Shares { return &Shares{db} }

type shareRow struct {
	Project  int64     `db:"project_id"`
	Instance string    `db:"instance"`
	Name     string    `db:"name"`
	By       string    `db:"created_by"`
	Created  time.Time `db:"created_at"`
}

func (r shareRow) share() share.Share {
	return share.Share{Project: tenant.Project(r.Project), Instance: r.Instance, Name: r.Name, By: r.By, Created: r.Created}
}

func shares(rows []shareRow) []share.Share {
	out := make([]share.Share, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.share())
	}
	return out
}

// Of returns the shares of a project by instance.
func (s *Shares) Of(ctx context.Context, p tenant.Project) ([]share.Share, error) {
	const q = `
		SELECT project_id, instance, name, coalesce(created_by, '') AS created_by, created_at
		FROM   shares
		WHERE  project_id = $1
		ORDER  BY instance`
	var rows []shareRow
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return tx.SelectContext(ctx, &rows, q, int64(p)) })
	if err != nil {
		return nil, fmt.Errorf("list shares: %w", err)
	}
	return shares(rows), nil
}

// With returns what is shared with an instance, in every project.
func (s *Shares) With(ctx context.Context, instance string) ([]share.Share, error) {
	const q = `
		SELECT project_id, instance, name, coalesce(created_by, '') AS created_by, created_at
		FROM   shares
		WHERE  instance = $1
		ORDER  BY project_id`
	var rows []shareRow
	err := s.db.AcrossProjects(ctx, "answer another instance", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, instance)
	})
	if err != nil {
		return nil, fmt.Errorf("list what is shared with %s: %w", instance, err)
	}
	return shares(rows), nil
}

// Put writes a share; one that is there gets the name.
func (s *Shares) Put(ctx context.Context, sh share.Share) (share.Share, error) {
	const q = `
		INSERT INTO shares (project_id, instance, name, created_by) VALUES ($1, $2, $3, nullif($4, ''))
		ON CONFLICT (project_id, instance) DO UPDATE SET name = excluded.name
		RETURNING project_id, instance, name, coalesce(created_by, '') AS created_by, created_at`
	var r shareRow
	err := s.db.InTenant(ctx, sh.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &r, q, int64(sh.Project), sh.Instance, sh.Name, sh.By)
	})
	if err != nil {
		return share.Share{}, fmt.Errorf("share with %s: %w", sh.Instance, err)
	}
	return r.share(), nil
}

// Delete removes a share, and reports whether there was one.
func (s *Shares) Delete(ctx context.Context, p tenant.Project, instance string) (found bool, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM shares WHERE project_id = $1 AND instance = $2`, int64(p), instance)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		found = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("end the share with %s: %w", instance, err)
	}
	return found, nil
}

// Purge removes what is kept of a project, and says so.
func (s *Shares) Purge(ctx context.Context, p tenant.Project, o purge.Order) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return purge.Obey(ctx, tx, p, o) })
}
