package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Held is a fact that waits in a row for what it needs, or for one of its
// project and kind that does. Those of a consumer and project are tried in the
// order in which they were held.
type Held struct {
	ID       int64  `db:"id"`
	Project  int64  `db:"project_id"`
	Consumer string `db:"consumer"`
	Seq      int64  `db:"stream_seq"`
	StoredNS int64  `db:"stored_ns"`
	Subject  string `db:"subject"`
	Headers  []byte `db:"headers"` // JSON
	Data     []byte `db:"data"`
	Tries    int    `db:"tries"`
	Waits    int    `db:"waits"`
	Begun    int    `db:"begun"`
	// Age is how long it has been held, in seconds, by the database's clock.
	Age float64 `db:"age"`
}

// Lane is the facts of a consumer and project that wait.
type Lane struct {
	Project  tenant.Project `db:"project_id"`
	Consumer string         `db:"consumer"`
	Due      float64        `db:"due"` // seconds until its first is tried; below zero when that may be now
}

// MostHeld is how many facts of one project wait for one consumer.
const MostHeld = 10_000

// ErrManyHeld says that so many wait already.
var ErrManyHeld = fmt.Errorf("%d facts of the project wait already", MostHeld)

const heldProject = `coalesce(nullif(current_setting('app.project_id', true), '')::bigint, 0)`

// Holding reports whether a fact of the transaction's project waits for the
// consumer: what comes later waits behind it.
func Holding(ctx context.Context, tx *sqlx.Tx, consumer string) (held bool, err error) {
	const q = `SELECT EXISTS (SELECT 1 FROM held_facts WHERE project_id = ` + heldProject + ` AND consumer = $1)`
	if err := tx.GetContext(ctx, &held, q, consumer); err != nil {
		return false, fmt.Errorf("facts held for %s: %w", consumer, err)
	}
	return held, nil
}

// Hold lets a fact of the transaction's project wait, behind those that do. Twice
// is once.
func Hold(ctx context.Context, tx *sqlx.Tx, h Held, headers map[string][]string, wait time.Duration, cause string) error {
	const count = `SELECT count(*) FROM (SELECT 1 FROM held_facts WHERE project_id = ` + heldProject + ` AND consumer = $1 LIMIT $2) AS few`
	var n int
	if err := tx.GetContext(ctx, &n, count, h.Consumer, MostHeld); err != nil {
		return fmt.Errorf("hold a fact for %s: %w", h.Consumer, err)
	}
	if n >= MostHeld {
		return ErrManyHeld
	}
	text, err := json.Marshal(headers)
	if err != nil {
		return fmt.Errorf("hold a fact for %s: %w", h.Consumer, err)
	}
	if h.Data == nil {
		h.Data = []byte{}
	}
	const q = `
		INSERT INTO held_facts (project_id, consumer, stream_seq, stored_ns, subject, headers, data, tries, waits, next_at, error)
		VALUES (` + heldProject + `, $1, $2, $3, $4, $5, $6, $7, $8, now() + $9 * interval '1 second', $10)
		ON CONFLICT DO NOTHING`
	if _, err := tx.ExecContext(ctx, q, h.Consumer, h.Seq, h.StoredNS, h.Subject, string(text), h.Data, h.Tries, h.Waits, wait.Seconds(), cause); err != nil {
		return fmt.Errorf("hold a fact for %s: %w", h.Consumer, err)
	}
	return nil
}

// Lanes lists where facts wait for any of the consumers, those that are due first.
// The transaction must be across projects.
func Lanes(ctx context.Context, tx *sqlx.Tx, consumers []string, most int) ([]Lane, error) {
	const q = `
		SELECT project_id, consumer, extract(epoch FROM next_at - now())::float8 AS due
		FROM   held_facts
		JOIN   (SELECT project_id, consumer, min(id) AS id FROM held_facts WHERE consumer = ANY ($1) GROUP BY project_id, consumer) AS first
		USING  (project_id, consumer, id)
		ORDER  BY next_at LIMIT $2`
	var out []Lane
	if err := tx.SelectContext(ctx, &out, q, pq.Array(consumers), most); err != nil {
		return nil, fmt.Errorf("facts held: %w", err)
	}
	return out, nil
}

// NextHeld takes the first fact of a lane that is due, in the project of the
// transaction, for so long that nobody else tries it meanwhile.
func NextHeld(ctx context.Context, tx *sqlx.Tx, consumer string, lease time.Duration) (h Held, found bool, err error) {
	const q = `
		UPDATE held_facts SET begun = begun + 1, next_at = now() + $2 * interval '1 second'
		WHERE  project_id = ` + heldProject + ` AND consumer = $1 AND next_at <= now()
		AND    id = (SELECT min(id) FROM held_facts WHERE project_id = ` + heldProject + ` AND consumer = $1)
		RETURNING id, project_id, consumer, stream_seq, stored_ns, subject, headers, data, tries, waits, begun,
		          extract(epoch FROM now() - held_at)::float8 AS age`
	err = tx.GetContext(ctx, &h, q, consumer, lease.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return h, false, nil
	}
	if err != nil {
		return h, false, fmt.Errorf("facts held for %s: %w", consumer, err)
	}
	return h, true, nil
}

// KeepHeld writes down how a try ended, and when the next one is.
func KeepHeld(ctx context.Context, tx *sqlx.Tx, h Held, wait time.Duration, cause string) error {
	const q = `
		UPDATE held_facts SET tries = $3, waits = $4, begun = $5, next_at = now() + $6 * interval '1 second', error = $7
		WHERE  project_id = ` + heldProject + ` AND consumer = $1 AND id = $2`
	if _, err := tx.ExecContext(ctx, q, h.Consumer, h.ID, h.Tries, h.Waits, h.Begun, wait.Seconds(), cause); err != nil {
		return fmt.Errorf("facts held for %s: %w", h.Consumer, err)
	}
	return nil
}

// Unhold ends the waiting of a fact.
func Unhold(ctx context.Context, tx *sqlx.Tx, h Held) error {
	const q = `DELETE FROM held_facts WHERE project_id = ` + heldProject + ` AND consumer = $1 AND id = $2`
	if _, err := tx.ExecContext(ctx, q, h.Consumer, h.ID); err != nil {
		return fmt.Errorf("facts held for %s: %w", h.Consumer, err)
	}
	return nil
}
