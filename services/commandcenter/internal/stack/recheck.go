package stack

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	"github.com/commandcenter/commandcenter/services/auth"
)

// Why a command that waited is refused.
var (
	errAccount = errs.New(errs.Forbidden, "the account is gone or switched off")
	errProject = errs.New(errs.NotFound, "there is no such project")
	errRole    = errs.New(errs.Forbidden, "the role in the project does not allow this any more")
)

// recheck decides the rights of a command's caller again when it runs late, by
// asking the service that knows. The session is not asked for: what was
// accepted while it lived outlives it. Services are taken at their word; the
// bus has verified who they are.
func recheck(b *bus.Bus) func(ctx context.Context, id tenant.Identity, operation string) (tenant.Identity, error) {
	return func(ctx context.Context, id tenant.Identity, operation string) (tenant.Identity, error) {
		if id.UserID == 0 && id.ServiceAccount == 0 {
			return id, nil
		}
		res, err := bus.CallInternal[*authv1.ResolveAccessResponse](ctx, b, auth.Name, "resolveAccess", &authv1.ResolveAccessRequest{
			UserId: int32(id.UserID), ProjectId: int32(id.Project), ServiceAccountId: int32(id.ServiceAccount), //nolint:gosec // G115: all are sequences of int4
		})
		if err != nil {
			return tenant.Identity{}, err // a fault: the command comes again
		}
		return judge(id, res, operation)
	}
}

func judge(id tenant.Identity, now *authv1.ResolveAccessResponse, operation string) (tenant.Identity, error) {
	id.Superuser, id.Email = now.GetSuperuser(), now.GetEmail()
	switch {
	case !now.GetActive():
		return tenant.Identity{}, errAccount
	case id.Project == tenant.Instance:
		return id, nil
	case tenant.Project(now.GetProjectId()) != id.Project:
		return tenant.Identity{}, errProject
	}
	id.Role = tenant.Role(now.GetRole())
	if want := roleFor(operation); !id.Allows(want) {
		return tenant.Identity{}, errRole
	}
	return id, nil
}

// roleFor is the least role of an operation, by the contract; the highest for
// one that it does not know.
func roleFor(operation string) tenant.Role {
	ops, err := Operations()
	if err != nil {
		return tenant.Owner
	}
	for _, op := range ops {
		if op.ID != operation {
			continue
		}
		switch r := tenant.Role(op.Permission); r {
		case tenant.Viewer, tenant.Member, tenant.Admin, tenant.Owner:
			return r
		}
		return tenant.NoRole
	}
	return tenant.Owner
}
