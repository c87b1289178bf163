package serve_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

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
	admin, said := pgtest.Admin(t, w.db), make(chan answer, 1)
	err := w.db.InTenant(w.Context(), jo.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT 1 FROM projects WHERE project_id = $1 FOR UPDATE`, project); err != nil {
			return err
		}
		go func() {
			said <- w.command("setMemberRole", "", jo, obj{"project_id": project, "user_id": al.UserID, "body": obj{"role": "admin"}})
		}()
		for deadline := time.Now().Add(bustest.Patience); ; {
			var waits bool
			const q = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`
			if err := admin.GetContext(ctx, &waits, q); err != nil {
				return err
			} else if waits {
				break
			} else if time.Now().After(deadline) {
				return errors.New("the command does not wait")
			}
		}
		w.request("logout", jo, obj{}).ok(200)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := <-said; errs.KindOf(a.err) != errs.Unauthenticated {
		t.Errorf("setMemberRole: %d, %v", a.status, a.err)
	}
	if got := w.access(al.UserID, jo.Project, ""); got.GetRole() != "viewer" {
		t.Errorf("al is %q", got.GetRole())
	}
}
