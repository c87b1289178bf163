package vector

import (
	"math"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/wire"
)

// maxDim bounds the vectors that are read.
const maxDim = 1 << 16

// Save writes the vectors.
func (f *Flat) Save(w *wire.Writer) {
	w.Uint(uint64(f.dim))
	f.has.Save(w)
	f.has.All(func(slot uint32) bool {
		w.Floats(f.row(slot)[:f.dim])
		return w.Err() == nil
	})
}

// Load reads what [Flat.Save] wrote for at most so many slots. A dimension that
// was set before must be the same.
func (f *Flat) Load(r *wire.Reader, slots int) {
	dim := r.Below(maxDim)
	f.has.Load(r, slots)
	n := f.has.Len()
	if r.Err() == nil && (f.dim != 0 && dim != f.dim && dim != 0 || dim == 0 && n > 0 || n*4*dim > r.Left()) {
		r.Fail("%d vectors of %d elements", n, dim)
	}
	if r.Err() != nil {
		return
	}
	if f.n = n; dim > 0 {
		f.measure(dim)
	}
	f.has.All(func(slot uint32) bool {
		b := int(slot) / rowsPerBlock
		for b >= len(f.blocks) {
			f.blocks = append(f.blocks, nil)
		}
		if f.blocks[b] == nil {
			f.blocks[b] = make([]float32, rowsPerBlock*f.stride)
		}
		r.Floats(f.row(slot)[:f.dim])
		return r.Err() == nil
	})
}

// Save writes the vectors and the graph that answers, as far as it is built.
// Its building rests meanwhile.
func (x *Index) Save(w *wire.Writer) {
	x.flat.Save(w)
	x.rest()
	defer x.goOn()
	g := x.graph()
	if g == nil {
		w.Uint(0)
		return
	}
	w.Uint(1)
	g.save(w)
}

// rest ends the builder, and has none begin.
func (x *Index) rest() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.resting = true
	for x.building {
		x.idle.Wait()
	}
}

func (x *Index) goOn() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.resting = false
	x.tend()
}

// Load reads what [Index.Save] wrote, for at most so many slots, into an empty
// index. The Reader's error says that the index cannot be used.
func (x *Index) Load(r *wire.Reader, slots int) {
	x.flat.Load(r, slots)
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.Below(2) == 1 {
		g := newGraph(x.flat.stride)
		g.load(r, x.flat)
		x.graphs = append(x.graphs, g)
	}
	if r.Err() == nil {
		x.tend()
	}
}

// Progress counts what was linked; it differs when the graph does.
func (x *Index) Progress() (linked int, building bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, g := range x.graphs[:min(len(x.graphs), 1)] {
		g.mu.RLock()
		linked = int(g.linked)
		g.mu.RUnlock()
	}
	return linked, x.building
}

// save writes the nodes, and the links of those that are linked. Nothing
// changes the graph meanwhile.
func (g *graph) save(w *wire.Writer) {
	blocks := *g.blocks.Load()
	w.Uint(uint64(g.stride))
	w.Uint(uint64(len(g.slots)))
	w.Uint(uint64(g.linked))
	w.Uint(uint64(g.entry))
	for _, slot := range g.slots {
		w.Uint(uint64(slot + 1)) // none is 0
	}
	scale := make([]float32, 1)
	for node := range uint32(len(g.slots)) {
		b, i := blocks[node/nodesPerBlock], node%nodesPerBlock
		w.Codes(g.code(b, i))
		scale[0] = b.scale[i]
		w.Floats(scale)
		if node >= g.linked {
			continue
		}
		for level := range levelOf(node) + 1 {
			links := g.links(blocks, node, level)
			w.Uint(uint64(len(links)))
			for _, l := range links {
				w.Uint(uint64(l))
			}
		}
	}
}

// load reads what save wrote: a graph of exactly the vectors of f.
func (g *graph) load(r *wire.Reader, f *Flat) {
	if r.Below(g.stride+1) != g.stride {
		r.Fail("codes of another length")
	}
	n := r.Count(g.stride + 4)
	g.linked, g.entry = uint32(r.Below(n+1)), r.Uint32()
	if g.linked > 0 {
		g.top = levelOf(g.entry)
	}
	if g.stride == 0 || g.linked > 0 && g.entry >= g.linked {
		r.Fail("%d nodes from %d on", g.linked, g.entry)
	}
	if r.Err() != nil {
		return
	}
	g.slots = make([]uint32, n)
	for node := range g.slots {
		slot := r.Uint32() - 1
		if g.slots[node] = slot; slot == none {
			g.dead++
			continue
		}
		if !f.has.Has(slot) {
			r.Fail("node %d", node)
			return
		}
		for int(slot) >= len(g.nodes) {
			g.nodes = append(g.nodes, none)
		}
		if g.nodes[slot] != none {
			r.Fail("node %d", node)
			return
		}
		g.nodes[slot] = uint32(node)
	}
	if n-g.dead != f.n {
		r.Fail("%d nodes of %d vectors", n-g.dead, f.n)
	}
	g.loadNodes(r, n)
	g.total.Store(uint32(n))
}

func (g *graph) loadNodes(r *wire.Reader, n int) {
	var blocks []*block
	scale := make([]float32, 1)
	for node := range uint32(n) {
		if r.Err() != nil {
			return
		}
		i := node % nodesPerBlock
		if i == 0 {
			blocks = append(blocks, &block{codes: make([]int8, nodesPerBlock*g.stride)})
		}
		b := blocks[node/nodesPerBlock]
		r.Codes(g.code(b, i))
		r.Floats(scale)
		if b.scale[i] = scale[0]; scale[0] < 0 || scale[0] != scale[0] || scale[0] > math.MaxFloat32 { //nolint:gocritic // dupSubExpr: NaN
			r.Fail("node %d", node)
		}
		if node >= g.linked {
			continue
		}
		l := &b.links[i]
		if l[0] = uint32(r.Below(fanout0 + 1)); l[0] > 0 {
			g.loadLinks(r, node, l[1:1+l[0]])
		}
		for level := 1; level <= levelOf(node); level++ {
			if links := make([]uint32, r.Below(fanout+1)); len(links) > 0 {
				g.loadLinks(r, node, links)
				g.upper[upperKey{node, uint8(level)}] = links
			}
		}
	}
	g.blocks.Store(&blocks)
}

// loadLinks reads links to nodes that are linked themselves, and never to node.
func (g *graph) loadLinks(r *wire.Reader, node uint32, links []uint32) {
	for i := range links {
		if links[i] = uint32(r.Below(int(g.linked))); links[i] == node {
			r.Fail("a link of node %d", node)
		}
	}
}
