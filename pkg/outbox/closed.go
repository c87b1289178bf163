package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// ErrClosed says that the project was purged from this schema: the transaction
// must be rolled back, and what it was about is not tried again.
var ErrClosed = errors.New("the project is gone")

// lockClosed is the lock by which purges and all else wait for one another, of one
// schema and one project; %s is "_shared" or nothing.
const lockClosed = `SELECT pg_advisory_xact_lock%s(hashtext('closed in ' || current_schema()), %d)`

// holdOpen is the statement by which a transaction, until it ends, holds off the
// purge of p, and waits for one that goes on.
func holdOpen(p tenant.Project) string {
	return fmt.Sprintf(lockClosed, "_shared", int32(p)) //nolint:gosec // G115: projects are int4
}

// gone tells of the project %s whether another transaction has closed it.
const gone = `EXISTS (SELECT FROM closed_projects WHERE project_id = %s AND closed_by <> pg_current_xact_id())`

// Open fails with [ErrClosed] when the project of tx was purged. Until tx ends no
// purge of the project begins, and one that goes on is waited for: what tx has
// written is seen by the purge, or not committed. It is asked last.
func Open(ctx context.Context, tx *sqlx.Tx, p tenant.Project) error {
	if p == tenant.Instance {
		return nil
	}
	// Two statements, since each has a view of its own: the second sees what the
	// first has waited for. Without parameters they are one round trip.
	rows, err := tx.QueryContext(ctx, holdOpen(p)+"; SELECT "+fmt.Sprintf(gone, strconv.FormatInt(int64(p), 10)))
	if err != nil {
		return fmt.Errorf("look whether project %d is gone: %w", p, err)
	}
	defer rows.Close()
	closed := false
	for rows.Next() { // the lock has a row of nothing
	}
	if rows.NextResultSet() && rows.Next() {
		if err := rows.Scan(&closed); err != nil {
			return fmt.Errorf("look whether project %d is gone: %w", p, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look whether project %d is gone: %w", p, err)
	}
	if closed {
		return fmt.Errorf("project %d: %w", p, ErrClosed)
	}
	return nil
}

// Close marks the project of tx as purged, for good. It waits for every
// transaction that [Open] has let through; those that come later do not commit.
func Close(ctx context.Context, tx *sqlx.Tx, p tenant.Project) error {
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(lockClosed, "", int32(p))); err != nil { //nolint:gosec // G115: projects are int4
		return fmt.Errorf("close project %d: %w", p, err)
	}
	const q = `
		INSERT INTO closed_projects (project_id, closed_by) VALUES ($1, pg_current_xact_id())
		ON CONFLICT (project_id) DO UPDATE SET closed_by = excluded.closed_by`
	if _, err := tx.ExecContext(ctx, q, int64(p)); err != nil {
		return fmt.Errorf("close project %d: %w", p, err)
	}
	return nil
}
