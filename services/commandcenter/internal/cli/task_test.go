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

const whyRow = `{"id":7,"title":"Why?","description":"d","status":"in_progress","task_type":"research","technology_id":7,"repository_id":null,"user_notes":null,"findings":null,"assigned_to":"Jo","due_date":"2026-01-31T12:00:00Z",
	"estimated_hours":8,"actual_hours":null,"uploaded_documents":null,"started_at":"2026-01-02T03:04:05Z","completed_at":null,"progress_percentage":40,"metadata_":null,"version":4,"created_by":"user:1",
	"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`

// taskServer answers as the edge does, and notes what it is asked.
func taskServer(t *testing.T) (address string, asked func() string) {
	t.Helper()
	var last string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // what there is
		last = r.Method + " " + r.URL.RequestURI() + " " + string(b)
		answer, status, kind := whyRow, 200, "application/json"
		switch {
		case r.Method == "DELETE":
			w.WriteHeader(204)
			return
		case strings.HasSuffix(r.URL.Path, "/technologies/"):
			answer = `{"total":1,"items":[` + goRow + `],"page":1,"page_size":500}`
		case strings.HasSuffix(r.URL.Path, "/statistics/overview"):
			answer = `{"by_status":{"pending":2,"in_progress":1,"blocked":0,"completed":0,"cancelled":0},"total":3,"overdue_count":1,"upcoming_count":0,"overdue_tasks":[{"id":7,"title":"Why?","due_date":"2026-01-31T12:00:00Z"}],"upcoming_tasks":[]}`
		case strings.HasSuffix(r.URL.Path, "/export") && r.URL.Query().Get("format") == "csv":
			answer, kind = "id,title\n7,Why?\n", "text/csv"
		case strings.HasSuffix(r.URL.Path, "/documents") && r.Method == "GET":
			answer = `{"documents":[{"id":3,"filename":"a.pdf","content_type":"application/pdf","size":2048,"sha256":"00","uploaded_by":"user:1","uploaded_at":"2026-01-02T03:04:05Z"}]}`
		case strings.HasSuffix(r.URL.Path, "/documents"):
		case strings.HasSuffix(r.URL.Path, "/documents/3"):
			answer, kind = "the file", "text/plain"
		case strings.HasSuffix(r.URL.Path, "/import"):
			answer = `{"added":2,"ids":[8,9]}`
		case r.Method == "GET" && !strings.HasSuffix(r.URL.Path, "/7"):
			answer = `[` + whyRow + `]`
		case r.Method == "POST":
			status = 201
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer)) // the client is gone, then
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() string { return last }
}

func TestATaskIsKeptFromTheCommandLine(t *testing.T) { // not parallel: the environment
	t.Setenv("CC_TOKEN", "t")
	t.Setenv("TZ", "UTC")
	server, asked := taskServer(t)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.json")
	if err := os.WriteFile(in, []byte("title\nWhy?\nHow?\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const tasks = "/api/v1/research-tasks/"
	for _, c := range []struct {
		words []string
		says  string
		asks  string
	}{
		{[]string{"add", "Why?", "--technology", "go", "--due", "2026-01-31", "--estimated-hours", "8"}, "Added 7, Why?: in_progress, 40 %.", "POST " + tasks + ` {"due_date":"2026-01-31","estimated_hours":8,"technology_id":7,"title":"Why?"}`},
		{[]string{"list", "--status", "blocked", "--assigned-to", "Jo", "--technology", "go"}, "7   in_progress  40 %  2026-01-31  Jo", "GET " + tasks + "?skip=0&limit=100&status=blocked&technology_id=7&assigned_to=Jo"},
		{[]string{"list", "--overdue"}, "Why?", "GET " + tasks + "overdue/list?limit=100"},
		{[]string{"list", "--upcoming", "30", "--limit", "5"}, "Why?", "GET " + tasks + "upcoming/list?days=30&limit=5"},
		{[]string{"show", "7"}, "assigned to    Jo", "GET " + tasks + "7"},
		{[]string{"edit", "7", "--progress", "40", "--technology", "", "--notes", ""}, "Changed 7", "PATCH " + tasks + `7 {"progress_percentage":40,"technology_id":null,"user_notes":""}`},
		{[]string{"move", "7", "blocked"}, "Moved 7", "PATCH " + tasks + "7/status?new_status=blocked"},
		{[]string{"done", "7", "--findings", "so"}, "Done: 7", "PATCH " + tasks + `7 {"findings":"so","status":"completed"}`},
		{[]string{"delete", "7"}, "Deleted 7.", "DELETE " + tasks + "7"},
		{[]string{"stats"}, "1 overdue", "GET " + tasks + "statistics/overview"},
		{[]string{"attach", "7", in}, "Attached in.csv to 7, Why?.", "title\nWhy?\nHow?\n\r\n--"},
		{[]string{"files", "7"}, "3   2.0 KiB  2026-01-02  user:1  a.pdf", "GET " + tasks + "7/documents"},
		{[]string{"download", "7", "3", filepath.Join(dir, "f")}, "Wrote " + filepath.Join(dir, "f"), "GET " + tasks + "7/documents/3"},
		{[]string{"detach", "7", "3"}, "Deleted file 3 of 7.", "DELETE " + tasks + "7/documents/3"},
		{[]string{"export", "-"}, "7,Why?", "GET " + tasks + "export?format=csv&after=0&limit=1000"},
		{[]string{"export", out}, "1 tasks.", "GET " + tasks + "export?format=json&after=0&limit=1000"},
		{[]string{"import", in, "--dry-run"}, "2 would be added.", `{"content":"title\nWhy?\nHow?\n","dry_run":true,"format":"csv"}`},
		{[]string{"import", in}, "Added 2.", `"dry_run":false`},
	} {
		code, said, errs := cc(t, "", append(append([]string{"task"}, c.words...), "--server", server)...)
		if code != exitOK || !strings.Contains(said, c.says) || !strings.Contains(asked(), c.asks) {
			t.Errorf("%v: %d\n%s%s\nasked %s", c.words, code, said, errs, asked())
		}
		if c.words[len(c.words)-1] == "-" {
			continue
		}
		code, said, errs = cc(t, "", append(append([]string{"task"}, c.words...), "--server", server, "--json")...)
		if code != exitOK || !json.Valid([]byte(said)) {
			t.Errorf("%v --json: %d\n%s%s", c.words, code, said, errs)
		}
	}
	if b, err := os.ReadFile(out); err != nil || !json.Valid(b) || !strings.Contains(string(b), "Why?") { //nolint:gosec // G304: of this test
		t.Errorf("%s, %v", b, err)
	}
	for says, words := range map[string][]string{
		"is no id": {"show", "Why?"}, "is no status": {"move", "7", "done"}, "nothing to change": {"edit", "7"}, "stand alone": {"list", "--overdue", "--status", "blocked"}, "at least 1": {"list", "--limit", "0"},
		"is no id of a file": {"detach", "7", "a.pdf"}, "this is no file": {"attach", "7", dir}, "neither csv nor json": {"export", "-", "--format", "xml"}, "no such file": {"import", filepath.Join(dir, "missing")},
	} {
		if code, _, errs := cc(t, "", append(append([]string{"task"}, words...), "--server", server)...); code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%v: %d %s", words, code, errs)
		}
	}
}
