package inbox

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Handlers hears with the nouns of the service.
type Handlers struct {
	Deletion confirmer
	Trail    appender
}

type appender interface {
	// Append adds a call to the audit log of p.
	Append(ctx context.Context, p tenant.Project, e audit.Entry) error
}

type confirmer interface {
	// Purged notes that a service keeps nothing of the project any more. It
	// changes nothing the second time.
	Purged(ctx context.Context, id tenant.Project, holder string) (done bool, err error)
}

// Register binds every event to its handler.
func (h *Handlers) Register(in *bus.Inbox) {
	bus.Handle(in, h.onProjectPurged)
	bus.Handle(in, h.onCallRecorded)
}
