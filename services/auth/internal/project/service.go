package project

import (
	"context"
	"fmt"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Bounds of a list.
const (
	MaxSkip      = 1_000_000
	MaxLimit     = 1000
	DefaultLimit = 100
)

// Service creates, shows and changes projects.
type Service struct {
	Projects store
	Now      func() time.Time
}

// store keeps projects. Every write is refused to a caller whose session, key, account
// or role has ended meanwhile: by [session.ErrEnded], [key.ErrEnded], [user.ErrInactive],
// [ErrForbidden], or [ErrNotFound] for who does not belong to the project any more.
type store interface {
	// Create makes the project with its owner as member, the owner's default if
	// there is none, and says so in events. It returns [ErrExists] for a name
	// that the owner has used.
	Create(ctx context.Context, owner tenant.Identity, d Draft, now time.Time) (Project, error)
	// List returns the user's projects, oldest first.
	List(ctx context.Context, userID int64, skip, limit int) ([]Mine, error)
	// Get returns a project, or [ErrNotFound] (also while it is being deleted).
	Get(ctx context.Context, id tenant.Project) (Project, error)
	// Update locks the project, asks change, and keeps and says what is different
	// afterwards. When the owner is, the roles follow; by is who did it.
	Update(ctx context.Context, id tenant.Project, by tenant.Identity, now time.Time, change Change) (Project, error)
}

// Change decides under the lock of a project what becomes of it; changed false
// leaves it as it is.
type Change func(p Project, m Members) (out Project, changed bool, err error)

// Members finds active members of the project that is changed; both return 0
// when there is none.
type Members struct {
	ByAddress func(address string) (int64, error)
	ByID      func(id int64) (int64, error)
}

// Create makes a project of the caller.
func (s Service) Create(ctx context.Context, caller tenant.Identity, d Draft) (Mine, error) {
	d, err := d.Check()
	if err != nil {
		return Mine{}, err
	}
	p, err := s.Projects.Create(ctx, caller, d, s.Now())
	if err != nil {
		return Mine{}, err
	}
	return Mine{Project: p, Role: tenant.Owner}, nil
}

// List returns a page of the projects that the user belongs to, oldest first.
func (s Service) List(ctx context.Context, userID int64, skip, limit int) ([]Mine, error) {
	if err := Page(skip, limit); err != nil {
		return nil, err
	}
	return s.Projects.List(ctx, userID, skip, limit)
}

// Page refuses what is no page of a list.
func Page(skip, limit int) error {
	switch {
	case skip < 0 || skip > MaxSkip:
		return errs.InvalidField("out_of_range", "skip must be between 0 and 1000000", "query", "skip")
	case limit < 1 || limit > MaxLimit:
		return errs.InvalidField("out_of_range", "limit must be between 1 and 1000", "query", "limit")
	}
	return nil
}

// Get returns the project of the caller.
func (s Service) Get(ctx context.Context, caller tenant.Identity, id tenant.Project) (Mine, error) {
	if err := Permit(caller, id, tenant.Viewer); err != nil {
		return Mine{}, err
	}
	p, err := s.Projects.Get(ctx, id)
	if err != nil {
		return Mine{}, err
	}
	return Mine{Project: p, Role: caller.Role}, nil
}

// Update changes the fields of the patch that are set. A new owner must be a
// member; naming one takes the owner role, and leaves the old owner an admin.
func (s Service) Update(ctx context.Context, caller tenant.Identity, id tenant.Project, patch Patch) (Mine, error) {
	if err := Permit(caller, id, tenant.Admin); err != nil {
		return Mine{}, err
	}
	patch, err := patch.check()
	if err != nil {
		return Mine{}, err
	}
	role := caller.Role
	p, err := s.Projects.Update(ctx, id, caller, s.Now(), func(p Project, m Members) (Project, bool, error) {
		out, changed := patch.apply(p)
		if !patch.Owner.Set || *patch.Owner.Value == p.Owner {
			return out, changed, nil
		}
		if !owns(caller, p) || caller.Key != "" { // as with transferProject: a stolen key gives nothing away
			return out, false, ErrForbidden
		}
		heir, err := m.ByAddress(*patch.Owner.Value)
		switch {
		case err != nil:
			return out, false, fmt.Errorf("look up new owner: %w", err)
		case heir == 0:
			return out, false, errs.InvalidField("value_error", "the new owner must be a member of this project", "body", "owner")
		case heir == p.OwnerID: // the same person, spelt otherwise
			return out, changed, nil
		}
		role = roleAfter(caller, p.OwnerID, heir)
		out.OwnerID = heir
		return out, true, nil
	})
	if err != nil {
		return Mine{}, err
	}
	return Mine{Project: p, Role: role}, nil
}

// Transfer gives the project to another active member; the owner before becomes
// an admin.
func (s Service) Transfer(ctx context.Context, caller tenant.Identity, id tenant.Project, to int64) (Mine, error) {
	if err := Permit(caller, id, tenant.Owner); err != nil {
		return Mine{}, err
	}
	role := caller.Role
	p, err := s.Projects.Update(ctx, id, caller, s.Now(), func(p Project, m Members) (Project, bool, error) {
		if !owns(caller, p) {
			return p, false, ErrForbidden
		}
		heir, err := m.ByID(to)
		switch {
		case err != nil:
			return p, false, fmt.Errorf("look up new owner: %w", err)
		case heir == 0:
			return p, false, errs.InvalidField("value_error", "the new owner must be a member of this project", "body", "user_id")
		case heir == p.OwnerID:
			return p, false, nil
		}
		role = roleAfter(caller, p.OwnerID, heir)
		p.OwnerID = heir
		return p, true, nil
	})
	if err != nil {
		return Mine{}, err
	}
	return Mine{Project: p, Role: role}, nil
}

// owns reports whether the caller may give the project away, as it is under its
// lock: the role of the call may be that of a moment ago.
func owns(caller tenant.Identity, p Project) bool {
	return caller.Superuser || caller.Allows(tenant.Owner) && caller.UserID == p.OwnerID
}

// roleAfter is the caller's role when the project has gone from one to the other.
func roleAfter(caller tenant.Identity, from, to int64) tenant.Role {
	switch caller.UserID {
	case from:
		return tenant.Admin
	case to: // a superuser that takes it over
		return tenant.Owner
	}
	return caller.Role
}

// Permit answers as if the project did not exist to whoever does not belong to
// it. The gateway asks the same before; whoever reaches the bus asks here.
func Permit(caller tenant.Identity, id tenant.Project, want tenant.Role) error {
	switch {
	case id <= 0, caller.Project != id, !caller.Allows(tenant.Viewer):
		return ErrNotFound
	case !caller.Allows(want):
		return ErrForbidden
	}
	return nil
}
