package federation

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	"github.com/commandcenter/commandcenter/services/federation/internal/inbox"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
	"github.com/commandcenter/commandcenter/services/federation/internal/mesh"
	"github.com/commandcenter/commandcenter/services/federation/internal/share"
)

// presence is what crosses the border of a hub always.
const presence = "hub.presence.>"

// Neighbour is the user of account HUB whose credentials other instances are
// given: only presence crosses by it, with search questions and answers, and
// what else is allowed.
func Neighbour(u natsd.UserSpec, search bool, more ...string) natsd.UserSpec {
	cross := append([]string{presence}, more...)
	if search {
		cross = append(cross, inbox.Border()...)
	}
	u.Pub, u.Sub = cross, cross
	return u
}

// Member is the service's own user of account HUB, for the instance slug.
func Member(u natsd.UserSpec, slug string, search bool) natsd.UserSpec {
	if search {
		pub, sub := inbox.MeshGrants(slug)
		u.Pub, u.Sub = append(u.Pub, pub...), append(u.Sub, sub...)
	}
	return u
}

// local searches a project of this instance.
func local(b *bus.Bus) func(ctx context.Context, p tenant.Project, q mesh.Query) ([]mesh.Hit, error) {
	return func(ctx context.Context, p tenant.Project, q mesh.Query) ([]mesh.Hit, error) {
		res, err := bus.CallInternal[*knowledgev1.SearchProjectResponse](ctx, b, "knowledge", "searchProject", &knowledgev1.SearchProjectRequest{
			ProjectId: int32(p), Query: q.Text, Category: q.Category, Limit: int32(q.Limit), //nolint:gosec // G115: a sequence of int4, and at most 50
		})
		if err != nil {
			return nil, err
		}
		out := make([]mesh.Hit, 0, len(res.GetPassages()))
		for _, f := range res.GetPassages() {
			out = append(out, mesh.Hit{
				Title: f.GetTitle(), Content: f.GetContent(), Category: f.GetCategory(), Source: f.GetSourceFile(), Path: f.GetHeadingPath(), Score: f.GetScore(),
			})
		}
		return out, nil
	}
}

// peers tells of instances what sharing with them needs.
type peers struct{ catalog *instance.Catalog }

func (p peers) Peer(ctx context.Context, slug string) (share.Peer, error) {
	e, err := p.catalog.Get(ctx, slug)
	return share.Peer{Self: e.Self, Admitted: e.Admitted, Key: e.Key}, err
}
