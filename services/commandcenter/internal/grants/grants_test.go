package grants_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/grants"
)

func TestAGrantIsWrittenDownAndItsCredentialsAreGivenOutOnce(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{"knowledge"}, bustest.OverTCP())
	down := false
	b := grants.Book{Dir: e.Dir(), Taker: "ingestion", Now: time.Now, Connect: func(user string) (*nats.Conn, error) {
		if down {
			return nil, nats.ErrNoServers
		}
		return nats.Connect(e.Server.ClientURL(), nats.UserCredentials(e.Server.Trust.CredsFile(user)))
	}}
	a, err := bus.ParseAccess("billing", 1, "billing", []string{"invoice.paid.v1"}, []string{"knowledge.document.indexed.v1"})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "billing.creds")
	r, written, err := b.Grant(t.Context(), a, out, false, time.Time{})
	if err != nil || !written || r.Consumer != "grant-billing" || r.State(time.Now()) != "active" {
		t.Fatalf("%+v %t %v", r, written, err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("credentials: %v %v", info, err)
	}
	nc, err := nats.Connect(e.Server.ClientURL(), nats.UserCredentials(out), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	own := func() error {
		_, err := e.Bus("gateway").JetStream().Stream(t.Context(), bus.ExternalStream(1, "billing"))
		return err
	}
	if err := own(); err != nil {
		t.Errorf("a stream of its own: %v", err)
	}
	closed := nc.StatusChanged(nats.CLOSED)
	if _, written, err = b.Grant(t.Context(), a, out, false, time.Time{}); err != nil || written {
		t.Errorf("again: %t %v", written, err)
	}
	// New ones take the place of the earlier ones and of no other file; where they
	// cannot be written, the earlier ones hold.
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{other, t.TempDir(), filepath.Join(t.TempDir(), "none", "x.creds")} {
		if _, _, err = b.Grant(t.Context(), a, path, true, time.Time{}); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("at %s: %v", path, err)
		}
	}
	if data, err := os.ReadFile(other); err != nil || string(data) != "other" {
		t.Errorf("another file: %q %v", data, err)
	}
	fresh := a
	fresh.Name, fresh.Team = "sales", "sales"
	if _, _, err = b.Grant(t.Context(), fresh, out, false, time.Time{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a new grant over the credentials of another: %v", err)
	}
	if !nc.IsConnected() {
		t.Error("the credentials were refused by what changed nothing")
	}
	if _, written, err = b.Grant(t.Context(), a, out, true, time.Time{}); err != nil || !written {
		t.Fatalf("renewed: %t %v", written, err)
	}
	bustest.Await(e, closed)
	if nc, err = nats.Connect(e.Server.ClientURL(), nats.UserCredentials(out), nats.NoReconnect()); err != nil {
		t.Fatalf("with the new ones: %v", err)
	}
	defer nc.Close()
	closed = nc.StatusChanged(nats.CLOSED)
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".creds-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	a.Team = "sales"
	if _, _, err = b.Grant(t.Context(), a, out, false, time.Time{}); err == nil {
		t.Error("a grant went over to another team")
	}
	down = true
	if _, err := b.Revoke(t.Context(), "billing"); !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("while nobody can be told: %v", err)
	}
	if _, _, err := b.Grant(t.Context(), a, filepath.Join(t.TempDir(), "sales.creds"), false, time.Time{}); !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("the name again, while the old credentials still work: %v", err)
	}
	down = false
	if r, err := b.Revoke(t.Context(), "billing"); err != nil || r.State(time.Now()) != "revoked" {
		t.Errorf("told later: %+v %v", r, err)
	}
	bustest.Await(e, closed)
	if err := own(); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("its stream, which was empty: %v", err)
	}
	if _, _, err := b.Grant(t.Context(), a, out, false, time.Time{}); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "--renew") {
		t.Errorf("granted anew over what was revoked: %v", err)
	}
	if err := b.Remind(t.Context()); err != nil {
		t.Error(err)
	}
	down = true
	if err := b.Remind(t.Context()); !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("reminding nobody: %v", err)
	}
	if all, err := b.List(); err != nil || len(all) != 1 || all[0].RevokedAt == nil || all[0].Told == nil || all[0].Shown().Told != nil {
		t.Errorf("%+v %v", all, err)
	}
	if _, err := b.Revoke(t.Context(), "nobody"); !errors.Is(err, grants.ErrNone) {
		t.Errorf("nobody: %v", err)
	}
}
