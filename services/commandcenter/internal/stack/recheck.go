package stack

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	"github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/gateway"
)

// Why a command that waited is refused.
var (
	errAccount = errs.New(errs.Forbidden, "the account is gone or switched off")
	errProject = errs.New(errs.NotFound, "there is no such project")
	errKey     = errs.New(errs.Forbidden, "the API key has ended, or its scopes do not allow this")
	errRole    = errs.New(errs.Forbidden, "the role in the project does not allow this any more")
)

// recheck decides the rights of a command's caller again when it runs late, by
// x-permission of the contract and by asking the service that knows. It is that of
// every service's bus, so that no service has to think of it. The session is not
// asked for: what was accepted while it lived outlives it, but for what auth keeps, which
// looks at it itself. An API key is: whoever
// revokes one means what it has left behind as well, and may not know who holds it.
// Services are taken at their word; the bus has verified who they are.
func recheck(ctx context.Context, b *bus.Bus, id tenant.Identity, operation string) (tenant.Identity, error) {
	if id.UserID == 0 && id.ServiceAccount == 0 {
		return id, nil
	}
	res, err := bus.CallInternal[*authv1.ResolveAccessResponse](ctx, b, auth.Name, "resolveAccess", &authv1.ResolveAccessRequest{
		UserId: int32(id.UserID), ProjectId: int32(id.Project), ServiceAccountId: int32(id.ServiceAccount), KeyId: id.Key, // G115: all are sequences of int4
	})
	if err != nil {
		return tenant.Identity{}, err // a fault: the command comes again
	}
	if id, err = keyed(id, res, operation); err != nil {
		return tenant.Identity{}, err
	}
	return judge(id, res, permissionOf(operation))
}

// keyed holds a call that was made with an API key to what the key is now. Its
// holder may be a superuser with it or not: that is said by Superuser.
func keyed(id tenant.Identity, now *authv1.ResolveAccessResponse, operation string) (tenant.Identity, error) {
	if id.Key == "" {
		return id, nil
	}
	if now.GetKeyId() != id.Key {
		return tenant.Identity{}, errs.New(errs.Unavailable, "the auth service is of a version that is not asked for keys: again, when it is replaced")
	}
	may, superuser, err := gateway.KeyMay(now.GetKeyScopes(), operation)
	switch {
	case err != nil:
		return tenant.Identity{}, err
	case !now.GetKeyLive(), !may:
		return tenant.Identity{}, errKey
	}
	id.Superuser = superuser
	return id, nil
}

func judge(id tenant.Identity, now *authv1.ResolveAccessResponse, permission string) (tenant.Identity, error) {
	// A key may have less than its holder, and never gets more.
	id.Superuser, id.Email = now.GetSuperuser() && (id.Key == "" || id.Superuser), now.GetEmail()
	if !now.GetActive() {
		return tenant.Identity{}, errAccount
	}
	id.Role = tenant.NoRole
	if id.Project != tenant.Instance {
		if tenant.Project(now.GetProjectId()) != id.Project {
			return tenant.Identity{}, errProject
		}
		id.Role = tenant.Role(now.GetRole())
	}
	if !allows(id, permission) {
		return tenant.Identity{}, errRole
	}
	return id, nil
}

// allows reports whether the caller has the permission. One that nobody knows is
// the superuser's.
func allows(id tenant.Identity, permission string) bool {
	switch permission {
	case "public", "authenticated":
		return true
	case string(tenant.Viewer), string(tenant.Member), string(tenant.Admin), string(tenant.Owner):
		return id.Allows(tenant.Role(permission))
	}
	return id.Superuser
}

// permissionOf is the x-permission of an operation, "" for one that the contract
// does not know.
func permissionOf(operation string) string {
	ops, err := Operations()
	if err != nil {
		return ""
	}
	for _, op := range ops {
		if op.ID == operation {
			return op.Permission
		}
	}
	return ""
}
