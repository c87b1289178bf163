package inbox

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// Handlers hear facts.
type Handlers struct {
	// Purge removes everything of a project, and says so.
	Purge func(ctx context.Context, p tenant.Project, o purge.Order) error
}

// Subscriptions are all that the service hears.
func (h *Handlers) Subscriptions(b *bus.Bus, db *pg.DB, service string) app.Part {
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
	return in
}
