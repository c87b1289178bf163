package bustest_test

import (
	"bytes"
	"context"
	"testing"

	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestAFactThatIsSaidIsHeardAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	env := bustest.Start(t, []string{"knowledge"}, bustest.OverTCP(), bustest.WithLog(&log), bustest.WithHub(bus.Announcing{Stream: "ALIVE", Prefix: "hub.alive."}, "federation"))
	id := env.Say(&authv1.ProjectDeleting{ProjectId: 42, Version: 1})
	env.Restart()
	heard := make(chan string, 1)
	in := bus.NewInbox(env.Connect(env.Config("knowledge")), bus.InboxConfig{})
	bus.Handle(in, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error { heard <- m.ID; return nil })
	env.Run(in)
	if got := bustest.Await(env, heard); got != id {
		t.Errorf("heard %s, said %s", got, id)
	}
	hub, err := bus.ConnectHub(t.Context(), env.HubConfig("federation"))
	if err != nil {
		t.Fatal(err)
	}
	hub.Close()
}

func TestAFactIsSaidByItsOwner(t *testing.T) {
	t.Parallel()
	// Neither the edge nor a service that only hears may say anything.
	env := bustest.Start(t, []string{"knowledge"}, bustest.WithContract(bustest.Edge, bus.Contract{}), bustest.WithContract("knowledge", bus.Contract{
		Hears: events.ConsumedBy("knowledge"),
	}))
	heard := make(chan string, 1)
	in := bus.NewInbox(env.Bus("knowledge"), bus.InboxConfig{})
	bus.Handle(in, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error { heard <- m.ID; return nil })
	env.Run(in)
	id := env.Say(&authv1.ProjectDeleting{ProjectId: 42, Version: 1})
	if got := bustest.Await(env, heard); got != id {
		t.Errorf("heard %s, said %s", got, id)
	}
	env.Say(&platformv1.ProjectPurged{ProjectId: 42, Version: 1, Service: "federation"})
}

func TestOnlyWithAContractIsAServiceBound(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{"free", "bound"}, bustest.OnDisk(), bustest.WithContract("bound", bus.Contract{Serves: []string{"x"}}))
	if !env.Server.SyncsAlways() {
		t.Error("on disk without fsync")
	}
	if _, _, err := env.Bus("free").StreamState(t.Context(), bus.StreamEvents); err != nil {
		t.Error(err)
	}
	if first, second := env.Bus("free"), env.Bus("free"); first != second {
		t.Error("two buses of one service")
	}
	if nc := env.Conn(natsd.UserAdmin); !nc.IsConnected() {
		t.Error("no admin")
	}
	if p := bustest.Person(7, 42, "member"); p.Principal != "user:7" || p.UserID != 7 || p.Project != 42 {
		t.Errorf("%+v", p)
	}
}
