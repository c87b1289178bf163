package main_test

import (
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

	p.must(nil, "service-account", "role", "deploy", "viewer")
	p.must(nil, "service-account", "delete", "deploy")
	ends(deploy, 401)
	if code, _, errs := p.cc("user", "deactivate", "1"); code != 6 || !strings.Contains(errs, "last superuser") {
		t.Errorf("the last superuser: %d %s", code, errs)
	}
}
