package tenant_test

import (
	"math"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func TestATokenNamesOneProject(t *testing.T) {
	t.Parallel()
	for p, want := range map[tenant.Project]string{tenant.Instance: "instance", 1: "p1", 42: "p42", math.MaxInt64: "p9223372036854775807"} {
		if got := p.Token(); got != want {
			t.Errorf("token of %d: %q, want %q", p, got, want)
		}
		if got, err := tenant.ParseToken(want); err != nil || got != p {
			t.Errorf("parse %q: %d, %v", want, got, err)
		}
	}
}

// A second spelling of a project would be a second subject.
func TestATokenHasOneSpelling(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "p", "42", "p0", "p-1", "p+1", "p042", "P42", "p42 ", "p4.2", "*", ">", "p9223372036854775808", "Instance"} {
		if p, err := tenant.ParseToken(s); err == nil {
			t.Errorf("%q is project %d", s, p)
		}
	}
}

func TestAHigherRoleMayDoAllThatALowerOneMay(t *testing.T) {
	t.Parallel()
	ladder := []tenant.Role{tenant.NoRole, tenant.Viewer, tenant.Member, tenant.Admin, tenant.Owner}
	for i, has := range ladder {
		for j, wants := range ladder {
			if got := has.Allows(wants); got != (i >= j) {
				t.Errorf("%q allows %q: %v", has, wants, got)
			}
		}
	}
}

func TestAnUnknownRoleAllowsNothing(t *testing.T) {
	t.Parallel()
	for _, wants := range []tenant.Role{tenant.Viewer, tenant.Owner, "emperor"} {
		if tenant.Role("emperor").Allows(wants) {
			t.Errorf("an unknown role allows %q", wants)
		}
	}
	if tenant.Owner.Allows("emperor") {
		t.Error("an owner may do what nobody has defined")
	}
}

func TestAContextCarriesWhoIsCalling(t *testing.T) {
	t.Parallel()
	if id := tenant.From(t.Context()); !id.Anonymous() || id.Project != tenant.Instance || id.Role != tenant.NoRole {
		t.Errorf("nobody is %+v", id)
	}
	want := tenant.Identity{Project: 7, Principal: "user:3", UserID: 3, Role: tenant.Admin}
	ctx := tenant.With(t.Context(), want)
	if got := tenant.From(ctx); got != want || got.Anonymous() {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := tenant.From(tenant.With(ctx, tenant.Identity{})); !got.Anonymous() {
		t.Errorf("an inner caller does not hide the outer one: %+v", got)
	}
}
