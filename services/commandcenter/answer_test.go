package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// scribe is a language model that quotes the first line of the first passage, and
// one that is nowhere.
func scribe(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Messages []struct{ Content string } }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer very-secret" {
			t.Errorf("%s %v %v", r.URL, r.Header, err)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, rest, _ := strings.Cut(q.Messages[1].Content, "\n\n")
		line, _, _ := strings.Cut(rest, "\n")
		for _, text := range []string{`It says "` + line, `" [1]`, `, and more [7`, `].`} {
			_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", text) // the caller may have gone
			w.(http.Flusher).Flush()
		}
		if strings.Contains(q.Messages[1].Content, "break off") {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestAQuestionIsAnsweredByEveryWayIn asks over HTTP, by the command line and by the
// Model Context Protocol, in two projects.
func TestAQuestionIsAnsweredByEveryWayIn(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample", "--config",
		configured(t, fmt.Sprintf("knowledge:\n  answer:\n    kind: compatible\n    url: %s/v1\n    model: scribe\n    key: very-secret\n", scribe(t))))
	p.loginOwner(p.dir)
	owner := p.owner()
	levers(t, p)
	const want = `It says "One lever, one gate." [1], and more.`

	code, out, errs := p.cc("answer", "one lever, one gate?", "--category", "documentation", "-n", "1")
	if code != 0 || !strings.HasPrefix(out, want+"\n\n[1] ") || !strings.Contains(out, "“One lever, one gate.” stands there") || !strings.Contains(errs, "taken out: 1") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	var a struct {
		Answer, Outcome string
		Citations       []struct {
			Number   int
			Verified *bool
			Source   string `json:"source_file"`
		}
		Invented []int
	}
	p.must(&a, "answer", "one lever, one gate?", "-n", "1")
	if a.Answer != want || a.Outcome != "answered" || len(a.Citations) != 1 || a.Citations[0].Verified == nil || !*a.Citations[0].Verified || a.Citations[0].Source != "short.md" || len(a.Invented) != 1 {
		t.Errorf("%+v", a)
	}
	if code, out, errs := p.cc("answer", "does the lever break off?"); code == 0 || !strings.Contains(errs, "broke off") || strings.Contains(out, "[1] ") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if code, _, errs := p.cc("answer", "lever?", "-n", "50"); code != 6 || !strings.Contains(errs, "limit") {
		t.Errorf("%d %s", code, errs)
	}

	// As a whole, and as events, of which the last one is the whole.
	body := []byte(`{"question":"one lever, one gate?","limit":1}`)
	status, h, whole, err := owner.do("POST", "/api/v1/knowledge/answer", "application/json", body)
	if err != nil || status != 200 || h.Get("Content-Type") != "application/json" || !strings.Contains(string(whole), `"outcome":"answered"`) || !strings.Contains(string(whole), `"written_for":"one lever, one gate?"`) {
		t.Errorf("%d %v %s %v", status, h, whole, err)
	}
	status, h, events, err := owner.do("POST", "/api/v1/knowledge/answer?cache=false", "application/json", body, "Accept", "text/event-stream")
	if err != nil || status != 200 || h.Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(string(events), "event: sources\nid: 1\ndata: [{") || !strings.HasSuffix(string(events), "}\n\n") ||
		strings.Count(string(events), "event: answer\n") != 1 || strings.Count(string(events), "event: token\n") < 3 {
		t.Errorf("%d %v %s %v", status, h, events, err)
	}
	if _, _, events, err = owner.do("POST", "/api/v1/knowledge/answer", "application/json", []byte(`{"question":"does the lever break off?"}`), "Accept", "text/event-stream"); err != nil ||
		strings.Contains(string(events), "event: answer") || !strings.Contains(string(events), "event: problem") {
		t.Errorf("%s %v", events, err)
	}

	// Another project has no such passage.
	var other struct{ ID int64 }
	owner.json("POST", "/api/v1/projects", map[string]any{"name": "Apart"}, 201, &other)
	owner.json("POST", "/api/v1/knowledge/answer", map[string]any{"question": "one lever, one gate?"}, 200, &a, "X-Project-ID", fmt.Sprint(other.ID))
	if a.Outcome != "no_answer" || a.Answer != "" {
		t.Errorf("in another project: %+v", a)
	}

	var made struct {
		Secret string `json:"secret"`
	}
	p.must(&made, "key", "create", "model", "--scope", "knowledge:read")
	s, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &sdk.StreamableClientTransport{
		Endpoint: p.url + "/api/v1/mcp", DisableStandaloneSSE: true, HTTPClient: &http.Client{Transport: keyed(made.Secret)},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: "kb_answer", Arguments: json.RawMessage(`{"question":"one lever, one gate?","limit":1}`)})
	if err != nil || res.IsError || !strings.Contains(res.Content[0].(*sdk.TextContent).Text, `One lever, one gate.\" [1], and more.`) {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestWithoutALanguageModelAQuestionIsRefusedWithWhatToSet(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	if code, _, errs := p.cc("answer", "why?"); code != 5 || !strings.Contains(errs, "knowledge.answer.kind") || !strings.Contains(errs, "CC_KNOWLEDGE_ANSWER_KIND") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestAProjectBeginsAsATemplateSays(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	p.loginOwner(p.dir)
	if code, out, _ := p.cc("knowledge", "templates"); code != 0 || !strings.Contains(out, "code-search") || !strings.Contains(out, "all-mpnet-base-v2") {
		t.Errorf("%d %s", code, out)
	}
	code, out, errs := p.cc("knowledge", "apply", "code-search")
	if code != 0 || !strings.Contains(out, "template/code-search/sources.md\n") || !strings.Contains(errs, "all-MiniLM-L6-v2 is not offered here") { // nothing is embedded here
		t.Errorf("%d %s%s", code, out, errs)
	}
	var found []result
	p.must(&found, "search", "what forced a choice", "--category", "template")
	if len(found) == 0 || *found[0].SourceFile != "template/code-search/decision.md" {
		t.Errorf("%+v", found)
	}
	if code, _, errs := p.cc("knowledge", "apply", "magic"); code != 6 || !strings.Contains(errs, "template") {
		t.Errorf("%d %s", code, errs)
	}
}
