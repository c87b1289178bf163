package research_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	"github.com/commandcenter/commandcenter/services/research"
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
			if fmt.Sprint(op.Extensions["x-service"]) == research.Name {
				out[op.OperationID] = fmt.Sprint(op.Extensions["x-delivery"])
			}
		}
	}
	return out
}

// world is the service as main builds it, with no more than its permissions.
type world struct {
	*bustest.Env
	t        *testing.T
	delivery map[string]string
	said     chan string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, delivery: operations(t), said: make(chan string, 100)}
	own := bus.Contract{
		Serves: append(slices.Collect(maps.Keys(w.delivery)), "countResearch"), Publishes: events.SaidBy("research"), Hears: events.ConsumedBy("research"), TakesCommands: true, Objects: true,
	}
	w.Env = bustest.Start(t, []string{"research", "auth", "knowledge"}, bustest.WithContract("research", own))
	m, err := research.New(research.Deps{DB: pgtest.New(t, research.Migrations), Bus: w.Bus("research"), Log: obs.Discard(), Version: "1.0.0"}, research.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if listed := slices.Sorted(slices.Values(m.Operations)); !slices.Equal(listed, slices.Sorted(maps.Keys(w.delivery))) {
		t.Errorf("listed: %v", listed)
	}
	for _, p := range m.Parts {
		w.Run(p)
	}
	b := w.Bus("auth")
	w.Run(
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.TechnologyAdded) {
			w.said <- fmt.Sprintf("added %d %s %s", e.GetTechnologyId(), e.GetTitle(), e.GetRing())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.TechnologyChanged) {
			w.said <- fmt.Sprintf("changed %d to version %d", e.GetTechnologyId(), e.GetVersion())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.TechnologyMoved) {
			w.said <- fmt.Sprintf("moved %d from %s to %s", e.GetTechnologyId(), e.GetFromRing(), e.GetToRing())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.TechnologyRemoved) {
			w.said <- fmt.Sprintf("removed %d", e.GetTechnologyId())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.TaskOpened) {
			w.said <- fmt.Sprintf("task %d opened, %s", e.GetTaskId(), e.GetStatus())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.TaskChanged) {
			w.said <- fmt.Sprintf("task %d changed, %s %d", e.GetTaskId(), e.GetStatus(), e.GetProgressPercentage())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.TaskCompleted) {
			w.said <- fmt.Sprintf("task %d completed by %s", e.GetTaskId(), e.GetCompletedBy())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.TaskReopened) {
			w.said <- fmt.Sprintf("task %d reopened by %s", e.GetTaskId(), e.GetReopenedBy())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.TaskRemoved) {
			w.said <- fmt.Sprintf("task %d removed", e.GetTaskId())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.DocumentAttached) {
			w.said <- fmt.Sprintf("document %d attached, %s", e.GetDocumentId(), e.GetContentType())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *researchv1.DocumentRemoved) {
			w.said <- fmt.Sprintf("document %d removed", e.GetDocumentId())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *platformv1.ProjectPurged) {
			w.said <- "purged by " + e.GetService()
		}))
	return w
}

func (w *world) call(operation, payload string, role tenant.Role) (*bus.Answer, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), bustest.Patience)
	defer cancel()
	to, who := bus.Target{Service: research.Name, Operation: operation, Project: 1}, bustest.Person(1, 1, role)
	if d := w.delivery[operation]; d == "command" || d == "upload" {
		return w.Bus("gateway").Command(ctx, to, who, []byte(payload), bus.CommandOptions{})
	}
	return w.Bus("gateway").Request(ctx, to, who, []byte(payload))
}

// ok calls as a member, wants a status, and reads the answer.
func (w *world) ok(operation, payload string, status int) map[string]any {
	w.t.Helper()
	a, err := w.call(operation, payload, tenant.Member)
	if err != nil || a.Status != status {
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

// hears waits for what is said, in whatever order.
func (w *world) hears(want ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), bustest.Patience)
	defer cancel()
	var got []string
	for range want {
		select {
		case s := <-w.said:
			got = append(got, s)
		case <-ctx.Done():
			w.t.Fatalf("heard %v, want %v", got, want)
		}
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		w.t.Errorf("heard %v, want %v", got, want)
	}
}

func TestTheStoryOfATechnology(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.ok("createTechnology", `{"body":{"title":"pgvector","domain":"ai-ml","status":"research","vendor":"","tags":"a, b","priority":3,"relevance_score":50}}`, 201)
	if x["id"] != 1.0 || x["radar_ring"] != "assess" || x["radar_quadrant"] != "techniques" || x["vendor"] != nil || x["ring"] != nil || x["priority"] != 3.0 {
		t.Errorf("%v", x)
	}
	w.hears("added 1 pgvector assess")
	if x := w.ok("updateTechnology", `{"technology_id":1,"If-Match":"\"1\"","body":{"status":"integrated","tags":"","notes":"good"}}`, 200); x["radar_ring"] != "adopt" || x["tags"] != nil || x["notes"] != "good" || x["version"] != 2.0 || x["domain"] != "ai-ml" {
		t.Errorf("%v", x)
	}
	w.hears("changed 1 to version 2", "moved 1 from assess to adopt")
	if _, err := w.call("updateTechnology", `{"technology_id":1,"If-Match":"\"1\"","body":{"status":"archived"}}`, tenant.Member); errs.KindOf(err) != errs.Precondition {
		t.Errorf("another version: %v", err)
	}
	a, err := w.call("getTechnology", `{"technology_id":1}`, tenant.Viewer)
	if err != nil || a.Header["ETag"] != `"2"` {
		t.Errorf("%+v %v", a, err)
	}
	list := w.ok("listTechnologies", `{"skip":0,"limit":1,"search":"PGV"}`, 200)
	if list["total"] != 1.0 || list["page"] != 1.0 || list["page_size"] != 1.0 || len(list["items"].([]any)) != 1 {
		t.Errorf("%v", list)
	}
	if m := w.ok("listTechnologyMoves", `{"technology_id":1}`, 200); len(m["items"].([]any)) != 2 {
		t.Errorf("%v", m)
	}
	n, err := bus.CallInternal[*researchv1.CountResearchResponse](t.Context(), w.Bus("auth"), "research", "countResearch", &researchv1.CountResearchRequest{ProjectId: 1})
	if err != nil || n.GetTechnologies() != 1 {
		t.Errorf("%v %v", n, err)
	}
	if _, err := w.call("deleteTechnology", `{"technology_id":1}`, tenant.Member); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("deleted by a member: %v", err)
	}
	if a, err := w.call("deleteTechnology", `{"technology_id":1}`, tenant.Admin); err != nil || a.Status != 204 {
		t.Errorf("deleted by an admin: %+v %v", a, err)
	}
	w.hears("removed 1")
	if _, err := w.call("getTechnology", `{"technology_id":1}`, tenant.Viewer); errs.KindOf(err) != errs.NotFound {
		t.Errorf("gone: %v", err)
	}
}

func TestAFormOfTheExistingWebClientIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const form = `"vendor":"","domain":"","status":null,"relevance_score":null,"priority":null,"description":"","notes":"","use_cases":"","documentation_url":"","repository_url":"","website_url":"","tags":"",
		"latency_ms":null,"throughput_qps":null,"integration_difficulty":"","integration_time_estimate_days":null,"maturity_level":null,"stability_score":null,"cost_tier":"","cost_monthly_usd":null,"dependencies":null,"alternatives":""`
	if x := w.ok("createTechnology", `{"body":{"title":"Go",`+form+`}}`, 201); x["domain"] != "other" || x["status"] != "discovery" || x["relevance_score"] != 50.0 {
		t.Errorf("%v", x)
	}
	w.ok("updateTechnology", `{"technology_id":1,"body":{"domain":"ui-ux","latency_ms":2.5,"dependencies":{},"last_hn_mention":"2026-01-02T03:04:05Z"}}`, 200)
	if x := w.ok("updateTechnology", `{"technology_id":1,"body":{"title":"Go 2",`+form+`}}`, 200); x["domain"] != "ui-ux" || x["latency_ms"] != nil || x["title"] != "Go 2" || x["last_hn_mention"] == nil {
		t.Errorf("%v", x)
	}
}

func TestWhatCannotBeIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok("createTechnology", `{"body":{"title":"Go"}}`, 201)
	for body, field := range map[string]string{
		`{"title":null}`: "title", `{"title":""}`: "title", `{"status":"done"}`: "status", `{"website_url":"ftp://x"}`: "website_url",
		`{"relevance_score":101}`: "relevance_score", `{"alternatives":"2"}`: "alternatives", `{"dependencies":{"2":"uses"}}`: "dependencies", `{"latency_ms":"fast"}`: "latency_ms",
	} {
		_, err := w.call("updateTechnology", `{"technology_id":1,"body":`+body+`}`, tenant.Member)
		if errs.KindOf(err) != errs.Invalid || len(errs.As(err).Fields) != 1 || errs.As(err).Fields[0].Loc[1] != field {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, err := w.call("createTechnology", `{"body":{"title":"gO"}}`, tenant.Member); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("twice: %v", err)
	}
	for operation, payload := range map[string]string{
		"createTechnology": `{"body":{"title":"x"}}`, "updateTechnology": `{"technology_id":1,"body":{}}`, "deleteTechnology": `{"technology_id":1}`, "importRadar": `{"body":{"csv":"x"}}`,
	} {
		if _, err := w.call(operation, payload, tenant.Viewer); errs.KindOf(err) != errs.Forbidden {
			t.Errorf("%s by a viewer: %v", operation, err)
		}
	}
	if _, err := w.call("getRadar", `{"since":"yesterday"}`, tenant.Viewer); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a day that is none: %v", err)
	}
	if _, err := w.call("updateTechnology", `{"technology_id":1,"If-Match":"\"x\"","body":{}}`, tenant.Member); errs.KindOf(err) != errs.Precondition {
		t.Errorf("a tag that we never gave: %v", err)
	}
}

func TestARadarGoesOutAndComesInAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const csv = `name,ring,quadrant,isNew,description\nGo,adopt,Languages & Frameworks,FALSE,compiled\nHelm,hold,tools,TRUE,\n`
	if dry := w.ok("importRadar", `{"body":{"csv":"`+csv+`","dry_run":true}}`, 200); dry["added"] != 2.0 {
		t.Errorf("%v", dry)
	}
	if r := w.ok("getRadar", `{}`, 200); len(r["blips"].([]any)) != 0 {
		t.Errorf("a dry run has left %v", r["blips"])
	}
	w.ok("importRadar", `{"body":{"csv":"`+csv+`"}}`, 200)
	if again := w.ok("importRadar", `{"body":{"csv":"`+csv+`"}}`, 200); again["unchanged"] != 2.0 {
		t.Errorf("%v", again)
	}
	if moved := w.ok("importRadar", `{"body":{"csv":"`+strings.Replace(csv, "hold", "trial", 1)+`"}}`, 200); moved["changed"] != 1.0 || moved["unchanged"] != 1.0 {
		t.Errorf("%v", moved)
	}
	if _, err := w.call("importRadar", `{"body":{"csv":"name,ring,quadrant\nZig,adopt,tools\nX,saturn,tools\n"}}`, tenant.Member); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("%v", err)
	}
	r := w.ok("getRadar", `{"since":"2020-01-01"}`, 200)
	blips := r["blips"].([]any)
	if len(blips) != 2 || blips[0].(map[string]any)["title"] != "Helm" || blips[0].(map[string]any)["ring"] != "trial" || blips[0].(map[string]any)["movement"] != "added" {
		t.Errorf("%v", blips)
	}
	for operation, kind := range map[string]string{"getRadarSVG": "image/svg+xml", "getRadarPNG": "image/png", "getRadarCSV": "text/csv; charset=utf-8"} {
		a, err := w.call(operation, `{"title":"Ours"}`, tenant.Viewer)
		if err != nil || a.Header["Content-Type"] != kind {
			t.Errorf("%s: %+v %v", operation, a, err)
			continue
		}
		switch {
		case kind == "image/png":
			if _, err := png.Decode(bytes.NewReader(a.Body)); err != nil {
				t.Error(err)
			}
		case !bytes.Contains(a.Body, []byte("Helm")) || kind[0] == 'i' && !bytes.Contains(a.Body, []byte("Ours")):
			t.Errorf("%s: %.200s", operation, a.Body)
		}
	}
}

func TestAProjectThatGoesTakesItsTechnologiesAndTasksAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok("createTechnology", `{"body":{"title":"Go"}}`, 201)
	w.ok("createResearchTask", `{"body":{"title":"Why?","technology_id":1}}`, 201)
	w.hears("added 1 Go assess", "task 1 opened, pending")
	w.Say(&authv1.ProjectDeleting{ProjectId: 1, Version: 9})
	w.hears("purged by research")
	if list := w.ok("listTechnologies", `{"skip":0,"limit":10}`, 200); list["total"] != 0.0 {
		t.Errorf("%v", list)
	}
	if all := w.list("listResearchTasks", `{"skip":0,"limit":10}`); len(all) != 0 {
		t.Errorf("%v", all)
	}
	if _, err := w.call("createTechnology", `{"body":{"title":"Late"}}`, tenant.Member); err == nil {
		t.Error("something was added to a project that is gone")
	}
}
