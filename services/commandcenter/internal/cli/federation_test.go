package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// federationServer knows more instances than it lists at a time, and removes all but
// "nobody". It returns the settings file of who asks it.
func federationServer(t *testing.T) (config string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/search"):
			fmt.Fprint(w, `{"summary":"1 of 1","instances":[],"results":[{"title":"Levers","heading_path":["Levers","Green"],"content":"Pull\n\n   the \u001b[31mgreen lever.","score":0.7,"instance":"south","project":"Handbook","category":"docs","source_file":"levers.md"}]}`)
		case r.Method == http.MethodGet:
			some := []string{}
			skip, err := strconv.Atoi(r.URL.Query().Get("skip"))
			if err != nil {
				t.Error(err)
			}
			for i := skip; i < min(skip+1000, 2001); i++ {
				some = append(some, fmt.Sprintf(`{"slug":"north-%d","status":"online","heartbeats":1,"admitted":true,"last_heartbeat_at":"2026-01-02T03:04:05Z"}`, i))
			}
			fmt.Fprintf(w, `{"instances":[%s],"total":2001}`, strings.Join(some, ","))
		case strings.HasSuffix(r.URL.Path, "/nobody"):
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"title":"Not Found","status":404,"detail":"there is no such instance"}`)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(srv.Close)
	config = filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "client:\n  server: %s\n  token: t\n", srv.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestInstancesAreListedPageByPage(t *testing.T) {
	t.Parallel()
	code, out, errs := cc(t, "", "federation", "status", "--config", federationServer(t))
	if n := strings.Count(out, "\nnorth-"); code != exitOK || n != 2001 || !strings.Contains(out, "north-2000 ") {
		t.Errorf("%d, %d instances, %s", code, n, errs)
	}
}

func TestSeveralInstancesAreRemovedAndItIsSaidHowToKeepThemOut(t *testing.T) {
	t.Parallel()
	config := federationServer(t)
	code, out, errs := cc(t, "", "federation", "remove", "north", "south", "--config", config)
	if code != exitOK || !strings.Contains(out, "north is removed.") || !strings.Contains(out, "south is removed.") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if !strings.Contains(out+errs, "comes back with the next one") || !strings.Contains(out+errs, "federation.unknown") {
		t.Errorf("nothing about one that is alive: %s%s", out, errs)
	}
	code, out, errs = cc(t, "", "federation", "remove", "north", "nobody", "--config", config)
	if code != exitNotFound || !strings.Contains(out, "north is removed.") || !strings.Contains(errs, "nobody: there is no such instance") {
		t.Errorf("one of nobody: %d %s%s", code, out, errs)
	}
}

func TestWhatOthersFindIsShownAsOnesOwn(t *testing.T) {
	t.Parallel()
	code, out, errs := cc(t, "", "federation", "search", "lever", "--config", federationServer(t))
	if want := " 1. Levers › Green  0.700\n    south / Handbook · levers.md · docs\n    Pull the [31mgreen lever.\n"; code != exitOK || out != want {
		t.Errorf("%d %q %s", code, out, errs)
	}
}

func TestAnInstanceDoesNotJoinItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address, listens string
		want             bool
	}{
		{"127.0.0.1:7422", "127.0.0.1:7422", true}, {"localhost:7422", "127.0.0.1:7422", true}, {"127.0.0.1:7422", ":7422", true},
		{"[::1]:7422", "0.0.0.0:7422", true}, {"hub.example.org:7422", "hub.example.org:7422", true}, {"127.0.0.1:7422", "0.0.0.0:7422", true},
		{"127.0.0.1:7423", "127.0.0.1:7422", false}, {"192.0.2.1:7422", "0.0.0.0:7422", false}, {"other.example.org:7422", "0.0.0.0:7422", false},
		{"127.0.0.2:7422", "127.0.0.1:7422", false}, {"127.0.0.1:7422", "", false}, {"127.0.0.1:7422", "127.0.0.1:0", false}, {"nonsense", "127.0.0.1:7422", false},
	} {
		if got := here(c.address, c.listens); got != c.want {
			t.Errorf("%s, listening at %s: %v", c.address, c.listens, got)
		}
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("data_dir: "+t.TempDir()+"\nhub:\n  listen: 127.0.0.1:7422\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	code, _, errs := cc(t, "", "federation", "join", "leaf://localhost:7422", "--no-check", "--config", file)
	after, err := os.ReadFile(file)
	if code != exitRefused || !strings.Contains(errs, "where this instance itself listens") || err != nil || string(after) != string(before) {
		t.Errorf("%d %s, %v: %s", code, errs, err, after)
	}
}
