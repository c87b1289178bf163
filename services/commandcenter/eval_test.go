package main_test

import (
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
