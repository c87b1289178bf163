package bustest

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Edge is the service whose tokens may name a person. Every [Env] has it.
const Edge = "gateway"

// Patience is how long the helpers wait for what must happen.
const Patience = 20 * time.Second

// Env is a bus of one test. It ends with the test.
type Env struct {
	Server   *natsd.Server
	Registry *prometheus.Registry // of all its buses

	t     testing.TB
	conf  natsd.Config
	tcp   bool
	specs bus.Specs
	on    bus.Announcing // in account HUB
	log   *slog.Logger
	mu    sync.Mutex
	buses map[string]*bus.Bus
}

// Option changes what [Start] makes.
type Option func(*options)

type options struct {
	contracts map[string]bus.Contract
	log       io.Writer
	disk, tcp bool
	hub       []string
	on        bus.Announcing
}

// WithContract gives the service the permissions of its contract and no more.
func WithContract(service string, c bus.Contract) Option {
	return func(o *options) { o.contracts[service] = c }
}

// WithLog writes the log of the server and of every bus to w.
func WithLog(w io.Writer) Option { return func(o *options) { o.log = w } }

// OnDisk keeps the streams in files, with fsync, as in production.
func OnDisk() Option { return func(o *options) { o.disk = true } }

// OverTCP connects through a port and keeps the streams in files, so that
// [Env.Restart] can be called.
func OverTCP() Option { return func(o *options) { o.tcp, o.disk = true, true } }

// WithHub makes a user of account HUB for each service.
func WithHub(on bus.Announcing, services ...string) Option {
	return func(o *options) { o.on, o.hub = on, services }
}

// New starts a bus for the services, which may do everything, with every
// stream in memory. The edge is always among them.
func New(t testing.TB, services ...string) *Env {
	t.Helper()
	return Start(t, services)
}

// Start is [New] with options.
func Start(t testing.TB, services []string, opts ...Option) *Env {
	t.Helper()
	o := options{contracts: map[string]bus.Contract{}}
	for _, opt := range opts {
		opt(&o)
	}
	if !slices.Contains(services, Edge) {
		services = append(slices.Clone(services), Edge)
	}
	// Whoever consumes a fact of the catalogue has a durable, whether the test
	// runs it or not.
	e := &Env{
		t: t, tcp: o.tcp, buses: map[string]*bus.Bus{}, Registry: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler),
		on: o.on, specs: bus.Specs{Services: services, Events: events.Catalogue(), Memory: !o.disk},
	}
	if o.log != nil {
		e.log = slog.New(slog.NewTextHandler(o.log, nil))
	}
	users := make([]natsd.UserSpec, 0, len(services)+len(o.hub))
	for _, s := range services {
		u := natsd.UserSpec{Name: s, Pub: []string{">"}, Sub: []string{">"}}
		if c, ok := o.contracts[s]; ok {
			u = bus.PermissionsFor(s, c)
		}
		users = append(users, u)
	}
	for _, d := range events.Catalogue() { // whoever says a fact, so that the test can say it
		if d.Service != events.Any && !slices.ContainsFunc(users, func(u natsd.UserSpec) bool { return u.Name == d.Service }) {
			users = append(users, bus.PermissionsFor(d.Service, bus.Contract{Publishes: events.SaidBy(d.Service)}))
		}
	}
	for _, s := range o.hub {
		users = append(users, bus.HubPermissions(s, o.on))
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var err error
	e.conf = natsd.Config{Dir: t.TempDir(), Users: users, Log: e.log, NoSync: !o.disk, MaxMemory: 1 << 30}
	if o.tcp {
		e.conf.Addr = "127.0.0.1:0"
	}
	e.Server, err = natsd.Start(ctx, e.conf)
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := e.Server.Stop(ctx); err != nil {
			t.Errorf("bustest: %v", err)
		}
	})
	e.provision(ctx, o.hub)
	return e
}

// Restart stops the server and starts it again with its files, on its port.
// Connections come back by themselves.
func (e *Env) Restart() {
	e.t.Helper()
	if !e.tcp {
		e.t.Fatal("bustest: a restart needs OverTCP")
	}
	e.conf.Addr = "127.0.0.1:" + itoa(int64(e.Server.Port()))
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := e.Server.Stop(ctx); err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
	var err error
	if e.Server, err = natsd.Start(ctx, e.conf); err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
}

// reach says how clients get to the server.
func (e *Env) reach(c bus.Config) bus.Config {
	if e.tcp {
		c.URL = e.Server.ClientURL()
	} else {
		c.InProcess = e.Server.InProcess()
	}
	return c
}

func (e *Env) provision(ctx context.Context, hub []string) {
	e.t.Helper()
	admin := e.Conn(natsd.UserAdmin)
	defer admin.Close()
	if err := bus.Provision(ctx, admin, e.specs); err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
	if len(hub) == 0 {
		return
	}
	hubAdmin := e.Conn(natsd.UserHubAdmin)
	defer hubAdmin.Close()
	if err := bus.ProvisionHub(ctx, hubAdmin, e.on, 1, hub...); err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
}

// Taker is the service that takes what teams say.
const Taker = "ingestion"

// Team lets a team say facts in the project, as a grant does.
func (e *Env) Team(p tenant.Project, team string) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	admin := e.Conn(natsd.UserAdmin)
	defer admin.Close()
	if err := bus.ProvisionExternal(ctx, admin, Taker, p, team); err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
}

// Conn is a bare connection of a user, for looking at the bus from outside.
// Whoever wants it gone before the test ends closes it.
func (e *Env) Conn(user string) *nats.Conn {
	e.t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(e.Server.InProcess()), nats.UserCredentials(e.Server.Trust.CredsFile(user)),
		nats.Name(user), nats.CustomInboxPrefix("_INBOX_"+user))
	if err != nil {
		e.t.Fatalf("bustest: connect as %s: %v", user, err)
	}
	e.t.Cleanup(nc.Close)
	return nc
}

// Config is what a bus of the service connects with.
func (e *Env) Config(service string) bus.Config {
	e.t.Helper()
	seed, err := e.Server.Trust.SigningSeed(service)
	if err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
	return e.reach(bus.Config{
		CredsFile: e.Server.Trust.CredsFile(service), Service: service, Log: e.log, Registerer: e.Registry,
		Issuers: e.Server.Trust.Issuers(), Edges: []string{Edge}, SigningSeed: seed,
	})
}

// HubConfig is what a hub connection of the service connects with.
func (e *Env) HubConfig(service string) bus.Config {
	return e.reach(bus.Config{
		CredsFile: e.Server.Trust.CredsFile(bus.HubUser(service)), Service: service, Announcing: e.on, Log: e.log, Registerer: e.Registry,
	})
}

// Bus is the service's connection, the same at every call; it is closed after
// everything that the test cleans up later than this first call.
func (e *Env) Bus(service string) *bus.Bus {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if b := e.buses[service]; b != nil {
		return b
	}
	b := e.Connect(e.Config(service))
	e.buses[service] = b
	return b
}

// Connect is a connection of its own, as of another replica.
func (e *Env) Connect(c bus.Config) *bus.Bus {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	b, err := bus.Connect(ctx, c)
	if err != nil {
		e.t.Fatalf("bustest: %v", err)
	}
	e.t.Cleanup(b.Close)
	return b
}

// Part is what [Env.Run] runs.
type Part interface {
	Name() string
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Run starts the parts in order and stops them in reverse when the test ends.
func (e *Env) Run(parts ...Part) {
	e.t.Helper()
	for _, p := range parts {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		err := p.Start(ctx)
		cancel()
		if err != nil {
			e.t.Fatalf("bustest: start %s: %v", p.Name(), err)
		}
		e.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), Patience)
			defer cancel()
			if err := p.Stop(ctx); err != nil {
				e.t.Errorf("bustest: stop %s: %v", p.Name(), err)
			}
		})
	}
}

// Person is the identity of a user with the role in the project, as the edge
// would pass it on.
func Person(userID int64, p tenant.Project, role tenant.Role) tenant.Identity {
	return tenant.Identity{Project: p, Principal: "user:" + itoa(userID), UserID: userID, Email: "user" + itoa(userID) + "@example.org", Role: role}
}

// Dir is the data directory of the server.
func (e *Env) Dir() string { return e.conf.Dir }
