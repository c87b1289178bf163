package terms

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxTerm is the longest term, in bytes. What is longer is noise: encoded data.
const MaxTerm = 96

// Analyzer makes terms. It remembers stems; it is safe for concurrent use.
// The zero value is ready.
type Analyzer struct {
	mu    sync.RWMutex
	stems [maxLanguages]map[string]string // "" for stop words
}

// maxLanguages is at least how many languages there are.
const maxLanguages = 32

// Reader reads texts of one language.
type Reader struct{ r reader }

// In is a reader of a language.
func (a *Analyzer) In(l Language) Reader { return Reader{reader{a: a, l: l}} }

// Analyze returns the terms of a text.
func (r Reader) Analyze(text string) Analysis { return r.r.analyze(text) }

// Analyze returns the terms of an English text.
func (a *Analyzer) Analyze(text string) Analysis { return a.In(English).Analyze(text) }

// reader is a text's reading under way; with raw, words stay as they stand.
type reader struct {
	a   *Analyzer
	l   Language
	raw bool
}

// Analysis is text as terms, in order, with repetitions.
type Analysis struct {
	Terms []string
	// Length counts words once each: an identifier with its parts is as long
	// as its parts. It is the length that ranking normalises by.
	Length int
	// Names are the places in Terms of names that stand beside their parts. They
	// are no words of their own where the order of words counts.
	Names []int32
	// Stops are the stop words that were dropped.
	Stops []Stop
}

// Stop is a stop word, by its number below NumStops, that stood before the
// term at a place in Terms.
type Stop struct {
	At     int32
	Number uint16
}

func (a reader) analyze(text string) Analysis {
	out := Analysis{Terms: make([]string, 0, len(text)/7+1)}
	for i := 0; i < len(text); {
		r, size := decode(text[i:])
		switch {
		case ideographic(r):
			end := i + size
			for end < len(text) {
				r, size := decode(text[end:])
				if !ideographic(r) {
					break
				}
				end += size
			}
			a.pairs(&out, text[i:end])
			i = end
		case wordRune(r):
			end := compoundEnd(text, i)
			a.compound(&out, text[i:end])
			i = end
		default:
			i += size
		}
	}
	return out
}

func decode(s string) (rune, int) {
	if s[0] < utf8.RuneSelf {
		return rune(s[0]), 1
	}
	return utf8.DecodeRuneInString(s)
}

func wordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
	}
	return (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r)) && !ideographic(r)
}

func ideographic(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// compoundEnd is the end of the run of words that starts at i and is held
// together by single joiners.
func compoundEnd(s string, i int) int {
	end := i
	for end < len(s) {
		r, size := decode(s[end:])
		if wordRune(r) {
			end += size
			continue
		}
		j := joiner(s[end:])
		if j == 0 || end+j >= len(s) {
			break
		}
		if next, _ := decode(s[end+j:]); !wordRune(next) {
			break
		}
		end += j
	}
	if rest := s[end:]; strings.HasPrefix(rest, "++") {
		end += 2
	} else if strings.HasPrefix(rest, "#") && (len(rest) == 1 || !wordRune(rune(rest[1]))) {
		end++
	}
	return end
}

// joiner is the length of the mark at the start of s that can join two words
// of one name, or 0.
func joiner(s string) int {
	switch s[0] {
	case '.', '/', '-', '\'', '\\', '@':
		return 1
	case ':':
		if strings.HasPrefix(s, "::") {
			return 2
		}
		return 1
	}
	if strings.HasPrefix(s, "’") {
		return len("’")
	}
	return 0
}

// compound emits the words of a name and, where it is more than one word, the
// name itself.
func (a reader) compound(out *Analysis, s string) {
	words, sharp := 0, false
	for i := 0; i < len(s); {
		j := i
		for j < len(s) {
			r, size := decode(s[j:])
			if !wordRune(r) {
				break
			}
			j += size
		}
		if j > i {
			words++
			sharp = a.word(out, s[i:j], s[j:]) || sharp
		}
		apostrophe := j < len(s) && (s[j] == '\'' || strings.HasPrefix(s[j:], "’"))
		for j < len(s) {
			r, size := decode(s[j:])
			if wordRune(r) {
				break
			}
			j += size
		}
		if apostrophe { // 's, n't, 'll: not a word of its own
			end := j
			for end < len(s) {
				r, size := decode(s[end:])
				if !wordRune(r) {
					break
				}
				end += size
			}
			if end-j <= 2 {
				j = end
			}
		}
		i = j
	}
	if words > 1 && !sharp {
		a.whole(out, s)
	}
}

// word emits one run of letters and digits: its stem, or for an identifier
// its parts and itself. rest is what follows in the name; it reports whether
// the word took that into itself (C++, C#).
func (a reader) word(out *Analysis, w, rest string) (took bool) {
	if rest == "++" || rest == "#" {
		a.whole(out, w+rest)
		took = true
	}
	cuts := boundaries(w)
	if len(cuts) == 0 {
		a.part(out, w)
		return took
	}
	start := 0
	for _, c := range append(cuts, len(w)) {
		if p := strings.Trim(w[start:c], "_"); p != "" {
			a.part(out, p)
		}
		start = c
	}
	a.whole(out, strings.Trim(w, "_"))
	return took
}

// part emits a word as stem, unless it is a stop word.
func (a reader) part(out *Analysis, w string) {
	if len(w) > MaxTerm {
		return
	}
	t := w
	if !a.raw {
		if t = a.a.stem(a.l, w); t == "" {
			out.Stops = append(out.Stops, Stop{int32(len(out.Terms)), stopWords(a.l)[fold(w)]}) //nolint:gosec // G115: bounded by the text
			return
		}
	}
	out.Terms = append(out.Terms, t)
	out.Length++
}

// whole emits a name as it stands. It adds no length: its parts did.
func (a reader) whole(out *Analysis, w string) {
	if w == "" || len(w) > MaxTerm {
		return
	}
	t := fold(w)
	if n := len(out.Terms); n > 0 && (out.Terms[n-1] == t || a.raw && fold(out.Terms[n-1]) == t) {
		return
	}
	out.Names = append(out.Names, int32(len(out.Terms))) //nolint:gosec // G115: bounded by the text
	out.Terms = append(out.Terms, t)
}

// pairs emits each two neighbouring characters.
func (a reader) pairs(out *Analysis, s string) {
	rs := []rune(norm.NFKC.String(s))
	if len(rs) == 1 {
		out.Terms = append(out.Terms, string(rs))
		out.Length++
	}
	for i := 0; i+1 < len(rs); i++ {
		out.Terms = append(out.Terms, string(rs[i:i+2]))
		out.Length++
	}
}

// boundaries are the places inside a word where one part of an identifier
// ends: underscores, lower to upper case, the last capital of a run before a
// small letter, letter to digit and back.
func boundaries(w string) []int {
	plain := true
	for i := 0; i < len(w) && plain; i++ {
		c := w[i]
		plain = c >= 'a' && c <= 'z' || c >= utf8.RuneSelf || (i == 0 && c >= 'A' && c <= 'Z')
	}
	if plain {
		return nil
	}
	var cuts []int
	var prev rune
	prevAt := 0
	for i, r := range w {
		if i > 0 {
			switch {
			case prev == '_' && r != '_':
				cuts = append(cuts, i)
			case unicode.IsLower(prev) && unicode.IsUpper(r), unicode.IsDigit(prev) != unicode.IsDigit(r) && prev != '_' && r != '_':
				cuts = append(cuts, i)
			case unicode.IsUpper(prev) && unicode.IsLower(r) && prevAt > 0 && (len(cuts) == 0 || cuts[len(cuts)-1] != prevAt):
				if before, _ := utf8.DecodeLastRuneInString(w[:prevAt]); unicode.IsUpper(before) {
					cuts = append(cuts, prevAt)
				}
			}
		}
		prev, prevAt = r, i
	}
	// A word in capitals is a word, and a number is a number.
	return cuts
}

// fold lower-cases, and strips the accents of Latin letters.
func fold(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < utf8.RuneSelf
	}
	if ascii {
		return strings.ToLower(s)
	}
	s = norm.NFKD.String(strings.ToLower(s))
	var b strings.Builder
	latin := false
	for _, r := range s {
		if latin && unicode.Is(unicode.Mn, r) {
			continue
		}
		latin = unicode.Is(unicode.Latin, r)
		b.WriteRune(r)
	}
	return norm.NFC.String(b.String())
}

// maxStems bounds the memory of the stems of a language that are remembered; when
// it is full the analyzer starts over.
const maxStems = 1 << 16

// stem returns the stem of a word, "" for a stop word.
func (a *Analyzer) stem(l Language, w string) string {
	if l == English {
		w = fold(w) // fewer to remember
	}
	a.mu.RLock()
	s, ok := a.stems[l][w]
	a.mu.RUnlock()
	if ok {
		return s
	}
	if _, drop := stopWords(l)[fold(w)]; !drop {
		s = l.stem(w)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stems[l] == nil || len(a.stems[l]) >= maxStems {
		a.stems[l] = make(map[string]string, 1024)
	}
	a.stems[l][strings.Clone(w)] = strings.Clone(s)
	return s
}

// Fold is a word as a term, but for its stem.
func Fold(w string) string { return fold(w) }

func latinWord(w string) bool {
	for i := 0; i < len(w); i++ {
		if w[i] < 'a' || w[i] > 'z' {
			return false
		}
	}
	return true
}

// englishStops are the English words that carry no topic: more than Lucene's 33
// and fewer than Snowball's list.
const englishStops = `a about above after again against all am an and any are as at be because been before being below between both but by
		can could did do does doing down during each few for from further had has have having he her here hers herself him himself his how i if in into is it its
		itself just me more most my myself no nor not now of off on once only or other our ours ourselves out over own same she should so some such than that the
		their theirs them themselves then there these they this those through to too under until up very was we were what when where which while who whom why will
		with would you your yours yourself yourselves`
