package serve

import (
	"context"
	"encoding/json"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/access"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

type createProjectRequest struct {
	Body ProjectCreate `json:"body"`
}

// createdProject is the answer 201.
type createdProject struct{ ProjectResponse }

// StatusCode says that the project is new.
func (createdProject) StatusCode() int { return 201 }

// createProject leaves the owner of the request aside: the owner is the caller.
func (h *Handlers) createProject(ctx context.Context, r createProjectRequest) (createdProject, error) {
	caller, err := person(ctx)
	if err != nil {
		return createdProject{}, err
	}
	p, err := h.Projects.Create(ctx, caller, project.Draft{Name: r.Body.Name, Description: r.Body.Description})
	if err != nil {
		return createdProject{}, err
	}
	return createdProject{projectResponse(p)}, nil
}

type listProjectsRequest struct {
	Skip  *int `json:"skip"`
	Limit *int `json:"limit"`
}

func (h *Handlers) listProjects(ctx context.Context, r listProjectsRequest) ([]ProjectResponse, error) {
	if caller := tenant.From(ctx); caller.Key != "" {
		return h.projectOfKey(ctx, caller)
	}
	caller, err := person(ctx)
	if err != nil {
		return nil, err
	}
	skip, limit := 0, project.DefaultLimit
	if r.Skip != nil {
		skip = *r.Skip
	}
	if r.Limit != nil {
		limit = *r.Limit
	}
	mine, err := h.Projects.List(ctx, caller.UserID, skip, limit)
	if err != nil {
		return nil, err
	}
	out := make([]ProjectResponse, len(mine)) // never null
	for i, p := range mine {
		out[i] = projectResponse(p)
		out[i].IsDefault = &p.Default
	}
	return out, nil
}

// projectOfKey is the list of somebody who calls with a key: the one project in
// which it is good.
func (h *Handlers) projectOfKey(ctx context.Context, caller tenant.Identity) ([]ProjectResponse, error) {
	id, err := h.KeyReader.Project(ctx, caller)
	if err != nil {
		return nil, err
	}
	var now access.Access
	if caller.ServiceAccount != 0 {
		now, err = h.Resolver.ResolveAccount(ctx, caller.ServiceAccount, id)
	} else {
		now, err = h.Resolver.Resolve(ctx, caller.UserID, id, "")
	}
	if err != nil {
		return nil, err
	}
	caller.Project, caller.Role = now.Project, now.Role
	p, err := h.Projects.Get(ctx, caller, id)
	if err != nil {
		return nil, err
	}
	return []ProjectResponse{projectResponse(p)}, nil
}

type projectRequest struct {
	ProjectID int64 `json:"project_id"`
}

func (h *Handlers) getProject(ctx context.Context, r projectRequest) (ProjectResponse, error) {
	p, err := h.Projects.Get(ctx, tenant.From(ctx), tenant.Project(r.ProjectID))
	if err != nil {
		return ProjectResponse{}, err
	}
	return projectResponse(p), nil
}

func (h *Handlers) getProjectStats(ctx context.Context, r projectRequest) (ProjectWithCounts, error) {
	p, n, err := h.Census.Stats(ctx, tenant.From(ctx), tenant.Project(r.ProjectID))
	if err != nil {
		return ProjectWithCounts{}, err
	}
	flat := projectResponse(p)
	return ProjectWithCounts{
		Id: flat.Id, Name: flat.Name, Owner: flat.Owner, Description: flat.Description, Role: flat.Role,
		CreatedAt: flat.CreatedAt, UpdatedAt: flat.UpdatedAt,
		RepositoryCount: n.Repositories, TechnologyCount: n.Technologies,
		ResearchTaskCount: n.ResearchTasks, KnowledgeEntryCount: n.KnowledgeItems,
	}, nil
}

// optional tells a field that is absent from one that is null, which the
// generated type cannot.
type optional struct{ project.Field[string] }

// UnmarshalJSON is called only when the field is there.
func (o *optional) UnmarshalJSON(b []byte) error {
	o.Set = true
	return json.Unmarshal(b, &o.Value)
}

type updateProjectRequest struct {
	ProjectID int64 `json:"project_id"`
	Body      struct {
		Name        optional `json:"name"`
		Owner       optional `json:"owner"`
		Description optional `json:"description"`
	} `json:"body"`
}

func (h *Handlers) updateProject(ctx context.Context, r updateProjectRequest) (ProjectResponse, error) {
	p, err := h.Projects.Update(ctx, tenant.From(ctx), tenant.Project(r.ProjectID), project.Patch{
		Name: r.Body.Name.Field, Owner: r.Body.Owner.Field, Description: r.Body.Description.Field,
	})
	if err != nil {
		return ProjectResponse{}, err
	}
	return projectResponse(p), nil
}

func (h *Handlers) deleteProject(ctx context.Context, r projectRequest) (gone, error) {
	if err := h.Deletion.Delete(ctx, tenant.From(ctx), tenant.Project(r.ProjectID)); err != nil {
		return gone{}, err
	}
	pg.OnCommit(ctx, h.Deleting) // nobody may have anything of it
	return gone{}, nil
}

func (h *Handlers) getProjectDeletion(ctx context.Context, r projectRequest) (ProjectDeletion, error) {
	caller, err := person(ctx)
	if err != nil {
		return ProjectDeletion{}, err
	}
	p, err := h.Deletion.Proof(ctx, caller, tenant.Project(r.ProjectID))
	if err != nil {
		return ProjectDeletion{}, err
	}
	out := ProjectDeletion{ProjectId: int64(p.Project), RequestedBy: principal(p.RequestedBy), RequestedAt: p.RequestedAt, FinishedAt: p.FinishedAt, Purges: make([]ProjectPurge, len(p.Purges))}
	for i, x := range p.Purges {
		sum := purge.Sum(x.Parts)
		out.Purges[i] = ProjectPurge{
			Service: x.Service, ConfirmedAt: x.ConfirmedAt, Removed: sum.Removed, Left: sum.Left, Kept: sum.Kept, Parts: make([]PurgedPart, len(x.Parts)),
		}
		for j, y := range x.Parts {
			out.Purges[i].Parts[j] = PurgedPart{Name: y.Name, Removed: y.Removed, Left: y.Left, Kept: y.Kept, Why: y.Why}
		}
	}
	return out, nil
}

func projectResponse(p project.Mine) ProjectResponse {
	out := ProjectResponse{
		Id: int64(p.ID), Name: p.Name, Owner: user.Shown(p.Owner), Description: p.Description, CreatedAt: p.CreatedAt, UpdatedAt: &p.UpdatedAt,
	}
	if p.Role != tenant.NoRole { // a superuser that is no member
		role := string(p.Role)
		out.Role = &role
	}
	return out
}
