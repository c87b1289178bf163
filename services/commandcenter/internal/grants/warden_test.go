package grants_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/grants"
)

// TestGrantsOfProjectsThatWentUnheardAreRevokedAtTheStart: project 2 was deleted, and
// project 3 is being deleted, while nobody watched.
func TestGrantsOfProjectsThatWentUnheardAreRevokedAtTheStart(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{"auth"}, bustest.OverTCP())
	connect := func(user string) (*nats.Conn, error) {
		return nats.Connect(e.Server.ClientURL(), nats.UserCredentials(e.Server.Trust.CredsFile(user)))
	}
	b := grants.Book{Dir: e.Dir(), Taker: "ingestion", Now: time.Now, Connect: connect}
	ends := map[string]<-chan nats.Status{}
	for name, p := range map[string]tenant.Project{"stays": 1, "went": 2, "goes": 3} {
		a, err := bus.ParseAccess(name, p, name, []string{"invoice.paid.v1"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		creds := filepath.Join(t.TempDir(), name+".creds")
		if _, _, err := b.Grant(t.Context(), a, creds, false, time.Time{}); err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect(e.Server.ClientURL(), nats.UserCredentials(creds), nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		ends[name] = nc.StatusChanged(nats.CLOSED)
	}
	admin := e.Connect(e.Config(natsd.UserAdmin))
	if err := grants.Check(t.Context(), admin, 1); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("while auth is away: %v", err)
	}
	auth := bus.NewServer(e.Bus("auth"), bus.ServerConfig{})
	bus.OnReplay(auth, func(_ context.Context, q bus.ReplayQuery, tell bus.Telling) error {
		if q.Project == 0 || q.Project == 1 {
			if err := tell(&authv1.ProjectCreated{ProjectId: 1, Version: 1, Name: "One"}, time.Now()); err != nil {
				return err
			}
		}
		if q.Project == 0 || q.Project == 3 {
			return errors.Join(tell(&authv1.ProjectCreated{ProjectId: 3, Version: 1, Name: "Three"}, time.Now()), tell(&authv1.ProjectDeleting{ProjectId: 3, Version: 2}, time.Now()))
		}
		return nil
	})
	e.Run(auth)
	if err := grants.Check(t.Context(), admin, 1); err != nil {
		t.Errorf("a project that is there: %v", err)
	}
	for _, p := range []tenant.Project{2, 3} {
		if err := grants.Check(t.Context(), admin, p); !errors.Is(err, grants.ErrNoProject) || !strings.HasSuffix(err.Error(), "there are 1 (One)") {
			t.Errorf("project %d: %v", p, err)
		}
	}
	e.Run(&grants.Warden{Book: b, Log: obs.Discard(), Connect: func(ctx context.Context) (*bus.Bus, error) { return bus.Connect(ctx, e.Config(natsd.UserAdmin)) }})
	bustest.Await(e, ends["went"])
	bustest.Await(e, ends["goes"])
	e.Say(&authv1.ProjectDeleting{ProjectId: 1, Version: 2})
	bustest.Await(e, ends["stays"])
}
