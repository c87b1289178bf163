package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
)

// EvaluationJob is the kind of the jobs whose payload is an EvaluationTask.
const EvaluationJob = "evaluation"

// EvaluationTask names an evaluation.
type EvaluationTask struct {
	ID int64 `json:"evaluation_id"`
}

type evaluationRow struct {
	Project    int64         `db:"project_id"`
	ID         int64         `db:"id"`
	Set        sql.NullInt64 `db:"set_id"`
	SetName    string        `db:"set_name"`
	Label      string        `db:"label"`
	Collection string        `db:"collection"`
	Settings   []byte        `db:"settings"`
	Tune       bool          `db:"tune"`
	State      string        `db:"state"`
	Error      string        `db:"error"`
	Asked      int           `db:"asked"`
	Total      int           `db:"total"`
	Model      string        `db:"model"`
	Generation int64         `db:"generation"`
	Curve      []byte        `db:"curve"`
	Report     []byte        `db:"report"`
	Job        uuid.NullUUID `db:"job_id"`
	Principal  string        `db:"principal"`
	CreatedAt  time.Time     `db:"created_at"`
	FinishedAt sql.NullTime  `db:"finished_at"`
}

const evaluationColumns = `
	e.project_id, e.id, s.id AS set_id, e.set_name, e.label, e.collection, e.settings, e.tune, e.state, e.error, e.asked, e.total, e.model, e.generation,
	e.curve, e.report, e.job_id, e.principal, e.created_at, e.finished_at`

const fromEvaluations = ` FROM evaluations e LEFT JOIN judged_sets s ON s.project_id = e.project_id AND s.name = e.set_name `

func (r evaluationRow) evaluation() (evaluation.Evaluation, error) {
	e := evaluation.Evaluation{
		ID: r.ID, Project: tenant.Project(r.Project), Set: r.Set.Int64, SetName: r.SetName, Label: r.Label, Collection: r.Collection, Tune: r.Tune,
		State: evaluation.State(r.State), Error: r.Error, Asked: r.Asked, Total: r.Total, Model: r.Model, Generation: r.Generation, Job: r.Job.UUID,
		Principal: r.Principal, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt.Time,
	}
	for _, x := range []struct {
		from []byte
		into any
	}{{r.Settings, &e.Settings}, {r.Curve, &e.Curve}, {r.Report, &e.Report}} {
		if x.from == nil {
			continue
		}
		if err := json.Unmarshal(x.from, x.into); err != nil {
			return e, fmt.Errorf("read evaluation %d: %w", r.ID, err)
		}
	}
	return e, nil
}

// Evaluate begins an evaluation of a set: it makes the job.
func (s *Store) Evaluate(ctx context.Context, e evaluation.Evaluation) (out evaluation.Evaluation, err error) {
	err = s.db.InTenant(ctx, e.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		p := e.Project
		if err := notClosed(ctx, tx, p); err != nil {
			return err
		}
		// The lock has those that begin at once counted one after another.
		const lock = `SELECT name FROM judged_sets WHERE project_id = $1 AND id = $2 FOR UPDATE`
		if err := tx.GetContext(ctx, &e.SetName, lock, int64(p), e.Set); err != nil {
			if pg.NoRows(err) {
				return evaluation.ErrNoSet
			}
			return fmt.Errorf("find a set: %w", err)
		}
		var all, unfinished int
		const count = `SELECT count(*), count(*) FILTER (WHERE state IN ('queued', 'running')) FROM evaluations WHERE project_id = $1`
		if err := tx.QueryRowxContext(ctx, count, int64(p)).Scan(&all, &unfinished); err != nil {
			return fmt.Errorf("count evaluations: %w", err)
		}
		if all >= evaluation.MaxEvaluations {
			return errs.Newf(errs.Conflict, "a project keeps %d evaluations at most: delete some", evaluation.MaxEvaluations)
		}
		if unfinished >= evaluation.MaxUnfinished {
			return errs.Newf(errs.Conflict, "%d evaluations of the project are under way: wait for one to end", unfinished)
		}
		questions, err := readQuestions(ctx, tx, p, e.SetName, 0, 0)
		if err != nil {
			return err
		}
		settings, err := json.Marshal(e.Settings)
		if err != nil {
			return fmt.Errorf("settings of an evaluation: %w", err)
		}
		const insert = `
			INSERT INTO evaluations (project_id, set_name, label, collection, settings, tune, state, total, principal)
			VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7, $8) RETURNING id`
		e.Total = evaluation.Searches(questions, len(e.Settings), e.Tune)
		if err := tx.GetContext(ctx, &e.ID, insert, int64(p), e.SetName, e.Label, e.Collection, string(settings), e.Tune, e.Total, e.Principal); err != nil {
			return fmt.Errorf("insert an evaluation: %w", err)
		}
		payload, err := json.Marshal(EvaluationTask{e.ID})
		if err != nil {
			return fmt.Errorf("job of evaluation %d: %w", e.ID, err)
		}
		job, err := jobs.Enqueue(ctx, tx, jobs.Job{Project: p, Kind: EvaluationJob, Payload: payload, Total: e.Total, Long: true})
		if err != nil {
			return fmt.Errorf("job of evaluation %d: %w", e.ID, err)
		}
		const note = `UPDATE evaluations SET job_id = $3 WHERE project_id = $1 AND id = $2`
		if _, err := tx.ExecContext(ctx, note, int64(p), e.ID, job); err != nil {
			return fmt.Errorf("note the job of evaluation %d: %w", e.ID, err)
		}
		out, err = getEvaluation(ctx, tx, p, e.ID)
		return err
	})
	return out, err
}

func getEvaluation(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id int64) (evaluation.Evaluation, error) {
	const q = `SELECT ` + evaluationColumns + fromEvaluations + `WHERE e.project_id = $1 AND e.id = $2`
	var r evaluationRow
	if err := tx.GetContext(ctx, &r, q, int64(p), id); err != nil {
		if pg.NoRows(err) {
			return evaluation.Evaluation{}, evaluation.ErrNone
		}
		return evaluation.Evaluation{}, fmt.Errorf("read evaluation %d: %w", id, err)
	}
	return r.evaluation()
}

// Evaluation returns one of a project.
func (s *Store) Evaluation(ctx context.Context, p tenant.Project, id int64) (e evaluation.Evaluation, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		e, err = getEvaluation(ctx, tx, p, id)
		return err
	})
	return e, err
}

// Evaluations are those of a project, newest first, without their reports; set 0
// is of all sets.
func (s *Store) Evaluations(ctx context.Context, p tenant.Project, set int64, skip, limit int) (out []evaluation.Evaluation, total int, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const count = `SELECT count(*)` + fromEvaluations + `WHERE e.project_id = $1 AND ($2::bigint = 0 OR s.id = $2)`
		if err := tx.GetContext(ctx, &total, count, int64(p), set); err != nil {
			return fmt.Errorf("count evaluations: %w", err)
		}
		const q = `SELECT ` + evaluationColumns + fromEvaluations + `WHERE e.project_id = $1 AND ($2::bigint = 0 OR s.id = $2)
			ORDER BY e.created_at DESC, e.id DESC OFFSET $3 LIMIT $4`
		var rows []evaluationRow
		if err := tx.SelectContext(ctx, &rows, q, int64(p), set, skip, limit); err != nil {
			return fmt.Errorf("list evaluations: %w", err)
		}
		for _, r := range rows {
			e, err := r.evaluation()
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	return out, total, err
}

// Unevaluate removes an evaluation; one that is at work ends.
func (s *Store) Unevaluate(ctx context.Context, p tenant.Project, id int64) error {
	return s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `DELETE FROM evaluations WHERE project_id = $1 AND id = $2`
		r, err := tx.ExecContext(ctx, q, int64(p), id)
		if err != nil {
			return fmt.Errorf("remove evaluation %d: %w", id, err)
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return orMissing(err, evaluation.ErrNone)
		}
		return nil
	})
}

// OpenEvaluation returns an evaluation and the questions of its set.
func (s *Store) OpenEvaluation(ctx context.Context, p tenant.Project, id int64) (e evaluation.Evaluation, questions []trial.Question, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if e, err = getEvaluation(ctx, tx, p, id); err != nil {
			return err
		}
		questions, err = readQuestions(ctx, tx, p, e.SetName, 0, 0)
		return err
	})
	return e, questions, err
}

// EvaluationAnswers are those of a row, by question.
func (s *Store) EvaluationAnswers(ctx context.Context, p tenant.Project, id int64, row int) (out []evaluation.Answered, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		const q = `
			SELECT question, names, figures FROM evaluation_answers
			WHERE project_id = $1 AND evaluation_id = $2 AND setting = $3 ORDER BY question COLLATE "C"`
		rows, err := tx.QueryContext(ctx, q, int64(p), id, row)
		if err != nil {
			return fmt.Errorf("read answers: %w", err)
		}
		defer closeRows(rows, &err)
		for rows.Next() {
			var a evaluation.Answered
			var names string
			var figures []byte
			if err := rows.Scan(&a.Question, &names, &figures); err != nil {
				return fmt.Errorf("read answers: %w", err)
			}
			if names != "" {
				a.Names = strings.Split(names, "\n")
			}
			if figures != nil {
				if err := json.Unmarshal(figures, &a.Figures); err != nil {
					return fmt.Errorf("read figures of question %s: %w", a.Question, err)
				}
			}
			out = append(out, a)
		}
		return rows.Err()
	})
	return out, err
}

// Kept is the store as the run of an evaluation needs it.
type Kept struct{ *Store }

// Open see evaluation.Keeping.
func (k Kept) Open(ctx context.Context, p tenant.Project, id int64) (evaluation.Evaluation, []trial.Question, error) {
	return k.OpenEvaluation(ctx, p, id)
}

// Answers see evaluation.Keeping.
func (k Kept) Answers(ctx context.Context, p tenant.Project, id int64, row int) ([]evaluation.Answered, error) {
	return k.EvaluationAnswers(ctx, p, id, row)
}

// Answered see evaluation.Keeping.
func (k Kept) Answered(ctx context.Context, e evaluation.Evaluation, row int, more []evaluation.Answered) error {
	return k.advance(ctx, e, func(ctx context.Context, tx *sqlx.Tx) error {
		questions, names := make([]string, len(more)), make([]string, len(more))
		for i, a := range more {
			questions[i], names[i] = a.Question, strings.Join(a.Names, "\n")
		}
		const q = `
			INSERT INTO evaluation_answers (project_id, evaluation_id, setting, question, names)
			SELECT $1, $2, $3, u.question, u.names FROM unnest($4::text[], $5::text[]) AS u (question, names)
			ON CONFLICT (project_id, evaluation_id, setting, question) DO UPDATE SET names = excluded.names`
		_, err := tx.ExecContext(ctx, q, int64(e.Project), e.ID, row, pq.Array(questions), pq.Array(names))
		return err
	})
}

// Tried see evaluation.Keeping.
func (k Kept) Tried(ctx context.Context, e evaluation.Evaluation) error {
	return k.advance(ctx, e, func(ctx context.Context, tx *sqlx.Tx) error {
		b, err := json.Marshal(e.Curve)
		if err != nil {
			return err
		}
		const q = `UPDATE evaluations SET curve = $3 WHERE project_id = $1 AND id = $2`
		_, err = tx.ExecContext(ctx, q, int64(e.Project), e.ID, string(b))
		return err
	})
}

// Finish see evaluation.Keeping.
func (k Kept) Finish(ctx context.Context, e evaluation.Evaluation, figures [][]evaluation.Answered) error {
	return k.advance(ctx, e, func(ctx context.Context, tx *sqlx.Tx) error {
		for row, answers := range figures {
			questions, values := make([]string, len(answers)), make([]string, len(answers))
			for i, a := range answers {
				b, err := json.Marshal(a.Figures)
				if err != nil {
					return err
				}
				questions[i], values[i] = a.Question, string(b)
			}
			const q = `
				UPDATE evaluation_answers a SET figures = u.figures::jsonb FROM unnest($4::text[], $5::text[]) AS u (question, figures)
				WHERE  a.project_id = $1 AND a.evaluation_id = $2 AND a.setting = $3 AND a.question = u.question`
			if _, err := tx.ExecContext(ctx, q, int64(e.Project), e.ID, row, pq.Array(questions), pq.Array(values)); err != nil {
				return err
			}
		}
		report, err := json.Marshal(e.Report)
		if err != nil {
			return err
		}
		const q = `UPDATE evaluations SET state = 'done', report = $3, finished_at = now() WHERE project_id = $1 AND id = $2`
		_, err = tx.ExecContext(ctx, q, int64(e.Project), e.ID, string(report))
		return err
	})
}

// Fail see evaluation.Keeping.
func (k Kept) Fail(ctx context.Context, p tenant.Project, id int64, why string) error {
	return k.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			UPDATE evaluations SET state = 'failed', error = $3, finished_at = now()
			WHERE project_id = $1 AND id = $2 AND state IN ('queued', 'running')`
		if _, err := tx.ExecContext(ctx, q, int64(p), id, why); err != nil {
			return fmt.Errorf("fail evaluation %d: %w", id, err)
		}
		return nil
	})
}

// FailStranded fails the evaluations whose job has ended without a word, because its
// worker died at every try. It returns how many.
func (s *Store) FailStranded(ctx context.Context) (n int, err error) {
	err = s.db.AcrossProjects(ctx, "find evaluations without a job", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			UPDATE evaluations e SET state = 'failed', error = 'it failed repeatedly by an internal error', finished_at = now()
			WHERE  state IN ('queued', 'running') AND NOT EXISTS (
				SELECT 1 FROM jobs j WHERE j.project_id = e.project_id AND j.id = e.job_id AND j.state NOT IN ('failed', 'dead', 'cancelled'))`
		r, err := tx.ExecContext(ctx, q)
		if err != nil {
			return fmt.Errorf("fail evaluations without a job: %w", err)
		}
		rows, err := r.RowsAffected()
		n = int(rows)
		return err
	})
	return n, err
}

// advance says how far an evaluation is that is not done, and then does fn.
func (k Kept) advance(ctx context.Context, e evaluation.Evaluation, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	return k.db.InTenant(ctx, e.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			UPDATE evaluations SET state = 'running', asked = $3, total = $4, generation = $5, model = $6
			WHERE project_id = $1 AND id = $2 AND state IN ('queued', 'running')`
		r, err := tx.ExecContext(ctx, q, int64(e.Project), e.ID, e.Asked, e.Total, e.Generation, e.Model)
		if err != nil {
			return fmt.Errorf("advance evaluation %d: %w", e.ID, err)
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return orMissing(err, evaluation.ErrGone)
		}
		if err := fn(ctx, tx); err != nil {
			return fmt.Errorf("advance evaluation %d: %w", e.ID, err)
		}
		return nil
	})
}
