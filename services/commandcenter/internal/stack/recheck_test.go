package stack

import (
	"errors"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// ladder are the permissions, each with all that a caller needs to have it.
var ladder = map[string]func(*authv1.ResolveAccessResponse) bool{
	"authenticated": func(*authv1.ResolveAccessResponse) bool { return true },
	"viewer":        func(a *authv1.ResolveAccessResponse) bool { return a.GetSuperuser() || a.GetRole() != "" },
	"member": func(a *authv1.ResolveAccessResponse) bool {
		return a.GetSuperuser() || a.GetRole() == "member" || a.GetRole() == "admin" || a.GetRole() == "owner"
	},
	"admin": func(a *authv1.ResolveAccessResponse) bool {
		return a.GetSuperuser() || a.GetRole() == "admin" || a.GetRole() == "owner"
	},
	"owner":     func(a *authv1.ResolveAccessResponse) bool { return a.GetSuperuser() || a.GetRole() == "owner" },
	"superuser": (*authv1.ResolveAccessResponse).GetSuperuser,
}

func TestEveryCommandThatWaitedNeedsWhatTheContractSays(t *testing.T) {
	t.Parallel()
	ops, err := Operations()
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, op := range ops {
		if op.Delivery != "command" && op.Delivery != "upload" {
			continue
		}
		may := ladder[op.Permission]
		if may == nil {
			t.Errorf("%s takes %q", op.ID, op.Permission)
			continue
		}
		for _, project := range []tenant.Project{tenant.Instance, 7} {
			for _, role := range []string{"", "viewer", "member", "admin", "owner"} {
				for _, superuser := range []bool{false, true} {
					if project == tenant.Instance && op.Permission != "authenticated" && op.Permission != "superuser" {
						continue // there are no roles
					}
					now := &authv1.ResolveAccessResponse{Active: true, ProjectId: int32(project), Role: role, Superuser: superuser}
					// The call came in as of an owner.
					id, err := judge(tenant.Identity{UserID: 3, Project: project, Role: tenant.Owner, Superuser: true}, now, permissionOf(op.ID))
					if may(now) != (err == nil) || err != nil && !errors.Is(err, errRole) {
						t.Errorf("%s in %s as %q (superuser: %v): %v", op.ID, project.Token(), role, superuser, err)
					}
					if err == nil && (id.Superuser != superuser || project != tenant.Instance && id.Role != tenant.Role(role)) {
						t.Errorf("%s runs as %+v", op.ID, id)
					}
					judged++
				}
			}
		}
	}
	if judged == 0 {
		t.Error("no command")
	}
}

func TestTheRightsOfACommandThatWaitedAreTheCallersOfNow(t *testing.T) {
	t.Parallel()
	unknown := permissionOf("noSuchOperation")
	for name, c := range map[string]struct {
		project tenant.Project
		takes   string
		now     *authv1.ResolveAccessResponse
		want    error
	}{
		"an owner":                              {7, "owner", &authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Role: string(tenant.Owner)}, nil},
		"a superuser that is no member":         {7, "owner", &authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Superuser: true}, nil},
		"a viewer":                              {7, "member", &authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Role: string(tenant.Viewer)}, errRole},
		"no member":                             {7, "viewer", &authv1.ResolveAccessResponse{Active: true, ProjectId: 7}, errRole},
		"a member elsewhere":                    {7, "viewer", &authv1.ResolveAccessResponse{Active: true, ProjectId: 8, Role: string(tenant.Owner)}, errProject},
		"a superuser that is switched off":      {7, "owner", &authv1.ResolveAccessResponse{ProjectId: 7, Superuser: true}, errAccount},
		"a superuser in a project that is gone": {7, "owner", &authv1.ResolveAccessResponse{Active: true, Superuser: true}, errProject},
		"no superuser any more, in none":        {0, "superuser", &authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Role: string(tenant.Owner)}, errRole},
		"an owner and an unknown operation":     {7, unknown, &authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Role: string(tenant.Owner)}, errRole},
	} {
		_, err := judge(tenant.Identity{UserID: 3, Project: c.project}, c.now, c.takes)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
