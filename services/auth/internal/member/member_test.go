package member

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
)

const here tenant.Project = 42

// desk is a project of four, as it is under its lock.
type desk struct {
	roles   map[int64]tenant.Role
	removed []int64
	chosen  int64
}

func newDesk() *desk {
	return &desk{roles: map[int64]tenant.Role{1: tenant.Owner, 2: tenant.Admin, 3: tenant.Member, 4: tenant.Viewer, 5: tenant.Admin}}
}

func (d *desk) List(_ context.Context, _ tenant.Project, skip, limit int) ([]Member, error) {
	return make([]Member, min(limit, len(d.roles)-skip)), nil
}

func (d *desk) ask(by tenant.Identity, userID int64, decide Decision) (tenant.Role, error) {
	if d.roles[userID] == tenant.NoRole {
		return "", ErrNone
	}
	by.Role = d.roles[by.UserID]
	return decide(by, d.roles[userID])
}

func (d *desk) SetRole(_ context.Context, _ tenant.Project, by tenant.Identity, userID int64, decide Decision) (Member, error) {
	role, err := d.ask(by, userID, decide)
	if err != nil {
		return Member{}, err
	}
	d.roles[userID] = role
	return Member{UserID: userID, Role: role}, nil
}

func (d *desk) Remove(_ context.Context, _ tenant.Project, by tenant.Identity, userID int64, _ bool, _ time.Time, decide Decision) error {
	if _, err := d.ask(by, userID, decide); err != nil {
		return err
	}
	delete(d.roles, userID)
	d.removed = append(d.removed, userID)
	return nil
}

func (d *desk) SetDefault(_ context.Context, _ tenant.Project, by tenant.Identity) error {
	if d.roles[by.UserID] == tenant.NoRole {
		return ErrNone
	}
	d.chosen = by.UserID
	return nil
}

func caller(id int64, role tenant.Role) tenant.Identity {
	return tenant.Identity{Principal: "user", UserID: id, Project: here, Role: role}
}

var (
	owner     = caller(1, tenant.Owner)
	admin     = caller(2, tenant.Admin)
	member    = caller(3, tenant.Member)
	viewer    = caller(4, tenant.Viewer)
	superuser = tenant.Identity{UserID: 9, Project: here, Superuser: true}
	stranger  = tenant.Identity{UserID: 8, Project: here}
	elsewhere = tenant.Identity{UserID: 1, Project: 43, Role: tenant.Owner}
	demoted   = caller(3, tenant.Admin) // the call says admin, the row says member
	gone      = caller(7, tenant.Admin) // the call says admin, there is no row
)

func service(d *desk) Service { return Service{Members: d, Now: time.Now} }

func TestWhoMayChangeWhoseRole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		who    tenant.Identity
		target int64
		role   tenant.Role
		want   error
	}{
		{"the owner makes an admin", owner, 3, tenant.Admin, nil},
		{"an admin makes an admin", admin, 3, tenant.Admin, nil},
		{"an admin makes an admin a viewer", admin, 5, tenant.Viewer, nil},
		{"an admin steps down", admin, 2, tenant.Member, nil},
		{"an admin and the owner", admin, 1, tenant.Member, ErrOwner},
		{"the owner steps down", owner, 1, tenant.Admin, ErrOwner},
		{"a superuser and the owner", superuser, 1, tenant.Admin, ErrOwner},
		{"a superuser that is no member", superuser, 4, tenant.Admin, nil},
		{"a member", member, 4, tenant.Viewer, project.ErrForbidden},
		{"a viewer", viewer, 3, tenant.Viewer, project.ErrForbidden},
		{"an admin of a moment ago", demoted, 4, tenant.Member, project.ErrForbidden},
		{"an admin that was removed", gone, 4, tenant.Member, project.ErrForbidden},
		{"a stranger", stranger, 4, tenant.Member, project.ErrNotFound},
		{"an owner of another project", elsewhere, 4, tenant.Member, project.ErrNotFound},
		{"somebody who is no member", admin, 8, tenant.Member, ErrNone},
	} {
		d := newDesk()
		before := d.roles[c.target]
		m, err := service(d).SetRole(t.Context(), c.who, here, c.target, c.role)
		if !errors.Is(err, c.want) || err == nil && m.Role != c.role {
			t.Errorf("%s: %+v, %v; want %v", c.name, m, err, c.want)
		}
		if err != nil && d.roles[c.target] != before {
			t.Errorf("%s: refused and done", c.name)
		}
	}
}

func TestNobodyIsMadeAnOwnerOrWhatThereIsNot(t *testing.T) {
	t.Parallel()
	for _, role := range []tenant.Role{tenant.Owner, tenant.NoRole, "emperor"} {
		if _, err := service(newDesk()).SetRole(t.Context(), owner, here, 3, role); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", role, err)
		}
	}
}

func TestWhoMayRemoveWhom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		who    tenant.Identity
		target int64
		want   error
	}{
		{"an admin removes a member", admin, 3, nil},
		{"an admin removes an admin", admin, 5, nil},
		{"an admin removes the owner", admin, 1, ErrOwner},
		{"a superuser removes the owner", superuser, 1, ErrOwner},
		{"a superuser removes an admin", superuser, 2, nil},
		{"a member removes a viewer", member, 4, project.ErrForbidden},
		{"an admin of a moment ago", demoted, 4, project.ErrForbidden},
		{"a stranger", stranger, 4, project.ErrNotFound},
		{"nobody to remove", admin, 8, ErrNone},
	} {
		d := newDesk()
		err := service(d).Remove(t.Context(), c.who, here, c.target, false)
		if !errors.Is(err, c.want) || (err == nil) != (len(d.removed) == 1) {
			t.Errorf("%s: %v, removed %v; want %v", c.name, err, d.removed, c.want)
		}
	}
}

func TestEverybodyButTheOwnerMayLeave(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		who  tenant.Identity
		want error
	}{{owner, ErrOwner}, {admin, nil}, {viewer, nil}, {superuser, ErrNoMember}, {stranger, project.ErrNotFound}} {
		d := newDesk()
		if err := service(d).Leave(t.Context(), c.who, here); !errors.Is(err, c.want) || (err == nil) != (len(d.removed) == 1) {
			t.Errorf("user %d: %v, removed %v; want %v", c.who.UserID, err, d.removed, c.want)
		}
	}
}

func TestADefaultIsChosenAmongOnesOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		who  tenant.Identity
		want error
	}{{viewer, nil}, {superuser, ErrNoMember}, {stranger, project.ErrNotFound}} {
		d := newDesk()
		if err := service(d).SetDefault(t.Context(), c.who, here); !errors.Is(err, c.want) || err == nil && d.chosen != c.who.UserID {
			t.Errorf("user %d: %v; want %v", c.who.UserID, err, c.want)
		}
	}
}

func TestMembersSeeEachOtherInPages(t *testing.T) {
	t.Parallel()
	if all, err := service(newDesk()).List(t.Context(), viewer, here, 0, 100); err != nil || len(all) != 5 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := service(newDesk()).List(t.Context(), stranger, here, 0, 100); !errors.Is(err, project.ErrNotFound) {
		t.Error(err)
	}
	for _, page := range [][2]int{{-1, 1}, {0, 0}, {0, 1001}} {
		if _, err := service(newDesk()).List(t.Context(), viewer, here, page[0], page[1]); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v: %v", page, err)
		}
	}
}
