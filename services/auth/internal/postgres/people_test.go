package postgres_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/invitation"
	"github.com/commandcenter/commandcenter/services/auth/internal/key"
	"github.com/commandcenter/commandcenter/services/auth/internal/member"
	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/signon"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

func (w *world) members() postgres.Members { return postgres.Members{Store: w.store} }

func (w *world) invitations() postgres.Invitations { return postgres.Invitations{Store: w.store} }

// invite keeps an invitation for a week whose key begins with n.
func (w *world) invite(p tenant.Project, who int64, role tenant.Role, email *string, n byte) []byte {
	w.Helper()
	key := make([]byte, 32)
	key[0] = n
	_, err := w.invitations().Create(w.ctx(), by(who), invitation.Invitation{
		Project: p, Role: role, Email: email, InvitedBy: who, CreatedAt: monday, ExpiresAt: monday.Add(7 * 24 * time.Hour),
	}, key)
	w.must(err)
	return key
}

// join makes the user a member by an invitation.
func (w *world) join(p tenant.Project, who, userID int64, role tenant.Role, n byte) {
	w.Helper()
	_, _, err := w.invitations().Accept(w.ctx(), w.invite(p, who, role, nil, n), by(userID), monday)
	w.must(err)
}

func (w *world) role(p tenant.Project, userID int64) tenant.Role {
	w.Helper()
	a, err := w.store.Access(w.ctx(), userID, p, nil, monday)
	w.must(err)
	return a.Role
}

func (w *world) standard(userID int64) tenant.Project {
	w.Helper()
	a, err := w.store.Access(w.ctx(), userID, 0, nil, monday)
	w.must(err)
	return a.Project
}

func yes(role tenant.Role) member.Decision {
	return func(tenant.Identity, tenant.Role) (tenant.Role, error) { return role, nil }
}

func TestAnInvitationWorksOnceAndForTheOneItIsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	b, _ := w.person("b@example.org")
	c, _ := w.person("c@example.org")
	before := len(w.facts())
	key := w.invite(p, a.ID, tenant.Member, &b.Email, 1)
	if _, _, err := w.invitations().Accept(w.ctx(), key, by(c.ID), monday); !errors.Is(err, invitation.ErrInvalid) {
		t.Errorf("another address: %v", err)
	}
	for range 2 { // the answer to the first may have been lost
		mine, _, err := w.invitations().Accept(w.ctx(), key, by(b.ID), monday)
		if err != nil || mine.ID != p || mine.Role != tenant.Member || mine.Owner != "a@example.org" {
			t.Fatalf("%+v, %v", mine, err)
		}
	}
	if _, _, err := w.invitations().Accept(w.ctx(), w.invite(p, a.ID, tenant.Admin, nil, 2), by(b.ID), monday); !errors.Is(err, invitation.ErrMember) {
		t.Errorf("a member: %v", err)
	}
	if w.role(p, b.ID) != tenant.Member || w.role(p, c.ID) != tenant.NoRole {
		t.Errorf("roles %q and %q", w.role(p, b.ID), w.role(p, c.ID))
	}
	e := "evt." + p.Token() + ".auth."
	want := []string{e + "invitation.created.v1", e + "membership.changed.v1", e + "member.joined.v1", e + "invitation.created.v1"}
	if got := w.facts()[before:]; !slices.Equal(got, want) {
		t.Errorf("facts %v", got)
	}
	if _, err := w.invitations().Create(w.ctx(), by(a.ID), invitation.Invitation{
		Project: p, Role: tenant.Viewer, Email: &b.Email, InvitedBy: a.ID, CreatedAt: monday, ExpiresAt: monday.Add(time.Hour),
	}, make([]byte, 32)); !errors.Is(err, invitation.ErrTheirs) {
		t.Errorf("a member's address: %v", err)
	}
	// Who was removed does not come back by what let them in.
	w.must(w.members().Remove(w.ctx(), p, by(a.ID), b.ID, false, monday, yes("")))
	if _, _, err := w.invitations().Accept(w.ctx(), key, by(b.ID), monday); !errors.Is(err, invitation.ErrInvalid) {
		t.Errorf("used and removed: %v", err)
	}
}

// TestNobodyComesBackByAnotherInvitation: what else was sent to the address ends when
// it joins, in this project alone.
func TestNobodyComesBackByAnotherInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	b, _ := w.person("b@example.org")
	c, q := w.person("c@example.org")
	other, elsewhere, open := w.invite(p, a.ID, tenant.Admin, &b.Email, 1), w.invite(q, c.ID, tenant.Member, &b.Email, 2), w.invite(p, a.ID, tenant.Viewer, nil, 3)
	before := len(w.facts())
	w.join(p, a.ID, b.ID, tenant.Viewer, 4)
	e := "evt." + p.Token() + ".auth."
	if got, want := w.facts()[before:], []string{e + "invitation.created.v1", e + "invitation.revoked.v1", e + "membership.changed.v1", e + "member.joined.v1"}; !slices.Equal(got, want) {
		t.Errorf("facts %v", got)
	}
	w.must(w.members().Remove(w.ctx(), p, by(a.ID), b.ID, false, monday, yes("")))
	if _, _, err := w.invitations().Accept(w.ctx(), other, by(b.ID), monday); !errors.Is(err, invitation.ErrInvalid) {
		t.Errorf("removed, and in again: %v", err)
	}
	for name, key := range map[string][]byte{"of another project": elsewhere, "for nobody in particular": open} {
		if _, err := w.invitations().Open(w.ctx(), key, monday); err != nil {
			t.Errorf("an invitation %s: %v", name, err)
		}
	}
}

func TestOneOfManyThatAcceptAtOnceJoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	key := w.invite(p, a.ID, tenant.Viewer, nil, 1)
	var ids []int64
	for _, name := range []string{"b", "c", "d", "e"} {
		u, _ := w.person(name + "@example.org")
		ids = append(ids, u.ID)
	}
	var mu sync.Mutex
	joined := 0
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			_, _, err := w.invitations().Accept(w.ctx(), key, by(id), monday)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				joined++
			} else if !errors.Is(err, invitation.ErrInvalid) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := w.count(`SELECT count(*) FROM memberships WHERE project_id = $1`, int64(p)); joined != 1 || n != 2 {
		t.Errorf("%d joined, %d members", joined, n)
	}
}

func TestAnInvitationEndsWithTheRightOfItsInviter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	b, _ := w.person("b@example.org")
	root, _ := w.person("root@example.org")
	guest, _ := w.person("guest@example.org")
	w.join(p, a.ID, b.ID, tenant.Admin, 1)
	w.exec(`UPDATE users SET is_superuser = true WHERE id = $1`, root.ID)
	if w.role(p, root.ID) != tenant.NoRole {
		t.Fatal("the superuser is a member")
	}
	for name, c := range map[string]struct {
		by        int64
		end, mend func()
	}{
		"demoted": {b.ID, func() {
			w.exec(`UPDATE memberships SET role = 'member' WHERE user_id = $1 AND project_id = $2`, b.ID, int64(p))
		},
			func() {
				w.exec(`UPDATE memberships SET role = 'admin' WHERE user_id = $1 AND project_id = $2`, b.ID, int64(p))
			}},
		"switched off": {b.ID, func() { w.exec(`UPDATE users SET is_active = false WHERE id = $1`, b.ID) },
			func() { w.exec(`UPDATE users SET is_active = true WHERE id = $1`, b.ID) }},
		"no superuser any more": {root.ID, func() { w.exec(`UPDATE users SET is_superuser = false WHERE id = $1`, root.ID) },
			func() { w.exec(`UPDATE users SET is_superuser = true WHERE id = $1`, root.ID) }},
	} {
		key := w.invite(p, c.by, tenant.Member, nil, name[0])
		if _, err := w.invitations().Open(w.ctx(), key, monday); err != nil {
			t.Errorf("%s, before: %v", name, err)
		}
		c.end()
		if _, _, err := w.invitations().Accept(w.ctx(), key, by(guest.ID), monday); !errors.Is(err, invitation.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.invitations().Open(w.ctx(), key, monday); !errors.Is(err, invitation.ErrInvalid) {
			t.Errorf("%s is open: %v", name, err)
		}
		if all, err := w.invitations().List(w.ctx(), p, monday); err != nil || slices.ContainsFunc(all, func(i invitation.Invitation) bool { return i.InvitedBy == c.by }) {
			t.Errorf("%s is listed: %+v, %v", name, all, err)
		}
		_, err := w.invitations().Create(w.ctx(), by(c.by), invitation.Invitation{Project: p, Role: tenant.Member, InvitedBy: c.by, CreatedAt: monday, ExpiresAt: monday.Add(time.Hour)}, make([]byte, 32))
		if !errors.Is(err, project.ErrForbidden) {
			t.Errorf("%s invites: %v", name, err)
		}
		c.mend()
	}
	// One that is removed takes its invitations along: they do not come back with it.
	key := w.invite(p, b.ID, tenant.Member, nil, 9)
	w.must(w.members().Remove(w.ctx(), p, by(a.ID), b.ID, false, monday, yes("")))
	w.join(p, a.ID, b.ID, tenant.Admin, 10)
	if _, _, err := w.invitations().Accept(w.ctx(), key, by(guest.ID), monday); !errors.Is(err, invitation.ErrInvalid) {
		t.Errorf("removed and back: %v", err)
	}
}

func TestWhatRanOutOrWasRevokedLetsNobodyIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	b, q := w.person("b@example.org")
	week := monday.Add(7 * 24 * time.Hour)
	old, revoked, open := w.invite(p, a.ID, tenant.Viewer, nil, 1), w.invite(p, a.ID, tenant.Viewer, nil, 2), w.invite(p, a.ID, tenant.Viewer, nil, 3)
	if _, _, err := w.invitations().Accept(w.ctx(), old, by(b.ID), week); !errors.Is(err, invitation.ErrInvalid) {
		t.Errorf("run out: %v", err)
	}
	all, err := w.invitations().List(w.ctx(), p, monday)
	if err != nil || len(all) != 3 || all[0].ID < all[1].ID || all[0].Inviter != "a@example.org" {
		t.Fatalf("%+v, %v", all, err)
	}
	id := all[1].ID
	if err := w.invitations().Revoke(w.ctx(), q, id, by(b.ID), monday); !errors.Is(err, invitation.ErrNone) {
		t.Errorf("from another project: %v", err)
	}
	w.must(w.invitations().Revoke(w.ctx(), p, id, by(a.ID), monday))
	if err := w.invitations().Revoke(w.ctx(), p, id, by(a.ID), monday); !errors.Is(err, invitation.ErrNone) {
		t.Errorf("twice: %v", err)
	}
	for name, key := range map[string][]byte{"revoked": revoked, "unknown": make([]byte, 32)} {
		if _, _, err := w.invitations().Accept(w.ctx(), key, by(b.ID), monday); !errors.Is(err, invitation.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all, err := w.invitations().List(w.ctx(), p, monday); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if n, err := w.invitations().Sweep(w.ctx(), week.Add(-time.Second)); err != nil || n != 0 {
		t.Errorf("swept %d, %v", n, err)
	}
	if n, err := w.invitations().Sweep(w.ctx(), week); err != nil || n != 3 {
		t.Errorf("swept %d, %v", n, err)
	}
	if _, err := w.invitations().Open(w.ctx(), open, monday); !errors.Is(err, invitation.ErrInvalid) {
		t.Errorf("swept: %v", err)
	}
	w.project(a.ID, "another", monday)
	key := w.invite(p, a.ID, tenant.Viewer, nil, 4)
	w.must(w.projects.Begin(w.ctx(), p, by(a.ID), []string{"knowledge"}, monday))
	for range 2 {
		if _, _, err := w.invitations().Accept(w.ctx(), key, by(b.ID), monday); !errors.Is(err, invitation.ErrInvalid) {
			t.Errorf("of a project that goes: %v", err)
		}
		w.must(w.projects.Confirm(w.ctx(), p, "knowledge", nil, monday))
		w.must(w.projects.Finish(w.ctx(), p, nil, monday))
	}
	if n := w.count(`SELECT count(*) FROM invitations`); n != 0 {
		t.Errorf("%d invitations are left of a project that is gone", n)
	}
}

func TestInvitationsOfAProjectAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	w.exec(`
		INSERT INTO invitations (project_id, secret_hash, role, invited_by, created_at, expires_at)
		SELECT $1, sha256(n::text::bytea), 'viewer', $2, $3, $3::timestamptz + interval '1 day' FROM generate_series(1, $4) n`,
		int64(p), a.ID, monday, invitation.MaxOpen)
	_, err := w.invitations().Create(w.ctx(), by(a.ID), invitation.Invitation{Project: p, Role: tenant.Viewer, InvitedBy: a.ID, CreatedAt: monday, ExpiresAt: monday.Add(time.Hour)}, make([]byte, 32))
	if !errors.Is(err, invitation.ErrMany) {
		t.Error(err)
	}
}

func TestAGuestRegistersIntoTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	email := "b@example.org"
	key := w.invite(p, a.ID, tenant.Member, &email, 1)
	if _, err := w.users.Create(w.ctx(), user.Draft{Email: "c@example.org", Hash: hash, Invitation: key}, monday); !errors.Is(err, invitation.ErrInvalid) {
		t.Errorf("another address: %v", err)
	}
	if n := w.count(`SELECT count(*) FROM users WHERE email = 'c@example.org'`); n != 0 {
		t.Error("an account was made by an invitation that is not for it")
	}
	u, err := w.users.Create(w.ctx(), user.Draft{Email: email, Hash: hash, Invitation: key}, monday)
	w.must(err)
	if w.role(p, u.ID) != tenant.Member || w.standard(u.ID) != p {
		t.Errorf("role %q, default %d", w.role(p, u.ID), w.standard(u.ID))
	}
	if mine, err := w.projects.List(w.ctx(), u.ID, 0, 10); err != nil || len(mine) != 2 || !mine[0].Default || mine[1].Default || mine[1].Role != tenant.Owner {
		t.Errorf("%+v, %v", mine, err)
	}
}

func TestARoleIsChangedOnceAndSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	b, q := w.person("b@example.org")
	w.join(p, a.ID, b.ID, tenant.Viewer, 1)
	before := len(w.facts())
	for range 2 {
		m, err := w.members().SetRole(w.ctx(), p, by(a.ID), b.ID, func(now tenant.Identity, has tenant.Role) (tenant.Role, error) {
			if now.Role != tenant.Owner {
				t.Errorf("the caller is %q", now.Role)
			}
			return tenant.Admin, nil
		})
		if err != nil || m.Role != tenant.Admin || m.Email != "b@example.org" {
			t.Errorf("%+v, %v", m, err)
		}
	}
	e := "evt." + p.Token() + ".auth."
	if got := w.facts()[before:]; !slices.Equal(got, []string{e + "membership.changed.v1", e + "member.role_changed.v1"}) {
		t.Errorf("facts %v", got)
	}
	no := errors.New("no")
	if _, err := w.members().SetRole(w.ctx(), p, by(a.ID), b.ID, func(tenant.Identity, tenant.Role) (tenant.Role, error) { return "", no }); !errors.Is(err, no) || w.role(p, b.ID) != tenant.Admin {
		t.Errorf("refused: %v, %q", err, w.role(p, b.ID))
	}
	if _, err := w.members().SetRole(w.ctx(), q, by(b.ID), a.ID, yes(tenant.Admin)); !errors.Is(err, member.ErrNone) {
		t.Errorf("of another project: %v", err)
	}
	if _, err := w.members().SetRole(w.ctx(), 999, by(a.ID), b.ID, yes(tenant.Admin)); !errors.Is(err, project.ErrNotFound) {
		t.Errorf("of none: %v", err)
	}
	if all, err := w.members().List(w.ctx(), p, 0, 10); err != nil || len(all) != 2 || all[0].Role != tenant.Owner || all[1].UserID != b.ID {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := w.members().List(w.ctx(), p, 1, 1); err != nil || len(all) != 1 || all[0].UserID != b.ID {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestAProjectHasOneOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	b, _ := w.person("b@example.org")
	w.join(p, a.ID, b.ID, tenant.Admin, 1)
	if _, err := w.members().SetRole(w.ctx(), p, by(a.ID), b.ID, yes(tenant.Owner)); err == nil || w.role(p, b.ID) != tenant.Admin {
		t.Errorf("%v, role %q", err, w.role(p, b.ID))
	}
}

func TestWhoIsRemovedFallsBackToAnotherProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	b, own := w.person("b@example.org")
	w.join(p, a.ID, b.ID, tenant.Viewer, 1)
	if w.standard(b.ID) != own {
		t.Fatalf("joining made it the default")
	}
	if err := w.members().SetDefault(w.ctx(), 999, by(b.ID)); !errors.Is(err, member.ErrNone) || w.standard(b.ID) != own {
		t.Errorf("a default that there is not: %v", err)
	}
	w.must(w.members().SetDefault(w.ctx(), p, by(b.ID)))
	w.must(w.members().SetDefault(w.ctx(), p, by(b.ID)))
	if w.standard(b.ID) != p {
		t.Errorf("default %d, want %d", w.standard(b.ID), p)
	}
	before := len(w.facts())
	w.must(w.members().Remove(w.ctx(), p, by(a.ID), b.ID, false, monday, yes("")))
	e := "evt." + p.Token() + ".auth."
	if got := w.facts()[before:]; !slices.Equal(got, []string{e + "membership.changed.v1", e + "member.removed.v1"}) {
		t.Errorf("facts %v", got)
	}
	if n := w.count(`SELECT count(*) FROM memberships WHERE user_id = $1 AND is_default AND project_id = $2`, b.ID, int64(own)); n != 1 {
		t.Error("the default is nowhere")
	}
	if err := w.members().Remove(w.ctx(), p, by(a.ID), b.ID, false, monday, yes("")); !errors.Is(err, member.ErrNone) {
		t.Errorf("twice: %v", err)
	}
	no := errors.New("no")
	if err := w.members().Remove(w.ctx(), p, by(a.ID), a.ID, false, monday, func(tenant.Identity, tenant.Role) (tenant.Role, error) { return "", no }); !errors.Is(err, no) || w.role(p, a.ID) != tenant.Owner {
		t.Errorf("refused: %v", err)
	}
}

func TestTheKeysOfWhoLeavesEndAndDoNotComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	b, elsewhere := w.person("b@example.org")
	w.join(p, a.ID, b.ID, tenant.Admin, 1)
	made := func(in tenant.Project, who int64) []byte {
		k := key.Key{
			ID: uuid.New(), Project: in, Holder: key.Holder{User: who}, Name: "x", Prefix: "abcdefgh", Scopes: []string{"*:read"}, CreatedBy: who, CreatedAt: monday,
		}
		hash := sha256.Sum256(k.ID[:])
		w.must(w.keys().Add(w.ctx(), by(k.CreatedBy), k, hash[:]))
		return hash[:]
	}
	ends, others, own := made(p, b.ID), made(p, a.ID), made(elsewhere, b.ID)
	w.must(w.members().Remove(w.ctx(), p, by(a.ID), b.ID, false, monday, yes("")))
	w.join(p, a.ID, b.ID, tenant.Viewer, 2)
	if _, err := w.keys().Find(w.ctx(), ends, monday); !errors.Is(err, key.ErrUnknown) {
		t.Errorf("removed and back: %v", err)
	}
	for name, hash := range map[string][]byte{"of another member": others, "in another project": own} {
		if _, err := w.keys().Find(w.ctx(), hash, monday); err != nil {
			t.Errorf("a key %s: %v", name, err)
		}
	}
}

func TestAnAccountThatIsLinkedIsNotForTheNextHolderOfItsAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person("first@example.org") // a superuser is never linked
	u, _ := w.person("a@example.org")
	link := func(issuer, subject string) error {
		got, _, err := w.users.Link(w.ctx(), signon.Identity{Issuer: issuer, Subject: subject, Email: "a@example.org", Verified: true}, hash, 0, monday)
		if err == nil && got.ID != u.ID {
			t.Errorf("linked to %d", got.ID)
		}
		return err
	}
	w.must(link("https://id.example.org", "1"))
	w.must(link("https://id.example.org", "1")) // twice at the same moment
	if err := link("https://id.example.org", "2"); !errors.Is(err, signon.ErrTaken) {
		t.Errorf("somebody else: %v", err)
	}
	if _, err := w.users.ByIdentity(w.ctx(), "https://id.example.org", "2"); !errors.Is(err, user.ErrUnknown) {
		t.Errorf("somebody else is known: %v", err)
	}
}

func TestPrincipalsAreKnownByNamesOfTheirProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo, p := w.person("jo@example.org")
	_, other := w.person("al@example.org")
	a, err := postgres.Keys{Store: w.store}.CreateAccount(w.ctx(), by(jo.ID), key.Account{Project: p, Name: "ci", Role: tenant.Viewer, CreatedBy: jo.ID, CreatedAt: monday})
	w.must(err)
	person, account := fmt.Sprintf("user:%d", jo.ID), fmt.Sprintf("service-account:%d", a.ID)
	all := []string{person, account, "user:999", "service:jobs", "", "user:x"}
	got, err := w.store.Names(w.ctx(), p, all)
	if err != nil || len(got) != 2 || got[person] != "jo@example.org" || got[account] != "ci" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := w.store.Names(w.ctx(), other, all); err != nil || len(got) != 1 {
		t.Errorf("in another project: %v, %v", got, err)
	}
	if got, err := w.store.Names(w.ctx(), p, []string{"service:jobs"}); err != nil || len(got) != 0 {
		t.Errorf("of a service: %v, %v", got, err)
	}
}
