package stack

import (
	"errors"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

func TestTheRightsOfACommandThatWaitedAreTheCallersOfNow(t *testing.T) {
	t.Parallel()
	const unknown = "noSuchOperation" // which asks for the highest role
	for name, c := range map[string]struct {
		now  *authv1.ResolveAccessResponse
		want error
	}{
		"an owner":                              {&authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Role: string(tenant.Owner)}, nil},
		"a superuser that is no member":         {&authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Superuser: true}, nil},
		"a viewer":                              {&authv1.ResolveAccessResponse{Active: true, ProjectId: 7, Role: string(tenant.Viewer)}, errRole},
		"no member":                             {&authv1.ResolveAccessResponse{Active: true, ProjectId: 7}, errRole},
		"a superuser that is switched off":      {&authv1.ResolveAccessResponse{ProjectId: 7, Superuser: true}, errAccount},
		"a superuser in a project that is gone": {&authv1.ResolveAccessResponse{Active: true, Superuser: true}, errProject},
	} {
		_, err := judge(tenant.Identity{UserID: 3, Project: 7}, c.now, unknown)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
