package cli

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// chosen is a server at which somebody is logged in here, and has chosen project 7.
func chosen(t *testing.T, answers map[string]string) (s *told, project func() int64) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	s = &told{answers: answers}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	t.Setenv("CC_SERVER", srv.URL)
	answers["POST /api/v1/auth/login"] = `{"access_token":"a","refresh_token":"r","token_type":"bearer","expires_in":1800}`
	answers["GET /api/v1/auth/me"] = oneUser
	if code, _, errs := cc(t, "pass\n", "login", "--email", "jo@example.org", "--password-stdin"); code != exitOK {
		t.Fatalf("login: %d %s", code, errs)
	}
	store := client.NewStore(credentialsFile())
	if err := store.Update(t.Context(), srv.URL, func(c *client.Credentials) error { c.Project = 7; return nil }); err != nil {
		t.Fatal(err)
	}
	return s, func() int64 {
		c, err := store.Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		return c.Project
	}
}

const oneProject = `{"id":7,"name":"Apollo","owner":"al@example.org","description":null,"role":"member","created_at":"2026-01-02T03:04:05Z","updated_at":null}`

func TestAProjectThatIsNobodysHereIsForgotten(t *testing.T) { // not parallel: the environment
	for name, c := range map[string]struct {
		answers map[string]string
		words   string
		code    int
		says    string
		keeps   int64
	}{
		"left":          {map[string]string{"POST /api/v1/projects/7/leave": ""}, "member leave", exitOK, "no member of project 7", 0},
		"left, another": {map[string]string{"POST /api/v1/projects/8/leave": ""}, "member leave --project 8", exitOK, "no member of project 8", 7},
		"removed by somebody": {map[string]string{"GET /api/v1/keys": `403 {"detail":"no member"}`, "GET /api/v1/projects/7": `404 {"detail":"Project not found"}`},
			"key list", exitAuth, "project use", 0},
		"deleted by somebody": {map[string]string{"GET /api/v1/projects/7/members": `404 {"detail":"Project not found"}`}, "member list", exitNotFound, "project use", 0},
		"a member who may not": {map[string]string{"GET /api/v1/keys": `403 {"detail":"takes an admin"}`, "GET /api/v1/projects/7": oneProject},
			"key list", exitAuth, "takes an admin", 7},
		"a server that fails then": {map[string]string{"GET /api/v1/keys": `403 {"detail":"no member"}`, "GET /api/v1/projects/7": `500 {"detail":"oops"}`},
			"key list", exitAuth, "no member", 7},
		"named by a flag": {map[string]string{"GET /api/v1/keys": `403 {"detail":"no member"}`, "GET /api/v1/projects/9": `404 {"detail":"Project not found"}`},
			"key list --project 9", exitAuth, "client.project (flag)", 7},
	} {
		t.Run(name, func(t *testing.T) {
			_, project := chosen(t, c.answers)
			code, out, errs := cc(t, "", strings.Fields(c.words)...)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("%d %s%s, want %d and %q", code, out, errs, c.code, c.says)
			}
			if c.keeps == 7 && code != exitOK && strings.Contains(errs, "project use") {
				t.Errorf("it hints at nothing: %s", errs)
			}
			if got := project(); got != c.keeps {
				t.Errorf("project %d is in use, want %d", got, c.keeps)
			}
		})
	}
}

func TestWhoRegistersTwiceByOneInvitationGetsTheSameAnswer(t *testing.T) { // not parallel: the environment
	const accept = "invitation accept cci_x --register --email jo@example.org --password-stdin"
	answers := map[string]string{"POST /api/v1/auth/register": "201 " + oneUser, "POST /api/v1/invitations/accept": oneProject}
	s, _ := chosen(t, answers)
	again := func(says string, want int) string {
		t.Helper()
		code, out, errs := cc(t, "correct horse\n", strings.Fields(accept)...)
		if code != want || !strings.Contains(out+errs, says) {
			t.Errorf("%d %s%s, want %d and %q", code, out, errs, want, says)
		}
		return out
	}
	first := again("project 7, Apollo", exitOK)
	answers["POST /api/v1/auth/register"] = `404 {"detail":"this invitation is not valid"}`
	if second := again("project 7, Apollo", exitOK); second != first {
		t.Errorf("the second time %q, the first %q", second, first)
	}
	if got := s.last(); got != `POST /api/v1/invitations/accept {"token":"cci_x"}` {
		t.Errorf("asked %s", got)
	}
	// It was used by somebody else, and nobody has this password.
	answers["POST /api/v1/auth/login"] = `401 {"detail":"incorrect"}`
	again("not valid", exitNotFound)
	// That an address has an account is no proof of anything.
	answers["POST /api/v1/auth/register"] = `409 {"detail":"already registered"}`
	before := len(s.calls)
	again("already registered", exitRefused)
	if len(s.calls) != before+1 {
		t.Errorf("asked %v", s.calls[before:])
	}
	if _, err := os.Stat(credentialsFile()); err != nil {
		t.Error(err)
	}
}
