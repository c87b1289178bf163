package inbox

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// Handlers hear facts. All fields are needed.
type Handlers struct {
	// Purge removes everything of a project, and says so. consumer and message
	// name the order among what was heard, which is to be remembered.
	Purge func(ctx context.Context, p tenant.Project, version int, consumer, message string) error
	Drop  func(tenant.Project) // forgets what is in memory of a project
	// Accept takes a document in.
	Accept func(ctx context.Context, s document.Submission) (document.Document, error)
}

// Register registers every subscription of the service with in.
func (h *Handlers) Register(in *bus.Inbox) {
	bus.Handle(in, h.projectDeleting)
	bus.Handle(in, h.factAccepted)
}

func (h *Handlers) projectDeleting(ctx context.Context, m bus.Meta, e *authv1.ProjectDeleting) error {
	d, err := events.Describe(e)
	if err != nil {
		return bus.Drop(err)
	}
	if err := h.Purge(ctx, m.Project, int(e.GetVersion()), bus.EventDurable("knowledge", d), m.ID); err != nil {
		return err
	}
	pg.OnCommit(ctx, func() { h.Drop(m.Project) })
	return nil
}
