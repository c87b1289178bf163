package serve_test

import (
	"context"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// in is the caller with a session that it has just opened.
func (w *world) in(who tenant.Identity) tenant.Identity {
	w.Helper()
	who.Session, _ = w.verify(w.login(who.Email, password).ok(200).str("access_token"))["sid"].(string)
	return who
}

// The gateway may have heard a moment ago that a session lives which has just ended:
// nothing that lets somebody in is made by it any more.
func TestNothingThatLetsInIsMadeByASessionThatHasEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	account := w.command("createServiceAccount", "", jo, obj{"body": obj{"name": "ci"}}).ok(201).num("id")
	key := func(op string, who tenant.Identity, name string) answer {
		return w.request(op, who, obj{"account_id": account, "body": obj{"name": name, "scopes": []string{"*:read"}}})
	}
	old, _ := key("createKey", jo, "old").ok(201).body["key"].(map[string]any)
	for _, end := range []string{"logout", "endSessions"} {
		root, jo := w.in(root), w.in(jo)
		key("createKey", jo, "before "+end).ok(201)
		w.request(end, jo, obj{}).ok(200)
		w.request(end, root, obj{}).ok(200)
		for what, a := range map[string]answer{
			"a key":                      key("createKey", jo, "after "+end),
			"a key of a service account": key("createServiceAccountKey", jo, "after "+end),
			"a key for another":          w.request("rotateKey", jo, obj{"key_id": old["id"], "body": obj{}}),
			"an invitation":              w.request("inviteMember", jo, obj{"project_id": int64(jo.Project), "body": obj{"role": "viewer"}}),
			"a password reset":           w.request("issuePasswordReset", root, obj{"user_id": jo.UserID}),
		} {
			if errs.KindOf(a.err) != errs.Unauthenticated {
				t.Errorf("%s after %s: %d, %v", what, end, a.status, a.err)
			}
		}
	}
}

// A command may have waited until after the end of what it came with, and a gateway
// may hear of that end a moment later: neither changes anything any more.
func TestNothingIsChangedByASessionOrKeyThatHasEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo, al := w.superuser("root@example.org"), w.member("jo@example.org"), w.member("al@example.org")
	project := int64(jo.Project)
	invite := func(role string) answer {
		return w.request("inviteMember", jo, obj{"project_id": project, "body": obj{"role": role}}).ok(201)
	}
	w.request("acceptInvitation", instance(al), obj{"body": obj{"token": invite("viewer").str("token")}}).ok(200)
	second := w.command("createProject", "", instance(jo), obj{"body": obj{"name": "second"}}).ok(201).num("id")
	account := w.command("createServiceAccount", "", jo, obj{"body": obj{"name": "ci"}}).ok(201).num("id")
	w.command("setLimit", "", jo, obj{"class": "reads", "body": obj{"limit": "50/minute"}}).ok(200)
	open := invite("member")
	_, made := w.newKey(jo, obj{"name": "all", "scopes": []string{"*:admin"}})

	signed, boss, keyed := w.in(jo), w.in(root), jo
	keyed.Key, _ = made["id"].(string)
	w.command("setDefaultProject", "", keyed, obj{"project_id": project}).ok(204)
	w.command("setDefaultProject", "", signed, obj{"project_id": project}).ok(204)
	w.request("logout", signed, obj{}).ok(200)
	w.request("logout", boss, obj{}).ok(200)
	w.request("revokeKey", jo, obj{"key_id": keyed.Key}).ok(204)

	refused := func(what string, a answer) {
		if errs.KindOf(a.err) != errs.Unauthenticated {
			t.Errorf("%s: %d, %v", what, a.status, a.err)
		}
	}
	for by, who := range map[string]tenant.Identity{"session": signed, "key": keyed} {
		for op, payload := range map[string]obj{
			"setMemberRole":        {"project_id": project, "user_id": al.UserID, "body": obj{"role": "admin"}},
			"removeMember":         {"project_id": project, "user_id": al.UserID},
			"updateProject":        {"project_id": project, "body": obj{"name": "theirs"}},
			"transferProject":      {"project_id": project, "body": obj{"user_id": al.UserID}},
			"deleteProject":        {"project_id": project},
			"setDefaultProject":    {"project_id": project},
			"revokeInvitation":     {"project_id": project, "invitation_id": open.num("id")},
			"createServiceAccount": {"body": obj{"name": "late"}},
			"updateServiceAccount": {"account_id": account, "body": obj{"role": "admin"}},
			"deleteServiceAccount": {"account_id": account},
			"setLimit":             {"class": "reads", "body": obj{"limit": "60/minute"}},
			"resetLimit":           {"class": "reads"},
		} {
			refused(op+" by "+by, w.command(op, "", who, payload))
		}
	}
	for op, payload := range map[string]obj{
		"deactivateUser": {"user_id": al.UserID}, "reactivateUser": {"user_id": al.UserID}, "rotateSigningKeys": {"body": obj{"revoke": true}},
	} {
		refused(op, w.command(op, "", instance(boss), payload))
	}
	refused("createProject", w.command("createProject", "", instance(signed), obj{"body": obj{"name": "late"}}))
	refused("acceptInvitation", w.request("acceptInvitation", instance(boss), obj{"body": obj{"token": open.str("token")}}))
	refused("changePassword", w.request("changePassword", instance(signed), obj{"body": obj{"old_password": password, "new_password": "another horse battery"}}))
	if got := w.access(al.UserID, jo.Project, ""); got.GetRole() != "viewer" || !got.GetActive() {
		t.Errorf("al is %v", got)
	}
	w.command("setDefaultProject", "", w.in(w.as(jo.UserID, tenant.Project(second))), obj{"project_id": second}).ok(204)
}

func TestACommandThatHasWaitedUntilItsSessionEndedChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo, al := w.member("jo@example.org"), w.member("al@example.org")
	project := int64(jo.Project)
	link := w.request("inviteMember", jo, obj{"project_id": project, "body": obj{"role": "viewer"}}).ok(201)
	w.request("acceptInvitation", instance(al), obj{"body": obj{"token": link.str("token")}}).ok(200)
	jo = w.in(jo)
	said := make(chan error, 1)
	change := w.json(obj{"project_id": project, "user_id": al.UserID, "body": obj{"role": "admin"}})
	err := w.db.InTenant(w.Context(), jo.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT 1 FROM projects WHERE project_id = $1 FOR UPDATE`, project); err != nil {
			return err
		}
		go func() {
			_, err := w.edge.Command(w.Context(), bus.Target{Service: "auth", Operation: "setMemberRole", Project: jo.Project}, jo, change, bus.CommandOptions{Wait: bustest.Patience})
			said <- err
		}()
		pgtest.AwaitLock(t, w.db)
		w.request("logout", jo, obj{}).ok(200)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-said; errs.KindOf(err) != errs.Unauthenticated {
		t.Errorf("setMemberRole: %v", err)
	}
	if got := w.access(al.UserID, jo.Project, ""); got.GetRole() != "viewer" {
		t.Errorf("al is %q", got.GetRole())
	}
}

// What somebody is in a project may have ended as well while a call was under way.
func TestWhoIsRemovedMakesNoKeyAndEndsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	al := w.guest(jo, "al@example.org", "admin")
	_, joes := w.newKey(jo, obj{"name": "jo's", "scopes": []string{"*:read"}})
	_, als := w.newKey(al, obj{"name": "al's", "scopes": []string{"*:read"}})
	w.command("removeMember", "", jo, obj{"project_id": int64(jo.Project), "user_id": al.UserID}).ok(204)
	w.request("createKey", al, obj{"body": obj{"name": "late", "scopes": []string{"*:admin"}}}).refused(errs.NotFound, "project")
	w.request("rotateKey", al, obj{"key_id": als["id"], "body": obj{}}).refused(errs.NotFound, "")
	w.request("revokeKey", al, obj{"key_id": joes["id"]}).refused(errs.NotFound, "")
	if n := w.count(`SELECT count(*) FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL`, al.UserID); n != 0 {
		t.Errorf("al has %d keys", n)
	}
}

func TestWhoWasTheOwnerDeletesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	al := w.guest(jo, "al@example.org", "admin")
	w.command("updateProject", "", jo, obj{"project_id": int64(jo.Project), "body": obj{"name": "jo's"}}).ok(200)
	w.command("transferProject", "", jo, obj{"project_id": int64(jo.Project), "body": obj{"user_id": al.UserID}}).ok(200)
	w.command("deleteProject", "", jo, obj{"project_id": int64(jo.Project)}).refused(errs.Forbidden, "role")
	now := w.as(al.UserID, jo.Project)
	if now.Role != tenant.Owner {
		t.Fatalf("al is %q", now.Role)
	}
	w.command("deleteProject", "", now, obj{"project_id": int64(jo.Project)}).ok(204)
}

func TestNobodyIsSwitchedByAKeyThatHasEndedOrByWhoIsNoSuperuser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	w.superuser("other@example.org")
	_, made := w.newKey(w.as(root.UserID, 0), obj{"name": "all", "scopes": []string{"*:admin"}})
	keyed := root
	keyed.Key, _ = made["id"].(string)
	w.command("deactivateUser", "", keyed, obj{"user_id": jo.UserID}).ok(200)
	w.request("revokeKey", w.as(root.UserID, 0), obj{"key_id": keyed.Key}).ok(204)
	w.command("reactivateUser", "", keyed, obj{"user_id": jo.UserID}).refused(errs.Unauthenticated, "revoked")
	w.exec(`UPDATE users SET is_superuser = false WHERE id = $1`, root.UserID)
	w.command("reactivateUser", "", root, obj{"user_id": jo.UserID}).refused(errs.Forbidden, "superuser")
}

func TestTheKeyOfAnAccountThatIsSwitchedOffChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	al := w.guest(jo, "al@example.org", "viewer")
	_, made := w.newKey(jo, obj{"name": "all", "scopes": []string{"*:admin"}})
	jo.Key, _ = made["id"].(string)
	project := int64(jo.Project)
	w.command("deactivateUser", "", root, obj{"user_id": jo.UserID}).ok(200)
	for op, payload := range map[string]obj{
		"setMemberRole": {"project_id": project, "user_id": al.UserID, "body": obj{"role": "admin"}},
		"updateProject": {"project_id": project, "body": obj{"name": "theirs"}},
		"setLimit":      {"class": "reads", "body": obj{"limit": "60/minute"}},
		"deleteProject": {"project_id": project},
	} {
		w.command(op, "", jo, payload).refused(errs.Forbidden, "inactive")
	}
}

func TestARoleIsLookedAtAgainByEveryWriteOfAProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	al := w.guest(jo, "al@example.org", "admin")
	project := int64(jo.Project)
	robot := w.command("createServiceAccount", "", jo, obj{"body": obj{"name": "ci", "role": "admin"}}).ok(201).num("id")
	ci := tenant.Identity{Project: jo.Project, Principal: "service-account:1", ServiceAccount: robot, Role: tenant.Admin}
	open := w.request("inviteMember", jo, obj{"project_id": project, "body": obj{"role": "viewer"}}).ok(201)
	w.command("setLimit", "", ci, obj{"class": "reads", "body": obj{"limit": "50/minute"}}).ok(200)
	w.command("setMemberRole", "", jo, obj{"project_id": project, "user_id": al.UserID, "body": obj{"role": "viewer"}}).ok(200)
	w.command("updateServiceAccount", "", jo, obj{"account_id": robot, "body": obj{"role": "viewer"}}).ok(200)
	for _, who := range []tenant.Identity{al, ci} {
		for op, payload := range map[string]obj{
			"updateProject":    {"project_id": project, "body": obj{"name": "theirs"}},
			"setLimit":         {"class": "reads", "body": obj{"limit": "60/minute"}},
			"resetLimit":       {"class": "reads"},
			"revokeInvitation": {"project_id": project, "invitation_id": open.num("id")},
			"removeMember":     {"project_id": project, "user_id": jo.UserID},
		} {
			w.command(op, "", who, payload).refused(errs.Forbidden, "role")
		}
	}
}

// A session that has run out ends with all others, for commands that it gave in time.
func TestTheEndOfAllSessionsIsThatOfThoseThatRanOutToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	old := w.in(jo)
	w.clock.move(8 * 24 * time.Hour)
	choose := func(who tenant.Identity) answer {
		return w.command("setDefaultProject", "", who, obj{"project_id": int64(jo.Project)})
	}
	choose(old).ok(204)
	w.request("endSessions", w.in(jo), obj{}).ok(200)
	choose(old).refused(errs.Unauthenticated, "ended")
}
