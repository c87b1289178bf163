package inbox

import (
	"context"
	"fmt"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

// onCallRecorded believes of each service what it says of itself, as
// onProjectPurged does.
func (h *Handlers) onCallRecorded(ctx context.Context, m bus.Meta, e *platformv1.CallRecorded) error {
	if tenant.Project(e.GetProjectId()) != m.Project || e.GetService() != speaker(m.Subject) {
		return bus.Drop(fmt.Errorf("call of project %d to %q said on %s", e.GetProjectId(), e.GetService(), m.Subject))
	}
	entry := audit.Entry{
		ID: e.GetCallId(), AcceptedAt: e.GetAcceptedAt().AsTime(), LastAt: e.GetAcceptedAt().AsTime(), Count: int(e.GetCount()),
		Service: e.GetService(), Operation: e.GetOperation(), Actor: e.GetPrincipal(), KeyID: e.GetKeyId(),
		Status: int(e.GetStatus()), Reason: e.GetReason(), Address: e.GetAddress(), RequestID: e.GetRequestId(), TraceID: e.GetTraceId(),
	}
	if e.GetLastAt() != nil {
		entry.LastAt = e.GetLastAt().AsTime()
	}
	for _, t := range e.GetTarget() {
		entry.Target = append(entry.Target, audit.Named{Name: t.GetName(), Value: t.GetValue()})
	}
	return h.Trail.Append(ctx, m.Project, entry)
}
