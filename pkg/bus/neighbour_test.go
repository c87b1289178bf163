package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// plain is the NATS server of somebody who knows nothing of accounts.
func plain(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoLog, o.NoSigs = "127.0.0.1", true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(bustest.Patience) {
		t.Fatal("the server is not ready")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func join(t *testing.T, c bus.NeighbourConfig) *bus.Neighbour {
	t.Helper()
	c.Service, c.Log = "federation", slog.New(slog.DiscardHandler)
	if c.Heard == nil {
		c.Heard = func(context.Context, bus.Presence) error { return nil }
	}
	n, err := bus.NewNeighbour(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

func secret(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func receive[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(bustest.Patience):
		t.Fatal("nothing came")
	}
	return v
}

func TestAPlainClientMeetsOthersOnTheirServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o      server.Options
		secret string
		other  nats.Option
	}{
		"open":     {server.Options{}, "", nil},
		"password": {server.Options{Username: "u", Password: "pass:word"}, "u:pass:word\n", nats.UserInfo("u", "pass:word")},
		"token":    {server.Options{Authorization: "t0ken"}, "t0ken\n", nats.Token("t0ken")},
	} {
		s := plain(t, c.o)
		conf := bus.NeighbourConfig{Announcing: announcing, URL: s.ClientURL()}
		if c.secret != "" {
			conf.Credentials = secret(t, c.secret)
		}
		heard := make(chan bus.Presence, 8)
		conf.Heard = func(_ context.Context, p bus.Presence) error {
			heard <- p
			return errors.New("only logged")
		}
		n := join(t, conf)
		var opts []nats.Option
		if c.other != nil {
			opts = append(opts, c.other)
		}
		other, err := nats.Connect(s.ClientURL(), opts...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(other.Close)
		sub, err := other.SubscribeSync("hub.>")
		if err != nil || other.Flush() != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return n.Ready(t.Context()) == nil })
		if err := n.Announce("us", nil, []byte("here")); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.NextMsg(bustest.Patience); err != nil || m.Subject != "hub.presence.us" || string(m.Data) != "here" || m.Reply != "" {
			t.Errorf("%s: the other one heard %+v, %v", name, m, err)
		}
		for _, subject := range []string{"hub.x.y.z", "hub.presence.apollo"} {
			if err := other.Publish(subject, []byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
		if p := receive(t, heard); p.Slug != "apollo" || string(p.Data) != "hello" || p.Time.IsZero() {
			t.Errorf("%s: heard %+v", name, p)
		}
		if err := n.Announce("a.b", nil, nil); err == nil {
			t.Error("announced as two tokens")
		}
	}
}

func TestAHubThatIsNotThereIsJoinedWhenItComesAndHearsWhatWasSaidLast(t *testing.T) {
	t.Parallel()
	first := plain(t, server.Options{})
	url, port := first.ClientURL(), first.Addr().(*net.TCPAddr).Port
	n := join(t, bus.NeighbourConfig{Announcing: announcing, URL: url})
	eventually(t, func() bool { return n.Ready(t.Context()) == nil })
	first.Shutdown()
	first.WaitForShutdown()
	eventually(t, func() bool { return n.Ready(t.Context()) != nil })
	if err := n.Announce("us", nil, []byte("later")); err != nil {
		t.Fatal(err)
	}
	second := plain(t, server.Options{Port: port})
	other, err := nats.Connect(second.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	sub, err := other.SubscribeSync("hub.presence.*")
	if err != nil || other.Flush() != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsg(bustest.Patience); err != nil || string(m.Data) != "later" {
		t.Errorf("heard %+v, %v", m, err)
	}
}

func TestAnAddressWithASecretInItIsNotJoined(t *testing.T) {
	t.Parallel()
	heard := func(context.Context, bus.Presence) error { return nil }
	for _, url := range []string{"nats://u:hush@h:1", "nats://hush@h:1", "http://h:1", "h:1", "nats://", ""} {
		if _, err := bus.NewNeighbour(bus.NeighbourConfig{Announcing: announcing, URL: url, Heard: heard}); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := bus.NewNeighbour(bus.NeighbourConfig{Announcing: announcing, URL: "nats://h:1"}); err == nil {
		t.Error("nobody hears it")
	}
	n, err := bus.NewNeighbour(bus.NeighbourConfig{Announcing: announcing, URL: "nats://h:1", Heard: heard, Credentials: filepath.Join(t.TempDir(), "none")})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("credentials that are not there: %v", err)
	}
	if n.Ready(t.Context()) == nil || n.Stop(t.Context()) != nil {
		t.Error("what was not started is ready, or does not stop")
	}
}

// hubServer is an instance whose provisioner knows its slug.
func hubServer(t *testing.T) *natsd.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	s, err := natsd.Start(ctx, natsd.Config{Dir: t.TempDir(), NoSync: true, Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
		Users: []natsd.UserSpec{bus.HubPermissions("federation", announcing, "us"), bus.NeighbourPermissions(announcing)}})
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
	return s
}

func TestAServiceSaysItsOwnPresenceAlone(t *testing.T) {
	t.Parallel()
	s := hubServer(t)
	hub, err := bus.ConnectHub(t.Context(), bus.Config{Service: "federation", Announcing: announcing, InProcess: s.InProcess(), CredsFile: s.Trust.CredsFile(bus.HubUser("federation")), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	if err := hub.Announce(t.Context(), "us", nil, nil); err != nil {
		t.Error(err)
	}
	if err := hub.Announce(t.Context(), "apollo", nil, nil); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("as another: %v", err)
	}
	if err := hub.Announce(t.Context(), "us", nil, nil); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	if p := bus.HubPermissions("federation", announcing).Pub; !slices.Contains(p, "hub.presence.*") {
		t.Errorf("without a slug: %v", p)
	}
	if p := bus.HubPrivate("federation"); !slices.Contains(p, "_INBOX_federation-hub.>") || !slices.Contains(p, "_INBOX_hub-admin.>") {
		t.Errorf("private: %v", p)
	}
}

func TestANeighbourHearsAndSaysTheHubAlone(t *testing.T) {
	t.Parallel()
	s := hubServer(t)
	heard := make(chan bus.Presence, 1)
	n := join(t, bus.NeighbourConfig{Announcing: announcing, URL: s.ClientURL(), Credentials: s.Trust.CredsFile(bus.NeighbourUser), Heard: func(_ context.Context, p bus.Presence) error {
		heard <- p
		return nil
	}})
	eventually(t, func() bool { return n.Ready(t.Context()) == nil })
	admin, err := nats.Connect("", nats.InProcessServer(s.InProcess()), nats.UserCredentials(s.Trust.CredsFile(natsd.UserHubAdmin)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	sub, err := admin.SubscribeSync("hub.presence.apollo")
	if err != nil || admin.Flush() != nil {
		t.Fatal(err)
	}
	if err := n.Announce("apollo", nil, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsg(bustest.Patience); err != nil {
		t.Errorf("not heard: %v", err)
	}
	if err := admin.Publish("hub.presence.us", nil); err != nil {
		t.Fatal(err)
	}
	if p := receive(t, heard); p.Slug != "us" {
		t.Errorf("heard %+v", p)
	}
	spec := bus.NeighbourPermissions(announcing)
	if !slices.Equal(spec.Pub, []string{"hub.>"}) || !slices.Equal(spec.Sub, []string{"hub.>"}) || !spec.Leaf || spec.Account != natsd.AccountHub {
		t.Errorf("granted %+v", spec)
	}
}

// What a stream acknowledges goes where the message said, and in account HUB
// that message is a neighbour's.
func TestNobodyIsAnsweredWhereANeighbourChose(t *testing.T) {
	t.Parallel()
	s := hubServer(t)
	user := func(name string) *nats.Conn {
		nc, err := nats.Connect("", nats.InProcessServer(s.InProcess()), nats.UserCredentials(s.Trust.CredsFile(name)), nats.CustomInboxPrefix("_INBOX_"+name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	admin, neighbour := user(natsd.UserHubAdmin), user(bus.NeighbourUser)
	// A stream of a version before acknowledges, until it is provisioned again.
	js := jetStream(t, admin)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: announcing.Stream, Subjects: []string{announcing.Prefix + ">"}, MaxMsgsPerSubject: 1}); err != nil {
		t.Fatal(err)
	}
	if err := bus.ProvisionHub(t.Context(), admin, announcing, 1, "federation"); err != nil {
		t.Fatal(err)
	}
	hub, err := bus.ConnectHub(t.Context(), bus.Config{Service: "federation", Announcing: announcing, InProcess: s.InProcess(), CredsFile: s.Trust.CredsFile(bus.HubUser("federation")), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	said, err := admin.SubscribeSync(">")
	if err != nil || admin.Flush() != nil {
		t.Fatal(err)
	}
	aims := []string{"$JS.API.STREAM.PURGE." + announcing.Stream, "hub.presence.us", "_INBOX_federation-hub.x", "evt.p1.a.b.c.v1"}
	for _, aim := range aims {
		if err := neighbour.PublishMsg(&nats.Msg{Subject: "hub.presence.apollo", Reply: aim, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := neighbour.Flush(); err != nil {
		t.Fatal(err)
	}
	// Stored behind what the neighbour said, so that every answer has left.
	if err := hub.AnnounceKept(t.Context(), "us", nil, []byte("we are here")); err != nil {
		t.Fatal(err)
	}
	if err := admin.Publish("fence", nil); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := said.NextMsg(bustest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == "fence" {
			break
		}
		if slices.Contains(aims, m.Subject) && string(m.Data) != "we are here" {
			t.Errorf("%s was told %s", m.Subject, m.Data)
		}
	}
	st, err := js.Stream(t.Context(), announcing.Stream)
	if err != nil || st.CachedInfo().State.Msgs != 2 {
		t.Errorf("the stream holds %d announcements, %v", st.CachedInfo().State.Msgs, err)
	}
}

func TestAnAnnouncementThatIsNotKeptIsSaidToBe(t *testing.T) {
	t.Parallel()
	s := hubServer(t) // without a stream
	hub, err := bus.ConnectHub(t.Context(), bus.Config{Service: "federation", Announcing: announcing, InProcess: s.InProcess(), CredsFile: s.Trust.CredsFile(bus.HubUser("federation")), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := hub.AnnounceKept(ctx, "us", nil, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a stream: %v", err)
	}
	if err := hub.AnnounceKept(t.Context(), "apollo", nil, []byte("x")); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("as another: %v", err)
	}
	if err := hub.AnnounceKept(t.Context(), "a.b", nil, []byte("x")); err == nil {
		t.Error("as nobody")
	}
}
