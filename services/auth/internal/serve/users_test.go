package serve_test

import (
	"context"
	"sync"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// superuser registers an account and makes it one.
func (w *world) superuser(email string) tenant.Identity {
	w.Helper()
	id := w.member(email)
	w.exec(`UPDATE users SET is_superuser = true WHERE id = $1`, id.UserID)
	return instance(w.as(id.UserID, 0))
}

func TestSuperusersListAccountsPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	w.request("register", nobody, obj{"body": obj{"email": "under_score@example.org", "password": password, "full_name": "Ada 100% Lovelace"}}).ok(201)
	list := func(payload obj) ([]any, int64) {
		a := w.request("listUsers", root, payload).ok(200)
		items, _ := a.body["items"].([]any)
		return items, a.num("total")
	}
	if items, total := list(obj{"limit": 2}); len(items) != 2 || total != 3 || items[0].(map[string]any)["email"] != "root@example.org" {
		t.Errorf("the first page: %v of %d", items, total)
	}
	if items, total := list(obj{"skip": 2}); len(items) != 1 || total != 3 {
		t.Errorf("the last page: %v of %d", items, total)
	}
	for search, want := range map[string]int64{"LOVELACE": 1, "100%": 1, "r_s": 1, "%": 1, "example": 3, "nobody": 0} {
		if _, total := list(obj{"search": search}); total != want {
			t.Errorf("%q: %d found, want %d", search, total, want)
		}
	}
	if a := w.register("Al@BÜCHER.example").ok(201); a.str("email") != "al@bücher.example" || w.count(`SELECT count(*) FROM users WHERE email = 'al@xn--bcher-kva.example'`) != 1 {
		t.Errorf("kept and shown: %v", a.body)
	}
	for _, search := range []string{"BÜCHER", "al@bücher.example", "xn--bcher-kva"} {
		if items, total := list(obj{"search": search}); total != 1 || items[0].(map[string]any)["email"] != "al@bücher.example" {
			t.Errorf("%s: %v", search, items)
		}
	}
	w.command("deactivateUser", "", root, obj{"user_id": jo.UserID}).ok(200)
	if items, total := list(obj{"active": false}); total != 1 || items[0].(map[string]any)["is_active"] != false {
		t.Errorf("switched off: %v", items)
	}
	if got := w.request("getUser", root, obj{"user_id": jo.UserID}).ok(200); got.str("email") != "jo@example.org" || got.body["is_active"] != false {
		t.Errorf("shown: %v", got.body)
	}
	w.request("getUser", root, obj{"user_id": 999}).refused(errs.NotFound, "user not found")
	w.request("listUsers", root, obj{"limit": 0}).refused(errs.Invalid, "limit")
	w.request("listUsers", root, obj{"skip": -1}).refused(errs.Invalid, "skip")
	plain := instance(jo)
	w.request("listUsers", plain, nil).refused(errs.Forbidden, "superuser")
	w.request("getUser", plain, obj{"user_id": jo.UserID}).refused(errs.Forbidden, "superuser")
	w.command("deactivateUser", "", plain, obj{"user_id": root.UserID}).refused(errs.Forbidden, "superuser")
}

func TestAnAccountThatIsSwitchedOffIsCutOffEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	revoked, off, on := make(chan string, 10), make(chan int32, 10), make(chan int32, 10)
	w.env.Run(
		bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.SessionRevoked) { revoked <- e.GetReason() }),
		bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.UserDeactivated) { off <- e.GetVersion() }),
		bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.UserReactivated) { on <- e.GetVersion() }),
	)
	refresh := w.login("jo@example.org", password).ok(200).str("refresh_token")
	secret, _ := w.newKey(jo, reading)

	if got := w.command("deactivateUser", "", root, obj{"user_id": jo.UserID}).ok(200); got.body["is_active"] != false {
		t.Errorf("answered %v", got.body)
	}
	if reason, version := bustest.Await(w.env, revoked), bustest.Await(w.env, off); reason != "deactivated" || version != 2 {
		t.Errorf("said %s and %d", reason, version)
	}
	w.refresh(refresh).refused(errs.Unauthenticated, "")
	w.login("jo@example.org", password).refused(errs.Forbidden, "inactive")
	if a := w.access(jo.UserID, jo.Project, ""); a.GetActive() {
		t.Error("it still stands in its project")
	}
	w.command("deactivateUser", "", root, obj{"user_id": jo.UserID}).ok(200) // again
	if got := w.count(`SELECT version FROM users WHERE id = $1`, jo.UserID); got != 2 {
		t.Errorf("the second time was a change: version %d", got)
	}

	w.command("reactivateUser", "", root, obj{"user_id": jo.UserID}).ok(200)
	if version := bustest.Await(w.env, on); version != 3 {
		t.Errorf("said %d", version)
	}
	w.refresh(refresh).refused(errs.Unauthenticated, "") // a session is not good again
	w.login("jo@example.org", password).ok(200)
	if got := w.resolve(secret); got.GetKeyId() == "" || !w.access(jo.UserID, jo.Project, "").GetActive() {
		t.Errorf("its key: %v", got)
	}
	w.command("reactivateUser", "", root, obj{"user_id": 999}).refused(errs.NotFound, "user not found")
}

func TestOneSuperuserAlwaysStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.superuser("a@example.org")
	w.command("deactivateUser", "", a, obj{"user_id": a.UserID}).refused(errs.Conflict, "last superuser")
	b := w.superuser("b@example.org")
	// Each switches the other off at the same time.
	var wg sync.WaitGroup
	for by, id := range map[tenant.Identity]int64{a: b.UserID, b: a.UserID} {
		wg.Go(func() { w.command("deactivateUser", "", by, obj{"user_id": id}) })
	}
	wg.Wait()
	if n := w.count(`SELECT count(*) FROM users WHERE is_superuser AND is_active`); n != 1 {
		t.Errorf("%d superusers are left", n)
	}
}
