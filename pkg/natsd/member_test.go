package natsd_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// members starts a cluster of three in one directory.
func members(t *testing.T, c natsd.Config, secure *tls.Config) []*natsd.Server {
	t.Helper()
	c.Dir = t.TempDir()
	if _, err := natsd.Provision(c.Dir, users); err != nil {
		t.Fatal(err)
	}
	routes, err := natsd.FreeRoutes(t.Context(), "127.0.0.1", 3)
	if err != nil {
		t.Fatal(err)
	}
	var out []*natsd.Server
	for i, addr := range routes {
		c.Addr = "127.0.0.1:0"
		c.Member = &natsd.Member{Name: "n" + itoa(i+1), Addr: addr, Routes: routes, TLS: secure}
		s := start(t, c)
		if s.RouteAddr() != addr {
			t.Errorf("member at %q, want %q", s.RouteAddr(), addr)
		}
		out = append(out, s)
	}
	return out
}

// until tries what fails before a leader is elected.
func until(t *testing.T, what string, fn func(ctx context.Context) error) {
	t.Helper()
	deadline := time.After(2 * waits)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := fn(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func threeCopies(t *testing.T, s *natsd.Server) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(connect(t, s, natsd.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "a stream with three copies", func(ctx context.Context) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Replicas: 3})
		return err
	})
	return js
}

func TestAStreamOfThreeMembersOutlivesTheLossOfOne(t *testing.T) {
	t.Parallel()
	all := members(t, natsd.Config{NoSync: true}, nil)
	js := threeCopies(t, all[0])
	ack, err := js.Publish(t.Context(), "s.a", []byte("kept"))
	if err != nil || ack.Domain != all[0].Trust.Domain() {
		t.Fatalf("%+v, %v", ack, err)
	}
	stop(t, all[2])
	until(t, "a word after the loss", func(ctx context.Context) error {
		_, err := js.Publish(ctx, "s.b", nil)
		return err
	})
	other, err := jetstream.New(connect(t, all[1], natsd.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "what was said before", func(ctx context.Context) error {
		s, err := other.Stream(ctx, "S")
		if err != nil {
			return err
		}
		m, err := s.GetMsg(ctx, ack.Sequence)
		if err == nil && string(m.Data) != "kept" {
			t.Fatalf("%q", m.Data)
		}
		return err
	})
}

func TestAMemberWhoseDiskWasLostGetsItsCopiesFromTheOthers(t *testing.T) {
	t.Parallel()
	c := natsd.Config{NoSync: true}
	all := members(t, c, nil)
	js := threeCopies(t, all[0])
	if _, err := js.Publish(t.Context(), "s.a", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	addr, routes := all[2].RouteAddr(), []string{all[0].RouteAddr(), all[1].RouteAddr(), all[2].RouteAddr()}
	stop(t, all[2])
	c.Dir = filepath.Dir(filepath.Dir(all[0].Trust.CredsFile(natsd.UserAdmin)))
	if err := os.RemoveAll(filepath.Join(c.Dir, "nats", "n3")); err != nil {
		t.Fatal(err)
	}
	c.Addr, c.Member = "127.0.0.1:0", &natsd.Member{Name: "n3", Addr: addr, Routes: routes}
	start(t, c)
	until(t, "the copy on the new disk", func(ctx context.Context) error {
		s, err := js.Stream(ctx, "S")
		if err != nil {
			return err
		}
		of := s.CachedInfo().Cluster
		for _, r := range of.Replicas {
			if !r.Current || r.Offline {
				return fmt.Errorf("%+v", r)
			}
		}
		if of.Leader == "" || len(of.Replicas) != 2 {
			return fmt.Errorf("%+v", of)
		}
		return nil
	})
}

func TestAMemberThatLosesTheOthersSendsItsClientsAwayOnce(t *testing.T) {
	t.Parallel()
	all := members(t, natsd.Config{NoSync: true}, nil)
	until(t, "the others", func(context.Context) error {
		for _, s := range all {
			if n := s.Others(); n != 2 {
				return fmt.Errorf("%d others", n)
			}
		}
		return nil
	})
	gone, back := make(chan struct{}, 10), make(chan struct{}, 10)
	nc, err := nats.Connect(all[0].ClientURL(), nats.UserCredentials(all[0].Trust.CredsFile(natsd.UserAdmin)), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { gone <- struct{}{} }), nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	until(t, "a look at the others", func(context.Context) error { // of a majority that was never there nothing is lost
		if !all[0].Inside() {
			return errors.New("not yet")
		}
		return nil
	})
	stop(t, all[1])
	stop(t, all[2])
	for _, what := range []chan struct{}{gone, back} {
		select {
		case <-what:
		case <-time.After(waits):
			t.Fatal("the client was left alone with a member that nobody hears")
		}
	}
	// It knows no other member, and stays.
	until(t, "a word after the loss", func(context.Context) error { return nc.FlushTimeout(time.Second) })
	if len(gone) > 0 {
		t.Error("sent away again")
	}
}

func TestMembersShowEachOtherCertificates(t *testing.T) {
	t.Parallel()
	server, client := certificates(t)
	server.RootCAs = client.RootCAs
	all := members(t, natsd.Config{NoSync: true, TLS: server}, server)
	threeCopies(t, all[1])
	if !strings.HasPrefix(all[0].ClientURL(), "tls://") {
		t.Errorf("clients at %s", all[0].ClientURL())
	}
}

func TestAMemberSaysWhatIsWrongWithItsCluster(t *testing.T) {
	t.Parallel()
	three := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
	keys := t.TempDir()
	taken := start(t, natsd.Config{Dir: keys, Addr: "127.0.0.1:0", NoSync: true})
	at := strings.TrimPrefix(taken.ClientURL(), "nats://")
	for want, m := range map[string]natsd.Member{
		"name":                         {Name: "No", Addr: "127.0.0.1:0", Routes: three},
		`name "jetstream"`:             {Name: "jetstream", Addr: "127.0.0.1:0", Routes: three},
		"2 routes":                     {Name: "n1", Addr: "127.0.0.1:0", Routes: three[:2]},
		"leaves this machine":          {Name: "n1", Addr: "0.0.0.0:0", Routes: three},
		"route: \"10.0.0.1:1\" leaves": {Name: "n1", Addr: "127.0.0.1:0", Routes: []string{"127.0.0.1:1", "127.0.0.1:2", "10.0.0.1:1"}},
		"want host:port":               {Name: "n1", Addr: "127.0.0.1:0", Routes: []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:0"}},
		"in use: stop the program that listens there, or choose another address with --here": {Name: "n1", Addr: at, Routes: three},
	} {
		dir := t.TempDir()
		if _, err := natsd.Provision(dir, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := tryStart(t, natsd.Config{Dir: dir, Addr: "127.0.0.1:0", Member: &m, MemberSetting: "--here", NoSync: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	m := natsd.Member{Name: "n1", Addr: "127.0.0.1:0", Routes: three}
	if _, err := tryStart(t, natsd.Config{Dir: keys, Member: &m}); err == nil || !strings.Contains(err.Error(), "address for clients") {
		t.Errorf("a member without clients: %v", err)
	}
	if _, err := tryStart(t, natsd.Config{Addr: "127.0.0.1:0", Member: &m}); err == nil || !strings.Contains(err.Error(), "trust") {
		t.Errorf("a member without keys: %v", err)
	}
}

func TestStreamsAreNotLeftBehindByAnotherKindOfServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	alone, err := tryStart(t, natsd.Config{Dir: dir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(connect(t, alone, natsd.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); err != nil {
		t.Fatal(err)
	}
	stop(t, alone)
	m := natsd.Member{Name: "n1", Addr: "127.0.0.1:0", Routes: []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}}
	if _, err := tryStart(t, natsd.Config{Dir: dir, NoSync: true, Addr: "127.0.0.1:0", Member: &m}); err == nil || !strings.Contains(err.Error(), "server alone") {
		t.Errorf("a member where one was alone: %v", err)
	}
	other := t.TempDir()
	if _, err := natsd.Provision(other, nil); err != nil {
		t.Fatal(err)
	}
	member, err := tryStart(t, natsd.Config{Dir: other, NoSync: true, Addr: "127.0.0.1:0", Member: &m})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, member)
	if _, err := tryStart(t, natsd.Config{Dir: other, NoSync: true}); err == nil || !strings.Contains(err.Error(), "(n1)") {
		t.Errorf("one alone where a member was: %v", err)
	}
}
