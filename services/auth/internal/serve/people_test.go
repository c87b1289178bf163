package serve_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	auth "github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// on is the payload of an operation on a member of the caller's project.
func on(me tenant.Identity, userID int64, body ...obj) obj {
	p := in(me, body...)
	p["user_id"] = userID
	return p
}

// guest lets somebody into the project of me, and is their identity in it.
func (w *world) guest(me tenant.Identity, email, role string) tenant.Identity {
	w.Helper()
	other := w.member(email)
	secret := w.request("inviteMember", me, in(me, obj{"role": role, "email": email})).ok(201).str("token")
	w.request("acceptInvitation", instance(other), obj{"body": obj{"token": secret}}).ok(200)
	return w.as(other.UserID, me.Project)
}

func TestPeopleComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *auth.Config) { c.InvitationURL = "https://cc.example.org/join" })
	me := w.member("me@example.org")
	jo, al := w.member("jo@example.org"), w.member("al@example.org")

	inv := w.request("inviteMember", me, in(me, obj{"role": "member", "email": "Jo@Example.org"})).ok(201)
	secret := inv.str("token")
	if inv.header["Cache-Control"] != "no-store" || inv.str("link") != "https://cc.example.org/join#"+secret || inv.str("email") != "jo@example.org" || inv.str("inviter") != "me@example.org" {
		t.Errorf("%v %v", inv.header, inv.body)
	}
	if until, err := time.Parse(time.RFC3339Nano, inv.str("expires_at")); err != nil || !until.Equal(w.clock.now().Add(7*24*time.Hour)) {
		t.Errorf("until %v, %v", until, err)
	}
	if list := w.request("listInvitations", me, in(me)).ok(200).list; len(list) != 1 || list[0]["token"] != nil || list[0]["id"] != inv.body["id"] {
		t.Errorf("listed %v", list)
	}
	accept := func(who tenant.Identity, secret string) answer {
		return w.request("acceptInvitation", instance(who), obj{"body": obj{"token": secret}})
	}
	accept(al, secret).refused(errs.NotFound, "not valid")
	show := func() answer { return w.request("showInvitation", nobody, obj{"body": obj{"token": secret}}) }
	project := w.request("getProject", me, in(me)).ok(200).str("name")
	if a := show().ok(200); a.str("project") != project || a.str("role") != "member" || a.str("inviter") != "me@example.org" || a.str("email") != "jo@example.org" {
		t.Errorf("shown %v", a.body)
	}
	if p := accept(jo, secret).ok(200); p.str("role") != "member" || p.num("id") != int64(me.Project) {
		t.Errorf("joined %v", p.body)
	}
	show().refused(errs.NotFound, "not valid")
	if list := w.request("listInvitations", me, in(me)).ok(200).list; list == nil || len(list) != 0 {
		t.Errorf("listed %v", list)
	}
	open := w.request("inviteMember", me, in(me, obj{"role": "viewer", "days": 1})).ok(201)
	w.command("revokeInvitation", "", me, obj{"project_id": int64(me.Project), "invitation_id": open.num("id")}).ok(204)
	accept(al, open.str("token")).refused(errs.NotFound, "not valid")

	jo = w.as(jo.UserID, me.Project)
	list := w.request("listMembers", jo, in(jo)).ok(200).list
	if len(list) != 2 || list[0]["role"] != "owner" || list[1]["email"] != "jo@example.org" || list[1]["role"] != "member" {
		t.Errorf("members %v", list)
	}
	w.request("listMembers", jo, obj{"project_id": int64(me.Project), "skip": 0, "limit": 0}).refused(errs.Invalid, "limit")
	w.command("removeMember", "", jo, on(jo, me.UserID)).refused(errs.Forbidden, "role")
	if m := w.command("setMemberRole", "", me, on(me, jo.UserID, obj{"role": "admin"})).ok(200); m.str("role") != "admin" {
		t.Errorf("made %v", m.body)
	}
	jo = w.as(jo.UserID, me.Project)
	w.command("setMemberRole", "", jo, on(jo, me.UserID, obj{"role": "viewer"})).refused(errs.Conflict, "owner")
	w.command("leaveProject", "", me, in(me)).refused(errs.Conflict, "owner")

	w.command("transferProject", "", me, in(me, obj{"user_id": jo.UserID})).refused(errs.Conflict, "another name")
	w.command("updateProject", "", me, in(me, obj{"name": "Apollo"})).ok(200)
	if p := w.command("transferProject", "", me, in(me, obj{"user_id": jo.UserID})).ok(200); p.str("owner") != "jo@example.org" || p.str("role") != "admin" {
		t.Errorf("transferred %v", p.body)
	}
	me = w.as(me.UserID, me.Project)
	w.command("transferProject", "", me, in(me, obj{"user_id": me.UserID})).refused(errs.Forbidden, "role")
	w.command("leaveProject", "", me, in(me)).ok(204)
	if a := w.access(me.UserID, me.Project, ""); a.GetProjectId() != 0 {
		t.Errorf("left, and has %v", a)
	}
	jo = w.as(jo.UserID, me.Project)
	w.command("setDefaultProject", "", jo, in(jo)).ok(204)
	if a := w.access(jo.UserID, 0, ""); a.GetProjectId() != int32(jo.Project) {
		t.Errorf("default %v", a)
	}
	w.command("removeMember", "", jo, on(jo, me.UserID)).refused(errs.NotFound, "no member")
	mine := w.request("listProjects", instance(jo), nil).ok(200).list
	if len(mine) != 2 || mine[0]["is_default"] != true || mine[1]["is_default"] != false {
		t.Errorf("projects %v", mine)
	}
}

// What was a right when the call came in is looked at again under the lock.
func TestARightThatHasEndedIsNotUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("me@example.org")
	admin := w.guest(me, "admin@example.org", "admin")
	victim := w.guest(me, "victim@example.org", "viewer")
	w.command("setMemberRole", "", me, on(me, admin.UserID, obj{"role": "viewer"})).ok(200)
	// The identity still says admin.
	w.command("setMemberRole", "", admin, on(admin, admin.UserID, obj{"role": "admin"})).refused(errs.Forbidden, "role")
	w.command("removeMember", "", admin, on(admin, victim.UserID)).refused(errs.Forbidden, "role")
	w.request("inviteMember", admin, in(admin, obj{"role": "viewer"})).refused(errs.Forbidden, "role")
	w.command("removeMember", "", me, on(me, admin.UserID)).ok(204)
	w.command("removeMember", "", admin, on(admin, victim.UserID)).refused(errs.Forbidden, "role")
}

func TestWhoMayRegisterIsASetting(t *testing.T) {
	t.Parallel()
	for mode, want := range map[user.Mode][2]errs.Kind{
		user.OpenToAll: {"", ""}, user.ByInvitation: {errs.Forbidden, ""}, user.Closed: {errs.Forbidden, errs.Forbidden},
	} {
		w := newWorld(t, func(c *auth.Config) { c.Registration = string(mode) })
		o, err := auth.Bootstrap(t.Context(), w.db, auth.First{Email: "owner@localhost"}, cheap())
		if err != nil {
			t.Fatal(err)
		}
		me := w.as(o.UserID, 0)
		secret := w.request("inviteMember", me, in(me, obj{"role": "member"})).ok(201).str("token")
		stranger := w.register("stranger@example.org")
		guest := w.request("register", nobody, obj{"body": obj{"email": "guest@example.org", "password": password, "invitation": secret}})
		for i, a := range []answer{stranger, guest} {
			if want[i] == "" {
				a.ok(201)
				continue
			}
			a.refused(want[i], "registrations")
		}
		if want[1] == "" {
			if a := w.access(guest.num("id"), 0, ""); a.GetProjectId() != int32(me.Project) || a.GetRole() != "member" {
				t.Errorf("%s: the guest is %v", mode, a)
			}
			w.request("register", nobody, obj{"body": obj{"email": "second@example.org", "password": password, "invitation": secret}}).refused(errs.NotFound, "not valid")
		}
	}
}

func TestASecretIsNowhereButInItsAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("me@example.org")
	secret := w.request("inviteMember", me, in(me, obj{"role": "member"})).ok(201).str("token")
	text := strings.TrimPrefix(secret, "cci_")
	for _, table := range []string{"invitations", "outbox"} {
		if n := w.count(`SELECT count(*) FROM `+table+` t WHERE t::text LIKE '%' || $1 || '%'`, text); n != 0 {
			t.Errorf("the secret is in %s", table)
		}
	}
}

// Whoever comes into a project comes from outside: its log tells of it all the
// same, as does that of the instance.
func TestAProjectIsToldWhoJoined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me, jo := w.member("me@example.org"), w.member("jo@example.org")
	write := func(op string, who tenant.Identity, body obj) {
		t.Helper()
		ctx, cancel := context.WithTimeout(bus.WithOrigin(t.Context(), bus.Origin{Writes: true}), bustest.Patience)
		defer cancel()
		if _, err := w.edge.Request(ctx, bus.Target{Service: "auth", Operation: op}, who, w.json(obj{"body": body})); err != nil {
			t.Fatal(err)
		}
	}
	secret := func(email string) string {
		return w.request("inviteMember", me, in(me, obj{"role": "member", "email": email})).ok(201).str("token")
	}
	write("acceptInvitation", instance(jo), obj{"token": secret("jo@example.org")})
	write("register", nobody, obj{"email": "al@example.org", "password": password, "invitation": secret("al@example.org")})
	write("register", nobody, obj{"email": "up@example.org", "password": password}) // comes into no project of others
	bustest.Eventually(w.env, func() bool {
		return w.count(`SELECT count(*) FROM audit_entries WHERE target @> jsonb_build_array(jsonb_build_object('name', 'project_id', 'value', $1::text))
			AND target @> (SELECT jsonb_build_array(jsonb_build_object('name', 'invitation_id', 'value', id::text)) FROM invitations WHERE accepted_by = $2)`,
			int64(me.Project), jo.UserID) == 2 // in either log
	})
	for p, want := range map[tenant.Project]int{me.Project: 2, tenant.Instance: 3} {
		bustest.Eventually(w.env, func() bool {
			return w.count(`SELECT count(*) FROM audit_entries WHERE project_id = $1 AND operation IN ('acceptInvitation', 'register') AND actor LIKE 'user:%'`, int64(p)) == want
		})
	}
}
