package jobs

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"
	engine "github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/portable"

	"github.com/commandcenter/commandcenter/services/jobs/internal/call"
	"github.com/commandcenter/commandcenter/services/jobs/internal/inbox"
	"github.com/commandcenter/commandcenter/services/jobs/internal/job"
	"github.com/commandcenter/commandcenter/services/jobs/internal/postgres"
	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
	"github.com/commandcenter/commandcenter/services/jobs/internal/serve"
)

// Name is the name of the service, of its schema and of its bus user.
const Name = "jobs"

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the schema of the service.
var Migrations = pg.Schema{Name: Name, FS: files, Dir: "migrations"}

// Portable is what becomes of the service's tables when a project is exported.
var Portable = portable.Plan{
	Schema: Migrations, Restored: []string{"schedules"},
	LeftOut: map[string]string{"firings": "of jobs of this instance"},
	Queries: map[string]string{"schedules": "SELECT " + postgres.Exported + " FROM schedules"},
	Columns: map[string][]string{"schedules": postgres.Columns()},
	Values:  map[string]func(row []byte) error{"schedules": serve.CheckSchedule},
}

// Deps is what the service is built from. DB, Bus and Log are needed.
type Deps struct {
	DB         *pg.DB
	Bus        *bus.Bus
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil keeps no metrics
	Now        func() time.Time      // time.Now when nil
	// Owners are the services that have jobs, by the code that stands in the ids of
	// theirs: 1 to 31, for good.
	Owners map[int]string
	// Allow are the networks beside the public ones that a job of the type call may reach.
	Allow []netip.Prefix
	// Version of the build, as $SRV.PING shows it.
	Version string
}

// New wires the service. Nothing runs before its parts are started.
func New(d Deps, c Config) (*app.Module, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	if d.DB == nil || d.Bus == nil || d.Log == nil {
		return nil, errors.New("jobs: DB, Bus and Log are needed")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	log := d.Log.With("service", Name)
	store := postgres.New(d.DB)
	checks := []app.Check{{Name: "jobs.database", Check: d.DB.Ping}}
	server := bus.NewServer(d.Bus, bus.ServerConfig{Service: Name, Version: d.Version, DB: d.DB, Workers: c.Workers, Checks: checks})
	book := job.Book{Ask: owners{d.Bus}, Now: d.Now, Known: &job.Catalogue{}}
	for code, service := range d.Owners {
		book.Owners = append(book.Owners, job.Owner{Code: code, Service: service})
	}
	slices.SortFunc(book.Owners, func(a, b job.Owner) int { return a.Code - b.Code })
	now := func() time.Time { return d.Now().UTC().Truncate(time.Microsecond) } // as the database keeps it
	schedules := schedule.Book{Keeper: store, Clock: now, Check: func(ctx context.Context, task string, params []byte) error {
		types, err := book.Types(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(types, func(t job.Type) bool { return t.Name == task })
		if i < 0 {
			return errs.InvalidField("enum", "there is no such type of job: see /api/v1/jobs/types", "body", "task_type")
		}
		return engine.Fits(types[i].Input, params, "body", "task_parameters")
	}}
	(&serve.Handlers{Jobs: book, Schedules: schedules, Order: orderFor, Made: store.Noted}).Register(server)
	work := engine.New(d.DB, d.Bus, engine.Config{Workers: c.Jobs, Window: c.Jobs, Log: log, Registerer: d.Registerer})
	work.Serve(server)
	caller := call.Caller{Get: egress.New(egress.Config{Policy: egress.Policy{Allow: d.Allow}}).Get, Now: d.Now}
	if err := engine.Register(work, engine.Type{
		Kind: call.Kind, Title: "Asks for an address with GET, and looks at the status of its answer", Input: call.InputSchema, Output: call.OutputSchema,
	}, func(ctx context.Context, _ *engine.Run, in call.Input) (call.Output, error) {
		return caller.Call(ctx, in)
	}); err != nil {
		return nil, err
	}
	if err := portable.Serve(server, portable.Exporter{DB: d.DB, Plan: Portable}, serve.Import(store, now)); err != nil {
		return nil, err
	}
	heard := (&inbox.Handlers{Purge: store.Purge}).Subscriptions(d.Bus, d.DB, Name)
	return &app.Module{
		Name:       Name,
		Parts:      []app.Part{server, work, heard, &scheduler{store: store, jobs: book, now: now, log: log}, outbox.NewRelay(d.DB, d.Bus, log, outbox.Metrics(d.Registerer))},
		Checks:     checks,
		Operations: serve.Operations(),
	}, nil
}
