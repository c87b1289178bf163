package outbox_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func TestWhatTheStreamLacksIsFoundWithoutReadingDaysOfRows(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	s, err := db.Session(t.Context(), "test")
	must(t, err)
	defer func() { must(t, s.Close()) }()
	must(t, s.Tx(t.Context(), func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO outbox (message_id, project_id, subject, data, published_at, stream_epoch, stream_seq)
			SELECT gen_random_uuid(), 1, 's', '', now(), '7', i FROM generate_series(1, 20000) i`)
		return err
	}))
	pgtest.Admin(t, db).MustExec(`ANALYZE auth.outbox`)
	must(t, s.Tx(t.Context(), func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `PREPARE lacking (text, bigint) AS `+outbox.Lack); err != nil {
			return err
		}
		var plan []string
		if err := tx.SelectContext(ctx, &plan, `EXPLAIN EXECUTE lacking ('7', 19999)`); err != nil {
			return err
		}
		if text := strings.Join(plan, "\n"); !strings.Contains(text, "outbox_streamed") {
			t.Errorf("plan:\n%s", text)
		}
		return nil
	}))
}
