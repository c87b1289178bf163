package vector

import (
	"runtime"
	"slices"
	"sync"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/topk"
)

// DefaultThreshold is how many vectors are searched one by one: a graph of no
// more saves at most half of half a millisecond (BenchmarkThreshold) and
// takes a third more memory.
const DefaultThreshold = 10_000

// Index holds vectors by slot and searches them exactly while they are few,
// through a graph when they are many. The graph is built in the background:
// what it does not hold yet is compared one by one, so that a vector is found
// from its Add on and never after its Remove.
//
// Like [Flat] it is not safe for writes beside other calls; its own builder is
// nothing that a caller has to know of.
type Index struct {
	flat      *Flat
	threshold int

	mu       sync.Mutex
	idle     sync.Cond
	graphs   []*graph // the one that answers, and while there are two, the one that will
	building bool
	resting  bool // while the index is written down
	closed   bool
}

// New returns an empty index of vectors with dim elements, 0 for those of the
// first. More vectors than threshold, 0 for [DefaultThreshold], get a graph.
func New(dim, threshold int) *Index {
	if threshold <= 0 {
		threshold = DefaultThreshold
	}
	x := &Index{flat: NewFlat(dim), threshold: threshold}
	x.idle.L = &x.mu
	return x
}

// Add puts the vector of slot, as [Flat.Add] does.
func (x *Index) Add(slot uint32, v []float32) error {
	u, err := x.flat.unit(v)
	if err != nil {
		return err
	}
	known := x.flat.has.Has(slot)
	if known && slices.Equal(x.flat.row(slot), u) {
		return nil
	}
	x.flat.put(slot, u)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, g := range x.graphs {
		if known {
			g.remove(slot)
		}
		g.append(slot, u)
	}
	x.tend()
	return nil
}

// Remove takes the vector of slot out.
func (x *Index) Remove(slot uint32) {
	if !x.flat.has.Has(slot) {
		return
	}
	x.flat.Remove(slot)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, g := range x.graphs {
		g.remove(slot)
	}
	x.tend()
}

// Compact gives the vectors new slots, as [Flat.Compact] does.
func (x *Index) Compact(to []uint32) {
	x.flat.Compact(to)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, g := range x.graphs {
		g.compact(to)
	}
}

// tend sees that there is a graph where one is due: none for few vectors, the
// first for many, and a second when a third of the first is dead. mu is held.
func (x *Index) tend() {
	switch {
	case x.closed, x.resting:
		return
	case x.flat.n <= x.threshold/2:
		x.graphs = nil
		return
	case len(x.graphs) == 0 && x.flat.n > x.threshold:
		g := newGraph(x.flat.stride)
		x.flat.has.All(func(slot uint32) bool {
			g.append(slot, x.flat.row(slot))
			return true
		})
		x.graphs = append(x.graphs, g)
	case len(x.graphs) == 1 && x.graphs[0].worn():
		g := newGraph(x.flat.stride)
		g.take(x.graphs[0])
		x.graphs = append(x.graphs, g)
	}
	if n := len(x.graphs); n > 0 && !x.building && (n > 1 || x.graphs[0].linked < x.graphs[0].total.Load()) {
		x.building = true
		go x.build()
	}
}

// worn reports whether so much of the graph is dead that a new one pays.
func (g *graph) worn() bool { return g.dead > nodesPerBlock && g.dead > len(g.slots)/3 }

// builders bounds the processors that all builders take together.
var builders = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// round is how many nodes a builder links before another may have its turn.
const round = 64

// build links nodes until there is none left.
func (x *Index) build() {
	for g := x.due(); g != nil; g = x.due() {
		builders <- struct{}{}
		s := scratches.Get().(*scratch)
		for range round {
			if g.linked == g.total.Load() {
				break
			}
			g.link(s)
		}
		scratches.Put(s)
		<-builders
	}
}

// due is the graph that has nodes to be linked; nil, and the end of the
// builder, when none has.
func (x *Index) due() *graph {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := len(x.graphs); n > 0 && !x.closed && !x.resting {
		g := x.graphs[n-1]
		if g.linked < g.total.Load() {
			return g
		}
		x.graphs = x.graphs[n-1:]
	}
	x.building = false
	x.idle.Broadcast()
	return nil
}

// Settle waits until the graph holds every vector.
func (x *Index) Settle() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.building {
		x.idle.Wait()
	}
}

// Close ends the building. Searches go on with what is there.
func (x *Index) Close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
}

// Len is the number of vectors.
func (x *Index) Len() int { return x.flat.n }

// Bytes is the memory of the vectors and their graph.
func (x *Index) Bytes() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.flat.Bytes()
	for _, g := range x.graphs {
		n += g.bytes()
	}
	return n
}

// graph is the one that answers, if there is one.
func (x *Index) graph() *graph {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.graphs) == 0 {
		return nil
	}
	return x.graphs[0]
}

// Query is a query vector, prepared.
type Query struct {
	x *Index
	u []float32
}

// Query prepares v; the error is as in [Flat.Add].
func (x *Index) Query(v []float32) (*Query, error) {
	q, err := x.flat.Query(v)
	if err != nil {
		return nil, err
	}
	return &Query{x, q.u}, nil
}

func (q *Query) exact() *FlatQuery { return &FlatQuery{q.x.flat, q.u} }

// Cosine is the cosine of one passage; ok is false when it has no vector.
func (q *Query) Cosine(slot uint32) (cosine float64, ok bool) { return q.exact().Cosine(slot) }

// Search returns the k nearest of the passages in allow (nil: all), nearest
// first: always k where there are so many. before breaks ties between slots.
func (q *Query) Search(k int, allow *bitmap.Set, before func(a, b uint32) bool) []Hit {
	if k <= 0 {
		return nil
	}
	members := &q.x.flat.has
	if allow != nil {
		members = bitmap.And(members, allow)
	}
	n := members.Len()
	g := q.x.graph()
	if g == nil || !g.pays(n, q.x.flat.n, widthOf(k)) {
		return q.exact().scan(k, members, before)
	}
	best := topk.New(k, before)
	if !q.search(g, best, members, n, widthOf(k)) || !best.Full() {
		return q.exact().scan(k, members, before)
	}
	return hitsOf(best)
}

// widthOf is how many nodes a search for k keeps in sight.
func widthOf(k int) int { return max(k+k/2, 128) }

// A step of a walk compares about this many nodes that it has not seen.
const freshPerStep = 12

// pays reports whether a walk that keeps width of the n members in sight looks
// at fewer nodes than there are members, of all. A walk passes all/n nodes
// for each member.
func (g *graph) pays(n, all, width int) bool {
	return n > 0 && width*freshPerStep*all/n < n
}

// search offers the members that a walk finds and those that have no links
// yet, at their exact cosine. It is false when the walk found no end: members
// are far from the query, and looking at each of them is less work.
func (q *Query) search(g *graph, best *topk.Best, members *bitmap.Set, n, width int) bool {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	p := probeOf(q.u)
	ended := true
	g.mu.RLock()
	linked := g.linked
	if linked > 0 {
		blocks := *g.blocks.Load()
		from := []near{g.descend(blocks, &p, 0)}
		ended = g.walk(s, blocks, &p, from, width, 0, 2*n, func(node uint32) bool {
			slot := g.slots[node]
			return slot != none && members.Has(slot)
		})
	} else {
		s.found.list = s.found.list[:0]
	}
	g.mu.RUnlock()
	if !ended {
		return false
	}
	for _, e := range s.found.list {
		slot := g.slots[e.node]
		best.Offer(slot, float64(dot(q.u, q.x.flat.row(slot))))
	}
	for _, slot := range g.slots[linked:] {
		if slot != none && members.Has(slot) {
			best.Offer(slot, float64(dot(q.u, q.x.flat.row(slot))))
		}
	}
	return true
}
