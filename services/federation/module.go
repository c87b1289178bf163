package federation

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/services/federation/internal/inbox"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
	"github.com/commandcenter/commandcenter/services/federation/internal/postgres"
	"github.com/commandcenter/commandcenter/services/federation/internal/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Name is the name of the service, of its schema and of its bus user.
const Name = "federation"

// Migrations make the schema of the service.
var Migrations = pg.Schema{Name: Name, FS: migrations, Dir: "migrations"}

// Deps is what the service is given.
type Deps struct {
	DB         *pg.DB
	Bus        *bus.Bus
	Hub        *bus.Hub // account HUB, where instances hear each other
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Degraded reports whether this instance works with less than usual, for
	// its heartbeat; nil means never.
	Degraded func(ctx context.Context) bool
	Now      func() time.Time // time.Now when nil
}

// New wires the service.
func New(d Deps, c Config) (*app.Module, error) {
	if d.DB == nil || d.Bus == nil || d.Hub == nil || d.Log == nil {
		return nil, errors.New("federation: DB, Bus, Hub and Log are needed")
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Degraded == nil {
		d.Degraded = func(context.Context) bool { return false }
	}
	log := d.Log.With("service", Name)
	catalog := instance.NewCatalog(postgres.NewInstances(d.DB), c.Slug, d.Now)
	presence, err := inbox.NewPresence(catalog, d.Registerer, d.Now)
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	checks := []app.Check{
		{Name: "database", Check: d.DB.Ping},
		{Name: "hub", Check: func(ctx context.Context) error {
			if d.Hub.Ready(ctx) != nil {
				return app.Degraded("heartbeats can be neither sent nor heard at the moment; the catalog shows what was last known")
			}
			return nil
		}},
	}
	server := bus.NewServer(d.Bus, bus.ServerConfig{Service: Name, Version: c.Version, Checks: checks})
	serve.Register(server, catalog)
	return &app.Module{
		Name: Name,
		Parts: []app.Part{
			outbox.NewRelay(d.DB, d.Bus, log, outbox.Metrics(d.Registerer)),
			d.Hub.Presences(presence.Hear),
			&instance.Beat{
				Slug: c.Slug, HubURL: c.HubURL, Version: c.Version, Interval: c.Interval, Degraded: d.Degraded, Now: d.Now, Log: log,
				Announce: func(ctx context.Context, slug string, data []byte) error { return d.Hub.Announce(ctx, slug, nil, data) },
			},
			&instance.Sweeper{Catalog: catalog, Every: c.Sweep, Log: log},
			server,
		},
		Checks:     checks,
		Operations: server.Operations(),
	}, nil
}
