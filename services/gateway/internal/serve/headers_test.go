package serve_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

func TestEveryAnswerIsMarkedAndGuarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := as(w.auth.token(owner))
	w.bus.request = func(tg bus.Target, _ tenant.Identity, _ []byte) (*bus.Answer, error) {
		if tg.Operation == "listCategories" {
			panic("a bug")
		}
		return sample(tg.Operation), nil
	}
	origin := with("Origin", "http://localhost:3000")
	for status, got := range map[int]answer{
		200: w.call("GET", "/api/v1/projects", "", token, origin),
		204: w.call("OPTIONS", "/api/v1/projects", "", origin, with("Access-Control-Request-Method", "GET")),
		401: w.call("GET", "/api/v1/projects", "", origin),
		404: w.call("GET", "/nothing", "", origin),
		405: w.call("DELETE", "/api/v1/projects", "", origin),
		422: w.call("GET", "/api/v1/projects?limit=x", "", token, origin),
		500: w.call("GET", "/api/v1/knowledge/categories", "", token, origin),
	} {
		if got.status != status {
			t.Errorf("%d: %d %s", status, got.status, got.body)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "X-XSS-Protection": "1; mode=block",
			"Referrer-Policy": "strict-origin-when-cross-origin", "Access-Control-Allow-Origin": "http://localhost:3000",
			"Content-Security-Policy":   "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
			"Strict-Transport-Security": "",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%d: %s = %q", status, name, got.header.Get(name))
			}
		}
		if len(got.header.Get("X-Request-ID")) != 36 || !strings.Contains(got.header.Get("Vary"), "Origin") ||
			!strings.Contains(got.header.Get("Permissions-Policy"), "camera=()") || !strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "RateLimit-Limit") {
			t.Errorf("%d: %v", status, got.header)
		}
		if status == 500 && (strings.Contains(got.body, "a bug") || got.json(t)["error"] != "Internal server error") {
			t.Errorf("500: %s", got.body)
		}
	}
	if !strings.Contains(w.logs.String(), "http.panic") {
		t.Error("the panic is not in the log")
	}
}

func TestPreflightsNameWhatMayBeSentAndOnlyToKnownOrigins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Credentials = true })
	ask := with("Access-Control-Request-Method", "PATCH")
	got := w.call("OPTIONS", "/api/v1/projects/1", "", with("Origin", "http://localhost:3000"), ask, with("Access-Control-Request-Headers", "x-project-id"))
	for _, name := range []string{"Authorization", "X-API-Key", "Content-Type", "X-Project-ID", "Idempotency-Key", "If-Match", "X-Request-ID", "Last-Event-ID"} {
		if !strings.Contains(got.header.Get("Access-Control-Allow-Headers"), name) {
			t.Errorf("%s may not be sent", name)
		}
	}
	for _, name := range []string{"If-None-Match"} {
		if strings.Contains(got.header.Get("Access-Control-Allow-Headers"), name) {
			t.Errorf("%s may be sent, and nobody reads it", name)
		}
	}
	if got.status != 204 || !strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "PATCH") || got.header.Get("Access-Control-Max-Age") != "60" ||
		got.header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("%d %v", got.status, got.header)
	}
	got = w.call("OPTIONS", "/api/v1/projects/1", "", with("Origin", "https://evil.example"), ask)
	if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "" || got.header.Get("Access-Control-Allow-Headers") != "" {
		t.Errorf("a stranger: %d %v", got.status, got.header)
	}
	got = w.call("GET", "/health", "", with("Origin", "https://evil.example"))
	if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a stranger: %d %v", got.status, got.header)
	}
}

func TestARequestIDIsKeptWhenItIsSafeAndMadeOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for sent, kept := range map[string]bool{
		"abc-1.2:3_X": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false, strings.Repeat("a", 300): false,
		"a b": false, "é": false, "'; drop": false,
	} {
		got := w.call("GET", "/nothing", "", with("X-Request-ID", sent)).header.Get("X-Request-ID")
		if (got == sent) != kept || !kept && len(got) != 36 {
			t.Errorf("%.20q became %q", sent, got)
		}
	}
	if a, b := w.call("GET", "/health", ""), w.call("GET", "/health", ""); a.header.Get("X-Request-ID") == b.header.Get("X-Request-ID") {
		t.Error("two calls have one id")
	}
}

func TestTransportSecurityIsAskedForOnlyOverTLS(t *testing.T) {
	t.Parallel()
	forwarded := with("X-Forwarded-Proto", "https")
	if got := newWorld(t).call("GET", "/health", "", forwarded); got.header.Get("Strict-Transport-Security") != "" {
		t.Error("an untrusted header was believed")
	}
	behind := newWorld(t, func(c *serve.Config, _ *serve.Deps) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	if got := behind.call("GET", "/health", "", forwarded); got.header.Get("Strict-Transport-Security") == "" {
		t.Error("not behind a proxy that speaks TLS")
	}
	if got := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.TLS = true }).call("GET", "/health", ""); got.header.Get("Strict-Transport-Security") == "" {
		t.Error("not over TLS")
	}
}

func TestTheAccessLogHoldsOneLinePerCallAndNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.call("GET", "/api/v1/projects?limit=5&api_key=hunter2&access_token=hunter2&x="+strings.Repeat("hunter2", 40), "", as(w.auth.token(owner)))
	w.call("GET", "/health", "")
	logs := w.logs.String()
	if n := strings.Count(logs, "http.request"); n != 1 {
		t.Errorf("%d lines:\n%s", n, logs)
	}
	for _, part := range []string{`"operation":"listProjects"`, `"status":422`, `"principal":"user:1"`, "limit=5", `"client":"127.0.0.1"`} {
		if !strings.Contains(logs, part) {
			t.Errorf("no %s in %s", part, logs)
		}
	}
	if strings.Contains(logs, "hunter2") {
		t.Errorf("a secret is in the log: %s", logs)
	}
}

func TestAPageMayReadEveryHeaderOfTheContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exposed := strings.Split(w.call("GET", "/health", "", with("Origin", "http://localhost:3000")).header.Get("Access-Control-Expose-Headers"), ", ")
	for _, item := range w.doc.Document.Paths.Map() {
		for _, op := range item.Operations() {
			for _, res := range op.Responses.Map() {
				for name := range res.Value.Headers {
					if !slices.ContainsFunc(exposed, func(e string) bool { return strings.EqualFold(e, name) }) {
						t.Errorf("%s: %s may not be read", op.OperationID, name)
					}
				}
			}
		}
	}
}

func TestFailuresAreLoggedAlways(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.LogRequests = false })
	w.bus.request = func(tg bus.Target, _ tenant.Identity, _ []byte) (*bus.Answer, error) {
		switch tg.Operation {
		case "listCategories":
			return nil, errs.New(errs.Unavailable, "knowledge is not running")
		case "listCollections":
			return nil, errs.New(errs.Internal, "a bug")
		}
		return sample(tg.Operation), nil
	}
	token := as(w.auth.token(owner))
	for _, path := range []string{"/api/v1/projects", "/api/v1/knowledge/categories", "/api/v1/knowledge/collections"} {
		w.call("GET", path, "", token)
	}
	lines := strings.Split(strings.TrimSpace(w.logs.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"level":"WARN"`) || !strings.Contains(lines[0], `"status":503`) ||
		!strings.Contains(lines[1], `"level":"ERROR"`) || !strings.Contains(lines[1], `"status":500`) {
		t.Errorf("the log holds\n%s", strings.Join(lines, "\n"))
	}
}

func TestARefusalAsksForWhatTheOperationTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.request = func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
		return nil, errs.New(errs.Unauthenticated, "not authenticated")
	}
	for path, want := range map[string]string{
		"/api/fed/projects": `ApiKey header="X-API-Key"`, "/api/fed/projects/north": `ApiKey header="X-API-Key"`, "/api/v1/projects": "Bearer",
	} {
		if got := w.call("GET", path, ""); got.status != 401 || got.header.Get("WWW-Authenticate") != want {
			t.Errorf("%s: %d %q, want %q", path, got.status, got.header.Get("WWW-Authenticate"), want)
		}
	}
}
