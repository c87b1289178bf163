package serve_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

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

func TestAnInstanceHasOtherLimitsOfOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) {
		c.Operations = map[string]contract.Rate{"login": {N: 100, Per: time.Hour}}
	})
	for path, want := range map[string]string{"/api/v1/auth/login": `"login";q=100;w=3600`, "/api/v1/auth/register": `"register";q=5;w=3600`} {
		if got := w.call("POST", path, `{}`); got.header.Get("RateLimit-Policy") != want {
			t.Errorf("%s: %v", path, got.header)
		}
	}
}

// Who tries to register, and may not, leaves it to the others behind the address:
// what counts is what cost, or what told something.
func TestRegistrationsThatAreRefusedDoNotUseUpTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, perMinute(60, 60), func(c *serve.Config, _ *serve.Deps) { c.Anonymous = &contract.Rate{N: 40, Per: time.Minute} })
	var refusal error
	w.bus.request = func(to bus.Target, _ tenant.Identity, _ []byte) (*bus.Answer, error) {
		return sample(to.Operation), refusal
	}
	register := func(err error, body string, more ...change) answer {
		refusal = err
		return w.call("POST", "/api/v1/auth/register", body, append([]change{with("Content-Type", "application/json")}, more...)...)
	}
	const person = `{"email":"a@b.io","password":"correct horse"}`
	for range 3 {
		for what, c := range map[string]struct {
			want int
			err  error
			body string
			with change
		}{
			"a weak password":             {422, errs.InvalidField("password_too_common", "too common", "body", "password"), person, nil},
			"no invitation":               {403, errs.New(errs.Forbidden, "by invitation only"), person, nil},
			"an invitation of another":    {404, errs.New(errs.NotFound, "not valid"), person, nil},
			"a service that is away":      {503, errs.New(errs.Unavailable, "busy"), person, nil},
			"nothing":                     {422, nil, `{}`, nil},
			"no JSON":                     {400, nil, `{`, nil},
			"no JSON at all":              {415, nil, `<a/>`, with("Content-Type", "application/xml")},
			"an answer that nobody gives": {406, nil, person, with("Accept", "text/html")},
		} {
			var more []change
			if c.with != nil {
				more = append(more, c.with)
			}
			got := register(c.err, c.body, more...)
			if got.status != c.want || got.header.Get("RateLimit-Remaining") != "5" || got.header.Get("RateLimit-Policy") != `"register";q=5;w=3600` {
				t.Errorf("%s: %d with %s left of %s", what, got.status, got.header.Get("RateLimit-Remaining"), got.header.Get("RateLimit-Policy"))
			}
		}
	}
	// An account that is made, one that is there already, and what nobody knows the
	// end of.
	for i, c := range []struct {
		want int
		err  error
	}{
		{201, nil}, {409, errs.New(errs.Conflict, "registered already")}, {504, errs.New(errs.Timeout, "no answer")}, {500, errors.New("a fault")}, {409, errs.New(errs.Conflict, "registered already")}, {429, nil},
	} {
		if got := register(c.err, person); got.status != c.want || got.header.Get("RateLimit-Remaining") != strconv.Itoa(max(4-i, 0)) {
			t.Errorf("call %d: %d, want %d, with %s left", i, got.status, c.want, got.header.Get("RateLimit-Remaining"))
		}
	}
	// All of them were calls of the address as well, of which it has 40.
	for i := range 11 {
		want := `"register";q=5;w=3600`
		if i == 10 {
			want = `"anonymous";q=40;w=60`
		}
		if got := register(nil, `{}`); got.status != 429 || got.header.Get("RateLimit-Policy") != want {
			t.Errorf("call %d after that: %d by %s, want %s", i, got.status, got.header.Get("RateLimit-Policy"), want)
		}
	}
}

// limited is a world with the limits that the product has without any setting.
func limited(t *testing.T) *world {
	t.Helper()
	defaults := gateway.Defaults()
	return newWorld(t, func(c *serve.Config, _ *serve.Deps) {
		for text, into := range map[string]**contract.Rate{defaults.Anonymous: &c.Anonymous, defaults.Reads: &c.Reads, defaults.Writes: &c.Writes} {
			r, err := contract.ParseRate(text)
			if err != nil {
				t.Fatal(err)
			}
			*into = &r
		}
		c.MaxBody = 100
	})
}

// TestEveryOperationHasALimit walks the contract of the product: whatever an
// operation answers says how many calls are left.
func TestEveryOperationHasALimit(t *testing.T) {
	t.Parallel()
	w := limited(t)
	token, super := as(w.auth.token(owner)), as(w.auth.token(superuser))
	seen := map[int]int{}
	for _, op := range w.doc.Operations {
		path := op.Path
		for _, p := range op.PathParams {
			path = strings.ReplaceAll(path, "{"+p+"}", "1")
		}
		who := func(*http.Request) {}
		switch op.Permission {
		case contract.Public:
		case contract.Superuser:
			who = super
		default:
			who = token
		}
		answers := map[string]answer{
			"406": w.call(op.Method, path, "", who, with("Accept", "application/nothing")),
			"405": w.call("BREW", path, "", who),
			"any": w.call(op.Method, path+"?limit=nonsense&limit=x", "", who, with("X-Project-ID", "nonsense")),
		}
		if op.Delivery == contract.Request {
			answers["200"] = w.call(op.Method, path, "", who)
		}
		if op.Permission != contract.Public {
			answers["401"] = w.call(op.Method, path, "", with("Authorization", "Bearer nonsense"))
			answers["405 to nobody"] = w.call("BREW", path, "")
			if op.Project == contract.CurrentProject {
				answers["403"] = w.call(op.Method, path, "", who, with("X-Project-ID", "999"))
			}
		}
		if len(op.Body.Types) > 0 {
			answers["415"] = w.call(op.Method, path, "<a/>", who, with("Content-Type", "application/xml"))
			answers["413"] = w.call(op.Method, path, `{"a":"`+strings.Repeat("x", 200)+`"}`, who, with("Content-Type", "application/json"))
		}
		for what, got := range answers {
			seen[got.status]++
			if got.header.Get("RateLimit-Limit") == "" || got.header.Get("RateLimit-Policy") == "" || got.header.Get("RateLimit") == "" {
				t.Errorf("%s (%s), %s: %d without a limit: %v", op.ID, op.Permission, what, got.status, got.header)
			}
		}
	}
	for _, status := range []int{200, 401, 403, 405, 406, 413, 415, 422} {
		if seen[status] < 10 {
			t.Errorf("%d was answered %d times: nothing was tried; %v", status, seen[status], seen)
		}
	}
}

// What is not there is not for nothing: neither addresses nor methods.
func TestWhatIsNotThereCountsAsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, perMinute(3, 3), func(c *serve.Config, _ *serve.Deps) { c.Anonymous = &contract.Rate{N: 1, Per: time.Minute} })
	token := as(w.auth.token(owner))
	for i, want := range []int{404, 405, 404, 429, 429} {
		method := []string{"GET", "BREW"}[i%2]
		path := []string{"/api/v1/nothing", "/api/v1/projects"}[i%2]
		if got := w.call(method, path, "", token); got.status != want || got.header.Get("RateLimit-Remaining") != strconv.Itoa(max(2-i, 0)) {
			t.Errorf("%d: %s %s: %d, want %d, %v", i, method, path, got.status, want, got.header)
		}
	}
	for i, want := range []int{401, 429} {
		if got := w.call("GET", "/api/v1/nothing", ""); got.status != want {
			t.Errorf("nobody, %d: %d, want %d", i, got.status, want)
		}
	}
	for i := range 11 {
		if got, want := w.call("GET", "/nothing", ""), []int{404, 429}[i/10]; got.status != want {
			t.Errorf("a page, %d: %d, want %d", i, got.status, want)
		}
	}
}

// A limit above that of the instance would be kept, and change nothing.
func TestALimitAboveTheInstancesIsRefusedWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, perMinute(6000, 60))
	token, super := as(w.auth.token(owner)), as(w.auth.token(superuser))
	set := func(class, limit string, who change) answer {
		return w.call("PUT", "/api/v1/limits/"+class, `{"limit":"`+limit+`"}`, who, with("Content-Type", "application/json"))
	}
	for _, limit := range []string{"61/minute", "2/second", "999999/day"} {
		if got := set("writes", limit, token); got.status != 422 || !strings.Contains(got.body, "60/minute") || !strings.Contains(got.body, `"loc":["body","limit"]`) {
			t.Errorf("%s: %d %s", limit, got.status, got.body)
		}
	}
	for _, c := range []struct {
		class, limit string
		who          change
	}{
		{"writes", "60/minute", token}, {"writes", "1/second", token}, {"writes", "5/hour", token}, {"reads", "61/minute", token}, {"writes", "61/minute", super},
	} {
		if got := set(c.class, c.limit, c.who); got.status != 200 {
			t.Errorf("%s %s: %d %s", c.class, c.limit, got.status, got.body)
		}
	}
	if got := set("writes", "nonsense", token); got.status != 422 || strings.Contains(got.body, "60/minute") {
		t.Errorf("nonsense: %d %s", got.status, got.body)
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
	for i, want := range []string{"2", "2"} {
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

func TestWhoIsNotRememberedIsCountedByTheLimitsOfTheProjectAsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, perMinute(60, 60))
	w.auth.mu.Lock()
	w.auth.limits = access.Limits{"writes": {Calls: 1, Per: time.Minute}}
	w.auth.mu.Unlock()
	token := as(w.auth.token(owner))
	for i, want := range []int{201, 429, 429} {
		w.guard.ForgetProject(1) // as another session, or key, of the same person
		if got := w.call("POST", "/api/v1/knowledge/documents/text", `{"title":"t","content":"c","category":"k"}`, token); got.status != want {
			t.Errorf("write %d: %d, want %d", i, got.status, want)
		}
	}
}

func TestTheLimitOfAUserHoldsInAllProjectsTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, perMinute(60, 3))
	w.auth.mu.Lock()
	w.auth.limits = access.Limits{"writes": {Calls: 2, Per: time.Minute}} // of each project
	w.auth.mu.Unlock()
	token := as(w.auth.token(owner))
	write := func(project string) answer {
		return w.call("POST", "/api/v1/knowledge/documents/text", `{"title":"t","content":"c","category":"k"}`, token, with("X-Project-ID", project))
	}
	for i, c := range []struct {
		project, left string
		want          int
	}{{"1", "1", 201}, {"2", "1", 201}, {"1", "0", 201}, {"2", "0", 429}} {
		if got := write(c.project); got.status != c.want || got.header.Get("RateLimit-Remaining") != c.left {
			t.Errorf("write %d, in project %s: %d with %s left, want %d with %s", i, c.project, got.status, got.header.Get("RateLimit-Remaining"), c.want, c.left)
		}
	}
}

func TestWhatWorksInNoProjectIsNotCountedByTheLimitsOfOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, perMinute(60, 60))
	w.auth.mu.Lock()
	w.auth.limits = access.Limits{"reads": {Calls: 1, Per: time.Minute}}
	w.auth.mu.Unlock()
	token := as(w.auth.token(owner))
	if got := w.call("GET", "/api/v1/knowledge/collections", "", token); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for _, path := range []string{"/api/v1/auth/me", "/api/v1/operations?instance=true"} {
		if got := w.call("GET", path, "", token); got.status == 429 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := w.call("GET", "/api/v1/knowledge/collections", "", token); got.status != 429 {
		t.Errorf("in the project: %d %s", got.status, got.body)
	}
}
