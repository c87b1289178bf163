package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// answer keeps an answer and the event that tells of it, unless the project is
// gone, in one statement: each round trip is paid by every write.
var answer = `
	WITH project AS (SELECT $2 <> 0 AND ` + fmt.Sprintf(gone, "$2") + ` AS gone),
	kept AS (
		INSERT INTO operations (id, project_id, principal, operation, fingerprint, status, headers, body, error, created_at, started_at)
		SELECT $1, $2::bigint, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM project WHERE NOT gone
		ON CONFLICT DO NOTHING RETURNING project_id),
	told AS (
		INSERT INTO outbox (message_id, project_id, subject, headers, data)
		SELECT $12, project_id, $13, $14, $15 FROM kept WHERE $13 <> '')
	SELECT gone, EXISTS (SELECT FROM kept) AS kept FROM project`

// Answer stores rec in tx, which must be of rec's project: with the change that it
// answers, or alone for a refusal. msg tells of it, and is added as by [Add]; nil
// tells nobody. It fails with [ErrAnswered] when the operation has an answer,
// waiting for another transaction that is about to store one, and with
// [ErrClosed] when the project was purged, which it looks for as [Open] does:
// it, too, comes last.
func (o *Operations) Answer(ctx context.Context, tx *sqlx.Tx, rec Operation, msg proto.Message, opts ...Option) error {
	header, failure, err := rec.encode()
	if err != nil {
		return fmt.Errorf("save answer of %s: %w", rec.Operation, err)
	}
	if rec.Fingerprint == nil {
		rec.Fingerprint = []byte{}
	}
	if rec.CreatedAt.IsZero() {
		rec.CreatedAt = time.Now()
	}
	r := row{Project: rec.Project, Header: "{}", Data: []byte{}}
	if msg != nil {
		if r, err = rowOf(ctx, msg, opts...); err != nil {
			return err
		}
	}
	if r.Project != rec.Project {
		return fmt.Errorf("save answer of %s: project %d, told of in %d", rec.Operation, rec.Project, r.Project)
	}
	if rec.Project != tenant.Instance { // a statement of its own, since the next has to see what this one has waited for
		if _, err := tx.ExecContext(ctx, holdOpen(rec.Project)); err != nil {
			return fmt.Errorf("look whether project %d is gone: %w", rec.Project, err)
		}
	}
	var is struct{ Gone, Kept bool }
	err = tx.GetContext(ctx, &is, answer, rec.ID, int64(rec.Project), rec.Principal, rec.Operation, rec.Fingerprint,
		rec.Status, header, rec.Body, failure, rec.CreatedAt.UTC(), sql.NullTime{Time: rec.StartedAt.UTC(), Valid: !rec.StartedAt.IsZero()},
		r.MessageID, r.Subject, r.Header, r.Data)
	switch {
	case err != nil:
		return fmt.Errorf("save answer of %s: %w", rec.Operation, err)
	case is.Gone:
		return fmt.Errorf("project %d: %w", rec.Project, ErrClosed)
	case !is.Kept:
		return fmt.Errorf("save answer of %s %s: %w", rec.Operation, rec.ID, ErrAnswered)
	}
	pg.Ring(ctx, topic)
	return nil
}
