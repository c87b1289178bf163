package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const answeredText = `{"question":"why?","answer":"As \"it says\" [1], \"and more\" [1].","outcome":"answered","truncated":true,"invented":[9],"sources":[],"model":"m","written_for":"as before?","usage":null,` +
	`"citations":[{"number":1,"document_id":2,"chunk_id":3,"chunk_index":0,"title":"Levers","heading_path":["Levers","Old"],"page":4,"source_file":"levers.md","quote":"it says","verified":true},` +
	`{"number":1,"document_id":2,"chunk_id":3,"chunk_index":0,"title":"Levers","heading_path":["Levers"],"page":null,"source_file":"levers.md","quote":"and more","verified":false}],` +
	`"retrieval":{"mode":"keyword","degraded":"the model is on holiday","reranked_by":null,"not_reranked":"there is none","index_generation":1},"timings":{"retrieval_ms":1,"first_token_ms":2,"total_ms":3}}`

func TestAnAnswerIsPrintedWithWhatIsKnownOfItsCitations(t *testing.T) {
	const begins = "event: sources\ndata: []\n\nevent: token\ndata: {\"text\":\"As \\u001b[2J\\\"it says\\\" [1],\\n\"}\n\nevent: token\ndata: {\"text\":\" \\\"and more\\\" [1].\"}\n\n"
	none := strings.NewReplacer(`"answered"`, `"no_answer"`, "[9]", "[]", `"truncated":true`, `"truncated":false`).Replace(answeredText)
	none = none[:strings.Index(none, `"citations":[`)] + `"citations":[],` + none[strings.Index(none, `"retrieval"`):]
	for name, c := range map[string]struct {
		args      []string
		body      string
		code      int
		out, errs []string // that are said
		not       string   // that is not
	}{
		"for people": {nil, begins + "event: answer\ndata: " + answeredText + "\n\n", 0,
			[]string{"As [2J\"it says\" [1],\n \"and more\" [1].\n\n[1] Levers › Old  levers.md, page 4\n    “it says” stands there\n    “and more” does not stand there\n"},
			[]string{"taken out: 1", "more to say", "mode keyword: the model is on holiday", "Not re-ranked: there is none", `for the question "as before?"`}, "\x1b"},
		"for programs": {[]string{"--json"}, begins + "event: answer\ndata: " + answeredText + "\n\n", 0, []string{`{"answer":"As \"it says\"`}, nil, "\n[1]"},
		"no answer":    {nil, "event: answer\ndata: " + none + "\n\n", 0, []string{"The documents do not say.\n"}, nil, "[1]"},
		"uncited":      {nil, "event: answer\ndata: " + strings.Replace(none, "no_answer", "uncited", 1) + "\n\n", 0, nil, []string{"it may be invented"}, "do not say"},
		"cut":          {nil, begins, exitFailure, []string{"[1].\n"}, []string{"broke off"}, "Levers"},
		"a problem":    {[]string{"--json"}, begins + "event: problem\ndata: {\"status\":502,\"detail\":\"it broke off\"}\n\n", exitUnavailable, nil, []string{"it broke off"}, "As"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			t.Setenv("CC_TOKEN", "a.b.c")
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.URL.Query().Get("neighbours") != "2" || r.URL.Query().Get("rerank") != "true" || r.URL.Query().Get("mode") != "keyword" || r.URL.Query().Get("group") != "document" ||
					string(body) != `{"category":"c","limit":3,"question":"why not?"}`+"\n" && string(body) != `{"category":"c","limit":3,"question":"why not?"}` {
					t.Errorf("%s %s %v", r.URL, body, err)
				}
				w.Header().Set("Content-Type", "text/event-stream")
				if _, err := io.WriteString(w, c.body); err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			args := append([]string{"answer", "why", "not?", "--around", "2", "--rerank", "--mode", "keyword", "--documents", "-n", "3", "--category", "c", "--server", server.URL, "--data-dir", t.TempDir()}, c.args...)
			code, out, errs := cc(t, "", args...)
			if code != c.code || c.not != "" && strings.Contains(out, c.not) {
				t.Errorf("%d\n%q\n%s", code, out, errs)
			}
			for _, want := range c.out {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in %q", want, out)
				}
			}
			for _, want := range c.errs {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in %q", want, errs)
				}
			}
		})
	}
}
