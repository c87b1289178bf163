package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/share"
)

// Sharer says which instances may read a project.
type Sharer interface {
	Of(ctx context.Context, p tenant.Project) ([]share.Share, error)
	Share(ctx context.Context, s share.Share) (share.Share, error)
	Unshare(ctx context.Context, p tenant.Project, instance string) error
}

func (h *Handlers) listShares(ctx context.Context, _ struct{}) ([]Share, error) {
	all, err := h.Sharer.Of(ctx, tenant.From(ctx).Project)
	if err != nil {
		return nil, err
	}
	out := make([]Share, 0, len(all))
	for _, s := range all {
		out = append(out, shared(s))
	}
	return out, nil
}

type shareRequest struct {
	Body ShareCreate `json:"body"`
}

// sharedProject is the answer 201.
type sharedProject struct{ Share }

// StatusCode says that the share is there.
func (sharedProject) StatusCode() int { return 201 }

func (h *Handlers) shareProject(ctx context.Context, r shareRequest) (sharedProject, error) {
	who := tenant.From(ctx)
	s, err := h.Sharer.Share(ctx, share.Share{Project: who.Project, Instance: r.Body.Instance, Name: value(r.Body.Name), By: who.Principal})
	if err != nil {
		return sharedProject{}, err
	}
	return sharedProject{shared(s)}, nil
}

func (h *Handlers) unshareProject(ctx context.Context, r slugRequest) (struct{}, error) {
	return struct{}{}, h.Sharer.Unshare(ctx, tenant.From(ctx).Project, r.Slug)
}

func shared(s share.Share) Share {
	return Share{Instance: s.Instance, Name: s.Name, CreatedAt: s.Created.UTC()}
}
