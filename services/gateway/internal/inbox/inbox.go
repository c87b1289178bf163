package inbox

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// memory is what has to be told; *access.Guard is one.
type memory interface {
	ForgetUser(id int64)
	ForgetSession(id string)
	ForgetProject(p tenant.Project)
}

// Followers are all subscriptions of the gateway.
func Followers(b *bus.Bus, m memory) []app.Part {
	return []app.Part{
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.SessionRevoked) { m.ForgetSession(e.GetSessionId()) }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.MembershipChanged) { m.ForgetUser(int64(e.GetUserId())) }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.ProjectDeleting) {
			m.ForgetProject(tenant.Project(e.GetProjectId()))
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.ProjectDeleted) {
			m.ForgetProject(tenant.Project(e.GetProjectId()))
		}),
	}
}
