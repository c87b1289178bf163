package inbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

// onProjectPurged believes only what a service says of itself: the bus lets it
// publish under its own name and no other, so the subject is the proof.
func (h *Handlers) onProjectPurged(ctx context.Context, m bus.Meta, e *platformv1.ProjectPurged) error {
	if tenant.Project(e.GetProjectId()) != m.Project || e.GetService() != speaker(m.Subject) {
		return bus.Drop(fmt.Errorf("purge of project %d by %q said on %s", e.GetProjectId(), e.GetService(), m.Subject))
	}
	if err := h.Deletion.Purged(ctx, m.Project, e.GetService(), purge.Heard(e)); err != nil {
		return err
	}
	pg.OnCommit(ctx, h.Confirmed)
	return nil
}

// speaker is the service in the subject of an event:
// evt.<project>.<service>.<noun>.<fact>.v<n>.
func speaker(subject string) string {
	tokens := strings.Split(subject, ".")
	if len(tokens) < 3 {
		return ""
	}
	return tokens[2]
}
