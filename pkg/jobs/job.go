package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// The states of a job. The last four are final.
const (
	Held      = "held"      // until it is let go, or the jobs that it needs are done
	Queued    = "queued"    // waits for its turn, or for NextAttemptAt
	Released  = "released"  // in the stream, may be taken
	Running   = "running"   // a worker has it
	Done      = "done"      //
	Failed    = "failed"    // refused: trying again is of no use
	Dead      = "dead"      // faults until the last try
	Cancelled = "cancelled" // by a caller
)

// ErrNotFound says that there is no such job in the project.
var ErrNotFound = errs.New(errs.NotFound, "job not found")

// Job is one piece of work. To [Enqueue] one, Project and Kind are needed; the
// fields from State on are the package's.
type Job struct {
	ID          uuid.UUID       `json:"id"`           // random when zero; one given twice is one job
	Project     tenant.Project  `json:"project"`      //
	Kind        string          `json:"kind"`         // names the handler: a-z, 0-9, - and _
	Payload     json.RawMessage `json:"payload"`      // what the handler needs; references rather than content
	Tags        json.RawMessage `json:"tags"`         // an object of the caller's, which nobody here reads
	Priority    int             `json:"priority"`     // higher first, within the project
	MaxAttempts int             `json:"max_attempts"` // tries without a step saved before it is dead; 5 when 0
	RunAt       time.Time       `json:"-"`            // not before; zero means now
	Held        bool            `json:"-"`            // it waits until somebody calls [Manager.Dispatch]
	Needs       []uuid.UUID     `json:"needs"`        // jobs of the project in this service, at most [MostNeeds], that are done before; without one of them it is cancelled
	Unique      string          `json:"unique_key"`   // while one of the kind and key is not over, asking for another is asking for that one; "" for any number
	Long        bool            `json:"long"`         // known to take long: it runs in the lane of those, where others get later

	Number          int64           `json:"number"` // counted through the service
	State           string          `json:"state"`
	Principal       string          `json:"principal"` // who asked for it; taken from the context
	Progress        int             `json:"progress"`  // of Total, in the handler's unit
	Total           int             `json:"total"`     // 0 while unknown
	Message         string          `json:"message"`   // of the latest progress
	Result          json.RawMessage `json:"result,omitempty"`
	BusyMS          int64           `json:"busy_ms"`  // how long the tries that ended took
	Spent           json.RawMessage `json:"spent"`    // amounts by unit, see [Run.Spend]
	Error           string          `json:"error"`    // of the latest try; shown to the job's project
	Attempts        int             `json:"attempts"` // tries begun, counted anew from a saved step
	CancelRequested bool            `json:"cancel_requested"`
	CreatedAt       time.Time       `json:"created_at"`
	NextAttemptAt   time.Time       `json:"next_attempt_at"`
	BegunAt         time.Time       `json:"begun_at"`    // of the first try; zero before it
	StartedAt       time.Time       `json:"started_at"`  // of the latest try; zero before the first
	FinishedAt      time.Time       `json:"finished_at"` // zero until it is final

	headers []byte // trace of the cause
}

// MostNeeds bounds the jobs that one waits for.
const MostNeeds = 50

// Final reports whether the job will not change any more.
func (j Job) Final() bool {
	switch j.State {
	case Done, Failed, Dead, Cancelled:
		return true
	}
	return false
}

// topic wakes the dispatcher if it is in this process, and whoever tells the
// other processes, whose dispatchers listen to fromPeers.
const (
	topic     = "jobs"
	fromPeers = "jobs/peers"
)

var kindForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// Enqueue writes the job in the transaction tx, which must be of its project
// or across projects, and returns its id. It runs after the commit. A job whose
// id is there already is left as it is, so that a message that comes twice
// makes one job of the id that it carries.
func Enqueue(ctx context.Context, tx *sqlx.Tx, j Job) (uuid.UUID, error) {
	if !kindForm.MatchString(j.Kind) {
		return uuid.Nil, fmt.Errorf("enqueue a job: kind %q: want lower-case letters, digits, - and _", j.Kind)
	}
	if j.ID == uuid.Nil {
		id, err := uuid.NewRandom()
		if err != nil {
			return uuid.Nil, fmt.Errorf("enqueue %s: %w", j.Kind, err)
		}
		j.ID = id
	}
	if j.MaxAttempts <= 0 {
		j.MaxAttempts = 5
	}
	if len(j.Payload) == 0 {
		j.Payload = json.RawMessage("{}")
	}
	if j.Principal == "" {
		j.Principal = tenant.From(ctx).Principal
	}
	if len(j.Tags) == 0 {
		j.Tags = json.RawMessage("{}")
	}
	carrier := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	header, err := json.Marshal(carrier)
	if err != nil {
		return uuid.Nil, fmt.Errorf("enqueue %s: %w", j.Kind, err)
	}
	if len(j.Needs) > MostNeeds || len(j.Unique) > 200 {
		return uuid.Nil, errs.Newf(errs.Invalid, "a job needs at most %d others, and a key has at most 200 bytes", MostNeeds)
	}
	state, needs := Queued, []string(nil)
	if j.Held || len(j.Needs) > 0 {
		state = Held
	}
	for _, id := range j.Needs {
		needs = append(needs, id.String())
	}
	runAt := sql.NullTime{Time: j.RunAt.UTC(), Valid: !j.RunAt.IsZero()}
	const q = `
		INSERT INTO jobs (id, project_id, kind, payload, principal, headers, priority, max_attempts, next_attempt_at, long, tags, state, needs, unique_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()), $10, $11, $12, $13, nullif($14, ''))
		ON CONFLICT DO NOTHING`
	res, err := tx.ExecContext(ctx, q, j.ID, int64(j.Project), j.Kind, string(j.Payload), j.Principal,
		string(header), j.Priority, j.MaxAttempts, runAt, j.Long, string(j.Tags), state, pq.Array(needs), j.Unique)
	if err != nil {
		if pg.PolicyViolation(err) {
			return uuid.Nil, fmt.Errorf("enqueue %s: the job is of another project than its transaction: %w", j.Kind, err)
		}
		return uuid.Nil, fmt.Errorf("enqueue %s: %w", j.Kind, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 && j.Unique != "" {
		return standing(ctx, tx, j)
	}
	pg.Ring(ctx, topic)
	return j.ID, nil
}

// standing is the job in whose place another one was asked for.
func standing(ctx context.Context, tx *sqlx.Tx, j Job) (id uuid.UUID, err error) {
	const q = `
		SELECT id FROM jobs
		WHERE  project_id = $1 AND (id = $2 OR kind = $3 AND unique_key = $4 AND finished_at IS NULL)
		ORDER  BY id = $2 DESC LIMIT 1`
	err = tx.GetContext(ctx, &id, q, int64(j.Project), j.ID, j.Kind, j.Unique)
	if pg.NoRows(err) { // it ended between the two statements
		return uuid.Nil, errs.New(errs.Unavailable, "another job of this key has just ended: ask again").After(time.Second)
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("find the %s job of key %q: %w", j.Kind, j.Unique, err)
	}
	return id, nil
}

const columns = `id, project_id, kind, payload, principal, headers, state, priority, progress, total, message, result, error,
	attempts, max_attempts, cancel_requested, created_at, next_attempt_at, started_at, finished_at, long, number, tags, begun_at, needs, coalesce(unique_key, ''), busy_ms, spent`

type scanner interface{ Scan(dest ...any) error }

func scan(r scanner) (Job, error) {
	var (
		j                 Job
		project           int64
		payload, result   []byte
		tags              []byte
		started, finished sql.NullTime
		begun             sql.NullTime
		needs             pq.StringArray
		spent             []byte
	)
	err := r.Scan(&j.ID, &project, &j.Kind, &payload, &j.Principal, &j.headers, &j.State, &j.Priority, &j.Progress, &j.Total,
		&j.Message, &result, &j.Error, &j.Attempts, &j.MaxAttempts, &j.CancelRequested, &j.CreatedAt, &j.NextAttemptAt,
		&started, &finished, &j.Long, &j.Number, &tags, &begun, &needs, &j.Unique, &j.BusyMS, &spent)
	if err != nil {
		return Job{}, err
	}
	j.Project, j.Payload, j.Result = tenant.Project(project), payload, result
	j.Tags, j.Spent = tags, spent
	for _, text := range needs {
		id, err := uuid.Parse(text)
		if err != nil {
			return Job{}, err
		}
		j.Needs = append(j.Needs, id)
	}
	j.RunAt, j.BegunAt, j.StartedAt, j.FinishedAt = j.NextAttemptAt, begun.Time, started.Time, finished.Time
	return j, nil
}

// Update is what the live subject of a job carries.
type Update struct {
	Job      uuid.UUID `json:"job"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	Progress int       `json:"progress"`
	Total    int       `json:"total"`
	Message  string    `json:"message"`
	Error    string    `json:"error"`
	At       time.Time `json:"at"`
}

func (j Job) update(at time.Time) Update {
	return Update{Job: j.ID, Kind: j.Kind, State: j.State, Progress: j.Progress, Total: j.Total, Message: j.Message, Error: j.Error, At: at}
}
