package wordpiece

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxRunes is the most that a tokenizer may allow in a word.
const maxRunes = 100

// word is the word being read: its normalised bytes, and for each of them the
// bytes of the text that it came from.
type word struct {
	bytes  [maxRunes * utf8.UTFMax]byte
	origin [maxRunes * utf8.UTFMax]Span
	n      int
	runes  int
	from   int // of the whole word, in the text
	to     int

	ids  [maxRunes * utf8.UTFMax]int32 // its pieces, and where they end in bytes
	ends [maxRunes * utf8.UTFMax]int
}

func (w *word) add(r rune, at Span) {
	if w.runes == 0 {
		w.from = at.Start
	}
	w.runes++
	w.to = at.End
	if w.runes > maxRunes {
		return // unknown as a whole: only its place matters
	}
	if r < utf8.RuneSelf {
		w.bytes[w.n], w.origin[w.n] = byte(r), at
		w.n++
		return
	}
	end := w.n + utf8.EncodeRune(w.bytes[w.n:], r)
	for ; w.n < end; w.n++ {
		w.origin[w.n] = at
	}
}

// each calls visit for each token of text in order, until it returns false.
func (t *Tokenizer) each(text string, visit func(int32, Span) bool) {
	var w word
	for i := 0; i < len(text); {
		c := text[i]
		switch class := ascii[c&0x7f]; {
		case c >= utf8.RuneSelf:
			size, ok := t.wide(&w, text, i, visit)
			if !ok {
				return
			}
			i += size
			continue
		case class == letter:
			w.add(rune(c), Span{i, i + 1})
		case class == upper:
			w.add(rune(c)+'a'-'A', Span{i, i + 1})
		case class == space:
			if !t.flush(&w, visit) {
				return
			}
		case class == punctuation:
			if id, size := t.specialAt(text[i:]); size > 0 {
				if !t.flush(&w, visit) || !visit(id, Span{i, i + size}) {
					return
				}
				i += size
				continue
			}
			if !t.alone(&w, rune(c), Span{i, i + 1}, visit) {
				return
			}
		}
		i++
	}
	t.flush(&w, visit)
}

// wide reads the character at text[i:], which is not ASCII, and returns its
// length; false when visit wants no more.
func (t *Tokenizer) wide(w *word, text string, i int, visit func(int32, Span) bool) (int, bool) {
	r, size := utf8.DecodeRuneInString(text[i:])
	at := Span{i, i + size}
	switch {
	case dropped(r):
		return size, true
	case unicode.IsSpace(r) || unicode.Is(unicode.Z, r):
		return size, t.flush(w, visit)
	}
	ideograph := isIdeograph(r)
	if ideograph && !t.flush(w, visit) {
		return size, false
	}
	for _, r := range decompose(text[i : i+size]) {
		if isAccent(r) {
			continue
		}
		r = unicode.ToLower(r)
		if isPunctuation(r) {
			if !t.alone(w, r, at, visit) {
				return size, false
			}
			continue
		}
		w.add(r, at)
	}
	return size, !ideograph || t.flush(w, visit)
}

// alone ends the word and makes one of the single character r.
func (t *Tokenizer) alone(w *word, r rune, at Span, visit func(int32, Span) bool) bool {
	if !t.flush(w, visit) {
		return false
	}
	w.add(r, at)
	return t.flush(w, visit)
}

// flush cuts the word into pieces, visits them, and begins a new word.
func (t *Tokenizer) flush(w *word, visit func(int32, Span) bool) bool {
	if w.runes == 0 {
		return true
	}
	n, runes := w.n, w.runes
	w.n, w.runes = 0, 0
	whole := Span{w.from, w.to}
	if runes > t.maxRunes {
		return visit(t.unknown, whole)
	}
	// A piece is visited only once the whole word is known to be made of pieces.
	pieces := 0
	for at, from := 0, &t.words; at < n; from = &t.rest {
		id, length := from.Longest(w.bytes[at:n])
		if length == 0 {
			return visit(t.unknown, whole)
		}
		at += length
		w.ids[pieces], w.ends[pieces] = id, at
		pieces++
	}
	for i, at := 0, 0; i < pieces; i++ {
		if !visit(w.ids[i], Span{w.origin[at].Start, w.origin[w.ends[i]-1].End}) {
			return false
		}
		at = w.ends[i]
	}
	return true
}

// specialAt is the special token that text begins with, and how much of it that
// is; 0 when there is none.
func (t *Tokenizer) specialAt(text string) (id int32, size int) {
	if text[0] != '[' && text[0] != '<' {
		return 0, 0
	}
	for _, s := range t.special {
		if !s.normalized && strings.HasPrefix(text, s.text) {
			return s.id, len(s.text)
		}
	}
	for _, s := range t.special {
		if s.normalized {
			if size := spelled(text, s.text); size > 0 {
				return s.id, size
			}
		}
	}
	return 0, 0
}

// spelled is how much of text becomes want, which is ASCII, when it is
// normalised; 0 when it becomes something else.
func spelled(text, want string) int {
	at := 0
	for i, r := range text {
		if at == len(want) {
			return i
		}
		switch {
		case r < utf8.RuneSelf && ascii[r] == control, r >= utf8.RuneSelf && dropped(r):
			continue
		case unicode.IsSpace(r):
			return 0
		}
		for _, r := range decompose(text[i : i+utf8.RuneLen(r)]) {
			if isAccent(r) {
				continue
			}
			if at == len(want) || unicode.ToLower(r) != rune(want[at]) {
				return 0
			}
			at++
		}
	}
	if at == len(want) {
		return len(text)
	}
	return 0
}

// decompose is the full canonical decomposition of one character.
func decompose(char string) string {
	if d := norm.NFD.PropertiesString(char).Decomposition(); d != nil {
		return string(d)
	}
	return norm.NFD.String(char) // Hangul is arithmetic, not a table
}

// The classes of ASCII.
const (
	control = iota // not seen
	letter         // kept as it is
	upper
	space
	punctuation
)

var ascii = func() (class [128]byte) {
	for c := range class {
		switch r := rune(c); {
		case r == '\t' || r == '\n' || r == '\r' || r == ' ':
			class[c] = space
		case r < ' ' || r == 0x7f:
			class[c] = control
		case 'A' <= r && r <= 'Z':
			class[c] = upper
		case '0' <= r && r <= '9' || 'a' <= r && r <= 'z':
			class[c] = letter
		default:
			class[c] = punctuation
		}
	}
	return class
}()

// dropped reports whether the model never sees r: controls, formats, private
// characters, and what is no character at all.
func dropped(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs) && !unicode.Is(later, r)
}

func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return ascii[r] == punctuation
	}
	return unicode.Is(unicode.P, r) && !unicode.Is(later, r) || r == 0x166D || r == 0x111C9
}

// isAccent reports whether r is a mark that is taken off its letter.
func isAccent(r rune) bool {
	return unicode.Is(unicode.Mn, r) && !unicode.Is(later, r) || r == 0x1734
}

// isIdeograph reports whether r is of the blocks that BERT sets apart. Hangul,
// Hiragana and Katakana are not among them.
func isIdeograph(r rune) bool {
	switch {
	case r < 0x3400:
		return false
	case r <= 0x4DBF, 0x4E00 <= r && r <= 0x9FFF, 0xF900 <= r && r <= 0xFAFF,
		0x20000 <= r && r <= 0x2A6DF, 0x2A700 <= r && r <= 0x2B73F, 0x2B740 <= r && r <= 0x2B81F,
		0x2B920 <= r && r <= 0x2CEAF, 0x2F800 <= r && r <= 0x2FA1F:
		return true
	}
	return false
}
