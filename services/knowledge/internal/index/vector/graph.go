package vector

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// The graph's parameters: links of a node on the upper levels and on the
// lowest, and how many candidates an insertion weighs. At 100,000 vectors of
// 384 elements more of either brought no recall that the width of a search
// did not bring for less.
const (
	fanout  = 16
	fanout0 = 2 * fanout
	breadth = 100
)

const (
	nodesPerBlock = 1024
	none          = math.MaxUint32
)

// block holds what a search reads of a run of nodes, side by side.
type block struct {
	codes []int8
	scale [nodesPerBlock]float32
	links [nodesPerBlock][1 + fanout0]uint32 // of level 0: how many, then which
}

// graph is a hierarchical navigable small world (Malkov and Yashunin,
// arXiv 1603.09320) over codes. Nodes are numbered in the order of their
// insertion, and the number decides a node's level: the same insertions make
// the same graph.
//
// A node is first only written down ([graph.append]) and linked later, by the
// one builder, in order. What the graph says of slots belongs to the lock of
// the owner of the [Index]; links, entry and linked belong to mu, which only
// the builder takes for writing, and only to put down what it has worked out.
type graph struct {
	stride int
	blocks atomic.Pointer[[]*block]
	total  atomic.Uint32 // nodes written down

	slots []uint32 // by node; none: it was removed
	nodes []uint32 // by slot
	dead  int

	mu     sync.RWMutex
	linked uint32 // nodes that can be found by their links
	entry  uint32
	top    int
	upper  map[upperKey][]uint32
}

type upperKey struct {
	node  uint32
	level uint8
}

func newGraph(stride int) *graph {
	g := &graph{stride: stride, upper: map[upperKey][]uint32{}}
	g.blocks.Store(&[]*block{})
	return g
}

// append writes down the unit vector of slot as the next node.
func (g *graph) append(slot uint32, u []float32) {
	g.write(slot, func(code []int8) float32 { return encode(code, u) })
}

// take writes down what is left of another graph, in its order.
func (g *graph) take(o *graph) {
	blocks := *o.blocks.Load()
	for node, slot := range o.slots {
		if slot == none {
			continue
		}
		b, i := blocks[node/nodesPerBlock], uint32(node%nodesPerBlock)
		g.write(slot, func(code []int8) float32 {
			copy(code, o.code(b, i))
			return b.scale[i]
		})
	}
}

// write makes the next node that of slot; fill writes its code and returns the
// scale.
func (g *graph) write(slot uint32, fill func(code []int8) float32) {
	node := g.total.Load()
	blocks := *g.blocks.Load()
	if int(node/nodesPerBlock) == len(blocks) {
		blocks = append(slices.Clip(blocks), &block{codes: make([]int8, nodesPerBlock*g.stride)})
		g.blocks.Store(&blocks)
	}
	b, i := blocks[node/nodesPerBlock], node%nodesPerBlock
	b.scale[i] = fill(g.code(b, i))
	g.slots = append(g.slots, slot)
	for int(slot) >= len(g.nodes) {
		g.nodes = append(g.nodes, none)
	}
	g.nodes[slot] = node
	g.total.Store(node + 1)
}

// remove leaves the node of slot in the graph as a way to others.
func (g *graph) remove(slot uint32) {
	if int(slot) >= len(g.nodes) || g.nodes[slot] == none {
		return
	}
	g.slots[g.nodes[slot]] = none
	g.nodes[slot] = none
	g.dead++
}

// compact gives the nodes the slots that to names.
func (g *graph) compact(to []uint32) {
	clear(g.nodes)
	g.nodes = g.nodes[:0]
	for node, slot := range g.slots {
		if slot == none {
			continue
		}
		slot = to[slot]
		g.slots[node] = slot
		for int(slot) >= len(g.nodes) {
			g.nodes = append(g.nodes, none)
		}
		g.nodes[slot] = uint32(node)
	}
}

func (g *graph) bytes() int {
	g.mu.RLock()
	upper := len(g.upper)
	g.mu.RUnlock()
	perBlock := nodesPerBlock * (g.stride + 4 + 4*(1+fanout0))
	return len(*g.blocks.Load())*perBlock + 4*cap(g.slots) + 4*cap(g.nodes) + upper*(48+4*fanout)
}

func (g *graph) code(b *block, i uint32) []int8 {
	at := int(i) * g.stride
	return b.codes[at : at+g.stride : at+g.stride]
}

// links are those of a node on a level.
func (g *graph) links(blocks []*block, node uint32, level int) []uint32 {
	if level > 0 {
		return g.upper[upperKey{node, uint8(level)}]
	}
	l := &blocks[node/nodesPerBlock].links[node%nodesPerBlock]
	return l[1 : 1+l[0]]
}

func (g *graph) sim(blocks []*block, p *probe, node uint32) float32 {
	b, i := blocks[node/nodesPerBlock], node%nodesPerBlock
	return float32(dot8(p.wide, g.code(b, i))) * (b.scale[i] * p.scale)
}

// levelOf is the highest level of a node: l or more with probability
// fanout^-l.
func levelOf(node uint32) int {
	z := (uint64(node) + 1) * 0x9e3779b97f4a7c15 // splitmix64
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	u := float64((z^z>>31)>>11+1) / (1 << 53)
	return int(-math.Log(u) / math.Log(fanout))
}

// scratch is the memory of one walk.
type scratch struct {
	seen  marks
	ahead heap // to be looked at, the nearest first
	found heap // the farthest first
	pick  probe
}

var scratches = sync.Pool{New: func() any { return &scratch{found: heap{far: true}} }}

// descend goes from the entry down to level, each time to the nearest node.
func (g *graph) descend(blocks []*block, p *probe, level int) near {
	at := near{g.sim(blocks, p, g.entry), g.entry}
	for l := g.top; l > level; l-- {
		for moved := true; moved; {
			moved = false
			for _, n := range g.links(blocks, at.node, l) {
				if e := (near{g.sim(blocks, p, n), n}); e.nearer(at) {
					at, moved = e, true
				}
			}
		}
	}
	return at
}

// walk collects in s.found the width nodes nearest to p, of those that accept
// wants (nil: all), on a level, from the given nodes on. It gives up, and
// says so, when it has compared more than budget nodes.
func (g *graph) walk(s *scratch, blocks []*block, p *probe, from []near, width, level, budget int, accept func(node uint32) bool) bool {
	s.seen.reset(int(g.linked))
	s.ahead.list, s.found.list = s.ahead.list[:0], s.found.list[:0]
	take := func(e near) {
		if accept != nil && !accept(e.node) {
			return
		}
		if len(s.found.list) < width {
			s.found.push(e)
		} else if e.nearer(s.found.list[0]) {
			s.found.sink(e)
		}
	}
	for _, e := range from {
		s.seen.add(e.node)
		s.ahead.push(e)
		take(e)
	}
	for len(s.ahead.list) > 0 {
		at := s.ahead.pop()
		if len(s.found.list) == width && s.found.list[0].nearer(at) {
			break
		}
		for _, n := range g.links(blocks, at.node, level) {
			if !s.seen.add(n) {
				continue
			}
			budget--
			e := near{g.sim(blocks, p, n), n}
			if len(s.found.list) < width || e.nearer(s.found.list[0]) {
				s.ahead.push(e)
				take(e)
			}
		}
		if budget < 0 {
			return false
		}
	}
	return true
}

// choose keeps of the candidates, nearest first, at most n: first those that
// are nearer to the node than to any already kept, so that links lead in all
// directions; then the nearest of the rest. A vector that equals the node's is
// as near to all others as the node is, and stands in the way of its equals alone.
func (g *graph) choose(s *scratch, blocks []*block, candidates []near, n int) []uint32 {
	slices.SortFunc(candidates, func(a, b near) int {
		if a.nearer(b) {
			return -1
		}
		return 1
	})
	kept := make([]near, 0, n)
	var rest []near
	for _, c := range candidates {
		if len(kept) == n {
			break
		}
		b, i := blocks[c.node/nodesPerBlock], c.node%nodesPerBlock
		s.pick.take(g.code(b, i), b.scale[i])
		apart := true
		for _, k := range kept {
			if sim := g.sim(blocks, &s.pick, k.node); sim > c.sim || sim == c.sim && c.sim == k.sim {
				apart = false
				break
			}
		}
		if apart {
			kept = append(kept, c)
		} else {
			rest = append(rest, c)
		}
	}
	kept = append(kept, rest[:min(len(rest), n-len(kept))]...)
	nodes := make([]uint32, len(kept))
	for i, k := range kept {
		nodes[i] = k.node
	}
	return nodes
}

// edit is a list of links to be put down.
type edit struct {
	node  uint32
	level int
	links []uint32
}

// plan works out the links of the next node and what they change. Only the
// builder calls it, and nobody else writes what it reads.
func (g *graph) plan(s *scratch) (edits []edit, level int) {
	node := g.linked
	level = levelOf(node)
	if node == 0 {
		return nil, level
	}
	blocks := *g.blocks.Load()
	b, i := blocks[node/nodesPerBlock], node%nodesPerBlock
	var p probe
	p.take(g.code(b, i), b.scale[i])
	from := []near{g.descend(blocks, &p, level)}
	for l := min(level, g.top); l >= 0; l-- {
		g.walk(s, blocks, &p, from, breadth, l, math.MaxInt, nil)
		from = slices.Clone(s.found.list)
		chosen := g.choose(s, blocks, from, fanout)
		edits = append(edits, edit{node, l, chosen})
		for _, c := range chosen {
			edits = append(edits, edit{c, l, g.with(s, blocks, c, node, l)})
		}
	}
	return edits, level
}

// with is the links of a node and one more. A full list is cut down to the best
// three quarters, so that the next few need no choosing.
func (g *graph) with(s *scratch, blocks []*block, node, more uint32, level int) []uint32 {
	old := g.links(blocks, node, level)
	room := fanout
	if level == 0 {
		room = fanout0
	}
	if len(old) < room {
		return append(slices.Clip(old), more)
	}
	b, i := blocks[node/nodesPerBlock], node%nodesPerBlock
	var p probe
	p.take(g.code(b, i), b.scale[i])
	candidates := make([]near, 0, len(old)+1)
	for _, n := range old {
		candidates = append(candidates, near{g.sim(blocks, &p, n), n})
	}
	candidates = append(candidates, near{g.sim(blocks, &p, more), more})
	return g.choose(s, blocks, candidates, room-room/4)
}

// link makes the next node one that is found.
func (g *graph) link(s *scratch) {
	edits, level := g.plan(s)
	g.mu.Lock()
	defer g.mu.Unlock()
	blocks := *g.blocks.Load()
	for _, e := range edits {
		if e.level > 0 {
			g.upper[upperKey{e.node, uint8(e.level)}] = e.links
			continue
		}
		l := &blocks[e.node/nodesPerBlock].links[e.node%nodesPerBlock]
		l[0] = uint32(copy(l[1:], e.links))
	}
	if g.linked == 0 || level > g.top {
		g.entry, g.top = g.linked, level
	}
	g.linked++
}
