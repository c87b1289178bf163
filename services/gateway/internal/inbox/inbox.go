package inbox

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// memory is what has to be told; *access.Guard is one, and the edge with its
// open streams.
type memory interface {
	ForgetUser(id int64)
	ForgetSession(id string)
	ForgetProject(p tenant.Project)
	ForgetAccount(id int64)
	ForgetKey(id string)
	ForgetKeyring()
}

// memories are told one after another.
type memories []memory

func (all memories) ForgetUser(id int64) {
	for _, m := range all {
		m.ForgetUser(id)
	}
}

func (all memories) ForgetSession(id string) {
	for _, m := range all {
		m.ForgetSession(id)
	}
}

func (all memories) ForgetProject(p tenant.Project) {
	for _, m := range all {
		m.ForgetProject(p)
	}
}

func (all memories) ForgetAccount(id int64) {
	for _, m := range all {
		m.ForgetAccount(id)
	}
}

func (all memories) ForgetKey(id string) {
	for _, m := range all {
		m.ForgetKey(id)
	}
}

func (all memories) ForgetKeyring() {
	for _, m := range all {
		m.ForgetKeyring()
	}
}

// Followers are all subscriptions of the gateway. What remembers rights is told
// before what asks for them again.
func Followers(b *bus.Bus, told ...memory) []app.Part {
	m := memories(told)
	return []app.Part{
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.SessionRevoked) { m.ForgetSession(e.GetSessionId()) }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.MembershipChanged) { m.ForgetUser(int64(e.GetUserId())) }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.UserDeactivated) { m.ForgetUser(int64(e.GetUserId())) }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.UserReactivated) { m.ForgetUser(int64(e.GetUserId())) }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.ServiceAccountChanged) {
			m.ForgetAccount(int64(e.GetServiceAccountId()))
		}),
		bus.Follow(b, func(context.Context, bus.Meta, *authv1.SigningKeyRotated) { m.ForgetKeyring() }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.ApiKeyRevoked) { m.ForgetKey(e.GetKeyId()) }),
		// The old key of a rotation has an end now, which was not known before.
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.ApiKeyCreated) {
			if old := e.GetReplacesKeyId(); old != "" {
				m.ForgetKey(old)
			}
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.LimitChanged) {
			m.ForgetProject(tenant.Project(e.GetProjectId()))
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.ProjectDeleting) {
			m.ForgetProject(tenant.Project(e.GetProjectId()))
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *authv1.ProjectDeleted) {
			m.ForgetProject(tenant.Project(e.GetProjectId()))
		}),
	}
}
