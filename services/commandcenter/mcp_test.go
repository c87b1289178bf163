package main_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// keyed gives every request an API key.
type keyed string

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(k))
	return http.DefaultTransport.RoundTrip(r)
}

// TestALanguageModelMayDoWhatItsKeyMay speaks the Model Context Protocol to the
// product with keys of different scopes.
func TestALanguageModelMayDoWhatItsKeyMay(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := here(t, dir, "--no-sample")
	p.loginOwner(dir)
	key := func(scopes ...string) string {
		t.Helper()
		var made struct {
			Secret string `json:"secret"`
		}
		args := []string{"key", "create", scopes[0]}
		for _, s := range scopes {
			args = append(args, "--scope", s)
		}
		p.must(&made, args...)
		return made.Secret
	}
	connect := func(k string) (*sdk.ClientSession, error) {
		client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil)
		return client.Connect(t.Context(), &sdk.StreamableClientTransport{
			Endpoint: p.url + "/api/v1/mcp", DisableStandaloneSSE: true, HTTPClient: &http.Client{Transport: keyed(k)},
		}, nil)
	}
	if s, err := connect("cc_nobody"); err == nil {
		t.Errorf("nobody was let in: %v", s.InitializeResult())
	}
	reader, err := connect(key("knowledge:read"))
	if err != nil {
		t.Fatal(err)
	}
	writer, err := connect(key("knowledge:write"))
	if err != nil {
		t.Fatal(err)
	}
	offered := func(s *sdk.ClientSession) string {
		t.Helper()
		list, err := s.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range list.Tools {
			names = append(names, tool.Name)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	reads := "kb_get_analytics kb_get_document kb_health_check"
	if got, want := offered(reader), "kb_answer "+reads+" kb_list_collections kb_list_documents kb_list_templates kb_search"; got != want {
		t.Errorf("a key that reads is offered %s, want %s", got, want)
	}
	if got, want := offered(writer), "kb_answer kb_delete_document "+reads+" kb_ingest kb_list_collections kb_list_documents kb_list_templates kb_search"; got != want {
		t.Errorf("a key that writes is offered %s, want %s", got, want)
	}
	call := func(s *sdk.ClientSession, tool, args string) (string, bool) {
		t.Helper()
		res, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: json.RawMessage(args)})
		if err != nil {
			t.Fatalf("%s: %v", tool, err)
		}
		return res.Content[0].(*sdk.TextContent).Text, res.IsError
	}
	doc := `{"title": "Levers", "content": "# Levers\n\nA lever moves the world.", "category": "docs"}`
	if text, failed := call(reader, "kb_ingest", doc); !failed || !strings.Contains(text, "knowledge:write") {
		t.Errorf("a key that reads has written: %v %s", failed, text)
	}
	if text, failed := call(writer, "kb_ingest", doc); failed {
		t.Errorf("a key that writes: %s", text)
	}
	if text, failed := call(reader, "kb_search", `{"query": "what moves the world?"}`); failed || !strings.Contains(text, "A lever moves the world.") {
		t.Errorf("search: %v %s", failed, text)
	}
	for args, want := range map[string]string{
		`{"query": ""}`:                    "query",
		`{"query": "x", "mode": "magic"}`:  "mode",
		`{"query": "x", "colour": "red"}`:  "no argument is called colour",
		`{"query": "x", "project_id": 99}`: "99",
	} {
		if text, failed := call(reader, "kb_search", args); !failed || !strings.Contains(text, want) {
			t.Errorf("%s: %v %s", args, failed, text)
		}
	}
	if text, failed := call(writer, "kb_list_projects", "{}"); !failed || !strings.Contains(text, "projects:read") {
		t.Errorf("beyond its scopes: %v %s", failed, text)
	}
}
