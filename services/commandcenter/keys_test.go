package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestProgramsAndPeopleAreCutOff follows keys of a person and of a service
// account through the product, from the command line that makes them to the fact
// that ends them.
func TestProgramsAndPeopleAreCutOff(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := here(t, dir, "--no-sample")
	p.loginOwner(dir)
	type session struct {
		Address, Client string
		Current         bool
	}
	var sessions []session
	p.must(&sessions, "session", "list")
	if i := slices.IndexFunc(sessions, func(s session) bool { return s.Current }); i < 0 || sessions[i].Address != "127.0.0.1" || !strings.HasPrefix(sessions[i].Client, "commandcenter/") {
		t.Errorf("the session of this login: %+v", sessions)
	}
	anybody := p.caller("")
	anybody.json("POST", "/api/v1/auth/register", map[string]string{"email": "ada@example.org", "password": "correct horse battery"}, 201, nil)
	ada := p.login("ada@example.org", "correct horse battery")
	var made struct {
		Secret string `json:"secret"`
		Key    struct {
			ID string `json:"id"`
		} `json:"key"`
	}
	ada.json("POST", "/api/v1/keys", map[string]any{"name": "hers", "scopes": []string{"knowledge:write"}}, 201, &made)
	hers := p.caller(made.Secret)
	ada.json("POST", "/api/v1/keys", map[string]any{"name": "x", "scopes": []string{"nonsense:read"}}, 422, nil) // not a tag of the contract

	text := map[string]string{"title": "t", "content": "by a program", "category": "c"}
	hers.json("POST", "/api/v1/knowledge/documents/text", text, 201, nil)
	for path, want := range map[string]int{
		"/api/v1/knowledge/categories": 200, "/api/v1/limits": 403, // not in its scopes
		"/api/v1/keys": 403, "/api/v1/auth/sessions": 403, // not for keys
	} {
		hers.json("GET", path, nil, want, nil)
	}

	// A service account writes what is its own, and is nobody.
	var its struct {
		Secret string `json:"secret"`
	}
	p.must(nil, "service-account", "create", "deploy", "--role", "member")
	p.must(&its, "key", "create", "deploy", "--service-account", "deploy", "--scope", "*:admin", "--expires", "1d")
	deploy := p.caller(its.Secret)
	var doc struct {
		ID        int64  `json:"id"`
		CreatedBy string `json:"created_by"`
	}
	deploy.json("POST", "/api/v1/knowledge/documents/text", text, 201, &doc)
	deploy.json("GET", "/api/v1/knowledge/documents/"+strconv.FormatInt(doc.ID, 10), nil, 200, &doc)
	if !strings.HasPrefix(doc.CreatedBy, "service-account:") {
		t.Errorf("written by %q", doc.CreatedBy)
	}
	deploy.json("PUT", "/api/v1/limits/writes", map[string]string{"limit": "9/second"}, 403, nil) // beyond its role
	deploy.json("GET", "/api/v1/auth/me", nil, 403, nil)

	// Everything of somebody who is switched off stops; and goes on again.
	ends := func(c *caller, want int) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for {
			status, _, answer, err := c.do("GET", "/api/v1/knowledge/categories", "", nil)
			switch {
			case err != nil:
				t.Fatal(err)
			case status == want:
				return
			case time.Now().After(deadline):
				t.Fatalf("still %d %s", status, answer)
			}
		}
	}
	p.must(nil, "user", "deactivate", "ada@example.org")
	ends(hers, 401)
	ends(ada, 403)
	anybody.json("POST", "/api/v1/auth/login", map[string]string{"email": "ada@example.org", "password": "correct horse battery"}, 403, nil)
	p.must(nil, "user", "reactivate", "ada@example.org")
	ends(hers, 200)
	ends(ada, 401) // her session has ended for good
	ada = p.login("ada@example.org", "correct horse battery")
	ada.json("DELETE", "/api/v1/keys/"+made.Key.ID, nil, 204, nil)
	ends(hers, 401)

	lostPassword(t, p)

	p.must(nil, "service-account", "role", "deploy", "viewer")
	p.must(nil, "service-account", "delete", "deploy")
	ends(deploy, 401)
	if code, _, errs := p.cc("user", "deactivate", "1"); code != 6 || !strings.Contains(errs, "last superuser") {
		t.Errorf("the last superuser: %d %s", code, errs)
	}
}

// lostPassword gives somebody a password anew, and then the only superuser, whom
// nobody could help but whoever has the machine.
func lostPassword(t *testing.T, p *product) {
	t.Helper()
	type reset struct {
		Email, Token string
	}
	use := func(r reset, fresh string, want int) {
		t.Helper()
		in := strings.NewReader(r.Token + "\n" + fresh + "\n")
		if code, _, errs := runIn(t.Context(), in, "password", "reset", "-", "--password-stdin", "--data-dir", p.dir, "--server", p.url); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", r.Email, code, want, errs)
		}
	}
	var ada, owner reset
	p.must(&ada, "user", "reset-password", "ada@example.org")
	use(ada, "password1", 6)
	use(ada, "staple battery horse", 0)
	use(ada, "another staple battery", 3)
	p.login("ada@example.org", "staple battery horse")
	if code, _, errs := p.cc("user", "reset-password", "nobody@example.org", "--local"); code != 4 || !strings.Contains(errs, "nobody@example.org") {
		t.Errorf("an account that is none: %d %s", code, errs)
	}

	was, err := os.ReadFile(filepath.Join(p.dir, "owner-password"))
	if err != nil {
		t.Fatal(err)
	}
	p.must(&owner, "user", "reset-password", "owner@commandcenter.local", "--local")
	use(owner, "the owner chose this", 0)
	if status, _, _, err := p.caller("").do("POST", "/api/v1/auth/login", "application/json", []byte(`{"email":"owner@commandcenter.local","password":"`+strings.TrimSpace(string(was))+`"}`)); err != nil || status != 401 {
		t.Errorf("the password of before: %d, %v", status, err)
	}
	if code, _, errs := p.cc("login"); code != 3 || !strings.Contains(errs, "not the owner's password any more") {
		t.Errorf("a login by the password of before: %d %s", code, errs)
	}
	if code, _, errs := runIn(t.Context(), strings.NewReader("the owner chose this\n"), "login", "--email", "owner@commandcenter.local", "--password-stdin", "--data-dir", p.dir, "--server", p.url); code != 0 {
		t.Errorf("a login by the one that was chosen: %d %s", code, errs)
	}
	root := p.login("owner@commandcenter.local", "the owner chose this")
	root.auditedWhen(func(all []auditEntry) bool {
		return slices.ContainsFunc(all, func(e auditEntry) bool {
			return e.Operation == "issuePasswordReset" && strings.HasPrefix(e.Actor, "operator:") && slices.Contains(e.Target, struct{ Name, Value string }{"user_id", "1"})
		})
	})
	// The owner's password on the machine is the one of before again, for what comes.
	root.json("PUT", "/api/v1/auth/password", map[string]string{"old_password": "the owner chose this", "new_password": strings.TrimSpace(string(was))}, 200, nil)
}
