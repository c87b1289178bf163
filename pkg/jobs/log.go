package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Levels of what a job notes.
const (
	Info  = "info"
	Warn  = "warn"
	Error = "error"
)

// Bounds of what a job notes. Of more lines the later ones are left out.
const (
	MostLines = 1_000
	mostLine  = 1_000 // bytes
	mostUnits = 20    // of what is spent
)

// Line is something that a job noted.
type Line struct {
	Seq     int       `json:"seq" db:"seq"` // from 1
	At      time.Time `json:"at" db:"at"`
	Level   string    `json:"level" db:"level"`
	Attempt int       `json:"attempt" db:"attempt"` // the try in which it was noted
	Message string    `json:"message" db:"message"`
}

// StepDone is a step that is saved.
type StepDone struct {
	Name    string    `json:"name" db:"name"`
	SavedAt time.Time `json:"saved_at" db:"saved_at"`
}

// Log notes something with the job, for those who may see it. It joins the unit of
// work of ctx, so that what a step notes is there when the step is.
func (r *Run) Log(ctx context.Context, level, message string) error {
	err := r.m.db.InTenant(ctx, r.Job.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		return noteLog(ctx, tx, r.Job, level, message)
	})
	if err != nil {
		return fmt.Errorf("log of job %s: %w", r.Job.ID, err)
	}
	return nil
}

func noteLog(ctx context.Context, tx *sqlx.Tx, j Job, level, message string) error {
	const q = `
		INSERT INTO job_logs (project_id, job_id, seq, at, level, attempt, message)
		SELECT $1, $2, n, clock_timestamp(), $3, $4, $5
		FROM  (SELECT coalesce(max(seq), 0) + 1 AS n FROM job_logs WHERE project_id = $1 AND job_id = $2) next
		WHERE  n <= $6
		ON CONFLICT DO NOTHING`
	_, err := tx.ExecContext(ctx, q, int64(j.Project), j.ID, level, j.Attempts, cut(message), MostLines)
	return err
}

// cut is the beginning of a text that fits a line, in UTF-8 that the database takes.
func cut(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
	if len(s) <= mostLine {
		return s
	}
	n := mostLine
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// levelOf is how grave the end of a try is.
func levelOf(j Job) string {
	switch j.State {
	case Failed, Dead:
		return Error
	}
	return Warn
}

// Spend adds to what the job has cost, in a unit of the handler's choice ("tokens",
// "usd_micro"), at most 20 of them. It is saved when the try ends.
func (r *Run) Spend(unit string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.costs[unit]; !ok && len(r.costs) >= mostUnits {
		return
	}
	if r.costs == nil {
		r.costs = map[string]int64{}
	}
	r.costs[unit] += n
}

// spent is what the job has cost, with this try.
func (r *Run) spent() json.RawMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.costs) == 0 {
		return json.RawMessage(or(string(r.Job.Spent), "{}"))
	}
	all := map[string]int64{}
	_ = json.Unmarshal(r.Job.Spent, &all) // ours; nothing else writes it
	for unit, n := range r.costs {
		all[unit] += n
	}
	b, _ := json.Marshal(all) // numbers
	return b
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Noted is what a job of the project has noted and which of its steps are saved, in
// that order of time each.
func (m *Manager) Noted(ctx context.Context, p tenant.Project, number int64) (lines []Line, steps []StepDone, err error) {
	err = m.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var id uuid.UUID
		if err := tx.GetContext(ctx, &id, `SELECT id FROM jobs WHERE project_id = $1 AND number = $2`, int64(p), number); err != nil {
			return err
		}
		const noted = `SELECT seq, at, level, attempt, message FROM job_logs WHERE project_id = $1 AND job_id = $2 ORDER BY seq LIMIT $3`
		if err := tx.SelectContext(ctx, &lines, noted, int64(p), id, MostLines); err != nil {
			return err
		}
		const saved = `SELECT name, saved_at FROM job_steps WHERE project_id = $1 AND job_id = $2 ORDER BY saved_at, name LIMIT $3`
		return tx.SelectContext(ctx, &steps, saved, int64(p), id, MostLines)
	})
	if pg.NoRows(err) {
		return nil, nil, ErrNotFound
	}
	if err != nil {
		return nil, nil, fmt.Errorf("what job %d of project %s noted: %w", number, p.Token(), err)
	}
	return lines, steps, nil
}
