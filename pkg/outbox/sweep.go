package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// sweepChunk bounds one deletion, so that it holds no lock for long.
const sweepChunk = 2000

// What is deleted when it is older than $1, at most $2 rows. A provisional
// answer (202, [Unfinished]) must be there when its work ends.
const (
	sweepPublished = `
		DELETE FROM outbox WHERE id IN (
			SELECT id FROM outbox WHERE published_at < $1 ORDER BY published_at LIMIT $2)`
	sweepInbox = `
		DELETE FROM inbox WHERE (project_id, consumer, message_id) IN (
			SELECT project_id, consumer, message_id FROM inbox WHERE received_at < $1 ORDER BY received_at LIMIT $2)`
	sweepOperations = `
		DELETE FROM operations WHERE (project_id, id) IN (
			SELECT project_id, id FROM operations WHERE finished_at < $1 AND status <> 202 ORDER BY finished_at LIMIT $2)`
	sweepUnfinished = `
		DELETE FROM operations WHERE (project_id, id) IN (
			SELECT project_id, id FROM operations WHERE finished_at < $1 AND status = 202 ORDER BY finished_at LIMIT $2)`
)

func deleteChunk(ctx context.Context, tx *sqlx.Tx, q string, before time.Time) (int64, error) {
	res, err := tx.ExecContext(ctx, q, before.UTC(), sweepChunk)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	return n, nil
}
