package evaluate

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func TestAPassageIsNamedByTheSectionThatItIsOf(t *testing.T) {
	t.Parallel()
	q := Question{ID: "1", Text: "x", Relevant: []Section{
		{Source: "a.md", Heading: "Keys > Sealing"}, {Source: "a.md", Heading: "Small"}, {Source: "b.md"},
	}}
	got := q.sections([]Passage{
		{Source: "a.md", Path: []string{"Guide", "Keys", "Sealing"}, Content: "### Sealing\n\ntext"},
		{Source: "a.md", Path: []string{"Guide", "Keys", "Sealing", "Deeper"}, Content: "below another heading"},
		{Source: "a.md", Path: []string{"Guide", "Doors", "Sealing"}, Content: "another section of that name"},
		{Source: "a.md", Path: []string{"Guide"}, Content: "## `Small`\n\none\n\n## Other\n\ntwo"},
		{Source: "b.md", Path: []string{"Anything"}, Content: "#hashtag"},
		{Source: "c.md", Content: "text"},
	})
	want := []string{"a.md#Keys > Sealing", "a.md#Guide > Keys > Sealing > Deeper", "a.md#Guide > Doors > Sealing", "a.md#Small", "b.md", "c.md"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if qrels := Qrels([]Question{q}); qrels["1"]["a.md#Small"] != 1 || len(qrels["1"]) != 3 {
		t.Errorf("%v", qrels)
	}
}

func TestFilesOfQuestionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "{", `{"id":"1","text":"a"}`, `{"id":"1","text":" ","relevant":[{"source":"a"}]}`, `{"id":"1","text":"a","relevant":[{"heading":"a"}]}`,
		`{"id":"1","text":"a","relevant":[{"source":"a"}],"relevent":1}`,
		`{"id":"1","text":"a","relevant":[{"source":"a"}]}` + "\n" + `{"id":"1","text":"b","relevant":[{"source":"a"}]}`,
	} {
		if q, err := ReadQuestions(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read as %v", text, q)
		}
	}
}

// TestOwnQuestionsNameSectionsThatAreThere: who renames a heading renames it in
// the judgements.
func TestOwnQuestionsNameSectionsThatAreThere(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/own.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	questions, err := ReadQuestions(f)
	if err != nil {
		t.Fatal(err)
	}
	halves := map[ireval.Half]int{}
	texts := map[string]bool{}
	for _, q := range questions {
		halves[ireval.HalfOf(q.ID)]++
		texts[q.Text] = true
		for _, s := range q.Relevant {
			data, err := os.ReadFile(filepath.Join("..", "..", "..", "..", filepath.FromSlash(s.Source)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(strings.Split(string(data), "\n"), func(l string) bool {
				return strings.HasPrefix(l, "#") && plain(strings.TrimLeft(l, "#")) == plain(s.Heading)
			}) {
				t.Errorf("question %s: %s has no heading %q", q.ID, s.Source, s.Heading)
			}
		}
	}
	if len(texts) < 60 || halves[ireval.Tuning] < 30 || halves[ireval.Report] < 30 {
		t.Errorf("%d questions, %v", len(texts), halves)
	}
}

// three documents, of which the legs find different ones.
func asking(t *testing.T) (Asking, ireval.Qrels) {
	t.Helper()
	a := Asking{Search: func(_ context.Context, text string, s Setting) ([]Passage, error) {
		good, bad := Passage{Source: "good-" + text}, Passage{Source: "bad"}
		if s.Mode == "keyword" || s.Mode == "hybrid" && (s.Alpha == nil || *s.Alpha != .65) {
			return []Passage{bad, good, good}, nil
		}
		return []Passage{good, bad}, nil
	}}
	for i := range 40 {
		text := fmt.Sprint(i)
		a.Questions = append(a.Questions, Question{ID: "q" + text, Text: text, Relevant: []Section{{Source: "good-" + text}}})
	}
	return a, Qrels(a.Questions)
}

func TestTheWeightIsTunedOnOneHalfAlone(t *testing.T) {
	t.Parallel()
	a, q := asking(t)
	search := a.Search
	a.Search = func(ctx context.Context, text string, s Setting) ([]Passage, error) {
		if !ireval.Tuning.Has("q" + text) {
			t.Errorf("question %s is of the other half", text)
		}
		return search(ctx, text, s)
	}
	alpha, err := a.Tune(t.Context(), q, Setting{Mode: "hybrid"}, func() {})
	if err != nil || alpha != .65 {
		t.Errorf("%v %v", alpha, err)
	}
	a.Search = search
	if alpha, err = a.Tune(t.Context(), q, Setting{Mode: "vector"}, func() {}); err != nil || alpha != .5 {
		t.Errorf("of equal ones %v is taken: %v", alpha, err)
	}
}

func TestAReportComparesWithTheBetterLeg(t *testing.T) {
	t.Parallel()
	a, q := asking(t)
	r := NewReport(`<"title">`, q)
	for _, s := range []Setting{{Mode: "keyword"}, {Mode: "vector"}, {Mode: "hybrid"}} {
		run, err := a.Run(t.Context(), s, ireval.All, func() {})
		if err != nil {
			t.Fatal(err)
		}
		r.Add(Row{Name: s.Mode, Setting: &s, Tuned: s.Mode == "hybrid"}, run)
	}
	r.Compare(func(i int) bool { return i < 2 })
	x := r.Rows[2].Against
	if r.Queries != 40 || r.QueriesReport+r.QueriesTuning != 40 || r.Rows[1].Figures["ndcg@10"] != 1 || r.Rows[0].Figures["mrr@10"] != .5 || r.Rows[0].Against != nil {
		t.Errorf("%+v", r)
	}
	if x == nil || x.Name != "vector" || x.Half != "report" || x.Queries != r.QueriesReport || x.Mean >= 0 || x.P > .01 || x.High >= 0 {
		t.Errorf("%+v", x)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	var b bytes.Buffer
	if err := r.Plot(&b); err != nil {
		t.Fatal(err)
	}
	dec := xml.NewDecoder(bytes.NewReader(b.Bytes()))
	for {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is no SVG: %v\n%s", err, b.String())
		}
	}
	if n := strings.Count(b.String(), "<rect x="); n != 3*len(Names)+3 {
		t.Errorf("%d bars and marks", n)
	}
}

func TestTheFirstFailureEndsARun(t *testing.T) {
	t.Parallel()
	a, _ := asking(t)
	gone := errors.New("gone")
	a.Search = func(context.Context, string, Setting) ([]Passage, error) { return nil, gone }
	if _, err := a.Run(t.Context(), Setting{Mode: "keyword"}, ireval.All, func() {}); !errors.Is(err, gone) {
		t.Error(err)
	}
	if _, err := a.Tune(t.Context(), nil, Setting{Mode: "hybrid"}, func() {}); !errors.Is(err, gone) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Run(ctx, Setting{}, ireval.All, func() {}); err == nil {
		t.Error("a run went on after Ctrl-C")
	}
}

func TestTheServerIsAskedAsItWasSaid(t *testing.T) {
	t.Parallel()
	used := "hybrid"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Query string
			Limit int
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Limit != Depth || body.Query != "what" ||
			r.URL.Query().Get("alpha") != "0.3" || r.URL.Query().Get("fusion") != "rrf" || r.URL.Query().Get("collection") != "c" {
			t.Errorf("%v %+v %s", err, body, r.URL)
		}
		w.Header().Set("CC-Search-Mode", used)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `[{"content":"text","title":"t","category":"c","technology_id":null,"source_file":"1.txt","score":1,"metadata":{"heading_path":["a","b"]}}]`) //nolint:errcheck // a test
	}))
	t.Cleanup(srv.Close)
	s, err := client.New(client.Config{Server: srv.URL, Token: "t", Store: client.NewStore(filepath.Join(t.TempDir(), "c"))})
	if err != nil {
		t.Fatal(err)
	}
	alpha := .3
	search := Over(s, "c")
	found, err := search(t.Context(), "what", Setting{Mode: "hybrid", Alpha: &alpha, Fusion: "rrf"})
	if err != nil || len(found) != 1 || found[0].Source != "1.txt" || !slices.Equal(found[0].Path, []string{"a", "b"}) {
		t.Errorf("%+v %v", found, err)
	}
	c := &ireval.Collection{Documents: []ireval.Document{{ID: "odd id/1"}}, Queries: []ireval.Query{{ID: "q", Text: "what"}}}
	run, err := FromBEIR(c, search).Run(t.Context(), Setting{Mode: "hybrid", Alpha: &alpha, Fusion: "rrf"}, ireval.All, func() {})
	if err != nil || run["q"]["odd id/1"] != 1 {
		t.Errorf("%v %v", run, err)
	}
	used = "keyword"
	var missing *MissingLegError
	if _, err := search(t.Context(), "what", Setting{Mode: "hybrid", Alpha: &alpha, Fusion: "rrf"}); !errors.As(err, &missing) || missing.Used != "keyword" {
		t.Errorf("a leg that is missing goes unnoticed: %v", err)
	}
	if got := []string{Text(ireval.Document{Title: "t"}), Text(ireval.Document{Title: "t", Text: " x "}), Text(ireval.Document{})}; !slices.Equal(got, []string{"t", "x", ""}) {
		t.Errorf("%q", got)
	}
}
