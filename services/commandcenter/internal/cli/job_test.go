package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func jobRow(status, state, more string) string {
	return `{"id":33,"project_id":1,"job_type":"call","parameters":{"url":"https://example.org"},"tags":{},"celery_task_id":"0190e5a0-0000-7000-8000-000000000000","status":"` + status + `","progress":40,"current_step":"asks","result":{"status":200},"error":null,"created_by":1,"created_at":"2026-01-02T03:04:05Z","started_at":"2026-01-02T03:04:05Z","completed_at":null,"duration_seconds":1.5,"service":"jobs","state":"` + state + `","priority":2,"attempts":1,"max_attempts":5,"next_attempt_at":null,"cancel_requested":false,"unique_key":null,"busy_seconds":0.5,"spent":{"tokens":7}` + more + `}`
}

// jobServer answers as the edge does, and notes what it is asked.
func jobServer(t *testing.T, ends string) (address string, asked func() string) {
	t.Helper()
	var last string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // what there is
		last = r.Method + " " + r.URL.RequestURI() + " " + string(b)
		answer, status := jobRow("running", "running", ""), 200
		switch {
		case r.Method == "DELETE":
			w.WriteHeader(204)
			return
		case strings.HasSuffix(r.URL.Path, "/events"):
			w.Header().Set("Content-Type", "text/event-stream")
			for _, row := range []string{jobRow("running", "running", ""), jobRow(ends, ends, "")} {
				_, _ = io.WriteString(w, ": heartbeat\n\nevent: progress\nid: 1\ndata: "+row+"\n\n") // the client is gone, then
			}
			return
		case strings.HasSuffix(r.URL.Path, "/jobs") && r.Method == "GET":
			answer = `{"jobs":[` + answer + `],"total":2,"skip":0,"limit":50}`
		case strings.HasSuffix(r.URL.Path, "/types"):
			answer = `{"items":[{"job_type":"call","title":"Asks","service":"jobs","input":{"required":["url"],"properties":{"url":{},"expect":{}}},"output":{}}]}`
		case strings.HasSuffix(r.URL.Path, "/log"):
			answer = `{"lines":[{"seq":1,"at":"2026-01-02T03:04:05Z","level":"warn","attempt":1,"message":"not now"}],"steps":[{"name":"one","saved_at":"2026-01-02T03:04:05Z"}]}`
		case strings.HasSuffix(r.URL.Path, "/jobs"):
			status = 201
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer)) // the client is gone, then
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() string { return last }
}

func TestJobsAreSeenAndSteeredFromTheCommandLine(t *testing.T) { // not parallel: the environment
	t.Setenv("CC_TOKEN", "t")
	server, asked := jobServer(t, "completed")
	for _, c := range []struct {
		words []string
		says  string
		asks  string
	}{
		{[]string{"list", "--status", "running", "--type", "call"}, "33  call  jobs     running  40%", "GET /api/v1/jobs?status_filter=running&job_type=call&limit=50"},
		{[]string{"show", "33"}, "saved step one", "GET /api/v1/jobs/33/log"},
		{[]string{"show", "33"}, `spent       {"tokens":7}`, "GET /api/v1/jobs/33/log"},
		{[]string{"watch", "33"}, "Job 33, call of jobs, completed after 1.5s.", "GET /api/v1/jobs/33/events"},
		{[]string{"types"}, "[expect] url", "GET /api/v1/jobs/types"},
		{[]string{"add", "call", "--param", "url=https://example.org", "--param", "expect=204", "--held"}, "Made job 33, call of jobs", `POST /api/v1/jobs {"dispatch":false,"job_type":"call","parameters":{"expect":204,"url":"https://example.org"},"priority":0}`},
		{[]string{"add", "call", "--watch", "--unique", "k", "--priority", "3"}, "completed", `GET /api/v1/jobs/33/events`},
		{[]string{"dispatch", "33", "--delay", "1m"}, "Let go job 33", "POST /api/v1/jobs/33/dispatch?delay_seconds=60"},
		{[]string{"cancel", "33"}, "Told job 33", "POST /api/v1/jobs/33/cancel"},
		{[]string{"retry", "33", "--from", "one", "--param", "url=x"}, "Tries again job 33", `POST /api/v1/jobs/33/retry {"from_step":"one","parameters":{"url":"x"}}`},
		{[]string{"delete", "33"}, "Forgot job 33.", "DELETE /api/v1/jobs/33"},
	} {
		code, out, errs := cc(t, "", append(append([]string{"job"}, c.words...), "--server", server)...)
		if code != exitOK || !strings.Contains(out, c.says) || !strings.Contains(asked(), c.asks) {
			t.Errorf("%v: %d\n%s%s\nasked %s", c.words, code, out, errs, asked())
		}
		code, out, errs = cc(t, "", append(append([]string{"job"}, c.words...), "--server", server, "--json")...)
		for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
			var v any
			if err := d.Decode(&v); err != nil || code != exitOK {
				t.Fatalf("%v --json: %d %v\n%s%s", c.words, code, err, out, errs)
			}
		}
	}
	for says, words := range map[string][]string{"no id of a job": {"show", "x"}, "want NAME=VALUE": {"add", "call", "--param", "x"}} {
		if code, _, errs := cc(t, "", append(append([]string{"job"}, words...), "--server", server)...); code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%v: %d %s", words, code, errs)
		}
	}
	server, _ = jobServer(t, "failed")
	if code, _, errs := cc(t, "", "job", "watch", "33", "--server", server); code != exitFailure || !strings.Contains(errs, "did not complete") {
		t.Errorf("a job that failed: %d %s", code, errs)
	}
}
