package index_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
)

// far are the vectors of fruit, elsewhere.
type far struct {
	nearest []index.Near
	asked   int
	among   []int64
	also    []int64
	before  func()
	err     error
}

func (f *far) leg() *index.Leg {
	return &index.Leg{
		Nearest: func(k int, among, also []int64) ([]index.Near, map[int64]float64, error) {
			f.asked, f.among, f.also = f.asked+1, among, also
			if f.before != nil {
				f.before()
			}
			cosines := map[int64]float64{}
			for _, n := range f.nearest {
				if slices.Contains(also, n.ID) {
					cosines[n.ID] = n.Cosine
				}
			}
			return f.nearest[:min(k, len(f.nearest))], cosines, f.err
		},
		Vectors: func(ids []int64) (map[int64][]float32, error) {
			out := map[int64][]float32{}
			for _, id := range ids {
				if id != 3 {
					out[id] = []float32{1, 0}
				}
			}
			return out, f.err
		},
	}
}

var question = []float32{1, 0}

func withoutVectors() []index.Passage {
	ps := slices.Clone(fruit)
	for i := range ps {
		ps[i].Vector = nil
	}
	return ps
}

func TestVectorsElsewhereAreJoinedWithWordsHere(t *testing.T) {
	t.Parallel()
	x := newIndex(t, withoutVectors()...)
	f := &far{nearest: []index.Near{{ID: 2, Cosine: .9}, {ID: 1, Cosine: .5}, {ID: 77, Cosine: .4}}} // 77 is not here yet
	res, err := x.Search(index.Request{Text: "apple", Mode: index.Hybrid, Alpha: .5, Vector: question, Leg: f.leg(), Limit: 10, Explain: true})
	if err != nil || len(res.Hits) != 3 || f.among != nil {
		t.Fatalf("%+v, %v", res.Hits, err)
	}
	slices.Sort(f.also)
	if !slices.Equal(f.also, []int64{1, 3}) {
		t.Errorf("the cosines of %v were asked for", f.also)
	}
	for _, h := range res.Hits {
		want := map[int64]index.Hit{
			1: {Cosine: .5, HasVector: true, VectorRank: 2, LexicalRank: 2}, 2: {Cosine: .9, HasVector: true, VectorRank: 1}, 3: {LexicalRank: 1},
		}[h.ID]
		if h.Cosine != want.Cosine || h.HasVector != want.HasVector || h.VectorRank != want.VectorRank || h.LexicalRank != want.LexicalRank || h.Account == nil {
			t.Errorf("%+v, want %+v", h, want)
		}
	}
	if got := find(t, x, index.Request{Text: "+apples", Mode: index.Vector, Vector: question, Leg: f.leg(), Filter: index.Filter{Collection: "default"}}); !slices.Equal(got, []int64{1}) || !slices.Equal(f.among, []int64{1}) {
		t.Errorf("found %v among %v", got, f.among)
	}
	if got := find(t, x, index.Request{Text: "zzz", Mode: index.Vector, Vector: question, Leg: f.leg(), Diversity: .9}); !slices.Equal(got, []int64{2, 1}) {
		t.Errorf("found %v", got)
	}
	if got := find(t, x, index.Request{Text: "zzz", Mode: index.Vector, Vector: question, Leg: f.leg(), Group: true}); !slices.Equal(got, []int64{2}) {
		t.Errorf("of each document, found %v", got)
	}
}

func TestAnIndexThatChangesWhileVectorsAreAskedElsewhereIsSearchedAgain(t *testing.T) {
	t.Parallel()
	x := newIndex(t, withoutVectors()...)
	f := &far{nearest: []index.Near{{ID: 2, Cosine: .9}, {ID: 1, Cosine: .5}}}
	id := int64(100)
	change := func() {
		id++
		if err := x.Put([]index.Passage{{ID: id, Document: id, Body: "more"}}); err != nil {
			t.Error(err)
		}
	}
	f.before = func() {
		if f.asked == 1 {
			x.Keep(10, map[int64]bool{1: true})
		}
	}
	if got := find(t, x, index.Request{Text: "zzz", Mode: index.Vector, Vector: question, Leg: f.leg()}); !slices.Equal(got, []int64{1}) || f.asked != 2 {
		t.Errorf("found %v after %d questions", got, f.asked)
	}
	// Under a stream of changes the last time changes wait.
	f.asked = 0
	f.before = func() {
		if f.asked < 3 {
			change()
		}
	}
	if got := find(t, x, index.Request{Text: "zzz", Mode: index.Vector, Vector: question, Leg: f.leg()}); !slices.Equal(got, []int64{1}) || f.asked != 3 {
		t.Errorf("found %v after %d questions", got, f.asked)
	}
	f.before, f.err = nil, errors.New("no database")
	if _, err := x.Search(index.Request{Text: "apple", Mode: index.Hybrid, Alpha: .5, Vector: question, Leg: f.leg(), Limit: 3}); !errors.Is(err, f.err) {
		t.Errorf("error %v", err)
	}
	change() // the lock was given back
}
