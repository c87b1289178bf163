package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// world is a bus and a database with one counter: the rows that the command
// "count" has put into the inbox table, which any schema has.
type world struct {
	*bustest.Env
	db   *pg.DB
	runs atomic.Int64 // of the handler, rolled back ones too
}

func newWorld(t *testing.T, opts ...bustest.Option) *world {
	t.Helper()
	return &world{Env: bustest.Start(t, []string{"auth"}, opts...), db: pgtest.New(t, pg.Schema{Name: "auth"})}
}

// count leaves one trace per run that commits.
func (w *world) count(ctx context.Context, text string) error {
	return w.db.InTenant(ctx, tenant.From(ctx).Project, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := outbox.Once(ctx, tx, "counted", text[:min(8, len(text))]+bus.CallFrom(ctx).CommandID.String()+time.Now().String())
		return err
	})
}

func (w *world) counted(t *testing.T) (n int) {
	t.Helper()
	err := w.db.InTenant(t.Context(), 42, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, `SELECT count(*) FROM inbox WHERE consumer = 'counted'`)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// serve answers "count": it changes a row, then does what step says.
func (w *world) serve(c bus.ServerConfig, step func(ctx context.Context, r echoRequest) error) *bus.Server {
	return w.serveOn(w.Bus("auth"), c, step)
}

func (w *world) serveOn(b *bus.Bus, c bus.ServerConfig, step func(ctx context.Context, r echoRequest) error) *bus.Server {
	c.DB = w.db
	if c.Backoff == nil {
		c.Backoff = []time.Duration{time.Millisecond}
	}
	s := bus.NewServer(b, c)
	bus.Command(s, "count", func(ctx context.Context, r echoRequest) (created, error) {
		run := w.runs.Add(1)
		if err := w.count(ctx, r.Text); err != nil {
			return created{}, err
		}
		if step != nil {
			if err := step(ctx, r); err != nil {
				return created{}, err
			}
		}
		return created{int(run)}, nil
	})
	return s
}

var count = op("count")

func (w *world) give(t *testing.T, payload string, o bus.CommandOptions) (*bus.Answer, error) {
	t.Helper()
	return w.Bus(bustest.Edge).Command(t.Context(), count, alice, []byte(payload), o)
}

func TestACommandCommitsItsChangeAndItsAnswerTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve(bus.ServerConfig{}, nil)
	w.Run(s)
	a, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != http.StatusCreated || !a.Committed || string(a.Body) != `{"id":1}` || a.Header["ETag"] != `"1"` || a.Pending || a.Replayed || !strings.HasPrefix(a.OperationID, "auth.") {
		t.Errorf("answer %+v", a)
	}
	if n := w.counted(t); n != 1 {
		t.Errorf("%d changes", n)
	}
	st, err := w.Bus(bustest.Edge).Operation(t.Context(), alice, a.OperationID)
	if err != nil {
		t.Fatal(err)
	}
	if st.Pending || st.Answer.Status != http.StatusCreated || string(st.Answer.Body) != `{"id":1}` || st.Answer.Header["ETag"] != `"1"` || st.Operation != "count" || st.FinishedAt.IsZero() || st.AcceptedAt.IsZero() {
		t.Errorf("state %+v", st)
	}
	if st.StartedAt.Before(st.AcceptedAt) || st.FinishedAt.Before(st.StartedAt) || st.Principal != "user:7" {
		t.Errorf("state %+v", st)
	}
	if _, err := w.Bus(bustest.Edge).Operation(t.Context(), bustest.Person(7, 43, tenant.Member), a.OperationID); errs.KindOf(err) != errs.NotFound {
		t.Errorf("from another project: %v", err)
	}
	if st, err := w.Bus(bustest.Edge).Operation(t.Context(), bustest.Person(8, 42, tenant.Viewer), a.OperationID); err != nil || st.Principal != "user:7" {
		t.Errorf("by somebody else of the project: %+v, %v", st, err)
	}
	for _, id := range []string{"", "auth", "auth.x", "a b." + a.OperationID[5:], "auth.00000000-0000-0000-0000-000000000000"} {
		if _, err := w.Bus(bustest.Edge).Operation(t.Context(), alice, id); errs.KindOf(err) != errs.NotFound {
			t.Errorf("operation %q: %v", id, err)
		}
	}
	if st := s.Stats()[0]; st.Operation != "count" || st.Delivery != "command" || st.Requests != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestTheSameKeyRunsOnceAndGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Run(w.serve(bus.ServerConfig{}, nil))
	first, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k"})
	if err != nil || first.Replayed {
		t.Fatalf("%+v, %v", first, err)
	}
	for range 2 {
		again, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		if string(again.Body) != string(first.Body) || again.OperationID != first.OperationID || !again.Replayed || again.Header["ETag"] != `"1"` {
			t.Errorf("again %+v, first %+v", again, first)
		}
	}
	// The stream forgets after minutes; the service does not.
	w.purgeDedupe(t)
	late, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k"})
	if err != nil || string(late.Body) != string(first.Body) || !late.Replayed {
		t.Errorf("after the stream forgot: %+v, %v", late, err)
	}
	if n := w.counted(t); n != 1 {
		t.Errorf("%d changes", n)
	}
	other := bustest.Person(8, 42, tenant.Member)
	a, err := w.Bus(bustest.Edge).Command(t.Context(), count, other, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k"})
	if err != nil || a.OperationID == first.OperationID {
		t.Errorf("the key of somebody else: %+v, %v", a, err)
	}
}

// TestAnAnswerThatIsGivenAgainIsNoWrite: what is recorded is the command, once, and
// not the question of the edge for what became of it.
func TestAnAnswerThatIsGivenAgainIsNoWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Run(w.serve(bus.ServerConfig{}, nil))
	ctx := bus.WithOrigin(t.Context(), bus.Origin{Writes: true, Address: "192.0.2.1"})
	for range 3 {
		if _, err := w.Bus(bustest.Edge).Command(ctx, count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	var told []string
	if err := w.db.InTenant(t.Context(), 42, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &told, `SELECT convert_from(data, 'UTF8')::jsonb ->> 'operation' FROM outbox WHERE subject LIKE '%.call.recorded.v1'`)
	}); err != nil || len(told) != 1 || told[0] != "count" {
		t.Errorf("recorded %q, %v", told, err)
	}
}

// purgeDedupe makes the stream forget which messages it has had, as time does.
func (w *world) purgeDedupe(t *testing.T) {
	t.Helper()
	admin := w.Conn(natsd.UserAdmin)
	js := jetStream(t, admin)
	s, err := js.Stream(t.Context(), bus.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Duplicates = 100 * time.Millisecond // the least that the server takes
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(300 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
}

func TestTheSameKeyWithAnotherBodyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Run(w.serve(bus.ServerConfig{}, nil))
	if _, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		_, err := w.give(t, `{"text":"b"}`, bus.CommandOptions{Key: "k"})
		var e *errs.Error
		if !errors.As(err, &e) || e.Kind != errs.Invalid || len(e.Fields) != 1 || e.Fields[0].Loc[1] != "Idempotency-Key" {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("while the stream remembers")
	w.purgeDedupe(t)
	refused("when only the service remembers")
	if n := w.counted(t); n != 1 {
		t.Errorf("%d changes", n)
	}
}

func TestAnUploadThatIsPutAgainIsTheSameBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Run(w.serve(bus.ServerConfig{}, nil))
	body := func(name, sum string) string {
		b, err := json.Marshal(map[string]any{"text": "a", "upload": bus.ObjectRef{Bucket: bus.BucketBlobs, Name: name, SHA256: sum, Size: 3}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first, err := w.give(t, body("p42/one", "aa"), bus.CommandOptions{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.give(t, body("p42/two", "aa"), bus.CommandOptions{Key: "k"})
	if err != nil || string(again.Body) != string(first.Body) || !again.Replayed {
		t.Errorf("the same file under another name: %+v, %v", again, err)
	}
	if _, err := w.give(t, body("p42/three", "bb"), bus.CommandOptions{Key: "k"}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("another file: %v", err)
	}
}

func TestARefusedCommandLeavesNothingAndIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken := errs.New(errs.Conflict, "the name is taken")
	w.Run(w.serve(bus.ServerConfig{}, func(context.Context, echoRequest) error { return taken }))
	for _, when := range []string{"first", "again"} {
		if _, err := w.give(t, `{}`, bus.CommandOptions{Key: "k"}); !errors.Is(err, taken) || !bus.Settled(err) {
			t.Errorf("%s: %v", when, err)
		}
	}
	if n := w.counted(t); n != 0 || w.runs.Load() != 1 {
		t.Errorf("%d changes, %d runs", n, w.runs.Load())
	}
}

// deadLetters waits until there are n of them.
func (w *world) deadLetters(t *testing.T, n int) []bus.DeadLetter {
	t.Helper()
	return deadLetters(t, w.Env, n)
}

func deadLetters(t *testing.T, env *bustest.Env, n int) []bus.DeadLetter {
	t.Helper()
	var ds []bus.DeadLetter
	eventually(t, func() bool {
		var err error
		if ds, err = env.Bus(bustest.Edge).DeadLetters(t.Context(), bus.DeadFilter{}); err != nil {
			t.Fatal(err)
		}
		return len(ds) == n
	})
	return ds
}

func (w *world) eventually(t *testing.T, ok func() bool) { t.Helper(); eventually(t, ok) }

// eventually asks again until it is so: for what nothing signals.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(bustest.Patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

func TestACommandWhoseServiceIsDownIsAcceptedAndRunsLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edge := w.Bus(bustest.Edge)
	a, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k", Wait: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != http.StatusAccepted || !a.Pending || a.Committed {
		t.Fatalf("answer %+v", a)
	}
	st, err := edge.Operation(t.Context(), alice, a.OperationID)
	if err != nil || !st.Pending || st.Operation != "count" {
		t.Fatalf("state %+v, %v", st, err)
	}
	if st, err := edge.Operation(t.Context(), bustest.Person(7, 43, tenant.Owner), a.OperationID); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("from another project, where nothing is known of it: %+v, %v", st, err)
	}
	again, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k", Wait: -1})
	if err != nil || again.OperationID != a.OperationID || !again.Pending {
		t.Errorf("the same key meanwhile: %+v, %v", again, err)
	}
	if _, err := w.give(t, `{"text":"b"}`, bus.CommandOptions{Key: "k", Wait: -1}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("another body meanwhile: %v", err)
	}
	w.Run(w.serve(bus.ServerConfig{}, nil))
	w.eventually(t, func() bool {
		st, err := edge.Operation(t.Context(), alice, a.OperationID)
		return err == nil && st.Answer != nil && st.Answer.Status == http.StatusCreated
	})
	if n := w.counted(t); n != 1 {
		t.Errorf("%d changes", n)
	}
}

func TestARedeliveryAfterTheCommitChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Run(w.serve(bus.ServerConfig{}, nil))
	first, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// What the stream would deliver again had the process died before its ack.
	admin := w.Conn(natsd.UserAdmin)
	seen, err := admin.SubscribeSync("cmd.>")
	if err != nil {
		t.Fatal(err)
	}
	reply, err := admin.SubscribeSync("copy.reply")
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Flush(); err != nil {
		t.Fatal(err)
	}
	second, err := w.give(t, `{"text":"b"}`, bus.CommandOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := seen.NextMsg(bustest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	copied := nats.NewMsg(m.Subject)
	for k, v := range m.Header {
		copied.Header[k] = v
	}
	copied.Header["Nats-Msg-Id"] = []string{"redelivery"}
	copied.Header["Cc-Reply"] = []string{"copy.reply"}
	copied.Data = m.Data
	// A random id is looked up only when it comes again; here it comes as new,
	// and the stored answer is found when the second one is to be kept.
	if err := admin.PublishMsg(copied); err != nil {
		t.Fatal(err)
	}
	got, err := reply.NextMsg(bustest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Data) != string(second.Body) || string(first.Body) == string(second.Body) {
		t.Errorf("first %s, second %s, redelivered %s", first.Body, second.Body, got.Data)
	}
	if n := w.counted(t); n != 2 {
		t.Errorf("%d changes", n)
	}
}

func TestACommandThatWaitedIsDecidedByTheRightsOfNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int64
	c := bus.ServerConfig{Recheck: func(_ context.Context, id tenant.Identity, operation string) (tenant.Identity, error) {
		asked.Add(1)
		if operation != "count" || id.Principal != "user:7" {
			t.Errorf("recheck of %s by %+v", operation, id)
		}
		return id, errs.New(errs.Forbidden, "not a member any more")
	}}
	// A first failure makes a second delivery, which is not trusted any more.
	w.Run(w.serve(c, func(context.Context, echoRequest) error { return errs.New(errs.Upstream, "once") }))
	if _, err := w.give(t, `{}`, bus.CommandOptions{}); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("error %v", err)
	}
	if n := w.counted(t); n != 0 || asked.Load() != 1 {
		t.Errorf("%d changes, asked %d times", n, asked.Load())
	}
}

// So that no service can forget to.
func TestTheRightsOfNowAreThoseThatTheBusAsksForWhereItsServerAsksNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conf := w.Config("auth")
	var b *bus.Bus
	conf.Recheck = func(_ context.Context, with *bus.Bus, id tenant.Identity, operation string) (tenant.Identity, error) {
		if with != b || operation != "count" {
			t.Errorf("recheck of %s by %+v", operation, id)
		}
		return id, errs.New(errs.Forbidden, "not a member any more")
	}
	b = w.Connect(conf)
	w.Run(w.serveOn(b, bus.ServerConfig{}, func(context.Context, echoRequest) error { return errs.New(errs.Upstream, "once") }))
	if _, err := w.give(t, `{}`, bus.CommandOptions{}); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("error %v", err)
	}
	if n := w.counted(t); n != 0 {
		t.Errorf("%d changes", n)
	}
}

func TestALargeCommandKeepsItsBodyUntilItHasRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := strings.Repeat("x", 2*bus.MaxJSON)
	a, err := w.give(t, `{"text":"`+text+`"}`, bus.CommandOptions{Wait: -1})
	if err != nil || !a.Pending {
		t.Fatalf("%+v, %v", a, err)
	}
	s, err := jetStream(t, w.Conn(natsd.UserAdmin)).Stream(t.Context(), bus.StreamBodies)
	if err != nil || s.CachedInfo().State.Msgs == 0 {
		t.Fatalf("kept %+v, %v", s, err)
	}
	got := make(chan int, 1)
	w.Run(w.serve(bus.ServerConfig{}, func(_ context.Context, r echoRequest) error { got <- len(r.Text); return nil }))
	if n := bustest.Await(w.Env, got); n != len(text) {
		t.Errorf("%d bytes of %d", n, len(text))
	}
	w.eventually(t, func() bool {
		info, err := s.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	})
}

func TestALargeCommandThatComesAgainIsAnsweredWithoutItsBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payload := `{"text":"` + strings.Repeat("x", 2*bus.MaxJSON) + `"}`
	if a, err := w.give(t, payload, bus.CommandOptions{Key: "k", Wait: -1}); err != nil || !a.Pending {
		t.Fatalf("%+v, %v", a, err)
	}
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	commands, err := js.Stream(t.Context(), bus.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	m, err := commands.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := js.Stream(t.Context(), bus.StreamBodies)
	if err != nil {
		t.Fatal(err)
	}
	empty := func() bool {
		info, err := bodies.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	}
	w.Run(w.serve(bus.ServerConfig{}, nil))
	w.eventually(t, empty)
	again := func(body string) {
		t.Helper()
		h := maps.Clone(m.Header)
		delete(h, "Nats-Msg-Id")
		h["Cc-Spill"] = []string{"body.auth." + body + "/1"}
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Header: h}); err != nil {
			t.Fatal(err)
		}
		w.eventually(t, func() bool {
			info, err := commands.Info(t.Context())
			return err == nil && info.State.Msgs == 0
		})
	}
	again("gone") // redelivered after its acknowledgement was lost
	if _, err := js.Publish(t.Context(), "body.auth.second.0", []byte(payload[:1000])); err != nil {
		t.Fatal(err)
	}
	again("second") // sent again with the same key, and a body of its own
	w.eventually(t, empty)
	w.deadLetters(t, 0)
	if n := w.counted(t); n != 1 || w.runs.Load() != 1 {
		t.Errorf("%d changes, %d runs", n, w.runs.Load())
	}
}
