package main_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// injections are strings that mean something to somebody behind the gateway.
// Each would show itself: by a 5xx, by a value that only who runs it knows, or
// by an answer that says too much.
var injections = []string{
	`' OR '1'='1`, `'; DROP TABLE users; --`, `' UNION SELECT version() --`, `1); SELECT pg_sleep(0) --`, `\'; COPY (SELECT 1) TO PROGRAM 'id'`, `$$; SELECT 1; $$`, `%' OR 1=1 --`, `*/ SELECT 1 /*`,
	`{"$gt":""}`, `{"$where":"1337*7331"}`, `[$ne]=1`,
	`; id`, "`id`", `$(id)`, `| cat /etc/passwd`, `&& cat /etc/passwd`,
	`../../../../../../etc/passwd`, `..%2f..%2fetc%2fpasswd`, `/etc/passwd`, `C:\windows\win.ini`, `file:///etc/passwd`, `..\..\x`, `....//....//etc/passwd`,
	`{{1337*7331}}`, `${1337*7331}`, `#{1337*7331}`, `<%= 1337*7331 %>`, `{{print "98015" "47"}}`, `${jndi:ldap://127.0.0.1/x}`,
	"x\r\nX-Injected: 1", "x\nSet-Cookie: injected=1", "x\r\n\r\nHTTP/1.1 200 OK", `<script>alert(1)</script>`, `" onload="x`,
	"evt.>", "a.*.b", ">", "*", "$JS.API.STREAM.LIST", "p2.knowledge.x", // subjects of the bus
	"\x00", "a\x00b", "\u202egnp.exe", "\ufeff", "\xff\xfe", "é́", strings.Repeat("A", 9000), "𝕏", "%00", "%n%s%p", "-1", "1e309", "NaN", "null", "true", "[]", "0x10", "９",
}

// everyNth is how much of each list a short run tries: CC_TEST_ATTACKS=all tries
// all of it.
func everyNth() int {
	if os.Getenv("CC_TEST_ATTACKS") == "all" {
		return 1
	}
	return 8
}

func TestNothingIsInjectedThroughAnyParameter(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	a := newAttacker(t, p)
	step, at := everyNth(), 0
	// each hands over every nth attack, another part of the list to each place.
	each := func(do func(text string)) {
		at++
		for i, text := range injections {
			if (i+at)%step == 0 {
				do(text)
			}
		}
	}
	for _, op := range a.ops {
		if op.delivery == "live" && op.id != "followEvents" {
			continue // is its state's operation, and ends at once or never
		}
		for _, ref := range op.params {
			name, in := ref.Value.Name, ref.Value.In
			each(func(text string) {
				c := a.fresh(op)
				switch in {
				case "path":
					c.path[name] = text
				case "query":
					c.query.Set(name, text)
				case "header":
					c.header[http.CanonicalHeaderKey(name)] = []string{text}
				}
				got, ok := a.send(t, c)
				if ok && in == "path" && got.status < 300 && op.id != "getOperation" {
					t.Errorf("%s: %d to a made-up %s %q: %s", op.id, got.status, name, text, got.body)
				}
			})
		}
		for _, name := range []string{"X-Request-Id", "Accept", "Content-Type", "Authorization", "X-Forwarded-Host", "Traceparent", "Cookie", "X-Api-Key", "Last-Event-Id", "Origin"} {
			each(func(text string) {
				c := a.fresh(op)
				c.header[name] = []string{text}
				if got, ok := a.send(t, c); ok && name == "Authorization" && !op.public && got.status != 401 && got.status != 429 {
					t.Errorf("%s: %d with the authorization %q", op.id, got.status, text)
				}
			})
		}
		if op.body == nil {
			continue
		}
		for _, in := range textsIn(op.body, 0) {
			each(func(text string) {
				c := a.fresh(op)
				if body, ok := in(c.body, text).(map[string]any); ok {
					c.body = body
				}
				a.send(t, c)
			})
		}
		if op.media == "multipart/form-data" {
			each(func(text string) {
				c := a.fresh(op)
				c.file = text
				a.send(t, c)
			})
		}
	}
	t.Logf("%d attacks", a.sent.Load())
	var me struct {
		Email string `json:"email"`
	}
	a.who.json("GET", "/api/v1/auth/me", nil, 200, &me)
	if me.Email != "owner@commandcenter.local" {
		t.Errorf("the owner is %q", me.Email)
	}
}

func TestBodiesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	a := newAttacker(t, p)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(bytes.Repeat([]byte("["), 8<<20)) // into memory
	_ = z.Close()
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	bodies := []struct {
		name, media string
		body        string
		want        []int // refused with one of
		header      []string
	}{
		{"deep list", "application/json", deep, []int{400, 413, 422}, nil},
		{"deep object", "application/json", strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000), []int{400, 413, 422}, nil},
		{"too large", "application/json", `{"a":"` + strings.Repeat("x", 2<<20) + `"}`, []int{413}, nil},
		{"cut off", "application/json", `{"a":`, []int{400, 422}, nil},
		{"two values", "application/json", `{}{}`, []int{400, 422}, nil},
		{"no UTF-8", "application/json", "{\"name\":\"\xff\xfe\"}", []int{400, 422}, nil},
		{"XML", "application/xml", `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, []int{415}, nil},
		{"text", "text/plain", `{}`, []int{415}, nil},
		{"nonsense for a type", "a/b/c;;;=", `{}`, []int{415}, nil},
		{"compressed", "application/json", bomb.String(), []int{415}, []string{"Content-Encoding", "gzip"}},
		{"a form without a boundary", "multipart/form-data", "x", []int{400, 415}, nil},
		{"a form that never ends", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"category\"\r\n\r\nx", []int{400, 415, 422}, nil},
	}
	for _, op := range a.ops {
		if op.body == nil {
			continue
		}
		for n, b := range bodies {
			c := a.fresh(op)
			c.raw, c.rawMedia = []byte(b.body), b.media
			for i := 0; i+1 < len(b.header); i += 2 {
				c.header.Set(b.header[i], b.header[i+1])
			}
			got, ok := a.send(t, c)
			if !ok || op.media == "multipart/form-data" && strings.Contains("400 413 415 422", fmt.Sprint(got.status)) {
				continue
			}
			if got.status == 429 && n >= 10 { // the lowest limit that an operation has for a person
				continue
			}
			if !strings.Contains(fmt.Sprint(b.want), fmt.Sprint(got.status)) {
				t.Errorf("%s: %s: %d, want one of %v: %s", op.id, b.name, got.status, b.want, got.body)
			}
		}
	}
}

// unreached are operations that the test below cannot get through, and why.
var unreached = map[string]string{
	"login": "takes a password", "loginBrowser": "takes a password", "changePassword": "takes a password", "resetPassword": "takes a secret", "refreshToken": "takes a token",
	"acceptInvitation": "takes a secret", "showInvitation": "takes a secret", "showPasswordReset": "takes a secret", "setMemberRole": "takes another member", "issuePasswordReset": "takes another account",
	"createSource": "takes an address", "previewSource": "takes a place that answers", "discoverSources": "takes a place that answers", "importOPML": "takes a list of feeds",
	"answerQuestion": "takes a language model", "importRadar": "takes the CSV of a radar", "createJob": "takes a type and the parameters of its schema", "retryJob": "takes a job that failed",
	"createSchedule": "takes a rule of its frequency", "executeSchedule": "takes a schedule", "importResearchTasks": "takes the CSV of tasks", "importJudgements": "takes questions in a format",
	"applyEvaluation": "takes an evaluation that is done", "admitInstance": "takes the key of another instance", "shareProject": "takes another instance", "updateFederatedProject": "takes the key of another instance",
}

func TestUndeclaredFieldsChangeNothing(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	a := newAttacker(t, p)
	ids := a.things(t)
	planted := map[string]any{
		"id": 987654321, "project_id": 987654321, "owner_id": 987654321, "user_id": 987654321, "is_superuser": "planted", "superuser": "planted", "is_active": "planted", "role": "planted",
		"created_at": "1999-01-01T00:00:00Z", "raised": "planted", "version": 987654321, "sha256": "planted", "principal": "planted", "created_by": "planted", "admitted": "planted", "api_key": "planted",
		"holder": "planted", "scopes": "planted", "is_default": "planted", "state": "planted", "invited_by": "planted", "service": "planted", "operation": "planted", "actor": "planted",
	}
	taken := func(got attacked) bool {
		return got.status < 300 && (bytes.Contains(got.body, []byte("planted")) || bytes.Contains(got.body, []byte("987654321")) || bytes.Contains(got.body, []byte("1999-01-01")))
	}
	call := func(op attackedOp) attackCall {
		c := a.fresh(op)
		for name := range c.path {
			if id := ids[name]; id != "" {
				c.path[name] = id
			}
		}
		return c
	}
	for _, op := range a.ops {
		if op.body == nil {
			if op.method != http.MethodGet { // nobody reads it: it says nothing, or the call is refused
				c := call(op)
				c.raw, c.rawMedia = []byte(`{"planted":1}`), "application/json"
				if got, ok := a.send(t, c); ok && !refusedExtra(got, "body", "planted") {
					t.Errorf("%s: a body that is not declared: %d %s", op.id, got.status, got.body)
				}
			}
			continue
		}
		c := call(op)
		c.body = bare(op.body)
		got, ok := a.send(t, c)
		if reached := ok && got.status < 300; reached == (unreached[op.id] != "") {
			t.Errorf("%s: %d %s, although it %s", op.id, got.status, got.body, or(unreached[op.id], "is to be reached"))
		}
		if op.id == "callTool" {
			continue // takes what it does not name, and has no use for it
		}
		c = call(op)
		c.body = bare(op.body)
		for name, value := range planted {
			if op.body.Properties[name] == nil {
				c.body[name] = value
			}
		}
		if got, ok := a.send(t, c); ok {
			for name := range planted {
				if op.body.Properties[name] == nil && !refusedExtra(got, "body", name) {
					t.Errorf("%s: %s, which is not declared: %d %s", op.id, name, got.status, got.body)
				}
			}
		}
		c = call(op)
		c.body = bare(op.body)
		c.query.Set("planted", "1")
		if got, ok := a.send(t, c); ok && !refusedExtra(got, "query", "planted") {
			t.Errorf("%s: a parameter that is not declared: %d %s", op.id, got.status, got.body)
		}
	}
	// Nor is any of it there when it is asked for.
	for _, op := range a.ops {
		if op.method != http.MethodGet || op.delivery == "live" || op.service == "gateway" && op.id != "exportAudit" && op.id != "listEvents" && op.id != "listLimits" {
			continue
		}
		if got, ok := a.send(t, call(op)); ok && taken(got) {
			t.Errorf("%s: what was not declared is there: %s", op.id, got.body)
		}
	}
}

// refusedExtra reports whether a call was refused for what it has and its operation
// has not.
func refusedExtra(got attacked, in, name string) bool {
	return got.status == http.StatusUnprocessableEntity && bytes.Contains(got.body, fmt.Appendf(nil, `"type":"extra_forbidden","loc":[%q,%q]`, in, name))
}

func TestNobodyReachesWhatIsOthersByItsID(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	a := newAttacker(t, p)
	var doc struct {
		ID int64 `json:"id"`
	}
	a.who.json("POST", "/api/v1/knowledge/documents/text", map[string]string{"title": "t", "content": "the lamp of the lighthouse", "category": "c"}, 201, &doc)
	var judged, tried struct {
		ID int64 `json:"id"`
	}
	a.who.json("POST", "/api/v1/knowledge/judgements", judgedSet("a set"), 201, &judged)
	a.who.json("POST", "/api/v1/knowledge/evaluations", map[string]any{"judgements_id": judged.ID}, 201, &tried)
	var schema struct {
		ID int64 `json:"id"`
	}
	a.who.json("POST", "/api/v1/events/schemas", map[string]any{"team": "t", "noun": "n", "fact": "f", "version": 1, "schema": map[string]any{"type": "object"}}, 201, &schema)
	var technology, task, origin struct {
		ID int64 `json:"id"`
	}
	a.who.json("POST", "/api/v1/technologies/", map[string]any{"title": "t"}, 201, &technology)
	a.who.json("POST", "/api/v1/research-tasks/", map[string]any{"title": "t"}, 201, &task)
	a.who.json("POST", "/api/ingestion/sources", map[string]any{"name": "s", "type": "rss", "url": "https://feed.example.com/"}, 201, &origin)
	attachment := a.who.attached(fmt.Sprint(task.ID))
	job, schedule := latestJob(a.who), newSchedule(a.who)
	p.caller("").json("POST", "/api/v1/auth/register", map[string]string{"email": "other@example.org", "password": "a long enough pass phrase"}, 201, nil)
	a.who = p.login("other@example.org", "a long enough pass phrase")
	ids := map[string]string{"project_id": "1", "document_id": fmt.Sprint(doc.ID), "schema_id": fmt.Sprint(schema.ID),
		"judgements_id": fmt.Sprint(judged.ID), "evaluation_id": fmt.Sprint(tried.ID), "technology_id": fmt.Sprint(technology.ID), "task_id": fmt.Sprint(task.ID), "source_id": fmt.Sprint(origin.ID), "attachment_id": attachment, "job_id": fmt.Sprint(job), "schedule_id": fmt.Sprint(schedule), "seq": "1"}
	for _, op := range a.ops {
		if op.project == "none" {
			continue
		}
		c, foreign := a.fresh(op), false
		for name := range c.path {
			if id, ok := ids[name]; ok {
				c.path[name], foreign = id, true
			}
		}
		if foreign {
			if got, ok := a.send(t, c); ok && got.status != 404 && got.status != 422 {
				t.Errorf("%s: %d to what is another project's: %s", op.id, got.status, got.body)
			}
		}
		if op.project == "current" {
			c.header.Set("X-Project-ID", "1")
			if got, ok := a.send(t, c); ok && got.status != 403 {
				t.Errorf("%s: %d in another project: %s", op.id, got.status, got.body)
			}
		}
	}
	owner := p.owner()
	owner.json("GET", "/api/v1/knowledge/documents/"+ids["document_id"], nil, 200, nil)
	owner.json("GET", "/api/v1/knowledge/judgements/"+ids["judgements_id"], nil, 200, nil)
	owner.json("GET", "/api/v1/knowledge/evaluations/"+ids["evaluation_id"], nil, 200, nil)
	owner.json("GET", "/api/v1/events/schemas/"+ids["schema_id"], nil, 200, nil)
	owner.json("GET", "/api/v1/technologies/"+ids["technology_id"], nil, 200, nil)
	owner.json("GET", "/api/v1/research-tasks/"+ids["task_id"], nil, 200, nil)
}

func TestForgedTokensAreNobodys(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	owner := p.owner()
	parts := strings.Split(owner.token, ".")
	header, claims := decoded(t, parts[0]), decoded(t, parts[1])
	_, mine, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := base64.RawURLEncoding.EncodeToString(mine.Public().(ed25519.PublicKey))
	// sign makes a token from the owner's with changes to header and claims.
	sign := func(method jwt.SigningMethod, key any, inHeader, inClaims map[string]any) string {
		tok := jwt.NewWithClaims(method, jwt.MapClaims{})
		for k, v := range claims {
			tok.Claims.(jwt.MapClaims)[k] = v
		}
		for k, v := range inClaims {
			tok.Claims.(jwt.MapClaims)[k] = v
		}
		alg := tok.Header["alg"]
		for k, v := range header {
			tok.Header[k] = v
		}
		tok.Header["alg"] = alg
		for k, v := range inHeader {
			tok.Header[k] = v
		}
		s, err := tok.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	encode := func(v map[string]any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	other := map[string]any{}
	for k, v := range claims {
		other[k] = v
	}
	other["sub"] = "2"
	jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": public, "kid": header["kid"]}
	tokens := map[string]string{
		"another subject, the old signature": parts[0] + "." + encode(other) + "." + parts[2],
		"no signature":                       parts[0] + "." + parts[1] + ".",
		"two parts":                          parts[0] + "." + parts[1],
		"four parts":                         owner.token + ".x",
		"padding":                            owner.token + "==",
		"signed by another key":              sign(jwt.SigningMethodEdDSA, mine, nil, nil),
		"a key in the header":                sign(jwt.SigningMethodEdDSA, mine, map[string]any{"jwk": jwk}, nil),
		"a URL of keys":                      sign(jwt.SigningMethodEdDSA, mine, map[string]any{"jku": p.url + "/keys"}, nil),
		"a certificate":                      sign(jwt.SigningMethodEdDSA, mine, map[string]any{"x5c": []string{public}, "x5u": p.url}, nil),
		"HMAC with what is public":           sign(jwt.SigningMethodHS256, []byte(fmt.Sprint(header["kid"])), nil, nil),
		"HMAC with nothing":                  sign(jwt.SigningMethodHS256, []byte{}, nil, nil),
		"alg none":                           sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, nil),
		"alg None":                           sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"alg": "None"}, nil),
		"no alg":                             sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"alg": ""}, nil),
		"a path for a key":                   sign(jwt.SigningMethodHS256, []byte{}, map[string]any{"kid": "../../../../dev/null"}, nil),
		"SQL for a key":                      sign(jwt.SigningMethodEdDSA, mine, map[string]any{"kid": "' UNION SELECT 1 --"}, nil),
		"no key":                             sign(jwt.SigningMethodEdDSA, mine, map[string]any{"kid": ""}, nil),
		"a list for a key":                   sign(jwt.SigningMethodEdDSA, mine, map[string]any{"kid": []string{"a"}}, nil),
		"critical extension":                 sign(jwt.SigningMethodEdDSA, mine, map[string]any{"crit": []string{"x"}, "x": 1}, nil),
		"too long":                           owner.token + strings.Repeat("x", 10_000),
		"something else":                     "null", "empty JSON": "e30.e30.e30", "spaces": parts[0] + ". ." + parts[2],
	}
	for name, token := range tokens {
		status, h, body, err := p.caller(token).do("GET", "/api/v1/auth/me", "", nil, "X-Forwarded-For", "10.9.8.7")
		if err != nil || status != 401 || h.Get("WWW-Authenticate") == "" || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %v %s %v", name, status, h, body, err)
		}
	}
	var pair struct {
		Refresh string `json:"refresh_token"`
	}
	password, err := os.ReadFile(p.dir + "/owner-password")
	if err != nil {
		t.Fatal(err)
	}
	p.caller("").json("POST", "/api/v1/auth/login", map[string]string{"email": "owner@commandcenter.local", "password": strings.TrimSpace(string(password))}, 200, &pair)
	if status, _, body, _ := p.caller(pair.Refresh).do("GET", "/api/v1/auth/me", "", nil); status != 401 {
		t.Errorf("a refresh token as an access token: %d %s", status, body)
	}
	if status, _, body, _ := p.caller("").do("POST", "/api/v1/auth/refresh", "application/json", []byte(`{"refresh_token":"`+owner.token+`"}`)); status != 401 && status != 422 {
		t.Errorf("an access token as a refresh token: %d %s", status, body)
	}
}

func decoded(t *testing.T, part string) (v map[string]any) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestOneRequestIsNeverReadAsTwo speaks raw HTTP: whatever another server in
// front may have taken for the body of a request, is never answered as one.
func TestOneRequestIsNeverReadAsTwo(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	host := strings.TrimPrefix(p.url, "http://")
	const hidden = "GET /api/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	const login = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for name, raw := range map[string]string{
		"CL.TE":                        login + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"TE.CL":                        login + fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden),
		"TE.TE":                        login + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"an unknown coding":            login + "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n" + hidden,
		"chunked, and something else":  login + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden,
		"a space before the colon":     login + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
		"two lengths":                  login + "Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}" + hidden,
		"two lengths in one":           login + "Content-Length: 2, 60\r\n\r\n{}" + hidden,
		"a length with a sign":         login + "Content-Length: +2\r\n\r\n{}" + hidden,
		"a negative length":            login + "Content-Length: -2\r\n\r\n{}" + hidden,
		"a length in hex":              login + "Content-Length: 0x2\r\n\r\n{}" + hidden,
		"a chunk size that overflows":  login + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff1\r\n{}\r\n0\r\n\r\n" + hidden,
		"a chunk size with a sign":     login + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n" + hidden,
		"NUL in a header":              "GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
		"no host":                      "GET /api/v1/projects HTTP/1.1\r\n\r\n",
		"two hosts":                    "GET /api/v1/projects HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"a bare CR in a header":        "GET / HTTP/1.1\r\nHost: x\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
		"a header name that is folded": "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
		"a made-up version":            "GET / HTTP/7.7\r\nHost: x\r\n\r\n",
		"a method with a space":        "G ET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"headers without end":          "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 100) + "\r\n",
	} {
		answers := speak(t, host, raw)
		if len(answers) > 1 {
			t.Errorf("%s: answered %d times: %v", name, len(answers), answers)
			continue
		}
		if len(answers) == 1 && answers[0] < 400 {
			t.Errorf("%s: %d", name, answers[0])
		}
	}
	if got := speak(t, host, "GET /health HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\n b\r\n\r\n"); len(got) != 1 || got[0] != 200 && got[0] != 400 {
		t.Errorf("obs-fold: %v", got) // one header, or none; never two requests
	}
}

// TestNoOperationReadsOneRequestAsTwo says each operation's request in the forms
// over which servers disagree where it ends.
func TestNoOperationReadsOneRequestAsTwo(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	a := newAttacker(t, p)
	host := strings.TrimPrefix(p.url, "http://")
	const hidden = "GET /api/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	forms := []string{
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n" + hidden,
		"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
		"Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}" + hidden,
		"Content-Length: +2\r\n\r\n{}" + hidden,
		"Content-Length: 0x2\r\n\r\n{}" + hidden,
		"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff1\r\n{}\r\n0\r\n\r\n" + hidden,
		"X: a\x00b\r\n\r\n",
		"X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"X-Request-Id: a\rX-Injected: 1\r\n\r\n",
	}
	step := (everyNth() + 1) / 2
	for at, op := range a.ops {
		if op.delivery == "live" || op.id == "logout" {
			continue
		}
		r, err := a.fresh(op).request(p.url)
		if err != nil {
			t.Fatal(err)
		}
		head := op.method + " " + r.URL.RequestURI() + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		for i, form := range forms {
			if (i+at)%step > 0 {
				continue
			}
			answers := speak(t, host, head+form)
			if len(answers) > 1 || len(answers) == 1 && answers[0] < 400 && op.body != nil { // who takes no body leaves it, and hangs up
				t.Errorf("%s: %q is answered %v", op.id, form, answers)
			}
		}
	}
}

// speak sends raw bytes, closes its side and returns the status of every answer.
func speak(t *testing.T, host, raw string) (answers []int) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		return nil // closed while it was being said
	}
	_ = conn.(*net.TCPConn).CloseWrite() // the server may have closed already
	r := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return answers
		}
		answers = append(answers, res.StatusCode)
		_, _ = io.Copy(io.Discard, res.Body) // a short one shows as the next answer's error
		_ = res.Body.Close()
	}
}
