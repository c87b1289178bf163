package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func once(ctx context.Context, db *pg.DB, p tenant.Project, consumer, id string) (first bool, err error) {
	err = db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		first, err = outbox.Once(ctx, tx, consumer, id)
		return err
	})
	return first, err
}

func TestAMessageIsTakenOncePerConsumerAndProject(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	for _, c := range []struct {
		p        tenant.Project
		consumer string
		id       string
		want     bool
	}{{1, "a", "m", true}, {1, "a", "m", false}, {1, "b", "m", true}, {2, "a", "m", true}, {1, "a", "n", true}, {tenant.Instance, "a", "m", true}} {
		got, err := once(t.Context(), db, c.p, c.consumer, c.id)
		must(t, err)
		if got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	must(t, db.AcrossProjects(t.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		if first, err := outbox.Once(ctx, tx, "a", "m"); err != nil || first {
			t.Errorf("across projects is the instance's inbox: %v, %v", first, err)
		}
		return nil
	}))
	if _, err := once(t.Context(), db, 1, "", "m"); err == nil {
		t.Error("a consumer without a name")
	}
}

func TestAMessageWhoseEffectWasRolledBackIsNotTaken(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	_ = db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := outbox.Once(ctx, tx, "a", "m")
		return errors.Join(err, errors.New("no"))
	})
	if first, err := once(t.Context(), db, 1, "a", "m"); err != nil || !first {
		t.Fatal(first, err)
	}
}

func TestTwoDeliveriesAtOnceTakeAMessageOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	second := make(chan bool, 1)
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		first, err := outbox.Once(ctx, tx, "a", "m")
		if !first {
			t.Error("not first")
		}
		go func() {
			first, err := once(t.Context(), db, 1, "a", "m") // waits for us
			if err != nil {
				t.Error(err)
			}
			second <- first
		}()
		return err
	}))
	if <-second {
		t.Fatal("both were first")
	}
}

func TestTheFirstAnswerOfACommandIsKept(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	replica := pgtest.Open(t, pgtest.DSN(t, db), "auth", 1)
	answers := outbox.NewOperations(db)
	rec := outbox.Operation{
		ID: uuid.New(), Project: 1, Principal: "user:7", Operation: "createProject", Fingerprint: []byte{1, 2},
		Status: 201, Header: map[string]string{"Location": "/x"}, Body: []byte(`{"a":1}`), CreatedAt: time.Now().Add(-time.Second),
	}
	must(t, save(t, db, rec))
	second := rec
	second.Status = 500
	if err := save(t, db, second); !errors.Is(err, outbox.ErrAnswered) {
		t.Fatal(err)
	}
	if n := left(t, db, "outbox"); n != 1 {
		t.Errorf("told %d times of one answer", n)
	}
	got, found, err := outbox.NewOperations(replica).Lookup(t.Context(), rec.ID)
	must(t, err)
	if !found || got.Status != 201 || got.Header["Location"] != "/x" || string(got.Body) != `{"a":1}` || got.Principal != "user:7" ||
		got.Project != 1 || string(got.Fingerprint) != "\x01\x02" || got.Error != nil || got.FinishedAt.IsZero() {
		t.Fatalf("%v %+v", found, got)
	}
	in := func(p tenant.Project) (found bool) {
		must(t, db.InTenant(t.Context(), p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
			_, found, err = answers.LookupIn(ctx, tx, p, rec.ID)
			return err
		}))
		return found
	}
	if !in(1) || in(2) {
		t.Fatal("an answer is its project's and nobody else's")
	}
	refusal := outbox.Operation{ID: uuid.New(), Project: 1, Operation: "x", Error: json.RawMessage(`{"kind":"conflict"}`)}
	must(t, save(t, db, refusal))
	got, _, err = answers.Lookup(t.Context(), refusal.ID)
	must(t, err)
	if got.Error == nil || got.Body != nil || got.CreatedAt.IsZero() {
		t.Fatalf("%+v", got)
	}
	if _, found, err := answers.Lookup(t.Context(), uuid.New()); found || err != nil {
		t.Fatal(found, err)
	}
	n, err := answers.Sweep(t.Context(), time.Now().Add(time.Minute))
	must(t, err)
	if n != 2 {
		t.Fatalf("swept %d", n)
	}
}
