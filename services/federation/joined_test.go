package federation_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/services/federation"
)

// hub is the NATS server of an instance, as far as others are concerned.
func hub(t *testing.T, slug string, c natsd.Config) *natsd.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	c.Dir, c.NoSync, c.Log = t.TempDir(), true, slog.New(slog.DiscardHandler)
	c.Users = []natsd.UserSpec{
		federation.Member(bus.HubPermissions(federation.Name, federation.Presence, slug), slug, true), federation.Neighbour(bus.NeighbourPermissions(federation.Presence), true),
	}
	s, err := natsd.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	nc := as(t, s, natsd.UserHubAdmin)
	if err := bus.ProvisionHub(ctx, nc, federation.Presence, 1, federation.Name); err != nil {
		t.Fatal(err)
	}
	return s
}

func as(t *testing.T, s *natsd.Server, user string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s.InProcess()), nats.UserCredentials(s.Trust.CredsFile(user)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// instance runs the service with its hub on the server.
func instance(t *testing.T, s *natsd.Server, slug string, neighbours ...bus.NeighbourConfig) *world {
	t.Helper()
	env := bustest.Start(t, []string{federation.Name, "watcher", "knowledge"})
	return run(t, env, slug, bus.Config{
		Service: federation.Name, Announcing: federation.Presence, InProcess: s.InProcess(), CredsFile: s.Trust.CredsFile(bus.HubUser(federation.Name)), Log: slog.New(slog.DiscardHandler),
	}, neighbours...)
}

// sees waits until the instance lists another one as online.
func (w *world) sees(slug string) {
	w.Helper()
	w.eventually("sees "+slug, func() bool {
		for _, i := range w.list(`{"status":"online"}`).Instances {
			if i["slug"] == slug && i["self"] == false && i["hub_url"] == "http://"+slug+":8000" && i["version"] == "1.2.3" {
				return true
			}
		}
		return false
	})
}

func TestTwoInstancesJoinedByALeafConnectionSeeEachOther(t *testing.T) {
	t.Parallel()
	north := hub(t, "north", natsd.Config{LeafAddr: "127.0.0.1:0"})
	addr, err := north.LeafAddr()
	if err != nil {
		t.Fatal(err)
	}
	south := hub(t, "south", natsd.Config{Remotes: []natsd.Remote{{Addr: addr, Credentials: north.Trust.CredsFile(bus.NeighbourUser), Deny: bus.HubPrivate(federation.Name)}}})
	if north.Trust.Domain() == south.Trust.Domain() {
		t.Fatal("two instances share a JetStream domain")
	}
	n, s := instance(t, north, "north"), instance(t, south, "south")
	n.sees("south")
	s.sees("north")
	// Nothing else crosses, neither way, whoever says it.
	const fence = "hub.presence.fence"
	for from, to := range map[*natsd.Server]*natsd.Server{north: south, south: north} {
		say, hear := as(t, from, natsd.UserHubAdmin), as(t, to, natsd.UserHubAdmin)
		secrets := []string{"evt.p1.x", "cmd.p1.x", "$JS.API.INFO", "$SRV.PING", "_INBOX.x.y", "_INBOX_federation-hub.x.y", "_INBOX_hub-admin.x", "hub.fence", "hub.north.project.created", "hub.global.presence", "hub.ask.north.x", "hub.presences"}
		heard := make(chan string, 64)
		for _, subject := range append(secrets, fence) {
			if _, err := hear.Subscribe(subject, func(m *nats.Msg) { heard <- m.Subject }); err != nil {
				t.Fatal(err)
			}
		}
		if err := hear.Flush(); err != nil {
			t.Fatal(err)
		}
		fenced := false
		n.eventually("a heartbeat crosses", func() bool {
			for _, subject := range append(secrets, fence) {
				if err := say.Publish(subject, nil); err != nil {
					t.Fatal(err)
				}
			}
			for wait := time.After(50 * time.Millisecond); ; {
				select {
				case subject := <-heard:
					if subject != fence {
						t.Errorf("%s has crossed", subject)
					}
					fenced = true
				case <-wait:
					return fenced
				}
			}
		})
	}
	if n.heard("collision")+s.heard("collision")+n.heard("foreign")+s.heard("foreign") != 0 {
		t.Error("the two take each other for something else")
	}
}

// Instances of before run plain NATS servers, without accounts and streams.
func TestAnInstanceMeetsOthersOnTheirPlainServer(t *testing.T) {
	t.Parallel()
	theirs, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	theirs.Start()
	t.Cleanup(func() { theirs.Shutdown(); theirs.WaitForShutdown() })
	if !theirs.ReadyForConnections(bustest.Patience) {
		t.Fatal("the server is not ready")
	}
	w := instance(t, hub(t, "us", natsd.Config{}), "us", bus.NeighbourConfig{URL: theirs.ClientURL()})
	old, err := nats.Connect(theirs.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(old.Close)
	ours, err := old.SubscribeSync("hub.presence.*")
	if err != nil {
		t.Fatal(err)
	}
	m, err := ours.NextMsg(bustest.Patience)
	if err != nil || m.Subject != "hub.presence.us" || !strings.Contains(string(m.Data), `"mesh_namespace":"hub.us"`) {
		t.Fatalf("they hear %+v, %v", m, err)
	}
	if err := old.Publish("hub.presence.apollo", beat("apollo", time.Now())); err != nil {
		t.Fatal(err)
	}
	w.await("us:>online")
	w.await("apollo:>online")
	check := "neighbour " + strings.TrimPrefix(theirs.ClientURL(), "nats://")
	if r := w.health(check); r.Status != app.StatusHealthy {
		t.Errorf("health %+v", r)
	}
	theirs.Shutdown()
	theirs.WaitForShutdown()
	w.eventually("the loss is told", func() bool {
		r := w.health(check)
		return r.Status == app.StatusDegraded && strings.Contains(r.Err.Error(), "hub.join")
	})
	if err := w.hub.Ready(t.Context()); err != nil {
		t.Errorf("our own hub depends on theirs: %v", err)
	}
}
