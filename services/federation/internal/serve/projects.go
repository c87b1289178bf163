package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// The original federation service called the instances projects. Other
// instances ask in that form, each with the key that it was given.

var (
	errNoKey   = errs.New(errs.Unauthenticated, "Not authenticated: send X-API-Key")
	errForeign = errs.New(errs.Forbidden, "an instance may write its own row alone")
)

type keyed struct {
	Key string `json:"X-API-Key"`
}

// holder is the instance that asks.
func (h *Handlers) holder(ctx context.Context, k keyed) (instance.Instance, error) {
	if k.Key == "" {
		return instance.Instance{}, errNoKey
	}
	return h.Catalog.Holder(ctx, k.Key)
}

type listProjectsRequest struct {
	keyed
	listRequest
}

func (h *Handlers) listFederatedProjects(ctx context.Context, r listProjectsRequest) ([]FederatedProject, error) {
	if _, err := h.holder(ctx, r.keyed); err != nil {
		return nil, err
	}
	entries, err := h.Catalog.List(ctx, r.Status)
	if err != nil {
		return nil, err
	}
	out := make([]FederatedProject, 0, len(entries))
	for _, e := range entries {
		if e.Admitted {
			out = append(out, project(e))
		}
	}
	return out, nil
}

type projectRequest struct {
	keyed
	slugRequest
}

func (h *Handlers) getFederatedProject(ctx context.Context, r projectRequest) (FederatedProject, error) {
	if _, err := h.holder(ctx, r.keyed); err != nil {
		return FederatedProject{}, err
	}
	e, err := h.Catalog.Get(ctx, r.Slug)
	if err == nil && !e.Admitted {
		err = instance.ErrNotFound
	}
	if err != nil {
		return FederatedProject{}, err
	}
	return project(e), nil
}

type updateProjectRequest struct {
	keyed
	Body FederatedProjectCreate `json:"body"`
}

func (h *Handlers) updateFederatedProject(ctx context.Context, r updateProjectRequest) (FederatedProject, error) {
	who, err := h.holder(ctx, r.keyed)
	if err != nil {
		return FederatedProject{}, err
	}
	if who.Slug != r.Body.Slug {
		return FederatedProject{}, errForeign
	}
	if ns := value(r.Body.MeshNamespace); ns != "" && ns != "hub."+r.Body.Slug {
		return FederatedProject{}, errs.InvalidField("value_error", "want hub.<slug>", "body", "mesh_namespace")
	}
	e, _, err := h.Registrar.Update(ctx, instance.Registration{
		Slug: r.Body.Slug, Name: r.Body.Name, HubURL: r.Body.HubUrl, Tags: value(r.Body.Tags), Source: who.Source,
	})
	if err != nil {
		return FederatedProject{}, err
	}
	return project(e), nil
}

func project(e instance.Entry) FederatedProject {
	out := FederatedProject{
		Id: e.Number, Slug: e.Slug, Name: e.Name, HubUrl: null(e.HubURL), MeshNamespace: null(e.Namespace),
		Status: FederatedProjectStatus(e.Status), Tags: orEmpty(e.Tags), CreatedAt: e.FirstSeen.UTC(), UpdatedAt: e.Updated.UTC(),
	}
	if out.Name == "" {
		out.Name = e.Slug
	}
	if out.MeshNamespace == nil {
		out.MeshNamespace = null("hub." + e.Slug)
	}
	if e.Beats > 0 {
		at := e.LastHeartbeat.UTC()
		out.LastHeartbeatAt = &at
	}
	return out
}
