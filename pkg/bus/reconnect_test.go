package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus/testutil"

	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestARestartOfTheServerLosesNoCommandAndNoFact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.OverTCP())
	w.SayAs("one", deleting(42, 1))
	heard := make(chan string, 8)
	followed := make(chan string, 8)
	in := bus.NewInbox(w.Bus("auth"), bus.InboxConfig{Service: "knowledge"}) // any that hears it will do
	bus.Handle(in, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error { heard <- m.ID; return nil })
	s := w.serve(bus.ServerConfig{}, nil)
	bus.Request(s, "echo", echo)
	f := bus.Follow(w.Bus(bustest.Edge), func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) { followed <- m.ID })
	accepted, err := w.give(t, `{"text":"waits"}`, bus.CommandOptions{Key: "k", Wait: -1})
	if err != nil || !accepted.Pending {
		t.Fatalf("%+v, %v", accepted, err)
	}
	w.Restart() // before anybody took the command
	w.eventually(t, func() bool {
		return w.Bus("auth").Ready(t.Context()) == nil && w.Bus(bustest.Edge).Ready(t.Context()) == nil
	})
	w.Run(in, s, f)
	if got := bustest.Await(w.Env, heard); got != "one" {
		t.Errorf("heard %s", got)
	}
	var a *bus.Answer
	w.eventually(t, func() bool { // the edge's connection comes back when it does
		a, err = w.give(t, `{"text":"waits"}`, bus.CommandOptions{Key: "k"})
		return err == nil && !a.Pending
	})
	if a.OperationID != accepted.OperationID || a.Status != http.StatusCreated {
		t.Errorf("%+v", a)
	}
	w.Restart() // with everything running
	w.eventually(t, func() bool {
		_, err := w.Bus(bustest.Edge).Request(t.Context(), target, alice, []byte(`{}`))
		return err == nil
	})
	again, err := w.give(t, `{"text":"waits"}`, bus.CommandOptions{Key: "k"})
	if err != nil || string(again.Body) != string(a.Body) {
		t.Errorf("%+v, %v", again, err)
	}
	fresh, err := w.give(t, `{"text":"new"}`, bus.CommandOptions{Wait: bustest.Patience})
	if err != nil || fresh.Pending {
		t.Errorf("a new command: %+v, %v", fresh, err)
	}
	if n := w.counted(t); n != 2 {
		t.Errorf("%d changes", n)
	}
	w.SayAs("two", deleting(42, 2))
	if got := bustest.Await(w.Env, followed); got != "two" {
		t.Errorf("followed %s", got)
	}
}

func TestTheServicesFrameworkListsEveryOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve(bus.ServerConfig{Version: "1.2.3"}, nil)
	bus.Request(s, "echo", echo)
	w.Run(s)
	if _, err := w.give(t, `{}`, bus.CommandOptions{}); err != nil {
		t.Fatal(err)
	}
	admin := w.Conn(natsd.UserAdmin)
	var info micro.Info
	ask(t, admin, "$SRV.INFO.auth", &info)
	if info.Version != "1.2.3" || info.Metadata["commands"] != "count" {
		t.Errorf("info %+v", info)
	}
	var names []string
	for _, e := range info.Endpoints {
		names = append(names, e.Name+" "+e.Subject)
	}
	for _, want := range []string{"echo req.*.auth.echo", "getOperation req.*.auth.getOperation"} {
		if !strings.Contains(strings.Join(names, ","), want) {
			t.Errorf("no %q in %v", want, names)
		}
	}
	var stats micro.Stats
	ask(t, admin, "$SRV.STATS.auth", &stats)
	var got []string
	for _, e := range stats.Endpoints {
		all, err := bus.StatsOf(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range all {
			got = append(got, fmt.Sprint(st.Operation, " ", st.Delivery, " ", st.Requests, " ", st.AverageSeconds > 0 && st.P99Seconds >= st.P50Seconds && st.P50Seconds > 0))
		}
	}
	slices.Sort(got)
	if want := []string{"count command 1 true", "echo request 0 false", "getOperation request 0 false", "health internal 0 false", "listOperations request 0 false", "redriveFact internal 0 false"}; !slices.Equal(got, want) {
		t.Errorf("stats %q, want %q", got, want)
	}
	w.eventually(t, func() bool { // what was consumed is counted after its answer
		n, err := testutil.GatherAndCount(w.Registry, "cc_bus_served_seconds", "cc_bus_call_seconds", "cc_bus_consumed_seconds")
		return err == nil && n >= 3
	})
}

func ask(t *testing.T, nc *nats.Conn, subject string, v any) {
	t.Helper()
	m, err := nc.Request(subject, nil, bustest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(m.Data, v); err != nil {
		t.Fatal(err)
	}
}

func TestAnAddressWithoutAServerAndMissingCredentialsAreClearErrors(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	good := env.Config("auth")
	for name, c := range map[string]struct {
		spoil func(c *bus.Config)
		want  string
	}{
		"no server":      {func(c *bus.Config) { c.InProcess, c.URL = nil, "nats://127.0.0.1:1" }, "127.0.0.1:1"},
		"no credentials": {func(c *bus.Config) { c.CredsFile += ".gone" }, "credentials"},
		"no name":        {func(c *bus.Config) { c.Service = "a.b" }, "not a name"},
		"bad seed":       {func(c *bus.Config) { c.SigningSeed = []byte("x") }, "signing seed"},
		"bad issuer":     {func(c *bus.Config) { c.Issuers = map[string]string{"x": "y"} }, "signing key of x"},
	} {
		bad := good
		c.spoil(&bad)
		if _, err := bus.Connect(t.Context(), bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("changed my mind")
	cancel(why)
	if b, err := bus.Connect(ctx, good); err == nil {
		b.Close() // it was faster than the select
	} else if !errors.Is(err, why) {
		t.Error(err)
	}
	b := env.Connect(good)
	if b.Service() != "auth" || b.Conn() == nil || b.JetStream() == nil {
		t.Error("accessors")
	}
	b.Close()
	b.Close()
	if err := b.Ready(t.Context()); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("ready after close: %v", err)
	}
	if _, err := b.Request(t.Context(), target, alice, nil); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("request after close: %v", err)
	}
}

func TestTheRelaySeesEpochAndSequence(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	b := env.Bus("auth")
	epoch, seq, err := b.Publish(t.Context(), "evt.p1.auth.x.happened.v1", "m1", nil, []byte("{}"))
	if err != nil || epoch == "" || seq != 1 {
		t.Fatalf("%q %d %v", epoch, seq, err)
	}
	if e, again, err := b.Publish(t.Context(), "evt.p1.auth.x.happened.v1", "m1", nil, []byte("{}")); err != nil || e != epoch || again != 1 {
		t.Errorf("the same message: %q %d %v", e, again, err)
	}
	if e, last, err := b.StreamState(t.Context(), bus.StreamEvents); err != nil || e != epoch || last != 1 {
		t.Errorf("state %q %d %v", e, last, err)
	}
	if _, _, err := b.StreamState(t.Context(), "NONE"); err == nil {
		t.Error("no such stream: no error")
	}
	if _, _, err := b.Publish(t.Context(), "nobody.listens", "m2", nil, nil); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("no stream takes it: %v", err)
	}
	if _, _, err := b.Publish(t.Context(), "evt.p1.auth.x.happened.v1", "m3", nil, make([]byte, natsd.MaxPayload+1)); errs.KindOf(err) != errs.TooLarge {
		t.Errorf("too large: %v", err)
	}
}
