package serve

import (
	"context"
	"strconv"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/invitation"
	"github.com/commandcenter/commandcenter/services/auth/internal/member"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// registerPeople binds who belongs to a project and who is invited. What carries
// or makes the secret of an invitation is a request.
func (h *Handlers) registerPeople(s *bus.Server) {
	bus.Request(s, "listMembers", h.listMembers)
	bus.Command(s, "setMemberRole", h.setMemberRole)
	bus.Command(s, "removeMember", h.removeMember)
	bus.Command(s, "leaveProject", h.leaveProject)
	bus.Command(s, "setDefaultProject", h.setDefaultProject)
	bus.Command(s, "transferProject", h.transferProject)
	bus.Request(s, "listInvitations", h.listInvitations)
	bus.Request(s, "inviteMember", h.inviteMember)
	bus.Command(s, "revokeInvitation", h.revokeInvitation)
	bus.Request(s, "acceptInvitation", h.acceptInvitation)
	bus.Request(s, "showInvitation", h.showInvitation)
}

type listMembersRequest struct {
	ProjectID int64 `json:"project_id"`
	Skip      *int  `json:"skip"`
	Limit     *int  `json:"limit"`
}

func (h *Handlers) listMembers(ctx context.Context, r listMembersRequest) ([]ProjectMember, error) {
	skip, limit := 0, project.DefaultLimit
	if r.Skip != nil {
		skip = *r.Skip
	}
	if r.Limit != nil {
		limit = *r.Limit
	}
	all, err := h.Members.List(ctx, tenant.From(ctx), tenant.Project(r.ProjectID), skip, limit)
	if err != nil {
		return nil, err
	}
	out := make([]ProjectMember, len(all))
	for i, m := range all {
		out[i] = projectMember(m)
	}
	return out, nil
}

type memberRequest struct {
	ProjectID int64 `json:"project_id"`
	UserID    int64 `json:"user_id"`
}

type setMemberRoleRequest struct {
	memberRequest
	Body MemberUpdate `json:"body"`
}

func (h *Handlers) setMemberRole(ctx context.Context, r setMemberRoleRequest) (ProjectMember, error) {
	m, err := h.Members.SetRole(ctx, tenant.From(ctx), tenant.Project(r.ProjectID), r.UserID, tenant.Role(r.Body.Role))
	if err != nil {
		return ProjectMember{}, err
	}
	return projectMember(m), nil
}

type removeMemberRequest struct {
	memberRequest
	RevokeKeys bool `json:"revoke_keys"`
}

func (h *Handlers) removeMember(ctx context.Context, r removeMemberRequest) (gone, error) {
	return gone{}, h.Members.Remove(ctx, tenant.From(ctx), tenant.Project(r.ProjectID), r.UserID, r.RevokeKeys)
}

func (h *Handlers) leaveProject(ctx context.Context, r projectRequest) (gone, error) {
	caller, err := person(ctx)
	if err != nil {
		return gone{}, err
	}
	return gone{}, h.Members.Leave(ctx, caller, tenant.Project(r.ProjectID))
}

func (h *Handlers) setDefaultProject(ctx context.Context, r projectRequest) (gone, error) {
	caller, err := person(ctx)
	if err != nil {
		return gone{}, err
	}
	return gone{}, h.Members.SetDefault(ctx, caller, tenant.Project(r.ProjectID))
}

type transferProjectRequest struct {
	ProjectID int64           `json:"project_id"`
	Body      ProjectTransfer `json:"body"`
}

func (h *Handlers) transferProject(ctx context.Context, r transferProjectRequest) (ProjectResponse, error) {
	p, err := h.Projects.Transfer(ctx, tenant.From(ctx), tenant.Project(r.ProjectID), r.Body.UserId)
	if err != nil {
		return ProjectResponse{}, err
	}
	return projectResponse(p), nil
}

func (h *Handlers) listInvitations(ctx context.Context, r projectRequest) ([]Invitation, error) {
	all, err := h.Invitations.List(ctx, tenant.From(ctx), tenant.Project(r.ProjectID))
	if err != nil {
		return nil, err
	}
	out := make([]Invitation, len(all))
	for i, inv := range all {
		out[i] = Invitation{
			Id: inv.ID, Role: string(inv.Role), Email: shown(inv.Email), InvitedBy: inv.InvitedBy, Inviter: user.Shown(inv.Inviter),
			CreatedAt: inv.CreatedAt, ExpiresAt: inv.ExpiresAt,
		}
	}
	return out, nil
}

type inviteMemberRequest struct {
	ProjectID int64            `json:"project_id"`
	Body      InvitationCreate `json:"body"`
}

// issued is the answer 201, which nobody may keep.
type issued struct{ InvitationCreated }

// StatusCode says that the invitation is new.
func (issued) StatusCode() int { return 201 }

// Headers keeps the secret out of caches.
func (issued) Headers() map[string]string { return map[string]string{"Cache-Control": "no-store"} }

func (h *Handlers) inviteMember(ctx context.Context, r inviteMemberRequest) (issued, error) {
	caller, err := person(ctx)
	if err != nil {
		return issued{}, err
	}
	inv, err := h.Invitations.Create(ctx, caller, tenant.Project(r.ProjectID), invitation.Draft{
		Role: tenant.Role(r.Body.Role), Email: r.Body.Email, Days: r.Body.Days,
	})
	if err != nil {
		return issued{}, err
	}
	bus.Changed(ctx, "role", "", string(inv.Role))
	out := InvitationCreated{
		Id: inv.ID, Role: string(inv.Role), Email: shown(inv.Email), InvitedBy: inv.InvitedBy, Inviter: user.Shown(inv.Inviter),
		CreatedAt: inv.CreatedAt, ExpiresAt: inv.ExpiresAt, Token: inv.Secret,
	}
	if inv.Link != "" {
		out.Link = &inv.Link
	}
	return issued{out}, nil
}

type invitationRequest struct {
	ProjectID    int64 `json:"project_id"`
	InvitationID int64 `json:"invitation_id"`
}

func (h *Handlers) revokeInvitation(ctx context.Context, r invitationRequest) (gone, error) {
	return gone{}, h.Invitations.Revoke(ctx, tenant.From(ctx), tenant.Project(r.ProjectID), r.InvitationID)
}

type acceptInvitationRequest struct {
	Body InvitationAccept `json:"body"`
}

func (h *Handlers) acceptInvitation(ctx context.Context, r acceptInvitationRequest) (ProjectResponse, error) {
	caller, err := person(ctx)
	if err != nil {
		return ProjectResponse{}, err
	}
	p, id, err := h.Invitations.Accept(ctx, caller, r.Body.Token)
	if err != nil {
		return ProjectResponse{}, err
	}
	joined(ctx, p.ID, id)
	return projectResponse(p), nil
}

func (h *Handlers) showInvitation(ctx context.Context, r acceptInvitationRequest) (InvitationShown, error) {
	inv, err := h.Invitations.Show(ctx, r.Body.Token)
	if err != nil {
		return InvitationShown{}, err
	}
	return InvitationShown{
		Project: inv.Name, Role: string(inv.Role), Inviter: user.Shown(inv.Inviter), Email: shown(inv.Email), ExpiresAt: inv.ExpiresAt,
	}, nil
}

// shown is an address as people write it, if there is one.
func shown(address *string) *string {
	if address == nil {
		return nil
	}
	text := user.Shown(*address)
	return &text
}

// joined says to the audit logs which project somebody has come into, and by which
// invitation: the secret that the call came with names neither.
func joined(ctx context.Context, p tenant.Project, invitation int64) {
	bus.ActedIn(ctx, p)
	bus.Noted(ctx, "project_id", strconv.FormatInt(int64(p), 10))
	bus.Noted(ctx, "invitation_id", strconv.FormatInt(invitation, 10))
}

func projectMember(m member.Member) ProjectMember {
	return ProjectMember{UserId: m.UserID, Email: user.Shown(m.Email), FullName: m.FullName, IsActive: m.Active, Role: string(m.Role), JoinedAt: m.Joined}
}
