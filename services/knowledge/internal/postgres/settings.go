package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
)

// SettingsJob is the kind of the jobs that have an index see the settings of its
// project before a search does. They have no payload.
const SettingsJob = "settings"

// Settings are those of the searches of a project, as they are committed.
func (s *Store) Settings(ctx context.Context, p tenant.Project) (out index.Settings, err error) {
	err = s.db.InTenant(pg.Detached(ctx), p, func(ctx context.Context, tx *sqlx.Tx) error {
		out, err = settings(ctx, tx, p)
		return err
	})
	return out, err
}

func settings(ctx context.Context, tx *sqlx.Tx, p tenant.Project) (out index.Settings, err error) {
	const q = `SELECT mode, alpha, fusion, languages FROM search_settings WHERE project_id = $1`
	var alpha sql.NullFloat64
	var mode, method string
	err = tx.QueryRowxContext(ctx, q, int64(p)).Scan(&mode, &alpha, &method, &out.Languages)
	if err != nil && !pg.NoRows(err) {
		return out, fmt.Errorf("read how the project is searched: %w", err)
	}
	out.Mode, out.Method, out.Alpha, out.Weighted = index.Mode(mode), fusion.Method(method), alpha.Float64, alpha.Valid
	return out, nil
}

// Set changes the settings of the searches of a project, all or none. Searches
// that begin afterwards see them.
func (s *Store) Set(ctx context.Context, p tenant.Project, change func(*index.Settings)) (out index.Settings, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const have = `INSERT INTO search_settings (project_id) VALUES ($1) ON CONFLICT (project_id) DO UPDATE SET updated_at = now()`
		if _, err := tx.ExecContext(ctx, have, int64(p)); err != nil {
			return fmt.Errorf("lock how the project is searched: %w", err)
		}
		if out, err = settings(ctx, tx, p); err != nil {
			return err
		}
		change(&out)
		const q = `UPDATE search_settings SET mode = $2, alpha = $3, fusion = $4, languages = $5 WHERE project_id = $1`
		if _, err := tx.ExecContext(ctx, q, int64(p), string(out.Mode), sql.NullFloat64{Float64: out.Alpha, Valid: out.Weighted}, string(out.Method), out.Languages); err != nil {
			return fmt.Errorf("keep how the project is searched: %w", err)
		}
		if _, err := jobs.Enqueue(ctx, tx, jobs.Job{Project: p, Kind: SettingsJob, Payload: []byte("{}")}); err != nil {
			return fmt.Errorf("have the index see its settings: %w", err)
		}
		_, err := raise(ctx, tx, p, 0)
		return err
	})
	return out, err
}
