package outbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// lanes is what waits of any project.
func lanes(t *testing.T, db *pg.DB, consumers ...string) (out []outbox.Lane) {
	t.Helper()
	err := db.AcrossProjects(t.Context(), "the test looks", func(ctx context.Context, tx *sqlx.Tx) (err error) {
		out, err = outbox.Lanes(ctx, tx, consumers, 10)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatIsHeldIsTakenInOrderByOneAtATime(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pg.Schema{Name: "auth"})
	in := func(p tenant.Project, fn func(ctx context.Context, tx *sqlx.Tx) error) {
		t.Helper()
		if err := db.InTenant(t.Context(), p, fn); err != nil {
			t.Fatal(err)
		}
	}
	hold := func(p tenant.Project, seq int64, wait time.Duration) {
		t.Helper()
		in(p, func(ctx context.Context, tx *sqlx.Tx) error {
			return outbox.Hold(ctx, tx, outbox.Held{Consumer: "c", Seq: seq, StoredNS: 7, Subject: "evt.x", Tries: 1, Waits: 2}, map[string][]string{"ce-id": {"a"}}, wait, "away")
		})
	}
	next := func(p tenant.Project) (h outbox.Held, found bool) {
		t.Helper()
		in(p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
			h, found, err = outbox.NextHeld(ctx, tx, "c", time.Hour)
			return err
		})
		return h, found
	}
	holding := func(p tenant.Project) (held bool) {
		t.Helper()
		in(p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
			held, err = outbox.Holding(ctx, tx, "c")
			return err
		})
		return held
	}
	if holding(1) || len(lanes(t, db, "c")) != 0 {
		t.Error("something waits already")
	}
	hold(1, 5, 0)
	hold(1, 6, 0)
	hold(1, 5, 0) // twice is once
	hold(2, 7, time.Hour)
	if !holding(1) || holding(3) || len(lanes(t, db, "other")) != 0 {
		t.Error("the wrong ones wait")
	}
	if all := lanes(t, db, "c"); len(all) != 2 || all[0].Project != 1 || all[0].Due > 0 || all[1].Due < 3000 {
		t.Errorf("lanes %+v", all)
	}
	if _, found := next(2); found {
		t.Error("taken before it is due")
	}
	first, found := next(1)
	if !found || first.Seq != 5 || first.Begun != 1 || first.Tries != 1 || first.Waits != 2 || string(first.Headers) != `{"ce-id": ["a"]}` || first.Age < 0 {
		t.Errorf("first %+v %v", first, found)
	}
	if h, found := next(1); found {
		t.Errorf("somebody else has %+v", h)
	}
	first.Waits = 3
	in(1, func(ctx context.Context, tx *sqlx.Tx) error { return outbox.KeepHeld(ctx, tx, first, 0, "still away") })
	if h, found := next(1); !found || h.Seq != 5 || h.Waits != 3 || h.Begun != 2 {
		t.Errorf("again %+v %v", h, found)
	}
	in(1, func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Unhold(ctx, tx, first) })
	if h, found := next(1); !found || h.Seq != 6 {
		t.Errorf("then %+v %v", h, found)
	}
}

func TestSoManyWaitAndNoMore(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pg.Schema{Name: "auth"})
	const fill = `
		INSERT INTO held_facts (project_id, consumer, stream_seq, stored_ns, subject, headers, data, tries, waits, next_at)
		SELECT 1, 'c', n, 7, 'evt.x', '{}', '', 0, 0, now() FROM generate_series(1, $1::int) AS n`
	hold := func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Hold(ctx, tx, outbox.Held{Consumer: "c", Seq: 1 << 40}, nil, 0, "")
	}
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, fill, outbox.MostHeld); err != nil {
			return err
		}
		return hold(ctx, tx)
	})
	if !errors.Is(err, outbox.ErrManyHeld) {
		t.Errorf("one more: %v", err)
	}
	if err := db.InTenant(t.Context(), 2, hold); err != nil {
		t.Errorf("another project: %v", err)
	}
}

func TestWhatIsHeldIsNotTouchedWhenTheCallIsOver(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pg.Schema{Name: "auth"})
	for name, fn := range map[string]func(ctx context.Context, tx *sqlx.Tx) error{
		"holding": func(ctx context.Context, tx *sqlx.Tx) error { _, err := outbox.Holding(ctx, tx, "c"); return err },
		"hold": func(ctx context.Context, tx *sqlx.Tx) error {
			return outbox.Hold(ctx, tx, outbox.Held{Consumer: "c"}, nil, 0, "")
		},
		"lanes": func(ctx context.Context, tx *sqlx.Tx) error { _, err := outbox.Lanes(ctx, tx, nil, 1); return err },
		"next": func(ctx context.Context, tx *sqlx.Tx) error {
			_, _, err := outbox.NextHeld(ctx, tx, "c", 0)
			return err
		},
		"keep":   func(ctx context.Context, tx *sqlx.Tx) error { return outbox.KeepHeld(ctx, tx, outbox.Held{}, 0, "") },
		"unhold": func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Unhold(ctx, tx, outbox.Held{}) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error {
			cancel()
			return fn(ctx, tx)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
