package member

import (
	"context"
	"errors"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
)

// Failures that a caller is told.
var (
	ErrNone     = errs.New(errs.NotFound, "this user is no member of the project")
	ErrOwner    = errs.New(errs.Conflict, "this is the owner of the project: transfer it to somebody else first")
	ErrNoMember = errs.New(errs.Conflict, "you are no member of this project")
)

// Member is a user in a project.
type Member struct {
	UserID   int64
	Email    string
	FullName *string
	Active   bool // the account is not switched off
	Role     tenant.Role
	Joined   time.Time
}

// Service shows and changes who belongs to a project.
type Service struct {
	Members store
	Now     func() time.Time
}

// store keeps who belongs to a project. Every write is refused to a caller whose session,
// key or account has ended meanwhile: by [session.ErrEnded], [key.ErrEnded],
// [user.ErrInactive].
type store interface {
	// List returns a page of the project's members, in the order of joining.
	List(ctx context.Context, p tenant.Project, skip, limit int) ([]Member, error)
	// SetRole locks the project, asks decide, gives the member the role that it
	// returns, and says so. It returns [project.ErrNotFound] and [ErrNone].
	SetRole(ctx context.Context, p tenant.Project, by tenant.Identity, userID int64, decide Decision) (Member, error)
	// Remove locks the project, asks decide, and ends the membership, with its
	// facts; with keys it revokes those that the user has made for service accounts
	// there. A default that it was becomes the user's oldest other project. It
	// returns [project.ErrNotFound] and [ErrNone].
	Remove(ctx context.Context, p tenant.Project, by tenant.Identity, userID int64, keys bool, now time.Time, decide Decision) error
	// SetDefault makes the project the caller's default, or returns [ErrNone].
	SetDefault(ctx context.Context, p tenant.Project, by tenant.Identity) error
}

// Decision says under the lock of the project which role a member shall have,
// who has the role has; the caller is now as it is then, without a role when it is no
// member any more. When the membership is to end the role is ignored.
type Decision func(now tenant.Identity, has tenant.Role) (tenant.Role, error)

// List returns a page of the members, in the order of joining.
func (s Service) List(ctx context.Context, caller tenant.Identity, p tenant.Project, skip, limit int) ([]Member, error) {
	if err := project.Permit(caller, p, tenant.Viewer); err != nil {
		return nil, err
	}
	if err := project.Page(skip, limit); err != nil {
		return nil, err
	}
	return s.Members.List(ctx, p, skip, limit)
}

// SetRole gives a member another role, at most the caller's own. The owner's
// changes by a transfer alone.
func (s Service) SetRole(ctx context.Context, caller tenant.Identity, p tenant.Project, userID int64, role tenant.Role) (Member, error) {
	if err := project.Permit(caller, p, tenant.Admin); err != nil {
		return Member{}, err
	}
	if role == tenant.Owner || !role.Allows(tenant.Viewer) {
		return Member{}, errs.InvalidField("enum", "the role must be viewer, member or admin", "body", "role")
	}
	return s.Members.SetRole(ctx, p, caller, userID, func(now tenant.Identity, target tenant.Role) (tenant.Role, error) {
		return role, manages(now, target, role)
	})
}

// Remove ends another's membership, and with keys the keys that it has made for service
// accounts of the project, which it may know. Without, they go on: programs use them.
func (s Service) Remove(ctx context.Context, caller tenant.Identity, p tenant.Project, userID int64, keys bool) error {
	if err := project.Permit(caller, p, tenant.Admin); err != nil {
		return err
	}
	return s.Members.Remove(ctx, p, caller, userID, keys, s.Now(), func(now tenant.Identity, target tenant.Role) (tenant.Role, error) {
		return tenant.NoRole, manages(now, target, tenant.NoRole)
	})
}

// Leave ends the caller's membership.
func (s Service) Leave(ctx context.Context, caller tenant.Identity, p tenant.Project) error {
	if err := project.Permit(caller, p, tenant.Viewer); err != nil {
		return err
	}
	err := s.Members.Remove(ctx, p, caller, caller.UserID, false, s.Now(), func(_ tenant.Identity, target tenant.Role) (tenant.Role, error) {
		if target == tenant.Owner {
			return tenant.NoRole, ErrOwner
		}
		return tenant.NoRole, nil
	})
	return own(err)
}

// SetDefault makes the project that of the caller's calls that name none.
func (s Service) SetDefault(ctx context.Context, caller tenant.Identity, p tenant.Project) error {
	if err := project.Permit(caller, p, tenant.Viewer); err != nil {
		return err
	}
	return own(s.Members.SetDefault(ctx, p, caller))
}

// own tells a superuser that is no member what is missing.
func own(err error) error {
	if errors.Is(err, ErrNone) {
		return ErrNoMember
	}
	return err
}

// manages refuses a caller that may not, as things are under the lock.
func manages(now tenant.Identity, target, role tenant.Role) error {
	switch {
	case !now.Allows(tenant.Admin), !now.Allows(role):
		return project.ErrForbidden
	case target == tenant.Owner:
		return ErrOwner
	}
	return nil
}
