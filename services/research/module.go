package research

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

	"github.com/commandcenter/commandcenter/services/research/internal/inbox"
	"github.com/commandcenter/commandcenter/services/research/internal/postgres"
	"github.com/commandcenter/commandcenter/services/research/internal/serve"
	"github.com/commandcenter/commandcenter/services/research/internal/task"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// Name is the name of the service, of its schema and of its bus user.
const Name = "research"

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the schema of the service.
var Migrations = pg.Schema{Name: Name, FS: files, Dir: "migrations"}

// Portable is what becomes of the service's tables when a project is exported.
var Portable = portable.Plan{
	Schema: Migrations, Restored: []string{"technologies", "moves", "tasks", "task_documents"},
	Queries: map[string]string{"technologies": "SELECT " + postgres.Exported + " FROM technologies", "tasks": postgres.ExportedTasks, "task_documents": postgres.ExportedDocuments},
	Columns: map[string][]string{
		"technologies": postgres.Columns(),
		"moves":        {"technology_id", "version", "from_status", "to_status", "from_ring", "to_ring", "moved_by", "moved_at"},
		"tasks":        postgres.TaskColumns(),

		"task_documents": postgres.DocumentColumns(),
	},
	Values:  map[string]func(row []byte) error{"technologies": serve.CheckTechnology, "moves": serve.CheckMove, "tasks": serve.CheckTask, "task_documents": serve.CheckDocument},
	LeftOut: map[string]string{"task_files": "where bytes are in this object store; a document has them with it"},
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
		return nil, fmt.Errorf("research: %w", err)
	}
	if d.DB == nil || d.Bus == nil || d.Log == nil {
		return nil, errors.New("research: DB, Bus and Log are needed")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	now := func() time.Time { return d.Now().UTC().Truncate(time.Microsecond) } // as the database keeps it
	log := d.Log.With("service", Name)
	store, tasks := postgres.New(d.DB), postgres.NewTasks(d.DB)
	checks := []app.Check{{Name: "research.database", Check: d.DB.Ping}}
	server := bus.NewServer(d.Bus, bus.ServerConfig{Service: Name, Version: d.Version, DB: d.DB, Workers: c.Workers, Checks: checks})
	(&serve.Handlers{Book: technology.Book{Keeper: store, Now: now}, Tasks: task.Book{Keeper: tasks, Now: now}, Count: store.Count, Now: now, Open: d.Bus.GetObject}).Register(server)
	if err := portable.Serve(server, portable.Exporter{DB: d.DB, Plan: Portable, Refers: postgres.Refers}, serve.Import(store, tasks, now)); err != nil {
		return nil, err
	}
	heard := (&inbox.Handlers{Purge: store.Purge}).Subscriptions(d.Bus, d.DB, Name)
	return &app.Module{
		Name:       Name,
		Parts:      []app.Part{server, heard, &sweeper{after: c.Orphans, bus: d.Bus, referred: tasks.Referred, now: now, log: log}, outbox.NewRelay(d.DB, d.Bus, log, outbox.Metrics(d.Registerer))},
		Checks:     checks,
		Operations: serve.Operations(),
	}, nil
}
