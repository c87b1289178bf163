package stack

import (
	"fmt"
	"slices"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/portable"
	events "github.com/commandcenter/commandcenter/proto-events"
	"github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
	"github.com/commandcenter/commandcenter/services/federation"
	"github.com/commandcenter/commandcenter/services/gateway"
	"github.com/commandcenter/commandcenter/services/ingestion"
	"github.com/commandcenter/commandcenter/services/jobs"
	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/research"
)

// Service is what the registry knows of one.
type service struct {
	name     string
	schema   *pg.Schema     // nil for one without rows
	portable *portable.Plan // what becomes of its rows when a project is exported; nil for one without
	conns    int            // most connections to the database
	hub      bool           // connects to account HUB too
	jobs     bool           // runs jobs
	code     int            // in the ids of its jobs, for good, where they are a project's: 1 to 31; 0 where they are not
	live     bool           // tells progress
	files    bool           // reads uploaded files
	external bool           // takes facts of other teams
	dead     bool           // shows and redrives what others gave up
	purges   bool           // empties the streams of projects that are gone
	edge     bool           // speaks HTTP, asks everybody, and is started last
	build    func(b built) (*app.Module, error)
}

// services lists them in the order of a table of contents; they start side by
// side, the edge last.
func services() []service {
	return []service{
		{name: auth.Name, schema: &auth.Migrations, portable: &auth.Portable, conns: 12, jobs: true, live: true, files: true, purges: true, build: buildAuth},
		{name: knowledge.Name, schema: &knowledge.Migrations, portable: &knowledge.Portable, conns: 16, jobs: true, code: 1, live: true, files: true, build: buildKnowledge},
		{name: ingestion.Name, schema: &ingestion.Migrations, portable: &ingestion.Portable, conns: 4, jobs: true, code: 3, live: true, files: true, external: true, dead: true, build: buildIngestion},
		{name: research.Name, schema: &research.Migrations, portable: &research.Portable, conns: 6, files: true, build: func(b built) (*app.Module, error) {
			return research.New(research.Deps{DB: b.db, Bus: b.bus, Log: b.env.Log, Registerer: b.env.Registry, Version: b.env.Version}, b.env.Config.Research)
		}},
		{name: jobs.Name, schema: &jobs.Migrations, portable: &jobs.Portable, conns: 6, jobs: true, code: 2, live: true, build: buildJobs},
		{name: federation.Name, schema: &federation.Migrations, portable: &federation.Portable, conns: 4, hub: true, build: buildFederation},
		{name: "gateway", edge: true, files: true, build: buildGateway},
	}
}

// owners are the services that have jobs of projects, by their codes.
func owners() map[int]string {
	out := map[int]string{}
	for _, s := range services() {
		if s.code != 0 {
			out[s.code] = s.name
		}
	}
	return out
}

// Roles of a process beside the services.
const (
	RoleNATS     = "nats"
	RolePostgres = "postgres"
)

// Roles lists what a process can be told to serve.
func Roles() []string { return append([]string{RoleNATS, RolePostgres}, Names()...) }

// Names lists the services.
func Names() []string {
	var out []string
	for _, s := range services() {
		out = append(out, s.name)
	}
	return out
}

// Taker is the service that takes what other teams say.
func Taker() string {
	for _, s := range services() {
		if s.external {
			return s.name
		}
	}
	return ""
}

// leads is what a process of a service may lead, on a connection of its own each:
// its outbox and its jobs.
const leads = 2

// Connections is how many connections to the database a process of a service
// has at most: its pool, and one for each thing that it may lead.
func Connections(name string) int {
	s, err := find(name)
	if err != nil || s.schema == nil {
		return 0
	}
	return s.conns + leads
}

func find(name string) (service, error) {
	all := services()
	i := slices.IndexFunc(all, func(s service) bool { return s.name == name })
	if i < 0 {
		return service{}, fmt.Errorf("no service %q: there are %v", name, Roles())
	}
	return all[i], nil
}

// Schemas are the schemas of all services.
func Schemas() []pg.Schema {
	var out []pg.Schema
	for _, s := range services() {
		if s.schema != nil {
			out = append(out, *s.schema)
		}
	}
	return out
}

// Plans say what becomes of the rows of each service with a schema when a project
// is exported; nil for one that does not say.
func Plans() map[string]*portable.Plan {
	out := map[string]*portable.Plan{}
	for _, s := range services() {
		if s.schema != nil {
			out[s.name] = s.portable
		}
	}
	return out
}

// CheckRow refuses a row of an archive that the service whose it is would not have
// written, as far as the row itself tells: what [portable.Plan] says of it.
func CheckRow(service, table string, row []byte) error {
	s, err := find(service)
	if err != nil || s.portable == nil {
		return errs.Newf(errs.Invalid, "there is no service %.40q that takes rows in", service)
	}
	return s.portable.CheckRow(table, row)
}

// contract is what a service may do on the bus, from openapi.yaml and the
// catalogue of messages.
func (s service) contract() (bus.Contract, error) {
	if s.edge {
		return gateway.Permissions()
	}
	ops, err := Operations()
	if err != nil {
		return bus.Contract{}, err
	}
	c := bus.Contract{Publishes: events.SaidBy(s.name), Jobs: s.jobs, Live: s.live, Objects: s.files, External: s.external, DeadLetters: s.dead, Purges: s.purges}
	for _, d := range events.Catalogue() {
		if slices.Contains(d.Consumers, s.name) || slices.Contains(d.Followers, s.name) {
			c.Hears = append(c.Hears, d)
		}
	}
	for _, q := range events.Calls() {
		if q.Service == s.name || q.Service == events.Any {
			c.Serves = append(c.Serves, q.Call)
		}
		if !slices.Contains(q.Callers, s.name) && !slices.Contains(q.Callers, events.Any) {
			continue
		}
		if q.Service != events.Any {
			c.Calls = append(c.Calls, q.Service+"."+q.Call)
			continue
		}
		for _, other := range services() { // by name: a right on "*" would be one on all replies too
			if other.schema != nil && (other.name != s.name || s.code != 0) { // what all services have, it may have too
				c.Calls = append(c.Calls, other.name+"."+q.Call)
			}
		}
	}
	for _, op := range ops {
		durable := op.Delivery == "command" || op.Delivery == "upload"
		if op.Service == s.name && op.Delivery != "edge" && op.Delivery != "live" {
			c.Serves = append(c.Serves, op.ID)
			c.TakesCommands = c.TakesCommands || durable
		}
	}
	return c, nil
}

// Users are the users of the instance slug on its bus.
func Users(slug string, c settings.Config) ([]natsd.UserSpec, error) {
	out := []natsd.UserSpec{federation.Neighbour(bus.NeighbourPermissions(federation.Presence), c.Federation.Search, c.Hub.Allow...)}
	for _, s := range services() {
		may, err := s.contract()
		if err != nil {
			return nil, err
		}
		out = append(out, bus.PermissionsFor(s.name, may))
		if s.hub {
			out = append(out, federation.Member(bus.HubPermissions(s.name, federation.Presence, slug), slug, c.Federation.Search))
		}
	}
	return out, nil
}

// hubServices are the services with a consumer in account HUB.
func hubServices() []string {
	var out []string
	for _, s := range services() {
		if s.hub {
			out = append(out, s.name)
		}
	}
	return out
}
