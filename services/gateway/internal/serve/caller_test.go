package serve_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

func TestNobodyGetsInWithoutAGoodToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.auth
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(time.Hour).Unix()
	symmetric := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "1", "exp": hour, "iss": "commandcenter", "aud": "commandcenter", "type": "access", "sid": "s"})
	symmetric.Header["kid"], symmetric.Header["typ"] = "k1", "at+jwt"
	hs, err := symmetric.SignedString([]byte(a.key.Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "1", "exp": hour})
	unsigned, err := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	forged := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "1", "exp": hour, "iss": "commandcenter", "aud": "commandcenter", "type": "access", "sid": "s"})
	forged.Header["kid"], forged.Header["typ"] = "k1", "at+jwt"
	fake, err := forged.SignedString(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{
		"none": "", "another scheme": "Basic abc", "no token": "Bearer ", "no scheme": a.token(owner), "garbage": "Bearer abc.def.ghi",
		"unsigned": "Bearer " + unsigned, "another algorithm": "Bearer " + hs, "another key": "Bearer " + fake,
		"expired":          "Bearer " + a.sign("k1", "at+jwt", map[string]any{"sub": "1", "exp": time.Now().Add(-time.Minute).Unix()}),
		"of tomorrow":      "Bearer " + a.sign("k1", "at+jwt", map[string]any{"sub": "1", "nbf": time.Now().Add(time.Hour).Unix()}),
		"no end":           "Bearer " + a.sign("k1", "at+jwt", map[string]any{"sub": "1", "exp": nil}),
		"another issuer":   "Bearer " + a.sign("k1", "at+jwt", map[string]any{"sub": "1", "iss": "evil"}),
		"another audience": "Bearer " + a.sign("k1", "at+jwt", map[string]any{"sub": "1", "aud": "evil"}),
		"a refresh token":  "Bearer " + a.sign("k1", "at+jwt", map[string]any{"sub": "1", "type": "refresh"}),
		"another type":     "Bearer " + a.sign("k1", "JWT", map[string]any{"sub": "1"}),
		"unknown key":      "Bearer " + a.sign("k2", "at+jwt", map[string]any{"sub": "1"}),
		"no key":           "Bearer " + a.sign("", "at+jwt", map[string]any{"sub": "1"}),
		"no user":          "Bearer " + a.sign("k1", "at+jwt", map[string]any{"sub": "me"}),
		"no session":       "Bearer " + a.sign("k1", "at+jwt", map[string]any{"sub": "1", "sid": ""}),
		"gone":             "Bearer " + a.token(99),
		"too long":         "Bearer " + strings.Repeat("a", 5000),
	} {
		got := w.call("GET", "/api/v1/knowledge/collections", "", with("Authorization", header))
		if got.status != 401 || got.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if n := w.bus.count(); n > 0 {
		t.Errorf("%d calls got through", n)
	}
	if strings.Contains(w.logs.String(), a.token(owner)[:40]) {
		t.Error("a token is in the log")
	}
}

func TestASessionThatEndedIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.auth.revoked["s-9"] = true
	token := as(w.auth.sign("k1", "at+jwt", map[string]any{"sub": "1", "sid": "s-9"}))
	if got := w.call("GET", "/api/v1/auth/me", "", token); got.status != 401 {
		t.Errorf("%d", got.status)
	}
}

func TestTheProjectOfACallIsTheOneNamedOrTheCallersOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		name   string
		user   int64
		path   string
		header string
		status int
		want   tenant.Project
	}{
		{"default", owner, "/api/v1/knowledge/collections", "", 200, 1},
		{"named", owner, "/api/v1/knowledge/collections", "2", 200, 2},
		{"foreign", owner, "/api/v1/knowledge/collections", "9", 403, 0},
		{"missing", owner, "/api/v1/knowledge/collections", "77", 403, 0},
		{"beyond all", owner, "/api/v1/knowledge/collections", "4294967296", 403, 0},
		{"none at all", homeless, "/api/v1/knowledge/collections", "", 403, 0},
		{"by path", owner, "/api/v1/projects/2", "", 200, 2},
		{"path over header", owner, "/api/v1/projects/2", "1", 200, 2},
		{"foreign by path", owner, "/api/v1/projects/9", "", 404, 0},
		{"missing by path", owner, "/api/v1/projects/77", "", 404, 0},
		{"no project needed", homeless, "/api/v1/projects", "", 200, 0},
		{"foreign beside a path", owner, "/api/v1/projects/2", "9", 403, 0},
		{"own beside a foreign path", owner, "/api/v1/projects/9", "1", 404, 0},
		{"own where none is needed", owner, "/api/v1/projects", "2", 200, 0},
		{"foreign where none is needed", homeless, "/api/v1/projects", "9", 403, 0},
		{"no number where none is needed", owner, "/api/v1/projects", "x", 422, 0},
		{"superuser elsewhere", superuser, "/api/v1/projects", "9", 200, 0},
		{"superuser", superuser, "/api/v1/projects/9", "", 200, 9},
		{"inactive", inactive, "/api/v1/projects", "", 403, 0},
	} {
		changes := []change{as(w.auth.token(c.user))}
		if c.header != "" {
			changes = append(changes, with("X-Project-ID", c.header))
		}
		before := w.bus.count()
		got := w.call("GET", c.path, "", changes...)
		if got.status != c.status {
			t.Errorf("%s: %d %s", c.name, got.status, got.body)
			continue
		}
		if c.status != 200 {
			if w.bus.count() != before {
				t.Errorf("%s: a refused call got through", c.name)
			}
			continue
		}
		if a := w.bus.last(t); a.target.Project != c.want {
			t.Errorf("%s: project %d, want %d", c.name, a.target.Project, c.want)
		}
	}
	foreign := w.call("GET", "/api/v1/projects/9", "", as(w.auth.token(owner)), with("X-Request-ID", "r")).json(t)
	missing := w.call("GET", "/api/v1/projects/77", "", as(w.auth.token(owner)), with("X-Request-ID", "r")).json(t)
	delete(foreign, "instance")
	delete(missing, "instance")
	if len(foreign) != len(missing) || foreign["detail"] != missing["detail"] {
		t.Errorf("a foreign project shows: %v, %v", foreign, missing)
	}
}

func TestAProjectOfTheHeaderThatIsNotTheCallersIsRefusedByEveryOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := regexp.MustCompile(`\{[a-z_]+\}`)
	refused := 0
	for _, op := range contractOf(t).Operations {
		if op.Permission == contract.Public {
			continue
		}
		for _, project := range []string{"9", "77"} { // somebody else's, and nobody's
			got := w.call(op.Method, id.ReplaceAllString(op.Path, "1"), "", as(w.auth.token(owner)), with("X-Project-ID", project))
			if got.status != 403 || got.json(t)["detail"] != "You do not belong to project "+project {
				t.Errorf("%s with project %s: %d %s", op.ID, project, got.status, got.body)
			}
			refused++
		}
	}
	if n := w.bus.count(); n > 0 || refused < 150 {
		t.Errorf("%d refused, %d calls got through", refused, n)
	}
}

func TestEveryOperationTakesThePermissionOfTheContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rank := map[contract.Permission]int{contract.Viewer: 1, contract.Member: 2, contract.Admin: 3, contract.Owner: 4, contract.Superuser: 5}
	roles := []struct {
		role tenant.Role
		rank int
	}{{tenant.Viewer, 1}, {tenant.Member, 2}, {tenant.Admin, 3}, {tenant.Owner, 4}}
	ops := map[string]*contract.Operation{}
	for _, op := range contractOf(t).Operations {
		ops[op.ID] = op
	}
	for i, r := range roles {
		id := int64(100 + i)
		w.auth.users[id] = &fakeUser{home: 1, roles: map[tenant.Project]tenant.Role{1: r.role}}
		for _, c := range calls {
			op := ops[c.op]
			if op.Permission == contract.Public {
				continue
			}
			got := w.call(c.method, c.path, c.body, as(w.auth.token(id)))
			allowed := op.Permission != contract.Superuser && rank[op.Permission] <= r.rank
			if allowed != (got.status < 400) || !allowed && got.status != 403 {
				t.Errorf("%s as %s: %d", c.op, r.role, got.status)
			}
			if want := fmt.Sprintf("Your role, %s, does not allow this: it takes %s", r.role, op.Permission); !allowed && op.Permission != contract.Superuser && !strings.Contains(got.body, want) {
				t.Errorf("%s as %s: %s", c.op, r.role, got.body)
			}
		}
	}
}

func TestTokensOfCallersWithoutOneAreAskedForEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public := map[string]bool{
		"register": true, "login": true, "refreshToken": true, "resetPassword": true, "showPasswordReset": true, "showInvitation": true, "loginBrowser": true, "beginSignOn": true, "finishSignOn": true,
		"listFederatedProjects": true, "getFederatedProject": true, "updateFederatedProject": true, // the service knows their keys
	}
	for _, c := range calls {
		if got := w.call(c.method, c.path, c.body); (got.status == 401) == public[c.op] {
			t.Errorf("%s: %d", c.op, got.status)
		}
	}
	for _, path := range []string{"/api/v1/settings/api-keys", "/api/v1/nothing"} {
		if got := w.call("GET", path, ""); got.status != 401 {
			t.Errorf("%s: %d", path, got.status)
		}
		if got := w.call("GET", path, "", as("x.y.z")); got.status != 401 {
			t.Errorf("%s: %d", path, got.status)
		}
		if got := w.call("GET", path, "", as(w.auth.token(owner))); got.status != 404 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

func TestWhenAuthIsAwayKnownCallersGoOnAndOthersAreToldToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.call("GET", "/api/v1/knowledge/collections", "", as(w.auth.token(owner))); got.status != 200 {
		t.Fatal(got.status)
	}
	w.auth.mu.Lock()
	w.auth.down = true
	w.auth.mu.Unlock()
	if got := w.call("GET", "/api/v1/knowledge/collections", "", as(w.auth.token(owner))); got.status != 200 {
		t.Errorf("known: %d", got.status)
	}
	got := w.call("GET", "/api/v1/knowledge/collections", "", as(w.auth.token(viewer)))
	if got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("unknown: %d %v", got.status, got.header)
	}
}

func TestWhatCallersChangeAboutThemselvesHoldsForTheirNextCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := as(w.auth.token(owner))
	if got := w.call("GET", "/api/v1/auth/me", "", token); got.status != 200 {
		t.Fatal(got.status)
	}
	w.auth.mu.Lock()
	w.auth.revoked["s-1"] = true
	w.auth.mu.Unlock()
	if got := w.call("POST", "/api/v1/auth/logout", "", token); got.status != 200 {
		t.Fatalf("%d: the standing is kept", got.status)
	}
	if got := w.call("GET", "/api/v1/auth/me", "", token); got.status != 401 {
		t.Errorf("after logout: %d", got.status)
	}
}

func TestCallsAboveTheRateAreRefusedWithAWayBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) {
		c.Reads = &contract.Rate{N: 3, Per: time.Minute}
		c.Writes = &contract.Rate{N: 1, Per: time.Hour}
	})
	login := `{"email":"a@b.io","password":"correct horse"}`
	for i := range 10 {
		got := w.call("POST", "/api/v1/auth/login", login)
		if got.status != 200 || got.header.Get("RateLimit-Limit") != "10" {
			t.Fatalf("login %d: %d %v", i, got.status, got.header)
		}
	}
	got := w.call("POST", "/api/v1/auth/login", login)
	d := got.json(t)
	if got.status != 429 || got.header.Get("Retry-After") == "" || got.header.Get("RateLimit-Remaining") != "0" || got.header.Get("RateLimit-Reset") == "" ||
		d["error"] != "Rate limit exceeded: 10 per 1 minute" || d["detail"] != d["error"] {
		t.Errorf("%d %v %v", got.status, got.header, d)
	}
	token := as(w.auth.token(owner))
	for range 3 {
		w.call("GET", "/api/v1/projects", "", token)
	}
	if got := w.call("POST", "/api/v1/knowledge/query", `{"query":"x"}`, token); got.status != 429 {
		t.Errorf("a search is a read: %d", got.status)
	}
	if got := w.call("POST", "/api/v1/projects", `{"name":"x"}`, token); got.status != 201 {
		t.Errorf("writes are counted apart: %d", got.status)
	}
	if got := w.call("POST", "/api/v1/projects", `{"name":"x"}`, token); got.status != 429 || got.json(t)["error"] != "Rate limit exceeded: 1 per 1 hour" {
		t.Errorf("%d", got.status)
	}
	if got := w.call("GET", "/api/v1/projects", "", as(w.auth.token(stranger))); got.status != 200 {
		t.Errorf("another user: %d", got.status)
	}
}

func TestTokensCannotBeGuessedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Anonymous = &contract.Rate{N: 5, Per: time.Minute} })
	for range 5 {
		if got := w.call("GET", "/api/v1/auth/me", "", as("x.y.z")); got.status != 401 {
			t.Fatal(got.status)
		}
	}
	if got := w.call("GET", "/api/v1/auth/me", "", as("x.y.z")); got.status != 429 {
		t.Errorf("%d", got.status)
	}
	if got := w.call("GET", "/api/v1/auth/me", "", as(w.auth.token(owner))); got.status != 200 {
		t.Errorf("a good token from the same address: %d", got.status)
	}
}

func TestTheAddressOfACallerBehindAProxyIsTheOneTheProxySaw(t *testing.T) {
	t.Parallel()
	login := `{"email":"a@b.io","password":"correct horse"}`
	exhaust := func(w *world, from func(i int) string) int {
		refused := 0
		for i := range 12 {
			if got := w.call("POST", "/api/v1/auth/login", login, with("X-Forwarded-For", from(i))); got.status == 429 {
				refused++
			}
		}
		return refused
	}
	each := func(i int) string { return "203.0.113." + string(rune('0'+i%10)) }
	if n := exhaust(newWorld(t), each); n != 2 {
		t.Errorf("an untrusted header was believed: %d refused", n)
	}
	trusting := func(c *serve.Config, _ *serve.Deps) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	}
	if n := exhaust(newWorld(t, trusting), each); n != 0 {
		t.Errorf("callers behind a proxy share a counter: %d refused", n)
	}
	invented := func(i int) string { return each(i) + ", 203.0.113.77, 10.0.0.2" }
	if n := exhaust(newWorld(t, trusting), invented); n != 2 {
		t.Errorf("an invented address was believed: %d refused", n)
	}
	household := func(i int) string { return "2001:db8:1:2::" + string(rune('1'+i%8)) }
	if n := exhaust(newWorld(t, trusting), household); n != 2 {
		t.Errorf("addresses of one network are counted apart: %d refused", n)
	}
	if n := exhaust(newWorld(t, trusting), func(int) string { return "nonsense" }); n != 2 {
		t.Errorf("%d refused", n)
	}
}

func TestAGatewayWithTooMuchInHandSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.MaxInFlight = 0 })
	w.health = func(context.Context, string) ([]serve.Component, error) {
		return []serve.Component{{Name: "database", Status: app.StatusHealthy}}, nil
	}
	got := w.call("GET", "/api/v1/projects", "", as(w.auth.token(owner)))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := w.call("GET", "/api/v1/operations/p1.auth.x", "", as(w.auth.token(owner))); got.status != http.StatusServiceUnavailable {
		t.Errorf("the state of an operation: %d", got.status)
	}
	for _, path := range []string{"/health", "/health/live", "/health/ready", "/health/detailed"} {
		if got := w.call("GET", path, ""); got.status != 200 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

func TestARefusedCallerIsCountedBeforeAnybodyIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Reads = &contract.Rate{N: 3, Per: time.Minute} })
	token := as(w.auth.token(owner))
	for i, want := range []int{403, 403, 422, 429, 429} {
		project := strconv.Itoa(100 + i)
		if want == 422 {
			project = "x"
		}
		if got := w.call("GET", "/api/v1/knowledge/collections", "", token, with("X-Project-ID", project)); got.status != want {
			t.Errorf("call %d: %d, want %d", i, got.status, want)
		}
	}
	w.auth.mu.Lock()
	defer w.auth.mu.Unlock()
	if w.auth.asked != 2 {
		t.Errorf("auth was asked %d times, want 2", w.auth.asked)
	}
}

func TestPagesForAnybodyAndProbesHaveGenerousRates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Anonymous = &contract.Rate{N: 1, Per: time.Hour} })
	w.health = func(context.Context, string) ([]serve.Component, error) {
		return []serve.Component{{Name: "database", Status: app.StatusHealthy}}, nil
	}
	paths := []string{"/docs", "/docs/start.js", "/openapi.json", "/health/detailed", "/"}
	for i := range 10 {
		if got := w.call("GET", paths[i%len(paths)], ""); got.status != 200 {
			t.Errorf("%s: %d", paths[i%len(paths)], got.status)
		}
	}
	for _, path := range paths {
		if got := w.call("GET", path, ""); got.status != 429 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	for _, path := range []string{"/health", "/health/live", "/health/ready"} {
		for range 12 {
			if got := w.call("GET", path, ""); got.status != 200 || got.header.Get("RateLimit-Limit") != "100" {
				t.Errorf("%s: %d %v", path, got.status, got.header)
			}
		}
	}
	unlimited := newWorld(t)
	if got := unlimited.call("GET", "/docs", ""); got.status != 200 || got.header.Get("RateLimit-Limit") != "" {
		t.Errorf("without a rate: %d", got.status)
	}
}

func TestAPasswordThatCannotBeOneIsRefusedLikeAWrongOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.request = func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
		return nil, errs.New(errs.Unauthenticated, "incorrect e-mail address or password")
	}
	want := w.login("a wrong password")
	for _, password := range []string{"", "x", "1234567"} {
		if got := w.login(password); got.status != 401 || got.json(t)["detail"] != want.json(t)["detail"] {
			t.Errorf("%q: %d %s, want 401 %s", password, got.status, got.body, want.body)
		}
	}
}

func (w *world) login(password string) answer {
	w.t.Helper()
	return w.call("POST", "/api/v1/auth/login", `{"email":"jo@example.org","password":"`+password+`"}`)
}

func TestTheAddressOfWhoLogsInReachesTheService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for sent, want := range map[string]string{
		"": "127.0.0.1", "203.0.113.7": "203.0.113.7", "198.51.100.1, 203.0.113.7": "203.0.113.7", "2001:db8::1:2": "2001:db8::/64",
	} {
		w.call("POST", "/api/v1/auth/login", `{"email":"jo@example.org","password":"x"}`, with("X-Forwarded-For", sent))
		if got := w.bus.last(t).who; got.Client != want || !got.Anonymous() {
			t.Errorf("X-Forwarded-For %q: asked as %+v, want from %s", sent, got, want)
		}
	}
	w.call("GET", "/api/v1/auth/me", "", as(w.auth.token(member)))
	if got := w.bus.last(t).who; got.Client != "" {
		t.Errorf("of somebody who is known the address is told as well: %+v", got)
	}
}
