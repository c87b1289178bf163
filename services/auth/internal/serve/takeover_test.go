package serve_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// left is what somebody has left in and around the account of ada before she
// came by the provider.
type left struct {
	ada, bob, eve tenant.Identity
	theirs        tenant.Identity // ada in bob's project, as an admin
	secrets       map[string]string
	invitations   []string
}

// leave registers ada's address, and opens every way back.
func leave(s *signOn) left {
	s.Helper()
	l := left{ada: s.member("ada@example.org"), bob: s.member("bo@example.org"), eve: s.member("eve@example.org"), secrets: map[string]string{}}
	join := func(into tenant.Identity, who tenant.Identity, role string) {
		secret := s.request("inviteMember", into, in(into, obj{"role": role})).ok(201).str("token")
		s.request("acceptInvitation", instance(who), obj{"body": obj{"token": secret}}).ok(200)
	}
	join(l.ada, l.eve, "admin") // an accomplice
	join(l.bob, l.ada, "admin")
	join(l.bob, l.eve, "viewer") // not of ada's doing
	l.theirs = s.as(l.ada.UserID, l.bob.Project)
	account := func(who tenant.Identity, name string) int64 {
		return s.command("createServiceAccount", "", who, obj{"body": obj{"name": name, "role": "admin"}}).ok(201).num("id")
	}
	of := func(who tenant.Identity, account int64) string {
		name := "key of " + who.Principal
		return s.request("createServiceAccountKey", who, obj{"account_id": account, "body": obj{"name": name, "scopes": []string{"*:read"}}}).ok(201).str("secret")
	}
	key := func(who tenant.Identity) string { secret, _ := s.newKey(who, reading); return secret }
	evesHere := s.as(l.eve.UserID, l.ada.Project)
	l.secrets["a key of the account"] = key(l.ada)
	l.secrets["a key of the account elsewhere"] = key(l.theirs)
	l.secrets["a service account of it"] = of(l.ada, account(l.ada, "one"))
	l.secrets["a service account of it elsewhere"] = of(l.theirs, account(l.theirs, "two"))
	l.secrets["a service account of an accomplice"] = of(evesHere, account(evesHere, "three"))
	l.secrets["a key of an accomplice"] = key(evesHere)
	bobs := account(l.bob, "bobs")
	l.secrets["a key that it made for an account of others"] = of(l.theirs, bobs)
	l.secrets["kept: a key of bob"] = key(l.bob)
	l.secrets["kept: bob's own of that account"] = of(l.bob, bobs)
	for _, who := range []tenant.Identity{l.ada, evesHere, l.theirs} {
		l.invitations = append(l.invitations, s.request("inviteMember", who, in(who, obj{"role": "member"})).ok(201).str("token"))
	}
	return l
}

// recorded are the names of what the records of an operation in the log of a
// project are about.
func (w *world) recorded(p tenant.Project, op string) (names []string) {
	w.Helper()
	var rows [][]byte
	err := w.db.AcrossProjects(w.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, `SELECT data FROM outbox WHERE project_id = $1 AND subject LIKE '%.call.recorded.%'`, int64(p))
	})
	if err != nil {
		w.Fatal(err)
	}
	for _, data := range rows {
		var e struct {
			Operation string
			Target    []struct{ Name string }
		}
		if err := json.Unmarshal(data, &e); err != nil {
			w.Fatal(err)
		}
		for _, t := range e.Target {
			if e.Operation == op {
				names = append(names, t.Name)
			}
		}
	}
	return names
}

func (l left) good(s *signOn) (names []string) {
	for name, secret := range l.secrets {
		if s.resolve(secret).GetKeyId() != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestWhoeverRegisteredAnAddressBeforeItsOwnerCameHasNoWayBack(t *testing.T) {
	t.Parallel()
	s := newSignOn(t)
	l := leave(s)
	if got := l.good(s); len(got) != len(l.secrets) {
		t.Fatalf("good are %v", got)
	}
	s.in("ada")
	if got := l.good(s); !slices.Equal(got, []string{"kept: a key of bob", "kept: bob's own of that account"}) {
		t.Errorf("good are still %v", got)
	}
	guest := instance(s.member("guest@example.org"))
	for _, secret := range l.invitations {
		s.request("acceptInvitation", guest, obj{"body": obj{"token": secret}}).refused(errs.NotFound, "not valid")
	}
	if a := s.access(l.eve.UserID, l.ada.Project, ""); a.GetRole() != "" {
		t.Errorf("the accomplice is there as %v", a)
	}
	for who, role := range map[int64]string{l.eve.UserID: "viewer", l.ada.UserID: "admin", l.bob.UserID: "owner"} {
		if a := s.access(who, l.bob.Project, ""); a.GetRole() != role {
			t.Errorf("%d is in the project of another as %v", who, a)
		}
	}
	// It is in the logs: of the instance, and of each project.
	for p, want := range map[tenant.Project][]string{
		tenant.Instance: {"linked_user_id", "ended_keys", "ended_service_accounts", "ended_invitations", "ended_members"},
		l.ada.Project:   {"ended_keys", "ended_service_accounts", "ended_invitations", "ended_members"},
		l.bob.Project:   {"ended_keys", "ended_service_accounts", "ended_invitations"},
	} {
		names := s.recorded(p, "finishSignOn")
		for _, name := range want {
			if !slices.Contains(names, name) {
				t.Errorf("the log of %s has %v, and not %s", p.Token(), names, name)
			}
		}
	}
}

func TestNothingEndsForWhoIsLoggedInWithThePasswordAlready(t *testing.T) {
	t.Parallel()
	s := newSignOn(t)
	l := leave(s)
	a := s.request("loginBrowser", nobody, obj{"body": obj{"email": "ada@example.org", "password": password}}).ok(200)
	set, err := http.ParseSetCookie(a.header["Set-Cookie"])
	if err != nil {
		t.Fatal(err)
	}
	s.session = set.Value
	if got := s.whose(s.in("ada")); int64(got.GetUserId()) != l.ada.UserID {
		t.Errorf("in as %v", got)
	}
	if got := l.good(s); len(got) != len(l.secrets) {
		t.Errorf("good are %v", got)
	}
	if a := s.access(l.eve.UserID, l.ada.Project, ""); a.GetRole() != "admin" {
		t.Errorf("a member is there as %v", a)
	}
	s.login("ada@example.org", password).ok(200)
	// The session of somebody else proves nothing.
	bob := s.member("bob@example.org")
	secret, _ := s.newKey(bob, reading)
	s.in("bob")
	if s.resolve(secret).GetKeyId() != "" {
		t.Error("a key of before still works")
	}
}
