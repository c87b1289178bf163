package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestASearchPrintsItsTotalItsReadingAndItsAccount(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("CC_TOKEN", "a.b.c")
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query().Encode()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("CC-Search-Mode", "hybrid")
		w.Header().Set("CC-Search-Total", "17")
		w.Header().Set("CC-Search-Query", `+retry "gr%C3%B6\u00dfe"`)
		if _, err := io.WriteString(w, `[{"content":"a retry here","title":"T","category":"c","technology_id":null,"source_file":"s.md","score":0.5,"others":3,"before":["what stood before"],
			"highlights":[{"start":2,"end":7}],"metadata":{"explanation":{"lexical":0.4,"cosine":0.6,"vector_weight":0.5,"terms":[{"term":"retri","idf":2.5,"in_body":1,"in_title":0,"score":1.25}]}}}]`); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	var out, errs bytes.Buffer
	args := []string{"search", "+retry", "--server", server.URL, "--data-dir", t.TempDir(), "--explain", "--documents", "--offset", "10", "--diversity", "0.5", "--around", "1"}
	if code := Run(t.Context(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("%d, %s", code, errs.String())
	}
	for _, want := range []string{"11. T", "3 more of this document", "retri: 1.250 (idf 2.50, 1 in the text, 0 in titles)", "┊ what stood before", "a retry here"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	for _, want := range []string{"Read as: +retry", "17 passages match by words."} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("no %q in\n%s", want, errs.String())
		}
	}
	if want := "diversity=0.5&explain=true&group=document&neighbours=1&offset=10"; asked != want {
		t.Errorf("asked %s, want %s", asked, want)
	}
}

func TestHighlightsSurviveCuttingAndWrapping(t *testing.T) {
	t.Parallel()
	word := string(markOn) + "found" + string(markOff)
	s := snippet(strings.Repeat("word ", 100)+word+strings.Repeat(" word", 100), 80)
	if !strings.Contains(s, word) || len([]rune(s)) > 90 || !strings.HasPrefix(s, "…") {
		t.Errorf("%q", s)
	}
	if s := snippet(word+strings.Repeat(" word", 100), 80); !strings.HasPrefix(s, word) {
		t.Errorf("%q", s)
	}
	e := &env{Streams: Streams{Out: io.Discard}}
	if got := e.shine("a " + word + " b" + string(markOff)); got != "a found b" {
		t.Errorf("%q", got)
	}
}
