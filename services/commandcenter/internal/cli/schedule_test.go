package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const scheduleRow = `{"id":7,"project_id":1,"name":"pulse","description":null,"task_type":"call","task_parameters":{"url":"https://example.org"},"frequency":"cron","cron_expression":"*/15 * * * *","interval_seconds":null,"timezone":"Europe/Berlin","start_time":null,"end_time":null,"enabled":true,"last_run_at":null,"next_run_at":"2026-01-03T00:00:00Z","run_count":3,"success_count":2,"failure_count":1,"missed_count":4,"success_rate":66.6,"is_active":true,"last_error":"it answers 500","last_success_at":null,"last_failure_at":null,"created_by":1,"tags":{},"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","catch_up":"skip","overlap":"allow","jitter_seconds":5,"priority":0,"conflicts":[3]}`

func TestSchedulesAreKeptFromTheCommandLine(t *testing.T) { // not parallel: the environment
	t.Setenv("CC_TOKEN", "t")
	var last string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // what there is
		last = r.Method + " " + r.URL.RequestURI() + " " + string(b)
		answer, status := scheduleRow, 200
		switch {
		case r.Method == "DELETE":
			w.WriteHeader(204)
			return
		case strings.HasSuffix(r.URL.Path, "/schedules") && r.Method == "GET":
			answer = `{"schedules":[` + scheduleRow + `],"total":1,"page":1,"page_size":100,"pages":1}`
		case strings.HasSuffix(r.URL.Path, "/schedules"):
			status = 201
		case strings.HasSuffix(r.URL.Path, "/runs"):
			answer = `{"items":[{"due_at":"2026-01-02T03:00:00Z","state":"failed","job_id":34,"made_at":null,"ended_at":null,"error":"it answers 500"}]}`
		case strings.HasSuffix(r.URL.Path, "/next"):
			answer = `{"timezone":"Europe/Berlin","items":[{"at":"2026-01-03T00:00:00Z","local":"2026-01-03T01:00:00+01:00"}]}`
		case strings.HasSuffix(r.URL.Path, "/execute"):
			answer = `{"schedule_id":7,"schedule_name":"pulse","job_id":34,"executed_at":"2026-01-02T03:04:05Z","next_run_at":null,"message":"m"}`
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer)) // the client is gone, then
	}))
	t.Cleanup(srv.Close)
	for _, c := range []struct {
		words []string
		says  string
		asks  string
	}{
		{[]string{"add", "pulse", "call", "--cron", "*/15 * * * *", "--zone", "Europe/Berlin", "--param", "url=https://example.org"}, "Added: schedule 7, pulse, */15 * * * * (Europe/Berlin), next", `"cron_expression":"*/15 * * * *"`},
		{[]string{"add", "pulse", "call", "--every", "5m", "--jitter", "30s"}, "Added: schedule 7", `"interval_seconds":300`},
		{[]string{"add", "pulse", "call", "--frequency", "daily", "--off"}, "Added: schedule 7", `"frequency":"daily"`},
		{[]string{"add", "pulse", "call", "--start", "2026-02-01T08:00:00Z"}, "Added: schedule 7", `"frequency":"once"`},
		{[]string{"list"}, "7   pulse  call  */15 * * * * (Europe/Berlin)  on", "GET /api/v1/schedules?page=1&page_size=100"},
		{[]string{"show", "7"}, "failed   job 34 it answers 500", "GET /api/v1/schedules/7/runs?limit=20"},
		{[]string{"next", "7", "-n", "3"}, "Sat 2026-01-03 01:00:00 +01:00  Europe/Berlin", "GET /api/v1/schedules/7/next?limit=3"},
		{[]string{"enable", "7"}, "On again: schedule 7", "POST /api/v1/schedules/7/enable"},
		{[]string{"disable", "7"}, "Off: schedule 7", "POST /api/v1/schedules/7/disable"},
		{[]string{"run", "7", "--force"}, "Made job 34 of pulse.", `POST /api/v1/schedules/7/execute {"force":true}`},
		{[]string{"delete", "7"}, "Deleted schedule 7.", "DELETE /api/v1/schedules/7"},
	} {
		code, out, errs := cc(t, "", append(append([]string{"schedule"}, c.words...), "--server", srv.URL)...)
		if code != exitOK || !strings.Contains(out, c.says) || !strings.Contains(last, c.asks) {
			t.Errorf("%v: %d\n%s%s\nasked %s", c.words, code, out, errs, last)
		}
		code, out, errs = cc(t, "", append(append([]string{"schedule"}, c.words...), "--server", srv.URL, "--json")...)
		if code != exitOK || !json.Valid([]byte(out)) {
			t.Errorf("%v --json: %d\n%s%s", c.words, code, out, errs)
		}
	}
	for says, words := range map[string][]string{"say when": {"add", "n", "call"}, "no id of a schedule": {"show", "x"}, "is no time": {"add", "n", "call", "--start", "tomorrow"}, "want NAME=VALUE": {"add", "n", "call", "--every", "1h", "--param", "x"}} {
		if code, _, errs := cc(t, "", append(append([]string{"schedule"}, words...), "--server", srv.URL)...); code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%v: %d %s", words, code, errs)
		}
	}
}
