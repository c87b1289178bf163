package stack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgserver"
	events "github.com/commandcenter/commandcenter/proto-events"
	"github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/grants"
	"github.com/commandcenter/commandcenter/services/federation"
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
	if p.env.Config.NATSURL == "" && p.env.Config.Cluster.Name != "" {
		return p.startMember(ctx, began)
	}
	users, err := p.env.users()
	if err != nil {
		return err
	}
	if p.env.Config.NATSURL != "" {
		if p.trust, err = natsd.Provision(p.env.Dir.Path(), users); err != nil {
			return err
		}
	} else {
		c, err := p.config()
		if err != nil {
			return err
		}
		c.Users = users
		if err := p.run(ctx, c); err != nil {
			return err
		}
		if err := p.env.Dir.Publish(datadir.EndpointNATS, p.server.ClientURL()); err != nil {
			return errors.Join(err, p.Stop(ctx))
		}
	}
	// Somebody else's may be starting still, and may be waiting for the trust
	// that was written just now.
	what, within := natsAt(p.env.Config.NATSURL), p.env.Wait
	if p.server != nil {
		what, within = "NATS", 0
	}
	err = p.env.await(ctx, what, within, p.provision)
	var absent *AbsentError
	if errors.As(err, &absent) {
		err = fmt.Errorf("%w: check --nats-url (NATS_URL), or leave it out for an embedded server", err)
	}
	if err != nil {
		return errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	p.env.notice("NATS", p.where(), began)
	p.noticeHub(began)
	return nil
}

// config is that of the embedded server.
func (p *natsPart) config() (natsd.Config, error) {
	c := natsd.Config{
		Dir: p.env.Dir.Path(), Addr: p.env.Config.NATS, Log: p.env.Log.With("service", RoleNATS),
		AddrSetting: "--nats or CC_NATS", LeafSetting: "--hub-listen or CC_HUB_LISTEN", MemberSetting: "CC_CLUSTER_LISTEN",
	}
	return c, leaf(&c, p.env.Config.Hub)
}

func (p *natsPart) run(ctx context.Context, c natsd.Config) (err error) {
	if p.server, err = natsd.Start(ctx, c); err != nil {
		return err
	}
	p.trust = p.server.Trust
	url := p.server.ClientURL()
	p.env.NATS.Store(&url)
	return nil
}

// users are all users of this instance.
func (e *Env) users() ([]natsd.UserSpec, error) {
	slug, err := e.slug()
	if err != nil {
		return nil, err
	}
	return Users(slug, e.Config)
}

func (p *natsPart) where() string {
	if p.server == nil {
		return strings.Join(natsHosts(natsURL(p.env)), ", ")
	}
	return p.server.ClientURL()
}

// provision makes streams and consumers, which no service may do. Those of the
// account CC come last: who finds them finds the others.
func (p *natsPart) provision(ctx context.Context) error {
	admin, err := p.connect(ctx, natsd.UserAdmin)
	if err != nil {
		return err
	}
	defer admin.Close()
	hub, err := p.connect(ctx, natsd.UserHubAdmin)
	if err != nil {
		return err
	}
	defer hub.Close()
	// Servers of a cluster that has no leader yet say nothing at all.
	if err := answers(ctx, admin); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var names []string
	for _, s := range services() {
		if !s.edge {
			names = append(names, s.name)
		}
	}
	return errors.Join(
		bus.ProvisionHub(ctx, hub, federation.Presence, p.env.Config.Replicas, hubServices()...),
		bus.Provision(ctx, admin, bus.Specs{Services: names, Events: events.Catalogue(), AsyncEvents: true, Replicas: p.env.Config.Replicas}),
		grants.Book{Dir: p.env.Dir.Path(), Taker: Taker(), Now: time.Now}.Settle(ctx, admin),
	)
}

// answers asks who takes streams in hand.
func answers(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("nobody takes streams in hand (a cluster elects a leader first): %w", err)
	}
	return nil
}

func (p *natsPart) connect(ctx context.Context, user string) (*nats.Conn, error) {
	opts := []nats.Option{nats.Name("provision"), nats.UserCredentials(p.trust.CredsFile(user)), nats.Timeout(tryWithin)}
	url := natsURL(p.env)
	if p.server != nil {
		url = ""
		opts = append(opts, nats.InProcessServer(p.server.InProcess()))
	}
	nc, err := nats.Connect(url, opts...)
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return nil, fmt.Errorf("the server lets nobody of this instance in: it must include %s: %w", filepath.Join(p.env.Dir.Keys(), trustFile), err)
	case err != nil && p.server == nil:
		return nil, unreachable(ctx, url, err)
	case err != nil:
		return nil, fmt.Errorf("connect as %s to %s: %w", user, p.where(), err)
	}
	return nc, nil
}

// trustFile is what a NATS server of somebody else has to include.
const trustFile = "nats-trust.conf"

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

// postgresPart is a private PostgreSQL.
type postgresPart struct {
	env    *Env
	server *pgserver.Server
}

func (p *postgresPart) Name() string { return RolePostgres }

func (p *postgresPart) Start(ctx context.Context) error {
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

func (p *postgresPart) Stop(ctx context.Context) error { return p.server.Stop(ctx) }

func (p *postgresPart) Failed() <-chan error { return p.server.Failed() }

// adminDSN is the database as its administrator, "" when nobody runs one.
func adminDSN(e *Env) string {
	if e.Config.DatabaseURL != "" {
		return e.Config.DatabaseURL
	}
	return e.Dir.Endpoint(datadir.EndpointPostgres)
}

// errNoDatabase says that nobody has said where the database is.
var errNoDatabase = errors.New("no database: name the data directory of an instance that runs with --data-dir, give --database-url, or start one with `commandcenter serve postgres`")

// AwaitDatabase waits for the database that somebody else runs, if there is
// one, and returns why it does not let us in.
func AwaitDatabase(ctx context.Context, e *Env) error {
	dsn := e.Config.DatabaseURL
	if dsn == "" {
		return nil
	}
	err := e.await(ctx, databaseAt(dsn), e.Wait, func(ctx context.Context) error { return reachDatabase(ctx, dsn) })
	var absent *AbsentError
	if errors.As(err, &absent) {
		return fmt.Errorf("%w: check --database-url (DATABASE_URL), or leave it out for a private server", err)
	}
	return err
}

// Migrate brings the database to this version.
func Migrate(ctx context.Context, e *Env) error {
	began := time.Now()
	dsn := adminDSN(e)
	if dsn == "" {
		return errNoDatabase
	}
	secrets, err := pg.InstanceSecrets(e.Secret)
	if err != nil {
		return err
	}
	// Made with the rest of the keys, so that they can be handed out together.
	if _, err := e.Ring(); err != nil {
		return err
	}
	if err := pg.Migrate(ctx, dsn, secrets, Schemas()...); err != nil {
		return err
	}
	detail := fmt.Sprintf("%d schemas up to date", len(Schemas()))
	if e.Config.DatabaseURL != "" {
		detail += ", " + databaseAt(e.Config.DatabaseURL)
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
		return nil, errNoDatabase
	}
	dsn, err := pg.ServiceDSN(admin, s.name, secrets)
	if err != nil {
		return nil, err
	}
	db, err := pg.Open(ctx, pg.Config{DSN: dsn, Service: s.name, MaxConns: s.conns})
	var refused *pq.Error
	if errors.As(err, &refused) && refused.Code.Class() == "28" {
		// The role is made by the migrations, with a password that follows from the secret.
		err = fmt.Errorf("%w: run `commandcenter migrate` with the same %s", err, filepath.Join(e.Dir.Keys(), "secret"))
	}
	return db, err
}

// Owner makes sure that the instance has one. made reports that this call made
// the account.
func Owner(ctx context.Context, e *Env) (made bool, err error) {
	// The password is on disk before the account is in the database: a process
	// that dies in between has lost nothing.
	password, _, err := e.Dir.OwnerPassword(auth.NewPassword)
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
