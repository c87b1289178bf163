package serve_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/reranker"
)

// byLength ranks short passages first.
type byLength struct{}

func (byLength) Name() string { return "by-length@1" }

func (byLength) AtOnce() int { return 10 }

func (byLength) Close() error { return nil }

func (byLength) Score(ctx context.Context, _ string, passages []string) ([]float64, error) {
	out := make([]float64, len(passages))
	for i, p := range passages {
		out[i] = 1 / float64(1+len(p))
	}
	return out, ctx.Err()
}

// ranking has the service rank results by their length.
func ranking(d *knowledge.Deps, _ *knowledge.Config) {
	d.Rankers = []reranker.Known{{Name: "length", Load: func(context.Context) (reranker.Ranker, error) { return byLength{}, nil }}}
}

func TestAQueryIsAnsweredInTheOrderOfAReRanker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ranking)
	me := member(1)
	for name, text := range map[string]string{"long.md": strings.Repeat("A lever moves. ", 6), "short.md": "One lever.", "middle.md": "A lever that moves something."} {
		w.indexed(me, w.text(me, name, text).ok(201).num("id"), true)
	}
	a, _ := w.search(me, "lever", obj{"rerank": "false"})
	if a.header["CC-Search-Reranked"] != "" || a.header["CC-Search-Not-Reranked"] != "" || a.list[0]["metadata"].(map[string]any)["rerank"] != nil {
		t.Errorf("not asked for: %v", a.header)
	}
	// The model is loaded by the first one who asks for it, who is told so.
	a, _ = w.search(me, "lever", obj{"rerank": "true"})
	w.until(func() bool {
		a, _ = w.search(me, "lever", obj{"rerank": "true", "explain": true})
		return a.header["CC-Search-Reranked"] == "by-length@1" || a.header["CC-Search-Not-Reranked"] != reranker.Loading
	})
	for _, how := range []string{"true", "length"} {
		a, names := w.search(me, "lever", obj{"rerank": how, "candidates": 10})
		if !slices.Equal(names, []string{"short.md", "middle.md", "long.md"}) || a.header["CC-Search-Reranked"] != "by-length@1" || a.header["CC-Search-Not-Reranked"] != "" {
			t.Errorf("%s: %v, %v", how, names, a.header)
		}
		m := a.list[0]["metadata"].(map[string]any)["rerank"].(map[string]any)
		if m["model"] != "by-length@1" || m["score"] != a.list[0]["score"] || m["first_score"].(float64) <= 0 || m["first_rank"].(float64) < 1 {
			t.Errorf("%s: %v of %v", how, m, a.list[0]["score"])
		}
	}
	if bad := w.request("queryKnowledgeBase", me, obj{"rerank": "huge", "body": obj{"query": "lever"}}); bad.err == nil || !strings.Contains(bad.err.Error(), "true, false, length") {
		t.Errorf("%v", bad.err)
	}
}
