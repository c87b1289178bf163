package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// TestOwnQuestionsNameSectionsThatAreThere: who renames a heading renames it in
// the judgements.
func TestOwnQuestionsNameSectionsThatAreThere(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/own.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // read only
	questions, err := trial.ReadQuestions(f)
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer("`", "", "*", "", "_", "")
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
				return strings.HasPrefix(l, "#") && plain.Replace(strings.TrimSpace(strings.TrimLeft(l, "#"))) == plain.Replace(s.Heading)
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
	a := Asking{Search: func(_ context.Context, text string, s trial.Setting) ([]trial.Passage, error) {
		good, bad := trial.Passage{Source: "good-" + text}, trial.Passage{Source: "bad"}
		if s.Mode == "keyword" || s.Mode == "hybrid" && (s.Alpha == nil || *s.Alpha != .65) {
			return []trial.Passage{bad, good, good}, nil
		}
		return []trial.Passage{good, bad}, nil
	}}
	for i := range 40 {
		text := fmt.Sprint(i)
		a.Questions = append(a.Questions, trial.Question{ID: "q" + text, Text: text, Relevant: []trial.Section{{Source: "good-" + text}}})
	}
	return a, trial.Qrels(a.Questions)
}

func TestTheWeightIsTunedOnOneHalfAlone(t *testing.T) {
	t.Parallel()
	a, q := asking(t)
	search := a.Search
	a.Search = func(ctx context.Context, text string, s trial.Setting) ([]trial.Passage, error) {
		if !ireval.Tuning.Has("q" + text) {
			t.Errorf("question %s is of the other half", text)
		}
		return search(ctx, text, s)
	}
	alpha, err := a.Tune(t.Context(), q, trial.Setting{Mode: "hybrid"}, func() {})
	if err != nil || alpha != .65 {
		t.Errorf("%v %v", alpha, err)
	}
	a.Search = search
	if alpha, err = a.Tune(t.Context(), q, trial.Setting{Mode: "vector"}, func() {}); err != nil || alpha != .5 {
		t.Errorf("of equal ones %v is taken: %v", alpha, err)
	}
}

func TestTheFirstFailureEndsARun(t *testing.T) {
	t.Parallel()
	a, _ := asking(t)
	gone := errors.New("gone")
	a.Search = func(context.Context, string, trial.Setting) ([]trial.Passage, error) { return nil, gone }
	if _, err := a.Run(t.Context(), trial.Setting{Mode: "keyword"}, ireval.All, func() {}); !errors.Is(err, gone) {
		t.Error(err)
	}
	if _, err := a.Tune(t.Context(), nil, trial.Setting{Mode: "hybrid"}, func() {}); !errors.Is(err, gone) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Run(ctx, trial.Setting{}, ireval.All, func() {}); err == nil {
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
		fmt.Fprint(w, `[{"content":"text","title":"t","category":"c","technology_id":null,"source_file":"1.txt","score":1,"metadata":{"heading_path":["a","b"]}}]`)
	}))
	t.Cleanup(srv.Close)
	s, err := client.New(client.Config{Server: srv.URL, Token: "t", Store: client.NewStore(filepath.Join(t.TempDir(), "c"))})
	if err != nil {
		t.Fatal(err)
	}
	alpha := .3
	search := Over(s, "c")
	found, err := search(t.Context(), "what", trial.Setting{Mode: "hybrid", Alpha: &alpha, Fusion: "rrf"})
	if err != nil || len(found) != 1 || found[0].Source != "1.txt" || !slices.Equal(found[0].Path, []string{"a", "b"}) {
		t.Errorf("%+v %v", found, err)
	}
	c := &ireval.Collection{Documents: []ireval.Document{{ID: "odd id/1"}}, Queries: []ireval.Query{{ID: "q", Text: "what"}}}
	run, err := FromBEIR(c, search).Run(t.Context(), trial.Setting{Mode: "hybrid", Alpha: &alpha, Fusion: "rrf"}, ireval.All, func() {})
	if err != nil || run["q"]["odd id/1"] != 1 {
		t.Errorf("%v %v", run, err)
	}
	used = "keyword"
	var missing *MissingLegError
	if _, err := search(t.Context(), "what", trial.Setting{Mode: "hybrid", Alpha: &alpha, Fusion: "rrf"}); !errors.As(err, &missing) || missing.Used != "keyword" {
		t.Errorf("a leg that is missing goes unnoticed: %v", err)
	}
	if got := []string{Text(ireval.Document{Title: "t"}), Text(ireval.Document{Title: "t", Text: " x "}), Text(ireval.Document{})}; !slices.Equal(got, []string{"t", "x", ""}) {
		t.Errorf("%q", got)
	}
}
