package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// held counts the facts that wait in rows.
func held(t *testing.T, db *pg.DB) (n int) {
	t.Helper()
	err := db.AcrossProjects(t.Context(), "the test counts", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, `SELECT count(*) FROM held_facts`)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAProjectWhoseFactsCannotBeHandledHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	db := pgtest.New(t, pg.Schema{Name: "knowledge"})
	var back atomic.Bool
	heard := make(chan string, 16)
	in := newInbox(env, bus.InboxConfig{DB: db, Backoff: []time.Duration{time.Millisecond}}, func(_ context.Context, m bus.Meta, e *authv1.ProjectDeleting) error {
		if m.Project == 1 && !back.Load() {
			return errs.New(errs.Unavailable, "what project 1 needs is away")
		}
		heard <- fmt.Sprint(int64(m.Project), ".", e.GetVersion())
		return nil
	})
	env.Run(in)
	for v := range int32(4) {
		env.Say(deleting(1, v))
	}
	env.Say(deleting(2, 1))
	if got := bustest.Await(env, heard); got != "2.1" {
		t.Fatalf("heard %s", got)
	}
	if n := held(t, db); n != 4 {
		t.Errorf("%d facts wait, want 4", n)
	}
	back.Store(true)
	env.Say(deleting(1, 4)) // comes while others wait, or after them: last
	var got []string
	for range 5 {
		got = append(got, bustest.Await(env, heard))
	}
	if want := []string{"1.0", "1.1", "1.2", "1.3", "1.4"}; !slices.Equal(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
	eventually(t, func() bool { return held(t, db) == 0 })
}

func TestAFactThatWaitedAndFailsIsADeadLetterAndThoseBehindItGoOn(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	db := pgtest.New(t, pg.Schema{Name: "knowledge"})
	heard := make(chan int32, 16)
	attempts := make(chan int, 16)
	env.Run(newInbox(env, bus.InboxConfig{DB: db, Attempts: 3, Backoff: []time.Duration{time.Millisecond}}, func(_ context.Context, m bus.Meta, e *authv1.ProjectDeleting) error {
		switch e.GetVersion() {
		case 1:
			attempts <- m.Attempt
			return errors.New("never")
		case 2:
			attempts <- m.Attempt
			panic("never either")
		case 3:
			return bus.Drop(errors.New("not wanted"))
		}
		heard <- e.GetVersion()
		return nil
	}))
	for v := range int32(5) {
		env.Say(deleting(1, v))
	}
	if a, b := bustest.Await(env, heard), bustest.Await(env, heard); a != 0 || b != 4 {
		t.Errorf("heard %d and %d", a, b)
	}
	var got []int
	for range 6 {
		got = append(got, bustest.Await(env, attempts))
	}
	if !slices.Equal(got, []int{1, 2, 3, 1, 2, 3}) {
		t.Errorf("attempts %v", got)
	}
	letters, err := env.Bus("gateway").DeadLetters(t.Context(), bus.DeadFilter{Service: "knowledge"})
	if err != nil || len(letters) != 2 || letters[0].Attempts != 3 || letters[0].StreamSeq != 2 {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
	eventually(t, func() bool { return held(t, db) == 0 })
}

func TestFactsThatWaitOutliveTheProcess(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	db := pgtest.New(t, pg.Schema{Name: "knowledge"})
	tried := make(chan int32, 16)
	first := newInbox(env, bus.InboxConfig{DB: db, Backoff: []time.Duration{time.Second}}, func(_ context.Context, _ bus.Meta, e *authv1.ProjectDeleting) error {
		tried <- e.GetVersion()
		return errs.New(errs.Unavailable, "away")
	})
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	env.Say(deleting(1, 1))
	env.Say(deleting(1, 2))
	bustest.Await(env, tried)
	eventually(t, func() bool { return held(t, db) == 2 })
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	heard := make(chan int32, 16)
	env.Run(newInbox(env, bus.InboxConfig{DB: db}, func(_ context.Context, _ bus.Meta, e *authv1.ProjectDeleting) error {
		heard <- e.GetVersion()
		return nil
	}))
	if a, b := bustest.Await(env, heard), bustest.Await(env, heard); a != 1 || b != 2 {
		t.Errorf("heard %d and %d", a, b)
	}
}
