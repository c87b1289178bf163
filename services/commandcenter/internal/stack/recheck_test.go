package stack

import (
	"errors"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
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

func TestACommandThatWaitedStopsWithTheKeyThatGaveIt(t *testing.T) {
	t.Parallel()
	live := func(id string, scopes ...string) *authv1.ResolveAccessResponse {
		return &authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Role: string(tenant.Owner), KeyId: id, KeyLive: true, KeyScopes: scopes}
	}
	for name, c := range map[string]struct {
		now  *authv1.ResolveAccessResponse
		op   string
		want error
		kind errs.Kind
	}{
		"a live one":              {live("k", "knowledge:write"), "deleteDocument", nil, ""},
		"one for everything":      {live("k", "*:admin"), "deleteDocument", nil, ""},
		"one that has ended":      {&authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Role: string(tenant.Owner), KeyId: "k"}, "deleteDocument", errKey, errs.Forbidden},
		"fewer scopes":            {live("k", "knowledge:read"), "deleteDocument", errKey, errs.Forbidden},
		"scopes elsewhere":        {live("k", "projects:admin"), "deleteDocument", errKey, errs.Forbidden},
		"an unknown operation":    {live("k", "*:admin"), "noSuchOperation", errKey, errs.Forbidden},
		"an auth of before":       {live("", "*:admin"), "deleteDocument", nil, errs.Unavailable}, // it comes again
		"an answer about another": {live("other", "*:admin"), "deleteDocument", nil, errs.Unavailable},
	} {
		_, err := keyed(tenant.Identity{UserID: 3, Project: 7, Key: "k"}, c.now, c.op)
		if c.kind == "" && err != nil || c.kind != "" && errs.KindOf(err) != c.kind || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// With a key without an admin scope a superuser is none.
	now := live("k", "users:write")
	now.Superuser = true
	for scope, want := range map[string]bool{"knowledge:write": false, "knowledge:admin": true} {
		now.KeyScopes = []string{scope}
		id, err := keyed(tenant.Identity{UserID: 3, Project: 7, Superuser: true, Key: "k"}, now, "deleteDocument")
		if err == nil {
			id, err = judge(id, now, permissionOf("deleteDocument"))
		}
		if err != nil || id.Superuser != want {
			t.Errorf("with %s: superuser %v, %v", scope, id.Superuser, err)
		}
	}
	if id, err := keyed(tenant.Identity{UserID: 3}, &authv1.ResolveAccessResponse{}, "deleteDocument"); err != nil || id.UserID != 3 {
		t.Errorf("without a key: %+v, %v", id, err)
	}
}
