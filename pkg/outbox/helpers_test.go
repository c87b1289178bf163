package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

const patience = 20 * time.Second

var schema = pg.Schema{Name: "auth", FS: fstest.MapFS{"000001_things.up.sql": {Data: []byte(`
	CREATE TABLE IF NOT EXISTS things (id bigint PRIMARY KEY, project_id bigint NOT NULL, version integer NOT NULL DEFAULT 0);
	SELECT platform.protect('things', true);`)}}}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func updated(p tenant.Project, version int) *authv1.ProjectUpdated {
	return &authv1.ProjectUpdated{ProjectId: int32(p), Version: int32(version), Name: fmt.Sprintf("v%d", version)}
}

// say commits one event.
func say(t testing.TB, db *pg.DB, p tenant.Project, version int, opts ...outbox.Option) {
	t.Helper()
	must(t, db.InTenant(t.Context(), p, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Add(ctx, tx, updated(p, version), opts...)
	}))
}

// start runs a relay until the test ends.
func start(t testing.TB, db *pg.DB, pub outbox.Publisher, opts ...outbox.RelayOption) *outbox.Relay {
	t.Helper()
	r := outbox.NewRelay(db, pub, slog.New(slog.NewTextHandler(t.Output(), nil)), opts...)
	must(t, r.Start(t.Context()))
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { stop(t, r) }) })
	return r
}

func stop(t testing.TB, r *outbox.Relay) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// heard collects what arrives on EVENTS, from its first message on.
type heard struct {
	t    testing.TB
	msgs chan jetstream.Msg
}

func listen(t testing.TB, b *bus.Bus) *heard {
	t.Helper()
	c, err := b.JetStream().OrderedConsumer(t.Context(), bus.StreamEvents, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	must(t, err)
	h := &heard{t: t, msgs: make(chan jetstream.Msg, 10000)}
	cc, err := c.Consume(func(m jetstream.Msg) { h.msgs <- m })
	must(t, err)
	t.Cleanup(cc.Stop)
	return h
}

// next returns the next n events with their versions.
func (h *heard) next(n int) []*authv1.ProjectUpdated {
	h.t.Helper()
	var all []*authv1.ProjectUpdated
	deadline := time.After(patience)
	for len(all) < n {
		select {
		case m := <-h.msgs:
			e := &authv1.ProjectUpdated{}
			must(h.t, events.Unmarshal(m.Data(), m.Headers().Get("content-type"), e))
			all = append(all, e)
		case <-deadline:
			h.t.Fatalf("%d of %d events", len(all), n)
		}
	}
	return all
}

// count is how many rows of the outbox there are now.
func count(t testing.TB, db *pg.DB, where string) (n int) {
	t.Helper()
	must(t, pgtest.Admin(t, db).Get(&n, `SELECT count(*) FROM auth.outbox WHERE `+where))
	return n
}

// rows waits until the query over the outbox gives want, past all policies.
func rows(t testing.TB, db *pg.DB, where string, want int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		n := count(t, db, where)
		if n == want {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%d rows where %s, want %d", n, where, want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// recorder is a publisher that says what the test wants.
type recorder struct {
	mu    sync.Mutex
	seq   uint64
	epoch string
	ids   []string
	fail  func(n int, subject, id string) error // n counts the tries
	tries int
	said  chan string
}

func newRecorder() *recorder { return &recorder{epoch: "e1", said: make(chan string, 10000)} }

func (r *recorder) Publish(_ context.Context, subject, msgID string, _ nats.Header, _ []byte) (string, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	if r.fail != nil {
		if err := r.fail(r.tries, subject, msgID); err != nil {
			return "", 0, err
		}
	}
	r.seq++
	r.ids = append(r.ids, msgID)
	r.said <- msgID
	return r.epoch, r.seq, nil
}

func (r *recorder) await(t testing.TB, n int) []string {
	t.Helper()
	var all []string
	deadline := time.After(patience)
	for len(all) < n {
		select {
		case id := <-r.said:
			all = append(all, id)
		case <-deadline:
			t.Fatalf("published %d of %d", len(all), n)
		}
	}
	return all
}

// stateful is a recorder that also knows its stream.
type stateful struct {
	*recorder
	last uint64
}

func (s *stateful) StreamState(context.Context, string) (string, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch, max(s.last, 0), nil
}

func newBus(t testing.TB) (*bustest.Env, *bus.Bus) {
	t.Helper()
	env := bustest.New(t, "auth")
	return env, env.Bus("auth")
}

var errAway = errs.New(errs.Unavailable, "away")
