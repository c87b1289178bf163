package access

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/quota"
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
