package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"slices"
	"strings"
	"testing"
)

// TestTheExistingWebClientFindsWhatItReads replays the calls of the web client
// for the areas that are there, as it sends them, and looks for every field
// that it reads. A field that may be null has to be there as null: the client
// tests against null and then calls methods.
func TestTheExistingWebClientFindsWhatItReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := "Bearer " + w.token("1", "s1")
	withToken := map[string]string{"Authorization": token, "Origin": "http://localhost:3000", "Accept": "application/json, text/plain, */*"}
	withProject := map[string]string{"Authorization": token, "Origin": "http://localhost:3000", "X-Project-ID": "1", "Accept": "application/json, text/plain, */*"}
	plain := map[string]string{"Origin": "http://localhost:3000", "Accept": "*/*"}
	form, kind := clientForm(t)
	withForm := map[string]string{"Authorization": token, "Origin": "http://localhost:3000", "Content-Type": kind}
	for _, c := range []struct {
		view, method, path, body string
		header                   map[string]string
		status                   int
		reads                    map[string]string // path into the answer: type
	}{
		{"app start", "GET", "/health", "", plain, 200, nil},
		{"knowledge", "GET", "/api/v1/knowledge/collections", "", withToken, 200, map[string]string{"": "array", "0": "string"}},
		{"knowledge", "GET", "/api/v1/knowledge/categories?collection=default", "", withToken, 200, map[string]string{"": "array", "0": "string"}},
		{"knowledge", "GET", "/api/v1/knowledge/statistics?collection=default", "", withToken, 200, map[string]string{
			"collection": "string", "vector_db.total_chunks": "number", "vector_db.categories": "object", "vector_db.db_path": "null|string",
			"database.total_entries": "number", "embedding_model": "string",
		}},
		{"knowledge", "POST", "/api/v1/knowledge/query?collection=default&mode=hybrid&alpha=0.7", `{"query":"how do we deploy","limit":10}`, withToken, 200, searchResult},
		{"knowledge", "POST", "/api/v1/knowledge/query?collection=default&mode=hybrid", `{"query":"how do we deploy","category":"docs","limit":10}`, withToken, 200, searchResult},
		{"knowledge", "POST", "/api/v1/knowledge/documents", form, withForm, 201, map[string]string{
			"filename": "string", "chunks_added": "number", "collection": "string",
		}},
		{"projects", "GET", "/api/v1/projects/", "", withProject, 200, map[string]string{
			"": "array", "0.id": "number", "0.name": "string", "0.owner": "string", "0.description": "null|string", "0.created_at": "string", "0.updated_at": "null|string",
		}},
		{"projects", "GET", "/api/v1/projects/1", "", withProject, 200, map[string]string{"id": "number", "name": "string"}},
		{"projects", "POST", "/api/v1/projects/", `{"name":"p","owner":"o","description":"d"}`, withProject, 201, map[string]string{"id": "number"}},
		{"projects", "PATCH", "/api/v1/projects/1", `{"name":"p"}`, withProject, 200, map[string]string{"id": "number"}},
		{"projects", "GET", "/api/v1/projects/1/stats", "", withProject, 200, map[string]string{
			"repository_count": "number", "technology_count": "number", "research_task_count": "number", "knowledge_entry_count": "number",
		}},
		{"projects", "DELETE", "/api/v1/projects/1", "", withProject, 204, nil},
		// These send no token and are told so, in the form whose detail the client shows.
		{"settings", "GET", "/api/v1/settings/api-keys", "", plain, 401, map[string]string{"detail": "string"}},
		{"settings", "GET", "/api/v1/settings/models", "", plain, 401, map[string]string{"detail": "string"}},
		{"settings", "GET", "/api/v1/settings/agents", "", plain, 401, map[string]string{"detail": "string"}},
		{"workflows", "GET", "/api/v1/research/tasks", "", plain, 401, map[string]string{"detail": "string"}},
		// What the client shows of a refusal: detail as a text, or detail[].msg.
		{"errors", "GET", "/api/v1/projects/77", "", withProject, 404, map[string]string{"detail": "string"}},
		{"errors", "POST", "/api/v1/projects/", `{}`, withProject, 422, map[string]string{"detail": "array", "detail.0.msg": "string", "detail.0.loc": "array"}},
	} {
		t.Run(c.view+" "+c.method+" "+c.path, func(t *testing.T) {
			got := w.call(c.method, c.path, c.body, c.header)
			if got.status != c.status {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if got.header.Get("Access-Control-Allow-Origin") != "http://localhost:3000" {
				t.Error("the page may not read this")
			}
			if len(c.reads) == 0 {
				return
			}
			var v any
			if err := json.Unmarshal([]byte(got.body), &v); err != nil {
				t.Fatal(err)
			}
			for path, want := range c.reads {
				if is := typeAt(v, path); !oneOf(is, want) {
					t.Errorf("%s is %s, not %s", path, is, want)
				}
			}
		})
	}
	preflight := w.call("OPTIONS", "/api/v1/projects/", "", map[string]string{
		"Origin": "http://localhost:4173", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization,x-project-id",
	})
	if preflight.status != 204 || preflight.header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("preflight: %d %v", preflight.status, preflight.header)
	}
}

var searchResult = map[string]string{
	"": "array", "0.content": "string", "0.title": "string", "0.category": "string", "0.technology_id": "null|number", "0.source_file": "null|string",
	"0.score": "number", "0.metadata": "object",
}

// clientForm is the form of the client's upload dialogue; a technology that was
// not chosen is an empty field.
func clientForm(t *testing.T) (string, string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	f, err := m.CreateFormFile("file", "guide.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("# Guide")); err != nil {
		t.Fatal(err)
	}
	for _, kv := range [][2]string{{"category", "docs"}, {"technology_id", ""}, {"collection", "default"}} {
		if err := m.WriteField(kv[0], kv[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), m.FormDataContentType()
}

// typeAt is the JSON type at a dotted path, "missing" when nothing is there.
func typeAt(v any, path string) string {
	for path != "" {
		var step string
		step, path, _ = strings.Cut(path, ".")
		switch at := v.(type) {
		case map[string]any:
			next, ok := at[step]
			if !ok {
				return "missing"
			}
			v = next
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(at) {
				return "missing"
			}
			v = at[i]
		default:
			return "missing"
		}
	}
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case []any:
		return "array"
	}
	return "object"
}

func oneOf(is, want string) bool { return slices.Contains(strings.Split(want, "|"), is) }
