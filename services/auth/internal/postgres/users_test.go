package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

func TestRegistrationMakesAccountProjectMembershipAndTheirEventsTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name := "Jo Smith"
	u, err := w.users.Create(w.ctx(), user.Draft{Email: "jo@example.org", FullName: &name, Hash: hash}, monday)
	w.must(err)
	if u.Email != "jo@example.org" || *u.FullName != name || !u.Active || u.Superuser || !u.CreatedAt.Equal(monday) || u.Version != 1 {
		t.Errorf("u = %+v", u)
	}
	mine, err := w.projects.List(w.ctx(), u.ID, 0, 100)
	w.must(err)
	if len(mine) != 1 || mine[0].Name != project.DefaultName || mine[0].Owner != "jo@example.org" || mine[0].Role != tenant.Owner {
		t.Fatalf("projects = %+v", mine)
	}
	if n := w.count(`SELECT count(*) FROM memberships WHERE user_id = $1 AND is_default AND role = 'owner'`, u.ID); n != 1 {
		t.Errorf("%d default memberships", n)
	}
	p := mine[0].ID.Token()
	want := []string{"evt." + p + ".auth.project.created.v1", "evt." + p + ".auth.membership.changed.v1", "evt.instance.auth.user.registered.v1"}
	if got := w.facts(); !slices.Equal(got, want) {
		t.Errorf("facts = %v, want %v", got, want)
	}
	got, err := w.users.Get(w.ctx(), u.ID)
	if err != nil || got.Email != u.Email || !got.UpdatedAt.Equal(monday) {
		t.Errorf("Get = %+v, %v", got, err)
	}
	if _, err := w.users.Get(w.ctx(), 999); !errors.Is(err, user.ErrGone) {
		t.Errorf("Get of nobody: %v", err)
	}
}

func TestOfRegistrationsOfOneAddressOneWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			switch _, err := w.users.Create(w.ctx(), user.Draft{Email: "jo@example.org", Hash: hash}, monday); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, user.ErrRegistered):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 9 {
		t.Errorf("%d won, %d were refused", won.Load(), lost.Load())
	}
	if n := w.count(`SELECT count(*) FROM projects`); n != 1 {
		t.Errorf("%d projects, want 1", n)
	}
	for email, want := range map[string]bool{"jo@example.org": true, "al@example.org": false} {
		if got, err := w.users.Registered(w.ctx(), email); err != nil || got != want {
			t.Errorf("Registered(%s) = %v, %v", email, got, err)
		}
	}
}

func TestOwnerIsTheOldestSuperuser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("a@example.org")
	if _, found, err := w.users.Owner(w.ctx()); found || err != nil {
		t.Fatalf("found %v, %v", found, err)
	}
	for _, email := range []string{"b@example.org", "c@example.org"} {
		_, err := w.users.Create(w.ctx(), user.Draft{Email: email, Hash: hash, Superuser: true}, monday)
		w.must(err)
	}
	if u, found, err := w.users.Owner(w.ctx()); !found || err != nil || u.Email != "b@example.org" {
		t.Errorf("%+v, %v, %v", u, found, err)
	}
}

func TestCredentialsOfKnownAndUnknownAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, _ := w.person("jo@example.org")
	c, err := w.users.Credentials(w.ctx(), "jo@example.org", "192.0.2.1")
	w.must(err)
	if c.User.ID != u.ID || c.Hash != hash || c.Attempts != (user.Attempts{}) || !c.User.Active {
		t.Errorf("known: %+v", c)
	}
	c, err = w.users.Credentials(w.ctx(), "nobody@example.org", "192.0.2.1")
	w.must(err)
	if c != (user.Credentials{}) {
		t.Errorf("unknown: %+v", c)
	}
}

func TestFailuresAddUpUnderTheirLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("jo@example.org")
	for _, email := range []string{"jo@example.org", "nobody@example.org"} {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				err := w.users.Failed(w.ctx(), email, fmt.Sprintf("192.0.2.%d", i%2), monday, func(here, all user.Attempts) (user.Attempts, user.Attempts) {
					for _, a := range []*user.Attempts{&here, &all} {
						a.Failures++
						a.WindowFrom, a.LockedUntil = monday, monday.Add(time.Minute)
						a.Locks++
					}
					return here, all
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		c, err := w.users.Credentials(w.ctx(), email, "192.0.2.1")
		w.must(err)
		for want, a := range map[int]user.Attempts{4: c.Attempts, 8: c.Account} {
			if a.Failures != want || a.Locks != want || !a.LockedUntil.Equal(monday.Add(time.Minute)) || !a.WindowFrom.Equal(monday) {
				t.Errorf("%s: %+v, want %d failures", email, a, want)
			}
		}
	}
	if n := w.count(`SELECT count(*) FROM login_attempts WHERE convert_from(address_hash, 'LATIN1') LIKE '%example%'`); n != 0 {
		t.Error("addresses are readable in the table of attempts")
	}
}

func TestLoginForgetsFailuresAndReplacesAStaleHash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, _ := w.person("jo@example.org")
	fail := func(here, all user.Attempts) (user.Attempts, user.Attempts) {
		here.Failures, here.WindowFrom = 3, monday
		return here, here
	}
	w.must(w.users.Failed(w.ctx(), u.Email, "192.0.2.1", monday, fail))
	later := monday.Add(time.Hour)
	w.must(w.users.LoggedIn(w.ctx(), u, "192.0.2.1", later, ""))
	c, err := w.users.Credentials(w.ctx(), u.Email, "192.0.2.1")
	w.must(err)
	if c.Attempts != (user.Attempts{}) || c.Account != (user.Attempts{}) || c.Hash != hash || c.User.LastLogin == nil || !c.User.LastLogin.Equal(later) {
		t.Errorf("after a login: %+v", c)
	}
	newer := strings.Replace(hash, "m=64", "m=128", 1)
	w.must(w.users.LoggedIn(w.ctx(), u, "192.0.2.1", later, newer))
	if c, err = w.users.Credentials(w.ctx(), u.Email, "192.0.2.1"); err != nil || c.Hash != newer {
		t.Errorf("hash = %q, %v", c.Hash, err)
	}
}
