package terms

import (
	"strings"
	"unicode/utf8"
)

// Span is a range of a text in code points; End is behind the last.
type Span struct{ Start, End int }

// Spans are the first words of a text that give a wanted term, at most most of
// them: whole names where they do, else their parts.
func (r Reader) Spans(text string, wanted func(term string) bool, most int) []Span {
	s := spanner{a: r.r, text: text, wanted: wanted, most: most}
	for i := 0; i < len(text) && len(s.out) < most; {
		r, size := decode(text[i:])
		switch {
		case ideographic(r):
			end := i + size
			if r, next := decodeAt(text, end); ideographic(r) {
				s.try(i, end+next, text[i:end+next])
			}
			i = end
		case wordRune(r):
			end := compoundEnd(text, i)
			s.compound(i, end)
			i = end
		default:
			i += size
		}
	}
	return s.out
}

func decodeAt(s string, i int) (rune, int) {
	if i >= len(s) {
		return 0, 0
	}
	return decode(s[i:])
}

type spanner struct {
	a      reader
	text   string
	wanted func(string) bool
	most   int
	out    []Span
	byteAt int // bytes and code points that were counted
	runeAt int
}

// try takes the bytes from i to j into the answer when a term of s is wanted.
func (s *spanner) try(i, j int, word string) {
	for _, t := range s.a.analyze(word).Terms {
		if s.wanted(t) {
			s.add(i, j)
			return
		}
	}
}

func (s *spanner) add(i, j int) {
	if len(s.out) == s.most {
		return
	}
	if i < s.byteAt { // within the last one: pairs of characters overlap
		s.out[len(s.out)-1].End += utf8.RuneCountInString(s.text[s.byteAt:j])
		s.runeAt += utf8.RuneCountInString(s.text[s.byteAt:j])
		s.byteAt = j
		return
	}
	start := s.runeAt + utf8.RuneCountInString(s.text[s.byteAt:i])
	end := start + utf8.RuneCountInString(s.text[i:j])
	s.out = append(s.out, Span{start, end})
	s.byteAt, s.runeAt = j, end
}

func (s *spanner) compound(from, to int) {
	if s.wanted(fold(s.text[from:to])) {
		s.add(from, to)
		return
	}
	for i := from; i < to; {
		j := i
		for j < to {
			r, size := decode(s.text[j:])
			if !wordRune(r) {
				break
			}
			j += size
		}
		if j == i {
			_, size := decode(s.text[i:])
			i += size
			continue
		}
		s.word(i, j)
		i = j
	}
}

func (s *spanner) word(i, j int) {
	w := s.text[i:j]
	if name := fold(strings.Trim(w, "_")); s.wanted(name) {
		s.add(i, j)
		return
	}
	start := 0
	for _, c := range append(boundaries(w), len(w)) {
		if part := strings.Trim(w[start:c], "_"); part != "" {
			at := i + start + strings.Index(w[start:c], part)
			s.try(at, at+len(part), part)
		}
		start = c
	}
}
