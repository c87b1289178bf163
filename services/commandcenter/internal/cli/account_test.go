package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// told is a server that answers from a table and keeps what it was asked.
type told struct {
	mu      sync.Mutex
	calls   []string // "METHOD path?query body"
	answers map[string]string
}

func (s *told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	w.Header().Set("Content-Type", "application/json")
	answer, ok := s.answers[r.Method+" "+r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		answer = `{"detail":"not found"}`
	}
	if status, rest, ok := strings.Cut(answer, " "); ok && len(status) == 3 {
		if code, err := strconv.Atoi(status); err == nil {
			w.WriteHeader(code)
			answer = rest
		}
	}
	if answer == "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_, _ = io.WriteString(w, answer)
}

func (s *told) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[len(s.calls)-1]
}

// tell starts a server and returns what runs a command line against it.
func tell(t *testing.T, answers map[string]string) (*told, func(in string, words ...string) (int, string, string)) {
	t.Helper()
	s := &told{answers: answers}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "client:\n  server: %s\n  token: t\n", srv.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, func(in string, words ...string) (int, string, string) {
		return cc(t, in, append(words, "--config", file)...)
	}
}

const (
	oneKey = `{"id":"k-1","name":"ci","prefix":"abcdefgh","scopes":["knowledge:read"],"project_id":1,"holder":"user:1","created_by":"user:1",` +
		`"created_at":"2026-01-02T03:04:05Z","expires_at":null,"last_used_at":null}`
	otherKey   = `{"id":"k-2","name":"ci","prefix":"zyxwvuts","scopes":["*:read"],"project_id":1,"holder":"user:1","created_by":"user:1","created_at":"2026-01-02T03:04:05Z","expires_at":null,"last_used_at":null}`
	oneAccount = `{"id":3,"name":"deploy","role":"member","created_by":"user:1","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	oneUser    = `{"id":2,"email":"jo@example.org","full_name":null,"is_active":false,"is_superuser":true,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","last_login_at":null}`
)

func TestANewKeyIsAloneOnStandardOutput(t *testing.T) {
	t.Parallel()
	s, run := tell(t, map[string]string{
		"POST /api/v1/keys": `{"secret":"cc_abcdefgh_x","key":` + oneKey + `}`, "GET /api/v1/keys": `[` + oneKey + `]`,
		"POST /api/v1/keys/k-1/rotate": `{"secret":"cc_new","key":` + oneKey + `}`,
		"GET /api/v1/service-accounts": `[` + oneAccount + `]`, "POST /api/v1/service-accounts/3/keys": `{"secret":"cc_its","key":` + oneKey + `}`,
	})
	code, out, errs := run("", "key", "create", "ci", "--scope", "knowledge:read", "--scope", "events:read")
	if code != exitOK || out != "cc_abcdefgh_x\n" || !strings.Contains(errs, "not shown again") {
		t.Errorf("create: %d %q %q", code, out, errs)
	}
	if got := s.last(); got != `POST /api/v1/keys {"name":"ci","scopes":["knowledge:read","events:read"]}` {
		t.Errorf("asked %s", got)
	}
	if code, out, _ := run("", "key", "create", "ci", "--scope", "*:read", "--service-account", "Deploy", "--expires", "90d"); code != exitOK || out != "cc_its\n" || !strings.Contains(s.last(), `"expires_at":"`) {
		t.Errorf("of a service account: %d %q, asked %s", code, out, s.last())
	}
	if code, _, errs := run("", "key", "create", "ci", "--scope", "*:read", "--service-account", "other"); code != exitNotFound || !strings.Contains(errs, "no service account") {
		t.Errorf("of an unknown one: %d %s", code, errs)
	}
	if code, out, _ := run("", "key", "rotate", "ci", "--overlap", "1h"); code != exitOK || out != "cc_new\n" || !strings.Contains(s.last(), `{"overlap_seconds":3600}`) {
		t.Errorf("rotate: %d %q, asked %s", code, out, s.last())
	}
	for _, words := range [][]string{{"key", "create", "ci"}, {"key", "create", "ci", "--scope", "*:read", "--expires", "soon"}} {
		if code, _, errs := run("", words...); code != exitUsage || !strings.Contains(errs, "error:") {
			t.Errorf("%v: %d %s", words, code, errs)
		}
	}
}

func TestKeysAreNamedByIDPrefixOrName(t *testing.T) {
	t.Parallel()
	s, run := tell(t, map[string]string{
		"GET /api/v1/keys": `[` + oneKey + `,` + otherKey + `]`, "DELETE /api/v1/keys/k-1": "", "DELETE /api/v1/keys/k-2": "",
	})
	for want, id := range map[string]string{"k-1": "k-1", "zyxwvuts": "k-2"} {
		if code, out, _ := run("", "key", "revoke", want); code != exitOK || !strings.Contains(out, "has ended") || !strings.HasPrefix(s.last(), "DELETE /api/v1/keys/"+id) {
			t.Errorf("%s: %d %s, asked %s", want, code, out, s.last())
		}
	}
	if code, _, errs := run("", "key", "revoke", "ci"); code != exitUsage || !strings.Contains(errs, "2 keys") {
		t.Errorf("a name of two: %d %s", code, errs)
	}
	if code, _, errs := run("", "key", "revoke", "none"); code != exitNotFound || !strings.Contains(errs, "no key") {
		t.Errorf("none: %d %s", code, errs)
	}
	if code, out, _ := run("", "key", "list", "--all"); code != exitOK || !strings.Contains(out, "abcdefgh") || !strings.Contains(s.last(), "all=true") {
		t.Errorf("list: %d %s", code, out)
	}
}

func TestServiceAccountsAreMadeChangedAndEnded(t *testing.T) {
	t.Parallel()
	s, run := tell(t, map[string]string{
		"GET /api/v1/service-accounts": `[` + oneAccount + `]`, "POST /api/v1/service-accounts": oneAccount, "PATCH /api/v1/service-accounts/3": oneAccount, "DELETE /api/v1/service-accounts/3": "",
	})
	for _, c := range []struct {
		words      string
		says, asks string
	}{
		{"service-account list", "deploy", "GET /api/v1/service-accounts"},
		{"service-account create deploy --role admin", "is member", `POST /api/v1/service-accounts {"name":"deploy","role":"admin"}`},
		{"service-account role 3 viewer", "is member", `PATCH /api/v1/service-accounts/3 {"role":"viewer"}`},
		{"service-account delete deploy", "have ended", "DELETE /api/v1/service-accounts/3"},
	} {
		if code, out, errs := run("", strings.Fields(c.words)...); code != exitOK || !strings.Contains(out, c.says) || s.last() != c.asks {
			t.Errorf("%s: %d %s%s, asked %s", c.words, code, out, errs, s.last())
		}
	}
}

func TestAccountsAreListedAndSwitched(t *testing.T) {
	t.Parallel()
	s, run := tell(t, map[string]string{
		"GET /api/v1/users": `{"items":[` + oneUser + `],"total":1,"skip":0,"limit":1000}`, "GET /api/v1/users/2": oneUser,
		"POST /api/v1/users/2/deactivate": oneUser, "POST /api/v1/users/2/reactivate": oneUser,
	})
	for _, c := range []struct{ words, says, asks string }{
		{"user list --state inactive --search jo", "inactive, superuser", "GET /api/v1/users?search=jo&active=false&skip=0&limit=1000"},
		{"user deactivate JO@example.org", "jo@example.org is inactive", "POST /api/v1/users/2/deactivate"},
		{"user reactivate 2", "jo@example.org", "POST /api/v1/users/2/reactivate"},
	} {
		if code, out, errs := run("", strings.Fields(c.words)...); code != exitOK || !strings.Contains(out, c.says) || s.last() != c.asks {
			t.Errorf("%s: %d %s%s, asked %s", c.words, code, out, errs, s.last())
		}
	}
	if code, _, _ := run("", "user", "deactivate", "al@example.org"); code != exitNotFound {
		t.Errorf("an unknown one: %d", code)
	}
	if code, _, _ := run("", "user", "list", "--state", "odd"); code != exitUsage {
		t.Errorf("an odd state: %d", code)
	}
}

func TestSessionsPasswordAndLimitsOfOnesOwn(t *testing.T) {
	t.Parallel()
	s, run := tell(t, map[string]string{
		"GET /api/v1/auth/sessions":    `[{"id":"s-1","created_at":"2026-01-02T03:04:05Z","used_at":"2026-01-02T03:04:05Z","expires_at":"2026-01-03T03:04:05Z","current":true}]`,
		"DELETE /api/v1/auth/sessions": `{"message":"x"}`, "DELETE /api/v1/auth/sessions/s-1": "", "PUT /api/v1/auth/password": `{"message":"Password changed"}`,
		"GET /api/v1/limits":           `[{"class":"reads","limit":"600/minute","instance":"600/minute","project":null,"raised":false},{"class":"writes","limit":"9/day","instance":null,"project":"9/day","raised":true}]`,
		"PUT /api/v1/limits/writes":    `{"class":"writes","limit":"9/day","raised":false,"set_by":"user:1","set_at":"2026-01-02T03:04:05Z"}`,
		"DELETE /api/v1/limits/writes": "",
	})
	for _, c := range []struct{ words, in, says, asks string }{
		{"session list", "", "*", "GET /api/v1/auth/sessions"},
		{"session end s-1", "", "Ended", "DELETE /api/v1/auth/sessions/s-1"},
		{"session end --all", "", "everywhere", "DELETE /api/v1/auth/sessions"},
		{"password change --password-stdin", "old one\nnew one\n", "Password changed.", `PUT /api/v1/auth/password {"new_password":"new one","old_password":"old one"}`},
		{"limits show", "", "by a superuser", "GET /api/v1/limits"},
		{"limits set writes 9/day", "", "9/day", `PUT /api/v1/limits/writes {"limit":"9/day"}`},
		{"limits reset writes", "", "instance holds", "DELETE /api/v1/limits/writes"},
	} {
		if code, out, errs := run(c.in, strings.Fields(c.words)...); code != exitOK || !strings.Contains(out, c.says) || s.last() != c.asks {
			t.Errorf("%s: %d %s%s, asked %s", c.words, code, out, errs, s.last())
		}
	}
	for _, c := range []struct{ words, in string }{{"session end", ""}, {"session end s-1 --all", ""}, {"password change --password-stdin", "one line"}, {"password change", ""}} {
		if code, _, errs := run(c.in, strings.Fields(c.words)...); code != exitUsage {
			t.Errorf("%s: %d %s", c.words, code, errs)
		}
	}
}

func TestTimesToComeAreReadInDaysToo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90d": now.AddDate(0, 0, 90), "1d12h": now.Add(36 * time.Hour), "12h": now.Add(12 * time.Hour), "1h30m": now.Add(90 * time.Minute), "2027-01-31": time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := until(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "soon", "0d", "-1h", "-3d", "1.5d", "1d-2h", "d", "2027-13-01"} {
		if got, err := until(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// A key has a project of its own: what the login on this machine has chosen is
// of no interest to it.
func TestAKeyIsSentWithoutTheProjectOfTheLogin(t *testing.T) { // not parallel: the environment
	var project, bearer string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		project, bearer = r.Header.Get("X-Project-ID"), r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `[]`)
	}))
	defer srv.Close()
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	if err := os.MkdirAll(filepath.Dir(credentialsFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(map[string]any{srv.URL: map[string]any{"email": "a@b.io", "project": 7}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(credentialsFile(), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CC_SERVER", srv.URL)
	for token, want := range map[string]string{"a.b.c": "7", "cc_abcdefgh_x": ""} {
		t.Setenv("CC_TOKEN", token)
		if code, _, errs := cc(t, "", "key", "list"); code != exitOK || project != want || bearer != "Bearer "+token {
			t.Errorf("%s: %d %s, project %q as %q", token, code, errs, project, bearer)
		}
	}
}
