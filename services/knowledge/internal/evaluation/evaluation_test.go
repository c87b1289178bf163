package evaluation_test

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// testdata/sample is a part of the Cranfield collection: every seventh query,
// the documents judged for it, and a tenth of the others; vectors.i8 are those
// of all-MiniLM-L6-v2, documents then queries, a byte an element, so that the
// hybrid ranking is tested without the model.
func sample(t testing.TB) (c *evaluation.Collection, docs, queries [][]float32) {
	t.Helper()
	root := os.DirFS(filepath.Join("testdata", "sample"))
	c, err := evaluation.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := fs.ReadFile(root, "vectors.i8")
	if err != nil {
		t.Fatal(err)
	}
	const dim = 384
	if len(raw) != dim*(len(c.Documents)+len(c.Queries)) {
		t.Fatalf("%d bytes of vectors for %d documents and %d queries", len(raw), len(c.Documents), len(c.Queries))
	}
	all := make([][]float32, len(raw)/dim)
	for i := range all {
		all[i] = make([]float32, dim)
		for j := range all[i] {
			all[i][j] = float32(int8(raw[i*dim+j]))
		}
	}
	return c, all[:len(c.Documents)], all[len(c.Documents):]
}

func ndcg(t testing.TB, c *evaluation.Collection, x *index.Index, vectors [][]float32, r index.Request, only func(string) bool) evaluation.Figures {
	t.Helper()
	r.Limit = 100
	run, err := c.Run(x, vectors, r)
	if err != nil {
		t.Fatal(err)
	}
	return evaluation.Measure(c.Judgements, run, only)
}

func TestRankingKeepsItsQuality(t *testing.T) {
	t.Parallel()
	c, docs, queries := sample(t)
	x := index.New(index.Config{}, &terms.Analyzer{})
	if err := c.Index(x, docs); err != nil {
		t.Fatal(err)
	}
	keyword := ndcg(t, c, x, nil, index.Request{Mode: index.Keyword}, nil)
	vector := ndcg(t, c, x, queries, index.Request{Mode: index.Vector}, nil)
	convex := ndcg(t, c, x, queries, index.Request{Mode: index.Hybrid, Alpha: .5}, nil)
	rrf := ndcg(t, c, x, queries, index.Request{Mode: index.Hybrid, Alpha: .5, Method: fusion.RRF}, nil)
	t.Logf("keyword %+v\nvector %+v\nconvex %+v\nrrf %+v", keyword, vector, convex, rrf)
	// The floors are a little below what was measured when they were written.
	for _, f := range []struct {
		name string
		got  float64
		want float64
	}{{"keyword", keyword.NDCG10, .58}, {"vector", vector.NDCG10, .58}, {"convex", convex.NDCG10, .62}, {"rrf", rrf.NDCG10, .62}} {
		if f.got < f.want {
			t.Errorf("%s: nDCG@10 %.4f, want at least %.4f", f.name, f.got, f.want)
		}
	}
	if convex.NDCG10 < max(keyword.NDCG10, vector.NDCG10) {
		t.Error("the legs together rank worse than one of them")
	}
}

func TestFiguresAreThoseOfTrecEval(t *testing.T) {
	t.Parallel()
	j := evaluation.Judgements{"1": {"a": 2, "b": 1, "c": 0, "d": 1}, "2": {"a": 0}, "3": {"z": 1}}
	r := evaluation.Run{"1": {"c": 3, "a": 2, "x": 1, "d": 1}}
	f := evaluation.Measure(j, r, nil)
	// Query 1: c, a, x, d (the tie goes to the higher id); query 2 has no
	// positive judgement; query 3 is missing and counts 0.
	want := (2/math.Log2(3) + 1/math.Log2(5)) / (2 + 1/math.Log2(3) + 1/math.Log2(4)) / 2
	if f.Queries != 2 || math.Abs(f.NDCG10-want) > 1e-12 {
		t.Errorf("%d queries, nDCG %v, want 2 and %v", f.Queries, f.NDCG10, want)
	}
	if math.Abs(f.MRR10-.25) > 1e-12 || math.Abs(f.Recall10-1./3) > 1e-12 || math.Abs(f.Recall100-1./3) > 1e-12 || math.Abs(f.MAP-(1./2+2./4)/3/2) > 1e-12 {
		t.Errorf("%+v", f)
	}
	if f := evaluation.Measure(j, r, func(q string) bool { return q == "1" }); f.Queries != 1 {
		t.Errorf("%d queries", f.Queries)
	}
}

func TestBrokenCollectionsAreRefused(t *testing.T) {
	t.Parallel()
	good := fstest.MapFS{"corpus.jsonl": {Data: []byte(`{"_id":"1","text":"a"}`)}, "queries.jsonl": {Data: []byte("{\"_id\":\"q\",\"text\":\"a\"}\n\n")}, "qrels/test.tsv": {Data: []byte("query-id\tcorpus-id\tscore\nq\t1\t1\n")}}
	if c, err := evaluation.Load(good); err != nil || len(c.Documents) != 1 || c.Judgements["q"]["1"] != 1 || !c.Half(0)("q") {
		t.Fatalf("%+v, %v", c, err)
	}
	for name, data := range map[string]string{"corpus.jsonl": "{", "queries.jsonl": "[", "qrels/test.tsv": "q 1"} {
		bad := fstest.MapFS{}
		for k, v := range good {
			bad[k] = v
		}
		bad[name] = &fstest.MapFile{Data: []byte(data)}
		if _, err := evaluation.Load(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		delete(bad, name)
		if _, err := evaluation.Load(bad); err == nil {
			t.Errorf("loaded without %s", name)
		}
	}
	bad := fstest.MapFS{"corpus.jsonl": good["corpus.jsonl"], "queries.jsonl": good["queries.jsonl"], "qrels/test.tsv": {Data: []byte("q 1 x")}}
	if _, err := evaluation.Load(bad); err == nil {
		t.Error("took a judgement that is no number")
	}
}

// BenchmarkRanking reports quality, not speed: nDCG at 10 on the half of the
// queries that nothing was tuned on. CC_IR_DATA names a folder of collections
// in the BEIR layout; without it there is the sample.
//
// Baselines of the same figure over all queries, for Lucene's BM25 with k1 0.9
// and b 0.4, else 1.2 and 0.75: Cranfield .3654/.3832, Vaswani .4378/.4318.
func BenchmarkRanking(b *testing.B) {
	c, docs, queries := sample(b)
	rank(b, "sample", c, docs, queries)
	root := os.Getenv("CC_IR_DATA")
	if root == "" {
		return
	}
	dirs, err := filepath.Glob(filepath.Join(root, "*", "corpus.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	model, err := embed.New(embed.Options{})
	if err != nil {
		b.Logf("without vectors: %v", err)
	} else {
		defer func() {
			if err := model.Close(); err != nil {
				b.Error(err)
			}
		}()
	}
	for _, d := range dirs {
		c, err := evaluation.Load(os.DirFS(filepath.Dir(d)))
		if err != nil {
			b.Fatal(err)
		}
		docs, queries = nil, nil
		if model != nil {
			docs, queries = vectors(b, model, c)
		}
		rank(b, filepath.Base(filepath.Dir(d)), c, docs, queries)
	}
}

func vectors(b *testing.B, m *embed.Embedder, c *evaluation.Collection) (docs, queries [][]float32) {
	b.Helper()
	texts := make([]string, 0, len(c.Documents)+len(c.Queries))
	for _, d := range c.Documents {
		texts = append(texts, strings.TrimPrefix(d.Title+"\n"+d.Text, "\n"))
	}
	for _, q := range c.Queries {
		texts = append(texts, q.Text)
	}
	all, err := m.EmbedBatch(b.Context(), texts, nil)
	if err != nil {
		b.Fatal(err)
	}
	return all[:len(c.Documents)], all[len(c.Documents):]
}

func rank(b *testing.B, name string, c *evaluation.Collection, docs, queries [][]float32) {
	b.Helper()
	x := index.New(index.Config{}, &terms.Analyzer{})
	if err := c.Index(x, docs); err != nil {
		b.Fatal(err)
	}
	modes := []index.Request{{Mode: index.Keyword}}
	if docs != nil {
		modes = append(modes, index.Request{Mode: index.Vector}, index.Request{Mode: index.Hybrid, Alpha: .5},
			index.Request{Mode: index.Hybrid, Alpha: .5, Method: fusion.RRF})
	}
	for _, m := range modes {
		label := string(m.Mode)
		if m.Mode == index.Hybrid {
			label = fmt.Sprintf("%s-%s", m.Mode, map[fusion.Method]string{"": "convex", fusion.RRF: "rrf"}[m.Method])
		}
		b.Run(name+"/"+label, func(b *testing.B) {
			var held, all evaluation.Figures
			for b.Loop() {
				held = ndcg(b, c, x, queries, m, c.Half(1))
				all = evaluation.Measure(c.Judgements, must(c.Run(x, queries, limited(m))), nil)
			}
			b.ReportMetric(held.NDCG10, "nDCG@10-held-out")
			b.ReportMetric(all.NDCG10, "nDCG@10-all")
			b.ReportMetric(all.Recall100, "recall@100")
		})
	}
}

func limited(r index.Request) index.Request {
	r.Limit = 100
	return r
}

func must(r evaluation.Run, err error) evaluation.Run {
	if err != nil {
		return evaluation.Run{}
	}
	return r
}
