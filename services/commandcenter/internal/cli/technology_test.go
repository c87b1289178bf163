package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goRow = `{"id":7,"title":"Go","vendor":null,"domain":"other","status":"research","ring":null,"quadrant":null,"radar_ring":"assess","radar_quadrant":"tools","relevance_score":50,"priority":3,
	"description":"compiled","notes":null,"use_cases":null,"documentation_url":null,"repository_url":null,"website_url":null,"tags":null,"latency_ms":null,"throughput_qps":null,"integration_difficulty":null,
	"integration_time_estimate_days":null,"maturity_level":null,"stability_score":null,"cost_tier":null,"cost_monthly_usd":null,"dependencies":null,"alternatives":null,"last_hn_mention":null,"hn_score_avg":null,
	"github_stars":null,"github_last_commit":null,"version":4,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`

// technologyServer answers as the edge does, and notes what it is asked.
func technologyServer(t *testing.T) (address string, asked func() string) {
	t.Helper()
	var last string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // what there is
		last = r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("If-Match") + " " + string(b)
		answer, status := goRow, 200
		switch {
		case r.Method == "DELETE":
			w.WriteHeader(204)
			return
		case strings.HasSuffix(r.URL.Path, ".svg"), strings.HasSuffix(r.URL.Path, ".csv"), strings.HasSuffix(r.URL.Path, ".png"):
			_, _ = w.Write([]byte("the file")) // the client is gone, then
			return
		case strings.HasSuffix(r.URL.Path, "/moves"):
			answer = `{"items":[{"technology_id":7,"version":4,"from_status":"discovery","to_status":"research","from_ring":"assess","to_ring":"assess","moved_by":"user:1","moved_at":"2026-01-02T03:04:05Z"}]}`
		case strings.HasSuffix(r.URL.Path, "/radar"):
			answer = `{"at":"2026-01-02","since":"2025-10-03","quadrants":["techniques","tools","platforms","languages-and-frameworks"],
				"rings":[{"name":"adopt","radius":0.4},{"name":"hold","radius":1}],
				"blips":[{"number":1,"technology_id":7,"title":"Go","status":"research","quadrant":"tools","ring":"assess","movement":"in","x":0.3,"y":-0.4}]}`
		case strings.HasSuffix(r.URL.Path, "/import"):
			answer = `{"added":1,"changed":0,"unchanged":1,"items":[{"title":"Go","outcome":"unchanged"},{"title":"Zig","outcome":"added"}]}`
		case r.Method == "GET" && strings.HasSuffix(r.URL.Path, "/technologies/"):
			answer = `{"total":1,"items":[` + goRow + `],"page":1,"page_size":500}`
		case r.Method == "POST":
			status = 201
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer)) // the client is gone, then
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() string { return last }
}

func TestATechnologyIsKeptFromTheCommandLine(t *testing.T) { // not parallel: the environment
	t.Setenv("CC_TOKEN", "t")
	server, asked := technologyServer(t)
	dir := t.TempDir()
	csv := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(csv, []byte("name,ring,quadrant\nGo,adopt,tools\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words []string
		says  string
		asks  string
	}{
		{[]string{"add", "Go", "--domain", "other", "--priority", "3"}, "Added 7, Go: research, on ring assess of tools.", `POST /api/v1/technologies/  {"domain":"other","priority":3,"title":"Go"}`},
		{[]string{"list", "--ring", "assess", "--search", "g"}, "Go     research  assess  other", "GET /api/v1/technologies/?skip=0&limit=500&ring=assess&search=g"},
		{[]string{"show", "go"}, "2026-01-02  discovery → research (assess), by user:1", "GET /api/v1/technologies/7/moves"},
		{[]string{"edit", "7", "--notes", ""}, "Changed 7, Go", `PATCH /api/v1/technologies/7 "4" {"notes":""}`},
		{[]string{"move", "Go", "integrated"}, "Moved 7, Go", `PATCH /api/v1/technologies/7 "4" {"ring":null,"status":"integrated"}`},
		{[]string{"move", "7", "hold"}, "Moved 7, Go", `{"ring":"hold"}`},
		{[]string{"delete", "Go"}, "Deleted 7, Go.", "DELETE /api/v1/technologies/7"},
		{[]string{"radar"}, "    1 > Go", "GET /api/v1/technologies/radar"},
		{[]string{"radar", "--since", "2026-01-01", "--csv", "-"}, "the file", "GET /api/v1/technologies/radar.csv?since=2026-01-01"},
		{[]string{"radar", "--png", filepath.Join(dir, "r.png"), "--title", "Ours"}, "Wrote " + filepath.Join(dir, "r.png"), "GET /api/v1/technologies/radar.png?title=Ours"},
		{[]string{"import", csv, "--dry-run"}, "added      Zig\n1 would be added, 0 changed, 1 unchanged.", `"dry_run":true`},
	} {
		code, out, errs := cc(t, "", append(append([]string{"technology"}, c.words...), "--server", server)...)
		if code != exitOK || !strings.Contains(out, c.says) || !strings.Contains(asked(), c.asks) {
			t.Errorf("%v: %d\n%s%s\nasked %s", c.words, code, out, errs, asked())
		}
		if c.words[0] == "import" || c.words[len(c.words)-1] == "-" {
			continue
		}
		code, out, errs = cc(t, "", append(append([]string{"technology"}, c.words...), "--server", server, "--json")...)
		if code != exitOK || !json.Valid([]byte(out)) {
			t.Errorf("%v --json: %d\n%s%s", c.words, code, out, errs)
		}
	}
	for says, words := range map[string][]string{
		"is no status": {"move", "7", "done"}, "nothing to change": {"edit", "7"}, "is no day": {"radar", "--since", "yesterday"}, "no such file": {"import", filepath.Join(dir, "missing")},
	} {
		if code, _, errs := cc(t, "", append(append([]string{"technology"}, words...), "--server", server)...); code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%v: %d %s", words, code, errs)
		}
	}
	if code, _, errs := cc(t, "", "technology", "show", "Zig", "--server", server); code != exitNotFound || !strings.Contains(errs, "no technology") {
		t.Errorf("another title: %d %s", code, errs)
	}
}
