package natsd_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// stock starts a server that knows nothing of this product but the file that it
// includes, as another process would; or a copy of that, as it is now.
func stock(t *testing.T, dir string, copied bool) *server.Server {
	t.Helper()
	conf, text := filepath.Join(dir, "nats-server.conf"), []byte("include 'keys/nats-trust.conf'")
	if copied {
		conf = filepath.Join(t.TempDir(), "nats-server.conf")
		var err error
		if text, err = os.ReadFile(filepath.Join(dir, "keys", "nats-trust.conf")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(conf, append([]byte("listen: 127.0.0.1:-1\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(waits) {
		t.Fatal("the server does not start")
	}
	return s
}

func TestARevocationReachesAServerOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for name, copied := range map[string]bool{"that reads the file": false, "that has a copy of it": true} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			revokes(t, copied)
		})
	}
}

func revokes(t *testing.T, copied bool) {
	dir := t.TempDir()
	trust, err := natsd.Provision(dir, users)
	if err != nil {
		t.Fatal(err)
	}
	g, err := natsd.Grant(dir, billing, false)
	if err != nil {
		t.Fatal(err)
	}
	creds := filepath.Join(t.TempDir(), "billing.creds")
	if err := os.WriteFile(creds, g.Creds, 0o600); err != nil {
		t.Fatal(err)
	}
	s := stock(t, dir, copied)
	connect := func(file string, opts ...nats.Option) *nats.Conn {
		nc, err := nats.Connect(s.ClientURL(), append(opts, nats.UserCredentials(file))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	closed := make(chan struct{})
	nc := connect(creds, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	admin, sys := connect(trust.CredsFile(natsd.UserAdmin)), connect(trust.CredsFile(natsd.UserSys))
	if got := hears(t, nc, admin, "ext.p2.x", "ext.p1.x"); len(got) != 1 || got[0] != "ext.p1.x" {
		t.Errorf("before: heard inside %v", got)
	}
	if g, err = natsd.Revoke(dir, "billing"); err != nil {
		t.Fatal(err)
	}
	push := func() {
		ctx, cancel := context.WithTimeout(t.Context(), waits)
		defer cancel()
		if err := natsd.Push(ctx, sys, g); err != nil {
			t.Fatal(err)
		}
	}
	push()
	await(t, closed, "the connection of the grant ends")
	out := func(when string) {
		nc, err := nats.Connect(s.ClientURL(), nats.UserCredentials(creds), nats.NoReconnect())
		if err == nil {
			nc.Close()
			t.Error("let in " + when)
		}
	}
	out("after it was told")
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if copied { // the grant is still in the copy: it has to be told again
		push()
	}
	out("after a reload")
	s = stock(t, dir, false)
	out("by one that started later")
	if err := admin.Flush(); err != nil {
		t.Errorf("another account: %v", err)
	}
}
