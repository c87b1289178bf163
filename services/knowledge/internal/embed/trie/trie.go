package trie

import (
	"maps"
	"slices"
)

// Trie finds the pieces that a word begins with, in one pass over the word. It
// never changes. A node's children lie side by side, in the order of their bytes.
type Trie struct {
	root  [256]int32 // node by first byte; 0 is none
	first []int32    // of node i the children are first[i] to first[i+1]
	label []byte     // the byte that leads to the node
	id    []int32    // the piece that ends here, or -1
}

// New returns a trie of pieces with their numbers, which are not negative.
func New(pieces map[string]int32) Trie {
	sorted := slices.Sorted(maps.Keys(pieces))
	// span is a node still to be written: the pieces that pass through it.
	type span struct{ from, to, depth int }
	t := Trie{label: []byte{0}, id: []int32{-1}}
	queue := []span{{0, len(sorted), 0}}
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		t.first = append(t.first, int32(len(queue)))
		if s.from < s.to && len(sorted[s.from]) == s.depth {
			if s.depth > 0 {
				t.id[i] = pieces[sorted[s.from]]
			}
			s.from++
		}
		for s.from < s.to {
			c, to := sorted[s.from][s.depth], s.from+1
			for to < s.to && sorted[to][s.depth] == c {
				to++
			}
			if i == 0 {
				t.root[c] = int32(len(queue))
			}
			queue = append(queue, span{s.from, to, s.depth + 1})
			t.label = append(t.label, c)
			t.id = append(t.id, -1)
			s.from = to
		}
	}
	t.first = append(t.first, int32(len(queue)))
	return t
}

// Longest is the longest piece at the start of word, and its length; 0 when
// there is none. The word is not empty.
func (t *Trie) Longest(word []byte) (id int32, length int) {
	node := t.root[word[0]]
	for i := 1; node != 0; i++ {
		if t.id[node] >= 0 {
			id, length = t.id[node], i
		}
		if i == len(word) {
			break
		}
		node = t.child(node, word[i])
	}
	return id, length
}

// Each calls visit for every piece at the start of word, the shortest first. The
// word is not empty.
func (t *Trie) Each(word []byte, visit func(id int32, length int)) {
	node := t.root[word[0]]
	for i := 1; node != 0; i++ {
		if t.id[node] >= 0 {
			visit(t.id[node], i)
		}
		if i == len(word) {
			return
		}
		node = t.child(node, word[i])
	}
}

func (t *Trie) child(node int32, c byte) int32 {
	from, to := t.first[node], t.first[node+1]
	for to-from > 8 {
		mid := (from + to) / 2
		if t.label[mid] <= c {
			from = mid
		} else {
			to = mid
		}
	}
	for ; from < to; from++ {
		if t.label[from] == c {
			return from
		}
	}
	return 0
}
