package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// promise changes something, or not, and promises an event.
func promise(t *testing.T, db *pg.DB, p tenant.Project, id uuid.UUID, change bool, within time.Duration, version int) (promised bool) {
	t.Helper()
	must(t, db.InTenant(t.Context(), p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		if change {
			if _, err := outbox.Once(ctx, tx, "c", id.String()+within.String()); err != nil {
				return err
			}
		}
		promised, err = outbox.Promise(ctx, tx, id, within, updated(p, version))
		return err
	}))
	return promised
}

func left(t *testing.T, db *pg.DB, table string) (n int) {
	t.Helper()
	must(t, pgtest.Admin(t, db).GetContext(t.Context(), &n, `SELECT count(*) FROM auth.`+table))
	return n
}

func TestAPromiseIsSaidWhenItIsDueAndNotSettled(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	db := pgtest.New(t, schema)
	broken, settled, later := uuid.New(), uuid.New(), uuid.New()
	if promise(t, db, 1, broken, false, -time.Second, 1) {
		t.Error("promised, although nothing has changed")
	}
	if !promise(t, db, 1, broken, true, -time.Second, 9) || !promise(t, db, 1, broken, true, -time.Minute, 1) || left(t, db, "outbox_promises") != 1 {
		t.Error("want one promise of an id")
	}
	promise(t, db, 1, settled, true, -time.Second, 2)
	promise(t, db, 2, later, true, time.Hour, 3)
	taken := uuid.New()
	promise(t, db, 1, taken, true, time.Hour, 4)
	must(t, db.InTenant(t.Context(), 2, func(ctx context.Context, tx *sqlx.Tx) error { // of another project: not settled
		return outbox.Add(ctx, tx, updated(2, 5), outbox.Settling(taken))
	}))
	if n := left(t, db, "outbox_promises"); n != 4 {
		t.Errorf("%d promises, want 4", n)
	}
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Add(ctx, tx, updated(1, 6), outbox.Settling(taken))
	}))
	if n := left(t, db, "outbox_promises"); n != 3 {
		t.Errorf("%d promises after one is settled, want 3", n)
	}
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Settle(ctx, tx, 1, settled) }))
	h := listen(t, env.Bus("auth"))
	start(t, db, env.Bus("auth"))
	said := map[int32]int32{}
	for _, m := range h.next(3) {
		said[m.GetVersion()] = m.GetProjectId()
	}
	if len(said) != 3 || said[5] != 2 || said[6] != 1 || said[1] != 1 {
		t.Errorf("said %v", said)
	}
	if n := left(t, db, "outbox_promises"); n != 1 {
		t.Errorf("%d promises are left, want the one that is not due", n)
	}
}
