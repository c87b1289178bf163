package serve_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

func (w *world) setLimit(id tenant.Identity, class, limit string) answer {
	w.Helper()
	return w.command("setLimit", "", id, obj{"class": class, "body": obj{"limit": limit}})
}

func (w *world) resetLimit(id tenant.Identity, class string) answer {
	w.Helper()
	return w.command("resetLimit", "", id, obj{"class": class})
}

// limits is what a gateway is told of the caller's project.
func (w *world) limits(id tenant.Identity) map[string]*authv1.ProjectLimit {
	w.Helper()
	out := map[string]*authv1.ProjectLimit{}
	for _, l := range w.access(id.UserID, id.Project, "").GetLimits() {
		out[l.GetClass()] = l
	}
	return out
}

func TestALimitOfAProjectIsToldWithEveryStanding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("first@example.org") // is the superuser
	me, other := w.member("jo@example.org"), w.member("al@example.org")
	set := w.setLimit(me, "writes", "100/minute").ok(200)
	if set.str("class") != "writes" || set.str("limit") != "100/minute" || set.body["raised"] != false || set.str("set_by") != me.Principal || set.str("set_at") == "" {
		t.Errorf("%v", set.body)
	}
	w.setLimit(me, "reads", "7/day").ok(200)
	w.setLimit(me, "writes", "5/second").ok(200) // again
	got := w.limits(me)
	if len(got) != 2 || got["writes"].GetCalls() != 5 || got["writes"].GetSeconds() != 1 || got["writes"].GetRaised() || got["reads"].GetSeconds() != 86400 {
		t.Errorf("%v", got)
	}
	if got := w.limits(other); len(got) != 0 {
		t.Errorf("in another project: %v", got)
	}
	w.resetLimit(me, "writes").ok(204)
	if got := w.limits(me); len(got) != 1 || got["reads"] == nil {
		t.Errorf("after a reset: %v", got)
	}
	w.resetLimit(me, "writes").refused(errs.NotFound, "no limit of its own")
}

func TestWhoMaySetLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("first@example.org")
	me := w.member("jo@example.org")
	low, nowhere, super := me, me, me
	w.exec(`UPDATE users SET is_superuser = true WHERE id = $1`, me.UserID)
	low.Role, nowhere.Project = tenant.Member, tenant.Instance
	super.Superuser, super.Role = true, tenant.NoRole
	w.setLimit(low, "writes", "1/minute").refused(errs.Forbidden, "role")
	w.resetLimit(low, "writes").refused(errs.Forbidden, "role")
	w.setLimit(nowhere, "writes", "1/minute").refused(errs.NotFound, "")
	w.setLimit(me, "everything", "1/minute").refused(errs.Invalid, "no such class")
	for _, limit := range []string{"", "x", "0/minute", "-1/minute", "5", "5/week", "1000000/day"} {
		w.setLimit(me, "writes", limit).refused(errs.Invalid, "want a number of calls")
	}
	if raised := w.setLimit(super, "writes", "9000/minute").ok(200); raised.body["raised"] != true {
		t.Errorf("%v", raised.body)
	}
	w.setLimit(me, "writes", "10/minute").refused(errs.Forbidden, "a superuser has set this limit")
	w.resetLimit(me, "writes").refused(errs.Forbidden, "a superuser has set this limit")
	if got := w.limits(me)["writes"]; got.GetCalls() != 9000 || !got.GetRaised() {
		t.Errorf("%v", got)
	}
	w.resetLimit(super, "writes").ok(204)
	w.setLimit(me, "writes", "10/minute").ok(200)
	gone := super
	gone.Project = 4711
	w.setLimit(gone, "writes", "1/minute").refused(errs.NotFound, "")
}
