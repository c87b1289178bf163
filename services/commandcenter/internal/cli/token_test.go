package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctorKnowsATokenThatIsGood: a key that may not ask whose it is has been
// recognised, and one that is refused is not mended by a login.
func TestDoctorKnowsATokenThatIsGood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status       int
		detail, want string
		says, never  string
	}{
		{http.StatusForbidden, "a service account is nobody's account", findingOK, "CC_TOKEN is accepted", "commandcenter login"},
		{http.StatusUnauthorized, "The API key has expired", findingFail, "The API key has expired", "commandcenter login"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v1/auth/me" {
				fmt.Fprint(w, `{"status":"healthy","version":"1","components":{}}`)
				return
			}
			w.WriteHeader(c.status)
			fmt.Fprintf(w, `{"detail":%q}`, c.detail)
		}))
		t.Cleanup(srv.Close)
		dir := t.TempDir()
		file := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, "data_dir: %s\nclient:\n  server: %s\n  token: cc_x\n", filepath.Join(dir, "data"), srv.URL), 0o600); err != nil {
			t.Fatal(err)
		}
		_, out, errs := cc(t, "", "doctor", "--json", "--config", file)
		var all []finding
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%v: %s%s", err, out, errs)
		}
		f := all[len(all)-1]
		if f.Part != "login" || f.Status != c.want || !strings.Contains(f.Detail, c.says) || strings.Contains(f.Detail+f.Fix, c.never) {
			t.Errorf("%d: %+v", c.status, f)
		}
	}
}

func TestOwnershipIsNoRoleToGive(t *testing.T) {
	t.Parallel()
	code, _, errs := cc(t, "", "member", "role", "jo@example.org", "owner", "--server", "http://127.0.0.1:1")
	if code != exitUsage || !strings.Contains(errs, "member transfer jo@example.org") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestNobodyIsInvitedUntilYesterday(t *testing.T) {
	t.Parallel()
	if code, _, errs := cc(t, "", "member", "invite", "--days", "-1", "--server", "http://127.0.0.1:1"); code != exitUsage || !strings.Contains(errs, "--days") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestAnEmptyInputIsToldFromAFault(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{{"login", "--email", "jo@example.org", "--password-stdin"}, {"invitation", "accept", "-"}} {
		if code, _, errs := cc(t, "", append(words, "--server", "http://127.0.0.1:1")...); code != exitUsage || !strings.Contains(errs, "standard input has to hold") {
			t.Errorf("%v: exit code %d, %s", words, code, errs)
		}
	}
}

func TestDoctorNamesAVariableThatSetsNothing(t *testing.T) { // not parallel: the environment
	t.Setenv("CC_REGISTRATION", "closed")
	_, out, errs := cc(t, "", "doctor", "--json", "--server", "http://127.0.0.1:1", "--data-dir", t.TempDir())
	var all []finding
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) == 0 || all[0].Part != "settings" || all[0].Status != findingWarn || !strings.Contains(all[0].Detail, "CC_REGISTRATION") {
		t.Errorf("%v %+v %s", err, all, errs)
	}
}
