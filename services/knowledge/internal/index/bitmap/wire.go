package bitmap

import "github.com/commandcenter/commandcenter/services/knowledge/internal/index/wire"

// Save writes the set.
func (s *Set) Save(w *wire.Writer) {
	words := s.words
	for len(words) > 0 && words[len(words)-1] == 0 {
		words = words[:len(words)-1]
	}
	w.Uint(uint64(len(words)))
	for _, word := range words {
		w.Uint(word)
	}
}

// Load reads what [Set.Save] wrote, of which all members must be below limit.
func (s *Set) Load(r *wire.Reader, limit int) {
	words := make([]uint64, r.Below((limit+63)/64+1))
	for i := range words {
		words[i] = r.Uint()
	}
	if n := len(words); n == (limit+63)/64 && limit%64 != 0 && words[n-1]>>(limit%64) != 0 {
		r.Fail("a member above %d", limit)
	}
	if r.Err() == nil {
		s.words = words
	}
}
