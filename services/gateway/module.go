package gateway

import (
	"context"
	_ "embed" // the contract
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/authority"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/denial"
	"github.com/commandcenter/commandcenter/services/gateway/internal/feed"
	"github.com/commandcenter/commandcenter/services/gateway/internal/inbox"
	"github.com/commandcenter/commandcenter/services/gateway/internal/limit"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

//go:embed openapi.yaml
var openapi []byte

// OpenAPI returns a copy of the contract as it is written.
func OpenAPI() []byte { return slices.Clone(openapi) }

// What is kept of the latest facts for streams that come back, and how many of
// them are read at the start, since after a restart everybody comes back.
const (
	ringFacts = 8192
	ringBytes = 32 << 20
	ringSeed  = 2048
)

// counters is how many callers are counted at once.
const counters = 100_000

// Deps is what the gateway needs of its process.
type Deps struct {
	Bus      *bus.Bus
	Log      *slog.Logger
	Registry *prometheus.Registry // takes the gateway's figures and is shown at /metrics; nil for none
	// Listening is told the address once calls are answered: with port 0 in the
	// configuration, the one that was given out. May be nil.
	Listening func(addr string)
}

// registerer is nil for no registry, which a nil pointer in the interface is not.
func registerer(r *prometheus.Registry) prometheus.Registerer {
	if r == nil {
		return nil
	}
	return r
}

// New wires the gateway. Its parts hear events first and listen last, so that
// nobody is answered from a memory that is not kept current.
func New(d Deps, c Config) (*app.Module, error) {
	if d.Bus == nil || d.Log == nil {
		return nil, errors.New("gateway: bus and log are needed")
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	doc, err := contract.Load(openapi)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	guard, err := access.New(authority.Auth{Bus: d.Bus}, access.Config{Issuer: c.Issuer, Audience: c.Audience, Keep: c.AccessKept})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	log := d.Log.With("service", name)
	ring := feed.NewRing(ringFacts, ringBytes)
	limits := limit.NewShared(counters, d.Bus.Peers("limits"), log, time.Now)
	denials, err := denial.NewLedger(func(ctx context.Context, m *platformv1.CallRecorded, id uuid.UUID) error {
		return d.Bus.Say(ctx, m, id, m.GetAcceptedAt().AsTime())
	}, log, registerer(d.Registry))
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	deps := serve.Deps{Denied: denials.Note, Contract: doc, Limits: limits, Bus: d.Bus, Guard: guard, Ring: ring, Health: health(d.Bus), Holdings: holdings{d.Bus}, Streams: frames{d.Bus}, Log: log}
	if deps.Registerer = registerer(d.Registry); d.Registry != nil {
		deps.Gatherer = d.Registry
	}
	behaviour, err := c.serve()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	edge, err := serve.New(deps, behaviour)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	listen, err := c.listen()
	if err != nil {
		return nil, err
	}
	m := &app.Module{Name: name, Checks: []app.Check{{Name: "bus", Check: d.Bus.Ready}}}
	// Nobody asks it anything over the bus but how it is; that makes it one of
	// the services that can be seen there.
	m.Parts = append(inbox.Followers(d.Bus, guard, edge), bus.NewFeed(d.Bus, ringSeed, ring.Begin, ring.Add), bus.NewServer(d.Bus, bus.ServerConfig{Version: c.Version, Workers: 1, Checks: m.Checks}))
	m.Parts = append(m.Parts, limits, denials, serve.NewListener(edge, listen, log, d.Listening))
	for _, op := range doc.Operations {
		if op.Own() {
			m.Operations = append(m.Operations, op.ID)
		}
	}
	return m, nil
}
