package gateway_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/gateway"
	"github.com/commandcenter/commandcenter/services/gateway/gatewaytest"
)

// world is the gateway as main builds it, on a real bus and with no more than
// its permissions; behind it stand services made of functions, whose commands
// commit in a real database.
type world struct {
	*bustest.Env
	t       testing.TB
	address string
	client  *http.Client
	key     ed25519.PrivateKey

	mu       sync.Mutex
	roles    map[int32]map[int32]string // project, user
	revoked  map[string]bool
	inactive map[int32]bool
	apiKeys  map[string]*authv1.ResolveKeyResponse // by hash
	payloads map[string]string                     // by operation, the latest

	// held operations send when they begin, and receive before they go on.
	held map[string]chan struct{}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	permissions, err := gateway.Permissions()
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		Env: bustest.Start(t, []string{"auth", "knowledge", "federation"}, bustest.WithContract("gateway", permissions)),
		t:   t, key: key, roles: map[int32]map[int32]string{1: {1: "owner", 2: "viewer"}}, revoked: map[string]bool{}, inactive: map[int32]bool{}, apiKeys: map[string]*authv1.ResolveKeyResponse{}, payloads: map[string]string{},
		held: map[string]chan struct{}{"deleteDocument": make(chan struct{})},
	}
	dbs := pgtest.NewAll(t, pg.Schema{Name: "auth"}, pg.Schema{Name: "knowledge"})
	w.serveAuth(dbs["auth"])
	w.serveKnowledge(dbs["knowledge"])
	w.address = w.gateway(w.Bus("gateway"))
	w.client = &http.Client{Transport: gatewaytest.New(t, nil)}
	return w
}

// gateway runs a gateway and returns its address.
func (w *world) gateway(b *bus.Bus, change ...func(*gateway.Config)) (address string) {
	w.t.Helper()
	c := gateway.Defaults()
	c.Addr, c.Anonymous, c.Reads, c.Writes = "127.0.0.1:0", "off", "off", "off"
	for _, f := range change {
		f(&c)
	}
	m, err := gateway.New(gateway.Deps{Bus: b, Log: obs.Discard(), Registry: obs.Registry(), Listening: func(a string) { address = a }}, c)
	if err != nil {
		w.t.Fatal(err)
	}
	parts := make([]bustest.Part, len(m.Parts))
	for i, p := range m.Parts {
		parts[i] = p
	}
	w.Run(parts...)
	return address
}

// at is the same world through the gateway of another address.
func (w *world) at(address string) *world {
	return &world{Env: w.Env, t: w.t, address: address, client: w.client, key: w.key}
}

func (w *world) serveAuth(db *pg.DB) {
	s := bus.NewServer(w.Bus("auth"), bus.ServerConfig{DB: db, Checks: []app.Check{{Name: "auth.database", Check: db.Ping}}})
	bus.Internal(s, "signingKeys", func(context.Context, *authv1.SigningKeysRequest) (*authv1.SigningKeysResponse, error) {
		return &authv1.SigningKeysResponse{Keys: []*authv1.SigningKey{{Kid: "k1", PublicKey: w.key.Public().(ed25519.PublicKey)}}}, nil
	})
	bus.Internal(s, "resolveAccess", func(_ context.Context, r *authv1.ResolveAccessRequest) (*authv1.ResolveAccessResponse, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		project := r.GetProjectId()
		if project == 0 {
			project = 1
		}
		a := &authv1.ResolveAccessResponse{UserId: r.GetUserId(), Email: "a@b.io", Active: !w.inactive[r.GetUserId()], SessionLive: !w.revoked[r.GetSession()], Role: w.roles[project][r.GetUserId()]}
		if a.Role != "" {
			a.ProjectId = project
		}
		return a, nil
	})
	bus.Internal(s, "resolveKey", func(_ context.Context, r *authv1.ResolveKeyRequest) (*authv1.ResolveKeyResponse, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if k, ok := w.apiKeys[string(r.GetHash())]; ok {
			return k, nil
		}
		return &authv1.ResolveKeyResponse{}, nil
	})
	w.answer(s, "request", "listProjects", "getProject", "getProjectStats", "getCurrentUserInfo", "login", "register", "refreshToken", "logout")
	w.answer(s, "command", "createProject", "updateProject", "deleteProject", "setLimit", "resetLimit")
	w.Run(s)
}

func (w *world) serveKnowledge(db *pg.DB) {
	s := bus.NewServer(w.Bus("knowledge"), bus.ServerConfig{DB: db, Checks: []app.Check{
		{Name: "knowledge.database", Check: db.Ping},
		{Name: "knowledge.model", Check: func(context.Context) error { return app.Degraded("the embedding model is missing: search is lexical") }},
	}})
	w.answer(s, "request", "queryKnowledgeBase", "listDocuments", "getDocument", "getKnowledgeStatistics", "listCollections", "listCategories", "getKnowledgeSettings",
		"listJudgements", "getJudgements", "listEvaluations", "getEvaluation", "listEvaluationQueries", "getEvaluationRun", "plotEvaluation", "compareEvaluations", "listKnowledgeTemplates")
	w.answer(s, "stream", "answerQuestion")
	w.answer(s, "command", "addDocument", "addTextDocument", "deleteDocument", "setKnowledgeSettings",
		"importJudgements", "deleteJudgements", "startEvaluation", "deleteEvaluation", "applyEvaluation", "applyKnowledgeTemplate")
	w.Run(s)
}

const knowledgeSettings = `{"embedding_model":null,"default_model":"d","models":["d"],"mode":null,"alpha":0.7,"fusion":"rrf","languages":["en","de"],"known_languages":["en","de"],"backend":"memory","backends":["memory"],"effective":{"backend":"memory","mode":"hybrid","alpha":0.7,"fusion":"rrf","languages":["en","de"]}}`

// reply is an answer made of text.
type reply struct {
	status int
	body   string
	kind   string // "" is JSON
}

func (r reply) StatusCode() int              { return r.status }
func (r reply) MarshalJSON() ([]byte, error) { return []byte(r.body), nil }
func (r reply) Text() (kind, text string) {
	return cmp.Or(r.kind, "application/json"), r.body
}

func (w *world) answer(s *bus.Server, how string, operations ...string) {
	for _, op := range operations {
		h := func(_ context.Context, in json.RawMessage) (reply, error) {
			if held, ok := w.held[op]; ok {
				held <- struct{}{}
				<-held
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.payloads[op] = string(in)
			return samples[op], nil
		}
		switch how {
		case "command":
			bus.Command(s, op, h)
		case "stream":
			bus.Stream(s, op, func(ctx context.Context, in json.RawMessage, send func(json.RawMessage) error) error {
				r, err := h(ctx, in)
				if err != nil {
					return err
				}
				return send(json.RawMessage(`{"event":"answer","data":` + r.body + `}`))
			})
		default:
			bus.Request(s, op, h)
		}
	}
}

const (
	project    = `"id":1,"name":"p","owner":"o","description":null,"role":"owner","created_at":"2026-01-02T03:04:05Z","updated_at":null`
	user       = `{"id":1,"email":"a@b.io","full_name":null,"is_active":true,"is_superuser":false,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	upload     = `{"id":1,"filename":"a.md","category":"c","repository_id":null,"collection":"default","chunks_added":2,"file_size":3,"status":"success","state":"indexing","version":1,"job_id":"j1"}`
	doc        = `{"id":1,"title":"t","filename":"a.md","category":"c","collection":"default","repository_id":null,"technology_id":null,"text_language":null,"content_type":"text/markdown","file_size":3,"sha256":"00","version":1,"state":"indexed","error":null,"chunks":2,"chunks_embedded":2,"job_id":null,"created_by":null,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	judgedSet  = `{"id":1,"name":"s","questions":1,"judgements":1,"imported_by":null,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	evaluation = `{"id":1,"judgements_id":1,"judgements":"s","label":null,"collection":null,"ways":[{"mode":"keyword"}],"tune":false,"state":"queued","error":null,"asked":0,"total":1,"model":null,"index_generation":null,"started_by":null,"job_id":null,"created_at":"2026-01-02T03:04:05Z","finished_at":null,"report":null}`
	compared   = `{"row":"hybrid","with":2,"with_row":"hybrid","half":"all","queries":1,"mean":0.1,"low":0,"high":0.2,"p":0.5,"better":1,"same":0,"significant":false}`
	token      = `{"access_token":"a","refresh_token":"r","token_type":"bearer","expires_in":900}`
	stats      = `{"repository_id":null,"collection":"default","vector_db":{"total_chunks":1,"categories":{"c":1},"embedding_model":"m","backend":"memory","collection_name":"default","embedding_dimension":384,"embedded_chunks":1,"db_path":null},"database":{"total_entries":1,"categories":{}},"embedding_model":"m"}`
)

var samples = map[string]reply{
	"register": {status: 201, body: user}, "login": {status: 200, body: token}, "refreshToken": {status: 200, body: token}, "getCurrentUserInfo": {status: 200, body: user}, "logout": {status: 200, body: `{"message":"bye"}`},
	"createProject": {status: 201, body: `{` + project + `}`}, "listProjects": {status: 200, body: `[{` + project + `}]`}, "getProject": {status: 200, body: `{` + project + `}`},
	"updateProject": {status: 200, body: `{` + project + `}`}, "deleteProject": {status: 204, body: ""},
	"setLimit": {status: 200, body: `{"class":"writes","limit":"100/minute","raised":false,"set_by":"user:1","set_at":"2026-01-02T03:04:05Z"}`}, "resetLimit": {status: 204, body: ""},
	"getProjectStats":    {status: 200, body: `{` + project + `,"repository_count":0,"technology_count":0,"research_task_count":0,"knowledge_entry_count":3}`},
	"queryKnowledgeBase": {status: 200, body: `[{"content":"x","title":"t","category":"c","technology_id":null,"source_file":"a.md","score":0.5,"metadata":{}}]`},
	"answerQuestion": {status: 200, body: `{"question":"why?","answer":"So [1].","outcome":"answered","truncated":false,"citations":[],"invented":[],"sources":[],"model":"m","written_for":null,"usage":null,` +
		`"retrieval":{"mode":"hybrid","degraded":null,"reranked_by":null,"not_reranked":null,"index_generation":1},"timings":{"retrieval_ms":1,"first_token_ms":2,"total_ms":3}}`},
	"addDocument": {status: 201, body: upload}, "addTextDocument": {status: 201, body: upload}, "deleteDocument": {status: 204, body: ""}, "getDocument": {status: 200, body: doc},
	"listDocuments":          {status: 200, body: `{"items":[` + doc + `],"total":1,"skip":0,"limit":50}`},
	"getKnowledgeStatistics": {status: 200, body: stats}, "listCollections": {status: 200, body: `["default"]`}, "listCategories": {status: 200, body: `["c"]`},
	"getKnowledgeSettings": {status: 200, body: knowledgeSettings}, "setKnowledgeSettings": {status: 200, body: knowledgeSettings}, "applyEvaluation": {status: 200, body: knowledgeSettings},
	"listJudgements": {status: 200, body: `[` + judgedSet + `]`}, "importJudgements": {status: 201, body: `{"id":1,"set":` + judgedSet + `,"unjudged":0}`}, "deleteJudgements": {status: 204, body: ""},
	"getJudgements":   {status: 200, body: `{"set":` + judgedSet + `,"items":[{"id":"q","text":"x","relevant":[{"source":"a","heading":null,"grade":1}]}],"total":1,"skip":0,"limit":50}`},
	"listEvaluations": {status: 200, body: `{"items":[` + evaluation + `],"total":1,"skip":0,"limit":50}`}, "startEvaluation": {status: 201, body: evaluation}, "getEvaluation": {status: 200, body: evaluation},
	"deleteEvaluation": {status: 204, body: ""}, "compareEvaluations": {status: 200, body: compared},
	"listEvaluationQueries": {status: 200, body: `{"row":"keyword","items":[{"id":"q","figures":{"ndcg@10":1},"found":["a"]}],"total":1,"skip":0,"limit":50}`},
	"getEvaluationRun":      {status: 200, body: "q Q0 a 1 1 keyword\n", kind: "text/plain"}, "plotEvaluation": {status: 200, body: "<svg/>", kind: "image/svg+xml"},
	"listKnowledgeTemplates": {status: 200, body: `[]`}, "applyKnowledgeTemplate": {status: 200, body: `{"name":"documentation","embedding_model":"m","model_chosen":false,"documents":[]}`},
}

// token is an access token of the user in the session.
func (w *world) token(user, session string) string {
	w.t.Helper()
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "commandcenter", "aud": "commandcenter", "type": "access", "sub": user, "sid": session, "jti": "j", "email": "a@b.io",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	t.Header["kid"], t.Header["typ"] = "k1", "at+jwt"
	s, err := t.SignedString(w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// answer is an answer, read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (w *world) call(method, path, body string, header map[string]string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.address+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
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
