package inbox

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
)

// Handlers hear facts. All fields but Registerer are needed.
type Handlers struct {
	// Read returns the object in data when it fits the form of the fact.
	Read func(ctx context.Context, p tenant.Project, n schema.Name, data []byte) (map[string]any, error)
	// Say says that a fact was accepted, in the transaction of ctx.
	Say func(ctx context.Context, p tenant.Project, e *ingestionv1.FactAccepted) error
	// Purge removes everything of a project, and says so.
	Purge      func(ctx context.Context, p tenant.Project, o purge.Order) error
	Registerer prometheus.Registerer

	facts *prometheus.CounterVec
}

// Subscriptions are all that the service hears.
func (h *Handlers) Subscriptions(b *bus.Bus, db *pg.DB, service string) ([]app.Part, error) {
	h.facts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ingestion_external_facts_total", Help: "Facts of other teams, by what became of them: accepted, unregistered, invalid, failed.",
	}, []string{"outcome"})
	if h.Registerer != nil {
		if err := h.Registerer.Register(h.facts); err != nil {
			return nil, err
		}
	}
	in := bus.NewInbox(b, bus.InboxConfig{Service: service, DB: db})
	bus.Handle(in, func(ctx context.Context, m bus.Meta, e *authv1.ProjectDeleting) error {
		d, err := events.Describe(e)
		if err != nil {
			return bus.Drop(err)
		}
		return h.Purge(ctx, m.Project, purge.Order{
			Service: service, Consumer: bus.EventDurable(service, d), Message: m.ID, Version: e.GetVersion(),
		})
	})
	return []app.Part{in, bus.NewExternal(b, db, h.external)}, nil
}
