package serve_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/apikey"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway"
	"github.com/commandcenter/commandcenter/services/gateway/gatewaytest"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/feed"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

const patience = 10 * time.Second

// world is an edge with everything behind it made of functions.
type world struct {
	t      testing.TB
	edge   *serve.Edge
	bus    *fakeBus
	auth   *fakeAuth
	guard  *access.Guard
	server *httptest.Server
	client *http.Client
	health serve.HealthOf
	logs   *lockedBuffer
	doc    *contract.Contract
	late   *atomic.Int64 // by which the guard's clock is ahead
}

type option func(*serve.Config, *serve.Deps)

func newWorld(t testing.TB, opts ...option) *world {
	t.Helper()
	w := &world{t: t, bus: newFakeBus(), auth: newFakeAuth(t), logs: &lockedBuffer{}, late: new(atomic.Int64)}
	w.health = func(context.Context, string) ([]serve.Component, error) { return nil, nil }
	doc, err := contract.Load(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	w.guard, err = access.New(w.auth, access.Config{
		Issuer: "commandcenter", Audience: "commandcenter", Now: func() time.Time { return time.Now().Add(time.Duration(w.late.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	d := serve.Deps{
		Contract: doc, Bus: w.bus, Guard: w.guard, Ring: feed.NewRing(100, 1<<20), Registerer: reg, Gatherer: reg,
		Log:    slog.New(slog.NewJSONHandler(w.logs, nil)),
		Health: func(ctx context.Context, s string) ([]serve.Component, error) { return w.health(ctx, s) },
	}
	c := serve.Config{
		App: "CommandCenter", Version: "1.2.3", Origins: []string{"http://localhost:3000"}, CORSMaxAge: time.Minute,
		MaxBody: 64 << 10, MaxUpload: 1 << 20, MaxInFlight: 100, MaxStreams: 5, MaxPerUser: 2,
		RequestTimeout: patience, CommandWait: patience, MaxWait: 2 * patience, UploadTimeout: patience, UploadStall: patience,
		HealthTimeout: 2 * time.Second, Heartbeat: time.Hour, Metrics: serve.MetricsLoopback, LogRequests: true,
	}
	for _, o := range opts {
		o(&c, &d)
	}
	if w.edge, err = serve.New(d, c); err != nil {
		t.Fatal(err)
	}
	w.doc = d.Contract
	w.server = httptest.NewServer(w.edge)
	t.Cleanup(w.server.Close)
	w.client = &http.Client{
		Transport:     gatewaytest.For(t, w.server.Client().Transport, d.Contract),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w
}

// in is the same world as seen by a part of a test.
func (w *world) in(t testing.TB) *world {
	c := *w
	c.t = t
	c.client = &http.Client{Transport: gatewaytest.For(t, w.server.Client().Transport, w.doc)}
	return &c
}

// answer is an answer, read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return v
}

// change edits a request before it is sent.
type change func(*http.Request)

func as(token string) change {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func with(name, value string) change {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func (w *world) call(method, path, body string, changes ...change) answer {
	w.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, in)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range changes {
		c(r)
	}
	return w.send(r)
}

func (w *world) send(r *http.Request) answer {
	w.t.Helper()
	res, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// fakeBus records what is asked and answers with samples.
type fakeBus struct {
	answered  func(asked) (*bus.Answer, error)
	mu        sync.Mutex
	asked     []asked
	request   func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error)
	command   func(bus.Target, tenant.Identity, []byte, bus.CommandOptions) (*bus.Answer, error)
	operation func(tenant.Identity, string) (*bus.OperationState, error)
	list      func(tenant.Identity, bus.OperationsPage) (*bus.Operations, error)
	objects   map[string]string
	backlog   error
	putErr    error
	ready     error
	followed  chan string
	live      func([]byte)
	stopped   chan struct{}
}

type asked struct {
	target  bus.Target
	who     tenant.Identity
	payload string
	key     string
	wait    time.Duration // of a command
}

func newFakeBus() *fakeBus {
	b := &fakeBus{objects: map[string]string{}, followed: make(chan string, 10), stopped: make(chan struct{}, 10)}
	b.request = func(t bus.Target, _ tenant.Identity, _ []byte) (*bus.Answer, error) { return sample(t.Operation), nil }
	b.command = func(t bus.Target, _ tenant.Identity, _ []byte, _ bus.CommandOptions) (*bus.Answer, error) {
		return sample(t.Operation), nil
	}
	return b
}

// Request is not answered where there is nothing to answer it.
func (b *fakeBus) Request(ctx context.Context, t bus.Target, who tenant.Identity, payload []byte) (*bus.Answer, error) {
	b.mu.Lock()
	b.asked = append(b.asked, asked{t, who, string(payload), "", 0})
	f := b.request
	b.mu.Unlock()
	if f == nil {
		<-ctx.Done()
		return nil, errs.New(errs.Timeout, t.Service+" did not answer in time")
	}
	return f(t, who, payload)
}

func (b *fakeBus) Command(_ context.Context, t bus.Target, who tenant.Identity, payload []byte, o bus.CommandOptions) (*bus.Answer, error) {
	b.mu.Lock()
	b.asked = append(b.asked, asked{t, who, string(payload), o.Key, o.Wait})
	f := b.command
	b.mu.Unlock()
	return f(t, who, payload, o)
}

func (b *fakeBus) Answered(_ context.Context, t bus.Target, who tenant.Identity, payload []byte, key string) (*bus.Answer, error) {
	if b.answered == nil {
		return nil, nil
	}
	return b.answered(asked{t, who, string(payload), key, 0})
}

func (b *fakeBus) last(t testing.TB) asked {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) == 0 {
		t.Fatal("nothing was asked")
	}
	return b.asked[len(b.asked)-1]
}

func (b *fakeBus) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked)
}

func (b *fakeBus) Backlog(string) error { return b.backlog }

func (b *fakeBus) PutObjectFor(_ context.Context, _ string, p tenant.Project, filename, contentType string, r io.Reader, most int64) (bus.ObjectRef, error) {
	if b.putErr != nil {
		return bus.ObjectRef{}, b.putErr
	}
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return bus.ObjectRef{}, errs.Wrap(errs.Malformed, err, "the file could not be read to its end")
	}
	if int64(len(body)) > most {
		return bus.ObjectRef{}, errs.New(errs.TooLarge, "the file is too large")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	name := p.Token() + "/" + uuid.NewString()
	b.objects[name] = string(body)
	return bus.ObjectRef{Bucket: "blobs", Name: name, Filename: filename, ContentType: contentType, Size: int64(len(body))}, nil
}

func (b *fakeBus) DeleteObject(_ context.Context, ref bus.ObjectRef) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, ref.Name)
	return nil
}

func (b *fakeBus) stored() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.objects)
}

func (b *fakeBus) FollowLive(_ context.Context, _ tenant.Project, job string, fn func([]byte)) (func(), error) {
	b.mu.Lock()
	b.live = fn
	b.mu.Unlock()
	b.followed <- job
	return func() { b.stopped <- struct{}{} }, nil
}

func (b *fakeBus) Operation(_ context.Context, who tenant.Identity, id string) (*bus.OperationState, error) {
	return b.operation(who, id)
}

func (b *fakeBus) Operations(_ context.Context, who tenant.Identity, page bus.OperationsPage) (*bus.Operations, error) {
	return b.list(who, page)
}

func (b *fakeBus) Facts(_ context.Context, _ bus.FactFilter, from bus.From, _ func(bus.Said) bool) (bus.Position, error) {
	return from.After, nil
}

func (b *fakeBus) KeptFacts(context.Context) (bus.Kept, error) { return bus.Kept{}, nil }

func (b *fakeBus) Ready(context.Context) error { return b.ready }

// fakeAuth is an auth service with a handful of users.
type fakeAuth struct {
	finds   int
	limits  access.Limits // of project 1
	t       testing.TB
	key     ed25519.PrivateKey
	mu      sync.Mutex
	down    bool
	users   map[int64]*fakeUser
	revoked map[string]bool
	asked   int

	keys     map[[sha256.Size]byte]access.APIKey
	accounts map[int64]*fakeUser
}

type fakeUser struct {
	inactive, superuser bool
	roles               map[tenant.Project]tenant.Role
	home                tenant.Project
}

// The users of every world.
const (
	owner     = 1 // of project 1, member of 2
	viewer    = 2 // of project 1
	member    = 3 // of project 1
	stranger  = 4 // owner of project 9
	inactive  = 5
	homeless  = 6 // in no project
	superuser = 7
)

func newFakeAuth(t testing.TB) *fakeAuth {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	in := func(p tenant.Project, r tenant.Role) *fakeUser {
		return &fakeUser{roles: map[tenant.Project]tenant.Role{p: r}, home: p}
	}
	a := &fakeAuth{t: t, key: key, revoked: map[string]bool{}, users: map[int64]*fakeUser{
		owner: in(1, tenant.Owner), viewer: in(1, tenant.Viewer), member: in(1, tenant.Member), stranger: in(9, tenant.Owner),
		inactive: {inactive: true}, homeless: {}, superuser: {superuser: true, home: 1},
	}}
	a.users[owner].roles[2] = tenant.Member
	return a
}

func (a *fakeAuth) SigningKeys(context.Context) ([]access.Key, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down {
		return nil, errs.New(errs.Unavailable, "auth is not running")
	}
	return []access.Key{{ID: "k1", Public: a.key.Public().(ed25519.PublicKey)}}, nil
}

func (a *fakeAuth) Standing(_ context.Context, q access.Question) (access.Standing, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	p, session := q.Project, q.Session
	u := a.users[q.User]
	if q.Account != 0 {
		u = a.accounts[q.Account]
	}
	switch {
	case a.down:
		return access.Standing{}, errs.New(errs.Unavailable, "auth is not running")
	case u == nil:
		return access.Standing{}, nil
	}
	if p == 0 {
		p = u.home
	}
	s := access.Standing{Known: true, Email: "user@example.org", Active: !u.inactive, Superuser: u.superuser, SessionLive: !a.revoked[session], Role: u.roles[p]}
	if p == 1 {
		s.Limits = a.limits
	}
	if s.Role != "" || u.superuser {
		s.Project = p
	}
	return s, nil
}

// APIKey is that of programs.
func (a *fakeAuth) APIKey(_ context.Context, hash [sha256.Size]byte) (access.APIKey, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down {
		return access.APIKey{}, false, errs.New(errs.Unavailable, "auth is not running")
	}
	k, found := a.keys[hash]
	a.finds++
	return k, found, nil
}

// found is how often it was asked whose a key or a cookie is.
func (a *fakeAuth) found() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.finds
}

// Browser is the owner's, with one cookie.
func (a *fakeAuth) Browser(_ context.Context, hash [sha256.Size]byte) (access.Browser, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.finds++
	return access.Browser{Session: "s-1", User: owner}, hash == sha256.Sum256([]byte(ownersCookie)), nil
}

const ownersCookie = "ccs_owner"

// issue makes a key.
func (a *fakeAuth) issue(k access.APIKey, scopes ...string) string {
	a.t.Helper()
	plain, err := apikey.New(access.Brand)
	if err != nil {
		a.t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys == nil {
		a.keys = map[[sha256.Size]byte]access.APIKey{}
	}
	k.Scopes = access.ParseScopes(scopes)
	a.keys[plain.Hash()] = k
	return plain.Reveal()
}

func (a *fakeAuth) token(user int64) string {
	return a.sign("k1", "at+jwt", map[string]any{"sub": user})
}

// sign makes an access token with some claims replaced; nil removes one.
func (a *fakeAuth) sign(kid, typ string, change map[string]any) string {
	a.t.Helper()
	now := time.Now()
	c := jwt.MapClaims{
		"iss": "commandcenter", "aud": "commandcenter", "type": "access", "sid": "s-1", "jti": "j-1", "email": "user@example.org",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for k, v := range change {
		if n, ok := v.(int64); ok && k == "sub" {
			v = jsonInt(n)
		}
		if v == nil {
			delete(c, k)
			continue
		}
		c[k] = v
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	t.Header["kid"], t.Header["typ"] = kid, typ
	s, err := t.SignedString(a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

func jsonInt(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

const (
	keySample = `{"id":"6f3c2b1e-0000-4000-8000-000000000001","name":"ci","prefix":"abcdefgh","scopes":["knowledge:read"],"project_id":1,"holder":"user:1",` +
		`"created_by":"user:1","created_at":"2026-01-02T03:04:05Z","expires_at":null,"last_used_at":null}`
	accountSample = `{"id":3,"name":"ci","role":"member","created_by":"user:1","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	userSample    = `{"id":2,"email":"a@b.io","full_name":null,"is_active":true,"is_superuser":false,"created_at":"2026-01-02T03:04:05Z",` +
		`"updated_at":"2026-01-02T03:04:05Z","last_login_at":null}`
)

// sample is an answer of the operation that fits the contract.
func sample(operation string) *bus.Answer {
	const project = `"id":1,"name":"p","owner":"o","description":null,"role":"owner","created_at":"2026-01-02T03:04:05Z","updated_at":null`
	const user = `{"id":1,"email":"a@b.io","full_name":null,"is_active":true,"is_superuser":false,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	const upload = `{"id":1,"filename":"a.md","category":"c","repository_id":null,"collection":"c","chunks_added":2,"file_size":3,"status":"success","state":"indexing","version":1,"job_id":"j1"}`
	const projectMember = `{"user_id":3,"email":"a@b.io","full_name":null,"is_active":true,"role":"admin","joined_at":"2026-01-02T03:04:05Z"}`
	const judgedSet = `{"id":1,"name":"s","questions":1,"judgements":1,"imported_by":null,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	const evaluation = `{"id":1,"judgements_id":1,"judgements":"s","label":null,"collection":null,"ways":[{"mode":"keyword"}],"tune":false,"state":"queued","error":null,"asked":0,"total":1,"model":null,"index_generation":null,"started_by":null,"job_id":null,"created_at":"2026-01-02T03:04:05Z","finished_at":null,"report":null}`
	const invitation = `"id":4,"role":"member","email":null,"invited_by":1,"inviter":"o@b.io","created_at":"2026-01-02T03:04:05Z","expires_at":"2026-01-09T03:04:05Z"`
	for _, sample := range []func(operation string) *bus.Answer{technologySample, sourceSample} {
		if a := sample(operation); a != nil {
			return a
		}
	}
	if a := jobSample(operation); a != nil {
		return a
	}
	status, body := 200, ""
	switch operation {
	case "register":
		status, body = 201, user
	case "login", "refreshToken":
		body = `{"access_token":"a","refresh_token":"r","token_type":"bearer","expires_in":900}`
	case "getCurrentUserInfo":
		body = user
	case "logout", "endSessions", "changePassword", "resetPassword":
		body = `{"message":"bye"}`
	case "showPasswordReset":
		body = `{"email":"a@b.io","expires_at":"2026-01-02T04:04:05Z"}`
	case "showInvitation":
		body = `{"project":"p","role":"member","inviter":"o@b.io","email":null,"expires_at":"2026-01-09T03:04:05Z"}`
	case "createProject":
		status, body = 201, `{`+project+`}`
	case "listSessions":
		body = `[{"id":"s-1","created_at":"2026-01-02T03:04:05Z","used_at":"2026-01-02T03:04:05Z","expires_at":"2026-01-03T03:04:05Z","address":"192.0.2.1","client":"curl/8.5.0","current":true}]`
	case "rotateSigningKeys":
		body = `{"signs":"k2","verify":["k2","k1"]}`
	case "loginBrowser":
		body = `{"message":"in"}`
	case "beginSignOn", "finishSignOn":
		status, body = 303, `{"message":"go"}`
	case "listKeys":
		body = `[` + keySample + `]`
	case "createKey", "rotateKey", "createServiceAccountKey":
		status, body = 201, `{"secret":"cc_x","key":`+keySample+`}`
	case "listServiceAccounts":
		body = `[` + accountSample + `]`
	case "createServiceAccount":
		status, body = 201, accountSample
	case "updateServiceAccount":
		body = accountSample
	case "listUsers":
		body = `{"items":[` + userSample + `],"total":1,"skip":0,"limit":100}`
	case "getUser", "deactivateUser", "reactivateUser":
		body = userSample
	case "issuePasswordReset":
		status, body = 201, `{"user_id":2,"email":"a@b.io","expires_at":"2026-01-02T04:04:05Z","token":"ccp_x","link":null}`
	case "listProjects":
		body = `[{` + project + `}]`
	case "getProject", "updateProject", "transferProject", "acceptInvitation":
		body = `{` + project + `}`
	case "getProjectDeletion":
		return &bus.Answer{Status: 200, Body: []byte(`{"project_id":1,"requested_at":"2026-01-02T03:04:05Z","requested_by":"user:7","finished_at":null,"purges":[{"service":"knowledge","confirmed_at":null,"removed":0,"left":0,"kept":0,"parts":[{"name":"documents","removed":0,"left":0,"kept":0,"why":""}]}]}`)}
	case "getProjectStats":
		body = `{` + project + `,"repository_count":0,"technology_count":0,"research_task_count":0,"knowledge_entry_count":3}`
	case "setLimit":
		body = `{"class":"writes","limit":"100/minute","raised":false,"set_by":"user:1","set_at":"2026-01-02T03:04:05Z"}`
	case "listMembers":
		body = `[` + projectMember + `]`
	case "setMemberRole":
		body = projectMember
	case "listInvitations":
		body = `[{` + invitation + `}]`
	case "inviteMember":
		status, body = 201, `{`+invitation+`,"token":"cci_x","link":null}`
	case "deleteProject", "deleteDocument", "deleteJudgements", "deleteEvaluation", "resetLimit", "endSession", "removeMember", "leaveProject", "setDefaultProject", "revokeInvitation", "revokeKey", "deleteServiceAccount":
		status = 204
	case "queryKnowledgeBase":
		body = `[{"content":"x","title":"t","category":"c","technology_id":null,"source_file":"a.md","score":0.5,"metadata":{}}]`
	case "addDocument", "addTextDocument":
		status, body = 201, upload
	case "listDocuments":
		body = `{"items":[` + document("indexed") + `],"total":1,"skip":0,"limit":50}`
	case "getDocument":
		body = document("indexing")
	case "getKnowledgeStatistics":
		body = `{"repository_id":null,"collection":"c","vector_db":{"total_chunks":1,"categories":{"c":1},"embedding_model":"m","backend":"memory","collection_name":"c","embedding_dimension":384,"embedded_chunks":1,"db_path":null},"database":{"total_entries":1,"categories":{}},"embedding_model":"m"}`
	case "listCollections", "listCategories":
		body = `["default"]`
	case "listJudgements":
		body = `[` + judgedSet + `]`
	case "importJudgements":
		status, body = 201, `{"id":1,"set":`+judgedSet+`,"unjudged":0}`
	case "getJudgements":
		body = `{"set":` + judgedSet + `,"items":[{"id":"q","text":"x","relevant":[{"source":"a","heading":null,"grade":1}]}],"total":1,"skip":0,"limit":50}`
	case "listEvaluations":
		body = `{"items":[` + evaluation + `],"total":1,"skip":0,"limit":50}`
	case "startEvaluation":
		status, body = 201, evaluation
	case "getEvaluation":
		body = evaluation
	case "listEvaluationQueries":
		body = `{"row":"keyword","items":[{"id":"q","figures":{"ndcg@10":1},"found":["a"]}],"total":1,"skip":0,"limit":50}`
	case "getEvaluationRun":
		return &bus.Answer{Status: 200, Header: map[string]string{"Content-Type": "text/plain"}, Body: []byte("q Q0 a 1 1 keyword\n")}
	case "plotEvaluation":
		return &bus.Answer{Status: 200, Header: map[string]string{"Content-Type": "image/svg+xml"}, Body: []byte("<svg/>")}
	case "compareEvaluations":
		body = `{"row":"hybrid","with":2,"with_row":"hybrid","half":"all","queries":1,"mean":0.1,"low":0,"high":0.2,"p":0.5,"better":1,"same":0,"significant":false}`
	case "getKnowledgeSettings", "setKnowledgeSettings", "applyEvaluation":
		body = `{"embedding_model":"m","default_model":"d","models":["d","m"],"mode":null,"alpha":0.7,"fusion":"rrf","languages":["en","de"],"known_languages":["en","de"],"backend":"memory","backends":["memory"],"effective":{"backend":"memory","mode":"hybrid","alpha":0.7,"fusion":"rrf","languages":["en","de"]}}`
	case "listEventSchemas":
		body = `{"items":[],"total":0}`
	case "registerEventSchema", "getEventSchema":
		if operation[0] == 'r' {
			status = 201
		}
		body = `{"id":7,"team":"billing","noun":"invoice","fact":"paid","version":1,"subject":"ext.p1.billing.invoice.paid.v1","schema":{"type":"object"},"registered_by":"user:1","created_at":"2026-01-02T03:04:05Z"}`
	case "deleteEventSchema":
		status = 204
	case "importProject":
		status, body = 201, `{"id":2,"name":"p","owner":"o","description":null,"created_at":"2026-01-02T03:04:05Z","rows_restored":1,"rows_left_out":0,"objects":0}`
	case "listKnowledgeTemplates":
		body = `[{"name":"documentation","title":"t","description":"d","embedding_model":"m","model_offered":true,"documents":["a"]}]`
	case "applyKnowledgeTemplate":
		body = `{"name":"documentation","embedding_model":"m","model_chosen":false,"documents":[` + upload + `]}`
	case "listAudit":
		body = `{"entries":[],"next_before":null,"next_after":null,"head":{"project_id":1,"seq":0,"hash":""}}`
	case "getAuditHead":
		body = `{"project_id":1,"seq":0,"hash":""}`
	case "listDeadLetters":
		body = `{"items":[],"next_after":null}`
	case "purgeDeadLetters":
		body = `{"removed":2,"more":false}`
	case "getDeadLetter":
		body = `{"seq":7,"service":"knowledge","consumer":"c","subject":"evt.p1.a.b.c.v1","attempts":5,"error":"e","stored_at":null,"died_at":"2026-01-02T03:04:05Z","headers":{},"data":"{}"}`
	case "discardDeadLetter", "redriveDeadLetter":
		status = 204
	case "listInstances":
		body = `{"instances":[],"total":0}`
	case "getInstance", "admitInstance":
		body = instanceRow
	case "registerInstance":
		status, body = 201, `{"instance":`+instanceRow+`,"api_key":"ccf_x"}`
	case "removeInstance", "unshareProject":
		status = 204
	case "listShares":
		body = `[]`
	case "shareProject":
		status, body = 201, `{"instance":"north","name":"p","created_at":"2026-01-02T03:04:05Z"}`
	case "searchFederation":
		body = `{"results":[],"instances":[],"answered":0,"asked":0,"summary":"0 of 0"}`
	case "listFederatedProjects":
		body = `[` + federatedProject + `]`
	case "getFederatedProject", "updateFederatedProject":
		body = federatedProject
	}
	return &bus.Answer{Status: status, Body: []byte(body)}
}

const (
	instanceRow = `{"slug":"north","self":false,"status":"online","hub_url":null,"mesh_namespace":null,"version":null,"last_heartbeat_at":"2026-01-02T03:04:05Z","first_seen_at":"2026-01-02T03:04:05Z",` +
		`"name":null,"tags":[],"source":"api","admitted":true,"contract":null,"capabilities":[],"load":0.5,"key":null,"other_key":null,"heartbeats":1,"missed_heartbeats":0,"interval_seconds":30,"jitter_ms":0.5,"clock_skew_ms":-1.5}`
	federatedProject = `{"id":1,"slug":"north","name":"North","hub_url":null,"mesh_namespace":"hub.north","status":"offline","tags":[],"last_heartbeat_at":null,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
)

func document(state string) string {
	return `{"id":1,"title":"t","filename":"a.md","category":"c","collection":"default","repository_id":null,"technology_id":null,"text_language":null,"content_type":"text/markdown","file_size":3,"sha256":"00","version":1,"state":"` + state +
		`","error":null,"chunks":2,"chunks_embedded":1,"job_id":"j1","created_by":"a@b.io","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func openAPI() []byte { return gateway.OpenAPI() }
