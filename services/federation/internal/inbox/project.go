package inbox

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// Facts hears facts of this instance.
type Facts struct {
	// Purge removes everything of a project, and says so.
	Purge func(ctx context.Context, p tenant.Project, o purge.Order) error
}

// Register registers every subscription of the service with in.
func (f Facts) Register(in *bus.Inbox) { bus.Handle(in, f.projectDeleting) }

func (f Facts) projectDeleting(ctx context.Context, m bus.Meta, e *authv1.ProjectDeleting) error {
	d, err := events.Describe(e)
	if err != nil {
		return bus.Drop(err)
	}
	return f.Purge(ctx, m.Project, purge.Order{
		Service: "federation", Consumer: bus.EventDurable("federation", d), Message: m.ID, Version: e.GetVersion(),
	})
}
