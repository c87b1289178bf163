package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/mcp"
)

const head = `openapi: 3.0.3
info: {title: T, version: '1'}
components:
  schemas:
    Doc: {type: object, required: [title], properties: {title: {type: string, minLength: 1, maxLength: 9}, size: {type: integer, nullable: true, minimum: 0}, tags: {type: array, maxItems: 3, items: {type: string}}}}
paths:
`

const paths = `  /docs/{doc_id}:
    parameters: [{name: doc_id, in: path, required: true, schema: {type: string}}]
    get:
      operationId: getDoc
      summary: One document
      x-service: knowledge
      x-delivery: request
      x-permission: viewer
      x-project: current
      x-mcp: doc_get
      parameters:
        - {name: X-Project-ID, in: header, schema: {type: integer}}
        - {name: part, in: query, description: Which part, schema: {type: array, items: {type: string}}}
      responses: {'200': {description: OK}}
    delete:
      operationId: deleteDoc
      x-service: knowledge
      x-delivery: request
      x-permission: member
      x-project: current
      responses: {'200': {description: OK}}
  /docs:
    post:
      operationId: addDoc
      summary: Add a document
      x-service: knowledge
      x-delivery: command
      x-permission: member
      x-project: current
      x-mcp: doc_add
      parameters:
        - {name: X-Project-ID, in: header, schema: {type: integer}}
        - {name: Idempotency-Key, in: header, schema: {type: string}}
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Doc'}}}}
      responses: {'201': {description: OK}}
`

// edge answers calls of operations, and keeps the last one.
type edge struct {
	last   *http.Request
	body   string
	status int
	answer string
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	e.last, e.body = r, string(b)
	w.WriteHeader(e.status)
	_, _ = io.WriteString(w, e.answer)
}

// world is a server over HTTP with a client of the SDK, whose calls carry header.
func world(t *testing.T, e *edge, header http.Header) *sdk.ClientSession {
	t.Helper()
	c, err := contract.Load([]byte(head + paths))
	if err != nil {
		t.Fatal(err)
	}
	s, err := mcp.New(c, "CommandCenter", "1.2.3", e, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a, err := s.Answer(r, body, func(op *contract.Operation) (bool, error) {
			return r.Header.Get("X-May") == "" || r.Header.Get("X-May") == op.ID, nil
		})
		if err != nil {
			t.Error(err)
		}
		for name, v := range a.Header {
			w.Header()[name] = v
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	}))
	t.Cleanup(srv.Close)
	client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{
		Endpoint: srv.URL, DisableStandaloneSSE: true, HTTPClient: &http.Client{Transport: with{header}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

type with struct{ header http.Header }

func (w with) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, v := range w.header {
		r.Header[name] = v
	}
	return http.DefaultTransport.RoundTrip(r)
}

func call(t *testing.T, s *sdk.ClientSession, tool, args string) *sdk.CallToolResult {
	t.Helper()
	res, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: json.RawMessage(args)})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func said(r *sdk.CallToolResult) string {
	if len(r.Content) != 1 {
		return fmt.Sprint(r.Content)
	}
	return r.Content[0].(*sdk.TextContent).Text
}

func TestToolsFollowFromTheContract(t *testing.T) {
	t.Parallel()
	list, err := world(t, &edge{}, nil).ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, tool := range list.Tools {
		schema, err := json.Marshal(tool.InputSchema)
		if err != nil {
			t.Fatal(err)
		}
		got[tool.Name] = fmt.Sprintf("%s, read-only %v, %s", tool.Title, tool.Annotations.ReadOnlyHint, schema)
	}
	want := map[string]string{
		"doc_get": `One document, read-only true, {"additionalProperties":false,"properties":{"doc_id":{"type":"string"},` +
			`"part":{"description":"Which part","items":{"type":"string"},"type":"array"},"project_id":{"type":"integer"}},"required":["doc_id"],"type":"object"}`,
		"doc_add": `Add a document, read-only false, {"additionalProperties":false,"properties":{"project_id":{"type":"integer"},` +
			`"size":{"minimum":0,"type":["integer","null"]},"tags":{"items":{"type":"string"},"maxItems":3,"type":"array"},` +
			`"title":{"maxLength":9,"minLength":1,"type":"string"}},"required":["title"],"type":"object"}`,
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s:\n%s\nwant\n%s", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("tools %v", got)
	}
}

func TestAToolIsACallOfItsOperationWithTheCredentialsOfItsCaller(t *testing.T) {
	t.Parallel()
	e := &edge{status: 200, answer: `[{"a":1}]`}
	s := world(t, e, http.Header{"Authorization": {"Bearer secret"}, "X-Forwarded-For": {"192.0.2.1"}, "Cookie": {"cc_session=x"}, "Cc-Peer": {"192.0.2.9:1"}, "X-Project-Id": {"4"}})
	res := call(t, s, "doc_get", `{"doc_id": "a/b ?", "part": ["x", "y"], "project_id": 7}`)
	r := e.last
	if got := r.Method + " " + r.RequestURI; got != "GET /docs/a%2Fb%20%3F?part=x&part=y" {
		t.Errorf("called %s", got)
	}
	if h := r.Header; h.Get("Authorization") != "Bearer secret" || h.Get("X-Forwarded-For") != "192.0.2.1" || h.Get("X-Project-ID") != "7" || h.Get("Cookie") != "" {
		t.Errorf("headers %v", h)
	}
	if !strings.HasPrefix(r.RemoteAddr, "127.0.0.1:") {
		t.Errorf("from %s", r.RemoteAddr)
	}
	if text, err := json.Marshal(res.StructuredContent); err != nil || string(text) != `{"items":[{"a":1}]}` || said(res) != `[{"a":1}]` || res.IsError {
		t.Errorf("answered %s, %s, %v", text, said(res), err)
	}
	call(t, s, "doc_get", `{"doc_id": "1", "project_id": null}`)
	if p := e.last.Header.Get("X-Project-ID"); p != "4" {
		t.Errorf("project %q; want that of the connection", p)
	}

	e.status, e.answer = 201, `{"id":3}`
	res = call(t, s, "doc_add", `{"title": "t", "size": null, "tags": ["a"]}`)
	if e.last.Method != "POST" || e.last.Header.Get("Content-Type") != "application/json" || e.last.Header.Get("Prefer") != "wait=30" || e.body != `{"size":null,"tags":["a"],"title":"t"}` {
		t.Errorf("called %s with %v, %s", e.last.Method, e.last.Header, e.body)
	}
	if text, err := json.Marshal(res.StructuredContent); err != nil || string(text) != `{"id":3}` {
		t.Errorf("answered %s, %v", text, err)
	}
}

func TestARefusalIsAResultThatSaysWhy(t *testing.T) {
	t.Parallel()
	e := &edge{}
	s := world(t, e, nil)
	for name, c := range map[string]struct {
		status             int
		answer, args, want string
	}{
		"a problem":                 {403, `{"title":"Forbidden","detail":"You do not belong to project 7"}`, `{"doc_id":"1"}`, "You do not belong to project 7"},
		"faults of fields":          {422, `{"title":"Invalid","detail":[{"loc":["query","part"],"msg":"too long"},{"loc":["body"],"msg":"missing"}]}`, `{"doc_id":"1"}`, "part: too long; body: missing"},
		"no problem":                {502, `<html>`, `{"doc_id":"1"}`, "502 Bad Gateway"},
		"an unknown argument":       {200, `{}`, `{"doc_id":"1","nope":2}`, "no argument is called nope; there are doc_id, part, project_id"},
		"a missing one":             {200, `{}`, `{}`, "the argument doc_id is missing"},
		"an empty one":              {200, `{}`, `{"doc_id":""}`, "the argument doc_id is \"\""},
		"one that climbs":           {200, `{}`, `{"doc_id":".."}`, "names nothing"},
		"more than a model can use": {200, `"` + strings.Repeat("x", 1<<20) + `"`, `{"doc_id":"1"}`, "larger than 1024 KiB"},
	} {
		e.status, e.answer = c.status, c.answer
		if res := call(t, s, "doc_get", c.args); !res.IsError || !strings.Contains(said(res), c.want) {
			t.Errorf("%s: %v %q, want %q", name, res.IsError, said(res), c.want)
		}
	}
	for _, c := range []string{`\"`, `\\`, "<"} { // as long as allowed, of what grows as a text
		e.status, e.answer = 200, `"`+strings.Repeat(c, (1<<20-2)/len(c))+`"`
		if res := call(t, s, "doc_get", `{"doc_id":"1"}`); res.IsError || said(res) != e.answer {
			t.Errorf("%d bytes of %s: %v, %d bytes", len(e.answer), c, res.IsError, len(said(res)))
		}
	}
	e.status, e.answer = 204, ""
	if res := call(t, s, "doc_get", `{"doc_id":"1"}`); res.IsError || said(res) != `{"status":"done"}` {
		t.Errorf("nothing: %v %q", res.IsError, said(res))
	}
}

func TestAContractThatCannotBeOfferedIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to, want string }{
		"a name twice":       {"x-mcp: doc_add", "x-mcp: doc_get", "both"},
		"an argument twice":  {"{title: {type: string, minLength: 1, maxLength: 9}", "{title: {type: string}, project_id: {type: integer}", "project_id: both"},
		"a body of one kind": {"{application/json: {schema: {$ref: '#/components/schemas/Doc'}}}", "{application/json: {schema: {type: array, items: {type: string}}}}", "not a JSON object"},
	} {
		doc := strings.Replace(head+paths, c.from, c.to, 1)
		k, err := contract.Load([]byte(doc))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := mcp.New(k, "T", "1", nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAListHasTheToolsThatItsCallerMayUse(t *testing.T) {
	t.Parallel()
	for may, want := range map[string]string{"": "doc_add doc_get", "getDoc": "doc_get", "addDoc": "doc_add", "none": ""} {
		header := http.Header{"X-May": {may}, "Cc-Tools": {"doc_add"}} // the last is nobody's to say
		list, err := world(t, &edge{}, header).ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range list.Tools {
			names = append(names, tool.Name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != want {
			t.Errorf("who may %q has %q, want %q", may, got, want)
		}
	}
}

func TestWhatIsNoMessageIsAnErrorOfTheProtocol(t *testing.T) {
	t.Parallel()
	c, err := contract.Load([]byte(head + paths))
	if err != nil {
		t.Fatal(err)
	}
	s, err := mcp.New(c, "T", "1", &edge{status: 200, answer: "{}"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const old, recent = "2025-03-26", "2025-11-25"
	ping := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	for name, c := range map[string]struct {
		revision, body string
		status         int
		want           string
	}{
		"nothing":                   {recent, ``, 400, `{"error":{"code":-32700,"message":"the message is not JSON"},"id":null,"jsonrpc":"2.0"}`},
		"half":                      {recent, `{"jsonrpc":"2.0","id":1`, 400, `-32700`},
		"two":                       {recent, ping + ping, 400, `-32700`},
		"no text":                   {recent, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", 400, `-32700`},
		"half a list":               {recent, `[`, 400, `-32700`},
		"a number":                  {recent, `7`, 400, `-32600`},
		"another protocol":          {recent, `{"jsonrpc":"1.0","id":1,"method":"ping"}`, 400, `-32600`},
		"no method":                 {recent, `{"jsonrpc":"2.0","id":5}`, 400, `"id":5`},
		"a method that is a number": {recent, `{"jsonrpc":"2.0","id":"a","method":3}`, 400, `"id":"a"`},
		"an id that is an object":   {recent, `{"jsonrpc":"2.0","id":{},"method":"ping"}`, 400, `"id":null`},
		"an id that is null":        {recent, `{"jsonrpc":"2.0","id":null,"method":"ping"}`, 400, `-32600`},
		"an id with a fraction":     {recent, `{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, 400, `-32600`},
		"a request without an id":   {recent, `{"jsonrpc":"2.0","method":"ping"}`, 400, `-32600`},
		"an unknown method":         {recent, `{"jsonrpc":"2.0","id":"a","method":"nope"}`, 200, `{"error":{"code":-32601,"message":"there is no method nope"},"id":"a","jsonrpc":"2.0"}`},
		"one of a capability":       {recent, `{"jsonrpc":"2.0","id":1,"method":"prompts/list"}`, 200, `-32601`},
		"an unknown one, of old":    {old, `{"jsonrpc":"2.0","id":1,"method":"nope"}`, 200, `-32601`},
		"a long one":                {recent, `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("é", 300) + `"}`, 200, `é…`},
		"an unknown notification":   {recent, `{"jsonrpc":"2.0","method":"notifications/nope"}`, 202, ``},
		"a stray notification":      {recent, `{"jsonrpc":"2.0","method":"nope"}`, 202, ``},
		"an unknown tool":           {recent, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nope"}}`, 200, `-32602`},
		"params that are none":      {recent, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":7}`, 200, `-32602`},
		"an unknown revision":       {"1999-01-01", ping, 400, `-32600`},
		"a good one":                {recent, ping, 200, `"result":{}`},
		"a batch of today":          {recent, `[` + ping + `]`, 400, `revision 2025-11-25 of the protocol has no batches`},
		"a batch of nobody":         {"", `[` + ping + `]`, 200, `[{"jsonrpc":"2.0","id":1,"result":{}}]`},
		"a batch of old": {old, `[` + ping + `,{"jsonrpc":"2.0","id":2,"method":"nope"},{"jsonrpc":"2.0","method":"notifications/initialized"},7,{"jsonrpc":"2.0","id":3,"method":"initialize","params":{}}]`, 200,
			`[{"jsonrpc":"2.0","id":1,"result":{}},{"error":{"code":-32601,"message":"there is no method nope"},"id":2,"jsonrpc":"2.0"},{"error":{"code":-32600,`},
		"a batch of notifications": {old, `[{"jsonrpc":"2.0","method":"notifications/initialized"}]`, 202, ``},
		"an empty batch":           {old, `[]`, 400, `-32600`},
		"a batch of many":          {old, `[` + strings.Repeat(ping+",", 20) + ping + `]`, 400, `more than 20`},
	} {
		r := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, "/mcp", nil)
		r.Header.Set("Content-Type", "application/json")
		if c.revision != "" {
			r.Header.Set("Mcp-Protocol-Version", c.revision)
		}
		a, err := s.Answer(r, []byte(c.body), func(*contract.Operation) (bool, error) { return true, nil })
		if err != nil || a.Status != c.status || !strings.Contains(string(a.Body), c.want) || (c.want == "") != (len(a.Body) == 0) {
			t.Errorf("%s: %d %s, %v; want %d %s", name, a.Status, a.Body, err, c.status, c.want)
		}
		if kind := a.Header.Get("Content-Type"); len(a.Body) > 0 && (!strings.HasPrefix(kind, "application/json") || !json.Valid(a.Body)) {
			t.Errorf("%s: answered as %q: %s", name, kind, a.Body)
		}
	}
	// Each of these has nearly all that an answer may have, twice in its message.
	large, err := mcp.New(c, "T", "1", &edge{status: 200, answer: `{"text":"` + strings.Repeat("x", 1<<20-100) + `"}`}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	get := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"doc_get","arguments":{"doc_id":"1"}}}`
	heavy := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, "/mcp", nil)
	heavy.Header.Set("Content-Type", "application/json")
	a, err := large.Answer(heavy, []byte(`[`+strings.Repeat(get+",", 9)+get+`]`), func(*contract.Operation) (bool, error) { return true, nil })
	var answers []struct {
		Error *struct{ Message string }
	}
	if jsonErr := json.Unmarshal(a.Body, &answers); err != nil || jsonErr != nil || len(answers) != 10 || answers[0].Error != nil || answers[9].Error == nil || !strings.Contains(answers[9].Error.Message, "not done") {
		t.Errorf("%d answers, %v %v: %.200s", len(answers), err, jsonErr, a.Body)
	}
	away := errors.New("away")
	r := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, "/mcp", nil)
	list := `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, body := range []string{list, `[` + list + `]`} {
		if _, err := s.Answer(r, []byte(body), func(*contract.Operation) (bool, error) { return false, away }); !errors.Is(err, away) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
