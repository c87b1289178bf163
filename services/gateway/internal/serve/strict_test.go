package serve_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// edgeCalls are a good call of every operation that is not in calls: those that
// the gateway answers, and those that take a file or go on.
var edgeCalls = map[string]struct {
	method, path, body string
	form               []part
}{
	"answerQuestion":     {"POST", "/api/v1/knowledge/answer", `{"question":"why?"}`, nil},
	"attachTaskDocument": {"POST", "/api/v1/research-tasks/7/documents", "", []part{{"file", `="a.md"`, "# Hello"}}},
	"addDocument":        {"POST", "/api/v1/knowledge/documents", "", []part{{"category", "", "docs"}, {"file", `="a.md"`, "# Hello"}}},
	"importProject":      {"POST", "/api/v1/projects/import", "", []part{{"file", `="a.zip"`, "PK"}}},
	"watchDocument":      {"GET", "/api/v1/knowledge/documents/7/progress", "", nil},
	"watchJob":           {"GET", "/api/v1/jobs/33/events", "", nil},
	"listEvents":         {"GET", "/api/v1/events?limit=5", "", nil},
	"followEvents":       {"GET", "/api/v1/events/stream", "", nil},
	"listOperations":     {"GET", "/api/v1/operations?limit=5", "", nil},
	"getOperation":       {"GET", "/api/v1/operations/p1.auth.x?wait=0", "", nil},
	"listLimits":         {"GET", "/api/v1/limits", "", nil},
	"exportAudit":        {"GET", "/api/v1/audit/export?outcome=denied", "", nil},
	"exportProject":      {"GET", "/api/v1/projects/1/export", "", nil},
	"callTool":           {"POST", "/api/v1/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, nil},
}

// openOperations leave query parameters unread that they do not have: pages and
// probes, to which whoever asks adds what it likes, and where identity providers
// send browsers.
var openOperations = []string{
	"root", "mainHealthCheck", "liveness", "readiness", "detailedHealthCheck", "metrics", "jwks", "openapi", "docs", "docsAsset", "ui", "uiAsset", "finishSignOn",
}

// openBodies take members that the contract does not name, by additionalProperties.
var openBodies = []string{"callTool"}

// extra is a member, a field or a parameter that nothing has.
const extra = "zz_undeclared"

// strictCall is a good call of an operation.
func strictCall(t *testing.T, op *contract.Operation) (method, path, body string, user int64, parts []part) {
	t.Helper()
	for _, c := range calls {
		if c.op == op.ID {
			return c.method, c.path, c.body, c.user, nil
		}
	}
	c, ok := edgeCalls[op.ID]
	if !ok {
		t.Fatalf("%s: no good call in the table", op.ID)
	}
	return c.method, c.path, c.body, owner, c.form
}

func TestWhatAnOperationDoesNotDeclareIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.MaxArchive = 1 << 20 })
	bodies, without := 0, 0
	for _, op := range contractOf(t).Operations {
		if op.OpenQuery != slices.Contains(openOperations, op.ID) {
			t.Errorf("%s: x-open-query is %v", op.ID, op.OpenQuery)
		}
		if op.OpenQuery {
			continue
		}
		method, path, body, user, parts := strictCall(t, op)
		var who []change
		if user != 0 {
			who = append(who, as(w.auth.token(user)))
		}
		send := func(path, body string, parts []part) answer {
			if parts == nil {
				return w.call(method, path, body, who...)
			}
			text, kind := form(t, parts...)
			return w.call(method, path, text, append(who, with("Content-Type", kind))...)
		}
		// An answer that goes on is checked by tests of its own.
		if slices.Contains([]contract.Delivery{contract.Request, contract.Command, contract.Upload}, op.Delivery) {
			if got := send(path, body, parts); got.status == 422 {
				t.Errorf("%s: the good call: %s", op.ID, got.body)
			}
		}
		refused := func(what string, got answer, loc ...any) {
			t.Helper()
			var p struct {
				Detail []struct {
					Type string `json:"type"`
					Loc  []any  `json:"loc"`
				} `json:"detail"`
			}
			if got.status != http.StatusUnprocessableEntity || json.Unmarshal([]byte(got.body), &p) != nil || len(p.Detail) != 1 ||
				p.Detail[0].Type != "extra_forbidden" || fmt.Sprint(p.Detail[0].Loc...) != fmt.Sprint(loc...) {
				t.Errorf("%s, %s: %d %s, want extra_forbidden at %v", op.ID, what, got.status, got.body, loc)
			}
		}
		before := w.bus.count()
		join := "?"
		if strings.Contains(path, "?") {
			join = "&"
		}
		refused("a parameter", send(path+join+extra+"=1", body, parts), "query", extra)
		if parts != nil {
			bodies++
			refused("a field", send(path, "", append([]part{{extra, "", "x"}}, parts...)), "body", extra)
			refused("a file", send(path, "", append(slices.Clone(parts), part{extra, `="x"`, "x"})), "body", extra)
			if n := len(w.bus.objects); n > 1 {
				t.Errorf("%s: %d files of refused calls are kept", op.ID, n-1)
			}
			clear(w.bus.objects)
		}
		if len(op.Body.Types) == 0 {
			without++
			refused("a member of no body", send(path, `{"`+extra+`":1}`, nil), "body", extra)
			for _, none := range []string{"[1]", "x=1", `"x"`, "0"} {
				refused("a body of "+none, send(path, none, nil), "body")
			}
			if got := send(path, strings.Repeat(" ", 65<<10), nil); got.status != http.StatusRequestEntityTooLarge {
				t.Errorf("%s, a large body: %d %s", op.ID, got.status, got.body)
			}
		}
		if len(op.Body.Types) > 0 && parts == nil && !slices.Contains(openBodies, op.ID) {
			bodies++
			more := `{"` + extra + `":{"a":1}`
			if rest := strings.TrimPrefix(body, "{"); rest != "}" && rest != "" {
				more += "," + rest
			} else {
				more += "}"
			}
			refused("a member", send(path, more, nil), "body", extra)
		}
		if n := w.bus.count(); n != before {
			t.Errorf("%s: %d refused calls got through", op.ID, n-before)
		}
	}
	if bodies < 30 || without < 60 {
		t.Errorf("%d bodies were tried, and %d where there is none", bodies, without)
	}
}

func TestAPageTakesWhateverIsAddedToItsAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/", "/health", "/health/live", "/docs", "/docs/start.js", "/openapi.json", "/.well-known/jwks.json", "/ui"} {
		if got := w.call("GET", path+"?_=1764230000&"+extra+"=1", ""); got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	got := w.call("GET", "/api/v1/auth/oidc/callback?code=c&state=s&iss=https://idp.example&session_state=x&authuser=0&prompt=none", "")
	if got.status != 303 || !sameJSON(w.bus.last(t).payload, `{"code":"c","state":"s"}`) {
		t.Errorf("back from a provider: %d %s, asked %s", got.status, got.body, w.bus.last(t).payload)
	}
}

// The members that would give a caller what is not theirs to take, where somebody
// might look for them.
func TestNobodyAssignsWhatIsNotDeclared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		method, path, body, at string
		user                   int64
	}{
		{"POST", "/api/v1/auth/register", `{"email":"a@b.io","password":"correct horse","is_superuser":true}`, "is_superuser", 0},
		{"POST", "/api/v1/auth/register", `{"email":"a@b.io","password":"correct horse","role":"owner"}`, "role", 0},
		{"POST", "/api/v1/projects", `{"name":"p","owner_id":9}`, "owner_id", owner},
		{"PATCH", "/api/v1/projects/1", `{"id":9}`, "id", owner},
		{"POST", "/api/v1/keys", `{"name":"ci","scopes":["knowledge:read"],"user_id":9}`, "user_id", viewer},
		{"POST", "/api/v1/knowledge/documents/text", `{"title":"t","content":"c","category":"k","project_id":9}`, "project_id", member},
		{"PUT", "/api/v1/limits/writes", `{"limit":"5/second","raised":true}`, "raised", owner},
		{"POST", "/api/v1/users/2/password-reset", `{"user_id":9}`, "user_id", superuser},
		{"POST", "/api/v1/knowledge/query", `{"query":"x","Project_ID":9}`, "Project_ID", viewer},
	} {
		var who []change
		if c.user != 0 {
			who = append(who, as(w.auth.token(c.user)))
		}
		got := w.call(c.method, c.path, c.body, who...)
		if got.status != 422 || !strings.Contains(got.body, `"extra_forbidden","loc":["body","`+c.at+`"]`) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, got.status, got.body)
		}
	}
	if n := w.bus.count(); n > 0 {
		t.Errorf("%d calls got through", n)
	}
}
