package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// operationServer answers questions for an operation: pending so often, then as
// it ended. It returns the settings file of who asks it.
func operationServer(t *testing.T, pending int32, ended string) (config string) {
	t.Helper()
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasSuffix(r.URL.Path, "/operations/p1.knowledge.x") {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"title":"Not Found","status":404,"detail":"Operation not found"}`)
			return
		}
		state := ended
		if asked.Add(1) <= pending {
			state = `"status":"pending","http_status":null,"answer":null,"started_at":null,"finished_at":null`
		}
		fmt.Fprintf(w, `{"id":"p1.knowledge.x","operation":"addDocument","created_by":"user:7","accepted_at":"2026-01-02T03:04:05Z",%s}`, state)
	}))
	t.Cleanup(srv.Close)
	config = filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "client:\n  server: %s\n  token: t\n", srv.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

const (
	endedWell  = `"status":"succeeded","http_status":201,"answer":{"id":3,"filename":"a\u009bb.md"},"started_at":"2026-01-02T03:04:05.25Z","finished_at":"2026-01-02T03:04:06.5Z"`
	endedBadly = `"status":"failed","http_status":409,"answer":{"title":"Conflict","status":409,"detail":"the name is taken"},"started_at":null,"finished_at":"2026-01-02T03:04:06Z"`
)

func TestWaitingForAnOperationEndsAsItsWriteWould(t *testing.T) {
	t.Parallel()
	well, badly := operationServer(t, 2, endedWell), operationServer(t, 0, endedBadly)
	code, out, errs := cc(t, "", "operation", "wait", "/api/v1/operations/p1.knowledge.x", "--config", well)
	if code != exitOK || strings.Count(errs, "addDocument waits since ") != 1 {
		t.Errorf("%d %s", code, errs)
	}
	for _, want := range []string{"addDocument  succeeded (201)", "by        user:7", "started   250ms later", "finished  1.5s later", `"filename": "ab.md"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	code, out, errs = cc(t, "", "operation", "wait", "p1.knowledge.x", "--json", "--config", badly)
	if code != exitRefused || !strings.Contains(out, `"status":"failed"`) || !strings.Contains(errs, `"error":"addDocument: the name is taken (HTTP 409)"`) {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, out, errs = cc(t, "", "operation", "show", "p1.knowledge.x", "--config", badly); code != exitOK || !strings.Contains(out, "failed (409)") || errs != "" {
		t.Errorf("shown: %d %s%s", code, out, errs)
	}
	for _, verb := range []string{"show", "wait"} {
		if code, _, errs := cc(t, "", "operation", verb, "p1.knowledge.y", "--config", badly); code != exitNotFound || !strings.Contains(errs, "Operation not found") {
			t.Errorf("%s of nothing: %d %s", verb, code, errs)
		}
	}
}

// The project of the settings may be one that its user was put out of.
func TestOperationsOfTheInstanceAreAskedForInNoProject(t *testing.T) {
	t.Parallel()
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("instance")+" in "+r.Header.Get("X-Project-ID"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"items":[],"next":null,"complete":true}`)
	}))
	t.Cleanup(srv.Close)
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "client:\n  server: %s\n  token: t\n  project: 7\n", srv.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--instance"}, {}} {
		if code, _, errs := cc(t, "", append([]string{"operation", "list", "--config", config}, args...)...); code != exitOK {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
	if got := strings.Join(asked, ", "); got != "true in ,  in 7" {
		t.Errorf("asked %q", got)
	}
}

func TestWaitingForAnOperationGivesUpInTime(t *testing.T) {
	t.Parallel()
	config := operationServer(t, 1<<30, "")
	code, out, errs := cc(t, "", "operation", "wait", "p1.knowledge.x", "--timeout", "50ms", "--config", config)
	if code != exitUnavailable || out != "" || !strings.Contains(errs, "operation p1.knowledge.x is still pending after 50ms") {
		t.Errorf("%d %q %s", code, out, errs)
	}
	if code, out, _ := cc(t, "", "operation", "show", "p1.knowledge.x", "--config", config); code != exitOK || !strings.Contains(out, "addDocument  pending\n") {
		t.Errorf("shown: %d %s", code, out)
	}
}
