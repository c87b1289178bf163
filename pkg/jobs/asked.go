package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Bounds of what callers ask for.
const (
	MostInput = 64 << 10 // bytes
	MostTags  = 8 << 10
	MostOpen  = 10_000 // jobs of a project in a service that are not over
	Lowest    = -10    // priority
	Highest   = 10
)

// The refusals of jobs that are asked for.
var (
	ErrNoType = errs.InvalidField("enum", "there is no such type of job", "body", "job_type")
	ErrMany   = errs.Newf(errs.RateLimited, "%d jobs of the project are not over: wait for some", MostOpen).After(time.Minute)
	ErrOver   = errs.New(errs.Conflict, "the job is over: try it again")
	ErrGoesOn = errs.New(errs.Conflict, "the job is not over, or it is done")
	ErrNoStep = errs.InvalidField("value_error", "the job has saved no such step", "body", "from_step")
)

// Type is a kind of job that callers may ask for by its name.
type Type struct {
	Kind   string          `json:"job_type"`
	Title  string          `json:"title"`  // what it does, in a sentence
	Input  json.RawMessage `json:"input"`  // JSON Schema of its parameters, an object
	Output json.RawMessage `json:"output"` // JSON Schema of its result
	Long   bool            `json:"long"`   // known to take long, see [Job]

	in, out *jsonschema.Schema
}

// Register names the handler of a type, with input and output of its own types. What
// callers ask for is checked against Input before it is accepted; an output that is
// not as promised is a fault of ours.
func Register[In, Out any](m *Manager, t Type, h func(ctx context.Context, r *Run, in In) (Out, error)) error {
	var err error
	if t.in, err = compiled(t.Input); err == nil {
		t.out, err = compiled(t.Output)
	}
	if err != nil {
		return fmt.Errorf("job type %s: %w", t.Kind, err)
	}
	m.types[t.Kind] = t
	m.Handle(t.Kind, func(ctx context.Context, r *Run) error {
		var in In
		if err := t.check(r.Job.Payload); err != nil { // of a version that asked for less
			return err
		}
		if err := r.Decode(&in); err != nil {
			return errs.Wrap(errs.Invalid, err, "the parameters cannot be read")
		}
		out, err := h(ctx, r, in)
		if err != nil {
			return err
		}
		if err := r.SetResult(out); err != nil {
			return err
		}
		if err := validate(t.out, r.result); err != nil {
			r.result = nil
			return errs.Newf(errs.Internal, "the result of a %s job: %w", t.Kind, err)
		}
		return nil
	})
	return nil
}

func compiled(schema json.RawMessage) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, fmt.Errorf("read its schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("urn:job", doc); err != nil {
		return nil, err
	}
	return c.Compile("urn:job")
}

func validate(s *jsonschema.Schema, data []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// check refuses parameters that the type does not take.
func (t Type) check(input []byte) error { return fits(t.in, input, "body", "parameters") }

// Fits refuses data that does not keep to a JSON Schema, and names the place at fault
// below loc.
func Fits(schema json.RawMessage, data []byte, loc ...any) error {
	s, err := compiled(schema)
	if err != nil {
		return fmt.Errorf("schema of a job: %w", err)
	}
	return fits(s, data, loc...)
}

func fits(s *jsonschema.Schema, input []byte, loc ...any) error {
	err := validate(s, input)
	var wrong *jsonschema.ValidationError
	if errors.As(err, &wrong) {
		for len(wrong.Causes) > 0 {
			wrong = wrong.Causes[0]
		}
		for _, at := range wrong.InstanceLocation {
			loc = append(loc, at)
		}
		_, text, _ := strings.Cut(wrong.Error(), ": ")
		return errs.InvalidField("value_error", or(text, "it is not as the type of the job has it"), loc...)
	}
	if err != nil {
		return errs.InvalidField("value_error", "want a JSON object", loc...)
	}
	return nil
}

// Types are those that callers may ask for, by name.
func (m *Manager) Types() []Type {
	out := make([]Type, 0, len(m.types))
	for _, t := range m.types {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Type) int { return strings.Compare(a.Kind, b.Kind) })
	return out
}

// Ask enqueues a job of a [Type] as a caller wants it, once for its id, and returns it.
// It joins the unit of work of ctx.
func (m *Manager) Ask(ctx context.Context, j Job) (Job, error) {
	t, ok := m.types[j.Kind]
	switch {
	case !ok:
		return Job{}, ErrNoType
	case len(j.Payload) > MostInput:
		return Job{}, errs.InvalidField("too_long", fmt.Sprintf("parameters have at most %d bytes", MostInput), "body", "parameters")
	case len(j.Tags) > MostTags:
		return Job{}, errs.InvalidField("too_long", fmt.Sprintf("tags have at most %d bytes", MostTags), "body", "tags")
	case j.Priority < Lowest || j.Priority > Highest:
		return Job{}, errs.InvalidField("value_error", fmt.Sprintf("a priority is %d to %d", Lowest, Highest), "body", "priority")
	}
	if len(j.Payload) == 0 {
		j.Payload = json.RawMessage("{}")
	}
	if err := t.check(j.Payload); err != nil {
		return Job{}, err
	}
	j.Long = t.Long
	err := m.db.InTenant(ctx, j.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		var open int
		const count = `SELECT count(*) FROM (SELECT 1 FROM jobs WHERE project_id = $1 AND finished_at IS NULL LIMIT $2) some_jobs`
		if err := tx.GetContext(ctx, &open, count, int64(j.Project), MostOpen); err != nil {
			return err
		}
		if open >= MostOpen {
			return ErrMany
		}
		id, err := Enqueue(ctx, tx, j)
		if err != nil {
			return err
		}
		const q = `SELECT ` + columns + ` FROM jobs WHERE project_id = $1 AND id = $2`
		j, err = scan(tx.QueryRowxContext(ctx, q, int64(j.Project), id))
		return err
	})
	if err != nil {
		return Job{}, fmt.Errorf("ask for a %s job: %w", j.Kind, err)
	}
	return j, nil
}

// edit changes a job under its row's lock and returns it.
func (m *Manager) edit(ctx context.Context, p tenant.Project, number int64, fn func(ctx context.Context, tx *sqlx.Tx, j Job) error) (Job, error) {
	var j Job
	err := m.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const lock = `SELECT ` + columns + ` FROM jobs WHERE project_id = $1 AND number = $2 FOR UPDATE`
		was, err := scan(tx.QueryRowxContext(ctx, lock, int64(p), number))
		if err != nil {
			return err
		}
		if err := fn(ctx, tx, was); err != nil {
			return err
		}
		const q = `SELECT ` + columns + ` FROM jobs WHERE project_id = $1 AND number = $2`
		j, err = scan(tx.QueryRowxContext(ctx, q, int64(p), number))
		pg.Ring(ctx, topic)
		return err
	})
	if pg.NoRows(err) {
		return Job{}, ErrNotFound
	}
	if err != nil {
		return Job{}, fmt.Errorf("job %d of project %s: %w", number, p.Token(), err)
	}
	return j, nil
}

// Dispatch lets a held job go after a delay. One that has been let go stays as it is;
// of one that is over it is [ErrOver].
func (m *Manager) Dispatch(ctx context.Context, p tenant.Project, number int64, delay time.Duration) (Job, error) {
	return m.edit(ctx, p, number, func(ctx context.Context, tx *sqlx.Tx, j Job) error {
		if j.Final() {
			return ErrOver
		}
		const q = `
			UPDATE jobs SET state = CASE WHEN needs IS NULL THEN 'queued' ELSE state END, next_attempt_at = now() + make_interval(secs => $3)
			WHERE  project_id = $1 AND number = $2 AND state = 'held'`
		_, err := tx.ExecContext(ctx, q, int64(p), number, delay.Seconds())
		return err
	})
}

// Retry lets a job that failed, died or was cancelled go on: at the first step that
// was not saved; or at the step from, which it forgets with those saved after it. With an
// input of its own it begins anew, or at from. Other jobs are refused by [ErrGoesOn].
func (m *Manager) Retry(ctx context.Context, p tenant.Project, number int64, from string, input json.RawMessage) (Job, error) {
	return m.edit(ctx, p, number, func(ctx context.Context, tx *sqlx.Tx, j Job) error {
		if !j.Final() || j.State == Done {
			return ErrGoesOn
		}
		if len(input) > MostInput {
			return errs.InvalidField("too_long", fmt.Sprintf("parameters have at most %d bytes", MostInput), "body", "parameters")
		}
		if len(input) > 0 {
			t, ok := m.types[j.Kind]
			if !ok {
				return errs.InvalidField("value_error", "the parameters of such a job are not its caller's", "body", "parameters")
			}
			if err := t.check(input); err != nil {
				return err
			}
		}
		if from != "" || len(input) > 0 {
			if err := forget(ctx, tx, p, j.ID, from); err != nil {
				return err
			}
		}
		const q = `
			UPDATE jobs SET state = 'queued', attempts = 0, finished_at = NULL, cancel_requested = false, needs = NULL,
			       next_attempt_at = now(), payload = coalesce(nullif($3, '')::jsonb, payload), progress = 0
			WHERE  project_id = $1 AND number = $2`
		if _, err := tx.ExecContext(ctx, q, int64(p), number, string(input)); err != nil {
			if pg.UniqueViolation(err, "jobs_unique") {
				return errs.New(errs.Conflict, "another job of the same key is under way")
			}
			return err
		}
		return noteLog(ctx, tx, j, Info, "tried again by "+or(tenant.From(ctx).Principal, "the instance"))
	})
}

// forget drops the saved steps of a job from a step on; all when from is "".
func forget(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id uuid.UUID, from string) error {
	const q = `
		DELETE FROM job_steps WHERE project_id = $1 AND job_id = $2
		AND   ($3 = '' OR saved_at >= (SELECT saved_at FROM job_steps WHERE project_id = $1 AND job_id = $2 AND name = $3))`
	res, err := tx.ExecContext(ctx, q, int64(p), id, from)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 && from != "" {
		return ErrNoStep
	}
	return nil
}

// Relabel says anew what tags a job has, and with which priority it waits; nil leaves
// them as they are.
func (m *Manager) Relabel(ctx context.Context, p tenant.Project, number int64, tags json.RawMessage, priority *int) (Job, error) {
	return m.edit(ctx, p, number, func(ctx context.Context, tx *sqlx.Tx, j Job) error {
		switch {
		case len(tags) > MostTags:
			return errs.InvalidField("too_long", fmt.Sprintf("tags have at most %d bytes", MostTags), "body", "tags")
		case priority != nil && (*priority < Lowest || *priority > Highest):
			return errs.InvalidField("value_error", fmt.Sprintf("a priority is %d to %d", Lowest, Highest), "body", "priority")
		case priority != nil && j.State != Queued && j.State != Held && *priority != j.Priority:
			return errs.New(errs.Conflict, "the job waits no more: its priority is of no use")
		}
		const q = `UPDATE jobs SET tags = coalesce(nullif($3, '')::jsonb, tags), priority = coalesce($4, priority) WHERE project_id = $1 AND number = $2`
		_, err := tx.ExecContext(ctx, q, int64(p), number, string(tags), priority)
		return err
	})
}
