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

func TestAServiceAccountIsAskedForByItsIDAndFaultsSayWhose(t *testing.T) {
	t.Parallel()
	a, err := answering(Access{Active: true, Project: 42, Role: tenant.Member}).ResolveAccount(t.Context(), 9, 42)
	if err != nil || a.Role != tenant.Member || a.Project != 42 {
		t.Errorf("%+v, %v", a, err)
	}
	away := errors.New("away")
	broken := Resolver{Now: time.Now, Standing: file(func(int64, tenant.Project, *uuid.UUID) (Access, error) { return Access{}, away })}
	if _, err := broken.ResolveAccount(t.Context(), 9, 42); !errors.Is(err, away) || err.Error() != "resolve access of service account 9: away" {
		t.Error(err)
	}
}
