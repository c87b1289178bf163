package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/services/gateway"
)

// attacker sends what no honest client would, over HTTP, to every operation of
// the contract: one that is added there is attacked without a line here.
type attacker struct {
	t      testing.TB
	p      *product
	who    *caller
	ops    []attackedOp
	leaves []string // places of this run, that no answer may name
	sent   atomic.Int64
}

type attackedOp struct {
	id, method, path, delivery string
	service                    string
	answers                    []string // statuses
	public                     bool
	project                    string // none, current or path
	params                     openapi3.Parameters
	body                       *openapi3.Schema
	media                      string
}

func newAttacker(t testing.TB, p *product) *attacker {
	t.Helper()
	return &attacker{t: t, p: p, who: p.owner(), ops: attackedOps(t), leaves: []string{p.dir}}
}

// attackedOps are all operations of the contract, by their ids.
func attackedOps(t testing.TB) (ops []attackedOp) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o := attackedOp{
				id: op.OperationID, method: method, path: path, params: append(slices.Clone(item.Parameters), op.Parameters...),
				delivery: fmt.Sprint(op.Extensions["x-delivery"]), public: op.Extensions["x-permission"] == "public", project: fmt.Sprint(op.Extensions["x-project"]),
			}
			o.service = fmt.Sprint(op.Extensions["x-service"])
			o.answers = slices.Collect(maps.Keys(op.Responses.Map()))
			if op.RequestBody != nil {
				for media, content := range op.RequestBody.Value.Content {
					if o.media == "" || media == "multipart/form-data" {
						o.media, o.body = media, content.Schema.Value
					}
				}
			}
			ops = append(ops, o)
		}
	}
	slices.SortFunc(ops, func(x, y attackedOp) int { return strings.Compare(x.id, y.id) })
	return ops
}

// call is one request in the making.
type attackCall struct {
	op       attackedOp
	path     map[string]string
	query    url.Values
	header   http.Header
	body     map[string]any // of JSON; fields of a form
	file     string         // name of the file of a form
	raw      []byte         // in place of body
	rawMedia string
	method   string
}

// fresh is a call that its operation takes, for what is not there: nothing that
// the next attack needs is deleted.
func (a *attacker) fresh(op attackedOp) attackCall {
	c := attackCall{op: op, method: op.method, path: map[string]string{}, query: url.Values{}, header: http.Header{}, file: "a.md"}
	for _, ref := range op.params {
		p := ref.Value
		value := fmt.Sprint(sampleOf(p.Schema.Value, 0))
		switch {
		case p.In == "path" && p.Name == "project_id" && op.method != http.MethodDelete:
			c.path[p.Name] = "1"
		case p.In == "path" && p.Schema.Value.Type.Is("integer"):
			c.path[p.Name] = "2147480000"
		case p.In == "path":
			c.path[p.Name] = value
		case p.Required && p.In == "query":
			c.query.Set(p.Name, value)
		}
	}
	if op.body != nil {
		c.body, _ = sampleOf(op.body, 0).(map[string]any)
	}
	return c
}

// things makes one of each kind that the calls of a test are about, and returns
// their ids by the names of parameters.
func (a *attacker) things(t testing.TB) map[string]string {
	t.Helper()
	type made struct {
		ID  any            `json:"id"`
		Key map[string]any `json:"key"`
	}
	ids := map[string]string{}
	for _, c := range []struct {
		name, path string
		body       map[string]any
	}{
		{"document_id", "/api/v1/knowledge/documents/text", map[string]any{"title": "t", "content": "the lamp of the lighthouse", "category": "c"}},
		{"judgements_id", "/api/v1/knowledge/judgements", judgedSet("a set")},
		{"technology_id", "/api/v1/technologies/", map[string]any{"title": "thing"}},
		{"task_id", "/api/v1/research-tasks/", map[string]any{"title": "thing"}},
		{"source_id", "/api/ingestion/sources", map[string]any{"name": "s", "type": "rss", "url": "https://feed.example.com/", "enabled": false}},
		{"schema_id", "/api/v1/events/schemas", map[string]any{"team": "thing", "noun": "n", "fact": "f", "version": 1, "schema": map[string]any{"type": "object"}}},
		{"account_id", "/api/v1/service-accounts", map[string]any{"name": "a thing"}},
		{"key_id", "/api/v1/keys", map[string]any{"name": "a thing", "scopes": []string{"*:read"}}},
	} {
		var out made
		a.who.json("POST", c.path, c.body, 201, &out)
		if out.ID == nil {
			out.ID = out.Key["id"]
		}
		ids[c.name] = fmt.Sprint(out.ID)
	}
	ids["project_id"], ids["attachment_id"] = "1", a.who.attached(ids["task_id"])
	var tried made
	a.who.json("POST", "/api/v1/knowledge/evaluations", map[string]any{"judgements_id": json.Number(ids["judgements_id"])}, 201, &tried)
	ids["evaluation_id"] = fmt.Sprint(tried.ID)
	ids["job_id"], ids["schedule_id"] = fmt.Sprint(latestJob(a.who)), fmt.Sprint(newSchedule(a.who))
	return ids
}

// samples are tried where a schema has a pattern.
var samples = []string{"sample", "5/minute", "a@b.example", "abc", "a", "A", "1", "2026-01-02T03:04:05Z", "https://a.example/x", "*:read"}

// sampleOf is a value that the schema takes.
func sampleOf(s *openapi3.Schema, depth int) any {
	switch {
	case s == nil || depth > 4:
		return nil
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type.Is("object"):
		out := map[string]any{}
		for name, p := range s.Properties {
			if !p.Value.ReadOnly && p.Value.Format != "binary" && (slices.Contains(s.Required, name) || p.Value.Type.Is("string")) {
				out[name] = sampleOf(p.Value, depth+1)
			}
		}
		return out
	case s.Type.Is("array"):
		if s.Items == nil {
			return []any{}
		}
		return []any{sampleOf(s.Items.Value, depth+1)}
	case s.Type.Is("integer"), s.Type.Is("number"):
		if s.Min != nil {
			return *s.Min
		}
		return 1
	case s.Type.Is("boolean"):
		return false
	}
	if s.Format == "email" {
		return "a@b.example"
	}
	if s.Format == "date-time" {
		return "2026-01-02T03:04:05Z"
	}
	for _, text := range samples {
		if s.Pattern == "" || regexp.MustCompile(s.Pattern).MatchString(text) {
			return text + strings.Repeat("x", max(0, int(s.MinLength)-len(text)))
		}
	}
	return "sample"
}

// request makes the call a request that can be sent.
func (c attackCall) request(base string) (*http.Request, error) {
	path := c.op.path
	for name, value := range c.path {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	var body bytes.Buffer
	media := ""
	switch {
	case c.raw != nil:
		body.Write(c.raw)
		media = c.rawMedia
	case c.op.media == "multipart/form-data":
		w := multipart.NewWriter(&body)
		for name, value := range c.body {
			_ = w.WriteField(name, fmt.Sprint(value)) // into memory
		}
		head := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="` + strings.NewReplacer("\\", "\\\\", `"`, "\\\"", "\r", "%0D", "\n", "%0A").Replace(c.file) + `"`}, "Content-Type": {"text/markdown"}}
		part, _ := w.CreatePart(head)
		_, _ = part.Write([]byte("# a\n\ntext"))
		_ = w.Close()
		media = w.FormDataContentType()
	case c.op.media != "":
		data, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body.Write(data)
		media = c.op.media
	}
	r, err := http.NewRequest(c.method, base+path, &body) //nolint:noctx // the client has a timeout
	if err != nil {
		return nil, err
	}
	r.URL.RawQuery = c.query.Encode()
	for name, values := range c.header {
		r.Header[name] = values
	}
	if media != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", media)
	}
	return r, nil
}

// answer is what came back.
type attacked struct {
	status int
	header http.Header
	body   []byte
}

// send sends a call, each time from another address, and checks what no answer
// may be. ok is false for what a client cannot send at all.
func (a *attacker) send(t testing.TB, c attackCall) (got attacked, ok bool) {
	t.Helper()
	got, own, ok := a.ask(t, c)
	if !ok || got.header.Get("Content-Type") == "text/event-stream" {
		return got, ok
	}
	a.judge(t, c, got)
	if got.status == http.StatusUnauthorized && own || c.op.id == "logout" && got.status == http.StatusOK {
		a.login(t) // the call has ended its own session
	}
	return got, true
}

// ask sends a call; own says that it was as the attacker.
func (a *attacker) ask(t testing.TB, c attackCall) (got attacked, own, ok bool) {
	t.Helper()
	r, err := c.request(a.p.url)
	if err != nil {
		return attacked{}, false, false
	}
	n := a.sent.Add(1)
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
	if r.Header.Get("Authorization") == "" && a.who != nil && !c.op.public {
		r.Header.Set("Authorization", "Bearer "+a.who.token)
	}
	res, err := attackClient.Do(r)
	if err != nil {
		if strings.Contains(err.Error(), "invalid header field") || strings.Contains(err.Error(), "invalid method") {
			return attacked{}, false, false
		}
		t.Errorf("%s: no answer to %s: %v", c.op.id, c, err)
		return attacked{}, false, false
	}
	defer res.Body.Close()
	got = attacked{status: res.StatusCode, header: res.Header}
	if res.Header.Get("Content-Type") == "text/event-stream" {
		return got, false, true // never ends, and holds what the state of the operation holds
	}
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(res.Body); err != nil {
		t.Errorf("%s: %s: %v", c.op.id, c, err)
	}
	got.body = buf.Bytes()
	return got, !c.op.public && r.Header.Get("Authorization") == "Bearer "+a.who.token, true
}

// login makes the attacker the owner again, from an address of its own.
func (a *attacker) login(t testing.TB) {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(a.p.dir, "owner-password"))
	if err != nil {
		t.Fatal(err)
	}
	n := a.sent.Add(1)
	var tok struct {
		AccessToken string `json:"access_token"`
	}
	nobody := a.p.in(t).caller("")
	nobody.json("POST", "/api/v1/auth/login", map[string]string{"email": "owner@commandcenter.local", "password": strings.TrimSpace(string(password))}, 200, &tok,
		"X-Forwarded-For", fmt.Sprintf("172.16.%d.%d", n>>8&255, n&255))
	a.who = a.p.caller(tok.AccessToken)
}

var attackClient = &http.Client{
	Timeout:       30 * time.Second,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 8, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (c attackCall) String() string {
	body, _ := json.Marshal(c.body)
	if c.raw != nil {
		body = c.raw
	}
	if len(body) > 300 {
		body = append(body[:300:300], "…"...)
	}
	return fmt.Sprintf("%s %s path=%q query=%q header=%q file=%q body=%s", c.method, c.op.path, c.path, c.query.Encode(), c.header, c.file, body)
}

// text is everything that the call says, as it is.
func (c attackCall) text() string {
	var b strings.Builder
	for _, v := range c.path {
		b.WriteString(v + "\n")
	}
	for _, values := range c.query {
		b.WriteString(strings.Join(values, "\n"))
	}
	for _, values := range c.header {
		b.WriteString(strings.Join(values, "\n"))
	}
	fmt.Fprintln(&b, c.body, c.file, string(c.raw))
	return b.String()
}

// internals are what an answer tells that says too much.
var internals = []string{
	"pq: ", "SQLSTATE", "syntax error at or near", "goroutine ", "runtime error", "panic:", ".go:", "/etc/passwd", "root:x:0", "uid=0", "9801547", "PostgreSQL 1", "$JS.API", "argon2id$",
	"SELECT ", "INSERT INTO", "nats: ",
}

// judge checks what holds for every answer, whatever was asked.
func (a *attacker) judge(t testing.TB, c attackCall, got attacked) {
	t.Helper()
	if got.status >= 500 && !(got.status == http.StatusServiceUnavailable && (strings.Contains(c.op.path, "health") || c.op.id == "answerQuestion")) { // which has no language model here
		t.Errorf("%s: %d to %s: %s", c.op.id, got.status, c, got.body)
	}
	h := got.header
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Request-Id") == "" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("%s: %d to %s without the headers that every answer has: %v", c.op.id, got.status, c, h)
	}
	for name, values := range h {
		if strings.HasPrefix(name, "X-Injected") || slices.Contains(values, "injected=1") {
			t.Errorf("%s: %s has put a header into the answer: %v", c.op.id, c, h)
		}
	}
	rpc := c.op.id == "callTool" && got.status == http.StatusBadRequest && bytes.Contains(got.body, []byte(`"jsonrpc":"2.0"`))
	if got.status >= 400 && c.method != http.MethodHead && !rpc { // a message that cannot be read is refused as its protocol says
		var problem struct {
			Status    int    `json:"status"`
			Title     string `json:"title"`
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal(got.body, &problem); err != nil || h.Get("Content-Type") != "application/problem+json" || problem.Status != got.status || problem.RequestID == "" || problem.Title == "" {
			t.Errorf("%s: %d to %s is no problem document: %s", c.op.id, got.status, c, got.body)
		}
	}
	if got.status < 400 && (c.op.id == "docs" || c.op.id == "docsAsset" || c.op.id == "openapi" || c.op.id == "metrics") {
		return // texts of ours
	}
	// What the caller has sent may come back as "input"; what it did not may not.
	sent := c.text()
	for _, text := range append(internals, a.leaves...) {
		if bytes.Contains(got.body, []byte(text)) && !strings.Contains(sent, text) && !stored(got, text) {
			t.Errorf("%s: %d to %s tells %q: %s", c.op.id, got.status, c, text, got.body)
		}
	}
}

// stored reports whether text is in an answer that shows what earlier attacks
// have left there, as what it is: text. Nothing of the product's own has it.
func stored(got attacked, text string) bool {
	return got.status < 300 && text != "9801547" && text != "PostgreSQL 1" && text != "root:x:0" && text != "uid=0"
}

// latestJob is the id of the latest job that the caller's project has.
func latestJob(who *caller, header ...string) int64 {
	who.t.Helper()
	var list struct {
		Jobs []struct{ ID int64 } `json:"jobs"`
	}
	who.json("GET", "/api/v1/jobs?limit=1", nil, 200, &list, header...)
	if len(list.Jobs) != 1 {
		who.t.Fatal("the project has no job")
	}
	return list.Jobs[0].ID
}

// newSchedule makes a schedule that is never due, and returns its id.
func newSchedule(who *caller, header ...string) int64 {
	who.t.Helper()
	var made struct{ ID int64 }
	body := map[string]any{"name": "s", "task_type": "call", "frequency": "daily", "enabled": false, "task_parameters": map[string]any{"url": "https://example.org"}}
	who.json("POST", "/api/v1/schedules", body, 201, &made, header...)
	return made.ID
}
