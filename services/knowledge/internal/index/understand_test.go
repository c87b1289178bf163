package index_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
)

var house = []index.Passage{
	{ID: 1, Document: 10, Title: "Retry guide", Body: "the retry policy of the queue, exactly once delivery", Vector: []float32{1, 0}, Source: "docs/retry.md", Language: "markdown", Category: "Docs", Collection: "team"},
	{ID: 2, Document: 10, Title: "Retry guide", Body: "once exactly, delivery by embedding", Vector: []float32{.9, .1}, Source: "docs/retry.md", Language: "markdown", Category: "Docs", Collection: "team"},
	{ID: 3, Document: 11, Title: "queue.go \nParseConfig", Body: "func ParseConfig reads the embedder", Vector: []float32{0, 1}, Symbol: "ParseConfig", Source: "pkg/conf/queue.go", Language: "go", Category: "code", Collection: "repo"},
	{ID: 4, Document: 12, Title: "Notes", Body: "retrieval of notes, embeddings of a policy", Vector: []float32{.1, .9}, Source: "notes.txt", Category: "code", Collection: "repo"},
}

func TestQueriesMeanWhatTheirMarksSay(t *testing.T) {
	t.Parallel()
	x := newIndex(t, house...)
	for _, c := range []struct {
		query string
		want  []int64 // by id
		total int
	}{
		{"policy", []int64{1, 4}, 2},
		{`"exactly once"`, []int64{1}, 1},
		{`"retry policy of the queue"`, []int64{1}, 1},
		{`"guide the retry"`, nil, 0}, // the title ends before the text begins
		{`delivery -queue`, []int64{2}, 1},
		{`+policy retry`, []int64{1, 4}, 2},
		{`retry AND policy`, []int64{1}, 1},
		{`queue OR retrieval`, []int64{1, 3, 4}, 3},
		{`(queue OR retrieval) AND NOT title:notes`, []int64{1, 3}, 2},
		{`embed*`, []int64{2, 3, 4}, 3},
		{`embedding*`, []int64{2, 4}, 2},
		{`retreival~1`, []int64{4}, 1},
		{`retreival~2`, []int64{1, 2, 4}, 3},
		{`polcy~1`, []int64{1, 4}, 2},
		{`title:queue`, []int64{3}, 1},
		{`symbol:config`, []int64{3}, 1},
		{`symbol:reads`, nil, 0},
		{`path:conf reads`, []int64{3}, 1},
		{`source:retry.md "once exactly"`, []int64{2}, 1},
		{`source:docs/*`, []int64{1, 2}, 2},
		{`source:docs/retry.md -queue`, []int64{2}, 1},
		{`lang:Go`, []int64{3}, 1},
		{`category:docs policy`, []int64{1}, 1},
		{`collection:repo -lang:go`, []int64{4}, 1},
		{`collection:nowhere policy`, nil, 0},
		{`-policy`, []int64{2, 3}, 2},
		{`+the policy`, []int64{1, 4}, 2}, // a stop word asks for nothing
		{`+"of the" policy`, []int64{1, 4}, 2},
		{`policy (notes -embeddings)`, []int64{1, 4}, 2},
		{`nothing -policy`, nil, 0},
	} {
		res, err := x.Search(index.Request{Text: c.query, Mode: index.Keyword, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, h := range res.Hits {
			got = append(got, h.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) || res.Total != c.total {
			t.Errorf("%s found %v of %d, want %v of %d", c.query, got, res.Total, c.want, c.total)
		}
	}
}

func TestConditionsHoldForTheVectorLeg(t *testing.T) {
	t.Parallel()
	x := newIndex(t, house...)
	for _, mode := range []index.Mode{index.Vector, index.Hybrid} {
		for query, want := range map[string][]int64{`anything -queue`: {2, 4}, `+policy anything`: {1, 4}, `anything lang:go`: {3}} {
			got := find(t, x, index.Request{Text: query, Mode: mode, Alpha: .5, Vector: []float32{1, 1}})
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: %v, want %v", mode, query, got, want)
			}
		}
	}
}

func TestQueriesSurviveRemovalAndCompaction(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	for i := range 4000 {
		p := index.Passage{ID: int64(i + 1), Document: int64(i + 1), Title: "t", Body: fmt.Sprintf("odd%d number %d stands here", i, i), Source: fmt.Sprintf("d/%d.md", i)}
		if err := x.Put([]index.Passage{p}); err != nil {
			t.Fatal(err)
		}
	}
	for d := range 3000 {
		x.Keep(int64(d+1), nil)
	}
	for query, want := range map[string][]int64{`"odd3500 number"`: {3501}, `"odd5 number"`: nil, `source:d/3500.md`: {3501}, `"number odd3500"`: nil, `"number 3999 stands here"`: {4000}} {
		if got := find(t, x, index.Request{Text: query, Mode: index.Keyword}); !slices.Equal(got, want) {
			t.Errorf("%s found %v, want %v", query, got, want)
		}
	}
	res, err := x.Search(index.Request{Text: "number", Mode: index.Keyword, Limit: 3, Offset: 995})
	if err != nil || res.Total != 1000 || len(res.Hits) != 3 {
		t.Errorf("%d of %d, %v", len(res.Hits), res.Total, err)
	}
}

func TestGroupsAreFilledHoweverManyPassagesADocumentHas(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	for i := range 1200 {
		p := index.Passage{ID: int64(i + 1), Document: 1, Body: "apple", Vector: []float32{1, 0}}
		if i >= 1190 {
			p.Document, p.Body, p.Vector = int64(i), "apple and a pear and more", []float32{1, 1}
		}
		if err := x.Put([]index.Passage{p}); err != nil {
			t.Fatal(err)
		}
	}
	res, err := x.Search(index.Request{Text: "apple", Mode: index.Hybrid, Alpha: .5, Vector: []float32{1, 0}, Limit: 5, Group: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Hits) != 5 || res.Hits[0].Others != 1189 || res.Hits[1].Others != 0 || res.Total != 1200 {
		t.Errorf("%d groups of %d: %+v", len(res.Hits), res.Total, res.Hits)
	}
}

func TestDiversityPassesTheLikeOver(t *testing.T) {
	t.Parallel()
	x := newIndex(t,
		index.Passage{ID: 1, Document: 1, Body: "apple", Vector: []float32{1, 0}},
		index.Passage{ID: 2, Document: 2, Body: "apple", Vector: []float32{1, .01}},
		index.Passage{ID: 3, Document: 3, Body: "apple pear", Vector: []float32{.5, .8}},
	)
	r := index.Request{Text: "apple", Mode: index.Hybrid, Alpha: .5, Vector: []float32{1, 0}, Limit: 2}
	if got := find(t, x, r); !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("the best are %v", got)
	}
	r.Diversity = .6
	if got := find(t, x, r); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("the best and diverse are %v", got)
	}
}

func TestAnAccountAddsUpToTheScore(t *testing.T) {
	t.Parallel()
	x := newIndex(t, house...)
	res, err := x.Search(index.Request{Text: "retry embed*", Mode: index.Hybrid, Alpha: .3, Vector: []float32{1, 0}, Limit: 9, Explain: true})
	if err != nil || len(res.Hits) == 0 {
		t.Fatal(res, err)
	}
	for _, h := range res.Hits {
		sum := 0.0
		for _, s := range h.Account.Terms {
			sum += s.Score
		}
		score := h.Account.Weight*h.Account.Cosine01 + (1-h.Account.Weight)*h.Account.Lexical01
		if diff := sum - h.Lexical; diff > 1e-9 || diff < -1e-9 || score-h.Score > 1e-9 || h.Score-score > 1e-9 {
			t.Errorf("%d: %+v of %+v", h.ID, *h.Account, h)
		}
	}
}
