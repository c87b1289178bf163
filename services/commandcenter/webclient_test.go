package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// kinds of JSON values as the web client needs them.
const (
	text    = "string"
	number  = "number"
	object  = "object"
	list    = "array"
	boolean = "boolean"
)

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return text
	case float64:
		return number
	case bool:
		return boolean
	case []any:
		return list
	case map[string]any:
		return object
	}
	return "?"
}

// at follows a path such as "vector_db.total_chunks" or "0.title"; ok is false
// where a field is not there at all.
func at(v any, path string) (value any, ok bool) {
	if path == "" {
		return v, true
	}
	for key := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			if v, ok = x[key]; !ok {
				return nil, false
			}
		case []any:
			if key != "0" || len(x) == 0 {
				return nil, false
			}
			v = x[0]
		default:
			return nil, false
		}
	}
	return v, true
}

// TestTheWebClientGetsWhatItReads replays each live call that the existing web
// client makes in the areas that are here: what it sends, and each field that
// it reads, with its type. "or null" fields must be there as null: the client
// tests for null and crashes on undefined.
func TestTheWebClientGetsWhatItReads(t *testing.T) {
	t.Parallel()
	p := apart(t, dataDir(t), "--no-sample")
	owner := p.owner()
	var projects []struct {
		ID int64 `json:"id"`
	}
	owner.json("GET", "/api/v1/projects/", nil, 200, &projects)
	project := fmt.Sprint(projects[0].ID)
	uploadType, upload := form(t, "handbook.md", essay, "category", "docs", "collection", "default", "technology_id", "")

	type call struct {
		name, method, path string
		contentType        string
		body               string
		headers            []string
		anonymous          bool
		status             int
		reads              map[string]string // path → kinds, "a|b"; "a?" for "a or null"
	}
	const asJSON = "application/json"
	calls := []call{
		{name: "app start", method: "GET", path: "/health", anonymous: true, status: 200},
		{name: "knowledge: upload", method: "POST", path: "/api/v1/knowledge/documents", contentType: uploadType, body: string(upload), status: 201,
			reads: map[string]string{"filename": text, "chunks_added": number, "collection": text}},
		{name: "knowledge: collections", method: "GET", path: "/api/v1/knowledge/collections", status: 200, reads: map[string]string{"": list, "0": text}},
		{name: "knowledge: categories", method: "GET", path: "/api/v1/knowledge/categories?collection=default", status: 200, reads: map[string]string{"": list, "0": text}},
		{name: "knowledge: statistics", method: "GET", path: "/api/v1/knowledge/statistics?collection=default", status: 200,
			reads: map[string]string{"collection": text, "vector_db.total_chunks": number, "vector_db.categories": object, "vector_db.db_path": text + "?", "database.total_entries": number, "embedding_model": text}},
		{name: "knowledge: query", method: "POST", path: "/api/v1/knowledge/query?collection=default&mode=hybrid", contentType: asJSON, body: `{"query":"paraffin lamp","limit":10}`, status: 200,
			reads: map[string]string{"": list, "0.content": text, "0.title": text, "0.category": text, "0.technology_id": number + "?", "0.source_file": text + "?", "0.score": number, "0.metadata": object}},
		{name: "knowledge: query with alpha and category", method: "POST", path: "/api/v1/knowledge/query?collection=default&mode=hybrid&alpha=0.7", contentType: asJSON,
			body: `{"query":"fog horn","category":"docs","limit":10}`, status: 200, reads: map[string]string{"": list, "0.content": text, "0.score": number}},
		{name: "knowledge: query of nothing", method: "POST", path: "/api/v1/knowledge/query?collection=default&mode=hybrid", contentType: asJSON, body: `{"query":"   ","limit":10}`, status: 0},
		{name: "projects: list", method: "GET", path: "/api/v1/projects/", status: 200, headers: []string{"X-Project-ID", project},
			reads: map[string]string{"": list, "0.id": number, "0.name": text, "0.owner": text, "0.description": text + "?", "0.created_at": text, "0.updated_at": text + "?"}},
		{name: "projects: get", method: "GET", path: "/api/v1/projects/" + project, status: 200, headers: []string{"X-Project-ID", project}, reads: map[string]string{"id": number, "name": text}},
		{name: "projects: patch", method: "PATCH", path: "/api/v1/projects/" + project, contentType: asJSON, body: `{"description":"new"}`, status: 200, reads: map[string]string{"description": text}},
		{name: "projects: stats", method: "GET", path: "/api/v1/projects/" + project + "/stats", status: 200,
			reads: map[string]string{"repository_count": number, "technology_count": number, "research_task_count": number, "knowledge_entry_count": number}},
	}
	const technologies, tasks = "/api/v1/technologies/", "/api/v1/research-tasks/"
	one := map[string]string{
		"id": number, "title": text, "description": text + "?", "status": text, "technology_id": number + "?", "repository_id": number + "?", "user_notes": text + "?", "findings": text + "?", "assigned_to": text + "?",
		"due_date": text + "?", "estimated_hours": number + "?", "actual_hours": number + "?", "uploaded_documents": list + "?", "completed_at": text + "?", "progress_percentage": number, "metadata_": object + "?",
		"created_at": text, "updated_at": text,
	}
	listed := map[string]string{"": list}
	for field, kind := range one {
		listed["0."+field] = kind
	}
	row := map[string]string{"total": number, "items": list, "page": number, "page_size": number}
	for field, kind := range map[string]string{
		"id": number, "title": text, "vendor": text + "?", "domain": text, "status": text, "priority": number, "relevance_score": number, "description": text + "?", "notes": text + "?", "use_cases": text + "?", "tags": text + "?",
		"website_url": text + "?", "documentation_url": text + "?", "repository_url": text + "?", "latency_ms": number + "?", "throughput_qps": number + "?", "integration_difficulty": text + "?", "github_stars": number + "?",
		"integration_time_estimate_days": number + "?", "maturity_level": text + "?", "stability_score": number + "?", "cost_tier": text + "?", "cost_monthly_usd": number + "?", "dependencies": object + "?", "alternatives": text + "?",
		"last_hn_mention": text + "?", "hn_score_avg": number + "?", "github_last_commit": text + "?",
	} {
		row["items.0."+field] = kind
	}
	attachType, attach := form(t, "paper.md", essay)
	const blank = `"vendor":"","description":"","notes":"","use_cases":"","tags":"","website_url":"","documentation_url":"","repository_url":"","latency_ms":null,"throughput_qps":null,"integration_difficulty":null,` +
		`"integration_time_estimate_days":null,"maturity_level":null,"stability_score":null,"cost_tier":null,"cost_monthly_usd":null,"dependencies":null,"alternatives":"","domain":"ai-ml","status":"research","relevance_score":50,"priority":3`
	calls = append(calls, []call{
		{name: "radar: create", method: "POST", path: technologies, contentType: asJSON, body: `{"title":"pgvector",` + blank + `}`, status: 201},
		{name: "radar: list", method: "GET", path: technologies + "?skip=0&limit=20&search=pg", status: 200, reads: row},
		{name: "radar: save", method: "PUT", path: technologies + "1", contentType: asJSON, body: `{"title":"pgvector 0.8",` + blank + `}`, status: 200},
		{name: "tasks: create", method: "POST", path: tasks, contentType: asJSON, body: `{"title":"Is it fast?","technology_id":1,"due_date":"2030-01-31","description":""}`, status: 201, reads: one},
		{name: "tasks: list", method: "GET", path: tasks + "?technology_id=1&limit=20", status: 200, reads: listed},
		{name: "tasks: get", method: "GET", path: tasks + "1", status: 200, reads: one},
		{name: "tasks: patch", method: "PATCH", path: tasks + "1", contentType: asJSON, body: `{"findings":"1 ms","actual_hours":2}`, status: 200, reads: one},
		{name: "tasks: status", method: "PATCH", path: tasks + "1/status?new_status=in_progress", contentType: asJSON, body: `null`, status: 200, reads: one},
		{name: "tasks: progress", method: "PATCH", path: tasks + "1/progress?progress_percentage=40", contentType: asJSON, body: `null`, status: 200, reads: one},
		{name: "tasks: attach", method: "POST", path: tasks + "1/documents", contentType: attachType, body: string(attach), status: 200, reads: one},
		{name: "tasks: files", method: "GET", path: tasks + "1/documents", status: 200, reads: map[string]string{"documents": list, "documents.0.filename": text, "documents.0.content_type": text + "?", "documents.0.size": number, "documents.0.uploaded_at": text}},
		{name: "tasks: statistics", method: "GET", path: tasks + "statistics/overview", status: 200, reads: map[string]string{"by_status": object, "by_status.blocked": number, "total": number, "overdue_count": number, "upcoming_count": number, "overdue_tasks": list, "upcoming_tasks": list}},
		{name: "tasks: upcoming", method: "GET", path: tasks + "upcoming/list?days=30", status: 200, reads: map[string]string{"": list}},
		{name: "tasks: overdue", method: "GET", path: tasks + "overdue/list", status: 200, reads: map[string]string{"": list}},
		{name: "tasks: delete", method: "DELETE", path: tasks + "1", status: 204},
		{name: "radar: delete", method: "DELETE", path: technologies + "1", status: 204},
	}...)
	// These carry no token in the client: a clear refusal, in the form that it
	// can show.
	for _, path := range []string{"/api/v1/knowledge/collections", "/api/v1/projects/"} {
		calls = append(calls, call{name: "no token: " + path, method: "GET", path: path, anonymous: true, status: 401, reads: map[string]string{"detail": text, "request_id": text, "status": number}})
	}
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			who := &caller{t: t, url: p.url, token: owner.token, http: owner.http}
			if c.anonymous {
				who.token = ""
			}
			status, h, body, err := who.do(c.method, c.path, c.contentType, []byte(c.body), c.headers...)
			if err != nil {
				t.Fatal(err)
			}
			if c.status == 0 { // an answer, or a refusal that names the field
				if status != 200 && status != 422 {
					t.Errorf("status %d: %s", status, body)
				}
				return
			}
			if status != c.status {
				t.Fatalf("status %d, want %d: %s", status, c.status, body)
			}
			if h.Get("X-Request-Id") == "" {
				t.Errorf("no request id among %v", h)
			}
			var v any
			if len(c.reads) > 0 {
				if err := json.Unmarshal(body, &v); err != nil {
					t.Fatalf("%v in %s", err, body)
				}
			}
			for path, want := range c.reads {
				got, ok := at(v, path)
				if !ok {
					t.Errorf("%s is not there: %s", path, body)
					continue
				}
				kind := kindOf(got)
				if plain, nullable := strings.CutSuffix(want, "?"); kind != plain && !(nullable && kind == "null") {
					t.Errorf("%s is %s, want %s: %s", path, kind, want, body)
				}
			}
		})
	}
	t.Run("preflight", func(t *testing.T) {
		who := p.caller("")
		for _, origin := range []string{"http://localhost:3000", "http://localhost:4173"} {
			status, h, body, err := who.do("OPTIONS", "/api/v1/projects/", "", nil, "Origin", origin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization,content-type,x-project-id")
			if err != nil || status != 204 && status != 200 {
				t.Fatalf("%d %s %v", status, body, err)
			}
			if h.Get("Access-Control-Allow-Origin") != origin {
				t.Errorf("origin %s: %v", origin, h)
			}
			for _, want := range []string{"authorization", "content-type", "x-project-id", "idempotency-key"} {
				if !strings.Contains(strings.ToLower(h.Get("Access-Control-Allow-Headers")), want) {
					t.Errorf("headers %q lack %s", h.Get("Access-Control-Allow-Headers"), want)
				}
			}
		}
	})
}
