package bitmap

import "math/bits"

// Set is a set of slots. The zero value is empty. A nil *Set passed as a
// filter means everything.
type Set struct{ words []uint64 }

// Add puts i into the set.
func (s *Set) Add(i uint32) {
	w := int(i >> 6)
	if w >= len(s.words) {
		s.words = append(s.words, make([]uint64, w+1-len(s.words))...)
	}
	s.words[w] |= 1 << (i & 63)
}

// Empty reports whether the set has no members.
func (s *Set) Empty() bool {
	for _, w := range s.words {
		if w != 0 {
			return false
		}
	}
	return true
}

// Remove takes i out.
func (s *Set) Remove(i uint32) {
	if w := int(i >> 6); w < len(s.words) {
		s.words[w] &^= 1 << (i & 63)
	}
}

// Has reports whether i is in the set.
func (s *Set) Has(i uint32) bool {
	w := int(i >> 6)
	return w < len(s.words) && s.words[w]&(1<<(i&63)) != 0
}

// Len is the number of members.
func (s *Set) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// And returns the members of all sets; a nil set counts as everything, and
// no set at all gives the empty one.
func And(sets ...*Set) *Set {
	var out *Set
	for _, s := range sets {
		switch {
		case s == nil:
		case out == nil:
			out = &Set{words: append([]uint64(nil), s.words...)}
		default:
			if len(s.words) < len(out.words) {
				out.words = out.words[:len(s.words)]
			}
			for i := range out.words {
				out.words[i] &= s.words[i]
			}
		}
	}
	if out == nil {
		out = &Set{}
	}
	return out
}

// Union returns the members of any of the sets, none of which is nil.
func Union(sets ...*Set) *Set {
	out := &Set{}
	for _, s := range sets {
		if len(s.words) > len(out.words) {
			out.words = append(out.words, make([]uint64, len(s.words)-len(out.words))...)
		}
		for i, w := range s.words {
			out.words[i] |= w
		}
	}
	return out
}

// Minus returns the members of s that are not in t.
func Minus(s, t *Set) *Set {
	out := &Set{words: append([]uint64(nil), s.words...)}
	for i := range out.words[:min(len(out.words), len(t.words))] {
		out.words[i] &^= t.words[i]
	}
	return out
}

// All calls yield for each member in order until it returns false.
func (s *Set) All(yield func(uint32) bool) {
	for w, word := range s.words {
		for word != 0 {
			i := uint32(w<<6 + bits.TrailingZeros64(word))
			if !yield(i) {
				return
			}
			word &= word - 1
		}
	}
}

// Bytes is the memory of the set.
func (s *Set) Bytes() int { return 8 * cap(s.words) }
