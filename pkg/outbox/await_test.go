package outbox_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func TestACallWaitsUntilWhatIsToBeHeardIsPublished(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	pub := newRecorder()
	asked, open := make(chan struct{}, 100), make(chan struct{})
	pub.fail = func(int, string, string) error {
		asked <- struct{}{}
		<-open
		return nil
	}
	ctx, awaited := outbox.Await(t.Context())
	must(t, db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Add(ctx, tx, updated(1, 1), outbox.Heard())
	}))
	start(t, db, pub)
	done := make(chan error, 1)
	go func() { done <- awaited.Published(t.Context(), db) }()
	<-asked
	select {
	case err := <-done:
		t.Fatalf("before it was published: %v", err)
	default:
	}
	close(open)
	must(t, <-done)
	rows(t, db, "published_at IS NULL", 0)
}

func TestNothingIsWaitedForThatNobodyIsToHear(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema) // without a relay: whoever waits does so for ever
	ctx, awaited := outbox.Await(t.Context())
	must(t, db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Add(ctx, tx, updated(1, 1)) }))
	undone := errors.New("undone")
	err := db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		must(t, outbox.Add(ctx, tx, updated(1, 2), outbox.Heard()))
		return undone
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	must(t, awaited.Published(t.Context(), db))
}

func TestWhoCannotWaitAnyLongerIsToldSo(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	ctx, awaited := outbox.Await(t.Context())
	must(t, db.InTenant(ctx, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Add(ctx, tx, updated(1, 1), outbox.Heard())
	}))
	late := errors.New("late")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(late)
	if err := awaited.Published(ctx, db); err == nil {
		t.Error("it was published without a relay")
	}
	rows(t, db, "published_at IS NULL", 1)
}
