package answer

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mark is a citation in a text: the number, and where its bracket begins.
type mark struct{ number, at int }

// Bounds of what is held back until it is known what it is.
const (
	longestMark = 80  // bytes
	mostNumbers = 40  // of one mark
	mostMarks   = 400 // of an answer
)

// The thoughts that some models write down before they answer, which are no part of
// the answer.
const thinks, thought = "<think>", "</think>"

// reader reads what a model writes, piece by piece, and takes out the marks of
// passages that there are not before anybody sees them.
type reader struct {
	sources int

	pending  string // not decided yet
	begun    bool   // the answer itself has
	thinking bool
	none     bool // it says that there is no answer
	code     int  // backticks that end the code that is read; 0 outside

	text     strings.Builder // what was decided
	marks    []mark          // in it
	invented []int
}

func newReader(sources int) *reader { return &reader{sources: sources} }

// write takes a piece and returns what can be shown.
func (r *reader) write(piece string) string {
	r.pending += piece
	return r.read(false)
}

// close ends the text.
func (r *reader) close() string { return r.read(true) }

func (r *reader) read(end bool) string {
	if !r.begun && !r.begin(end) || r.none {
		if r.none {
			r.pending = ""
		}
		return ""
	}
	from := r.text.Len()
	for r.pending != "" && r.step(end) {
	}
	return r.text.String()[from:]
}

// begin reports whether the answer has begun: behind what is thought, and when it
// is known that it is one.
func (r *reader) begin(end bool) bool {
	if r.thinking {
		_, behind, over := strings.Cut(r.pending, thought)
		if !over {
			r.pending = r.pending[max(0, len(r.pending)-len(thought)):]
			if end {
				r.pending = ""
			}
			return false
		}
		r.thinking, r.pending = false, behind
	}
	r.pending = strings.TrimLeftFunc(r.pending, unicode.IsSpace)
	if rest, ok := strings.CutPrefix(r.pending, thinks); ok {
		r.thinking, r.pending = true, rest
		return r.begin(end)
	}
	bare := strings.TrimLeft(r.pending, "*`\"'")
	switch {
	case strings.HasPrefix(bare, nothing):
		r.none = true
	case !end && (strings.HasPrefix(nothing, bare) || strings.HasPrefix(thinks, r.pending)):
		return false
	}
	r.begun = true
	return true
}

// step decides the beginning of what is pending, and reports whether it did.
func (r *reader) step(end bool) bool {
	at := strings.IndexAny(r.pending, "[【`\n")
	if at < 0 {
		// Spaces may be those before a mark that goes.
		n := len(r.pending)
		if !end {
			n = len(strings.TrimRight(r.pending, " "))
		}
		r.show(n)
		return false
	}
	switch r.pending[at] {
	case '\n':
		if r.code < 3 {
			r.code = 0 // code within a line ends with it
		}
		r.show(at + 1)
		return true
	case '`':
		n := len(r.pending[at:]) - len(strings.TrimLeft(r.pending[at:], "`"))
		if at+n == len(r.pending) && !end {
			r.show(at)
			return false // more of them may come
		}
		if r.code == 0 {
			r.code = n
		} else if r.code == n {
			r.code = 0
		}
		r.show(at + n)
		return true
	}
	if r.code > 0 {
		_, size := utf8.DecodeRuneInString(r.pending[at:])
		r.show(at + size)
		return true
	}
	numbers, n, sure := readMark(r.pending[at:])
	switch {
	case !sure && !end:
		r.show(len(strings.TrimRight(r.pending[:at], " ")))
		return false
	case n == 0:
		_, size := utf8.DecodeRuneInString(r.pending[at:])
		r.show(at + size)
		return true
	}
	r.cite(numbers, at, n)
	return true
}

// show takes n bytes of what is pending as they are.
func (r *reader) show(n int) {
	r.text.WriteString(r.pending[:n])
	r.pending = r.pending[n:]
}

// cite writes the marks of passages that there are, in place of the n bytes at at.
func (r *reader) cite(numbers []int, at, n int) {
	known := numbers[:0:0]
	for _, x := range numbers {
		switch {
		case x >= 1 && x <= r.sources && len(r.marks)+len(known) < mostMarks:
			known = append(known, x)
		case len(r.invented) < mostNumbers && (x < 1 || x > r.sources):
			r.invented = append(r.invented, x)
		}
	}
	if len(known) == 0 { // nor are the spaces before it shown
		behind := r.pending[at+n:]
		r.show(len(strings.TrimRight(r.pending[:at], " ")))
		r.pending = behind
		return
	}
	behind := r.pending[at+n:]
	r.show(at)
	for _, x := range known {
		r.marks = append(r.marks, mark{x, r.text.Len()})
		r.text.WriteString("[" + strconv.Itoa(x) + "]")
	}
	r.pending = behind
}

// called are words that models write before a number.
var called = []string{"passages", "passage", "sources", "source"}

// readMark reads "[2]", "[1, 3]", "[^2]", "[1-3]", "[passage 2]" or "【2†L5】" at the
// beginning of s: its numbers and its length, 0 when it is none. It is not sure
// while more may come.
func readMark(s string) (numbers []int, length int, sure bool) {
	i, end := 1, "]"
	if strings.HasPrefix(s, "【") {
		i, end = len("【"), "】"
	}
	if strings.HasPrefix(s[i:], "^") {
		i++
	}
	for _, w := range called {
		n := min(len(s)-i, len(w))
		if n == 0 || !strings.EqualFold(s[i:i+n], w[:n]) {
			continue
		}
		if n < len(w) {
			return nil, 0, false // it ends within the word
		}
		i += n
		break
	}
	last, span := 0, false
	for i < len(s) && i < longestMark {
		rest := s[i:]
		switch c := rest[0]; {
		case c >= '0' && c <= '9':
			j := 1
			for j < len(rest) && rest[j] >= '0' && rest[j] <= '9' {
				j++
			}
			x, err := strconv.Atoi(rest[:min(j, 9)])
			if err != nil || j > 9 {
				return nil, 0, true
			}
			if span && x > last && x-last < mostNumbers {
				for y := last + 1; y < x; y++ {
					numbers = append(numbers, y)
				}
			}
			numbers, last, span = append(numbers, x), x, false
			i += j
		case strings.HasPrefix(rest, end) && len(numbers) > 0 && len(numbers) <= mostNumbers:
			return numbers, i + len(end), true
		case c == ' ' || c == ',' || c == ';' || c == '^':
			i++
		case c == '-' && last > 0:
			span = true
			i++
		case strings.HasPrefix(rest, "–") && last > 0:
			span = true
			i += len("–")
		case strings.HasPrefix(rest, "†") && len(numbers) > 0: // and a place in it
			at := strings.Index(rest, end)
			if at < 0 {
				return nil, 0, len(s) >= longestMark
			}
			return numbers, i + at + len(end), true
		case !utf8.FullRuneInString(rest):
			return nil, 0, false
		default:
			return nil, 0, true
		}
	}
	return nil, 0, len(s) >= longestMark
}
