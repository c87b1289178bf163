package bus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// contracts are three services with as little as they need.
func contracts() []bustest.Option {
	hears := append(events.ConsumedBy("knowledge"), events.FollowedBy("knowledge")...)
	return []bustest.Option{
		bustest.WithContract("auth", bus.Contract{
			Serves: []string{"echo", "count", "getOperation"}, Publishes: events.SaidBy("auth"), Hears: events.ConsumedBy("auth"), TakesCommands: true,
		}),
		bustest.WithContract("knowledge", bus.Contract{
			Serves: []string{"search"}, Calls: []string{"auth.echo", "auth.resolveAccess"}, Publishes: events.SaidBy("knowledge"), Hears: hears,
			Jobs: true, Objects: true, Live: true,
		}),
		bustest.WithContract(bustest.Edge, bus.Contract{
			Calls: []string{"auth.*", "knowledge.*"}, Commands: []string{"auth.count"}, Objects: true, FollowsLive: true, Notes: true, DeadLetters: true,
			Publishes: []events.Description{describe(&authv1.ProjectDeleting{})}, Hears: events.FollowedBy(bustest.Edge),
		}),
	}
}

func describe(m *authv1.ProjectDeleting) events.Description {
	d, err := events.Describe(m)
	if err != nil {
		panic(err)
	}
	return d
}

func TestTheContractIsEnoughForEverythingThatItSays(t *testing.T) {
	t.Parallel()
	w := &world{Env: bustest.Start(t, []string{"auth", "knowledge"}, contracts()...), db: pgtest.New(t, pg.Schema{Name: "auth"})}
	s := w.serve(bus.ServerConfig{Attempts: 1}, func(_ context.Context, r echoRequest) error {
		if r.Text == "fail" {
			return errors.New("as asked")
		}
		return nil
	})
	bus.Request(s, "echo", echo)
	heard := make(chan string, 8)
	in := newInbox(w.Env, bus.InboxConfig{}, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error { heard <- m.ID; return nil })
	followed := make(chan string, 8)
	w.Run(s, in)
	k, edge, ctx := w.Bus("knowledge"), w.Bus(bustest.Edge), t.Context()
	searching := bus.NewServer(k, bus.ServerConfig{})
	bus.Request(searching, "search", func(ctx context.Context, r echoRequest) (echoAnswer, error) {
		a, err := k.Request(ctx, target, tenant.From(ctx), []byte(`{"text":"passed on"}`))
		if err != nil {
			return echoAnswer{}, err
		}
		return echoAnswer{Text: string(a.Body)}, nil
	})
	w.Run(searching)

	a, err := edge.Request(ctx, bus.Target{Service: "knowledge", Operation: "search", Project: 42}, alice, []byte(`{}`))
	if err != nil || !strings.Contains(string(a.Body), `user:7`) {
		t.Errorf("a request that is passed on: %+v, %v", a, err)
	}
	if _, err := k.Request(ctx, target, bus.AsService("knowledge", 42), []byte(`{}`)); err != nil {
		t.Errorf("a service for itself: %v", err)
	}
	if _, err := k.Request(ctx, target, alice, []byte(`{}`)); err == nil {
		t.Error("a service speaks for a person who did not call it")
	}
	if a, err := edge.Command(ctx, count, alice, []byte(`{}`), bus.CommandOptions{Key: "k"}); err != nil || a.Status != 201 {
		t.Errorf("a command: %+v, %v", a, err)
	}
	if a, err := edge.Command(ctx, count, alice, []byte(`{}`), bus.CommandOptions{Key: "k"}); err != nil || !a.Replayed {
		t.Errorf("a command again: %+v, %v", a, err)
	}
	if a, err := edge.Command(ctx, count, alice, []byte(`{}`), bus.CommandOptions{Wait: -1}); err != nil || !a.Pending {
		t.Errorf("a command without waiting: %+v, %v", a, err)
	}
	large := `{"text":"` + strings.Repeat("x", 2*bus.MaxJSON) + `"}`
	if a, err := edge.Request(ctx, target, alice, []byte(large)); err != nil || len(a.Body) < 2*bus.MaxJSON {
		t.Errorf("a large request and its answer: %v", err)
	}
	if a, err := edge.Command(ctx, count, alice, []byte(large), bus.CommandOptions{}); err != nil || a.Status != 201 {
		t.Errorf("a large command: %+v, %v", a, err)
	}
	if _, err := edge.Command(ctx, count, alice, []byte(`{"text":"fail"}`), bus.CommandOptions{}); err == nil {
		t.Error("a failing command: no error")
	}
	if err := edge.Redrive(ctx, w.deadLetters(t, 1)[0].Seq); err != nil {
		t.Errorf("redrive: %v", err)
	}
	w.SayAs("one", deleting(42, 1))
	if got := bustest.Await(w.Env, heard); got != "one" {
		t.Errorf("heard %s", got)
	}
	ref, err := edge.PutObject(ctx, 42, "a.txt", "text/plain", strings.NewReader("content"), 100)
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if got := read(t, k, ref); got != "content" {
		t.Errorf("object %q", got)
	}
	if err := k.DeleteObject(ctx, ref); err != nil {
		t.Errorf("delete: %v", err)
	}
	stop, err := edge.FollowLive(ctx, 42, "job", func(data []byte) { followed <- string(data) })
	if err != nil {
		t.Fatalf("follow live: %v", err)
	}
	defer stop()
	if err := k.Live(42, "job", 1); err != nil {
		t.Errorf("live: %v", err)
	}
	if got := bustest.Await(w.Env, followed); got != "1" {
		t.Errorf("live %s", got)
	}
}

// refused does something with a connection of its own and expects that the
// server refuses it.
func refused(t *testing.T, env *bustest.Env, user, what string, do func(nc *nats.Conn) error) {
	t.Helper()
	denied := make(chan error, 16)
	nc, err := nats.Connect("", nats.InProcessServer(env.Server.InProcess()), nats.UserCredentials(env.Server.Trust.CredsFile(user)),
		nats.CustomInboxPrefix("_INBOX_"+user), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := do(nc); err != nil && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrPermissionViolation) {
		t.Logf("%s: %v", what, err)
	}
	select {
	case err := <-denied:
		if !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s may %s", user, what)
	}
}

func TestNothingBeyondTheContractIsAllowed(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{"auth", "knowledge"}, contracts()...)
	publish := func(subject string) func(nc *nats.Conn) error {
		return func(nc *nats.Conn) error { return nc.Publish(subject, nil) }
	}
	subscribe := func(subject string) func(nc *nats.Conn) error {
		return func(nc *nats.Conn) error { _, err := nc.SubscribeSync(subject); return err }
	}
	durable := "evt-auth-any-project-purged-v1"
	for _, c := range []struct {
		user, what string
		do         func(nc *nats.Conn) error
	}{
		{"knowledge", "say a fact of auth", publish("evt.p42.auth.project.deleting.v1")},
		{"knowledge", "give a command", publish("cmd.p42.auth.count")},
		{"knowledge", "ask what its contract does not name", publish("req.p42.auth.deleteUser")},
		{"knowledge", "read what another gave up", publish("$JS.API.CONSUMER.CREATE.DEAD.mine.dead.auth.evt.>")},
		{"knowledge", "read all that was given up", publish("$JS.API.CONSUMER.CREATE.DEAD.mine.dead.>")},
		{"knowledge", "have another take a fact again", publish("req.instance.auth.redriveFact")},
		{bustest.Edge, "say again what others have said", publish("evt.p42.knowledge.document.indexed.v1")},
		{"knowledge", "bury for another", publish("dead.auth.x")},
		{"knowledge", "release a job of another", publish("job.p42.auth.x")},
		{"auth", "tell progress", publish("live.p42.job")},
		{"knowledge", "read a large request to another", publish("$JS.API.DIRECT.GET.SPILL.spill.auth.x.0")},
		{"knowledge", "read a large answer to another", publish("$JS.API.DIRECT.GET.SPILL.spill.gateway.x.0")},
		{"knowledge", "read large bodies as they come", subscribe("spill.>")},
		{"knowledge", "follow large bodies", publish("$JS.API.CONSUMER.CREATE.SPILL.mine.spill.>")},
		{"knowledge", "read a large command of another", publish("$JS.API.DIRECT.GET.BODIES.body.auth.x.0")},
		{"knowledge", "remove a large command of another", publish("body.auth.x.0")},
		{"auth", "put an object", publish("$O.blobs.C.x")},
		{"auth", "note an operation", publish("$KV.OPERATIONS.x")},
		{"knowledge", "hear all facts", subscribe("evt.>")},
		{"knowledge", "hear commands", subscribe("cmd.>")},
		{"knowledge", "hear requests to auth", subscribe("req.*.auth.*")},
		{"knowledge", "hear what the edge is answered", subscribe("rsp.gateway.>")},
		{"knowledge", "hear the edge's inbox", subscribe("_INBOX_gateway.>")},
		{"knowledge", "hear every inbox", subscribe("_INBOX.>")},
		{"knowledge", "read a stream directly", publish("$JS.API.STREAM.MSG.GET.EVENTS")},
		{"knowledge", "read the last message directly", publish("$JS.API.DIRECT.GET.EVENTS.evt.p42.auth.user.registered.v1")},
		{"knowledge", "take from a durable of auth", publish("$JS.API.CONSUMER.MSG.NEXT.EVENTS." + durable)},
		{"knowledge", "take commands of auth", publish("$JS.API.CONSUMER.MSG.NEXT.COMMANDS.cmd-auth")},
		{"knowledge", "acknowledge for auth", publish("$JS.ACK.EVENTS." + durable + ".1.1.1.1.0")},
		{"knowledge", "make an unfiltered consumer", publish("$JS.API.CONSUMER.CREATE.EVENTS.mine")},
		{"knowledge", "make a consumer without a name", publish("$JS.API.CONSUMER.CREATE.EVENTS")},
		{"knowledge", "make a durable the old way", publish("$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.mine")},
		{"knowledge", "delete a durable", publish("$JS.API.CONSUMER.DELETE.EVENTS." + durable)},
		{"knowledge", "change a durable", publish("$JS.API.CONSUMER.CREATE.EVENTS.evt-knowledge-auth-project-deleting-v1.evt.*.auth.project.deleting.v1")},
		{"knowledge", "make a stream", publish("$JS.API.STREAM.CREATE.MINE")},
		{"knowledge", "change a stream", publish("$JS.API.STREAM.UPDATE.EVENTS")},
		{"knowledge", "delete a stream", publish("$JS.API.STREAM.DELETE.EVENTS")},
		{"knowledge", "purge a stream", publish("$JS.API.STREAM.PURGE.EVENTS")},
		{"knowledge", "read commands", publish("$JS.API.STREAM.MSG.GET.COMMANDS")},
		{bustest.Edge, "remove a command", publish("$JS.API.STREAM.MSG.DELETE.COMMANDS")},
		{bustest.Edge, "take a service's commands", publish("$JS.API.CONSUMER.MSG.NEXT.COMMANDS.cmd-auth")},
	} {
		refused(t, env, c.user, c.what, c.do)
	}
	// The neighbour's durable is denied where its filter would be allowed.
	spec := bus.PermissionsFor("knowledge", bus.Contract{Hears: []events.Description{describe(&authv1.ProjectDeleting{})}})
	if len(spec.PubDeny) == 0 || !slices.Contains(spec.PubDeny, "$JS.API.CONSUMER.CREATE.EVENTS.evt-knowledge-auth-project-deleting-v1.>") {
		t.Errorf("denied %v", spec.PubDeny)
	}
	if spec := bus.PermissionsFor("idle", bus.Contract{}); len(spec.Pub) != 0 || spec.Replies {
		t.Errorf("an empty contract allows %v", spec.Pub)
	}
}

func TestStreamsAreProvisionedAgainWithoutLossAndRefuseAChangeThatLoses(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	env.Say(deleting(42, 1))
	admin := env.Conn(natsd.UserAdmin)
	specs := bus.Specs{Services: []string{"auth"}, Events: events.Catalogue(), Memory: true}
	js := jetStream(t, admin)
	s, err := js.Stream(t.Context(), bus.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxAge = time.Hour
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteConsumer(t.Context(), bus.StreamCommands, "cmd-auth"); err != nil {
		t.Fatal(err)
	}
	if err := bus.Provision(t.Context(), admin, specs); err != nil {
		t.Fatal(err)
	}
	if s, err = js.Stream(t.Context(), bus.StreamEvents); err != nil || s.CachedInfo().State.Msgs != 1 || s.CachedInfo().Config.MaxAge == time.Hour {
		t.Errorf("stream %+v, %v", s.CachedInfo(), err)
	}
	if _, err := js.Consumer(t.Context(), bus.StreamCommands, "cmd-auth"); err != nil {
		t.Error(err)
	}
	specs.Memory = false
	if err := bus.Provision(t.Context(), admin, specs); err == nil || !strings.Contains(err.Error(), "cannot be changed in place") {
		t.Errorf("from memory to disk: %v", err)
	}
}

func TestTheStreamsAreWhatThePlanSays(t *testing.T) {
	t.Parallel()
	want := map[string]jetstream.StreamConfig{
		bus.StreamCommands: {Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage},
		bus.StreamEvents:   {Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage, PersistMode: jetstream.AsyncPersistMode},
		bus.StreamJobs:     {Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage, PersistMode: jetstream.AsyncPersistMode},
		bus.StreamDead:     {Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage},
		bus.StreamSpill:    {Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage},
		bus.StreamBodies:   {Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage},
		bus.StreamLive:     {Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage, PersistMode: jetstream.AsyncPersistMode},
	}
	for _, s := range bus.Streams(bus.Specs{AsyncEvents: true}) {
		w := want[s.Name]
		if s.Retention != w.Retention || s.Discard != w.Discard || s.Storage != w.Storage || s.PersistMode != w.PersistMode || s.MaxBytes <= 0 {
			t.Errorf("%+v", s)
		}
		delete(want, s.Name)
	}
	if len(want) != 0 {
		t.Errorf("missing %v", want)
	}
	for _, s := range bus.Streams(bus.Specs{AsyncEvents: true, Replicas: 3}) {
		if s.PersistMode == jetstream.AsyncPersistMode || s.Replicas != 3 || (s.Storage == jetstream.MemoryStorage) != (s.Name == bus.StreamLive) {
			t.Errorf("on a cluster: %+v", s)
		}
	}
	for _, c := range bus.Consumers(bus.Specs{Services: []string{"auth"}, Events: events.Catalogue()}) {
		if c.Config.MaxDeliver != -1 || c.Config.AckPolicy != jetstream.AckExplicitPolicy || c.Config.FilterSubject == "" {
			t.Errorf("%+v", c)
		}
		if c.Stream == bus.StreamEvents && c.Config.MaxAckPending != 1 {
			t.Errorf("%s does not keep order", c.Config.Durable)
		}
	}
}
