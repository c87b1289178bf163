package answer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// citations are those of the marks in a text, in their order, each once for the
// same words.
func citations(text string, marks []mark, sources []Source) []Citation {
	type key struct {
		number int
		quote  string
	}
	var out []Citation
	seen := map[key]bool{}
	for _, m := range marks {
		quote := quoted(text[:m.at])
		k := key{m.number, quote}
		if seen[k] {
			continue
		}
		seen[k] = true
		s := sources[m.number-1]
		out = append(out, Citation{Source: s, Quote: quote, Stand: quote != "" && stands(quote, s.text())})
	}
	return out
}

// longestQuote is how far before a mark a quotation may begin, in bytes.
const longestQuote = 1500

// closing are the marks that end a quotation, with those that may have begun it.
var closing = map[rune]string{'"': `"`, '”': "“„”", '“': "„", '»': "«", '«': "»", '’': "‘"}

// quoted is the quotation with which a text ends, but for marks and a full stop
// behind it; "" where it ends without.
func quoted(text string) string {
	for {
		text = strings.TrimRight(text, " .,;:!?)*_")
		at := strings.LastIndexByte(text, '[') // what is written is of one form
		if at < 0 || !strings.HasSuffix(text, "]") {
			break
		}
		if _, n, _ := readMark(text[at:]); n != len(text)-at {
			break
		}
		text = text[:at]
	}
	last, size := utf8.DecodeLastRuneInString(text)
	begins, ok := closing[last]
	if !ok {
		return ""
	}
	text = text[:len(text)-size]
	at := strings.LastIndexAny(text, begins)
	if at < 0 || len(text)-at > longestQuote || strings.Contains(text[at:], "\n\n") {
		return ""
	}
	_, size = utf8.DecodeRuneInString(text[at:])
	return strings.TrimSpace(text[at+size:])
}

// stands reports whether the words of a quotation stand in a text, in their order.
// Spaces, case, the form of marks and emphasis do not count; what is left out with
// an ellipsis may be there.
func stands(quote, text string) bool {
	text = plain(text)
	some := false
	for _, part := range strings.Split(strings.ReplaceAll(strings.ReplaceAll(plain(quote), "[...]", "..."), "(...)", "..."), "...") {
		if part = strings.Trim(part, " .,;:!?"); part == "" {
			continue
		}
		at := wordsAt(text, part)
		if at < 0 {
			return false
		}
		text, some = text[at+len(part):], true
	}
	return some
}

// wordsAt is where part is in text, not within a word; below 0 when it is not.
func wordsAt(text, part string) int {
	within := func(a, b rune) bool {
		word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
		return word(a) && word(b)
	}
	for from := 0; ; {
		at := strings.Index(text[from:], part)
		if at < 0 {
			return -1
		}
		at += from
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		first, size := utf8.DecodeRuneInString(part)
		final, _ := utf8.DecodeLastRuneInString(part)
		after, _ := utf8.DecodeRuneInString(text[at+len(part):])
		if !within(before, first) && !within(final, after) {
			return at
		}
		from = at + size
	}
}

var marks = strings.NewReplacer(
	"“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`, "‘", "'", "’", "'", "–", "-", "—", "-", "‑", "-", "−", "-", "…", "...",
	"*", "", "_", "", "`", "", "\u00ad", "", "\u200b", "",
)

// plain is a text as it is compared.
func plain(s string) string {
	return strings.ToLower(strings.Join(strings.Fields(marks.Replace(s)), " "))
}
