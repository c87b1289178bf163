package inbox

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

// Handlers hear facts. All fields are needed.
type Handlers struct {
	// Purge removes everything of a project, and says so.
	Purge func(ctx context.Context, p tenant.Project, o purge.Order) error
	// Drop forgets what is kept of a project outside of the database, and counts it.
	Drop func(p tenant.Project) (purge.Part, error)
	// Accept takes a document in.
	Accept func(ctx context.Context, s document.Submission) (document.Document, error)
	// DeleteAt removes the document of a name in a collection, unless somebody else has
	// added it since.
	DeleteAt func(ctx context.Context, p tenant.Project, collection, source, principal string) error
	// DeleteOf removes every document of a technology.
	DeleteOf func(ctx context.Context, p tenant.Project, technology int64) error
}

// Register registers every subscription of the service with in.
func (h *Handlers) Register(in *bus.Inbox) {
	bus.Handle(in, h.projectDeleting)
	bus.Handle(in, h.factAccepted)
	bus.Handle(in, h.documentFetched)
	bus.Handle(in, func(ctx context.Context, m bus.Meta, e *ingestionv1.DocumentGone) error {
		return h.DeleteAt(ctx, m.Project, e.GetCollection(), e.GetPlace(), fetchedBy)
	})
	bus.Handle(in, func(ctx context.Context, m bus.Meta, e *researchv1.TechnologyRemoved) error {
		return h.DeleteOf(ctx, m.Project, int64(e.GetTechnologyId()))
	})
}

func (h *Handlers) projectDeleting(ctx context.Context, m bus.Meta, e *authv1.ProjectDeleting) error {
	d, err := events.Describe(e)
	if err != nil {
		return bus.Drop(err)
	}
	o := purge.Order{Service: "knowledge", Consumer: bus.EventDurable("knowledge", d), Message: m.ID, Version: e.GetVersion()}
	o.Outside = func(context.Context) ([]purge.Part, error) {
		part, err := h.Drop(m.Project)
		return []purge.Part{part}, err
	}
	if err := h.Purge(ctx, m.Project, o); err != nil {
		return err
	}
	// A search may have come between.
	pg.OnCommit(ctx, func() { _, _ = h.Drop(m.Project) }) // the housekeeper comes by too
	return nil
}
