package serve_test

import (
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/services/gateway"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// perMinute are rates with the given numbers of reads and writes.
func perMinute(reads, writes int) option {
	return func(c *serve.Config, d *serve.Deps) {
		c.Reads, c.Writes = &contract.Rate{N: reads, Per: time.Minute}, &contract.Rate{N: writes, Per: time.Minute}
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		d.Now = func() time.Time { return at }
	}
}

func TestEveryAnswerSaysHowManyCallsAreLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, perMinute(60, 60))
	token := as(w.auth.token(owner))
	first := w.call("GET", "/api/v1/projects", "", token)
	second := w.call("GET", "/api/v1/projects", "", token)
	for name, want := range map[string][2]string{
		"RateLimit-Limit": {"60", "60"}, "RateLimit-Remaining": {"59", "58"}, "RateLimit-Reset": {"1", "2"},
		"RateLimit-Policy": {`"reads";q=60;w=60`, `"reads";q=60;w=60`}, "RateLimit": {`"reads";r=59;t=1`, `"reads";r=58;t=2`},
	} {
		if got := [2]string{first.header.Get(name), second.header.Get(name)}; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := w.call("POST", "/api/v1/auth/login", `{"email":"a@b.io","password":"x"}`); got.header.Get("RateLimit-Policy") != `"login";q=10;w=60` {
		t.Errorf("a limit of the operation's own: %v", got.header)
	}
	exposed := first.header
	if got := w.call("GET", "/api/v1/projects", "", token, with("Origin", "http://localhost:3000")); !strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "RateLimit-Policy") {
		t.Errorf("a page of another origin cannot read them: %v", exposed)
	}
}

// TestEveryOperationHasALimit walks the contract of the product with the limits
// that it has without any setting.
func TestEveryOperationHasALimit(t *testing.T) {
	t.Parallel()
	defaults := gateway.Defaults()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) {
		for text, into := range map[string]**contract.Rate{defaults.Anonymous: &c.Anonymous, defaults.Reads: &c.Reads, defaults.Writes: &c.Writes} {
			r, err := contract.ParseRate(text)
			if err != nil {
				t.Fatal(err)
			}
			*into = &r
		}
	})
	token, super := as(w.auth.token(owner)), as(w.auth.token(superuser))
	for _, op := range w.doc.Operations {
		path := op.Path
		for _, p := range op.PathParams {
			path = strings.ReplaceAll(path, "{"+p+"}", "1")
		}
		changes := []change{with("Accept", "application/nothing")} // counted all the same, and goes no further
		switch op.Permission {
		case contract.Public:
		case contract.Superuser:
			changes = append(changes, super)
		default:
			changes = append(changes, token)
		}
		if got := w.call(op.Method, path, "", changes...); got.header.Get("RateLimit-Limit") == "" || got.header.Get("RateLimit-Policy") == "" {
			t.Errorf("%s (%s): %d without a limit: %v", op.ID, op.Permission, got.status, got.header)
		}
	}
}

func TestAProjectHasLimitsOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, perMinute(60, 60))
	set := func(limits access.Limits) {
		w.auth.mu.Lock()
		w.auth.limits = limits
		w.auth.mu.Unlock()
		w.guard.ForgetProject(1)
	}
	token := as(w.auth.token(owner))
	limits := func() string { return w.call("GET", "/api/v1/limits", "", token).body }
	limit := func(method string) string {
		path, body := "/api/v1/knowledge/collections", ""
		if method == "POST" {
			path, body = "/api/v1/knowledge/documents/text", `{"title":"t","content":"c","category":"k"}`
		}
		return w.call(method, path, body, token).header.Get("RateLimit-Limit")
	}
	if got, want := limits(), `[{"class":"reads","limit":"60/minute","instance":"60/minute","project":null,"raised":false},{"class":"writes","limit":"60/minute","instance":"60/minute","project":null,"raised":false}]`; got != want {
		t.Errorf("%s", got)
	}
	set(access.Limits{"writes": {Calls: 2, Per: time.Minute}, "reads": {Calls: 2, Per: time.Second}})
	limit("POST") // who is not known yet is counted by the instance's limit, once
	for i, want := range []string{"2", "2", "2"} {
		if got := limit("POST"); got != want {
			t.Errorf("write %d: limit %s, want %s", i, got, want)
		}
	}
	if got := w.call("POST", "/api/v1/knowledge/documents/text", `{"title":"t","content":"c","category":"k"}`, token); got.status != 429 || got.json(t)["error"] != "Rate limit exceeded: 2 per 1 minute" {
		t.Errorf("the third: %d %s", got.status, got.body)
	}
	if got := limit("GET"); got != "60" {
		t.Errorf("an admin has raised the limit of the instance: %s", got)
	}
	if got := w.call("POST", "/api/v1/knowledge/documents/text", `{"title":"t","content":"c","category":"k"}`, token, with("X-Project-ID", "2")); got.status != 201 {
		t.Errorf("in another project: %d %s", got.status, got.body)
	}
	set(access.Limits{"reads": {Calls: 500, Per: time.Minute, Raised: true}})
	limit("GET")
	if got := limit("GET"); got != "500" {
		t.Errorf("a superuser has not raised the limit of the instance: %s", got)
	}
	if got, want := limits(), `[{"class":"reads","limit":"500/minute","instance":"60/minute","project":"500/minute","raised":true},{"class":"writes","limit":"60/minute","instance":"60/minute","project":null,"raised":false}]`; got != want {
		t.Errorf("%s", got)
	}
}
