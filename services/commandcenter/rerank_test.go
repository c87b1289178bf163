package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// shortest ranks short passages first, in the words of text-embeddings-inference;
// or it is slow, or away.
type shortest struct {
	t     *testing.T
	state atomic.Value // "", "slow", "away"
	over  chan struct{}
}

func (x *shortest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q struct{ Texts []string }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		x.t.Error(err)
	}
	switch x.state.Load() {
	case "slow":
		select {
		case <-r.Context().Done():
		case <-x.over:
		}
		return
	case "away":
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	out := make([]map[string]any, len(q.Texts))
	for i, text := range q.Texts {
		out[i] = map[string]any{"index": i, "score": 1 / float64(1+len(text))}
	}
	if err := json.NewEncoder(w).Encode(out); err != nil {
		x.t.Error(err)
	}
}

// levers puts in three documents and returns what finds them.
func levers(t *testing.T, p *product) (sources func([]result) []string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"long.md": strings.Repeat("A lever moves the heavy gate. ", 6), "middle.md": "A lever that moves the gate slowly.", "short.md": "One lever, one gate.",
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.must(nil, "ingest", file, "--name", name)
	}
	return func(found []result) (names []string) {
		for _, r := range found {
			names = append(names, *r.SourceFile)
		}
		return names
	}
}

// configured is a settings file.
func configured(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestResultsThatCannotBeRankedAnewKeepTheirOrderAndSaySo asks over HTTP, and by the
// command line, while the re-ranking service works, is slow, and is away.
func TestResultsThatCannotBeRankedAnewKeepTheirOrderAndSaySo(t *testing.T) {
	t.Parallel()
	x := &shortest{t: t, over: make(chan struct{})}
	x.state.Store("")
	service := httptest.NewServer(x)
	t.Cleanup(service.Close)
	t.Cleanup(func() { close(x.over) })
	p := here(t, dataDir(t), "--no-sample", "--config",
		configured(t, fmt.Sprintf("knowledge:\n  rerank:\n    model: endpoint\n    deadline: 2s\n    endpoint:\n      kind: tei\n      url: %s\n", service.URL)))
	p.loginOwner(p.dir)
	names := levers(t, p)

	ask := func(query, rerank string) ([]string, string) {
		t.Helper()
		var plain, found []result
		code, out, said := p.cc("search", query, "--json", "--rerank="+rerank)
		if code != 0 {
			t.Fatalf("%d %s", code, said)
		}
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			t.Fatal(err)
		}
		p.must(&plain, "search", query, "--rerank=false")
		if _, anew := found[0].Metadata["rerank"]; anew == strings.Contains(said, "Not re-ranked") {
			t.Errorf("%q: re-ranked is %v, and it says %q", query, anew, said)
		}
		if strings.Contains(said, "Not re-ranked") && !slices.Equal(names(found), names(plain)) {
			t.Errorf("%q: %v, without re-ranking %v", query, names(found), names(plain))
		}
		return names(found), said
	}
	// The first question has the service looked for.
	for said := "being loaded"; strings.Contains(said, "being loaded"); {
		_, said = ask("lever", "true")
	}
	if got, said := ask("lever gate", "true"); !slices.Equal(got, []string{"short.md", "middle.md", "long.md"}) || said != "" && !strings.Contains(said, "Searched in mode keyword") {
		t.Errorf("%v, %q", got, said)
	}
	x.state.Store("slow")
	if _, said := ask("gate of a lever", "endpoint"); !strings.Contains(said, "Not re-ranked: re-ranking takes longer than 2s") {
		t.Errorf("%q", said)
	}
	x.state.Store("away")
	if _, said := ask("the lever's gate", "true"); !strings.Contains(said, "Not re-ranked: the re-ranking failed") {
		t.Errorf("%q", said)
	}
	// What was scored before needs nobody.
	if got, _ := ask("lever gate", "true"); !slices.Equal(got, []string{"short.md", "middle.md", "long.md"}) {
		t.Errorf("%v", got)
	}
}

// TestWithoutAReRankingModelResultsKeepTheirOrder has a directory without a model in
// it.
func TestWithoutAReRankingModelResultsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	none := t.TempDir()
	p := here(t, dataDir(t), "--no-sample", "--config", configured(t, "knowledge:\n  rerank:\n    on: true\n    model_dir: "+none+"\n"))
	p.loginOwner(p.dir)
	names := levers(t, p)
	var plain, found []result
	p.must(&plain, "search", "lever gate", "--rerank=false")
	for said := ""; !strings.Contains(said, "has not been fetched yet"); {
		code, out, errs := p.cc("search", "lever gate", "--json")
		said = errs
		if code != 0 || !strings.Contains(said, "Not re-ranked: the re-ranking model") || strings.Contains(said, none) {
			t.Fatalf("%d %s", code, said)
		}
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			t.Fatal(err)
		}
		if len(found) != 3 || !slices.Equal(names(found), names(plain)) || found[0].Metadata["rerank"] != nil {
			t.Errorf("%v, without re-ranking %v", found, names(plain))
		}
	}
}
