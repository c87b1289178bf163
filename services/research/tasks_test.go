package research_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	"github.com/commandcenter/commandcenter/services/research"
)

// list reads what is answered with a list.
func (w *world) list(operation, payload string) (all []map[string]any) {
	w.t.Helper()
	a, err := w.call(operation, payload, tenant.Viewer)
	if err != nil || a.Status != 200 {
		w.t.Fatalf("%s %s: %+v %v", operation, payload, a, err)
	}
	if err := json.Unmarshal(a.Body, &all); err != nil {
		w.t.Fatal(err)
	}
	return all
}

func TestTheStoryOfATask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok("createTechnology", `{"body":{"title":"pgvector"}}`, 201)
	w.hears("added 1 pgvector assess")
	x := w.ok("createResearchTask", `{"body":{"title":"Is it fast?","status":"pending","task_type":"research","technology_id":1,"description":"","assigned_to":"Jo","due_date":"2020-01-31","metadata_":{"k":[1]}}}`, 201)
	for _, field := range []string{
		"id", "title", "description", "status", "task_type", "technology_id", "repository_id", "user_notes", "findings", "assigned_to", "due_date", "estimated_hours", "actual_hours", "uploaded_documents",
		"started_at", "completed_at", "progress_percentage", "metadata_", "version", "created_by", "created_at", "updated_at",
	} {
		if _, ok := x[field]; !ok {
			t.Errorf("no %s in %v", field, x)
		}
	}
	if x["due_date"] != "2020-01-31T00:00:00Z" || x["description"] != nil || x["progress_percentage"] != 0.0 || x["metadata_"].(map[string]any)["k"] == nil {
		t.Errorf("%v", x)
	}
	w.hears("task 1 opened, pending")
	if x := w.ok("updateTaskProgress", `{"task_id":1,"progress_percentage":40}`, 200); x["status"] != "in_progress" || x["started_at"] == nil {
		t.Errorf("%v", x)
	}
	w.hears("task 1 changed, in_progress 40")
	if x := w.ok("updateTaskStatus", `{"task_id":1,"new_status":"completed","If-Match":"\"2\""}`, 200); x["progress_percentage"] != 100.0 || x["completed_at"] == nil || x["version"] != 3.0 {
		t.Errorf("%v", x)
	}
	w.hears("task 1 changed, completed 100", "task 1 completed by user:1")
	if x := w.ok("updateResearchTask", `{"task_id":1,"body":{"status":"in_progress","findings":"1 ms","assigned_to":"","due_date":null,"progress_percentage":null}}`, 200); x["progress_percentage"] != 99.0 ||
		x["completed_at"] != nil || x["findings"] != "1 ms" || x["assigned_to"] != nil || x["due_date"] != nil || x["technology_id"] != 1.0 {
		t.Errorf("%v", x)
	}
	w.hears("task 1 changed, in_progress 99", "task 1 reopened by user:1")
	w.ok("createResearchTask", `{"body":{"title":"Late","due_date":"2020-01-31T12:00:00+02:00"}}`, 201)
	w.hears("task 2 opened, pending")
	if all := w.list("listResearchTasks", `{"skip":0,"limit":10,"technology_id":1,"status":"in_progress"}`); len(all) != 1 || all[0]["id"] != 1.0 {
		t.Errorf("%v", all)
	}
	if late, soon := w.list("getOverdueTasks", `{"limit":10}`), w.list("getUpcomingTasks", `{"limit":10,"days":7}`); len(late) != 1 || late[0]["due_date"] != "2020-01-31T10:00:00Z" || len(soon) != 0 {
		t.Errorf("%v %v", late, soon)
	}
	if s := w.ok("getTaskStatistics", `{}`, 200); s["total"] != 2.0 || s["overdue_count"] != 1.0 || len(s["by_status"].(map[string]any)) != 5 || len(s["overdue_tasks"].([]any)) != 1 {
		t.Errorf("%v", s)
	}
	n, err := bus.CallInternal[*researchv1.CountResearchResponse](t.Context(), w.Bus("auth"), research.Name, "countResearch", &researchv1.CountResearchRequest{ProjectId: 1})
	if err != nil || n.GetTechnologies() != 1 || n.GetTasks() != 2 {
		t.Errorf("%v %v", n, err)
	}
	w.ok("deleteResearchTask", `{"task_id":2}`, 204)
	w.hears("task 2 removed")
	if a, err := w.call("deleteTechnology", `{"technology_id":1}`, tenant.Admin); err != nil || a.Status != 204 {
		t.Errorf("%+v %v", a, err)
	}
	w.hears("removed 1", "task 1 removed")
}

func TestWhatCannotBeOfATaskIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok("createResearchTask", `{"body":{"title":"Why?"}}`, 201)
	for body, field := range map[string]string{
		`{"title":null}`: "title", `{"title":" "}`: "title", `{"status":"done"}`: "status", `{"progress_percentage":101}`: "progress_percentage", `{"due_date":"tomorrow"}`: "due_date",
		`{"due_date":7}`: "due_date", `{"metadata_":[]}`: "metadata_", `{"actual_hours":-1}`: "actual_hours", `{"status":"completed","progress_percentage":7}`: "progress_percentage", `{"due_date":"0000-01-01T00:00:00+23:00"}`: "due_date",
	} {
		_, err := w.call("updateResearchTask", `{"task_id":1,"body":`+body+`}`, tenant.Member)
		if errs.KindOf(err) != errs.Invalid || len(errs.As(err).Fields) != 1 || errs.As(err).Fields[0].Loc[1] != field {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, c := range []struct {
		operation, payload string
		role               tenant.Role
		want               errs.Kind
	}{
		{"createResearchTask", `{"body":{"title":"x","technology_id":7}}`, tenant.Member, errs.NotFound},
		{"createResearchTask", `{"body":{"title":"x"}}`, tenant.Viewer, errs.Forbidden},
		{"updateResearchTask", `{"task_id":1,"body":{}}`, tenant.Viewer, errs.Forbidden},
		{"updateTaskStatus", `{"task_id":1,"new_status":"blocked"}`, tenant.Viewer, errs.Forbidden},
		{"updateTaskProgress", `{"task_id":1,"progress_percentage":1}`, tenant.Viewer, errs.Forbidden},
		{"deleteResearchTask", `{"task_id":1}`, tenant.Viewer, errs.Forbidden},
		{"updateTaskStatus", `{"task_id":7,"new_status":"blocked"}`, tenant.Member, errs.NotFound},
		{"updateTaskStatus", `{"task_id":1,"new_status":"blocked","If-Match":"\"2\""}`, tenant.Member, errs.Precondition},
		{"updateTaskProgress", `{"task_id":1,"progress_percentage":1,"If-Match":"x"}`, tenant.Member, errs.Precondition},
		{"updateTaskStatus", `{"task_id":1,"new_status":"cancelled"}`, tenant.Member, ""},
		{"updateTaskStatus", `{"task_id":1,"new_status":"completed"}`, tenant.Member, errs.Conflict},
		{"updateTaskProgress", `{"task_id":1,"progress_percentage":100}`, tenant.Member, errs.Conflict},
	} {
		if _, err := w.call(c.operation, c.payload, c.role); errs.KindOf(err) != c.want {
			t.Errorf("%s %s: %v", c.operation, c.payload, err)
		}
	}
}

func TestTasksGoOutAndComeInAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok("createTechnology", `{"body":{"title":"pgvector"}}`, 201)
	const csv = `title,status,progress_percentage,technology,due_date,findings\nIs it fast?,in_progress,40,PGVector,2026-01-31,\n=Why?,completed,100,,,so\n`
	if dry := w.ok("importResearchTasks", `{"body":{"format":"csv","dry_run":true,"content":"`+csv+`"}}`, 200); dry["added"] != 2.0 || len(dry["ids"].([]any)) != 0 || len(w.list("listResearchTasks", `{"limit":10}`)) != 0 {
		t.Errorf("a dry run: %v", dry)
	}
	if done := w.ok("importResearchTasks", `{"body":{"format":"csv","content":"`+csv+`"}}`, 200); done["added"] != 2.0 || len(done["ids"].([]any)) != 2 {
		t.Errorf("%v", done)
	}
	for content, want := range map[string]string{
		`title,technology\nx,Zig\n`: "line 2 of the CSV cannot be taken: there is no technology", `title,status\nx,done\n`: "line 2 of the CSV cannot be taken: status is one of", `title,status,progress_percentage\nx,completed,7\n`: "if and only if",
	} {
		_, err := w.call("importResearchTasks", `{"body":{"format":"csv","content":"`+content+`"}}`, tenant.Member)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
	if _, err := w.call("importResearchTasks", `{"body":{"format":"csv","content":"title\nx\n"}}`, tenant.Viewer); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("by a viewer: %v", err)
	}
	a, err := w.call("exportResearchTasks", `{"format":"csv","after":0,"limit":10}`, tenant.Viewer)
	if err != nil || a.Header["Content-Type"] != "text/csv; charset=utf-8" || !strings.Contains(string(a.Body), "\n1,Is it fast?,in_progress,40,research,pgvector,,,2026-01-31T00:00:00Z,") || !strings.Contains(string(a.Body), "\n2,'=Why?,completed,100,") {
		t.Errorf("%+v %v\n%s", a, err, a.Body)
	}
	rest, err := w.call("exportResearchTasks", `{"format":"json","after":1,"limit":10,"status":"completed"}`, tenant.Viewer)
	if err != nil || !strings.Contains(string(rest.Body), `"id":2`) || strings.Contains(string(rest.Body), `"id":1,`) {
		t.Errorf("%v\n%s", err, rest.Body)
	}
	again, err := json.Marshal(map[string]any{"body": map[string]any{"format": "json", "content": string(rest.Body)}})
	if err != nil {
		t.Fatal(err)
	}
	w.ok("importResearchTasks", string(again), 200)
	if all := w.list("listResearchTasks", `{"limit":10,"status":"completed"}`); len(all) != 2 || all[0]["findings"] != "so" {
		t.Errorf("%v", all)
	}
	if a, err := w.call("exportResearchTasks", `{"format":"json","after":9,"limit":10}`, tenant.Viewer); err != nil || string(a.Body) != "[]" {
		t.Errorf("%s %v", a.Body, err)
	}
}
