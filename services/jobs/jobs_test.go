package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	engine "github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/jobs"
)

// operations are those of the contract, by how they are delivered.
func operations(t *testing.T) map[string]string {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../gateway/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if fmt.Sprint(op.Extensions["x-service"]) == jobs.Name && fmt.Sprint(op.Extensions["x-delivery"]) != "live" {
				out[op.OperationID] = fmt.Sprint(op.Extensions["x-delivery"])
			}
		}
	}
	return out
}

// worker is a service that does jobs.
type worker struct {
	db *pg.DB
	m  *engine.Manager
}

// world is the service as main builds it, with no more than its permissions, and
// two that have jobs.
type world struct {
	*bustest.Env
	t        *testing.T
	delivery map[string]string
	workers  map[string]worker
	let      chan error // what a job of the kind "held" ends with
}

var both = []string{"knowledge", "research"}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, delivery: operations(t), workers: map[string]worker{}, let: make(chan error)}
	own := bus.Contract{
		Serves: append(slices.Collect(maps.Keys(w.delivery)), "exportPage", "restorePart"), Publishes: events.SaidBy(jobs.Name), Hears: events.ConsumedBy(jobs.Name), TakesCommands: true,
	}
	calls := []string{"jobKeys", "jobRows", "changeJob", "countJobs", "jobTypes", "askJob", "jobNotes"}
	own.Serves, own.Jobs, own.Live = append(own.Serves, calls...), true, true
	for _, s := range append([]string{jobs.Name}, both...) {
		for _, call := range calls {
			own.Calls = append(own.Calls, s+"."+call)
		}
	}
	w.Env = bustest.Start(t, append([]string{jobs.Name, "auth"}, both...), bustest.WithContract(jobs.Name, own))
	m, err := jobs.New(jobs.Deps{
		DB: pgtest.New(t, jobs.Migrations), Bus: w.Bus(jobs.Name), Log: obs.Discard(), Version: "1.0.0", Owners: map[int]string{1: "knowledge", 2: jobs.Name, 3: "research"},
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	}, jobs.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if listed := slices.Sorted(slices.Values(m.Operations)); !slices.Equal(listed, slices.Sorted(maps.Keys(w.delivery))) {
		t.Errorf("listed: %v", listed)
	}
	for _, p := range m.Parts {
		w.Run(p)
	}
	for _, s := range both {
		w.workers[s] = w.worker(s)
	}
	return w
}

func (w *world) worker(service string) worker {
	db := pgtest.New(w.t, pg.Schema{Name: service, FS: fstest.MapFS{"000001_none.up.sql": {Data: []byte("SELECT 1")}}})
	m := engine.New(db, w.Bus(service), engine.Config{
		Lease: 600 * time.Millisecond, Poll: 20 * time.Millisecond, Backoff: func(int) time.Duration { return time.Millisecond },
	})
	m.Handle("held", func(ctx context.Context, r *engine.Run) error {
		r.Progress(ctx, 1, 4, "a quarter")
		select {
		case err := <-w.let:
			if err == nil {
				err = r.SetResult(map[string]string{"by": service})
			}
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	if err := engine.Register(m, engine.Type{
		Kind: service + "-steps", Title: "Does it in two steps", Input: json.RawMessage(`{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}`), Output: json.RawMessage(`{"type":"object"}`),
	}, func(ctx context.Context, r *engine.Run, in struct{ N int }) (map[string]int, error) {
		if err := r.Step(ctx, "one", func(ctx context.Context) error { return r.Log(ctx, engine.Info, "one is done") }); err != nil {
			return nil, err
		}
		r.Spend("tokens", 3)
		if in.N < 0 {
			return nil, errs.New(errs.Invalid, "below zero")
		}
		return map[string]int{"n": in.N}, nil
	}); err != nil {
		w.t.Fatal(err)
	}
	s := bus.NewServer(w.Bus(service), bus.ServerConfig{Service: service, DB: db})
	m.Serve(s)
	w.Run(s, m)
	return worker{db, m}
}

func (w *world) enqueue(service string, j engine.Job) uuid.UUID {
	w.t.Helper()
	j.Project = max(j.Project, 1)
	var id uuid.UUID
	ctx := tenant.With(w.t.Context(), tenant.Identity{Project: j.Project, Principal: "user:7"})
	err := w.workers[service].db.InTenant(ctx, j.Project, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		id, err = engine.Enqueue(ctx, tx, j)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) call(operation, payload string, role tenant.Role) (*bus.Answer, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), bustest.Patience)
	defer cancel()
	to, who := bus.Target{Service: jobs.Name, Operation: operation, Project: 1}, bustest.Person(1, 1, role)
	if w.delivery[operation] == "command" {
		return w.Bus("gateway").Command(ctx, to, who, []byte(payload), bus.CommandOptions{})
	}
	return w.Bus("gateway").Request(ctx, to, who, []byte(payload))
}

// ok calls as a member, and reads the answer.
func (w *world) ok(operation, payload string) map[string]any {
	w.t.Helper()
	a, err := w.call(operation, payload, tenant.Member)
	if err != nil || a.Status >= 300 {
		w.t.Fatalf("%s %s: %+v %v", operation, payload, a, err)
	}
	out := map[string]any{}
	if len(a.Body) > 0 {
		if err := json.Unmarshal(a.Body, &out); err != nil {
			w.t.Fatal(err)
		}
	}
	return out
}

// refused calls as a member, and wants a refusal of the kind.
func (w *world) refused(operation, payload string, kind errs.Kind) {
	w.t.Helper()
	if a, err := w.call(operation, payload, tenant.Member); err == nil || errs.As(err).Kind != kind {
		w.t.Errorf("%s %s: %+v %v, want %s", operation, payload, a, err, kind)
	}
}

// becomes waits until a job has the status.
func (w *world) becomes(id float64, status string) map[string]any {
	w.t.Helper()
	var j map[string]any
	bustest.Eventually(w.Env, func() bool {
		j = w.ok("getJob", fmt.Sprintf(`{"job_id":%v}`, id))
		return j["status"] == status
	})
	return j
}

func (w *world) list(payload string) []map[string]any {
	w.t.Helper()
	var out []map[string]any
	for _, j := range w.ok("listJobs", payload)["jobs"].([]any) {
		out = append(out, j.(map[string]any))
	}
	return out
}

func TestTheJobsOfAllServicesAreOneList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue("knowledge", engine.Job{Kind: "held", Payload: json.RawMessage(`{"n":1}`), Tags: json.RawMessage(`{"team":"a"}`)})
	w.enqueue("research", engine.Job{Kind: "held"})
	w.enqueue("knowledge", engine.Job{Kind: "nobodys", RunAt: time.Now().Add(time.Hour), Priority: 3})
	w.enqueue("research", engine.Job{Kind: "nobodys", Project: 2})

	all := w.list(`{"limit":10}`)
	if len(all) != 3 || all[0]["job_type"] != "nobodys" || all[1]["service"] != "research" || all[2]["service"] != "knowledge" {
		t.Fatalf("%v", all)
	}
	if all[2]["id"] != float64(33) || all[1]["id"] != float64(35) || all[0]["id"] != float64(65) || all[2]["created_by"] != float64(7) {
		t.Errorf("%v", all)
	}
	if page := w.list(`{"skip":1,"limit":1}`); len(page) != 1 || page[0]["id"] != all[1]["id"] {
		t.Errorf("the second page: %v", page)
	}
	if waiting := w.list(`{"job_type":"nobodys","status_filter":"pending","limit":9}`); len(waiting) != 1 || waiting[0]["next_attempt_at"] == nil || waiting[0]["priority"] != float64(3) {
		t.Errorf("%v", waiting)
	}
	j := w.becomes(33, "running")
	if j["progress"] != float64(25) && j["progress"] != float64(0) || j["parameters"].(map[string]any)["n"] != float64(1) || j["tags"].(map[string]any)["team"] != "a" || j["duration_seconds"] == nil {
		t.Errorf("%v", j)
	}
	w.refused("deleteJob", `{"job_id":33}`, errs.Conflict)
	if active := w.ok("listActiveJobs", `{"project_id":1,"limit":100}`); active["total"] != float64(3) {
		t.Errorf("%v", active)
	}
	w.let <- nil
	w.let <- errs.New(errs.Invalid, "it cannot be done")
	bustest.Eventually(w.Env, func() bool { return len(w.list(`{"status_filter":"running","limit":9}`)) == 0 })
	sum := w.ok("getJobStatistics", `{}`)
	by := sum["by_status"].(map[string]any)
	if sum["total"] != float64(3) || sum["success_rate"] != float64(50) || sum["active_jobs"] != float64(1) || by["completed"] != float64(1) || by["failed"] != float64(1) || by["cancelled"] != float64(0) || sum["average_duration_seconds"] == nil {
		t.Errorf("%v", sum)
	}
	for _, id := range []float64{33, 35} {
		j := w.ok("getJob", fmt.Sprintf(`{"job_id":%v}`, id))
		p := w.ok("getJobProgress", fmt.Sprintf(`{"job_id":%v}`, id))
		if j["status"] == "completed" && (j["result"].(map[string]any)["by"] != j["service"] || j["progress"] != float64(100)) || j["status"] == "failed" && j["error"] != "it cannot be done" {
			t.Errorf("%v", j)
		}
		if p["is_terminal"] != true || p["is_active"] != false || p["completed_at"] == nil || p["celery_status"] != j["state"] {
			t.Errorf("%v", p)
		}
		w.refused("cancelJob", fmt.Sprintf(`{"job_id":%v}`, id), errs.Conflict)
		w.ok("deleteJob", fmt.Sprintf(`{"job_id":%v}`, id))
		w.refused("getJob", fmt.Sprintf(`{"job_id":%v}`, id), errs.NotFound)
	}
}

func TestAJobIsCancelledWhetherItWaitsOrRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue("knowledge", engine.Job{Kind: "held"})
	w.enqueue("research", engine.Job{Kind: "held", RunAt: time.Now().Add(time.Hour)})
	w.becomes(33, "running")
	for _, id := range []float64{33, 35} {
		if j := w.ok("cancelJob", fmt.Sprintf(`{"job_id":%v}`, id)); j["cancel_requested"] != true {
			t.Errorf("%v", j)
		}
		w.becomes(id, "cancelled")
		w.ok("cancelJob", fmt.Sprintf(`{"job_id":%v}`, id)) // again is no fault
	}
}

func TestNothingIsDoneToAJobThatIsNotThereOrByWhomItMayNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue("knowledge", engine.Job{Kind: "held", Project: 2})
	for _, id := range []string{"33", "65", "34", "1", "0", "-31"} {
		for _, op := range []string{"getJob", "getJobProgress", "cancelJob", "deleteJob"} {
			w.refused(op, `{"job_id":`+id+`}`, errs.NotFound)
		}
	}
	for _, op := range []string{"cancelJob", "deleteJob"} {
		if _, err := w.call(op, `{"job_id":33}`, tenant.Viewer); errs.As(err).Kind != errs.Forbidden {
			t.Errorf("%s by a viewer: %v", op, err)
		}
	}
	for _, bad := range []string{`{"limit":0}`, `{"limit":1001}`, `{"limit":1,"skip":10001}`, `{"limit":1,"skip":-1}`, `{"limit":1,"status_filter":"x"}`, `{"limit":1,"project_id":2}`} {
		w.refused("listJobs", bad, errs.Invalid)
	}
	w.refused("listActiveJobs", `{"limit":1,"project_id":2}`, errs.Invalid)
	w.refused("getJobStatistics", `{"project_id":2}`, errs.Invalid)
}

func TestAProjectThatGoesLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	said := make(chan string, 10)
	w.Run(bus.Follow(w.Bus("auth"), func(_ context.Context, _ bus.Meta, e *platformv1.ProjectPurged) { said <- e.GetService() }))
	w.Say(&authv1.ProjectDeleting{ProjectId: 1, Version: 2, RequestedBy: 1})
	if by := bustest.Await(w.Env, said); by != jobs.Name {
		t.Errorf("purged by %s", by)
	}
}

func TestWithoutOneOfTheServicesThereIsNoListThatLooksWhole(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{jobs.Name, "knowledge"})
	m, err := jobs.New(jobs.Deps{DB: pgtest.New(t, jobs.Migrations), Bus: env.Bus(jobs.Name), Log: obs.Discard(), Owners: map[int]string{1: "knowledge"}}, jobs.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Parts {
		env.Run(p)
	}
	_, err = env.Bus("gateway").Request(t.Context(), bus.Target{Service: jobs.Name, Operation: "listJobs", Project: 1}, bustest.Person(1, 1, tenant.Viewer), []byte(`{"limit":5}`))
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind.Refusal() {
		t.Errorf("%v", err)
	}
}

func TestAJobIsMadeHeldLetGoAndTriedAgainWithOtherParameters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var names []string
	for _, x := range w.ok("listJobTypes", `{}`)["items"].([]any) {
		names = append(names, x.(map[string]any)["service"].(string)+" "+x.(map[string]any)["job_type"].(string))
	}
	if !slices.Equal(names, []string{"jobs call", "knowledge knowledge-steps", "research research-steps"}) {
		t.Errorf("%v", names)
	}
	j := w.ok("createJob", `{"body":{"job_type":"knowledge-steps","parameters":{"n":-1},"tags":{"a":"b"},"priority":2,"project_id":1}}`)
	id := j["id"].(float64)
	if j["state"] != "held" || j["status"] != "pending" || j["priority"] != float64(2) || j["created_by"] != float64(1) || j["service"] != "knowledge" {
		t.Errorf("%v", j)
	}
	if j = w.ok("updateJob", fmt.Sprintf(`{"job_id":%v,"body":{"priority":5,"tags":{"a":"c"}}}`, id)); j["priority"] != float64(5) || j["tags"].(map[string]any)["a"] != "c" {
		t.Errorf("%v", j)
	}
	w.refused("retryJob", fmt.Sprintf(`{"job_id":%v,"body":{}}`, id), errs.Conflict)
	w.ok("dispatchJob", fmt.Sprintf(`{"job_id":%v,"delay_seconds":0}`, id))
	if j = w.becomes(id, "failed"); j["error"] != "below zero" {
		t.Errorf("%v", j)
	}
	w.refused("dispatchJob", fmt.Sprintf(`{"job_id":%v}`, id), errs.Conflict)
	w.refused("retryJob", fmt.Sprintf(`{"job_id":%v,"body":{"parameters":{"n":"x"}}}`, id), errs.Invalid)
	w.refused("retryJob", fmt.Sprintf(`{"job_id":%v,"body":{"from_step":"nine"}}`, id), errs.Invalid)
	w.ok("retryJob", fmt.Sprintf(`{"job_id":%v,"body":{"from_step":"one","parameters":{"n":4}}}`, id))
	if j = w.becomes(id, "completed"); j["result"].(map[string]any)["n"] != float64(4) || j["spent"].(map[string]any)["tokens"] != float64(6) {
		t.Errorf("%v", j)
	}
	log := w.ok("getJobLog", fmt.Sprintf(`{"job_id":%v}`, id))
	if lines := log["lines"].([]any); len(lines) != 4 || len(log["steps"].([]any)) != 1 || lines[2].(map[string]any)["message"] != "tried again by user:1" {
		t.Errorf("%v", log)
	}
	w.refused("createJob", `{"body":{"job_type":"nothing"}}`, errs.Invalid)
	w.refused("createJob", `{"body":{"job_type":"knowledge-steps","parameters":{}}}`, errs.Invalid)
	w.refused("createJob", `{"body":{"job_type":"knowledge-steps","parameters":{"n":1},"project_id":2}}`, errs.Invalid)
	one := w.ok("createJob", `{"body":{"job_type":"research-steps","parameters":{"n":1},"unique_key":"k"}}`)
	same := w.ok("createJob", `{"body":{"job_type":"research-steps","parameters":{"n":2},"unique_key":"k","dispatch":true}}`)
	after := w.ok("createJob", fmt.Sprintf(`{"body":{"job_type":"research-steps","parameters":{"n":3},"depends_on":[%v],"dispatch":true}}`, one["id"]))
	if same["id"] != one["id"] || after["state"] != "held" {
		t.Errorf("%v %v", same, after)
	}
	w.ok("dispatchJob", fmt.Sprintf(`{"job_id":%v}`, one["id"]))
	w.becomes(after["id"].(float64), "completed")
}

func TestAJobOfTheTypeCallAsksForAnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusGone)
		}
	}))
	t.Cleanup(srv.Close)
	for path, status := range map[string]string{"/": "completed", "/gone": "failed"} {
		j := w.ok("createJob", `{"body":{"job_type":"call","parameters":{"url":"`+srv.URL+path+`"},"dispatch":true}}`)
		if j = w.becomes(j["id"].(float64), status); status == "completed" && j["result"].(map[string]any)["status"] != float64(200) || status == "failed" && j["error"] != "it answers 410" {
			t.Errorf("%v", j)
		}
	}
	j := w.ok("createJob", `{"body":{"job_type":"call","parameters":{"url":"http://169.254.169.254/"},"dispatch":true}}`)
	w.becomes(j["id"].(float64), "failed")
}

func TestAScheduleMakesItsJobsAndKnowsWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	make := func(more string) (float64, map[string]any) {
		s := w.ok("createSchedule", `{"body":{"name":"n","task_type":"knowledge-steps","project_id":1,"tags":{"a":"b"},`+more+`}}`)
		return s["id"].(float64), s
	}
	at := time.Now().Add(300 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	id, s := make(`"frequency":"once","start_time":"` + at + `","task_parameters":{"n":4}`)
	if s["next_run_at"] == nil || s["is_active"] != false || s["enabled"] != true || s["created_by"] != float64(1) {
		t.Errorf("%v", s)
	}
	bad, alike := make(`"frequency":"interval","interval_seconds":3600,"task_parameters":{"n":-4}`)
	if alike["conflicts"] != nil && len(alike["conflicts"].([]any)) != 0 {
		t.Errorf("%v", alike)
	}
	ran := w.ok("executeSchedule", fmt.Sprintf(`{"schedule_id":%v,"body":{}}`, bad))
	w.becomes(ran["job_id"].(float64), "failed")
	one := func(id float64) map[string]any { return w.ok("getSchedule", fmt.Sprintf(`{"schedule_id":%v}`, id)) }
	bustest.Eventually(w.Env, func() bool { return one(id)["success_count"] == float64(1) && one(bad)["failure_count"] == float64(1) })
	if s = one(id); s["enabled"] != false || s["next_run_at"] != nil || s["run_count"] != float64(1) || s["success_rate"] != float64(100) {
		t.Errorf("%v", s)
	}
	if s = one(bad); s["last_error"] != "below zero" || s["run_count"] != float64(1) {
		t.Errorf("%v", s)
	}
	runs := w.ok("listScheduleRuns", fmt.Sprintf(`{"schedule_id":%v,"limit":9}`, id))["items"].([]any)
	if len(runs) != 1 || runs[0].(map[string]any)["state"] != "done" {
		t.Fatalf("%v", runs)
	}
	j := w.ok("getJob", fmt.Sprintf(`{"job_id":%v}`, runs[0].(map[string]any)["job_id"]))
	if tags := j["tags"].(map[string]any); tags["schedule_id"] != id || tags["a"] != "b" || j["service"] != "knowledge" || j["created_by"] != float64(1) {
		t.Errorf("%v", j)
	}
	w.refused("executeSchedule", fmt.Sprintf(`{"schedule_id":%v,"body":{}}`, id), errs.Conflict)
	w.ok("executeSchedule", fmt.Sprintf(`{"schedule_id":%v,"body":{"force":true}}`, id))
	if s = w.ok("disableSchedule", fmt.Sprintf(`{"schedule_id":%v}`, bad)); s["next_run_at"] != nil || s["enabled"] != false {
		t.Errorf("%v", s)
	}
	if s = w.ok("enableSchedule", fmt.Sprintf(`{"schedule_id":%v}`, bad)); s["next_run_at"] == nil {
		t.Errorf("%v", s)
	}
	if s = w.ok("updateSchedule", fmt.Sprintf(`{"schedule_id":%v,"body":{"frequency":"cron","cron_expression":"30 2 * * *","interval_seconds":null,"timezone":"Europe/Berlin"}}`, bad)); s["timezone"] != "Europe/Berlin" {
		t.Errorf("%v", s)
	}
	next := w.ok("listUpcomingRuns", fmt.Sprintf(`{"schedule_id":%v,"limit":3}`, bad))
	if items := next["items"].([]any); len(items) != 3 || next["timezone"] != "Europe/Berlin" || items[0].(map[string]any)["local"].(string)[11:16] != "02:30" {
		t.Errorf("%v", next)
	}
	if list := w.ok("listSchedules", `{"page":1,"page_size":1}`); list["total"] != float64(2) || list["pages"] != float64(2) {
		t.Errorf("%v", list)
	}
	if sum := w.ok("getScheduleStatistics", `{}`); sum["total_schedules"] != float64(2) || sum["total_runs"].(float64) < 2 {
		t.Errorf("%v", sum)
	}
	if a, err := w.call("listDueSchedules", `{"limit":10}`, tenant.Viewer); err != nil || a.Status != 200 {
		t.Errorf("%v, %v", a, err)
	}
	for _, c := range []struct{ op, payload string }{
		{"createSchedule", `{"body":{"name":"n","task_type":"nothing","frequency":"daily"}}`}, {"createSchedule", `{"body":{"name":"n","task_type":"knowledge-steps","frequency":"daily"}}`},
		{"createSchedule", `{"body":{"name":"n","task_type":"knowledge-steps","frequency":"cron","cron_expression":"x","task_parameters":{"n":1}}}`},
		{"createSchedule", `{"body":{"name":"n","task_type":"knowledge-steps","frequency":"daily","task_parameters":{"n":1},"project_id":2}}`},
		{"updateSchedule", fmt.Sprintf(`{"schedule_id":%v,"body":{"task_parameters":{"n":"x"}}}`, bad)}, {"listSchedules", `{"page":0,"page_size":1}`},
	} {
		w.refused(c.op, c.payload, errs.Invalid)
	}
	w.ok("deleteSchedule", fmt.Sprintf(`{"schedule_id":%v}`, bad))
	for _, op := range []string{"getSchedule", "updateSchedule", "deleteSchedule", "executeSchedule", "enableSchedule", "disableSchedule", "listUpcomingRuns", "listScheduleRuns"} {
		w.refused(op, fmt.Sprintf(`{"schedule_id":%v,"body":{},"limit":5}`, bad), errs.NotFound)
	}
}
