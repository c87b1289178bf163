package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/services/gateway"
)

// server is an edge of which each test says how it answers.
type server struct {
	*httptest.Server
	mux       *http.ServeMux
	generated atomic.Int64 // tokens given out
	refreshed atomic.Int64
	valid     sync.Map // access tokens
	refresh   sync.Map // refresh tokens, once
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{mux: http.NewServeMux()}
	s.Server = httptest.NewServer(s.mux)
	t.Cleanup(s.Close)
	s.mux.HandleFunc("POST /api/v1/auth/login", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Email, Password string }
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.Password != "right" {
			refuse(w, 401, `"wrong e-mail or password"`)
			return
		}
		s.give(w)
	})
	s.mux.HandleFunc("POST /api/v1/auth/refresh", func(w http.ResponseWriter, r *http.Request) {
		var in RefreshTokenRequest
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			refuse(w, 400, `"unreadable"`)
			return
		}
		if _, ok := s.refresh.LoadAndDelete(in.RefreshToken); !ok {
			refuse(w, 401, `"used before"`)
			return
		}
		s.refreshed.Add(1)
		s.give(w)
	})
	s.mux.HandleFunc("GET /api/v1/auth/me", s.authenticated(func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, fmt.Sprintf(`{"id":1,"email":"me@example.org","project":%q}`, r.Header.Get("X-Project-ID")))
	}))
	s.mux.HandleFunc("POST /api/v1/auth/logout", s.authenticated(func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{"message":"bye"}`) }))
	return s
}

func (s *server) give(w http.ResponseWriter) {
	n := s.generated.Add(1)
	access, refresh := fmt.Sprintf("a%d", n), fmt.Sprintf("r%d", n)
	s.valid.Store(access, true)
	s.refresh.Store(refresh, true)
	answer(w, 200, fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"token_type":"bearer","expires_in":1800}`, access, refresh))
}

func (s *server) authenticated(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, ok := s.valid.Load(token); !ok {
			refuse(w, 401, `"who are you"`)
			return
		}
		h(w, r)
	}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the client has gone; its test says so
}

func refuse(w http.ResponseWriter, status int, detail string) {
	answer(w, status, fmt.Sprintf(`{"type":"about:blank","title":"T","status":%d,"detail":%s,"request_id":"q1"}`, status, detail))
}

func (s *server) session(t *testing.T, c Config) *Session {
	t.Helper()
	c.Server = s.URL + "/"
	if c.Store == nil {
		c.Store = NewStore(filepath.Join(t.TempDir(), "x", "credentials.json"))
	}
	out, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	out.wait = func(context.Context, time.Duration) error { return nil }
	return out
}

func me(t *testing.T, s *Session) (UserResponse, error) {
	t.Helper()
	return Into[UserResponse](s.GetCurrentUserInfo(t.Context()))
}

func TestLoginKeepsTokensForTheNextProcess(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	s := srv.session(t, Config{})
	if _, err := me(t, s); !errors.Is(err, ErrNotLoggedIn) {
		t.Fatalf("before: %v", err)
	}
	var api *APIError
	if err := s.Login(t.Context(), "me@example.org", "wrong"); !errors.As(err, &api) || api.Status != 401 || api.Detail != "wrong e-mail or password" {
		t.Fatalf("wrong password: %v", err)
	}
	if err := s.Login(t.Context(), "me@example.org", "right"); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(s.cfg.Store.Path())
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	if err := s.UseProject(t.Context(), 42); err != nil || s.Project() != 42 {
		t.Fatal(err)
	}
	next := srv.session(t, Config{Store: s.cfg.Store})
	if u, err := me(t, next); err != nil || u.Email != "me@example.org" || next.Project() != 42 || srv.generated.Load() != 1 {
		t.Fatalf("next process: %+v %v", u, err)
	}
	if p := srv.session(t, Config{Store: s.cfg.Store, Project: 7}).Project(); p != 7 {
		t.Errorf("project %d: what is said wins over what was chosen", p)
	}
	if err := s.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := s.cfg.Store.Get(s.Server()); err != nil || c != (Credentials{LoggedOut: true}) {
		t.Fatalf("after logout: %+v %v", c, err)
	}
	if err := s.Logout(t.Context()); err != nil {
		t.Fatalf("a second logout: %v", err)
	}
}

func TestARefusedTokenIsRefreshedOnceForAll(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	s := srv.session(t, Config{})
	if err := s.Login(t.Context(), "me@example.org", "right"); err != nil {
		t.Fatal(err)
	}
	srv.valid.Delete("a1")
	other := srv.session(t, Config{Store: s.cfg.Store}) // another process
	var wg sync.WaitGroup
	for range 4 {
		for _, x := range []*Session{s, other} {
			wg.Go(func() {
				if _, err := me(t, x); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := srv.refreshed.Load(); n != 1 {
		t.Fatalf("refreshed %d times: a refresh token that is used twice ends the session", n)
	}
}

func TestTheOwnerOfThisMachineNeedsNoLogin(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	password := "right"
	local := func() (string, string, error) { return "owner@here", password, nil }
	s := srv.session(t, Config{Local: local})
	if _, err := me(t, s); err != nil {
		t.Fatal(err)
	}
	srv.valid.Delete("a1")
	srv.refresh.Delete("r1")
	if _, err := me(t, s); err != nil || srv.generated.Load() != 2 {
		t.Fatalf("a lost session is replaced: %v", err)
	}
	if err := s.update(t.Context(), func(c *Credentials) error {
		c.Email, c.AccessToken, c.RefreshToken = "else@example.org", "", ""
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := me(t, s); !errors.Is(err, ErrNotLoggedIn) {
		t.Fatalf("nobody becomes the owner silently: %v", err)
	}
	password = "changed"
	if _, err := me(t, srv.session(t, Config{Local: local})); !errors.Is(err, ErrNotLoggedIn) {
		t.Fatalf("a wrong password in the data directory: %v", err)
	}
	if _, err := me(t, srv.session(t, Config{Token: "nonsense"})); !errors.Is(err, ErrTokenRefused) || errors.Is(err, ErrNotLoggedIn) || !strings.Contains(err.Error(), "(HTTP 401)") {
		t.Fatalf("a token that is not accepted: %v", err)
	}
	srv.valid.Store("given", true)
	if _, err := me(t, srv.session(t, Config{Token: "given"})); err != nil {
		t.Fatal(err)
	}
}

// TestWhoHasLoggedOutStaysOut: the password of the owner lies in the data
// directory, and is not used against what the user has just said.
func TestWhoHasLoggedOutStaysOut(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	local := func() (string, string, error) { return "owner@example.org", "right", nil }
	s := srv.session(t, Config{Local: local})
	if s.LoggedIn() {
		t.Error("logged in before any login")
	}
	if err := s.Logout(t.Context()); err != nil || srv.generated.Load() != 0 {
		t.Fatalf("logged in %d times in order to log out, %v", srv.generated.Load(), err)
	}
	store := s.cfg.Store
	again := func() *Session { return srv.session(t, Config{Store: store, Local: local}) }
	if err := again().Authenticate(t.Context()); !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("authenticated by nobody: %v", err)
	}
	if _, err := me(t, again()); !errors.Is(err, ErrNotLoggedIn) || !strings.Contains(err.Error(), "commandcenter login") {
		t.Fatalf("after a logout without a login: %v", err)
	}
	s = again()
	if err := s.Login(t.Context(), "owner@example.org", "right"); err != nil {
		t.Fatal(err)
	}
	if _, err := me(t, again()); err != nil || !again().LoggedIn() {
		t.Fatalf("after a login: %v", err)
	}
	if err := s.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := me(t, s); !errors.Is(err, ErrNotLoggedIn) {
		t.Fatalf("after a logout, same process: %v", err)
	}
	if _, err := me(t, again()); !errors.Is(err, ErrNotLoggedIn) || srv.generated.Load() != 1 {
		t.Fatalf("after a logout, next process: %v, %d logins", err, srv.generated.Load())
	}
}

func TestReadsAndKeyedWritesAreSentAgainAndNothingElse(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	var mu sync.Mutex
	calls, bodies := map[string]int{}, map[string][]string{}
	flaky := srv.authenticated(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		key := r.Method + r.Header.Get("Idempotency-Key")
		calls[key]++
		bodies[key] = append(bodies[key], string(body))
		if calls[key] < 3 {
			w.Header().Set("Retry-After", "0")
			refuse(w, 503, `"not now"`)
			return
		}
		answer(w, map[string]int{"GET": 200, "POST": 201}[r.Method], map[string]string{"GET": `[]`, "POST": `{"id":5,"name":"n"}`}[r.Method])
	})
	srv.mux.HandleFunc("/api/v1/projects/", flaky)
	s := srv.session(t, Config{Local: func() (string, string, error) { return "o", "right", nil }})
	if _, err := Into[[]ProjectResponse](s.ListProjects(t.Context(), nil)); err != nil || calls["GET"] != 3 {
		t.Fatalf("a read: %d calls, %v", calls["GET"], err)
	}
	key := "k1"
	resp, err := s.CreateProject(t.Context(), &CreateProjectParams{IdempotencyKey: &key}, ProjectCreate{Name: "n"})
	p, err := Finish[ProjectResponse](t.Context(), s, resp, err)
	if err != nil || p.Id != 5 || calls["POSTk1"] != 3 {
		t.Fatalf("a keyed write: %d calls, %v", calls["POSTk1"], err)
	}
	if b := bodies["POSTk1"]; b[0] == "" || b[0] != b[2] {
		t.Fatalf("bodies differ: %q", b)
	}
	var api *APIError
	_, err = Into[ProjectResponse](s.CreateProject(t.Context(), nil, ProjectCreate{Name: "n"}))
	if !errors.As(err, &api) || api.Status != 503 || calls["POST"] != 1 {
		t.Fatalf("a write without a key: %d calls, %v", calls["POST"], err)
	}
	calls["GET"] = 0
	once := srv.session(t, Config{Token: "a1", Once: true})
	if _, err := Into[[]ProjectResponse](once.ListProjects(t.Context(), nil)); !errors.As(err, &api) || calls["GET"] != 1 {
		t.Fatalf("once: %d calls, %v", calls["GET"], err)
	}
}

func TestAPauseThatTheServerAsksForIsTakenWithinOnesPatience(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	var calls atomic.Int64
	srv.mux.HandleFunc("/api/v1/projects/", func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.Header().Set("Retry-After", "50")
			refuse(w, 429, `"so many a minute"`)
			return
		}
		answer(w, 200, `[]`)
	})
	list := func(c Config) error {
		calls.Store(0)
		c.Token = "t"
		_, err := Into[[]ProjectResponse](srv.session(t, c).ListProjects(t.Context(), nil))
		return err
	}
	var api *APIError
	if err := list(Config{}); !errors.As(err, &api) || api.Status != 429 || calls.Load() != 1 {
		t.Errorf("without patience: %d calls, %v", calls.Load(), err)
	}
	var told []string
	err := list(Config{Patience: time.Minute, Paused: func(d time.Duration, status int) { told = append(told, fmt.Sprint(d, status)) }})
	if err != nil || calls.Load() != 2 || len(told) != 1 || told[0] != "50s 429" {
		t.Errorf("with patience: %d calls, told %q, %v", calls.Load(), told, err)
	}
}

func TestWhoIsToldToComeBackComesBackUntilPatienceEnds(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	var calls atomic.Int64
	srv.mux.HandleFunc("/api/v1/projects/", func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) <= 10 { // more than a failing call is tried
			w.Header().Set("Retry-After", "1")
			refuse(w, 429, `"so many a minute"`)
			return
		}
		answer(w, 200, `[]`)
	})
	s := srv.session(t, Config{Token: "t"})
	if _, err := Into[[]ProjectResponse](s.ListProjects(t.Context(), nil)); err != nil || calls.Load() != 11 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	calls.Store(0)
	s = srv.session(t, Config{Token: "t", Patience: 5 * time.Second})
	var api *APIError
	if _, err := Into[[]ProjectResponse](s.ListProjects(t.Context(), nil)); !errors.As(err, &api) || api.Status != 429 || calls.Load() != 6 {
		t.Errorf("with little patience: %d calls, %v", calls.Load(), err)
	}
}

func TestAWriteThatIsStillInHandIsSentAgainAndAConflictIsNot(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	var calls atomic.Int64
	srv.mux.HandleFunc("POST /api/v1/projects/", func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) <= 10 {
			w.Header().Set("Retry-After", "1")
			refuse(w, 409, `"in hand"`)
			return
		}
		refuse(w, 409, `"the name is taken"`)
	})
	key := "k"
	var api *APIError
	_, err := Into[ProjectResponse](srv.session(t, Config{Token: "t"}).CreateProject(t.Context(), &CreateProjectParams{IdempotencyKey: &key}, ProjectCreate{Name: "p"}))
	if !errors.As(err, &api) || api.Detail != "the name is taken" || calls.Load() != 11 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	s := srv.session(t, Config{Token: "x"})
	srv.Close()
	var gone *UnreachableError
	_, err := me(t, s)
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), s.Server()) || !strings.Contains(err.Error(), "commandcenter up") || gone.Unwrap() == nil {
		t.Fatalf("err = %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := Into[UserResponse](s.GetCurrentUserInfo(ctx)); !errors.Is(err, stop) {
		t.Fatalf("err = %v, want the cause", err)
	}
	for _, bad := range []string{"", "localhost:8000", "ftp://x", "http://"} {
		if _, err := New(Config{Server: bad, Store: NewStore(filepath.Join(t.TempDir(), "c"))}); err == nil {
			t.Errorf("server %q was accepted", bad)
		}
	}
}

func TestALaterAnswerIsWaitedFor(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	var polls atomic.Int64
	outcome := `"succeeded","http_status":201,"answer":{"id":9,"name":"late"}`
	srv.mux.HandleFunc("POST /api/v1/projects/", srv.authenticated(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/api/v1/operations/op-1")
		answer(w, 202, `{"id":"op-1","status":"pending"}`)
	}))
	srv.mux.HandleFunc("GET /api/v1/operations/op-1", srv.authenticated(func(w http.ResponseWriter, _ *http.Request) {
		status := `"pending","http_status":null,"answer":null`
		if polls.Add(1) > 2 {
			status = outcome
		}
		answer(w, 200, `{"id":"op-1","operation":"createProject","created_by":"user:1","accepted_at":"2026-01-01T00:00:00Z","finished_at":null,"status":`+status+`}`)
	}))
	s := srv.session(t, Config{Local: func() (string, string, error) { return "o", "right", nil }})
	create := func() (ProjectResponse, error) {
		key := "k"
		resp, err := s.CreateProject(t.Context(), &CreateProjectParams{IdempotencyKey: &key}, ProjectCreate{Name: "late"})
		return Finish[ProjectResponse](t.Context(), s, resp, err)
	}
	if p, err := create(); err != nil || p.Id != 9 || polls.Load() != 3 {
		t.Fatalf("%+v %v after %d polls", p, err, polls.Load())
	}
	outcome = `"failed","http_status":409,"answer":{"title":"Conflict","detail":"taken"}`
	var api *APIError
	if _, err := create(); !errors.As(err, &api) || api.Status != 409 || api.Detail != "taken" {
		t.Fatalf("a refusal: %v", err)
	}
	outcome = `"failed","http_status":null,"answer":null`
	if _, err := create(); !errors.As(err, &api) || api.Status != 500 {
		t.Fatalf("a failure: %v", err)
	}
	outcome = `"succeeded","http_status":204,"answer":null`
	if _, err := create(); err != nil {
		t.Fatal(err)
	}
	polls.Store(-1 << 40)
	s.wait = func(context.Context, time.Duration) error { return errors.New("no more time") }
	if _, err := create(); err == nil || !strings.Contains(err.Error(), "op-1 is still pending") {
		t.Fatalf("out of time: %v", err)
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"title":"T","detail":"a sentence","request_id":"q"}`:                                                                   "a sentence (HTTP 422)",
		`{"detail":[{"loc":["body","name"],"msg":"is short"},{"loc":["query","limit"],"msg":"too large"},{"loc":[],"msg":"x"}]}`: "name: is short; limit: too large; : x (HTTP 422)",
		`{"title":"Only a title"}`: "Only a title (HTTP 422)",
		`<html>a proxy</html>`:     "Unprocessable Entity (HTTP 422)",
	} {
		if got := problem(&http.Response{StatusCode: 422}, []byte(body)).Error(); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	later := problem(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"557"}}}, []byte(`{"detail":"Rate limit exceeded: 5 per 1 hour"}`))
	if got, want := later.Error(), "Rate limit exceeded: 5 per 1 hour (HTTP 429); try again in 9m17s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (&APIError{Status: 500, Title: "T", RequestID: "q7"}).Error(); !strings.Contains(got, "q7") {
		t.Errorf("a fault without its request id: %q", got)
	}
}

func TestADamagedStoreIsNotOverwritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Server: "http://x", Store: NewStore(path)}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("err = %v", err)
	}
	if err := NewStore(path).Update(t.Context(), "http://x", func(*Credentials) error { return nil }); err == nil {
		t.Fatal("it was overwritten")
	}
}

func TestTheChosenProjectIsNamedWhereACallWorksInIt(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			want := op.Extensions["x-project"] == "current" || op.OperationID == "callTool" // for the tools that are told none
			if inProject(path) != want {
				t.Errorf("%s %s: X-Project-ID is sent: %v", op.OperationID, path, !want)
			}
		}
	}
}
