package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
)

// setRow is a set of judged questions as the table has it.
type setRow struct {
	ID         int64     `db:"id"`
	Name       string    `db:"name"`
	Questions  int       `db:"questions"`
	Judgements int       `db:"judgements"`
	Principal  string    `db:"principal"`
	CreatedAt  time.Time `db:"created_at"`
	UpdatedAt  time.Time `db:"updated_at"`
}

const setColumns = `id, name, questions, judgements, principal, created_at, updated_at`

// notClosed refuses what is written for a project that is being deleted.
func notClosed(ctx context.Context, tx *sqlx.Tx, p tenant.Project) error {
	const q = `SELECT closed FROM generations WHERE project_id = $1 FOR SHARE`
	var closed bool
	if err := tx.GetContext(ctx, &closed, q, int64(p)); err != nil && !pg.NoRows(err) {
		return fmt.Errorf("look whether the project is closed: %w", err)
	}
	if closed {
		return document.ErrClosed
	}
	return nil
}

// Judge makes questions those of a set, which is made if it is not there; with
// add they come to those that it has, and replace those of the same id.
func (s *Store) Judge(ctx context.Context, p tenant.Project, name, principal string, questions []trial.Question, add bool) (out evaluation.Set, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := notClosed(ctx, tx, p); err != nil {
			return err
		}
		const begin = `
			INSERT INTO judged_sets (project_id, name, principal) VALUES ($1, $2, $3)
			ON CONFLICT (project_id, name) DO UPDATE SET principal = excluded.principal, updated_at = now()`
		if _, err := tx.ExecContext(ctx, begin, int64(p), name, principal); err != nil {
			return fmt.Errorf("make a set: %w", err)
		}
		if !add {
			const q = `DELETE FROM judged_questions WHERE project_id = $1 AND set_name = $2`
			if _, err := tx.ExecContext(ctx, q, int64(p), name); err != nil {
				return fmt.Errorf("empty a set: %w", err)
			}
		}
		if err := insertQuestions(ctx, tx, p, name, questions); err != nil {
			return err
		}
		out, err = recount(ctx, tx, p, name)
		return err
	})
	return out, err
}

func insertQuestions(ctx context.Context, tx *sqlx.Tx, p tenant.Project, name string, questions []trial.Question) error {
	ids, bodies, relevant := make([]string, len(questions)), make([]string, len(questions)), make([]string, len(questions))
	for i, q := range questions {
		b, err := json.Marshal(q.Relevant)
		if err != nil {
			return fmt.Errorf("judgements of question %s: %w", q.ID, err)
		}
		ids[i], bodies[i], relevant[i] = q.ID, q.Text, string(b)
	}
	const q = `
		INSERT INTO judged_questions (project_id, set_name, question, body, relevant)
		SELECT $1, $2, u.question, u.body, u.relevant::jsonb
		FROM   unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS u (question, body, relevant, place) ORDER BY u.place
		ON CONFLICT (project_id, set_name, question) DO UPDATE SET body = excluded.body, relevant = excluded.relevant`
	if _, err := tx.ExecContext(ctx, q, int64(p), name, pq.Array(ids), pq.Array(bodies), pq.Array(relevant)); err != nil {
		return fmt.Errorf("keep judged questions: %w", err)
	}
	return nil
}

// recount counts what a set has, and refuses what is too much.
func recount(ctx context.Context, tx *sqlx.Tx, p tenant.Project, name string) (evaluation.Set, error) {
	const q = `
		UPDATE judged_sets s SET questions = c.questions, judgements = c.judgements
		FROM  (SELECT count(*) AS questions, coalesce(sum(jsonb_array_length(relevant)), 0) AS judgements
		       FROM judged_questions WHERE project_id = $1 AND set_name = $2) c
		WHERE  s.project_id = $1 AND s.name = $2
		RETURNING s.id, s.name, s.questions, s.judgements, s.principal, s.created_at, s.updated_at`
	var r setRow
	if err := tx.GetContext(ctx, &r, q, int64(p), name); err != nil {
		return evaluation.Set{}, fmt.Errorf("count judged questions: %w", err)
	}
	if r.Questions > evaluation.MaxQuestions || r.Judgements > evaluation.MaxJudgements {
		return evaluation.Set{}, errs.InvalidField("too_long", fmt.Sprintf("a set has %d questions and %d judgements at most; with these it would have %d and %d",
			evaluation.MaxQuestions, evaluation.MaxJudgements, r.Questions, r.Judgements), "body", "questions")
	}
	var sets int
	const all = `SELECT count(*) FROM judged_sets WHERE project_id = $1`
	if err := tx.GetContext(ctx, &sets, all, int64(p)); err != nil {
		return evaluation.Set{}, fmt.Errorf("count sets: %w", err)
	}
	if sets > evaluation.MaxSets {
		return evaluation.Set{}, errs.Newf(errs.Conflict, "a project has %d sets of judged questions at most: delete one", evaluation.MaxSets)
	}
	return evaluation.Set(r), nil
}

// Sets are those of a project, by name.
func (s *Store) Sets(ctx context.Context, p tenant.Project) (out []evaluation.Set, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var rows []setRow
		const q = `SELECT ` + setColumns + ` FROM judged_sets WHERE project_id = $1 ORDER BY name COLLATE "C" LIMIT $2`
		if err := tx.SelectContext(ctx, &rows, q, int64(p), evaluation.MaxSets); err != nil {
			return fmt.Errorf("list sets: %w", err)
		}
		out = make([]evaluation.Set, len(rows))
		for i, r := range rows {
			out[i] = evaluation.Set(r)
		}
		return nil
	})
	return out, err
}

// Judged returns a set, and a page of its questions in order; limit 0 is all.
func (s *Store) Judged(ctx context.Context, p tenant.Project, id int64, skip, limit int) (set evaluation.Set, questions []trial.Question, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var r setRow
		const q = `SELECT ` + setColumns + ` FROM judged_sets WHERE project_id = $1 AND id = $2`
		if err := tx.GetContext(ctx, &r, q, int64(p), id); err != nil {
			if pg.NoRows(err) {
				return evaluation.ErrNoSet
			}
			return fmt.Errorf("read a set: %w", err)
		}
		set = evaluation.Set(r)
		questions, err = readQuestions(ctx, tx, p, set.Name, skip, limit)
		return err
	})
	return set, questions, err
}

func readQuestions(ctx context.Context, tx *sqlx.Tx, p tenant.Project, name string, skip, limit int) (out []trial.Question, err error) {
	if limit == 0 {
		limit = evaluation.MaxQuestions
	}
	const q = `
		SELECT question, body, relevant FROM judged_questions WHERE project_id = $1 AND set_name = $2
		ORDER BY ordinal OFFSET $3 LIMIT $4`
	rows, err := tx.QueryContext(ctx, q, int64(p), name, skip, limit)
	if err != nil {
		return nil, fmt.Errorf("read judged questions: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var x trial.Question
		var relevant []byte
		if err := rows.Scan(&x.ID, &x.Text, &relevant); err != nil {
			return nil, fmt.Errorf("read judged questions: %w", err)
		}
		if err := json.Unmarshal(relevant, &x.Relevant); err != nil {
			return nil, fmt.Errorf("read judgements of question %s: %w", x.ID, err)
		}
		out = append(out, x)
	}
	return out, rows.Err()
}

// Unjudge removes a set, and returns what it was. Evaluations of it stay.
func (s *Store) Unjudge(ctx context.Context, p tenant.Project, id int64) (out evaluation.Set, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `DELETE FROM judged_sets WHERE project_id = $1 AND id = $2 RETURNING ` + setColumns
		var r setRow
		if err := tx.GetContext(ctx, &r, q, int64(p), id); err != nil {
			if pg.NoRows(err) {
				return evaluation.ErrNoSet
			}
			return fmt.Errorf("remove a set: %w", err)
		}
		out = evaluation.Set(r)
		return nil
	})
	return out, err
}

func orMissing(err, missing error) error {
	if err != nil {
		return err
	}
	return missing
}
