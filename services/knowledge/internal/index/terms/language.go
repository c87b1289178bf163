package terms

import (
	"bufio"
	"embed"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/abadojack/whatlanggo"
	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/arabic"
	"github.com/blevesearch/snowballstem/danish"
	"github.com/blevesearch/snowballstem/dutch"
	"github.com/blevesearch/snowballstem/english"
	"github.com/blevesearch/snowballstem/finnish"
	"github.com/blevesearch/snowballstem/french"
	"github.com/blevesearch/snowballstem/german"
	"github.com/blevesearch/snowballstem/hungarian"
	"github.com/blevesearch/snowballstem/italian"
	"github.com/blevesearch/snowballstem/norwegian"
	"github.com/blevesearch/snowballstem/portuguese"
	"github.com/blevesearch/snowballstem/romanian"
	"github.com/blevesearch/snowballstem/russian"
	"github.com/blevesearch/snowballstem/spanish"
	"github.com/blevesearch/snowballstem/swedish"
	"github.com/blevesearch/snowballstem/turkish"
	"golang.org/x/text/unicode/norm"
)

// Language is one whose words have stems and stop words here. The zero value is
// English.
type Language uint8

// English is the language of texts that nothing else is said of.
const English Language = 0

// languages are told by ISO 639-1. Their places are numbers of Language.
var languages = []struct {
	code   string
	detect whatlanggo.Lang
	stem   func(*snowballstem.Env) bool
	latin  bool // written in Latin letters
}{
	{"en", whatlanggo.Eng, english.Stem, true},
	{"ar", whatlanggo.Arb, arabic.Stem, false},
	{"da", whatlanggo.Dan, danish.Stem, true},
	{"de", whatlanggo.Deu, german.Stem, true},
	{"es", whatlanggo.Spa, spanish.Stem, true},
	{"fi", whatlanggo.Fin, finnish.Stem, true},
	{"fr", whatlanggo.Fra, french.Stem, true},
	{"hu", whatlanggo.Hun, hungarian.Stem, true},
	{"it", whatlanggo.Ita, italian.Stem, true},
	{"nl", whatlanggo.Nld, dutch.Stem, true},
	{"no", whatlanggo.Nob, norwegian.Stem, true},
	{"pt", whatlanggo.Por, portuguese.Stem, true},
	{"ro", whatlanggo.Ron, romanian.Stem, true},
	{"ru", whatlanggo.Rus, russian.Stem, false},
	{"sv", whatlanggo.Swe, swedish.Stem, true},
	{"tr", whatlanggo.Tur, turkish.Stem, true},
}

// Languages are all of them.
func Languages() []Language {
	out := make([]Language, len(languages))
	for i := range out {
		out[i] = Language(i) //nolint:gosec // G115: below 256
	}
	return out
}

// String is the code of the language, as ISO 639-1 has it.
func (l Language) String() string { return languages[l].code }

// ParseLanguage finds a language by its code.
func ParseLanguage(code string) (Language, bool) {
	for l, x := range languages {
		if x.code == code {
			return Language(l), true //nolint:gosec // G115: below 256
		}
	}
	return 0, false
}

// sample is how much of a text is read to tell its language, in bytes.
const sample = 2048

// sure is how sure the detection must be of a language other than the first.
const sure = .6

// Detect tells in which of some languages, at least one, a text is; the first of
// them where it cannot tell.
func Detect(text string, among []Language) Language {
	if len(among) == 1 {
		return among[0]
	}
	if len(text) > sample {
		text = strings.ToValidUTF8(text[:sample], "")
	}
	allowed := make(map[whatlanggo.Lang]bool, len(among))
	for _, l := range among {
		allowed[languages[l].detect] = true
	}
	info := whatlanggo.DetectWithOptions(text, whatlanggo.Options{Whitelist: allowed})
	if info.Confidence >= sure {
		for _, l := range among {
			if languages[l].detect == info.Lang {
				return l
			}
		}
	}
	return among[0]
}

//go:embed stop/*.txt
var stopFiles embed.FS

// NumStops is more than there are stop words in all languages.
const NumStops = 3000

// stopWords are those of a language, folded, with their numbers. A word that is
// one in several languages has the same number in each.
var stopWords = func() func(l Language) map[string]uint16 {
	all := sync.OnceValue(func() []map[string]uint16 {
		out := make([]map[string]uint16, len(languages))
		numbers := map[string]uint16{}
		for l := range languages {
			out[l] = map[string]uint16{}
			for _, w := range stopList(Language(l)) { //nolint:gosec // G115: below 256
				w = fold(w)
				n, ok := numbers[w]
				if !ok {
					n = uint16(len(numbers)) //nolint:gosec // G115: below NumStops, see the test
					numbers[w] = n
				}
				out[l][w] = n
			}
		}
		return out
	})
	return func(l Language) map[string]uint16 { return all()[l] }
}()

func stopList(l Language) []string {
	if l == English {
		return strings.Fields(englishStops)
	}
	f, err := stopFiles.Open("stop/" + l.String() + ".txt")
	if err != nil {
		panic(err) // not built in: the test sees it
	}
	defer f.Close() //nolint:errcheck // in memory
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if w := s.Text(); w != "" && w[0] != '#' {
			out = append(out, w)
		}
	}
	return out
}

// lower is a word in small letters, with its accents: stemmers go by them.
func (l Language) lower(w string) string {
	if languages[l].code == "tr" {
		return norm.NFC.String(strings.ToLowerSpecial(unicode.TurkishCase, w))
	}
	return norm.NFC.String(strings.ToLower(w))
}

// stem is the stem of a word, folded. English words stand in texts of every
// script.
func (l Language) stem(w string) string {
	if l == English || !languages[l].latin && latinWord(w) {
		if w = fold(w); !latinWord(w) {
			return w
		}
		l = English
	} else {
		w = l.lower(w)
	}
	e := snowballstem.NewEnv(w)
	languages[l].stem(e)
	if s := fold(e.Current()); s != "" {
		return s
	}
	return fold(w)
}

// Variants are the terms of a query where texts are in several languages: for
// each word, what it is in any of them. Words that carry no topic in the
// language that most such words are of are left out, unless all are.
func (a *Analyzer) Variants(text string, among []Language) [][]string {
	if len(among) == 1 {
		var out [][]string
		for _, t := range a.In(among[0]).Analyze(text).Terms {
			out = append(out, []string{t})
		}
		return out
	}
	raw := reader{a: a, raw: true}.analyze(text)
	of, most := among[0], 0
	for _, l := range among {
		stops, n := stopWords(l), 0
		for _, t := range raw.Terms {
			if _, ok := stops[fold(t)]; ok {
				n++
			}
		}
		if n > most {
			of, most = l, n
		}
	}
	var out [][]string
	names := raw.Names
	for i, t := range raw.Terms {
		if len(names) > 0 && int(names[0]) == i {
			names = names[1:]
			out = append(out, []string{t})
			continue
		}
		if _, drop := stopWords(of)[fold(t)]; drop {
			continue
		}
		var words []string
		for _, l := range among {
			if s := a.stem(l, t); s != "" && !slices.Contains(words, s) {
				words = append(words, s)
			}
		}
		if words != nil {
			out = append(out, words)
		}
	}
	return out
}
