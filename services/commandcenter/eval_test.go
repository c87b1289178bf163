package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestACollectionIsMeasuredAndLeavesNothing runs eval as a person does: files of
// BEIR in; a table, a plot and run files out; and no project behind.
func TestACollectionIsMeasuredAndLeavesNothing(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"corpus.jsonl": `{"_id":"lamp/1","title":"","text":"The lamp of the lighthouse burns oil."}
{"_id":"horn","title":"Horn","text":"The fog horn sounds when ships are near."}
{"_id":"boat","title":"Boat","text":"A boat brings bread on Tuesdays."}
{"_id":"none","title":"","text":""}
`,
		"queries.jsonl":  `{"_id":"1","text":"lighthouse lamp"}` + "\n" + `{"_id":"2","text":"fog horn"}` + "\n" + `{"_id":"3","text":"zebra"}` + "\n",
		"qrels/test.tsv": "query-id\tcorpus-id\tscore\n1\tlamp/1\t1\n2\thorn\t2\n3\tboat\t1\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var before, after []map[string]any
	p.must(&before, "project", "list")
	var r struct {
		Documents, Queries int
		Rows               []struct {
			Name    string
			Figures map[string]float64
		}
	}
	plot, runs := filepath.Join(dir, "plot.svg"), filepath.Join(dir, "runs")
	p.must(&r, "eval", "run", "--beir", dir, "--modes", "keyword", "--plot", plot, "--runs", runs)
	if r.Documents != 4 || r.Queries != 3 || len(r.Rows) != 1 || r.Rows[0].Figures["ndcg@10"] < .66 || r.Rows[0].Figures["ndcg@10"] > .67 {
		t.Errorf("%+v", r)
	}
	if svg, err := os.ReadFile(plot); err != nil || !strings.Contains(string(svg), "keyword") {
		t.Errorf("%s %v", svg, err)
	}
	if p.must(&after, "project", "list"); len(after) != len(before) {
		t.Errorf("%d projects, %d before", len(after), len(before))
	}
	ranking := filepath.Join(runs, "keyword.run")
	code, out, errs := run(t, "eval", "report", "--qrels", filepath.Join(runs, "qrels.txt"), ranking, ranking)
	if code != 0 || !strings.Contains(out, "3 judged questions") || !strings.Contains(out, "+0.0000") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	// What is wrong with a file is told before the server is bothered.
	if err := os.WriteFile(filepath.Join(dir, "corpus.jsonl"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := p.cc("eval", "run", "--beir", dir); code != 2 || !strings.Contains(errs, "corpus.jsonl: line 1") {
		t.Errorf("%d %s", code, errs)
	}
}

// BenchmarkOwnQuestions is how well the product finds its own documents: nDCG@10 of
// judged questions on them, by mode, on the half for tuning and on the other one,
// over HTTP. It takes the embedding model: CC_TEST_MODEL=1, as `make eval` sets.
func BenchmarkOwnQuestions(b *testing.B) {
	if os.Getenv("CC_TEST_MODEL") == "" {
		b.Skip("without the embedding model: CC_TEST_MODEL=1")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p := apart(b, dataDir(b), "--no-sample")
		for _, name := range []string{
			"README.md", "CONTRIBUTING.md", "SECURITY.md", "THREATS.md", "CHANGELOG.md", "deployments/README.md", "deployments/postgres/README.md",
			"proto-events/EVENTS.md", "services/gateway/PERMISSIONS.md", "services/gateway/openapi.yaml",
		} {
			p.must(nil, "ingest", filepath.Join(root, name), "--name", name)
		}
		var r struct {
			Rows []struct {
				Name   string
				Tuning float64 `json:"ndcg10_tuning_half"`
				Report float64 `json:"ndcg10_report_half"`
			}
		}
		p.must(&r, "eval", "run", "--questions", filepath.Join("internal", "evaluate", "testdata", "own.jsonl"))
		for _, x := range r.Rows {
			b.ReportMetric(x.Tuning, x.Name+"-tuning-nDCG@10")
			b.ReportMetric(x.Report, x.Name+"-report-nDCG@10")
		}
		p.stop()
	}
}

// TestAProjectIsEvaluatedByTheServer goes the way of a person: judged questions in,
// an evaluation, its report, run files and drawing out, and the weight applied.
func TestAProjectIsEvaluatedByTheServer(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	owner := p.owner()
	for name, text := range map[string]string{"lamp.md": "The lamp of the lighthouse burns oil.", "horn.md": "The fog horn sounds when ships are near."} {
		owner.json("POST", "/api/v1/knowledge/documents/text", map[string]any{"title": name, "source_file": name, "content": text, "category": "c"}, 201, nil)
	}
	dir := t.TempDir()
	questions := filepath.Join(dir, "q.jsonl")
	if err := os.WriteFile(questions, []byte(`{"id":"1","text":"lighthouse lamp","relevant":[{"source":"lamp.md"}]}`+"\n"+`{"id":"2","text":"zebra","relevant":[{"source":"horn.md"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var set struct{ Set struct{ Questions int } }
	p.must(&set, "eval", "import", "light", "--questions", questions)
	if set.Set.Questions != 2 {
		t.Errorf("%+v", set)
	}
	var x struct {
		ID     int64
		State  string
		Report struct {
			Rows []struct{ Figures map[string]float64 }
		}
	}
	plot, runs := filepath.Join(dir, "plot.svg"), filepath.Join(dir, "runs")
	p.must(&x, "eval", "run", "--set", "light", "--modes", "keyword", "--label", "first", "--plot", plot, "--runs", runs)
	if x.State != "done" || len(x.Report.Rows) != 1 || x.Report.Rows[0].Figures["ndcg@10"] != .5 {
		t.Errorf("%+v", x)
	}
	svg, err := os.ReadFile(plot)
	ranking, err2 := os.ReadFile(filepath.Join(runs, "keyword.run"))
	if err != nil || err2 != nil || !strings.Contains(string(svg), "<svg") || !strings.HasPrefix(string(ranking), "1 Q0 lamp.md 1 ") {
		t.Errorf("%s %s %v %v", svg, ranking, err, err2)
	}
	var again struct{ ID int64 }
	p.must(&again, "eval", "run", "--set", "light", "--modes", "keyword")
	var d struct {
		Queries int
		Mean    float64
	}
	if p.must(&d, "eval", "report", fmt.Sprint(again.ID), "--against", fmt.Sprint(x.ID)); d.Queries != 2 || d.Mean != 0 {
		t.Errorf("%+v", d)
	}
	var all []struct{ Label *string }
	if p.must(&all, "eval", "report"); len(all) != 2 || *all[1].Label != "first" {
		t.Errorf("%+v", all)
	}
	var settings struct{ Mode string }
	if p.must(&settings, "eval", "apply", fmt.Sprint(x.ID), "--row", "keyword"); settings.Mode != "keyword" {
		t.Errorf("%+v", settings)
	}
	var sets []struct{ Name string }
	if p.must(&sets, "eval", "sets"); len(sets) != 1 || sets[0].Name != "light" {
		t.Errorf("%+v", sets)
	}
	var done map[string]any
	p.must(&done, "eval", "delete", fmt.Sprint(x.ID))
	p.must(&done, "eval", "delete", "light")
}
