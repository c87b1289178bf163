package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// Sources keeps sources, their runs and documents. It is safe for concurrent use.
type Sources struct{ db *pg.DB }

// NewSources returns the sources in db, whose schema must be migrated.
func NewSources(db *pg.DB) *Sources { return &Sources{db: db} }

const sourceColumns = `project_id, id, type, name, url, path, schedule, priority, enabled, config, credentials, status, last_run, last_good, last_error,
	documents, faults, next_run_at, parked_at, state, job_id, version, created_by, created_at, updated_at`

// ExportedSource are the columns of a source in an archive.
const ExportedSource = `id, type, name, url, path, schedule, priority, enabled, config, created_at`

// SourceColumns are the same, one by one.
func SourceColumns() []string { return strings.Split(ExportedSource, ", ") }

type sourceRow struct {
	Project     int64         `db:"project_id"`
	ID          int64         `db:"id"`
	Type        string        `db:"type"`
	Name        string        `db:"name"`
	URL         string        `db:"url"`
	Path        string        `db:"path"`
	Schedule    string        `db:"schedule"`
	Priority    int           `db:"priority"`
	Enabled     bool          `db:"enabled"`
	Config      []byte        `db:"config"`
	Credentials []byte        `db:"credentials"`
	Status      string        `db:"status"`
	LastRun     sql.NullTime  `db:"last_run"`
	LastGood    sql.NullTime  `db:"last_good"`
	LastError   string        `db:"last_error"`
	Documents   int64         `db:"documents"`
	Faults      int           `db:"faults"`
	NextRunAt   sql.NullTime  `db:"next_run_at"`
	ParkedAt    sql.NullTime  `db:"parked_at"`
	State       []byte        `db:"state"`
	JobID       uuid.NullUUID `db:"job_id"`
	Version     int64         `db:"version"`
	CreatedBy   string        `db:"created_by"`
	CreatedAt   time.Time     `db:"created_at"`
	UpdatedAt   time.Time     `db:"updated_at"`
}

func (r sourceRow) source() (source.Source, error) {
	x := source.Source{
		ID: r.ID, Project: tenant.Project(r.Project), Status: source.Status(r.Status), LastRun: utc(r.LastRun), LastGood: utc(r.LastGood), LastError: r.LastError,
		Documents: r.Documents, Faults: r.Faults, NextRun: utc(r.NextRunAt), Parked: utc(r.ParkedAt), Sealed: r.Credentials, State: r.State, Job: r.JobID.UUID,
		Version: r.Version, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
		Draft: source.Draft{
			Kind: source.Kind(r.Type), Name: r.Name, URL: r.URL, Path: r.Path, Schedule: r.Schedule, Priority: r.Priority, Enabled: r.Enabled,
		},
	}
	if err := json.Unmarshal(r.Config, &x.Config); err != nil {
		return x, fmt.Errorf("read the configuration of source %d: %w", r.ID, err)
	}
	return x, nil
}

func utc(t sql.NullTime) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}

func orNull(t time.Time) sql.NullTime { return sql.NullTime{Time: t, Valid: !t.IsZero()} }

// bytesOrNull is a value that the driver takes for null where there is none.
func bytesOrNull(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

func textOrNull(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}

// Insert keeps x, see [source.Keeper].
func (s *Sources) Insert(ctx context.Context, p tenant.Project, x source.Source, seal source.Sealing) (source.Source, error) {
	const count = `SELECT count(*) FROM sources WHERE project_id = $1`
	const insert = `
		INSERT INTO sources (project_id, type, name, url, path, schedule, priority, enabled, config, status, next_run_at, version, created_by, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14) RETURNING id`
	const keep = `UPDATE sources SET credentials = $3::bytea WHERE project_id = $1 AND id = $2`
	config, err := json.Marshal(x.Config)
	if err != nil {
		return x, err
	}
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var have int
		if err := tx.GetContext(ctx, &have, count, int64(p)); err != nil {
			return err
		}
		if have >= source.MaxPerProject {
			return source.ErrMany
		}
		err := tx.GetContext(ctx, &x.ID, insert, int64(p), string(x.Kind), x.Name, x.URL, x.Path, x.Schedule, x.Priority, x.Enabled, string(config), string(x.Status),
			orNull(x.NextRun), x.Version, x.CreatedBy, x.CreatedAt)
		if err != nil {
			return twice(err)
		}
		if x.Sealed, err = seal(x); err != nil {
			return err
		}
		if x.Sealed != nil {
			if _, err := tx.ExecContext(ctx, keep, int64(p), x.ID, x.Sealed); err != nil {
				return err
			}
		}
		return outbox.Add(ctx, tx, &ingestionv1.SourceAdded{
			ProjectId: int32(p), SourceId: int32(x.ID), Version: int32(x.Version), Type: string(x.Kind), Name: x.Name, Url: x.URL, //nolint:gosec // G115: int4
		})
	})
	return x, doing(err, "add a source")
}

// twice is the refusal of a place that there is.
func twice(err error) error {
	if e := (*pq.Error)(nil); errors.As(err, &e) && e.Code == "23505" && e.Constraint == "sources_of_a_place" {
		return source.ErrExists
	}
	return err
}

func getSource(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64, lock string) (source.Source, error) {
	q := `SELECT ` + sourceColumns + ` FROM sources WHERE project_id = $1 AND id = $2 ` + lock
	var r sourceRow
	if err := tx.GetContext(ctx, &r, q, int64(p), id); err != nil {
		if pg.NoRows(err) {
			return source.Source{}, source.ErrNotFound
		}
		return source.Source{}, err
	}
	return r.source()
}

// Get returns a source.
func (s *Sources) Get(ctx context.Context, p tenant.Project, id int64) (x source.Source, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		x, err = getSource(ctx, tx, p, id, "")
		return err
	})
	return x, doing(err, fmt.Sprintf("get source %d", id))
}

// List returns a page, see [source.Keeper].
func (s *Sources) List(ctx context.Context, p tenant.Project, f source.Filter) (page []source.Source, total int, err error) {
	const where = ` FROM sources WHERE project_id = $1 AND ($2 = '' OR type = $2) AND ($3::boolean IS NULL OR enabled = $3)`
	const q = `SELECT ` + sourceColumns + where + ` ORDER BY priority DESC, id LIMIT $4 OFFSET $5`
	var enabled sql.NullBool
	if f.Enabled != nil {
		enabled = sql.NullBool{Bool: *f.Enabled, Valid: true}
	}
	var rows []sourceRow
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &total, `SELECT count(*)`+where, int64(p), string(f.Kind), enabled); err != nil {
			return err
		}
		return tx.SelectContext(ctx, &rows, q, int64(p), string(f.Kind), enabled, f.Limit, f.Skip)
	})
	page = make([]source.Source, 0, len(rows))
	for _, r := range rows {
		x, rerr := r.source()
		err = errors.Join(err, rerr)
		page = append(page, x)
	}
	return page, total, doing(err, "list sources")
}

const update = `
	UPDATE sources SET name = $3, url = $4, path = $5, schedule = $6, priority = $7, enabled = $8, config = $9, credentials = $10::bytea, status = $11, last_run = $12,
		last_good = $13, last_error = $14, documents = $15, faults = $16, next_run_at = $17, parked_at = $18, state = $19, job_id = $20, version = $21, updated_at = $22
	WHERE  project_id = $1 AND id = $2`

func write(ctx context.Context, tx *sqlx.Tx, x source.Source) error {
	config, err := json.Marshal(x.Config)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, update, int64(x.Project), x.ID, x.Name, x.URL, x.Path, x.Schedule, x.Priority, x.Enabled, string(config), bytesOrNull(x.Sealed), string(x.Status),
		orNull(x.LastRun), orNull(x.LastGood), x.LastError, x.Documents, x.Faults, orNull(x.NextRun), orNull(x.Parked), textOrNull(x.State),
		uuid.NullUUID{UUID: x.Job, Valid: x.Job != uuid.Nil}, x.Version, x.UpdatedAt)
	return twice(err)
}

// Update changes a source, see [source.Keeper].
func (s *Sources) Update(ctx context.Context, p tenant.Project, id int64, now time.Time, change func(source.Source) (source.Source, error)) (x source.Source, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		old, err := getSource(ctx, tx, p, id, "FOR UPDATE")
		if err != nil {
			return err
		}
		if x, err = change(old); err != nil {
			return err
		}
		x.Version, x.UpdatedAt = old.Version+1, now
		if err := write(ctx, tx, x); err != nil {
			return err
		}
		return changed(ctx, tx, x)
	})
	return x, doing(err, fmt.Sprintf("change source %d", id))
}

func changed(ctx context.Context, tx *sqlx.Tx, x source.Source) error {
	return outbox.Add(ctx, tx, &ingestionv1.SourceChanged{
		ProjectId: int32(x.Project), SourceId: int32(x.ID), Version: int32(x.Version), Name: x.Name, Url: x.URL, Enabled: x.Enabled, //nolint:gosec // G115: int4
	})
}

// Delete removes a source, see [source.Keeper].
func (s *Sources) Delete(ctx context.Context, p tenant.Project, id int64, documents bool) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		x, err := getSource(ctx, tx, p, id, "FOR UPDATE")
		if err != nil {
			return err
		}
		if documents {
			if _, err := release(ctx, tx, p, id, everything); err != nil {
				return err
			}
		}
		const orphan = `UPDATE documents SET source_id = NULL WHERE project_id = $1 AND source_id = $2`
		if _, err := tx.ExecContext(ctx, orphan, int64(p), id); err != nil {
			return err
		}
		const q = `DELETE FROM sources WHERE project_id = $1 AND id = $2` // runs and sightings follow
		if _, err := tx.ExecContext(ctx, q, int64(p), id); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, &ingestionv1.SourceRemoved{ProjectId: int32(p), SourceId: int32(id), Version: int32(x.Version + 1)}) //nolint:gosec // G115: int4
	})
	return doing(err, fmt.Sprintf("remove source %d", id))
}

// doing says what was being done, unless the error is a refusal for the caller.
func doing(err error, what string) error {
	if e := (*errs.Error)(nil); err == nil || errors.As(err, &e) && e.Kind.Refusal() {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}
