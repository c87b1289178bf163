package topk

import "sort"

// Scored is a slot with its score.
type Scored struct {
	Slot  uint32
	Score float64
}

// Best keeps the k best slots that it is offered. Equal scores are told apart
// by the given order, so that the answer does not depend on the order of the
// offers.
type Best struct {
	k      int
	before func(a, b uint32) bool
	heap   []Scored // the worst first
}

// New returns a Best of k; before reports whether slot a is better than slot b
// at equal scores.
func New(k int, before func(a, b uint32) bool) *Best {
	return &Best{k: k, before: before, heap: make([]Scored, 0, min(k, 1024))}
}

func (b *Best) worse(x, y Scored) bool {
	if x.Score != y.Score {
		return x.Score < y.Score
	}
	return b.before(y.Slot, x.Slot)
}

// Floor is the score below which nothing can enter any more; 0 while there is
// room.
func (b *Best) Floor() float64 {
	if len(b.heap) < b.k {
		return 0
	}
	return b.heap[0].Score
}

// Full reports whether there are k already.
func (b *Best) Full() bool { return len(b.heap) == b.k }

// Offer puts a slot among the best if it belongs there.
func (b *Best) Offer(slot uint32, score float64) {
	s := Scored{slot, score}
	if len(b.heap) < b.k {
		b.heap = append(b.heap, s)
		for i := len(b.heap) - 1; i > 0; {
			up := (i - 1) / 2
			if !b.worse(b.heap[i], b.heap[up]) {
				break
			}
			b.heap[i], b.heap[up] = b.heap[up], b.heap[i]
			i = up
		}
		return
	}
	if !b.worse(b.heap[0], s) {
		return
	}
	b.heap[0] = s
	for i := 0; ; {
		down := 2*i + 1
		if down >= len(b.heap) {
			return
		}
		if down+1 < len(b.heap) && b.worse(b.heap[down+1], b.heap[down]) {
			down++
		}
		if !b.worse(b.heap[down], b.heap[i]) {
			return
		}
		b.heap[i], b.heap[down] = b.heap[down], b.heap[i]
		i = down
	}
}

// Ranked returns what was kept, best first, and empties the heap.
func (b *Best) Ranked() []Scored {
	out := b.heap
	b.heap = nil
	sort.Slice(out, func(i, j int) bool { return b.worse(out[j], out[i]) })
	return out
}
