package access

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/quota"
)

// Failures of a recheck.
var (
	ErrAccount = errs.New(errs.Unauthenticated, "this account does not exist any more or is inactive")
	ErrProject = errs.New(errs.NotFound, "project not found")
)

// Access is a user's standing. Without an account all is zero; without a
// project, Project and Role are. A superuser has a standing in every project,
// and a role only where it is a member.
type Access struct {
	UserID      int64
	Email       string
	Active      bool
	Superuser   bool
	SessionLive bool // true also when no session was asked for
	Project     tenant.Project
	Role        tenant.Role
	Quotas      []quota.Quota // of the project

	ServiceAccount int64 // in the place of UserID
}

// Resolver answers questions of access.
type Resolver struct {
	Standing standing
	Now      func() time.Time
}

type standing interface {
	// Access reads all of it in one statement. project 0 asks for the default; a
	// nil session is not asked for.
	Access(ctx context.Context, userID int64, project tenant.Project, session *uuid.UUID, now time.Time) (Access, error)
	// AccountAccess does so for a service account; project 0 asks for its own.
	AccountAccess(ctx context.Context, id int64, project tenant.Project) (Access, error)
}

// Resolve returns the standing of the user in the project (0: the default one),
// with that session ("": none).
func (r Resolver) Resolve(ctx context.Context, userID int64, project tenant.Project, session string) (Access, error) {
	var id *uuid.UUID
	if session != "" {
		parsed, err := uuid.Parse(session)
		if err != nil {
			parsed = uuid.Nil // never the id of a session
		}
		id = &parsed
	}
	a, err := r.Standing.Access(ctx, userID, project, id, r.Now())
	if err != nil {
		return Access{}, fmt.Errorf("resolve access of user %d: %w", userID, err)
	}
	return a, nil
}

// ResolveAccount returns the standing of a service account in the project (0: its
// own). In another than its own it has none.
func (r Resolver) ResolveAccount(ctx context.Context, id int64, project tenant.Project) (Access, error) {
	a, err := r.Standing.AccountAccess(ctx, id, project)
	if err != nil {
		return Access{}, fmt.Errorf("resolve access of service account %d: %w", id, err)
	}
	return a, nil
}

// Recheck returns the identity as it is now, for a command that waited. It
// returns [ErrAccount] or [ErrProject] when the caller may not act any more. The
// session is not asked for: what was accepted while it lived outlives it, so
// that a logout does not undo an upload. Services are taken at their word: the
// bus has verified who they are.
func (r Resolver) Recheck(ctx context.Context, id tenant.Identity, _ string) (tenant.Identity, error) {
	var a Access
	var err error
	switch {
	case id.UserID != 0:
		a, err = r.Resolve(ctx, id.UserID, id.Project, "")
	case id.ServiceAccount != 0:
		a, err = r.ResolveAccount(ctx, id.ServiceAccount, id.Project)
	default:
		return id, nil
	}
	switch {
	case err != nil:
		return tenant.Identity{}, err
	case !a.Active:
		return tenant.Identity{}, ErrAccount
	case id.Project != tenant.Instance && a.Project != id.Project:
		return tenant.Identity{}, ErrProject
	}
	id.Superuser, id.Email = a.Superuser, a.Email
	if id.Project != tenant.Instance {
		id.Role = a.Role
	}
	return id, nil
}
