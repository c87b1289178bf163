package serve_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

// targets waits for the n-th entry of an operation and returns what it is about.
func (w *world) targets(chain tenant.Project, op string, n int) (got string) {
	w.Helper()
	const q = `SELECT (SELECT string_agg((x ->> 'name') || '=' || (x ->> 'value'), ' ') FROM jsonb_array_elements(target) x)
		FROM audit_entries WHERE project_id = $1 AND operation = $2 ORDER BY seq DESC LIMIT 1`
	bustest.Eventually(w.env, func() bool {
		return w.count(`SELECT count(*) FROM audit_entries WHERE project_id = $1 AND operation = $2`, int64(chain), op) == n
	})
	err := w.db.AcrossProjects(w.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error { return tx.GetContext(ctx, &got, q, int64(chain), op) })
	if err != nil {
		w.Fatal(err)
	}
	return got
}

func TestTheAuditLogSaysWhatAChangeWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("first@example.org")
	me := w.member("me@example.org")
	jo := w.member("jo@example.org")
	write := func(op string, r obj) answer {
		t.Helper()
		ctx, cancel := context.WithTimeout(bus.WithOrigin(t.Context(), bus.Origin{Writes: true}), bustest.Patience)
		defer cancel()
		a, err := w.edge.Request(ctx, bus.Target{Service: "auth", Operation: op, Project: me.Project}, me, w.json(r))
		return w.read(op, a, err)
	}
	id := int64(me.Project)
	token := write("inviteMember", obj{"project_id": id, "body": obj{"role": "viewer"}}).ok(201).str("token")
	w.request("acceptInvitation", instance(jo), obj{"body": obj{"token": token}}).ok(200)
	w.command("setMemberRole", "", me, obj{"project_id": id, "user_id": jo.UserID, "body": obj{"role": "admin"}}).ok(200)
	w.command("updateProject", "", me, obj{"project_id": id, "body": obj{"name": "Second name", "description": "what a person said"}}).ok(200)
	w.setLimit(me, "writes", "5/minute").ok(200)
	w.setLimit(me, "writes", "7/minute").ok(200)
	account := w.command("createServiceAccount", "", me, obj{"body": obj{"name": "ci", "role": "member"}}).ok(201)
	w.command("updateServiceAccount", "", me, obj{"account_id": account.body["id"], "body": obj{"role": "viewer", "name": "ci-2"}}).ok(200)
	w.command("transferProject", "", me, obj{"project_id": id, "body": obj{"user_id": jo.UserID}}).ok(200)
	w.command("removeMember", "", w.as(jo.UserID, me.Project), obj{"project_id": id, "user_id": me.UserID}).ok(204)
	for op, want := range map[string]string{
		"inviteMember":         "role.after=viewer",
		"setMemberRole":        "role.before=viewer role.after=admin",
		"updateProject":        "name.after=Second name changed=description",
		"setLimit":             "limit.before=5/minute limit.after=7/minute",
		"createServiceAccount": "name.after=ci role.after=member",
		"updateServiceAccount": "name.before=ci name.after=ci-2 role.before=member role.after=viewer",
		"transferProject":      "owner_id.before=",
		"removeMember":         "role.before=admin",
	} {
		n := 1
		if op == "setLimit" {
			n = 2
		}
		if got := w.targets(me.Project, op, n); !strings.Contains(got, want) || strings.Contains(got, "what a person said") || strings.Contains(got, token) {
			t.Errorf("%s: %q, want %q", op, got, want)
		}
	}
}

func TestALogIsReadByTheAddressOfAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.member("first@example.org") // the superuser
	me := w.member("me@example.org")
	w.member("al@example.org")
	w.setLimit(me, "writes", "5/minute").ok(200)
	w.targets(me.Project, "setLimit", 1)
	list := func(who tenant.Identity, more obj) answer {
		more["limit"] = 10
		return w.request("listAudit", who, more)
	}
	for _, address := range []string{"me@example.org", " ME@Example.org "} {
		a := list(me, obj{"actor": address}).ok(200)
		if all := a.body["entries"].([]any); len(all) == 0 || all[0].(map[string]any)["actor"] != me.Principal {
			t.Errorf("%q: %v", address, all)
		}
	}
	// Whether somebody else has an account is not told.
	list(me, obj{"actor": "al@example.org"}).refused(errs.Invalid, "nobody with this e-mail address")
	list(me, obj{"actor": "nobody@example.org"}).refused(errs.Invalid, "nobody with this e-mail address")
	list(me, obj{"actor": "@"}).refused(errs.Invalid, "e-mail address of a person")
	list(me, obj{"actor": "operator:ada@host"}).ok(200)
	super := first
	super.Superuser = true
	list(super, obj{"actor": "al@example.org", "instance": true}).ok(200)
}

// nobodys asks as somebody whom the gateway does not know yet, and returns what the
// gateway is told of the refusal.
func (w *world) nobodys(op string, body obj) string {
	w.Helper()
	ctx, cancel := context.WithTimeout(bus.WithOrigin(w.Context(), bus.Origin{Writes: true}), bustest.Patience)
	defer cancel()
	_, err := w.edge.Request(ctx, bus.Target{Service: "auth", Operation: op}, nobody, w.json(obj{"body": body}))
	if !errs.KindOf(err).Refusal() {
		w.Fatalf("%s: %v", op, err)
	}
	a := bus.AboutOf(err)
	return fmt.Sprint(a.Actor, a.Named)
}

func TestAFailedLoginIsAboutTheAccountIfThereIsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("first@example.org")
	me, off := w.member("jo@example.org"), w.member("off@example.org")
	w.exec(`UPDATE users SET is_active = false WHERE id = $1`, off.UserID)
	try := func(email, word string) string {
		return w.nobodys("login", obj{"email": email, "password": word})
	}
	about := func(id tenant.Identity, why string) string {
		return fmt.Sprintf("[{user %s} {reason %s}]", id.Principal, why)
	}
	for _, c := range []struct{ email, word, want string }{
		{"jo@example.org", "wrong password", about(me, "wrong_password")},
		{"off@example.org", password, about(off, "deactivated")},
		{"nobody@example.org", password, "[]"},
		{"no address", password, "[]"},
	} {
		if got := try(c.email, c.word); got != c.want {
			t.Errorf("%s: told %s, want %s", c.email, got, c.want)
		}
	}
	for range 4 {
		try("jo@example.org", "wrong password")
	}
	if got := try("jo@example.org", password); got != about(me, "locked") {
		t.Errorf("locked: told %s", got)
	}
	if got := w.nobodys("loginBrowser", obj{"email": "off@example.org", "password": password}); got != about(off, "deactivated") {
		t.Errorf("a browser: told %s", got)
	}
}

func TestATokenThatComesBackIsToldOfAsItsUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	token := w.login("jo@example.org", password).ok(200).str("refresh_token")
	next := w.refresh(token).ok(200).str("refresh_token")
	w.clock.move(time.Minute)
	for _, c := range []struct{ token, want string }{
		{token, fmt.Sprintf("%s[{user %s} {reason reuse_detected}]", me.Principal, me.Principal)},
		{next, fmt.Sprintf("%s[{user %s} {reason session_ended}]", me.Principal, me.Principal)},
		{"ccr_" + strings.Repeat("A", 43), "[]"},
		{"garbage", "[]"},
	} {
		if got := w.nobodys("refreshToken", obj{"refresh_token": c.token}); got != c.want {
			t.Errorf("told %s, want %s", got, c.want)
		}
	}
}

func TestTheInstanceRemembersWhoDeletedWhatProjectFromWhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.member("first@example.org") // the superuser
	me := w.member("jo@example.org")
	second := w.as(me.UserID, tenant.Project(w.createProject(me, "Second").ok(201).num("id")))
	ctx, cancel := context.WithTimeout(bus.WithOrigin(t.Context(), bus.Origin{Writes: true, Address: "192.0.2.7", Named: []bus.Named{{Name: "project_id", Value: fmt.Sprint(second.Project)}}}), bustest.Patience)
	defer cancel()
	_, err := w.edge.Command(ctx, bus.Target{Service: "auth", Operation: "deleteProject", Project: second.Project}, second, w.json(in(second)), bus.CommandOptions{Wait: bustest.Patience})
	if err != nil {
		t.Fatal(err)
	}
	w.targets(second.Project, "deleteProject", 1)
	for _, service := range []string{"knowledge", "federation", "ingestion", "research", "jobs"} {
		w.env.Say(&platformv1.ProjectPurged{ProjectId: int32(second.Project), Version: 2, Service: service})
	}
	if got, want := w.targets(tenant.Instance, "deleteProject", 1), fmt.Sprintf("project_id=%d name=Second", second.Project); got != want {
		t.Errorf("about %q, want %q", got, want)
	}
	first.Superuser = true
	for _, filter := range []obj{{"actor": "jo@example.org"}, {"target": "name=Second"}, {"target": fmt.Sprint(second.Project)}} {
		filter["instance"], filter["limit"], filter["operation"] = true, 10, "deleteProject"
		all := w.request("listAudit", first, filter).ok(200).body["entries"].([]any)
		if len(all) != 1 {
			t.Fatalf("%v: %v", filter, all)
		}
		if e := all[0].(map[string]any); e["actor"] != me.Principal || e["address"] != "192.0.2.7" {
			t.Errorf("%v", e)
		}
	}
	if by := w.request("getProjectDeletion", instance(first), obj{"project_id": int64(second.Project)}).ok(200).str("requested_by"); by != me.Principal {
		t.Errorf("requested by %q", by)
	}
}
