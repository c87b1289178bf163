package inbox

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Handlers hears with the nouns of the service.
type Handlers struct {
	Deletion confirmer
	Trail    appender
	// Confirmed is told after a purge was noted. It must not block.
	Confirmed func()
}

type appender interface {
	// Append adds a call to the audit log of p.
	Append(ctx context.Context, p tenant.Project, e audit.Entry) error
}

type confirmer interface {
	// Purged notes that a service keeps nothing of the project any more, and what
	// it has counted. It changes nothing the second time.
	Purged(ctx context.Context, id tenant.Project, holder string, parts []purge.Part) error
}

// Register binds every event to its handler.
func (h *Handlers) Register(in *bus.Inbox) {
	bus.Handle(in, h.onProjectPurged)
	bus.Handle(in, h.onCallRecorded)
}
