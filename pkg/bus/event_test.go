package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"

	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// deleting is a fact that every service consumes.
func deleting(project, version int32) *authv1.ProjectDeleting {
	return &authv1.ProjectDeleting{ProjectId: project, Version: version}
}

func newInbox(env *bustest.Env, c bus.InboxConfig, h func(ctx context.Context, m bus.Meta, e *authv1.ProjectDeleting) error) *bus.Inbox {
	if c.Backoff == nil {
		c.Backoff = []time.Duration{time.Millisecond}
	}
	in := bus.NewInbox(env.Bus("knowledge"), c)
	bus.Handle(in, h)
	return in
}

func TestFactsAreHeardInOrderAlsoWhenOneHasToBeTriedAgain(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	heard := make(chan string, 64)
	env.Run(newInbox(env, bus.InboxConfig{}, func(ctx context.Context, m bus.Meta, e *authv1.ProjectDeleting) error {
		if e.GetVersion() == 3 && m.Attempt < 3 {
			return errors.New("not yet")
		}
		if id := tenant.From(ctx); id.Project != m.Project || id.Principal != "service:knowledge" {
			t.Errorf("identity %+v", id)
		}
		heard <- fmt.Sprintf("%s/%d", m.Project.Token(), e.GetVersion())
		return nil
	}))
	for v := range int32(10) {
		env.Say(deleting(1+v%3, v+1))
	}
	for v := range int32(10) {
		want := fmt.Sprintf("p%d/%d", 1+v%3, v+1)
		if got := bustest.Await(env, heard); got != want {
			t.Fatalf("heard %s, want %s", got, want)
		}
	}
}

func TestAFactTakesEffectOnceHoweverOftenItComes(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	db := pgtest.New(t, pg.Schema{Name: "knowledge"})
	heard := make(chan bus.Meta, 8)
	fail := errors.New("after the change")
	env.Run(newInbox(env, bus.InboxConfig{DB: db}, func(ctx context.Context, m bus.Meta, e *authv1.ProjectDeleting) error {
		err := db.InTenant(ctx, m.Project, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := outbox.Once(ctx, tx, "effect", fmt.Sprint(e.GetVersion(), m.Attempt))
			return err
		})
		if err != nil {
			return err
		}
		if m.Attempt == 1 {
			return fail // and the change is gone
		}
		heard <- m
		return nil
	}))
	env.SayAs("one", deleting(42, 1))
	first := bustest.Await(env, heard)
	if first.ID != "one" || first.Attempt != 2 || first.Project != 42 || first.Type != "commandcenter.auth.v1.ProjectDeleting" || first.Time.IsZero() || first.Sequence == 0 {
		t.Errorf("meta %+v", first)
	}
	// The stream's own window is over, or the relay was restored from a back-up.
	again(t, env, "one", deleting(42, 1))
	env.SayAs("two", deleting(42, 2))
	if m := bustest.Await(env, heard); m.ID != "two" {
		t.Errorf("heard %+v", m)
	}
	eventually(t, func() bool { return effects(t, db) == 2 }) // it commits after it was heard
}

// again publishes a message that the stream takes for a new one.
func again(t *testing.T, env *bustest.Env, id string, e *authv1.ProjectDeleting) {
	t.Helper()
	admin := env.Conn(natsd.UserAdmin)
	js := jetStream(t, admin)
	s, err := js.Stream(t.Context(), bus.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(t.Context(), "evt.p42.auth.project.deleting.v1")
	if err != nil {
		t.Fatal(err)
	}
	copied := &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
	copied.Header.Del("Nats-Msg-Id")
	if got := copied.Header["ce-id"]; len(got) != 1 || got[0] != id {
		t.Fatalf("ce-id %v", got)
	}
	if _, err := js.PublishMsg(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
}

func TestAFactThatKeepsFailingBecomesADeadLetterForThatConsumerAlone(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge", "federation")
	heard := make(chan bus.Meta, 8)
	env.Run(newInbox(env, bus.InboxConfig{Attempts: 2}, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error {
		if m.ID == "bad" {
			return errors.New("no room\nleft")
		}
		heard <- m
		return nil
	}))
	env.SayAs("bad", deleting(42, 1))
	env.SayAs("good", deleting(42, 2))
	if m := bustest.Await(env, heard); m.ID != "good" {
		t.Fatalf("heard %+v", m)
	}
	dead := deadLetters(t, env, 1)[0]
	if dead.Consumer != "evt-knowledge-auth-project-deleting-v1" || dead.Stream != bus.StreamEvents || dead.Attempts != 2 || dead.Error != "no room left" || dead.Project != 42 || dead.Header.Get("Nats-Msg-Id") != "bad" {
		t.Errorf("dead letter %+v", dead)
	}
	edge := env.Bus(bustest.Edge)
	for name, c := range map[string]struct {
		f    bus.DeadFilter
		want int
	}{
		"of the service":  {bus.DeadFilter{Service: "knowledge"}, 1},
		"of another":      {bus.DeadFilter{Service: "auth"}, 0},
		"of the project":  {bus.DeadFilter{Project: ptr(tenant.Project(42))}, 1},
		"of another one":  {bus.DeadFilter{Project: ptr(tenant.Project(4))}, 0},
		"after it":        {bus.DeadFilter{After: dead.Seq}, 0},
		"with a limit":    {bus.DeadFilter{Limit: 5000}, 1},
		"of the instance": {bus.DeadFilter{Project: ptr(tenant.Instance)}, 0},
	} {
		if ds, err := edge.DeadLetters(t.Context(), c.f); err != nil || len(ds) != c.want {
			t.Errorf("%s: %d, %v", name, len(ds), err)
		}
	}
	if _, err := edge.DeadLetters(t.Context(), bus.DeadFilter{Service: "a.b"}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("no service: %v", err)
	}
	if err := edge.Discard(t.Context(), dead.Seq); err != nil {
		t.Error(err)
	}
	deadLetters(t, env, 0)
	if err := edge.Discard(t.Context(), dead.Seq); errs.KindOf(err) != errs.NotFound {
		t.Errorf("discard: %v", err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestWhatIsNoValidFactIsADeadLetterAtOnce(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	heard := make(chan string, 8)
	env.Run(newInbox(env, bus.InboxConfig{}, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error {
		heard <- m.ID
		return nil
	}))
	js := jetStream(t, env.Conn(natsd.UserAdmin))
	subject := "evt.p42.auth.project.deleting.v1"
	good := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"x"}, "ce-source": {"/x"}, "ce-type": {"commandcenter.auth.v1.ProjectDeleting"}}
	otherType := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"x"}, "ce-source": {"/x"}, "ce-type": {"commandcenter.auth.v1.ProjectCreated"}}
	for _, m := range []*nats.Msg{
		{Subject: subject, Data: []byte("{}")},
		{Subject: subject, Header: good, Data: []byte("not JSON")},
		{Subject: subject, Header: otherType, Data: []byte("{}")},
		{Subject: "evt.nowhere.auth.project.deleting.v1", Header: good, Data: []byte("{}")},
	} {
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	env.SayAs("good", deleting(42, 1))
	if got := bustest.Await(env, heard); got != "good" {
		t.Errorf("heard %s", got)
	}
	for _, d := range deadLetters(t, env, 4) {
		if d.Attempts != 1 || d.Error == "" {
			t.Errorf("dead letter %+v", d)
		}
	}
}

func TestAHandlerCanDropDelayOrPanic(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	heard := make(chan string, 16)
	env.Run(newInbox(env, bus.InboxConfig{Attempts: 3, Backoff: []time.Duration{time.Hour}}, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error {
		heard <- fmt.Sprint(m.ID, m.Attempt)
		switch m.ID {
		case "drop":
			return fmt.Errorf("no: %w", bus.Drop(errors.New("of no use")))
		case "later":
			if m.Attempt < 3 {
				return bus.RetryAfter(time.Millisecond, errors.New("later"))
			}
		case "bury":
			return bus.Bury(errors.New("hopeless"))
		}
		return nil
	}))
	for i, id := range []string{"drop", "later", "bury", "end"} {
		env.SayAs(id, deleting(42, int32(i+1)))
	}
	for _, want := range []string{"drop1", "later1", "later2", "later3", "bury1", "end1"} {
		if got := bustest.Await(env, heard); got != want {
			t.Fatalf("heard %s, want %s", got, want)
		}
	}
	if d := deadLetters(t, env, 1)[0]; d.Error != "hopeless" {
		t.Errorf("dead letter %+v", d)
	}
	if bus.Drop(nil) != nil || bus.Bury(nil) != nil || bus.RetryAfter(time.Second, nil) != nil {
		t.Error("nil does not stay nil")
	}
}

func TestAPanicOfAHandlerIsAFailureOfItsMessage(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	heard := make(chan int, 16)
	env.Run(newInbox(env, bus.InboxConfig{}, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error {
		heard <- m.Attempt
		if m.Attempt == 1 {
			panic("oh")
		}
		return nil
	}))
	env.Say(deleting(42, 1))
	if a, b := bustest.Await(env, heard), bustest.Await(env, heard); a != 1 || b != 2 {
		t.Errorf("attempts %d, %d", a, b)
	}
}

func TestAStoppedInboxLeavesTheRestForTheNextOne(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	running, cancelled := make(chan struct{}), make(chan error, 1)
	in := newInbox(env, bus.InboxConfig{}, func(ctx context.Context, _ bus.Meta, _ *authv1.ProjectDeleting) error {
		close(running)
		<-ctx.Done()
		cancelled <- context.Cause(ctx)
		return ctx.Err()
	})
	if err := in.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	env.SayAs("one", deleting(42, 1))
	env.SayAs("two", deleting(42, 2))
	bustest.Await(env, running)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := in.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v", err)
	}
	if err := bustest.Await(env, cancelled); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("cause %v", err)
	}
	heard := make(chan string, 8)
	env.Run(newInbox(env, bus.InboxConfig{}, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error {
		heard <- m.ID
		return nil
	}))
	if a, b := bustest.Await(env, heard), bustest.Await(env, heard); a != "one" || b != "two" {
		t.Errorf("heard %s, %s", a, b)
	}
}

func TestAnInboxFailsWhenItsConsumerIsMissingOrTakenAway(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	handle := func(context.Context, bus.Meta, *authv1.ProjectDeleting) error { return nil }
	stranger := bus.NewInbox(env.Bus("knowledge"), bus.InboxConfig{Service: "stranger"})
	bus.Handle(stranger, handle)
	if err := stranger.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "provisioned") {
		t.Errorf("start: %v", err)
	}
	nofact := bus.NewInbox(env.Bus("knowledge"), bus.InboxConfig{})
	bus.Handle(nofact, func(context.Context, bus.Meta, *authv1.SigningKeysRequest) error { return nil })
	if err := nofact.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no event") {
		t.Errorf("start: %v", err)
	}
	in := newInbox(env, bus.InboxConfig{}, handle)
	env.Run(in)
	js := jetStream(t, env.Conn(natsd.UserAdmin))
	if err := js.DeleteConsumer(t.Context(), bus.StreamEvents, "evt-knowledge-auth-project-deleting-v1"); err != nil {
		t.Fatal(err)
	}
	if err := bustest.Await(env, in.Failed()); err == nil {
		t.Error("no failure")
	}
}

func TestFollowersOnEveryReplicaHearWhatComesFromNowOn(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	env.SayAs("before", deleting(42, 1))
	heard := make(chan string, 16)
	for _, name := range []string{"a", "b"} {
		b := env.Connect(env.Config("knowledge"))
		f := bus.Follow(b, func(ctx context.Context, m bus.Meta, e *authv1.ProjectDeleting) {
			if tenant.From(ctx).Project != 42 {
				t.Errorf("identity %+v", tenant.From(ctx))
			}
			heard <- fmt.Sprint(name, m.ID, e.GetVersion())
		})
		env.Run(f)
	}
	admin := env.Conn(natsd.UserAdmin)
	if err := admin.Publish("evt.p42.auth.project.deleting.v1", []byte("rubbish")); err != nil {
		t.Fatal(err)
	}
	env.SayAs("after", deleting(42, 2))
	got := bustest.Await(env, heard) + " " + bustest.Await(env, heard)
	if got != "aafter2 bafter2" && got != "bafter2 aafter2" {
		t.Errorf("heard %s", got)
	}
	nofact := bus.Follow(env.Bus("knowledge"), func(context.Context, bus.Meta, *authv1.SigningKeysRequest) {})
	if err := nofact.Start(t.Context()); err == nil {
		t.Error("followed what is no fact")
	}
}

func TestProgressIsCaughtUpAndFollowed(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "knowledge")
	k, edge := env.Bus("knowledge"), env.Bus(bustest.Edge)
	type step struct{ Done int }
	if err := k.Live(42, "job-1", step{1}); err != nil {
		t.Fatal(err)
	}
	if err := k.Live(42, "job-2", step{9}); err != nil {
		t.Fatal(err)
	}
	if err := k.Live(43, "job-1", step{8}); err != nil {
		t.Fatal(err)
	}
	if err := k.Ready(t.Context()); err != nil { // the server has them
		t.Fatal(err)
	}
	heard := make(chan string, 16)
	stop, err := edge.FollowLive(t.Context(), 42, "job-1", func(data []byte) { heard <- string(data) })
	if err != nil {
		t.Fatal(err)
	}
	if got := bustest.Await(env, heard); got != `{"Done":1}` {
		t.Errorf("caught up %s", got)
	}
	if err := k.Live(42, "job-1", step{2}); err != nil {
		t.Fatal(err)
	}
	if got := bustest.Await(env, heard); got != `{"Done":2}` {
		t.Errorf("followed %s", got)
	}
	stop()
	stop()
	if err := k.Live(42, "a.b", step{}); err == nil {
		t.Error("a job with a dot")
	}
	if err := k.Live(42, "job-1", strings.Repeat("x", bus.MaxJSON)); errs.KindOf(err) != errs.TooLarge {
		t.Errorf("too much: %v", err)
	}
	if err := k.Live(42, "job-1", make(chan int)); err == nil {
		t.Error("what JSON cannot say")
	}
	if _, err := edge.FollowLive(t.Context(), 42, ">", func([]byte) {}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a wildcard: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := edge.FollowLive(ctx, 42, "job-1", func([]byte) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody there: %v", err)
	}
}
