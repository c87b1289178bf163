package stack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgserver"
	events "github.com/commandcenter/commandcenter/proto-events"
	"github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
)

// natsPart is NATS: embedded, or somebody else's; with the users and streams
// of this instance.
type natsPart struct {
	env    *Env
	server *natsd.Server // nil when it is somebody else's
	trust  *natsd.Trust
}

func (p *natsPart) Name() string { return RoleNATS }

func (p *natsPart) Start(ctx context.Context) error {
	began := time.Now()
	users, err := Users()
	if err != nil {
		return err
	}
	if p.env.Config.NATSURL != "" {
		if p.trust, err = natsd.Provision(p.env.Dir.Path(), users); err != nil {
			return err
		}
	} else {
		p.server, err = natsd.Start(ctx, natsd.Config{Dir: p.env.Dir.Path(), Addr: p.env.Config.NATS, Users: users, Log: p.env.Log.With("service", RoleNATS)})
		if err != nil {
			return err
		}
		p.trust = p.server.Trust
		if err := p.env.Dir.Publish(datadir.EndpointNATS, p.server.ClientURL()); err != nil {
			return errors.Join(err, p.Stop(ctx))
		}
	}
	// Somebody else's may be starting still, and may be waiting for the trust
	// that was written just now.
	within := time.Duration(0)
	if p.server == nil {
		within = patience
	}
	if err := retry(ctx, p.env, "nats", within, p.provision); err != nil {
		return errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	p.env.notice("NATS", p.where(), began)
	return nil
}

func (p *natsPart) where() string {
	if p.server == nil {
		return obs.RedactText(p.env.Config.NATSURL)
	}
	return p.server.ClientURL()
}

// provision makes streams and consumers, which no service may do.
func (p *natsPart) provision(ctx context.Context) error {
	var admin *nats.Conn
	connect := func(context.Context) (err error) {
		admin, err = p.connect(natsd.UserAdmin)
		return err
	}
	// Somebody else's server may start beside us, or wait for the trust that was
	// just written.
	if err := retry(ctx, p.env, RoleNATS, patience, connect); err != nil {
		return err
	}
	defer admin.Close()
	hub, err := p.connect(natsd.UserHubAdmin)
	if err != nil {
		return err
	}
	defer hub.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var names []string
	for _, s := range services() {
		if !s.edge {
			names = append(names, s.name)
		}
	}
	return errors.Join(
		bus.Provision(ctx, admin, bus.Specs{Services: names, Events: events.Catalogue(), AsyncEvents: true, Replicas: p.env.Config.Replicas}),
		bus.ProvisionHub(ctx, hub, hubServices()...),
	)
}

func (p *natsPart) connect(user string) (*nats.Conn, error) {
	opts := []nats.Option{nats.Name("provision"), nats.UserCredentials(p.trust.CredsFile(user)), nats.Timeout(10 * time.Second)}
	url := p.env.Config.NATSURL
	if p.server != nil {
		url = ""
		opts = append(opts, nats.InProcessServer(p.server.InProcess()))
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect as %s to %s: %w", user, p.where(), err)
	}
	return nc, nil
}

func (p *natsPart) Stop(ctx context.Context) error {
	if p.server == nil {
		return nil
	}
	return p.server.Stop(ctx)
}

func (p *natsPart) Failed() <-chan error {
	if p.server == nil {
		return nil
	}
	return p.server.Failed()
}

// bus is how a service connects.
func (p *natsPart) bus(e *Env, service string) (bus.Config, error) {
	seed, err := p.trust.SigningSeed(service)
	if err != nil {
		return bus.Config{}, err
	}
	c := bus.Config{
		Service: service, CredsFile: p.trust.CredsFile(service), SigningSeed: seed, Issuers: p.trust.Issuers(),
		Log: e.Log, Registerer: e.Registry, URL: natsURL(e),
	}
	if p.server != nil {
		c.InProcess = p.server.InProcess()
	}
	return c, nil
}

// natsURL is where NATS is for a process that does not run it.
func natsURL(e *Env) string {
	if e.Config.NATSURL != "" {
		return e.Config.NATSURL
	}
	if url := e.Dir.Endpoint(datadir.EndpointNATS); url != "" {
		return url
	}
	return "nats://" + e.Config.NATS
}

// postgresPart is PostgreSQL: private, or somebody else's.
type postgresPart struct {
	env    *Env
	server *pgserver.Server // nil when it is somebody else's
}

func (p *postgresPart) Name() string { return RolePostgres }

func (p *postgresPart) Start(ctx context.Context) error {
	if p.env.Config.DatabaseURL != "" {
		return nil
	}
	began := time.Now()
	var err error
	p.server, err = pgserver.Start(ctx, pgserver.Config{DataDir: p.env.Dir.Postgres(), Log: p.env.Log.With("service", RolePostgres)})
	if err != nil {
		return err
	}
	if err := p.env.Dir.Publish(datadir.EndpointPostgres, p.server.AdminDSN()); err != nil {
		return errors.Join(err, p.Stop(ctx))
	}
	p.env.notice("PostgreSQL", fmt.Sprintf("version %d, private, %s", p.server.Version(), p.server.Dir()), began)
	return nil
}

func (p *postgresPart) Stop(ctx context.Context) error {
	if p.server == nil {
		return nil
	}
	return p.server.Stop(ctx)
}

func (p *postgresPart) Failed() <-chan error {
	if p.server == nil {
		return nil
	}
	return p.server.Failed()
}

// adminDSN is the database as its administrator, "" when nobody runs one.
func adminDSN(e *Env) string {
	if e.Config.DatabaseURL != "" {
		return e.Config.DatabaseURL
	}
	return e.Dir.Endpoint(datadir.EndpointPostgres)
}

// Migrate brings the database to this version.
func Migrate(ctx context.Context, e *Env) error {
	began := time.Now()
	dsn := adminDSN(e)
	if dsn == "" {
		return errors.New("no database: give --database-url, or start one with `commandcenter serve postgres`")
	}
	secrets, err := pg.InstanceSecrets(e.Secret)
	if err != nil {
		return err
	}
	if err := pg.Migrate(ctx, dsn, secrets, Schemas()...); err != nil {
		return err
	}
	detail := fmt.Sprintf("%d schemas up to date", len(Schemas()))
	if e.Config.DatabaseURL != "" {
		detail += ", " + obs.RedactText(e.Config.DatabaseURL)
	}
	e.notice("Database", detail, began)
	return nil
}

// open connects a service to the database.
func open(ctx context.Context, e *Env, s service) (*pg.DB, error) {
	secrets, err := pg.InstanceSecrets(e.Secret)
	if err != nil {
		return nil, err
	}
	admin := adminDSN(e)
	if admin == "" {
		return nil, errors.New("no database: give --database-url, or start one with `commandcenter serve postgres`")
	}
	dsn, err := pg.ServiceDSN(admin, s.name, secrets)
	if err != nil {
		return nil, err
	}
	return pg.Open(ctx, pg.Config{DSN: dsn, Service: s.name, MaxConns: s.conns})
}

// Owner makes sure that the instance has one. made reports that this call made
// the account.
func Owner(ctx context.Context, e *Env) (made bool, err error) {
	// The password is on disk before the account is in the database: a process
	// that dies in between has lost nothing.
	password, _, err := e.Dir.OwnerPassword()
	if err != nil {
		return false, err
	}
	s, err := find(auth.Name)
	if err != nil {
		return false, err
	}
	s.conns = 2
	db, err := open(ctx, e, s)
	if err != nil {
		return false, err
	}
	o, err := auth.Bootstrap(ctx, db, auth.First{Email: datadir.OwnerEmail, Password: password, FullName: "Owner"}, e.Config.Auth)
	return o.Created, errors.Join(err, db.Close())
}

// ProvisionNATS brings users, streams and consumers of a NATS that runs
// elsewhere to this version.
func ProvisionNATS(ctx context.Context, e *Env) error {
	p := &natsPart{env: e}
	return p.Start(ctx)
}
