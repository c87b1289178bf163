package index_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

func newIndex(t *testing.T, ps ...index.Passage) *index.Index {
	t.Helper()
	x := index.New(index.Config{Dim: 2}, &terms.Analyzer{})
	if err := x.Put(ps); err != nil {
		t.Fatal(err)
	}
	return x
}

func find(t *testing.T, x *index.Index, r index.Request) []int64 {
	t.Helper()
	if r.Limit == 0 {
		r.Limit = 10
	}
	if r.Mode == "" {
		r.Mode = index.Hybrid
	}
	res, err := x.Search(r)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, h := range res.Hits {
		ids = append(ids, h.ID)
	}
	return ids
}

var fruit = []index.Passage{
	{ID: 1, Document: 10, Title: "Guide", Body: "apples and pears", Vector: []float32{1, 0}, Collection: "default", Category: "a", Technology: 7, Repository: 5},
	{ID: 2, Document: 10, Title: "Guide", Body: "plums", Vector: []float32{0, 1}, Collection: "default", Category: "a"},
	{ID: 3, Document: 11, Title: "Other", Body: "apples", Vector: nil, Collection: "c2", Category: "b"},
}

func TestLegsAndFiltersDecideWhatIsFound(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fruit...)
	for _, c := range []struct {
		r    index.Request
		want []int64
	}{
		{index.Request{Text: "apple", Mode: index.Keyword}, []int64{3, 1}},
		{index.Request{Text: "apple", Mode: index.Vector, Vector: []float32{0, 1}}, []int64{2, 1}},
		{index.Request{Text: "apple", Mode: index.Vector}, nil},
		{index.Request{Text: "apple"}, []int64{3, 1}},
		{index.Request{Text: "zzz", Vector: []float32{1, .1}, Alpha: .7}, []int64{1, 2}},
		{index.Request{Text: "apple", Vector: []float32{1, 0}, Alpha: .5, Method: fusion.RRF}, []int64{1, 3, 2}},
		{index.Request{Text: "apple", Mode: index.Keyword, Filter: index.Filter{Collection: "default"}}, []int64{1}},
		{index.Request{Text: "apple", Mode: index.Keyword, Filter: index.Filter{Category: "b"}}, []int64{3}},
		{index.Request{Text: "apple plum", Mode: index.Keyword, Filter: index.Filter{Technology: 7}}, []int64{1}},
		{index.Request{Text: "apple", Filter: index.Filter{Collection: "default", Category: "b"}}, nil},
		{index.Request{Text: "apple", Filter: index.Filter{Collection: "none"}}, nil},
		{index.Request{Text: "apple plum", Mode: index.Keyword, Filter: index.Filter{Collection: "default", Repository: 5}}, []int64{1}},
		{index.Request{Text: "apple", Filter: index.Filter{Collection: "c2", Repository: 5}}, nil},
		{index.Request{Text: "apple", Mode: index.Keyword, Limit: 1}, []int64{3}},
		{index.Request{Text: "the of", Mode: index.Keyword}, nil},
	} {
		if got := find(t, x, c.r); !slices.Equal(got, c.want) {
			t.Errorf("%+v found %v, want %v", c.r, got, c.want)
		}
	}
	if _, err := x.Search(index.Request{Text: "a", Mode: index.Hybrid, Limit: 1, Vector: []float32{1}}); err == nil {
		t.Error("a query vector of another dimension was taken")
	}
	if err := x.Put([]index.Passage{{ID: 9, Document: 9, Vector: []float32{1, 2, 3}}}); err == nil {
		t.Error("a vector of another dimension was taken")
	}
}

func TestEachLegExplainsItsShare(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fruit...)
	res, err := x.Search(index.Request{Text: "apple", Mode: index.Hybrid, Vector: []float32{0, 1}, Alpha: .5, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	byID := map[int64]index.Hit{}
	for _, h := range res.Hits {
		byID[h.ID] = h
	}
	if h := byID[1]; h.LexicalRank != 2 || h.VectorRank != 2 || h.Lexical <= 0 || !h.HasVector || h.Document != 10 {
		t.Errorf("hit 1: %+v", h)
	}
	if h := byID[2]; h.LexicalRank != 0 || h.VectorRank != 1 || h.Cosine < .999 || h.Lexical != 0 {
		t.Errorf("hit 2: %+v", h)
	}
	if h := byID[3]; h.LexicalRank != 1 || h.VectorRank != 0 || h.HasVector {
		t.Errorf("hit 3: %+v", h)
	}
}

func TestPassagesAreReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	x := newIndex(t, fruit...)
	moved := fruit[0]
	moved.Category, moved.Vector = "z", nil
	if err := x.Put([]index.Passage{moved, {ID: 4, Document: 10, Body: "cherries"}}); err != nil {
		t.Fatal(err)
	}
	x.Keep(10, map[int64]bool{1: true, 4: true})
	if got := find(t, x, index.Request{Text: "apple plum cherry", Mode: index.Keyword}); !slices.Equal(got, []int64{4, 3, 1}) {
		t.Errorf("found %v", got)
	}
	if got := find(t, x, index.Request{Text: "apple", Filter: index.Filter{Category: "z"}}); !slices.Equal(got, []int64{1}) {
		t.Errorf("found %v", got)
	}
	if got := find(t, x, index.Request{Text: "apple", Filter: index.Filter{Category: "a"}}); got != nil {
		t.Errorf("found %v under the old category", got)
	}
	if p, v := x.Len(); p != 3 || v != 0 {
		t.Errorf("%d passages, %d vectors", p, v)
	}
	x.Keep(10, nil)
	if got := find(t, x, index.Request{Text: "apple cherry", Mode: index.Keyword}); !slices.Equal(got, []int64{3}) {
		t.Errorf("found %v after the removal", got)
	}
}

func TestManyRemovalsCompactTheIndex(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	put := func(from, to int) {
		for i := from; i < to; i++ {
			p := index.Passage{ID: int64(i + 1), Document: int64(i/10 + 1), Body: fmt.Sprintf("word%d common", i), Vector: []float32{float32(i), 1}, Category: fmt.Sprint(i % 3)}
			if err := x.Put([]index.Passage{p}); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(0, 4000)
	full := x.Bytes()
	for d := 1; d <= 300; d++ {
		x.Keep(int64(d), nil)
	}
	if x.Bytes() > full*2/3 {
		t.Errorf("%d bytes of %d after removing three quarters", x.Bytes(), full)
	}
	put(4000, 4010)
	for _, i := range []int{3500, 3999, 4005} {
		if got := find(t, x, index.Request{Text: fmt.Sprintf("word%d", i), Mode: index.Keyword, Filter: index.Filter{Category: fmt.Sprint(i % 3)}, Limit: 1}); !slices.Equal(got, []int64{int64(i + 1)}) {
			t.Errorf("word%d: found %v", i, got)
		}
	}
	if got := find(t, x, index.Request{Text: "word5", Mode: index.Keyword, Limit: 1}); len(got) == 1 && got[0] == 6 {
		t.Error("found a removed passage")
	}
}

// table is a source that counts its loads.
type table struct {
	mu       sync.Mutex
	docs     map[int64][]index.Passage
	gen      map[int64]int64
	model    string
	line     string
	at       int64
	loads    atomic.Int64
	fail     error
	old      int64         // changes before this generation are forgotten
	inside   chan struct{} // when set, a load says here that it has begun, and waits for block
	block    chan struct{}
	settings index.Settings
}

func (s *table) set(doc int64, ps ...index.Passage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.docs == nil {
		s.docs, s.gen = map[int64][]index.Passage{}, map[int64]int64{}
	}
	s.at++
	s.docs[doc], s.gen[doc] = ps, s.at
}

func (s *table) Changes(_ context.Context, _ tenant.Project, before index.State, put func(index.Passage) error, gone func(int64)) (index.State, error) {
	since := before.Generation
	s.loads.Add(1)
	if s.block != nil {
		s.inside <- struct{}{}
		<-s.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if since > 0 && since < s.old || since > s.at || before.Model != "" && before.Model != s.model || before.Line != "" && before.Line != s.line {
		return index.State{}, index.ErrTooOld
	}
	for d, ps := range s.docs {
		if s.gen[d] <= since {
			continue
		}
		if len(ps) == 0 {
			gone(d)
		}
		for _, p := range ps {
			if err := put(p); err != nil {
				return index.State{}, err
			}
		}
	}
	return index.State{Generation: s.at, Model: s.model, Line: s.line, Settings: s.settings}, s.fail
}

func (s *table) Settings(context.Context, tenant.Project) (index.Settings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings, nil
}

func TestLibraryBringsIndexesUpToDate(t *testing.T) {
	t.Parallel()
	s := &table{}
	l := index.NewLibrary(s, index.Config{Dim: 2}, 1<<20)
	s.set(10, fruit[:2]...)
	x, err := l.At(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := find(t, x, index.Request{Text: "plums"}); !slices.Equal(got, []int64{2}) {
		t.Errorf("found %v", got)
	}
	var many []index.Passage
	for i := range int64(300) {
		many = append(many, index.Passage{ID: 100 + i, Document: 12, Body: fmt.Sprintf("n%d", i)})
	}
	s.set(10, fruit[0])
	s.set(12, many...)
	if x, err = l.At(t.Context(), 1, 3); err != nil {
		t.Fatal(err)
	}
	if got := find(t, x, index.Request{Text: "plums n299", Mode: index.Keyword, Limit: 1}); !slices.Equal(got, []int64{399}) {
		t.Errorf("found %v", got)
	}
	if got := find(t, x, index.Request{Text: "plums"}); got != nil {
		t.Errorf("found %v, which was replaced", got)
	}
	s.set(12)
	if err := l.Refresh(t.Context(), 1, 4); err != nil {
		t.Fatal(err)
	}
	if p, _ := x.Len(); p != 1 || x.Generation() != 4 {
		t.Errorf("%d passages at generation %d", p, x.Generation())
	}
	before := s.loads.Load()
	if _, err := l.At(t.Context(), 1, 4); err != nil || s.loads.Load() != before {
		t.Errorf("an index that is up to date was loaded again (%v)", err)
	}
	if err := l.Refresh(t.Context(), 2, 9); err != nil || l.Held(2) {
		t.Error("a refresh built an index that nobody asked for")
	}
	l.Drop(1)
	if l.Held(1) {
		t.Error("a dropped index is held")
	}
}

func TestLibraryLoadsOnceForManyCallers(t *testing.T) {
	t.Parallel()
	s := &table{block: make(chan struct{}), inside: make(chan struct{}, 16)}
	s.set(10, fruit...)
	l := index.NewLibrary(s, index.Config{Dim: 2}, 1<<20)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := l.At(t.Context(), 1, 1); err != nil {
				t.Error(err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	<-s.inside
	if _, err := l.At(ctx, 1, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	close(s.block)
	wg.Wait()
	if n := s.loads.Load(); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
}

func TestLibraryDropsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	s := &table{}
	s.set(10, fruit...)
	l := index.NewLibrary(s, index.Config{Dim: 2}, 1)
	for _, p := range []tenant.Project{1, 2, 3} {
		if _, err := l.At(t.Context(), p, 1); err != nil {
			t.Fatal(err)
		}
	}
	if n, bytes := l.Size(); n != 1 || bytes == 0 || !l.Held(3) {
		t.Errorf("%d indexes of %d bytes; held 3: %v", n, bytes, l.Held(3))
	}
}

func TestIndexThatIsTooOldIsBuiltAnew(t *testing.T) {
	t.Parallel()
	s := &table{}
	s.set(10, fruit...)
	s.set(12, index.Passage{ID: 50, Document: 12, Body: "forgotten"})
	l := index.NewLibrary(s, index.Config{Dim: 2}, 1<<20)
	if _, err := l.At(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	delete(s.docs, 12) // nobody remembers that it was removed
	s.set(10, fruit...)
	s.old = 3
	x, err := l.At(t.Context(), 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := find(t, x, index.Request{Text: "forgotten", Mode: index.Keyword}); got != nil {
		t.Errorf("found %v", got)
	}
}

func TestAnIndexHoldsTheVectorsOfOneModel(t *testing.T) {
	t.Parallel()
	s := &table{model: "a"}
	s.set(10, index.Passage{ID: 1, Document: 10, Body: "x", Vector: []float32{1, 0}})
	l := index.NewLibrary(s, index.Config{}, 1<<20)
	before, err := l.At(t.Context(), 1, 1)
	if err != nil || before.Model() != "a" {
		t.Fatalf("model %q, %v", before.Model(), err)
	}
	s.set(10, index.Passage{ID: 1, Document: 10, Body: "x", Vector: []float32{0, 0, 1}})
	s.model = "b"
	after, err := l.At(t.Context(), 1, 2)
	if err != nil || after == before || after.Model() != "b" {
		t.Fatalf("model %q, %v", after.Model(), err)
	}
	if got := find(t, after, index.Request{Mode: index.Vector, Vector: []float32{0, 0, 1}}); !slices.Equal(got, []int64{1}) {
		t.Errorf("by the vector of the new model: %v", got)
	}
	if got := find(t, before, index.Request{Mode: index.Vector, Vector: []float32{1, 0}}); !slices.Equal(got, []int64{1}) {
		t.Errorf("who holds the index of before still searches in it: %v", got)
	}
	// A first load that ended half way leaves nothing of its model.
	s.fail = errors.New("power cut")
	if _, err := l.At(t.Context(), 2, 1); err == nil {
		t.Error("no error")
	}
	s.fail, s.model = nil, "a"
	s.set(10, index.Passage{ID: 1, Document: 10, Body: "x", Vector: []float32{1, 0}})
	if x, err := l.At(t.Context(), 2, 1); err != nil || x.Model() != "a" {
		t.Errorf("after a failure: %v", err)
	}
}

func TestFailedLoadIsRepeated(t *testing.T) {
	t.Parallel()
	s := &table{fail: errors.New("down")}
	s.set(10, fruit...)
	l := index.NewLibrary(s, index.Config{Dim: 2}, 1<<20)
	if _, err := l.At(t.Context(), 1, 1); !errors.Is(err, s.fail) {
		t.Fatalf("error %v", err)
	}
	s.fail = nil
	x, err := l.At(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := x.Len(); p != 3 {
		t.Errorf("%d passages", p)
	}
}

func TestManyPassagesAreRankedLikeFew(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 7))
	var ps []index.Passage
	for i := range int64(4000) {
		v := make([]float32, 8)
		for j := range v {
			v[j] = float32(r.NormFloat64())
		}
		ps = append(ps, index.Passage{ID: i + 1, Document: i / 4, Title: "t", Body: "b", Vector: v, Collection: fmt.Sprint("c", i%3)})
	}
	scan := index.New(index.Config{Dim: 8, Graph: len(ps)}, &terms.Analyzer{})
	graph := index.New(index.Config{Dim: 8, Graph: 100}, &terms.Analyzer{})
	for _, x := range []*index.Index{scan, graph} {
		if err := x.Put(ps); err != nil {
			t.Fatal(err)
		}
		for d := range int64(1000) { // enough for the slots to be given anew
			if d%2 == 0 {
				x.Keep(d, nil)
			}
		}
		if _, n := x.Len(); n != 2000 {
			t.Fatalf("%d vectors", n)
		}
	}
	same := 0
	for i := range 50 {
		q := index.Request{Mode: index.Vector, Vector: ps[i*7].Vector, Limit: 10}
		if i%2 == 0 {
			q.Filter.Collection = "c1"
		}
		want, got := find(t, scan, q), find(t, graph, q)
		if len(got) != 10 {
			t.Fatalf("%d hits", len(got))
		}
		for _, id := range got {
			if slices.Contains(want, id) {
				same++
			}
		}
	}
	if same < 495 {
		t.Errorf("%d of 500 hits are those of a scan", same)
	}
	graph.Close()
}

func TestSearchesStandBesideChangesOfManyPassages(t *testing.T) {
	t.Parallel()
	x := index.New(index.Config{Dim: 8, Graph: 100}, &terms.Analyzer{})
	passages := func(document int64) []index.Passage {
		r := rand.New(rand.NewPCG(uint64(document), 8))
		ps := make([]index.Passage, 4)
		for i := range ps {
			v := make([]float32, 8)
			for j := range v {
				v[j] = float32(r.NormFloat64())
			}
			ps[i] = index.Passage{ID: document*4 + int64(i), Document: document, Title: "t", Body: "b", Vector: v, Collection: "c"}
		}
		return ps
	}
	if err := x.Put(passages(1)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer close(done)
		for d := int64(2); d < 1000; d++ {
			if err := x.Put(passages(d)); err != nil {
				t.Error(err)
			}
			if d%2 == 0 { // and in time the slots are given anew
				x.Keep(d, nil)
			}
		}
	})
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				res, err := x.Search(index.Request{Mode: index.Vector, Vector: []float32{1, 2, 3, 4, 5, 6, 7, 8}, Limit: 4})
				if err != nil || len(res.Hits) != 4 {
					t.Errorf("%d hits: %v", len(res.Hits), err)
					return
				}
				x.Bytes()
			}
		})
	}
	all.Wait()
	res, err := x.Search(index.Request{Mode: index.Vector, Vector: []float32{1, 2, 3, 4, 5, 6, 7, 8}, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range res.Hits {
		if h.Document%2 == 0 {
			t.Errorf("found passage %d of a document that is gone", h.ID)
		}
	}
}
