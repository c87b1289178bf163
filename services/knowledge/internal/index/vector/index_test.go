package vector_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/vector"
)

// pair is an index and the scan that says what it must find.
type pair struct {
	flat  *vector.Flat
	index *vector.Index
}

func newPair(dim, threshold int) pair { return pair{vector.NewFlat(dim), vector.New(dim, threshold)} }

func (p pair) add(t *testing.T, slot uint32, v []float32) {
	t.Helper()
	if a, b := p.flat.Add(slot, v), p.index.Add(slot, v); a != nil || b != nil {
		t.Fatal(a, b)
	}
}

func (p pair) remove(slot uint32) {
	p.flat.Remove(slot)
	p.index.Remove(slot)
}

func (p pair) compact(to []uint32) {
	p.flat.Compact(to)
	p.index.Compact(to)
}

// ask returns how many of the k nearest were found; whatever is wrong beside
// that fails the test.
func (p pair) ask(t *testing.T, v []float32, k int, allow *bitmap.Set) (found, all int) {
	t.Helper()
	exact, err := p.flat.Query(v)
	if err != nil {
		t.Fatal(err)
	}
	q, err := p.index.Query(v)
	if err != nil {
		t.Fatal(err)
	}
	want, got := exact.Search(k, allow, before), q.Search(k, allow, before)
	if len(got) != len(want) {
		t.Fatalf("%d hits, want %d", len(got), len(want))
	}
	for i, h := range got {
		if allow != nil && !allow.Has(h.Slot) {
			t.Fatalf("slot %d does not pass the filter", h.Slot)
		}
		if c, ok := exact.Cosine(h.Slot); !ok || c != h.Cosine {
			t.Fatalf("slot %d has cosine %v, want %v (there: %v)", h.Slot, h.Cosine, c, ok)
		}
		if i > 0 && (got[i-1].Cosine < h.Cosine || got[i-1].Cosine == h.Cosine && got[i-1].Slot >= h.Slot) {
			t.Fatalf("%v stands before %v", got[i-1], h)
		}
		if h.Cosine >= want[len(want)-1].Cosine {
			found++
		}
	}
	return found, len(want)
}

// recall is the share of the ten nearest that were found.
func (p pair) recall(t *testing.T, queries [][]float32, allow *bitmap.Set) float64 {
	t.Helper()
	found, all := 0, 0
	for _, v := range queries {
		f, a := p.ask(t, v, 10, allow)
		found, all = found+f, all+a
	}
	return float64(found) / float64(all)
}

func TestTheGraphFindsWhatTheScanFinds(t *testing.T) {
	t.Parallel()
	const dim = 32
	n := 20_000
	if raceEnabled { // which makes each step of a walk some twenty times as long
		n = 4000
	}
	vectors, queries := crowd(3, n, dim)
	p := newPair(dim, 0)
	for i, v := range vectors {
		p.add(t, uint32(i), v)
	}
	if r := p.recall(t, queries, nil); r < .99 {
		t.Errorf("recall@10 while the graph is built: %.4f", r)
	}
	p.index.Settle()
	if r := p.recall(t, queries, nil); r < .99 {
		t.Errorf("recall@10 %.4f", r)
	}
	r := rand.New(rand.NewPCG(3, 3))
	for _, percent := range []int{1, 10, 50, 90} {
		allow := &bitmap.Set{}
		for i := range uint32(n) { //nolint:gosec // G115: some thousands
			if r.IntN(100) < percent {
				allow.Add(i)
			}
		}
		if r := p.recall(t, queries, allow); r < .98 {
			t.Errorf("recall@10 of a filter that lets %d %% pass: %.4f", percent, r)
		}
	}
	// What passes lies far from what is asked for.
	far := &bitmap.Set{}
	q, err := p.flat.Query(queries[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(n) { //nolint:gosec // G115: some thousands
		if c, _ := q.Cosine(i); c < 0 {
			far.Add(i)
		}
	}
	if r := p.recall(t, queries[:1], far); r < .98 {
		t.Errorf("recall@10 of a filter that lets pass what is far: %.4f", r)
	}
}

func TestWhatIsRemovedIsNeverFound(t *testing.T) {
	t.Parallel()
	const dim, steps = 16, 10_000
	vectors, queries := crowd(4, 20_000, dim)
	r := rand.New(rand.NewPCG(4, 4))
	p := newPair(dim, 200)
	next, fresh := uint32(0), 0
	living := map[uint32]bool{}
	pick := func() uint32 { return r.Uint32N(max(next, 1)) }
	found, all := 0, 0
	for step := range steps {
		switch what := r.IntN(100); {
		case what < 50:
			p.add(t, next, vectors[fresh])
			living[next] = true
			next++
			fresh++
		case what < 55: // another vector in the same place, or the same again
			slot := pick()
			v := vectors[fresh]
			fresh++
			p.add(t, slot, v)
			p.add(t, slot, v)
			living[slot] = true
			next = max(next, slot+1)
		case what < 75:
			slot := pick()
			p.remove(slot)
			delete(living, slot)
		default:
			var allow *bitmap.Set
			if what < 85 {
				allow = &bitmap.Set{}
				for i := range next {
					if i%3 == 0 {
						allow.Add(i)
					}
				}
			}
			f, a := p.ask(t, queries[r.IntN(len(queries))], 1+r.IntN(20), allow)
			found, all = found+f, all+a
		}
		if step%2500 == 2499 {
			to := make([]uint32, next)
			n := uint32(0)
			for old := range next {
				if living[old] {
					to[old] = n
					n++
				}
			}
			p.compact(to)
			living, next = map[uint32]bool{}, n
			for i := range n {
				living[i] = true
			}
		}
		if p.index.Len() != len(living) || p.flat.Len() != len(living) {
			t.Fatalf("%d vectors, want %d", p.index.Len(), len(living))
		}
	}
	if share := float64(found) / float64(all); share < .99 {
		t.Errorf("found %.4f of %d", share, all)
	}
	for slot := range next {
		p.remove(slot)
	}
	if f, a := p.ask(t, queries[0], 10, nil); f != 0 || a != 0 || p.index.Len() != 0 {
		t.Errorf("found %d of %d in an empty index", f, a)
	}
}

func TestAGraphOfDeadNodesIsBuiltAnew(t *testing.T) {
	t.Parallel()
	vectors, queries := crowd(5, 6000, 16)
	p := newPair(16, 500)
	for i, v := range vectors {
		p.add(t, uint32(i), v)
	}
	p.index.Settle()
	full := p.index.Bytes()
	for i := range uint32(len(vectors)) {
		if i%2 == 0 {
			p.remove(i)
		}
		if i%1000 == 0 { // while the new one is built
			p.recall(t, queries[:20], nil)
		}
	}
	p.index.Settle()
	if r := p.recall(t, queries, nil); r < .99 {
		t.Errorf("recall@10 %.4f", r)
	}
	if worn := p.index.Bytes(); worn >= full {
		t.Errorf("%d bytes after half was removed, of %d", worn, full)
	}
	for i := range uint32(len(vectors)) {
		if i > 300 {
			p.remove(i)
		}
	}
	p.index.Settle()
	if few := p.index.Bytes(); few > p.flat.Bytes() {
		t.Errorf("%d bytes for vectors that need no graph, %d for those alone", few, p.flat.Bytes())
	}
	p.recall(t, queries, nil)
}

func TestEqualVectorsStandInOrder(t *testing.T) {
	t.Parallel()
	vectors, queries := crowd(6, 300, 16)
	p := newPair(16, 100)
	for i := range uint32(3000) {
		p.add(t, i, vectors[i%300])
	}
	p.index.Settle()
	if r := p.recall(t, queries, nil); r < .99 {
		t.Errorf("recall@10 %.4f", r)
	}
}

func TestASearchStandsBesideInsertions(t *testing.T) {
	t.Parallel()
	vectors, queries := crowd(7, 3000, 16)
	x := vector.New(16, 100)
	var owner sync.RWMutex
	add := func(i int) {
		owner.Lock()
		defer owner.Unlock()
		if err := x.Add(uint32(i), vectors[i]); err != nil {
			t.Error(err)
		}
		if i%5 == 0 {
			x.Remove(uint32(i))
		}
	}
	search := func(v []float32) {
		owner.RLock()
		defer owner.RUnlock()
		q, err := x.Query(v)
		if err != nil {
			t.Error(err)
			return
		}
		if got := q.Search(10, nil, before); len(got) != min(10, x.Len()) || slices.ContainsFunc(got, func(h vector.Hit) bool { return h.Slot%5 == 0 }) {
			t.Errorf("found %v of %d", got, x.Len())
		}
	}
	add(1)
	var all sync.WaitGroup
	all.Go(func() {
		for i := range vectors {
			add(i)
		}
	})
	for half := range 2 {
		all.Go(func() {
			for range 5 {
				for i := half; i < len(queries); i += 2 {
					search(queries[i])
				}
			}
		})
	}
	all.Wait()
	x.Settle()
	search(queries[0])
}

func TestAClosedIndexIsStillSearched(t *testing.T) {
	t.Parallel()
	vectors, queries := crowd(8, 2000, 16)
	p := newPair(16, 100)
	for i, v := range vectors {
		if p.add(t, uint32(i), v); i == 1000 {
			p.index.Close()
			p.index.Settle()
		}
	}
	if r := p.recall(t, queries, nil); r < .99 {
		t.Errorf("recall@10 %.4f", r)
	}
}

func TestTheIndexRefusesWhatTheScanRefuses(t *testing.T) {
	t.Parallel()
	p := newPair(0, 0)
	q, err := p.index.Query([]float32{1, 2})
	if err != nil || len(q.Search(3, nil, before)) != 0 {
		t.Errorf("an empty index: %v", err)
	}
	p.add(t, 1, []float32{1, 2, 3})
	for _, v := range [][]float32{{1, 2}, {0, 0, 0}, nil} {
		if p.index.Add(2, v) == nil {
			t.Errorf("took %v", v)
		}
		if _, err := p.index.Query(v); err == nil {
			t.Errorf("asked with %v", v)
		}
	}
	if q, err = p.index.Query([]float32{1, 2, 3}); err != nil || len(q.Search(0, nil, before)) != 0 {
		t.Errorf("found what was not asked for: %v", err)
	}
	if _, ok := q.Cosine(2); ok {
		t.Error("a passage without vector has a cosine")
	}
}
