package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/folder"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// FetchJob is the kind of jobs that run a source.
const FetchJob = "fetch"

// FetchTask is the payload of one.
type FetchTask struct {
	Source int64 `json:"source_id"`
}

const runColumns = `id, source_id, trigger, run_by, state, started_at, finished_at, seen, taken, unchanged, elsewhere, gone, failed, bytes, total, doing, note, error`

type runRow struct {
	ID         uuid.UUID    `db:"id"`
	Source     int64        `db:"source_id"`
	Trigger    string       `db:"trigger"`
	By         string       `db:"run_by"`
	State      string       `db:"state"`
	StartedAt  sql.NullTime `db:"started_at"`
	FinishedAt sql.NullTime `db:"finished_at"`
	Seen       int          `db:"seen"`
	Taken      int          `db:"taken"`
	Unchanged  int          `db:"unchanged"`
	Elsewhere  int          `db:"elsewhere"`
	Gone       int          `db:"gone"`
	Failed     int          `db:"failed"`
	Bytes      int64        `db:"bytes"`
	Total      int          `db:"total"`
	Doing      string       `db:"doing"`
	Note       string       `db:"note"`
	Error      string       `db:"error"`
}

func (r runRow) run() source.Run {
	return source.Run{
		ID: r.ID, Source: r.Source, Trigger: r.Trigger, By: r.By, State: r.State, StartedAt: utc(r.StartedAt), FinishedAt: utc(r.FinishedAt),
		Counts: source.Counts{Seen: r.Seen, Taken: r.Taken, Unchanged: r.Unchanged, Elsewhere: r.Elsewhere, Gone: r.Gone, Failed: r.Failed, Bytes: r.Bytes},
		Total:  r.Total, Doing: r.Doing, Note: r.Note, Error: r.Error,
	}
}

// Runs are the latest ones, see [source.Keeper].
func (s *Sources) Runs(ctx context.Context, p tenant.Project, id int64, skip, limit int) (out []source.Run, total int, err error) {
	const where = ` FROM runs WHERE project_id = $1 AND ($2 = 0 OR source_id = $2)`
	var rows []runRow
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if id > 0 {
			if _, err := getSource(ctx, tx, p, id, ""); err != nil {
				return err
			}
		}
		if err := tx.GetContext(ctx, &total, `SELECT count(*)`+where, int64(p), id); err != nil {
			return err
		}
		return tx.SelectContext(ctx, &rows, `SELECT `+runColumns+where+` ORDER BY queued_at DESC, id LIMIT $3 OFFSET $4`, int64(p), id, limit, skip)
	})
	out = make([]source.Run, len(rows))
	for i, r := range rows {
		out[i] = r.run()
	}
	return out, total, doing(err, "list runs")
}

// underWay says that the latest run of a source has not ended: neither it nor its job,
// which may end without a word.
const underWay = `EXISTS (
	SELECT 1 FROM jobs j JOIN runs r ON r.project_id = j.project_id AND r.id = j.id
	WHERE  j.project_id = s.project_id AND j.id = s.job_id AND j.finished_at IS NULL AND r.state IN ('queued', 'running'))`

// Enqueue makes a run, see [source.Keeper].
func (s *Sources) Enqueue(ctx context.Context, p tenant.Project, id int64, trigger, by string, now time.Time) (x source.Source, run uuid.UUID, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if x, err = getSource(ctx, tx, p, id, "FOR UPDATE"); err != nil {
			return err
		}
		if !x.Enabled {
			return source.ErrDisabled
		}
		var busy bool
		if err := tx.GetContext(ctx, &busy, `SELECT `+underWay+` FROM sources s WHERE s.project_id = $1 AND s.id = $2`, int64(p), id); err != nil {
			return err
		}
		if busy {
			run = x.Job
			return nil
		}
		run, err = enqueueRun(ctx, tx, &x, trigger, by, now)
		return err
	})
	return x, run, doing(err, fmt.Sprintf("run source %d", id))
}

// enqueueRun makes the job of a run, in a transaction that has locked x. A run that
// a crash has ended before it could say so is ended here.
func enqueueRun(ctx context.Context, tx *sqlx.Tx, x *source.Source, trigger, by string, now time.Time) (uuid.UUID, error) {
	payload, err := json.Marshal(FetchTask{x.ID})
	if err != nil {
		return uuid.Nil, err
	}
	x.Job, err = jobs.Enqueue(ctx, tx, jobs.Job{Project: x.Project, Kind: FetchJob, Payload: payload, Priority: x.Priority, Long: true, Principal: by})
	if err != nil {
		return uuid.Nil, err
	}
	const end = `UPDATE runs SET state = 'failed', finished_at = $3, error = 'it was interrupted' WHERE project_id = $1 AND source_id = $2 AND state IN ('queued', 'running')`
	if _, err := tx.ExecContext(ctx, end, int64(x.Project), x.ID, now); err != nil {
		return uuid.Nil, err
	}
	const insert = `INSERT INTO runs (project_id, id, source_id, trigger, run_by, state, queued_at) VALUES ($1, $2, $3, $4, $5, 'queued', $6)`
	if _, err := tx.ExecContext(ctx, insert, int64(x.Project), x.Job, x.ID, trigger, by, now); err != nil {
		return uuid.Nil, err
	}
	// Should the run never end, the source is due again by then.
	x.Status, x.NextRun, x.Parked = source.Pending, x.Next(now, source.Report{}, 0.5), time.Time{}
	if x.Enabled && x.NextRun.IsZero() {
		x.NextRun = now.Add(time.Hour)
	}
	return x.Job, write(ctx, tx, *x)
}

// Changed makes a run of a source in which something has changed, at once or after
// the one that is under way. One that is disabled or left alone is not asked.
func (s *Sources) Changed(ctx context.Context, p tenant.Project, id int64, now time.Time) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		x, err := getSource(ctx, tx, p, id, "FOR UPDATE")
		if errors.Is(err, source.ErrNotFound) || err == nil && (!x.Enabled || !x.Parked.IsZero()) {
			return nil
		}
		if err != nil {
			return err
		}
		var busy bool
		if err := tx.GetContext(ctx, &busy, `SELECT `+underWay+` FROM sources s WHERE s.project_id = $1 AND s.id = $2`, int64(p), id); err != nil {
			return err
		}
		if busy {
			_, err := tx.ExecContext(ctx, `UPDATE sources SET next_run_at = $3 WHERE project_id = $1 AND id = $2`, int64(p), id, now)
			return err
		}
		_, err = enqueueRun(ctx, tx, &x, source.ByChange, "service:ingestion", now)
		return err
	})
	return doing(err, fmt.Sprintf("run source %d", id))
}

// Folders are all sources that are folders and are asked.
func (s *Sources) Folders(ctx context.Context) (all []folder.Place, err error) {
	err = s.db.AcrossProjects(ctx, "listen to folders", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &all, `SELECT project_id, id, path FROM sources WHERE type = $1 AND enabled ORDER BY project_id, id`, string(source.Folder))
	})
	return all, doing(err, "listen to folders")
}

// Due makes runs of sources that are due, at most so many, and returns how many. A
// source whose run is under way waits for the next time.
func (s *Sources) Due(ctx context.Context, now time.Time, limit int) (n int, err error) {
	const find = `
		SELECT s.project_id, s.id FROM sources s
		WHERE  s.next_run_at <= $1 AND s.enabled AND NOT ` + underWay + `
		ORDER  BY s.next_run_at, s.project_id, s.id LIMIT $2 FOR UPDATE SKIP LOCKED`
	var due []struct {
		Project int64 `db:"project_id"`
		ID      int64 `db:"id"`
	}
	err = s.db.AcrossProjects(ctx, "run sources that are due", func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &due, find, now, limit); err != nil {
			return err
		}
		for _, d := range due {
			x, err := getSource(ctx, tx, tenant.Project(d.Project), d.ID, "")
			if err != nil {
				return err
			}
			if _, err := enqueueRun(ctx, tx, &x, source.BySchedule, "service:ingestion", now); err != nil {
				return err
			}
		}
		return nil
	})
	return len(due), doing(err, "run sources that are due")
}

// Begin notes that a run has begun, see [source.Saving].
func (s *Sources) Begin(ctx context.Context, p tenant.Project, id int64, run uuid.UUID, now time.Time) (x source.Source, marks map[string]string, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if x, err = getSource(ctx, tx, p, id, "FOR UPDATE"); err != nil {
			return err
		}
		if !x.Enabled {
			const skip = `UPDATE runs SET state = 'failed', finished_at = $3, error = $4 WHERE project_id = $1 AND id = $2`
			_, err := tx.ExecContext(ctx, skip, int64(p), run, now, source.ErrDisabled.Msg)
			return err
		}
		const begin = `UPDATE runs SET state = 'running', started_at = $3, seen = 0, taken = 0, unchanged = 0, elsewhere = 0, gone = 0, failed = 0 WHERE project_id = $1 AND id = $2`
		if _, err := tx.ExecContext(ctx, begin, int64(p), run, now); err != nil {
			return err
		}
		const note = `UPDATE sources SET status = 'running', last_run = $3 WHERE project_id = $1 AND id = $2`
		if _, err := tx.ExecContext(ctx, note, int64(p), id, now); err != nil {
			return err
		}
		marks, err = readMarks(ctx, tx, p, id)
		return err
	})
	if err == nil && !x.Enabled {
		err = source.ErrDisabled
	}
	return x, marks, doing(err, fmt.Sprintf("begin a run of source %d", id))
}

// Marks are those of a source's documents.
func (s *Sources) Marks(ctx context.Context, p tenant.Project, id int64) (marks map[string]string, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		marks, err = readMarks(ctx, tx, p, id)
		return err
	})
	return marks, doing(err, fmt.Sprintf("read the marks of source %d", id))
}

func readMarks(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64) (map[string]string, error) {
	// A document without an owner is looked at anew, and gets one.
	const q = `
		SELECT s.key, s.mark FROM sightings s JOIN documents d ON d.project_id = s.project_id AND d.id = s.document_id
		WHERE  s.project_id = $1 AND s.source_id = $2 AND d.source_id IS NOT NULL`
	var rows []struct {
		Key  string `db:"key"`
		Mark string `db:"mark"`
	}
	if err := tx.SelectContext(ctx, &rows, q, int64(p), id); err != nil {
		return nil, err
	}
	marks := make(map[string]string, len(rows))
	for _, r := range rows {
		marks[r.Key] = r.Mark
	}
	return marks, nil
}

const tell = `
	UPDATE runs SET state = $3, finished_at = $4, seen = $5, taken = $6, unchanged = $7, elsewhere = $8, gone = $9, failed = $10, bytes = $11, total = $12, doing = $13,
		note = $14, error = $15
	WHERE  project_id = $1 AND id = $2`

func writeRun(ctx context.Context, tx *sqlx.Tx, p tenant.Project, r source.Run) error {
	c := r.Counts
	_, err := tx.ExecContext(ctx, tell, int64(p), r.ID, r.State, orNull(r.FinishedAt), c.Seen, c.Taken, c.Unchanged, c.Elsewhere, c.Gone, c.Failed, c.Bytes, r.Total, r.Doing, r.Note, r.Error)
	return err
}

// End keeps what became of a run, see [source.Saving]. What people have said of the
// source meanwhile stays.
func (s *Sources) End(ctx context.Context, x source.Source, r source.Run) error {
	err := s.db.InTenant(ctx, x.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := writeRun(ctx, tx, x.Project, r); err != nil {
			return err
		}
		is, err := getSource(ctx, tx, x.Project, x.ID, "FOR UPDATE")
		if err != nil {
			return err
		}
		moved := is.URL != x.URL || is.Enabled != x.Enabled
		if is.Version != x.Version { // changed meanwhile: it is due already
			moved, x.URL, x.Enabled, x.NextRun, x.State, x.Faults, x.Parked = false, is.URL, is.Enabled, is.NextRun, is.State, is.Faults, is.Parked
			if !is.Enabled {
				x.Status = source.Disabled
			}
		}
		if is.Version == x.Version && !is.NextRun.IsZero() && !is.NextRun.After(r.FinishedAt) && x.Enabled && x.Parked.IsZero() {
			x.NextRun = is.NextRun // something changed meanwhile
		}
		x.Draft = source.Draft{Kind: is.Kind, Name: is.Name, URL: x.URL, Path: is.Path, Schedule: is.Schedule, Priority: is.Priority, Enabled: x.Enabled, Config: is.Config}
		x.Sealed, x.Job, x.Version, x.UpdatedAt = is.Sealed, is.Job, is.Version, is.UpdatedAt
		if moved {
			x.Version++
			if err := changed(ctx, tx, x); err != nil {
				return err
			}
		}
		if err := write(ctx, tx, x); err != nil {
			return err
		}
		const old = `
			DELETE FROM runs WHERE project_id = $1 AND id IN (
				SELECT id FROM runs WHERE project_id = $1 AND source_id = $2 ORDER BY queued_at DESC, id OFFSET $3)`
		if _, err := tx.ExecContext(ctx, old, int64(x.Project), x.ID, source.KeptRuns); err != nil {
			return err
		}
		c := r.Counts
		return outbox.Add(ctx, tx, &ingestionv1.RunEnded{
			ProjectId: int32(x.Project), RunId: r.ID.String(), Version: 1, SourceId: int32(x.ID), State: r.State, //nolint:gosec // G115: int4
			Taken: int32(c.Taken), Unchanged: int32(c.Unchanged + c.Elsewhere), Gone: int32(c.Gone), Failed: int32(c.Failed), Error: r.Error, //nolint:gosec // G115: source.MaxDocuments
		})
	})
	return doing(err, fmt.Sprintf("end a run of source %d", x.ID))
}
