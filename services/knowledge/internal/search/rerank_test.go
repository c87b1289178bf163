package search_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// none is no re-ranker.
type none struct{}

func (none) Names() []string { return nil }

func (none) Rank(context.Context, string, string, []string) ([]float64, string, string, error) {
	return nil, "", "there is none", nil
}

// reversing ranks the last first.
type reversing struct {
	asked []string
	model string
	fail  error
}

func (*reversing) Names() []string { return []string{"small", "large"} }

func (r *reversing) Rank(_ context.Context, name, _ string, passages []string) ([]float64, string, string, error) {
	r.asked, r.model = passages, name
	scores := make([]float64, len(passages))
	for i := range scores {
		scores[i] = float64(i+1) / 100
	}
	return scores, "reversing@1", "", r.fail
}

// busy is a world with n passages about a bus, the first of which says it most.
func busy(n int) *world {
	w := newWorld(nil)
	for i := range n {
		w.put(int64(i+11), strings.Repeat("bus ", n-i)+strings.Repeat("x ", i), "c")
	}
	return w
}

func TestTheBestAreRankedAnewAndTheAccountIsKept(t *testing.T) {
	t.Parallel()
	w, r := busy(30), &reversing{}
	on := true
	ask := func(c search.Config, q search.Query) search.Answer {
		t.Helper()
		q.Text, q.Mode = "bus", index.Keyword
		a, err := search.NewEngine(w, w, w, r, c).Search(t.Context(), 1, q)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := ids(ask(search.Config{}, search.Query{Limit: 30}))
	if r.asked != nil {
		t.Error("it was not asked for")
	}
	a := ask(search.Config{}, search.Query{Limit: 3, Rerank: search.Rerank{On: &on, Candidates: 10}})
	want := []int64{first[9], first[8], first[7]}
	if got := ids(a); !slices.Equal(got, want) || a.RankedBy != "reversing@1" || a.Unranked != "" || len(r.asked) != 10 {
		t.Errorf("%v of %d, want %v; by %q, %q", got, len(r.asked), want, a.RankedBy, a.Unranked)
	}
	for i, f := range a.Found {
		if x := f.Reranked; x == nil || x.FirstRank != 10-i || x.First != f.Score || x.Score != float64(10-i)/100 || len(f.Highlights) == 0 {
			t.Errorf("%+v of %+v", f.Reranked, f.Hit)
		}
	}
	if !strings.HasPrefix(r.asked[0], "T\nbus") {
		t.Errorf("a passage is read without its title: %q", r.asked[0])
	}
	// Pages are of one order; and no fewer are ranked than are asked for.
	second := ask(search.Config{}, search.Query{Limit: 3, Offset: 3, Rerank: search.Rerank{On: &on, Candidates: 10, Model: "large"}})
	if got := ids(second); !slices.Equal(got, []int64{first[6], first[5], first[4]}) || r.model != "large" {
		t.Errorf("second page %v by %q", got, r.model)
	}
	if got := ids(ask(search.Config{Rerank: true}, search.Query{Limit: 30})); len(got) != 30 || got[0] != first[29] {
		t.Errorf("as the instance has it: %v", got)
	}
	off := false
	if got := ids(ask(search.Config{Rerank: true}, search.Query{Limit: 3, Rerank: search.Rerank{On: &off}})); !slices.Equal(got, first[:3]) {
		t.Errorf("a query that does not want it: %v", got)
	}
}

func TestWhereNothingIsRankedAnewTheFirstOrderStandsAndItIsSaidWhy(t *testing.T) {
	t.Parallel()
	on := true
	w := busy(5)
	plain, err := search.NewEngine(w, w, w, none{}, search.Config{}).Search(t.Context(), 1, search.Query{Text: "bus"})
	if err != nil {
		t.Fatal(err)
	}
	for why, q := range map[string]search.Query{
		"there is none": {Text: "bus"},
		"the query asks for diversity, which has an order of its own": {Text: "bus", Diversity: .0001},
		"the query has conditions and no topic":                       {Text: "category:c"},
	} {
		q.Rerank.On = &on
		a, err := search.NewEngine(w, w, w, none{}, search.Config{}).Search(t.Context(), 1, q)
		if err != nil {
			t.Fatal(err)
		}
		if a.Unranked != why || a.RankedBy != "" || len(a.Found) != 5 || a.Found[0].Reranked != nil {
			t.Errorf("%q: %q by %q, %d found", why, a.Unranked, a.RankedBy, len(a.Found))
		}
		if q.Text == "bus" && !slices.Equal(ids(a), ids(plain)) {
			t.Errorf("%q: %v, before %v", why, ids(a), ids(plain))
		}
	}
	if a := w.ask(t, search.Query{Text: "zebra", Rerank: search.Rerank{On: &on}}); len(a.Found) != 0 || a.Unranked != "" {
		t.Errorf("nothing found: %+v", a)
	}
	gone := &reversing{fail: context.Canceled}
	if _, err := search.NewEngine(w, w, w, gone, search.Config{}).Search(t.Context(), 1, search.Query{Text: "bus", Rerank: search.Rerank{On: &on}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAReRankingThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	w, on := busy(1), true
	e := search.NewEngine(w, w, w, &reversing{}, search.Config{})
	for field, q := range map[string]search.Query{
		"rerank":     {Rerank: search.Rerank{On: &on, Model: "huge"}},
		"candidates": {Rerank: search.Rerank{On: &on, Candidates: 201}},
		"offset":     {Rerank: search.Rerank{On: &on}, Offset: 150, Limit: 51},
	} {
		q.Text = "bus"
		_, err := e.Search(t.Context(), 1, q)
		var x *errs.Error
		if !errors.As(err, &x) || x.Kind != errs.Invalid || fmt.Sprint(x.Fields[0].Loc[1]) != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := e.Search(t.Context(), 1, search.Query{Text: "bus", Offset: 900}); err != nil {
		t.Errorf("far pages without re-ranking: %v", err)
	}
}
