package stack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/federation"
	"github.com/commandcenter/commandcenter/services/gateway"
	"github.com/commandcenter/commandcenter/services/ingestion"
	"github.com/commandcenter/commandcenter/services/jobs"
	"github.com/commandcenter/commandcenter/services/knowledge"
)

// built is what a service is built from.
type built struct {
	env *Env
	db  *pg.DB
	bus *bus.Bus
	hub *bus.Hub
	// joined says how the leaf connections of NATS are, nil where nobody can.
	joined func(ctx context.Context) error
}

// servicePart is one service with its connections, which are made at its start
// and closed after its stop.
type servicePart struct {
	env     *Env
	service service
	nats    *natsPart
	built
	module *app.Module
	part   app.Part
	up     atomic.Bool
	watch  *watcher // of NATS servers elsewhere, for a service that looks after the hub
	// wait is how long it waits for database and bus, which other processes may
	// still be starting; 0 when they are here.
	wait time.Duration
}

func newServicePart(e *Env, s service, n *natsPart) *servicePart {
	return &servicePart{env: e, service: s, nats: n}
}

func (p *servicePart) Name() string { return p.service.name }

func (p *servicePart) Start(ctx context.Context) error {
	if err := p.env.await(ctx, "what "+p.service.name+" stands on", p.wait, p.connect); err != nil {
		return err
	}
	var err error
	if p.module, err = p.service.build(p.built); err != nil {
		return errors.Join(err, p.disconnect())
	}
	p.part = p.module.Part()
	if err := p.part.Start(ctx); err != nil {
		return errors.Join(err, p.disconnect())
	}
	p.up.Store(true)
	return nil
}

// connect opens all connections, or none.
func (p *servicePart) connect(ctx context.Context) (err error) {
	p.built = built{env: p.env}
	if s := p.nats.server; s != nil {
		p.joined = func(context.Context) error { return s.Joined() }
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.disconnect())
		}
	}()
	if p.service.schema != nil {
		if p.db, err = open(ctx, p.env, p.service); err != nil {
			return err
		}
	}
	c, err := p.nats.bus(p.env, p.service.name)
	if err != nil {
		return err
	}
	if p.service.edge {
		c.MaxBacklog = p.env.Config.Gateway.MaxBacklog
	}
	c.Recheck = recheck // of every service: none can forget it
	if p.bus, err = bus.Connect(ctx, c); err != nil {
		return err
	}
	if p.service.hub {
		c.CredsFile, c.Announcing = p.nats.trust.CredsFile(bus.HubUser(p.service.name)), federation.Presence
		if p.hub, err = bus.ConnectHub(ctx, c); err != nil {
			return err
		}
		if p.nats.server == nil {
			if p.watch = newWatcher(c.URL, p.nats.trust); p.watch != nil {
				p.joined = p.watch.joined
			}
		}
	}
	if p.wait > 0 {
		return p.prepared(ctx)
	}
	return nil
}

// prepared looks whether database and NATS have been brought to this version:
// somebody else may be about to do that.
func (p *servicePart) prepared(ctx context.Context) error {
	if p.db != nil {
		if err := p.db.Migrated(ctx, *p.service.schema); err != nil {
			return err
		}
	}
	return p.provisioned(ctx)
}

// provisioned looks for the streams and consumers that the service uses: a NATS
// that runs may have none of them yet. Which they are follows from its rights.
func (p *servicePart) provisioned(ctx context.Context) error {
	c, err := p.service.contract()
	if err != nil {
		return err
	}
	js, err := jetstream.New(p.bus.Conn())
	if err != nil {
		return err
	}
	for _, subject := range bus.PermissionsFor(p.service.name, c).Pub {
		if stream, ok := strings.CutPrefix(subject, "$JS.API.STREAM.INFO."); ok && stream != "*" {
			if _, err := js.Stream(ctx, stream); err != nil {
				return fmt.Errorf("stream %s: %w (`commandcenter migrate` makes it)", stream, err)
			}
		}
		name, ok := strings.CutPrefix(subject, "$JS.API.CONSUMER.INFO.")
		stream, durable, _ := strings.Cut(name, ".")
		if !ok || durable == "*" || stream == "*" { // the streams of teams come and go
			continue
		}
		if _, err := js.Consumer(ctx, stream, durable); err != nil {
			return fmt.Errorf("consumer %s of stream %s: %w (`commandcenter migrate` makes it)", durable, stream, err)
		}
	}
	return nil
}

func (p *servicePart) disconnect() error {
	if p.watch != nil {
		p.watch.close()
	}
	if p.hub != nil {
		p.hub.Close()
	}
	if p.bus != nil {
		p.bus.Close()
	}
	if p.db != nil {
		return p.db.Close()
	}
	return nil
}

func (p *servicePart) Stop(ctx context.Context) error {
	p.up.Store(false)
	return errors.Join(p.part.Stop(ctx), p.disconnect())
}

// Failed is asked for after the start.
func (p *servicePart) Failed() <-chan error {
	if f, ok := p.part.(app.Failer); ok {
		return f.Failed()
	}
	return nil
}

// checks are those of the module, once it is up.
func (p *servicePart) check() app.Check {
	return app.Check{Name: p.service.name, Check: func(ctx context.Context) error {
		if !p.up.Load() {
			return fmt.Errorf("%s is not running", p.service.name)
		}
		var errs []error
		degraded := true
		for _, c := range p.module.Checks {
			if err := c.Check(ctx); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", c.Name, err))
				degraded = degraded && app.IsDegraded(err)
			}
		}
		if err := errors.Join(errs...); err != nil && degraded {
			return app.Degraded(err.Error())
		} else if err != nil {
			return err
		}
		return nil
	}}
}

func buildAuth(b built) (*app.Module, error) {
	ring, err := b.env.Ring()
	if err != nil {
		return nil, err
	}
	areas, err := areas()
	if err != nil {
		return nil, err
	}
	return auth.New(auth.Deps{
		DB: b.db, Bus: b.bus, Log: b.env.Log, Registerer: b.env.Registry, Secrets: ring, Secret: b.env.Secret, Version: b.env.Version, Areas: areas,
		CheckRow: CheckRow,
	}, b.env.Config.Auth)
}

func buildIngestion(b built) (*app.Module, error) {
	ring, err := b.env.Ring()
	if err != nil {
		return nil, err
	}
	allow, err := egress.ParseAllow(b.env.Config.Egress.Allow)
	if err != nil {
		return nil, fmt.Errorf("egress.allow: %w", err)
	}
	return ingestion.New(ingestion.Deps{
		DB: b.db, Bus: b.bus, Log: b.env.Log, Secrets: ring, Allow: allow, Registerer: b.env.Registry, Version: b.env.Version,
	}, b.env.Config.Ingestion)
}

func buildJobs(b built) (*app.Module, error) {
	allow, err := egress.ParseAllow(b.env.Config.Egress.Allow)
	if err != nil {
		return nil, fmt.Errorf("egress.allow: %w", err)
	}
	return jobs.New(jobs.Deps{
		DB: b.db, Bus: b.bus, Log: b.env.Log, Registerer: b.env.Registry, Owners: owners(), Allow: allow, Version: b.env.Version,
	}, b.env.Config.Jobs)
}

func buildFederation(b built) (*app.Module, error) {
	c := b.env.Config.Federation
	c.ID, c.Version = b.env.id(), b.env.Version
	var err error
	if c.Slug, err = b.env.slug(); err != nil {
		return nil, err
	}
	if c.Contract, err = contractVersion(); err != nil {
		return nil, err
	}
	if c.HubURL == "" {
		c.HubURL = b.env.Config.OwnURL(b.env.Config.HTTP)
	}
	neighbours, err := neighbours(b.env.Config.Hub)
	if err != nil {
		return nil, err
	}
	return federation.New(federation.Deps{
		DB: b.db, Bus: b.bus, Hub: b.hub, Neighbours: neighbours, Joined: b.joined, Log: b.env.Log, Registerer: b.env.Registry,
		Secret: b.env.Secret,
	}, c)
}

func buildKnowledge(b built) (*app.Module, error) {
	return knowledge.New(knowledge.Deps{
		DB: b.db, Bus: b.bus, Log: b.env.Log, Registerer: b.env.Registry, Version: b.env.Version, Dir: b.env.Dir.Index(),
	}, b.env.Config.Knowledge)
}

func buildGateway(b built) (*app.Module, error) {
	e := b.env
	c := e.Config.Gateway.Config()
	c.Addr, c.Version = e.Config.HTTP, e.Version
	c.Issuer, c.Audience = e.Config.Auth.Issuer, e.Config.Auth.Audience
	began := time.Now()
	return gateway.New(gateway.Deps{Bus: b.bus, Log: e.Log, Registry: e.Registry, Listening: func(addr string) {
		url := e.Config.OwnURL(addr)
		e.HTTP.Store(&url)
		e.notice("HTTP", url, began)
	}}, c)
}
