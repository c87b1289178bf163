package federation

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/services/federation/internal/inbox"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
	"github.com/commandcenter/commandcenter/services/federation/internal/mesh"
	"github.com/commandcenter/commandcenter/services/federation/internal/postgres"
	"github.com/commandcenter/commandcenter/services/federation/internal/serve"
	"github.com/commandcenter/commandcenter/services/federation/internal/share"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Name is the name of the service, of its schema and of its bus user.
const Name = "federation"

// Migrations make the schema of the service.
var Migrations = pg.Schema{Name: Name, FS: migrations, Dir: "migrations"}

// Portable is what becomes of the service's tables when a project is exported.
var Portable = portable.Plan{
	Schema: Migrations, Restored: []string{"shares"}, Columns: map[string][]string{"shares": {"instance", "name", "created_by", "created_at"}},
	Values: map[string]func(row []byte) error{"shares": serve.CheckShare},
}

// Deps is what the service is given.
type Deps struct {
	DB  *pg.DB
	Bus *bus.Bus
	Hub *bus.Hub // account HUB, where instances hear each other
	// Neighbours are hubs of others, which this instance meets as a client of
	// their NATS servers. Service, Log and Heard are filled in here.
	Neighbours []bus.NeighbourConfig
	// Joined returns an error when a leaf connection to a hub of others is not
	// there; nil where nobody here can know.
	Joined     func(ctx context.Context) error
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Degraded reports whether this instance works with less than usual, for
	// its heartbeat; nil means never.
	Degraded func(ctx context.Context) bool
	// Secret is that of the instance; its keys are derived from it.
	Secret []byte
	Now    func() time.Time // time.Now when nil
}

// Presence is where instances say in account HUB, and on the servers of others,
// that they are there.
var Presence = bus.Announcing{Stream: "PRESENCE", Prefix: "hub.presence."}

// New wires the service.
func New(d Deps, c Config) (*app.Module, error) {
	if d.DB == nil || d.Bus == nil || d.Hub == nil || d.Log == nil || len(d.Secret) == 0 {
		return nil, errors.New("federation: DB, Bus, Hub, Log and Secret are needed")
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	if c.Slug == "" || c.ID == "" {
		return nil, errors.New("federation: who is this instance? Slug and ID are needed")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Degraded == nil {
		d.Degraded = func(context.Context) bool { return false }
	}
	log := d.Log.With("service", Name)
	keys, err := inbox.NewKeys(d.Secret)
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	counts, err := newMetrics(d.Registerer)
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	met := make(chan struct{}, 1)
	self := instance.Self{Slug: c.Slug, ID: c.ID, Key: keys.Public()}
	catalog := instance.NewCatalog(postgres.NewInstances(d.DB), self, instance.Rules{Forget: c.Forget, Unknown: instance.Policy(c.Unknown), Met: func() { nudge(met) }}, d.Now)
	var listed []instance.Registration
	if c.Catalog != "" {
		if listed, err = readCatalog(c.Catalog); err != nil {
			return nil, fmt.Errorf("federation: %w", err)
		}
	}
	collision := &instance.Collision{}
	presence, err := inbox.NewPresence(inbox.Config{Catalog: catalog, Collision: collision, Registerer: d.Registerer, Log: log, Now: d.Now})
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	heard, neighbours, err := presence.Subscriptions(d.Hub, meet(d))
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	checks := checks(d, c, neighbours, catalog, collision)
	server := bus.NewServer(d.Bus, bus.ServerConfig{Service: Name, Version: c.Version, DB: d.DB, Checks: checks})
	shares := postgres.NewShares(d.DB)
	asker := &mesh.Asker{Catalog: catalog, Local: local(d.Bus), Now: d.Now}
	if c.Search {
		m, err := inbox.NewMesh(inbox.MeshConfig{
			Slug: c.Slug, Keys: keys, Conn: d.Hub.Conn(), Registerer: d.Registerer, Log: log, Now: d.Now,
			Answerer: &mesh.Answerer{Catalog: catalog, Shares: shares, Local: local(d.Bus), Now: d.Now},
		})
		if err != nil {
			return nil, fmt.Errorf("federation: %w", err)
		}
		asker.Ask = m.Ask
		heard = append(heard, m)
	}
	facts := bus.NewInbox(d.Bus, bus.InboxConfig{Service: Name, DB: d.DB})
	inbox.Facts{Purge: shares.Purge}.Register(facts)
	heard = append(heard, facts)
	sharer := share.Service{Shares: shares, Peers: peers{catalog}}
	(&serve.Handlers{Catalog: catalog, Registrar: catalog, Sharer: sharer, Searcher: asker}).Register(server)
	if err := portable.Serve(server, portable.Exporter{DB: d.DB, Plan: Portable}, serve.Import(sharer)); err != nil {
		return nil, err
	}
	parts := append([]app.Part{outbox.NewRelay(d.DB, d.Bus, log, outbox.Metrics(d.Registerer)), filed{catalog, listed}}, heard...)
	beat := &instance.Beat{
		Always: instance.Heartbeat{
			Slug: c.Slug, ID: c.ID, HubURL: c.HubURL, Namespace: "hub." + c.Slug, Version: c.Version, Contract: c.Contract,
			Capabilities: capabilities(c), SealKey: keys.SealsPublic(),
		},
		Key: keys, Interval: c.Interval, Nudged: met, Degraded: d.Degraded, Load: newLoad(d.Now), Next: catalog.Next, Sent: catalog.Sent, Told: counts.told,
		Now: d.Now, Log: log,
		Announce: func(ctx context.Context, slug string, data []byte) error {
			for _, n := range neighbours {
				if err := n.Announce(slug, nil, data); err != nil { // our own catalog does not depend on theirs
					log.WarnContext(ctx, "federation.heartbeat", "err", err)
				}
			}
			return d.Hub.AnnounceKept(ctx, slug, nil, data)
		},
	}
	parts = append(parts,
		beat,
		&instance.Sweeper{Catalog: catalog, Every: c.Sweep, Told: counts.swept, Log: log},
		server,
	)
	return &app.Module{Name: Name, Parts: parts, Checks: checks, Operations: server.Operations()}, nil
}

// nudge asks once for what is asked for already.
func nudge(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// capabilities are what others may ask this instance for.
func capabilities(c Config) []string {
	if !c.Search {
		return []string{"presence"}
	}
	return []string{"presence", "search"}
}

// meet fills in what every client of another's hub has in common.
func meet(d Deps) []bus.NeighbourConfig {
	out := slices.Clone(d.Neighbours)
	for i := range out {
		out[i].Service, out[i].Log, out[i].Announcing = Name, d.Log, Presence
	}
	return out
}

// joinAdvice is what to do when a hub of others does not answer.
const joinAdvice = ": check the address in hub.join (CC_HUB_JOIN), the credentials, and that the server runs"

func joined(ctx context.Context, d Deps) error {
	if d.Joined == nil {
		return nil
	}
	return d.Joined(ctx)
}

func checks(d Deps, c Config, neighbours []*bus.Neighbour, catalog *instance.Catalog, collision *instance.Collision) []app.Check {
	out := []app.Check{
		{Name: "database", Check: d.DB.Ping},
		{Name: "hub", Check: func(ctx context.Context) error {
			if d.Hub.Ready(ctx) != nil {
				return app.Degraded("heartbeats can be neither sent nor heard at the moment; the catalog shows what was last known")
			}
			if err := joined(ctx, d); err != nil {
				return app.Degraded(err.Error() + joinAdvice)
			}
			return nil
		}},
		{Name: "slug", Check: func(context.Context) error {
			if collision.Lasts(d.Now()) {
				return app.Degraded(fmt.Sprintf("another instance calls itself %q too, and others cannot tell the two apart: give one of them another name (federation.slug, CC_FEDERATION_SLUG) and restart it; the line federation.collision of the log says who it is", c.Slug))
			}
			return nil
		}},
	}
	out = append(out, app.Check{Name: "catalog", Check: func(ctx context.Context) error {
		err := catalog.Room(ctx)
		if errors.Is(err, instance.ErrFull) {
			return app.Degraded(err.Error() + ", and one that is new is taken in only in the place of one that is offline and does not sign, or when it is registered: find out who sends heartbeats under so many names; those that stay offline are forgotten after the time federation.forget (CC_FEDERATION_FORGET)")
		}
		return err
	}})
	for _, n := range neighbours {
		out = append(out, app.Check{Name: n.Name(), Check: func(ctx context.Context) error {
			if err := n.Ready(ctx); err != nil {
				return app.Degraded(err.Error() + joinAdvice)
			}
			return nil
		}})
	}
	return out
}
