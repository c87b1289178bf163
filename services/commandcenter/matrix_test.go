package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/services/gateway"
)

// roleRank orders the roles, and what x-permission asks for.
var roleRank = map[string]int{"viewer": 1, "member": 2, "admin": 3, "owner": 4}

// persona is a caller of the matrix.
type persona struct {
	name      string
	role      string // in the project; "" for none
	superuser bool
	scope     string // of an API key that reaches the whole of it: read or admin; "" for a session
	token     string // "" for nobody
	email     string
}

// matrix is one product with one project that has a caller of every role, and
// another one that has none of them.
type matrix struct {
	*attacker
	owner    *caller // of the project
	foreign  *caller // the owner of the other one
	project  int64
	other    int64
	sent     atomic.Int64 // each call comes from an address of its own
	cells    atomic.Int64
	sessions map[string]bool // operations that take a session alone
}

// place is where a call says that it belongs.
type place string

// The places.
const (
	own     place = "own"
	foreign place = "foreign"
	absent  place = "absent"
)

const absentProject = 2147480000

func newMatrix(t *testing.T) (*matrix, []*persona) {
	t.Helper()
	p := here(t, dataDir(t), "--no-sample")
	m := &matrix{attacker: newAttacker(t, p), sessions: map[string]bool{}}
	m.readContract(t)
	account := func(email string) *persona { return m.account(t, email) }
	owner, stranger, other := account("owner@example.org"), account("stranger@example.org"), account("other@example.org")
	owner.role = "owner"
	m.owner, m.foreign = p.caller(owner.token), p.caller(other.token)
	m.project, m.other = m.owner.project("The matrix"), m.foreign.project("Elsewhere")
	all := []*persona{{name: "nobody"}, owner, stranger, {name: "superuser", superuser: true, token: m.who.token}}
	for _, role := range []string{"viewer", "member", "admin"} {
		who := account(role + "@example.org")
		who.role = role
		m.join(t, who)
		all = append(all, who)
		all = append(all, &persona{name: "the account of a " + role, role: role, scope: "admin", token: m.accountKey(role)})
	}
	for _, scope := range []string{"read", "admin"} {
		all = append(all, &persona{name: "the owner's key to " + scope, role: "owner", scope: scope, token: m.key(m.owner, "/api/v1/keys", scope, m.project)})
	}
	return m, all
}

func (m *matrix) readContract(t *testing.T) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if op.Security != nil && len(*op.Security) > 0 {
				_, m.sessions[op.OperationID] = (*op.Security)[0]["session"]
			}
		}
	}
}

func (m *matrix) address() string {
	n := m.sent.Add(1)
	return fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)
}

// account registers a person.
func (m *matrix) account(t testing.TB, email string) *persona {
	t.Helper()
	nobody := m.p.in(t).caller("")
	credentials := map[string]any{"email": email, "password": guestPassword}
	nobody.json("POST", "/api/v1/auth/register", credentials, 201, nil, "X-Forwarded-For", m.address())
	var tok struct {
		AccessToken string `json:"access_token"`
	}
	nobody.json("POST", "/api/v1/auth/login", credentials, 200, &tok, "X-Forwarded-For", m.address())
	return &persona{name: strings.TrimSuffix(email, "@example.org"), email: email, token: tok.AccessToken}
}

// join makes a person what it is in the project.
func (m *matrix) join(t testing.TB, who *persona) {
	t.Helper()
	owner := m.p.in(t).caller(m.owner.token)
	var inv struct{ Token string }
	owner.json("POST", fmt.Sprintf("/api/v1/projects/%d/invitations", m.project), map[string]any{"role": who.role, "email": who.email}, 201, &inv)
	m.p.in(t).caller(who.token).json("POST", "/api/v1/invitations/accept", map[string]any{"token": inv.Token}, 200, nil)
}

// key makes an API key of the project with the scope for everything.
func (m *matrix) key(who *caller, path, scope string, project int64) string {
	var made struct {
		Secret string `json:"secret"`
	}
	who.json("POST", path, map[string]any{"name": scope, "scopes": []string{"*:" + scope}}, 201, &made, "X-Project-ID", strconv.FormatInt(project, 10))
	return made.Secret
}

func (m *matrix) accountKey(role string) string {
	var made struct{ ID int64 }
	m.owner.json("POST", "/api/v1/service-accounts", map[string]any{"name": role, "role": role}, 201, &made, "X-Project-ID", strconv.FormatInt(m.project, 10))
	return m.key(m.owner, fmt.Sprintf("/api/v1/service-accounts/%d/keys", made.ID), "admin", m.project)
}

// verdict is what a call has to meet: 0 for leave to go on, else the refusal.
func (m *matrix) verdict(op attackedOp, permission string, who *persona, where place) int {
	switch {
	case permission == "public":
		return 0
	case who.token == "":
		return 401
	}
	if who.scope != "" {
		level := "write"
		switch {
		case permission == "superuser":
			level = "admin"
		case op.method == "GET", (op.delivery == "request" || op.delivery == "stream") && permission == "viewer", op.id == "callTool": // whose tools are asked for themselves
			level = "read"
		case permission == "admin", permission == "owner":
			level = "admin"
		}
		if m.sessions[op.id] || who.scope == "read" && level != "read" {
			return 403
		}
	}
	elsewhere := 403
	if op.project == "path" {
		elsewhere = 404
	}
	switch {
	case op.project == "none" && permission == "superuser" && !who.superuser:
		return 403
	case op.project == "none":
		return 0
	case where == absent, where == foreign && !who.superuser, !who.superuser && who.role == "":
		return elsewhere
	case who.superuser || permission == "authenticated", permission != "superuser" && roleRank[who.role] >= roleRank[permission]:
		return 0
	}
	return 403
}

// ownRefusals are words of the refusals that operations have for callers who may
// call them.
var ownRefusals = map[string]string{
	"login": "incorrect", "loginBrowser": "incorrect", "finishSignOn": "no identity provider", "beginSignOn": "no identity provider", "refreshToken": "refresh token", "changePassword": "old password is incorrect", "resetPassword": "password reset is not valid", "showPasswordReset": "password reset is not valid", "setLimit": "a superuser has set", "resetLimit": "a superuser has set",
	"listFederatedProjects": "X-API-Key", "updateFederatedProject": "X-API-Key", "getFederatedProject": "X-API-Key", // of instances
	"getCurrentUserInfo": "a service account is nobody's account",
}

// bodies are sent where what the contract makes up would ask for more than the
// permission of the operation, or harm what comes after it.
var bodies = map[string]map[string]any{
	"rotateSigningKeys": {"revoke": false}, "updateProject": {"description": "matrix"}, "setLimit": {"limit": "600/second"}, "inviteMember": {"role": "viewer"},
	"createKey": {"name": "k", "scopes": []string{"knowledge:read"}}, "createServiceAccountKey": {"name": "k", "scopes": []string{"knowledge:read"}},
}

// call is the call of a cell. What the operation would take away is another
// thing of the same kind when the call is to be let through.
func (m *matrix) call(t testing.TB, op attackedOp, who *persona, where place, allowed bool) attackCall {
	c := m.fresh(op)
	if body := bodies[op.id]; body != nil {
		c.body = body
	}
	if op.id == "register" {
		c.body["email"] = fmt.Sprintf("new%d@example.org", m.sent.Add(1))
	}
	project, token := map[place]int64{own: m.project, foreign: m.other, absent: absentProject}[where], who.token
	switch {
	case allowed && op.id == "deleteProject":
		holder := m.p.in(t).caller(map[place]*caller{own: m.owner, foreign: m.foreign}[where].token)
		project = holder.project(fmt.Sprintf("To be deleted %d", m.sent.Add(1)))
		if who.scope != "" {
			token = m.key(holder, "/api/v1/keys", who.scope, project)
		}
	case allowed && (op.id == "logout" || op.id == "endSessions"):
		token = m.account(t, fmt.Sprintf("gone%d@example.org", m.sent.Add(1))).token
	}
	switch op.project {
	case "path":
		c.path["project_id"] = strconv.FormatInt(project, 10)
	case "current":
		c.header.Set("X-Project-ID", strconv.FormatInt(project, 10))
	}
	if token != "" {
		c.header.Set("Authorization", "Bearer "+token)
	}
	c.header.Set("X-Forwarded-For", m.address())
	return c
}

// ask sends a call; of a stream only the beginning is read.
func (m *matrix) ask(t testing.TB, c attackCall) attacked {
	t.Helper()
	r, err := c.request(m.p.url)
	if err != nil {
		t.Fatal(err)
	}
	res, err := attackClient.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	defer res.Body.Close()
	got := attacked{status: res.StatusCode, header: res.Header}
	if res.Header.Get("Content-Type") != "text/event-stream" {
		if got.body, err = io.ReadAll(res.Body); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
	}
	m.cells.Add(1)
	return got
}

// TestEveryRoleMayDoWhatTheContractSaysAndNothingElse walks every operation, by
// every kind of caller, in its own project, in another one and in none, over HTTP.
func TestEveryRoleMayDoWhatTheContractSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	m, all := newMatrix(t)
	permissions := contractPermissions(t)
	m.foreignIDs(t)
	m.foreignHeaders(t, permissions)
	t.Run("callers", func(t *testing.T) {
		for _, who := range all {
			t.Run(who.name, func(t *testing.T) {
				t.Parallel() // they meet in one product
				for _, op := range m.ops {
					m.row(t, op, permissions[op.id], who)
				}
			})
		}
	})
	t.Logf("%d cells", m.cells.Load())
	if m.cells.Load() < 1500 {
		t.Errorf("only %d cells", m.cells.Load())
	}
}

// foreignHeaders names the other project, and one that is not there, in the header
// of every operation that asks who calls, whether it works in a project or not.
func (m *matrix) foreignHeaders(t *testing.T, permissions map[string]string) {
	t.Helper()
	for _, op := range m.ops {
		if permissions[op.id] == "public" {
			continue
		}
		var bodies [2][]byte
		for i, project := range []int64{m.other, absentProject} {
			c := m.call(t, op, &persona{token: m.owner.token}, own, false)
			named := strconv.FormatInt(project, 10)
			c.header.Set("X-Project-ID", named)
			got := m.ask(t, c)
			if bodies[i] = bytes.ReplaceAll(plain(got.body), []byte(named), nil); got.status != 403 {
				t.Errorf("%s with X-Project-ID %s: %d, want 403: %s", op.id, named, got.status, got.body)
			}
		}
		if !bytes.Equal(bodies[0], bodies[1]) {
			t.Errorf("%s tells a foreign project from one that there is not:\n%s\n%s", op.id, bodies[0], bodies[1])
		}
	}
}

// foreignIDs gives every operation that takes an id one of a thing in the other
// project, and one that nothing has: the answers are the same.
func (m *matrix) foreignIDs(t *testing.T) {
	t.Helper()
	ids := m.things(t)
	probed := map[string]bool{}
	for _, op := range m.ops {
		for _, ref := range op.params {
			name := ref.Value.Name
			pair, ok := ids[name]
			if ref.Value.In != "path" || !ok || op.project == "none" && name != "operation_id" && name != "session_id" {
				continue
			}
			probed[name] = true
			var bodies [2][]byte
			for i, id := range pair {
				c := m.call(t, op, &persona{token: m.owner.token}, own, false)
				c.path[name] = id
				got := m.ask(t, c)
				if bodies[i] = plain(got.body); got.status != 404 {
					t.Errorf("%s with the %s %s: %d, want 404: %s", op.id, name, id, got.status, got.body)
				}
			}
			if !bytes.Equal(bodies[0], bodies[1]) {
				t.Errorf("%s tells a foreign %s from one that there is not:\n%s\n%s", op.id, name, bodies[0], bodies[1])
			}
		}
	}
	for name := range ids {
		if !probed[name] {
			t.Errorf("no operation takes a %s", name)
		}
	}
}

// things makes one of each thing with an id in the other project, and names an id
// of the same form that nothing has.
func (m *matrix) things(t *testing.T) map[string][2]string {
	t.Helper()
	there := strconv.FormatInt(m.other, 10)
	create := func(path string, body map[string]any) string {
		var made struct{ ID json.Number }
		m.foreign.json("POST", path, body, 201, &made, "X-Project-ID", there)
		return made.ID.String()
	}
	var key struct{ Key struct{ ID string } }
	m.foreign.json("POST", "/api/v1/keys", map[string]any{"name": "k", "scopes": []string{"*:read"}}, 201, &key, "X-Project-ID", there)
	var sessions []struct{ ID string }
	m.foreign.json("GET", "/api/v1/auth/sessions", nil, 200, &sessions)
	var me struct{ ID json.Number }
	m.foreign.json("GET", "/api/v1/auth/me", nil, 200, &me)
	out := map[string][2]string{
		"document_id":   {create("/api/v1/knowledge/documents/text", map[string]any{"title": "t", "content": "the lamp of the lighthouse", "category": "c"})},
		"judgements_id": {create("/api/v1/knowledge/judgements", judgedSet("a set"))},
		"technology_id": {create("/api/v1/technologies/", map[string]any{"title": "t"})},
		"task_id":       {create("/api/v1/research-tasks/", map[string]any{"title": "t"})},
		"source_id":     {create("/api/ingestion/sources", map[string]any{"name": "s", "type": "rss", "url": "https://feed.example.com/", "enabled": false})},
		"schema_id":     {create("/api/v1/events/schemas", map[string]any{"team": "t", "noun": "n", "fact": "f", "version": 1, "schema": map[string]any{"type": "object"}})},
		"account_id":    {create("/api/v1/service-accounts", map[string]any{"name": "a", "role": "viewer"})},
		"invitation_id": {create(fmt.Sprintf("/api/v1/projects/%d/invitations", m.other), map[string]any{"role": "viewer"})},
		"user_id":       {me.ID.String()},
	}
	out["attachment_id"] = [2]string{m.foreign.attached(out["task_id"][0], "X-Project-ID", there)}
	out["evaluation_id"] = [2]string{create("/api/v1/knowledge/evaluations", map[string]any{"judgements_id": json.Number(out["judgements_id"][0])})}
	out["schedule_id"] = [2]string{strconv.FormatInt(newSchedule(m.foreign, "X-Project-ID", there), 10)}
	out["job_id"] = [2]string{strconv.FormatInt(latestJob(m.foreign, "X-Project-ID", there), 10)}
	for name, pair := range out {
		out[name] = [2]string{pair[0], "2147480000"}
	}
	out["key_id"] = [2]string{key.Key.ID, "00000000-0000-7000-8000-000000000000"}
	out["session_id"] = [2]string{sessions[0].ID, "00000000-0000-7000-8000-000000000000"}
	var operations struct{ Items []struct{ ID string } }
	m.foreign.json("GET", "/api/v1/operations", nil, 200, &operations, "X-Project-ID", there)
	out["operation_id"] = [2]string{operations.Items[0].ID, "p" + there + ".knowledge.00000000-0000-7000-8000-000000000000"}
	return out
}

// row walks the places of one operation for one caller.
func (m *matrix) row(t *testing.T, op attackedOp, permission string, who *persona) {
	t.Helper()
	places := []place{own}
	if op.project != "none" {
		places = []place{own, foreign, absent}
	}
	refused := map[place][]byte{}
	for _, where := range places {
		want := m.verdict(op, permission, who, where)
		c := m.call(t, op, who, where, want == 0)
		got := m.ask(t, c)
		switch {
		case want != 0 && got.status != want:
			t.Errorf("%s in the %s project: %d, want %d: %s", op.id, where, got.status, want, got.body)
		case want != 0:
			refused[where] = plain(got.body)
		case !letThrough(op.id, got):
			t.Errorf("%s in the %s project is refused: %d %s", op.id, where, got.status, got.body)
		}
		if op.id == "leaveProject" && got.status == 204 {
			m.join(t, who)
		}
	}
	if a, b := refused[foreign], refused[absent]; a != nil && b != nil && !bytes.Equal(a, b) {
		t.Errorf("%s tells a foreign project from one that there is not:\n%s\n%s", op.id, a, b)
	}
}

// letThrough reports whether an answer is no refusal of permission.
func letThrough(op string, got attacked) bool {
	var problem struct{ Detail any }
	_ = json.Unmarshal(got.body, &problem) // anything but a problem has no detail
	detail := fmt.Sprint(problem.Detail)
	switch got.status {
	case 401, 403:
		words := ownRefusals[op]
		return words != "" && strings.Contains(detail, words)
	case 404:
		return !strings.EqualFold(detail, "project not found")
	case 429:
		return false
	}
	return got.status < 500 || got.status == 503 && (op == "readiness" || op == "detailedHealthCheck" || op == "answerQuestion")
}

var changing = regexp.MustCompile(`"(request_id|instance)":"[^"]*"|\b\d+\b`)

// plain is a refusal without what differs from call to call: its own id, and the
// numbers that were asked for.
func plain(body []byte) []byte { return changing.ReplaceAll(body, []byte("-")) }

func contractPermissions(t *testing.T) map[string]string {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			out[op.OperationID] = fmt.Sprint(op.Extensions["x-permission"])
			if op.Extensions["x-permission"] == nil {
				t.Errorf("%s %s has no x-permission", method, path)
			}
		}
	}
	return out
}
