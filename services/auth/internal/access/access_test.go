package access

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

type file func(userID int64, p tenant.Project, session *uuid.UUID) (Access, error)

func (f file) Access(_ context.Context, userID int64, p tenant.Project, session *uuid.UUID, _ time.Time) (Access, error) {
	return f(userID, p, session)
}

func (f file) AccountAccess(context.Context, int64, tenant.Project) (Access, error) {
	return f(0, 0, nil)
}

func answering(a Access) Resolver {
	return Resolver{Standing: file(func(int64, tenant.Project, *uuid.UUID) (Access, error) { return a, nil }), Now: func() time.Time { return monday }}
}

func TestSuperuserHasTheRoleOfItsMembership(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   Access
		want tenant.Role
	}{
		"not a member":   {Access{Active: true, Superuser: true, Project: 42}, tenant.NoRole},
		"a viewer":       {Access{Active: true, Superuser: true, Project: 42, Role: tenant.Viewer}, tenant.Viewer},
		"no project":     {Access{Active: true, Superuser: true}, tenant.NoRole},
		"switched off":   {Access{Superuser: true, Project: 42}, tenant.NoRole},
		"a plain member": {Access{Active: true, Project: 42, Role: tenant.Member}, tenant.Member},
	} {
		if a, err := answering(c.in).Resolve(t.Context(), 7, 42, ""); err != nil || a.Role != c.want {
			t.Errorf("%s: role %q, %v; want %q", name, a.Role, err, c.want)
		}
	}
}

func TestSessionIsAskedForOnlyWhenThereIsOne(t *testing.T) {
	t.Parallel()
	want := uuid.New()
	for text, check := range map[string]func(*uuid.UUID) bool{
		"":            func(id *uuid.UUID) bool { return id == nil },
		want.String(): func(id *uuid.UUID) bool { return id != nil && *id == want },
		"garbled":     func(id *uuid.UUID) bool { return id != nil && *id == uuid.Nil },
	} {
		r := Resolver{Now: time.Now, Standing: file(func(_ int64, _ tenant.Project, id *uuid.UUID) (Access, error) {
			if !check(id) {
				t.Errorf("session %q asked for as %v", text, id)
			}
			return Access{}, nil
		})}
		if _, err := r.Resolve(t.Context(), 7, 0, text); err != nil {
			t.Error(err)
		}
	}
}

func TestRecheckGivesTheStandingOfNow(t *testing.T) {
	t.Parallel()
	id := tenant.Identity{Principal: "user:7", UserID: 7, Email: "old@example.org", Project: 42, Role: tenant.Owner, Session: "s"}
	for name, c := range map[string]struct {
		now  Access
		id   tenant.Identity
		want error
		role tenant.Role
	}{
		"unchanged":       {Access{UserID: 7, Active: true, Project: 42, Role: tenant.Owner}, id, nil, tenant.Owner},
		"demoted":         {Access{UserID: 7, Active: true, Project: 42, Role: tenant.Viewer}, id, nil, tenant.Viewer},
		"no longer there": {Access{UserID: 7, Active: true}, id, ErrProject, ""},
		"switched off":    {Access{UserID: 7, Project: 42, Role: tenant.Owner}, id, ErrAccount, ""},
		"account gone":    {Access{}, id, ErrAccount, ""},
		"no project":      {Access{UserID: 7, Active: true, Project: 1, Role: tenant.Owner}, tenant.Identity{UserID: 7}, nil, tenant.NoRole},
		"an account":      {Access{ServiceAccount: 3, Active: true, Project: 42, Role: tenant.Viewer}, tenant.Identity{ServiceAccount: 3, Project: 42, Role: tenant.Admin}, nil, tenant.Viewer},
		"account ended":   {Access{}, tenant.Identity{ServiceAccount: 3, Project: 42, Role: tenant.Admin}, ErrAccount, ""},
		"a service":       {Access{}, tenant.Identity{Principal: "service:knowledge", Project: 42}, nil, tenant.NoRole},
	} {
		got, err := answering(c.now).Recheck(t.Context(), c.id, "createProject")
		if !errors.Is(err, c.want) || err == nil && got.Role != c.role {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	gone := errors.New("gone")
	r := Resolver{Now: time.Now, Standing: file(func(int64, tenant.Project, *uuid.UUID) (Access, error) { return Access{}, gone })}
	if _, err := r.Recheck(t.Context(), id, ""); !errors.Is(err, gone) {
		t.Errorf("fault: %v", err)
	}
}
