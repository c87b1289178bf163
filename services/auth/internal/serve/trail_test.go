package serve_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
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
