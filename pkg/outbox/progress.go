package outbox

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Progress is how far the work of an operation is that has no final answer yet.
type Progress struct {
	Done  int64  `json:"done"`  // of Total, in a unit of the work's choice
	Total int64  `json:"total"` // 0: not known
	Doing string `json:"doing"` // what it does at the moment, in a word
}

// progressHeader is where a provisional answer keeps it. The final one replaces
// all headers.
const progressHeader = "Cc-Progress"

// Advance notes how far the work of an operation is, in a transaction of p. Of one
// that is finished, or not known any more, nothing is noted.
func (o *Operations) Advance(ctx context.Context, tx *sqlx.Tx, p tenant.Project, id uuid.UUID, at Progress) error {
	text, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("progress of operation %s: %w", id, err)
	}
	const q = `
		UPDATE operations SET headers = headers || jsonb_build_object($3::text, $4::text)
		WHERE  project_id = $1 AND id = $2 AND status = $5`
	if _, err := tx.ExecContext(ctx, q, int64(p), id, progressHeader, string(text), Unfinished); err != nil {
		return fmt.Errorf("progress of operation %s: %w", id, err)
	}
	return nil
}

// readProgress is what Advance has noted; nil without.
func readProgress(text string) *Progress {
	var at Progress
	if text == "" || json.Unmarshal([]byte(text), &at) != nil {
		return nil
	}
	return &at
}
