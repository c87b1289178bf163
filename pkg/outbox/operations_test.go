package outbox_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// in runs fn in a transaction of the project.
func in(t *testing.T, db *pg.DB, p tenant.Project, fn func(ctx context.Context, tx *sqlx.Tx) error) {
	t.Helper()
	must(t, db.InTenant(t.Context(), p, fn))
}

// save stores an answer as a server does, and tells of it.
func save(t *testing.T, db *pg.DB, rec outbox.Operation) error {
	t.Helper()
	ctx, unit := db.Unit(t.Context())
	return unit.CommitIn(ctx, rec.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.NewOperations(db).Answer(ctx, tx, rec, updated(rec.Project, 1))
	})
}

func TestOperationsAreListedLatestFirstByStateAndPage(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	answers := outbox.NewOperations(db)
	at := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	kept := func(p tenant.Project, name string, status int, failure string, age time.Duration) uuid.UUID {
		rec := outbox.Operation{ID: uuid.New(), Project: p, Principal: "user:7", Operation: name, Status: status, CreatedAt: at.Add(-age), StartedAt: at}
		if failure != "" {
			rec.Error = json.RawMessage(failure)
		}
		must(t, save(t, db, rec))
		return rec.ID
	}
	oldest := kept(1, "oldest", 201, "", 3*time.Minute)
	kept(1, "refused", 0, `{"kind":"conflict"}`, 2*time.Minute)
	waiting := kept(1, "waiting", outbox.Unfinished, "", time.Minute)
	foreign := kept(2, "foreign", 201, "", 0)
	names := func(l outbox.Listing) (got []string) {
		t.Helper()
		in(t, db, 1, func(ctx context.Context, tx *sqlx.Tx) error {
			list, err := answers.List(ctx, tx, 1, l)
			got = nil
			for _, o := range list {
				if o.Project != 1 || o.Principal != "user:7" || o.StartedAt.IsZero() || (o.Error != nil) != (o.Operation == "refused") {
					t.Errorf("%+v", o)
				}
				got = append(got, o.Operation)
			}
			return err
		})
		return got
	}
	for _, c := range []struct {
		l    outbox.Listing
		want []string
	}{
		{outbox.Listing{Limit: 10}, []string{"waiting", "refused", "oldest"}},
		{outbox.Listing{Limit: 2}, []string{"waiting", "refused"}},
		{outbox.Listing{Limit: 10, Before: at.Add(-time.Minute), BeforeID: waiting}, []string{"refused", "oldest"}},
		{outbox.Listing{Limit: 10, State: outbox.Pending}, []string{"waiting"}},
		{outbox.Listing{Limit: 10, State: outbox.Succeeded}, []string{"oldest"}},
		{outbox.Listing{Limit: 10, State: outbox.Failed}, []string{"refused"}},
	} {
		if got := names(c.l); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.l, got, c.want)
		}
	}
	in(t, db, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		never := uuid.New()
		unknown, err := answers.Unknown(ctx, tx, 1, []uuid.UUID{oldest, never, foreign})
		if len(unknown) != 2 || unknown[0] != never && unknown[1] != never {
			t.Errorf("unknown: %v", unknown)
		}
		return err
	})
}

func TestAProvisionalAnswerIsFinishedOnceAndCanBeForgotten(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	answers := outbox.NewOperations(db)
	rec := outbox.Operation{ID: uuid.New(), Project: 1, Operation: "addDocument", Status: outbox.Unfinished}
	must(t, save(t, db, rec))
	finish := func(status int, body string) {
		rec.Status, rec.Body = status, []byte(body)
		in(t, db, 1, func(ctx context.Context, tx *sqlx.Tx) error { _, err := answers.Finish(ctx, tx, rec); return err })
	}
	advance := func(p tenant.Project, done int64) {
		in(t, db, p, func(ctx context.Context, tx *sqlx.Tx) error {
			return answers.Advance(ctx, tx, p, rec.ID, outbox.Progress{Done: done, Total: 9, Doing: "importing"})
		})
	}
	advance(1, 3)
	advance(1, 4)
	advance(2, 5) // of another project
	far, _, err := answers.Lookup(t.Context(), rec.ID)
	must(t, err)
	var list []outbox.Operation
	in(t, db, 1, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		list, err = answers.List(ctx, tx, 1, outbox.Listing{Limit: 5})
		return err
	})
	want := outbox.Progress{Done: 4, Total: 9, Doing: "importing"}
	if far.Progress == nil || *far.Progress != want || len(far.Header) > 0 || len(list) != 1 || list[0].Progress == nil || *list[0].Progress != want {
		t.Errorf("it is as far as %+v %v, and listed as %+v", far.Progress, far.Header, list)
	}
	finish(201, `{"id":1}`)
	finish(500, `{}`)
	advance(1, 8)
	got, found, err := answers.Lookup(t.Context(), rec.ID)
	if got.Progress != nil {
		t.Errorf("what is done is as far as %+v", got.Progress)
	}
	must(t, err)
	if !found || got.Status != 201 || string(got.Body) != `{"id":1}` || got.FinishedAt.IsZero() {
		t.Errorf("%v %+v", found, got)
	}
	in(t, db, 2, func(ctx context.Context, tx *sqlx.Tx) error { return answers.Forget(ctx, tx, 2, rec.ID) })
	if _, found, err = answers.Lookup(t.Context(), rec.ID); !found || err != nil {
		t.Errorf("another project made it forgotten: %v %v", found, err)
	}
	in(t, db, 1, func(ctx context.Context, tx *sqlx.Tx) error { return answers.Forget(ctx, tx, 1, rec.ID) })
	if _, found, err = answers.Lookup(t.Context(), rec.ID); found || err != nil {
		t.Errorf("it is still there: %v %v", found, err)
	}
}

func TestTriesThatBeganAndDidNotEndAreCounted(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	began := func(message string, delivery int) (n int) {
		in(t, db, 1, func(ctx context.Context, tx *sqlx.Tx) (err error) {
			n, err = outbox.Began(ctx, tx, "commands", message, delivery)
			return err
		})
		return n
	}
	ended := func(message string, delivery int) {
		in(t, db, 1, func(ctx context.Context, tx *sqlx.Tx) error {
			return outbox.Ended(ctx, tx, "commands", message, delivery)
		})
	}
	for delivery := 11; delivery <= 13; delivery++ {
		if n := began("m", delivery); n != delivery-10 {
			t.Errorf("delivery %d: %d tries", delivery, n)
		}
	}
	if n := began("m", 13); n != 3 {
		t.Errorf("one try counts as %d", n-2)
	}
	ended("m", 12)
	if n := began("other", 11); n != 1 {
		t.Errorf("another message: %d tries", n)
	}
	if n := began("m", 14); n != 3 {
		t.Errorf("after one has ended: %d tries", n)
	}
	if n := began("m", 200); n != 1 {
		t.Errorf("after a hundred more deliveries: %d tries", n)
	}
}
