package ingestion

import (
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
	"github.com/commandcenter/commandcenter/pkg/portable"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/inbox"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/postgres"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/serve"
)

// Name is the name of the service, of its schema and of its bus user.
const Name = "ingestion"

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the schema of the service.
var Migrations = pg.Schema{Name: Name, FS: files, Dir: "migrations"}

// Portable is what becomes of the service's tables when a project is exported.
var Portable = portable.Plan{
	Schema: Migrations, Restored: []string{"schemas"},
	Columns: map[string][]string{"schemas": {"id", "team", "noun", "fact", "version", "document", "registered_by", "created_at"}},
	Values:  map[string]func(row []byte) error{"schemas": serve.CheckSchema},
}

// Deps is what the service is built from. DB, Bus and Log are needed.
type Deps struct {
	DB         *pg.DB
	Bus        *bus.Bus
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil keeps no metrics
	Now        func() time.Time      // time.Now when nil
	// Version of the build, as $SRV.PING shows it.
	Version string
}

// New wires the service. Nothing runs before its parts are started.
func New(d Deps, c Config) (*app.Module, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("ingestion: %w", err)
	}
	if d.DB == nil || d.Bus == nil || d.Log == nil {
		return nil, errors.New("ingestion: DB, Bus and Log are needed")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	log := d.Log.With("service", Name)
	store := postgres.New(d.DB)
	book := &schema.Book{Keeper: store, Now: d.Now}
	checks := []app.Check{{Name: "ingestion.database", Check: d.DB.Ping}}
	server := bus.NewServer(d.Bus, bus.ServerConfig{Service: Name, Version: d.Version, DB: d.DB, Workers: c.Workers, Checks: checks})
	(&serve.Handlers{Book: book, Dead: d.Bus, Now: d.Now}).Register(server)
	if err := portable.Serve(server, portable.Exporter{DB: d.DB, Plan: Portable}, serve.Import(book)); err != nil {
		return nil, err
	}
	heard, err := (&inbox.Handlers{Read: book.Read, Say: store.Say, Purge: store.Purge, Registerer: d.Registerer}).Subscriptions(d.Bus, d.DB, Name)
	if err != nil {
		return nil, fmt.Errorf("ingestion: %w", err)
	}
	return &app.Module{
		Name:       Name,
		Parts:      append(append([]app.Part{server}, heard...), outbox.NewRelay(d.DB, d.Bus, log, outbox.Metrics(d.Registerer))),
		Checks:     checks,
		Operations: serve.Operations(),
	}, nil
}
