package vector

// near is a node and how near it is; nodes of equal nearness are told apart
// by their number, so that a graph depends on nothing but its insertions.
type near struct {
	sim  float32
	node uint32
}

func (a near) nearer(b near) bool {
	if a.sim != b.sim {
		return a.sim > b.sim
	}
	return a.node < b.node
}

// heap is a binary heap of nodes: the nearest first, or with far set the
// farthest.
type heap struct {
	list []near
	far  bool
}

func (h *heap) above(a, b near) bool {
	if h.far {
		return b.nearer(a)
	}
	return a.nearer(b)
}

func (h *heap) push(e near) {
	h.list = append(h.list, e)
	l := h.list
	i := len(l) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h.above(e, l[up]) {
			break
		}
		l[i] = l[up]
		i = up
	}
	l[i] = e
}

func (h *heap) pop() near {
	top := h.list[0]
	last := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	if len(h.list) > 0 {
		h.sink(last)
	}
	return top
}

// sink puts e in the place of the top.
func (h *heap) sink(e near) {
	l := h.list
	i := 0
	for {
		down := 2*i + 1
		if down >= len(l) {
			break
		}
		if down+1 < len(l) && h.above(l[down+1], l[down]) {
			down++
		}
		if !h.above(l[down], e) {
			break
		}
		l[i] = l[down]
		i = down
	}
	l[i] = e
}

// marks is a set of nodes that is emptied at once.
type marks struct {
	round uint32
	seen  []uint32
}

func (m *marks) reset(n int) {
	if len(m.seen) < n {
		m.seen = make([]uint32, n+n/4)
		m.round = 0
	}
	if m.round++; m.round == 0 {
		clear(m.seen)
		m.round = 1
	}
}

// add reports whether node was not yet in the set.
func (m *marks) add(node uint32) bool {
	if m.seen[node] == m.round {
		return false
	}
	m.seen[node] = m.round
	return true
}
