package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// ErrAnswered says that the operation has an answer already: another delivery
// of the same command was faster. The transaction must be rolled back, and the
// stored answer given.
var ErrAnswered = errors.New("the operation has been answered before")

// Operation is the stored answer of a command.
type Operation struct {
	ID          uuid.UUID
	Project     tenant.Project
	Principal   string // who asked, "user:7"
	Operation   string // what, "createProject"
	Fingerprint []byte // of the command's body: another body under the same id is an error
	Status      int    // of HTTP; 0 when Error says it all; [Unfinished]
	Header      map[string]string
	Body        []byte          // nil when there is none
	Error       json.RawMessage // a refusal, in the form of the bus; nil for success
	CreatedAt   time.Time       // acceptance of the command
	StartedAt   time.Time       // of the run that the answer is of; zero when it is not known
	FinishedAt  time.Time       // set by the database
	Progress    *Progress       // of one that is unfinished and says so, see [Operations.Advance]
}

// Unfinished is the status of an answer that says only that the work goes on:
// its body is provisional, and [Operations.Finish] gives the final one.
const Unfinished = http.StatusAccepted

// Operations are the stored answers of one service, the same in all its
// processes.
type Operations struct{ db *pg.DB }

// NewOperations returns the stored answers in the schema of db.
func NewOperations(db *pg.DB) *Operations { return &Operations{db: db} }

const operationColumns = `id, project_id, principal, operation, fingerprint, status, headers, body, error, created_at, started_at, finished_at`

// Lookup returns the answer of operation id of any project, and whether there
// is one. It joins a unit of work like any call; the caller compares project
// and principal before it shows anything.
func (o *Operations) Lookup(ctx context.Context, id uuid.UUID) (rec Operation, found bool, err error) {
	err = o.db.AcrossProjects(ctx, "stored answer by operation id", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT ` + operationColumns + ` FROM operations WHERE id = $1`
		rec, found, err = scanOperation(tx.QueryRowxContext(ctx, q, id))
		return err
	})
	return rec, found, err
}

// LookupIn is [Operations.Lookup] within one project, in a transaction of it.
func (o *Operations) LookupIn(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id uuid.UUID) (rec Operation, found bool, err error) {
	const q = `SELECT ` + operationColumns + ` FROM operations WHERE project_id = $1 AND id = $2`
	return scanOperation(tx.QueryRowxContext(ctx, q, int64(p), id))
}

// State says which operations are listed.
type State string

// The states. The zero one is any.
const (
	AnyState  State = ""
	Pending   State = "pending" // answered 202, and not finished
	Succeeded State = "succeeded"
	Failed    State = "failed" // refused, or given up
)

// Listing is one page of the operations of a project.
type Listing struct {
	State State
	Limit int
	// Principal is whose operations are listed; "" for everybody's.
	Principal string
	// Before and BeforeID are of the last one of the page before, zero for the
	// first page.
	Before   time.Time
	BeforeID uuid.UUID
}

// List returns operations of p in a transaction of it, the latest accepted
// first, without headers and body.
func (o *Operations) List(ctx context.Context, tx *sqlx.Tx, p tenant.Project, l Listing) (list []Operation, err error) {
	const q = `
		SELECT id, principal, operation, status, error, created_at, started_at, finished_at, COALESCE(headers ->> $8, '')
		FROM   operations
		WHERE  project_id = $1 AND ($7 = '' OR principal = $7)
		AND    ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
		AND    CASE $4 WHEN 'pending' THEN status = $5 WHEN 'failed' THEN error IS NOT NULL
		       WHEN 'succeeded' THEN error IS NULL AND status <> $5 ELSE true END
		ORDER  BY created_at DESC, id DESC LIMIT $6`
	rows, err := tx.QueryxContext(ctx, q, int64(p), sql.NullTime{Time: l.Before.UTC(), Valid: !l.Before.IsZero()}, l.BeforeID, string(l.State), Unfinished, l.Limit, l.Principal, progressHeader)
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		rec := Operation{Project: p}
		var failure sql.NullString
		var started sql.NullTime
		var progress string
		if err := rows.Scan(&rec.ID, &rec.Principal, &rec.Operation, &rec.Status, &failure, &rec.CreatedAt, &started, &rec.FinishedAt, &progress); err != nil {
			return nil, fmt.Errorf("list operations: %w", err)
		}
		rec.Progress = readProgress(progress)
		if rec.StartedAt = started.Time; failure.Valid {
			rec.Error = json.RawMessage(failure.String)
		}
		list = append(list, rec)
	}
	return list, rows.Err()
}

// Unknown returns those of the ids that are of no operation of p.
func (o *Operations) Unknown(ctx context.Context, tx *sqlx.Tx, p tenant.Project, ids []uuid.UUID) ([]uuid.UUID, error) {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	const q = `
		SELECT asked.id FROM unnest($2::uuid[]) AS asked (id)
		WHERE  NOT EXISTS (SELECT FROM operations WHERE project_id = $1 AND id = asked.id)`
	unknown := []uuid.UUID{}
	if err := tx.SelectContext(ctx, &unknown, q, int64(p), pq.Array(texts)); err != nil {
		return nil, fmt.Errorf("look for operations: %w", err)
	}
	return unknown, nil
}

// Finish replaces the provisional answer of rec's operation by rec's Status,
// Header, Body and Error, in tx, which must be of rec's project. An operation
// that is finished, or not known any more, stays as it is: finished is false then.
func (o *Operations) Finish(ctx context.Context, tx *sqlx.Tx, rec Operation) (finished bool, err error) {
	header, failure, err := rec.encode()
	if err != nil {
		return false, fmt.Errorf("finish operation %s: %w", rec.ID, err)
	}
	const q = `
		UPDATE operations SET status = $3, headers = $4, body = $5, error = $6, finished_at = now()
		WHERE  project_id = $1 AND id = $2 AND status = $7`
	done, err := tx.ExecContext(ctx, q, int64(rec.Project), rec.ID, rec.Status, header, rec.Body, failure, Unfinished)
	if err != nil {
		return false, fmt.Errorf("finish operation %s: %w", rec.ID, err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// encode is the form in which headers and error are stored.
func (rec Operation) encode() (header string, failure sql.NullString, err error) {
	header = "{}"
	if len(rec.Header) > 0 {
		b, err := json.Marshal(rec.Header)
		if err != nil {
			return "", failure, err
		}
		header = string(b)
	}
	return header, sql.NullString{String: string(rec.Error), Valid: len(rec.Error) > 0}, nil
}

// Forget deletes the stored answer of an operation that failed, in a
// transaction of its project, so that the command can run again.
func (o *Operations) Forget(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id uuid.UUID) error {
	const q = `DELETE FROM operations WHERE project_id = $1 AND id = $2`
	if _, err := tx.ExecContext(ctx, q, int64(p), id); err != nil {
		return fmt.Errorf("forget an answer: %w", err)
	}
	return nil
}

// Sweep deletes final answers that were given before the time, in bounded
// transactions, and returns how many. A [Relay] does it by itself, and deletes
// provisional ones whose work never ended.
func (o *Operations) Sweep(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	for {
		var n int64
		err := o.db.AcrossProjects(ctx, "sweep old answers", func(ctx context.Context, tx *sqlx.Tx) error {
			var err error
			n, err = deleteChunk(ctx, tx, sweepOperations, before)
			return err
		})
		total += n
		if err != nil || n < sweepChunk {
			return total, err
		}
	}
}

func scanOperation(r *sqlx.Row) (Operation, bool, error) {
	var (
		rec     Operation
		project int64
		header  []byte
		failure sql.NullString
		started sql.NullTime
	)
	err := r.Scan(&rec.ID, &project, &rec.Principal, &rec.Operation, &rec.Fingerprint, &rec.Status,
		&header, &rec.Body, &failure, &rec.CreatedAt, &started, &rec.FinishedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return Operation{}, false, nil
	}
	if err != nil {
		return Operation{}, false, fmt.Errorf("read a stored answer: %w", err)
	}
	rec.Project, rec.StartedAt = tenant.Project(project), started.Time
	if err := json.Unmarshal(header, &rec.Header); err != nil {
		return Operation{}, false, fmt.Errorf("read a stored answer: headers: %w", err)
	}
	rec.Progress = readProgress(rec.Header[progressHeader])
	delete(rec.Header, progressHeader)
	if failure.Valid {
		rec.Error = json.RawMessage(failure.String)
	}
	return rec, true, nil
}
