package serve_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

func TestProbesAndFrontDoorAnswerWithoutAnybodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.ready = errors.New("not connected")
	for path, want := range map[string]int{"/": 200, "/health": 200, "/health/live": 200, "/health/ready": 503, "/openapi.json": 200, "/docs": 200} {
		if got := w.call("GET", path, ""); got.status != want {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if d := w.call("GET", "/", "").json(t); d["version"] != "1.2.3" || d["docs"] != "/docs" || d["ui"] != "/ui" || d["health"] != "/health" {
		t.Errorf("%v", d)
	}
}

func TestDetailedHealthAsksEveryServiceAtOnceAndTellsOutsidersNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.HealthTimeout = 300 * time.Millisecond })
	var asked atomic.Int32
	together := make(chan struct{})
	w.health = func(ctx context.Context, service string) ([]serve.Component, error) {
		if asked.Add(1) == 3 { // auth, federation, knowledge
			close(together)
		}
		select {
		case <-together:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch service {
		case "knowledge":
			return []serve.Component{
				{Name: "database", Status: app.StatusHealthy},
				{Name: "embeddings", Status: app.StatusDegraded, Message: "the model is missing: search is lexical"},
			}, nil
		case "auth":
			return []serve.Component{{Name: "database", Status: app.StatusUnhealthy, Message: "dial unix /secret/path"}}, nil
		}
		<-ctx.Done()
		return nil, errs.New(errs.Timeout, "no answer in time")
	}
	got := w.call("GET", "/health/detailed", "")
	d := got.json(t)
	if got.status != 503 || d["status"] != "unhealthy" {
		t.Errorf("%d %v", got.status, d["status"])
	}
	parts := d["components"].(map[string]any)
	part := func(name string) map[string]any {
		p, ok := parts[name].(map[string]any)
		if !ok {
			t.Fatalf("no %s in %v", name, parts)
		}
		return p
	}
	if p := part("knowledge.embeddings"); p["status"] != "degraded" || p["message"] != "the model is missing: search is lexical" {
		t.Errorf("embeddings: %v", p)
	}
	if p := part("knowledge"); p["status"] != "degraded" {
		t.Errorf("knowledge: %v", p)
	}
	if p := part("auth.database"); p["status"] != "unhealthy" || p["message"] != nil {
		t.Errorf("auth.database: %v", p)
	}
	if part("database")["status"] != "unhealthy" || part("federation_heartbeat")["status"] != "unhealthy" {
		t.Errorf("%v", parts)
	}
	if part("federation")["status"] != "unhealthy" || part("bus")["status"] != "healthy" {
		t.Errorf("%v", parts)
	}
	if strings.Contains(got.body, "secret") {
		t.Error("an outsider reads why something is down")
	}
	if got := w.call("GET", "/health/detailed", "", as(w.auth.token(owner))); strings.Contains(got.body, "secret") {
		t.Error("a user reads why something is down")
	}
	if got := w.call("GET", "/health/detailed", "", as(w.auth.token(superuser))); !strings.Contains(got.body, "secret") {
		t.Error("a superuser does not read why something is down")
	}
	if n := asked.Load(); n != 6 { // one each for six services
		t.Errorf("%d questions for three calls within a second", n)
	}
}

func TestDetailedHealthIsHealthyWhenAllIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.health = func(context.Context, string) ([]serve.Component, error) {
		return []serve.Component{{Name: "database", Status: app.StatusHealthy}}, nil
	}
	if got := w.call("GET", "/health/detailed", ""); got.status != 200 || got.json(t)["status"] != "healthy" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestTheSearchPageLoadsFromHereAloneAndRunsNothingInline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.call("GET", "/ui", "")
	if page.status != 200 || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", page.status, page.header.Get("Content-Type"))
	}
	policy := page.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %q lacks %q", policy, part)
		}
	}
	if m := regexp.MustCompile(`https?://|<script>|\son[a-z]+=|\sstyle=|<style`).FindString(page.body); m != "" {
		t.Errorf("the page holds %q", m)
	}
	asked := map[string]bool{}
	for todo := []string{page.body}; len(todo) > 0; todo = todo[1:] { // all that it and its scripts load
		for _, m := range regexp.MustCompile(`(?:src|href|from) ?=?"/ui/([^"]+)"|import .* from "/ui/([^"]+)"`).FindAllStringSubmatch(todo[0], -1) {
			name := m[1] + m[2]
			if asked[name] {
				continue
			}
			asked[name] = true
			got := w.call("GET", "/ui/"+name, "")
			if got.status != 200 || len(got.body) < 100 || got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d, %d bytes", name, got.status, len(got.body))
			}
			if again := w.call("GET", "/ui/"+name, "", with("If-None-Match", got.header.Get("ETag"))); again.status != 304 {
				t.Errorf("%s again: %d", name, again.status)
			}
			todo = append(todo, got.body)
		}
	}
	if len(asked) < 8 {
		t.Errorf("only these are loaded: %v", asked)
	}
	for _, name := range []string{"index.html", "..%2fui.go", "none.js"} {
		if got := w.call("GET", "/ui/"+name, ""); got.status != 404 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
}

func TestTheDocumentationLoadsFromHereAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.call("GET", "/docs", "")
	policy := page.header.Get("Content-Security-Policy")
	if strings.Contains(page.body, "http://") || strings.Contains(page.body, "https://") || strings.Contains(page.body, "<script>") {
		t.Errorf("the page reaches out: %s", page.body)
	}
	if !strings.Contains(policy, "script-src 'self';") || strings.Contains(policy, "unsafe-eval") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("policy = %q", policy)
	}
	for _, name := range []string{"swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png"} {
		if !strings.Contains(page.body, "/docs/"+name) {
			t.Errorf("%s is not used", name)
		}
		got := w.call("GET", "/docs/"+name, "")
		if got.status != 200 || len(got.body) < 100 {
			t.Errorf("%s: %d, %d bytes", name, got.status, len(got.body))
		}
		if again := w.call("GET", "/docs/"+name, "", with("If-None-Match", got.header.Get("ETag"))); again.status != 304 || again.body != "" {
			t.Errorf("%s again: %d", name, again.status)
		}
	}
	for _, name := range []string{"index.html", "..%2f..%2fetc%2fpasswd", "swagger-ui.js.map"} {
		if got := w.call("GET", "/docs/"+name, ""); got.status != 404 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	doc := w.call("GET", "/openapi.json", "").json(t)
	if doc["openapi"] != "3.0.3" || doc["paths"].(map[string]any)["/api/v1/knowledge/query"] == nil {
		t.Errorf("%v", doc["info"])
	}
}

func TestWhatACallerHasIsNotSentAgainHoweverItNamesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	etag := w.call("GET", "/openapi.json", "").header.Get("ETag")
	for sent, want := range map[string]int{
		etag: 304, "W/" + etag: 304, "*": 304, `"a", ` + etag: 304, `W/"a,b" ,W/` + etag + `,"c"`: 304, ", " + etag: 304,
		`"a"`: 200, strings.Trim(etag, `"`): 200, `"a" nonsense, ` + etag: 200, `"`: 200, "W/": 200, ",": 200, `"a, ` + etag: 200,
	} {
		if got := w.call("GET", "/openapi.json", "", with("If-None-Match", sent)); got.status != want {
			t.Errorf("If-None-Match: %s: %d, want %d", sent, got.status, want)
		}
	}
	two := w.call("GET", "/openapi.json", "", with("If-None-Match", `"a"`), func(r *http.Request) { r.Header.Add("If-None-Match", etag) })
	if two.status != 304 {
		t.Errorf("on a second line: %d", two.status)
	}
}

func TestMetricsAreForThisMachineUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.call("GET", "/api/v1/projects", "", as(w.auth.token(owner)))
	w.call("GET", "/nothing/of/the/kind", "")
	got := w.call("GET", "/metrics", "")
	for _, line := range []string{
		`http_requests_total{handler="/api/v1/projects",method="GET",status="200"} 1`, `http_request_duration_seconds_count{handler="/api/v1/projects",method="GET"} 1`,
		`http_requests_total{handler="",method="GET",status="404"} 1`,
	} {
		if !strings.Contains(got.body, line) {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(got.body, "of/the/kind") {
		t.Error("a made-up path is a label")
	}
	if got := w.call("GET", "/metrics", "", with("X-Forwarded-For", "203.0.113.1")); got.status != 404 {
		t.Errorf("through a proxy: %d", got.status)
	}
	public := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Metrics = serve.MetricsPublic })
	if got := public.call("GET", "/metrics", "", with("X-Forwarded-For", "203.0.113.1")); got.status != 200 {
		t.Errorf("public: %d", got.status)
	}
	off := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Metrics = serve.MetricsOff })
	if got := off.call("GET", "/metrics", ""); got.status != 404 {
		t.Errorf("off: %d", got.status)
	}
}

func TestAnEdgeThatDoesNotFitItsContractIsRefused(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"nobody answers": strings.Replace(fixture+edgeStubs, "operationId: metrics", "operationId: metric", 1),
		"one twice": fixture + edgeStubs + "  /old/{name}:\n    put:\n      operationId: again\n      parameters: [{name: name, in: path, required: true, schema: {type: string}}]\n" +
			"      x-service: things\n      x-delivery: request\n      x-permission: public\n      x-project: none\n      responses: {'200': {description: OK}}\n",
	} {
		doc, err := contract.Load([]byte(file))
		if err != nil {
			continue // refused even earlier
		}
		w := newWorld(t)
		_, err = serve.New(serve.Deps{Contract: doc, Bus: w.bus, Guard: w.guard, Health: w.health, Log: discard()}, serve.Config{MaxInFlight: 1})
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := serve.New(serve.Deps{}, serve.Config{}); err == nil {
		t.Error("an edge without anything was made")
	}
}
