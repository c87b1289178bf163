package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Promise writes the event msg in the transaction tx as [Add] does, but it is
// said only when within has passed and nobody has called [Settle]: by it the end
// of something is told of although whoever would tell was cut off. When tx has
// changed nothing yet, nothing is promised, which promised reports. The same id
// twice is one promise, of what was given last.
func Promise(ctx context.Context, tx *sqlx.Tx, id uuid.UUID, within time.Duration, msg proto.Message, opts ...Option) (promised bool, err error) {
	r, err := rowOf(ctx, msg, append(opts, WithID(id))...)
	if err != nil {
		return false, err
	}
	const q = `
		INSERT INTO outbox_promises (message_id, project_id, subject, headers, data, due_at)
		SELECT $1, $2, $3, $4, $5, now() + $6 * interval '1 microsecond' WHERE pg_current_xact_id_if_assigned() IS NOT NULL
		ON CONFLICT (project_id, message_id) DO UPDATE SET headers = excluded.headers, data = excluded.data`
	res, err := tx.ExecContext(ctx, q, r.MessageID, int64(r.Project), r.Subject, r.Header, r.Data, within.Microseconds())
	if err != nil {
		return false, fmt.Errorf("promise event %s: %w", r.Subject, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("promise event %s: %w", r.Subject, err)
	}
	return n > 0, nil
}

// Settling has the event take the promise of its project back that has this id, in
// the same statement; none for the zero id.
func Settling(promise uuid.UUID) Option { return func(a *addition) { a.settles = promise } }

// Settle takes a promise back, in a transaction of its project.
func Settle(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id uuid.UUID) error {
	const q = `DELETE FROM outbox_promises WHERE project_id = $1 AND message_id = $2`
	if _, err := tx.ExecContext(ctx, q, int64(p), id); err != nil {
		return fmt.Errorf("settle a promise: %w", err)
	}
	return nil
}

// keepPromises is how many promises are said in one transaction.
const keepPromises = 500

// keepDue moves promises that are due into the outbox.
const keepDue = `
	WITH due AS (
		DELETE FROM outbox_promises WHERE (project_id, message_id) IN (
			SELECT project_id, message_id FROM outbox_promises WHERE due_at < now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
		RETURNING message_id, project_id, subject, headers, data)
	INSERT INTO outbox (message_id, project_id, subject, headers, data) SELECT message_id, project_id, subject, headers, data FROM due`

// keepEvery is how often it is looked for promises that are due.
const keepEvery = 5 * time.Second

// promises says those that are due.
func (w *work) promises(ctx context.Context) error {
	now := time.Now()
	if now.Sub(w.promised) < keepEvery {
		return nil
	}
	w.promised = now
	return w.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, keepDue, keepPromises)
		if err != nil {
			return fmt.Errorf("keep promises: %w", err)
		}
		if n, err := res.RowsAffected(); err == nil && n > 0 {
			w.log.Warn("outbox.promises", "said", n)
			if n == keepPromises {
				w.promised = time.Time{}
			}
		}
		return nil
	})
}
