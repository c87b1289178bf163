package evaluation_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/lexical"
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

func ndcg(t testing.TB, c *evaluation.Collection, x *index.Index, vectors [][]float32, r index.Request, only ireval.Half) ireval.Figures {
	t.Helper()
	r.Limit = 100
	run, err := c.Run(x, vectors, r)
	if err != nil {
		t.Fatal(err)
	}
	return ireval.Evaluate(c.Qrels, run, only.Has, ireval.Measures("ndcg@10", "recall@100")...)
}

func TestRankingKeepsItsQuality(t *testing.T) {
	t.Parallel()
	c, docs, queries := sample(t)
	x := index.New(index.Config{}, &terms.Analyzer{})
	if err := c.Index(x, docs); err != nil {
		t.Fatal(err)
	}
	keyword := ndcg(t, c, x, nil, index.Request{Mode: index.Keyword}, ireval.All)
	vector := ndcg(t, c, x, queries, index.Request{Mode: index.Vector}, ireval.All)
	convex := ndcg(t, c, x, queries, index.Request{Mode: index.Hybrid, Alpha: .5}, ireval.All)
	rrf := ndcg(t, c, x, queries, index.Request{Mode: index.Hybrid, Alpha: .5, Method: fusion.RRF}, ireval.All)
	// The floors are a little below what was measured when they were written.
	for _, f := range []struct {
		name string
		got  float64
		want float64
	}{{"keyword", keyword.Mean("ndcg@10"), .58}, {"vector", vector.Mean("ndcg@10"), .58}, {"convex", convex.Mean("ndcg@10"), .62}, {"rrf", rrf.Mean("ndcg@10"), .62}} {
		t.Logf("%s %.4f", f.name, f.got)
		if f.got < f.want {
			t.Errorf("%s: nDCG@10 %.4f, want at least %.4f", f.name, f.got, f.want)
		}
	}
	if convex.Mean("ndcg@10") < max(keyword.Mean("ndcg@10"), vector.Mean("ndcg@10")) {
		t.Error("the legs together rank worse than one of them")
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
			var held, all ireval.Figures
			for b.Loop() {
				held, all = ndcg(b, c, x, queries, m, ireval.Report), ndcg(b, c, x, queries, m, ireval.All)
			}
			b.ReportMetric(held.Mean("ndcg@10"), "nDCG@10-held-out")
			b.ReportMetric(all.Mean("ndcg@10"), "nDCG@10-all")
			b.ReportMetric(all.Mean("recall@100"), "recall@100")
		})
	}
}

// BenchmarkWords asks why figures by words are what they are: those of the index
// with the two settings that Lucene's were published for, of text alone, beside
// its own setting, and the title as a field of its own. CC_IR_DATA as above.
func BenchmarkWords(b *testing.B) {
	dirs, err := filepath.Glob(filepath.Join(os.Getenv("CC_IR_DATA"), "*", "corpus.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	if len(dirs) == 0 {
		b.Skip("CC_IR_DATA names no collections")
	}
	for _, d := range dirs {
		for _, c := range []struct {
			name  string
			title bool
			lexical.Config
		}{
			{"lucene-0.9-0.4", false, lexical.Config{K1: .9, B: .4}},
			{"lucene-1.2-0.75", false, lexical.Config{K1: 1.2, B: .75}},
			{"ours-without-title", false, lexical.Config{}},
			{"ours", true, lexical.Config{}},
		} {
			b.Run(filepath.Base(filepath.Dir(d))+"/"+c.name, func(b *testing.B) {
				all, err := evaluation.Load(os.DirFS(filepath.Dir(d)))
				if err != nil {
					b.Fatal(err)
				}
				for i := range all.Documents {
					if !c.title {
						all.Documents[i].Title = ""
					}
				}
				x := index.New(index.Config{Lexical: c.Config}, &terms.Analyzer{})
				if err := all.Index(x, nil); err != nil {
					b.Fatal(err)
				}
				var f ireval.Figures
				for b.Loop() {
					f = ndcg(b, all, x, nil, index.Request{Mode: index.Keyword}, ireval.All)
				}
				b.ReportMetric(f.Mean("ndcg@10"), "nDCG@10")
				b.ReportMetric(f.Mean("recall@100"), "recall@100")
			})
		}
	}
}
