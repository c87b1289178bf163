package serve_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// scopeOf is what a key has to have for an operation: stated a second time, from
// the table that the contract documents.
func scopeOf(op *contract.Operation) string {
	level := "write"
	switch {
	case op.Permission == contract.Superuser:
		level = "admin"
	case op.Method == "GET", op.Delivery == contract.Request && op.Permission == contract.Viewer:
		level = "read"
	case op.Permission == contract.Admin, op.Permission == contract.Owner:
		level = "admin"
	}
	return op.Tag + ":" + level
}

// below are the levels that are not enough.
var below = map[string][]string{"read": nil, "write": {"read"}, "admin": {"read", "write"}}

func TestEveryOperationTakesTheScopeOfItsAreaAndNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	byID := map[string]*contract.Operation{}
	for _, op := range contractOf(t).Operations {
		byID[op.ID] = op
	}
	for _, c := range calls {
		op := byID[c.op]
		if op.Permission == contract.Public {
			continue
		}
		call := func(scopes ...string) answer {
			k := access.APIKey{ID: "k-1", Project: 1, User: c.user}
			return w.call(c.method, c.path, c.body, as(w.auth.issue(k, scopes...)))
		}
		want := scopeOf(op)
		if op.SessionOnly {
			if got := call("*:admin"); got.status != 403 {
				t.Errorf("%s: a key got %d", c.op, got.status)
			}
			continue
		}
		if got := call(want); got.status != c.status {
			t.Errorf("%s with %s: %d %s", c.op, want, got.status, got.body)
			continue
		}
		if a := w.bus.last(t); a.who.Key != "k-1" || a.who.UserID != c.user || a.who.Session != "" || a.target.Project != c.project {
			t.Errorf("%s: asked %+v as %+v", c.op, a.target, a.who)
		}
		area, level := op.Tag, want[len(op.Tag)+1:]
		short := []string{"other:admin"}
		for _, l := range below[level] {
			short = append(short, area+":"+l, "*:"+l)
		}
		if got := call(short...); got.status != 403 {
			t.Errorf("%s with %v: %d %s", c.op, short, got.status, got.body)
		}
		if got := call("*:" + level); got.status != c.status {
			t.Errorf("%s with *:%s: %d", c.op, level, got.status)
		}
	}
}

func TestAKeyIsGoodInItsProjectOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The owner of project 1 is a member of 2 as well; the key is of 2.
	key := w.auth.issue(access.APIKey{ID: "k", Project: 2, User: owner}, "*:admin")
	if got := w.call("GET", "/api/v1/knowledge/categories", "", as(key)); got.status != 200 || w.bus.last(t).who.Project != 2 || w.bus.last(t).who.Role != tenant.Member {
		t.Errorf("without a project: %d as %+v", got.status, w.bus.last(t).who)
	}
	for path, want := range map[string]int{"/api/v1/knowledge/categories": 403, "/api/v1/projects/1": 404, "/api/v1/projects/2": 200, "/api/v1/projects/99": 404} {
		changes := []change{as(key)}
		if want == 403 {
			changes = append(changes, with("X-Project-ID", "1"))
		}
		if got := w.call("GET", path, "", changes...); got.status != want {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	// What its holder does elsewhere is not the key's to see.
	if got := w.call("GET", "/api/v1/operations?instance=true", "", as(key)); got.status != 403 {
		t.Errorf("operations of the instance: %d %s", got.status, got.body)
	}
	const id = "instance.auth.0190c0de-0000-7000-8000-000000000000"
	if got := w.call("GET", "/api/v1/operations/"+id, "", as(key)); got.status != 404 {
		t.Errorf("an operation of the instance: %d %s", got.status, got.body)
	}
	// Whoever has left the project has no key to it.
	w.auth.mu.Lock()
	delete(w.auth.users[owner].roles, 2)
	w.auth.mu.Unlock()
	w.guard.ForgetUser(owner)
	for _, path := range []string{"/api/v1/knowledge/categories", "/api/v1/projects/"} {
		if got := w.call("GET", path, "", as(key)); got.status != 401 {
			t.Errorf("after leaving, %s: %d", path, got.status)
		}
	}
}

func TestAServiceAccountHasItsRoleAndNoPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.auth.accounts = map[int64]*fakeUser{5: {roles: map[tenant.Project]tenant.Role{1: tenant.Member}, home: 1}}
	key := w.auth.issue(access.APIKey{ID: "k", Project: 1, Account: 5}, "*:admin")
	got := w.call("POST", "/api/v1/knowledge/documents/text", `{"title":"t","content":"c","category":"k"}`, as(key))
	who := w.bus.last(t).who
	if got.status != 201 || who.Principal != "service-account:5" || who.UserID != 0 || who.ServiceAccount != 5 || who.Role != tenant.Member {
		t.Errorf("%d as %+v", got.status, who)
	}
	if got := w.call("DELETE", "/api/v1/projects/1", "", as(key)); got.status != 403 {
		t.Errorf("beyond its role: %d", got.status)
	}
	delete(w.auth.accounts, 5)
	w.guard.ForgetAccount(5)
	if got := w.call("GET", "/api/v1/knowledge/categories", "", as(key)); got.status != 401 || got.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("after its end: %d %v", got.status, got.header)
	}
}

func TestAKeyOfASuperuserIsOneOnlyWithAnAdminScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	call := func(path string, scopes ...string) int {
		return w.call("GET", path, "", as(w.auth.issue(access.APIKey{ID: "k", Project: 1, User: superuser}, scopes...))).status
	}
	for _, c := range []struct {
		path   string
		scopes []string
		want   int
	}{
		{"/api/v1/users", []string{"users:read"}, 403}, {"/api/v1/users", []string{"users:admin"}, 200}, {"/api/v1/users", []string{"*:admin"}, 200},
		{"/api/v1/knowledge/categories", []string{"knowledge:write"}, 403}, {"/api/v1/knowledge/categories", []string{"knowledge:admin"}, 200},
	} {
		if got := call(c.path, c.scopes...); got != c.want {
			t.Errorf("%s with %v: %d, want %d", c.path, c.scopes, got, c.want)
		}
	}
}

func TestAKeyMayComeInAHeaderOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.auth.issue(access.APIKey{ID: "k", Project: 1, User: owner}, "*:read")
	const path = "/api/v1/knowledge/categories"
	if got := w.call("GET", path, "", with("X-API-Key", key)); got.status != 200 {
		t.Errorf("X-API-Key: %d %s", got.status, got.body)
	}
	for _, other := range []string{"ccf_x", w.auth.token(owner), ""} { // keys of instances, and tokens
		if got := w.call("GET", path, "", with("X-API-Key", other)); got.status != 401 {
			t.Errorf("%.8s: %d", other, got.status)
		}
	}
	// The Authorization header is the one that counts.
	if got := w.call("GET", path, "", with("X-API-Key", key), with("Authorization", "Bearer nonsense")); got.status != 401 {
		t.Errorf("beside a bad token: %d", got.status)
	}
	// An instance's key is its service's to judge, as ever.
	if got := w.call("GET", "/api/fed/projects", "", with("X-API-Key", "ccf_x")); got.status != 200 {
		t.Errorf("the federation: %d", got.status)
	}
}

func TestGuessesAtKeysAreCountedByAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Anonymous = &contract.Rate{N: 10, Per: time.Minute} })
	got := w.call("GET", "/api/v1/knowledge/categories", "", as("cc_abcdefgh_nonsense"))
	if got.status != http.StatusUnauthorized || got.header.Get("Ratelimit-Limit") == "" {
		t.Errorf("%d %v", got.status, got.header)
	}
}
