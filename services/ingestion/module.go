package ingestion

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/secret"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/feed"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/folder"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/hackernews"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/inbox"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/postgres"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/serve"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/site"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// Name is the name of the service, of its schema and of its bus user.
const Name = "ingestion"

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the schema of the service.
var Migrations = pg.Schema{Name: Name, FS: files, Dir: "migrations"}

// Portable is what becomes of the service's tables when a project is exported.
var Portable = portable.Plan{
	Schema: Migrations, Restored: []string{"schemas", "sources"},
	LeftOut: map[string]string{
		"runs":      "what sources were asked is of the instance that asked",
		"documents": "what was fetched is kept by knowledge; a source that is enabled again finds out what is new",
		"sightings": "belong to the documents",
	},
	Queries: map[string]string{"sources": "SELECT " + postgres.ExportedSource + " FROM sources"},
	Columns: map[string][]string{
		"schemas": {"id", "team", "noun", "fact", "version", "document", "registered_by", "created_at"},
		"sources": postgres.SourceColumns(),
	},
	Values: map[string]func(row []byte) error{"schemas": serve.CheckSchema, "sources": serve.CheckSource},
}

// Deps is what the service is built from. DB, Bus, Log and Secrets are needed.
type Deps struct {
	DB         *pg.DB
	Bus        *bus.Bus
	Log        *slog.Logger
	Secrets    *secret.Ring          // seals credentials of sources
	Allow      []netip.Prefix        // networks that sources may be in though they are not public
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
	if d.DB == nil || d.Bus == nil || d.Log == nil || d.Secrets == nil {
		return nil, errors.New("ingestion: DB, Bus, Log and Secrets are needed")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	now := func() time.Time { return d.Now().UTC().Truncate(time.Microsecond) } // as the database keeps it
	log := d.Log.With("service", Name)
	store := postgres.New(d.DB)
	book := &schema.Book{Keeper: store, Now: d.Now}
	checks := []app.Check{{Name: "ingestion.database", Check: d.DB.Ping}}
	server := bus.NewServer(d.Bus, bus.ServerConfig{Service: Name, Version: d.Version, DB: d.DB, Workers: c.Workers, Checks: checks})
	client := egress.New(egress.Config{
		Policy: egress.Policy{Allow: d.Allow}, UserAgent: "CommandCenter/" + cmp.Or(d.Version, "dev") + " (feed reader)", Whole: c.Fetch, MaxBytes: c.MaxPage, Pause: c.Pause,
	})
	feeds := &feed.Reader{Client: client, Now: now}
	folders := folder.Reader{Roots: c.Roots}
	kept := postgres.NewSources(d.DB)
	sources := source.Book{Keeper: kept, Kinds: source.Kinds{source.Feed: feeds.Fetch, source.Site: (&site.Crawler{Client: client, Now: now}).Fetch, source.Folder: folders.Fetch,
		source.HackerNews: (&hackernews.Reader{Client: client, API: c.HackerNews, Now: now}).Fetch,
	}, Safe: safe{d.Secrets}, Now: now}
	sources.Check = map[source.Kind]func(source.Draft) error{source.Folder: func(x source.Draft) error {
		_, _, err := folders.Root(x.Path)
		return err
	}}
	runner := &source.Runner{Book: sources, Saving: postgres.Saving{Sources: kept, Objects: d.Bus, Now: now}, Chance: rand.Float64}
	work := jobs.New(d.DB, d.Bus, jobs.Config{Workers: c.Jobs + 1, Window: 2 * c.Jobs, Log: log, Registerer: d.Registerer})
	work.Serve(server)
	fetch, err := fetching(runner, log, d.Registerer)
	if err != nil {
		return nil, fmt.Errorf("ingestion: %w", err)
	}
	work.Handle(postgres.FetchJob, fetch)
	(&serve.Handlers{Book: book, Dead: d.Bus, Sources: sources, Runner: runner, Discovering: discovering{feeds}, Now: now}).Register(server)
	if err := portable.Serve(server, portable.Exporter{DB: d.DB, Plan: Portable}, serve.Import(book, sources)); err != nil {
		return nil, err
	}
	heard, err := (&inbox.Handlers{Read: book.Read, Say: store.Say, Purge: store.Purge, Registerer: d.Registerer}).Subscriptions(d.Bus, d.DB, Name)
	if err != nil {
		return nil, fmt.Errorf("ingestion: %w", err)
	}
	return &app.Module{
		Name: Name,
		Parts: append(append([]app.Part{server}, heard...), outbox.NewRelay(d.DB, d.Bus, log, outbox.Metrics(d.Registerer)), work,
			&clock{every: c.Poll, due: kept.Due, now: now, log: log},
			&folder.Watcher{Reader: folders, Places: kept.Folders, Look: c.Poll, Log: log, Changed: func(ctx context.Context, x folder.Place) error {
				return kept.Changed(ctx, x.Project, x.Source, now())
			}}),
		Checks:     checks,
		Operations: serve.Operations(),
	}, nil
}
