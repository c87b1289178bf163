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
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// The states of a job. The last four are final.
const (
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
	ID          uuid.UUID       // random when zero; one given twice is one job
	Project     tenant.Project  //
	Kind        string          // names the handler: a-z, 0-9, - and _
	Payload     json.RawMessage // what the handler needs; references rather than content
	Priority    int             // higher first, within the project
	MaxAttempts int             // tries without a step saved before it is dead; 5 when 0
	RunAt       time.Time       // not before; zero means now
	Long        bool            // known to take long: it runs in the lane of those, where others get later

	State           string
	Principal       string // who asked for it; taken from the context
	Progress        int    // of Total, in the handler's unit
	Total           int    // 0 while unknown
	Message         string // of the latest progress
	Result          json.RawMessage
	Error           string // of the latest try; shown to the job's project
	Attempts        int    // tries begun, counted anew from a saved step
	CancelRequested bool
	CreatedAt       time.Time
	NextAttemptAt   time.Time
	StartedAt       time.Time // of the latest try; zero before the first
	FinishedAt      time.Time // zero until it is final

	headers []byte // trace of the cause
}

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
	carrier := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	header, err := json.Marshal(carrier)
	if err != nil {
		return uuid.Nil, fmt.Errorf("enqueue %s: %w", j.Kind, err)
	}
	runAt := sql.NullTime{Time: j.RunAt.UTC(), Valid: !j.RunAt.IsZero()}
	const q = `
		INSERT INTO jobs (id, project_id, kind, payload, principal, headers, priority, max_attempts, next_attempt_at, long)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()), $10)
		ON CONFLICT (id) DO NOTHING`
	if _, err := tx.ExecContext(ctx, q, j.ID, int64(j.Project), j.Kind, string(j.Payload), j.Principal,
		string(header), j.Priority, j.MaxAttempts, runAt, j.Long); err != nil {
		if pg.PolicyViolation(err) {
			return uuid.Nil, fmt.Errorf("enqueue %s: the job is of another project than its transaction: %w", j.Kind, err)
		}
		return uuid.Nil, fmt.Errorf("enqueue %s: %w", j.Kind, err)
	}
	pg.Ring(ctx, topic)
	return j.ID, nil
}

const columns = `id, project_id, kind, payload, principal, headers, state, priority, progress, total, message, result, error,
	attempts, max_attempts, cancel_requested, created_at, next_attempt_at, started_at, finished_at, long`

type scanner interface{ Scan(dest ...any) error }

func scan(r scanner) (Job, error) {
	var (
		j                 Job
		project           int64
		payload, result   []byte
		started, finished sql.NullTime
	)
	err := r.Scan(&j.ID, &project, &j.Kind, &payload, &j.Principal, &j.headers, &j.State, &j.Priority, &j.Progress, &j.Total,
		&j.Message, &result, &j.Error, &j.Attempts, &j.MaxAttempts, &j.CancelRequested, &j.CreatedAt, &j.NextAttemptAt,
		&started, &finished, &j.Long)
	if err != nil {
		return Job{}, err
	}
	j.Project, j.Payload, j.Result = tenant.Project(project), payload, result
	j.RunAt, j.StartedAt, j.FinishedAt = j.NextAttemptAt, started.Time, finished.Time
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
