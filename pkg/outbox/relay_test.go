package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func TestAnEventIsPublishedAfterItsCommitWithItsAttributes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	_, b := newBus(t)
	h := listen(t, b)
	start(t, db, b)
	id := uuid.New()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	must(t, db.InTenant(obs.WithRequestID(t.Context(), "req-1"), 7, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Add(ctx, tx, updated(7, 3), outbox.WithID(id), outbox.At(at), outbox.FromInstance("here"))
	}))
	select {
	case m := <-h.msgs:
		a, err := events.ParseAttributes(m.Headers())
		must(t, err)
		if m.Subject() != "evt.p7.auth.project.updated.v1" || a.ID != id.String() || !a.Time.Equal(at) || a.Project != "7" || a.Version != "3" ||
			a.Source != "/commandcenter/here/auth" || m.Headers().Get("Nats-Msg-Id") != id.String() || m.Headers().Get("Cc-Request-Id") != "req-1" {
			t.Fatalf("%s %+v %v", m.Subject(), a, m.Headers())
		}
	case <-time.After(patience):
		t.Fatal("nothing was published")
	}
	epoch, last, err := b.StreamState(t.Context(), bus.StreamEvents)
	must(t, err)
	rows(t, db, fmt.Sprintf("published_at IS NOT NULL AND stream_epoch = '%s' AND stream_seq = %d", epoch, last), 1)
}

func TestAnEventThatIsRolledBackIsNeverPublished(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	pub := newRecorder()
	start(t, db, pub)
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		must(t, outbox.Add(ctx, tx, updated(1, 1)))
		return errors.New("no")
	})
	if err == nil {
		t.Fatal("committed")
	}
	kept := uuid.New()
	say(t, db, 1, 2, outbox.WithID(kept))
	if got := pub.await(t, 1); got[0] != kept.String() {
		t.Fatal(got)
	}
}

func TestAnEventBelongsToTheProjectOfItsTransaction(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Add(ctx, tx, updated(2, 1))
	})
	if !pg.PolicyViolation(err) {
		t.Fatal(err)
	}
	must(t, db.AcrossProjects(t.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		return errors.Join(outbox.Add(ctx, tx, updated(1, 1)), outbox.Add(ctx, tx, updated(2, 1)))
	}))
	rows(t, db, "true", 2)
}

func TestAnEventIsNoDocument(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		e := updated(1, 1)
		e.Name = string(make([]byte, outbox.MaxData))
		return outbox.Add(ctx, tx, e)
	})
	if errs.KindOf(err) != errs.TooLarge {
		t.Fatal(err)
	}
	if err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Add(ctx, tx, nil) }); err == nil {
		t.Fatal("nothing was added")
	}
}

func TestEventsOfOneAggregateLeaveInTheOrderOfItsChanges(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	_, b := newBus(t)
	h := listen(t, b)
	start(t, db, b, outbox.Batch(16))
	const writers, each, aggregates = 6, 25, 3
	for a := 1; a <= aggregates; a++ {
		must(t, db.InTenant(t.Context(), tenant.Project(a), func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO things (id, project_id) VALUES ($1, $1)`, a)
			return err
		}))
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				p := tenant.Project((w+i)%aggregates + 1)
				err := db.InTenant(t.Context(), p, func(ctx context.Context, tx *sqlx.Tx) error {
					// A writer may have its transaction id before it waits for the
					// lock: transaction ids are no order.
					if _, err := tx.ExecContext(ctx, `SELECT pg_current_xact_id()`); err != nil {
						return err
					}
					var version int
					if err := tx.GetContext(ctx, &version, `UPDATE things SET version = version + 1 WHERE id = $1 RETURNING version`, int64(p)); err != nil {
						return err
					}
					return outbox.Add(ctx, tx, updated(p, version))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	latest := map[int32]int32{}
	for _, e := range h.next(writers * each) {
		if e.GetVersion() != latest[e.GetProjectId()]+1 {
			t.Fatalf("project %d: version %d after %d", e.GetProjectId(), e.GetVersion(), latest[e.GetProjectId()])
		}
		latest[e.GetProjectId()] = e.GetVersion()
	}
}

func TestARowThatCommitsLateIsNotSkipped(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	pub := newRecorder()
	start(t, db, pub, outbox.Poll(20*time.Millisecond))
	early, late := uuid.New(), uuid.New()
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := outbox.Add(ctx, tx, updated(1, 1), outbox.WithID(late)); err != nil { // the lower row id
			return err
		}
		say(t, db, 2, 1, outbox.WithID(early)) // commits first, and is not held up
		if got := pub.await(t, 1); got[0] != early.String() {
			t.Errorf("published %s", got)
		}
		return nil
	}))
	if got := pub.await(t, 1); got[0] != late.String() {
		t.Fatalf("published %s", got)
	}
}

// dying publishes, and has the relay's session killed before it can mark.
type dying struct {
	*bus.Bus
	kill func()
	once sync.Once
}

func (d *dying) Publish(ctx context.Context, subject, msgID string, h nats.Header, data []byte) (string, uint64, error) {
	epoch, seq, err := d.Bus.Publish(ctx, subject, msgID, h, data)
	d.once.Do(d.kill)
	return epoch, seq, err
}

// only hides what a bus can do besides.
type only struct{ outbox.Publisher }

func TestADeathBetweenAckAndMarkIsAbsorbed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	_, b := newBus(t)
	admin := pgtest.Admin(t, db)
	pub := only{&dying{Bus: b, kill: func() {
		admin.MustExec(`
			SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			WHERE  l.locktype = 'advisory' AND l.granted AND d.datname = current_database()`)
	}}}
	for i := range 3 {
		say(t, db, 1, i+1)
	}
	start(t, db, pub)
	rows(t, db, "published_at IS NOT NULL", 3)
	_, last, err := b.StreamState(t.Context(), bus.StreamEvents)
	must(t, err)
	if last != 3 {
		t.Fatalf("the stream has %d messages, want 3", last)
	}
	h := listen(t, b)
	for i, e := range h.next(3) {
		if int(e.GetVersion()) != i+1 {
			t.Fatalf("version %d at place %d", e.GetVersion(), i+1)
		}
	}
}

func TestNothingOvertakesAMessageThatTheBusDidNotTake(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	pub := newRecorder()
	ids := []string{}
	for i := range 4 {
		id := uuid.New()
		ids = append(ids, id.String())
		say(t, db, 1, i+1, outbox.WithID(id))
	}
	pub.fail = func(n int, _, id string) error {
		if n <= 3 && id == ids[1] {
			return errAway
		}
		return nil
	}
	start(t, db, pub)
	got := pub.await(t, 4)
	for i := range ids {
		if got[i] != ids[i] {
			t.Fatalf("order %q, want %q", got, ids)
		}
	}
	rows(t, db, "published_at IS NOT NULL", 4)
}

func TestAMessageThatTheBusWillNeverTakeIsParkedAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	pub := newRecorder()
	bad, good := uuid.New(), uuid.New()
	mended := false
	pub.fail = func(_ int, _, id string) error {
		if id == bad.String() && !mended {
			return errs.New(errs.TooLarge, "too large for the bus")
		}
		return nil
	}
	registry := prometheus.NewRegistry()
	r := start(t, db, pub, outbox.Metrics(registry))
	say(t, db, 1, 1, outbox.WithID(bad))
	say(t, db, 1, 2, outbox.WithID(good))
	if got := pub.await(t, 1); got[0] != good.String() {
		t.Fatal(got)
	}
	rows(t, db, "parked_at IS NOT NULL AND error = 'too large for the bus'", 1)
	pub.mu.Lock()
	mended = true
	pub.mu.Unlock()
	stop(t, r) // whoever mended it restarts the service
	start(t, db, pub, outbox.Metrics(registry))
	if got := pub.await(t, 1); got[0] != bad.String() {
		t.Fatal(got)
	}
	rows(t, db, "published_at IS NOT NULL", 2)
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 6 {
		t.Fatalf("%d metrics, %v", n, err)
	}
}

func TestWhatAStreamHasLostIsPublishedAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	old := &stateful{recorder: newRecorder()}
	r := start(t, db, old)
	var ids []string
	for i := range 5 {
		id := uuid.New()
		ids = append(ids, id.String())
		say(t, db, 1, i+1, outbox.WithID(id))
	}
	old.await(t, 5)
	rows(t, db, "stream_epoch = 'e1'", 5)
	stop(t, r)
	// Nothing of it is recent any more.
	pgtest.Admin(t, db).MustExec(`UPDATE auth.outbox SET published_at = now() - interval '1 hour' WHERE id < (SELECT max(id) FROM auth.outbox)`)

	short := &stateful{recorder: newRecorder(), last: 3} // it lost its end
	r = start(t, db, short)
	got := short.await(t, 2)
	if got[0] != ids[3] || got[1] != ids[4] {
		t.Fatalf("%q, want the last two of %q", got, ids)
	}
	rows(t, db, "published_at IS NOT NULL", 5)
	stop(t, r)

	fresh := &stateful{recorder: newRecorder()}
	fresh.epoch = "e2" // it was made anew
	start(t, db, fresh)
	for i, id := range fresh.await(t, 5) {
		if id != ids[i] {
			t.Fatal("order")
		}
	}
	rows(t, db, "stream_epoch = 'e2'", 5)
}

func TestWhatTheStreamSurelyHasIsNotPublishedAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	pub := &stateful{recorder: newRecorder(), last: 2}
	r := start(t, db, pub)
	say(t, db, 1, 1)
	say(t, db, 1, 2)
	pub.await(t, 2)
	rows(t, db, "stream_seq IN (1, 2)", 2)
	stop(t, r)
	pgtest.Admin(t, db).MustExec(`UPDATE auth.outbox SET published_at = now() - interval '2 minutes'`)
	start(t, db, pub)
	id := uuid.New()
	say(t, db, 1, 3, outbox.WithID(id))
	if got := pub.await(t, 1); got[0] != id.String() {
		t.Fatalf("%s was published again after the stream has forgotten its id", got[0])
	}
}

// A relay that starts again and again publishes the latest each time, which the
// stream recognises; the first time counts, for it forgets.
func TestWhatIsPublishedAgainOnSuspicionKeepsItsTime(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	_, b := newBus(t)
	r := start(t, db, b)
	say(t, db, 1, 1)
	rows(t, db, "published_at IS NOT NULL", 1)
	stop(t, r)
	pgtest.Admin(t, db).MustExec(`UPDATE auth.outbox SET published_at = now() - interval '1 minute'`)
	start(t, db, b)
	say(t, db, 1, 2)
	rows(t, db, "published_at IS NOT NULL", 2)
	rows(t, db, "published_at < now() - interval '59 seconds'", 1)
	_, last, err := b.StreamState(t.Context(), bus.StreamEvents)
	must(t, err)
	if last != 2 {
		t.Fatalf("%d messages in the stream", last)
	}
}

func TestAServerThatCameBackWithoutItsStreamGetsItAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	env, b := newBus(t)
	start(t, db, b)
	for i := range 3 {
		say(t, db, 1, i+1)
	}
	before, _, err := b.StreamState(t.Context(), bus.StreamEvents)
	must(t, err)
	rows(t, db, "stream_epoch = '"+before+"'", 3)
	admin := env.Conn(natsd.UserAdmin)
	js, err := jetstream.New(admin)
	must(t, err)
	must(t, js.DeleteStream(t.Context(), bus.StreamEvents))
	must(t, bus.Provision(t.Context(), admin, bus.Specs{Services: []string{"auth"}, Memory: true}))
	after, _, err := b.StreamState(t.Context(), bus.StreamEvents)
	must(t, err)
	must(t, b.Conn().ForceReconnect()) // nothing is said meanwhile
	rows(t, db, "stream_epoch = '"+after+"'", 3)
	for i, e := range listen(t, b).next(3) {
		if int(e.GetVersion()) != i+1 {
			t.Fatalf("version %d at place %d", e.GetVersion(), i+1)
		}
	}
}

func TestOneRelayPublishesAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	other := pgtest.Open(t, pgtest.DSN(t, db), "auth", 2)
	a, b := newRecorder(), newRecorder()
	ra := start(t, db, a)
	say(t, db, 1, 1)
	a.await(t, 1)
	start(t, other, b, outbox.Poll(20*time.Millisecond))
	say(t, other, 1, 2) // the leader polls what others write
	a.await(t, 1)
	stop(t, ra)
	say(t, db, 1, 3)
	b.await(t, 1)
	if len(b.ids) != 1 {
		t.Fatalf("the second published %d", len(b.ids))
	}
}

func TestStopPublishesWhatWaits(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	pub := newRecorder()
	r := start(t, db, pub, outbox.Batch(2))
	say(t, db, 1, 1)
	pub.await(t, 1) // it leads
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		for i := range 9 {
			if err := outbox.Add(ctx, tx, updated(1, i+2)); err != nil {
				return err
			}
		}
		return nil
	}))
	stop(t, r)
	rows(t, db, "published_at IS NOT NULL", 10)
}

func TestAStopDoesNotWaitForABusThatIsAway(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	pub := newRecorder()
	tried := make(chan struct{}, 100)
	pub.fail = func(int, string, string) error { tried <- struct{}{}; return errAway }
	r := start(t, db, pub)
	say(t, db, 1, 1)
	<-tried
	began := time.Now()
	stop(t, r)
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("stopped after %s", took)
	}
	rows(t, db, "published_at IS NULL", 1)
}

func TestOldRowsAreSwept(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	pub := newRecorder()
	say(t, db, 1, 1)
	say(t, db, 1, 2)
	admin := pgtest.Admin(t, db)
	admin.MustExec(`UPDATE auth.outbox SET published_at = now() - interval '8 days', stream_epoch = 'e1', stream_seq = 1 WHERE id = (SELECT min(id) FROM auth.outbox)`)
	admin.MustExec(`INSERT INTO auth.inbox VALUES (1, 'c', 'old', now() - interval '31 days'), (1, 'c', 'new', now() - interval '29 days')`)
	admin.MustExec(`INSERT INTO auth.operations (id, project_id, principal, operation, fingerprint, status, created_at, finished_at)
		VALUES (gen_random_uuid(), 1, 'u', 'old', '', 200, now(), now() - interval '25 hours'), (gen_random_uuid(), 1, 'u', 'new', '', 200, now(), now()),
		(gen_random_uuid(), 1, 'u', 'lost', '', 202, now(), now() - interval '8 days'), (gen_random_uuid(), 1, 'u', 'long', '', 202, now(), now() - interval '6 days')`)
	start(t, db, pub, outbox.SweepEvery(time.Millisecond), outbox.Poll(10*time.Millisecond))
	rows(t, db, "true", 1)
	rows(t, db, "(SELECT count(*) FROM auth.inbox) = 1", 1)
	rows(t, db, "(SELECT string_agg(operation, ' ' ORDER BY operation) FROM auth.operations) = 'long new'", 1)
}
