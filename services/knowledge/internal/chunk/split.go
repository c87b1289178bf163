package chunk

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

// part is a piece of a block that was cut. gap is the number of line ends that
// were dropped after it.
type part struct {
	text    string
	overlap int
	gap     int
}

// level is a way to cut text into units whose concatenation is the text.
type level func(string) []string

// split cuts a block that does not fit: at blank lines, then lines, then
// sentences, then words, then anywhere. The first part has room for first
// tokens, the others for room.
func (k *cutter) split(ctx context.Context, b extract.Block, first, room int) []part {
	levels := []level{paragraphs, sentences, words}
	if b.Kind == extract.Source || b.Kind == extract.Table || b.Kind == extract.List {
		levels = []level{paragraphs, lines, sentences, words}
	}
	head := ""
	if b.Kind == extract.Table {
		head = k.tableHead(b.Text)
	}
	var parts []part
	var cur strings.Builder
	tokens, overlap := 0, 0
	limit := max(first, 16)
	var tail []string // the last units of the part at hand, for the overlap
	flush := func() {
		text := cur.String()
		trimmed := strings.TrimRightFunc(text, unicode.IsSpace)
		if len(trimmed) > overlap && strings.TrimSpace(trimmed[overlap:]) != "" {
			lead := 0
			if overlap == 0 {
				lead = blankLead(trimmed)
			}
			parts = append(parts, part{text: trimmed[lead:], overlap: overlap, gap: strings.Count(text[len(trimmed):], "\n")})
			if n := len(parts); lead > 0 && n > 1 {
				parts[n-2].gap += strings.Count(trimmed[:lead], "\n")
			}
		}
		cur.Reset()
		repeat := head
		if repeat == "" {
			repeat = k.carry(tail)
		}
		cur.WriteString(repeat)
		tokens, overlap, limit, tail = k.measure(repeat), len(repeat), room, nil
	}
	var put func(text string, lv []level)
	put = func(text string, lv []level) {
		if ctx.Err() != nil {
			return
		}
		n := k.measure(text)
		switch {
		case tokens+n <= limit:
		case n <= limit/2 || (n <= limit && tokens > limit/2):
			flush()
			if tokens+n > limit { // the overlap leaves no room
				cur.Reset()
				tokens, overlap = 0, 0
			}
		case len(lv) > 0:
			for _, u := range lv[0](text) {
				put(u, lv[1:])
			}
			return
		case n <= limit && tokens == 0:
		default:
			for _, u := range k.runes(text, max(limit-tokens, 16), limit) {
				if m := k.measure(u); tokens+m > limit && tokens > 0 {
					flush()
					cur.Reset()
					tokens, overlap = 0, 0
				}
				cur.WriteString(u)
				tokens += k.measure(u)
			}
			tail = nil
			return
		}
		cur.WriteString(text)
		tokens += n
		tail = append(tail, text)
	}
	put(b.Text, levels)
	flush()
	return parts
}

// carry is the end of a part that the next one repeats: whole units of at most
// the configured overlap, and never all of the part.
func (k *cutter) carry(tail []string) string {
	if len(tail) < 2 {
		return ""
	}
	n, from := 0, len(tail)
	for from > 1 {
		m := k.measure(tail[from-1])
		if n+m > k.c.Overlap {
			break
		}
		n += m
		from--
	}
	return strings.TrimLeft(strings.Join(tail[from:], ""), "\n")
}

// tableHead is the heading of a table with its rule, when short enough to be
// repeated.
func (k *cutter) tableHead(text string) string {
	i := strings.IndexByte(text, '\n')
	if i < 0 {
		return ""
	}
	j := strings.IndexByte(text[i+1:], '\n')
	if j < 0 || !strings.Contains(text[i+1:i+1+j], "---") {
		return ""
	}
	if head := text[:i+1+j+1]; k.measure(head) <= 2*k.c.Overlap {
		return head
	}
	return ""
}

func blankLead(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\n':
			n = i + 1
		case ' ', '\t':
		default:
			return n
		}
	}
	return n
}

// after cuts behind every position that end finds; end returns the length of
// what belongs to the unit from i on, or 0 when no unit ends at i.
func after(s string, end func(i int) int) []string {
	var out []string
	start := 0
	for i := 0; i < len(s); {
		if n := end(i); n > 0 {
			i += n
			out = append(out, s[start:i])
			start = i
			continue
		}
		i++
	}
	if start < len(s) {
		out = append(out, s[start:])
	}
	return out
}

func lines(s string) []string {
	return after(s, func(i int) int {
		if s[i] == '\n' {
			return 1
		}
		return 0
	})
}

// paragraphs cuts after runs of blank lines.
func paragraphs(s string) []string {
	return after(s, func(i int) int {
		if s[i] != '\n' {
			return 0
		}
		j, last := i+1, 0
		for j < len(s) && (s[j] == '\n' || s[j] == ' ' || s[j] == '\t' || s[j] == '\r') {
			if s[j] == '\n' {
				last = j + 1 - i
			}
			j++
		}
		return last
	})
}

// sentences cuts after a full stop, question or exclamation mark that is
// followed by white space, and after full-width ones.
func sentences(s string) []string {
	return after(s, func(i int) int {
		switch c := s[i]; {
		case c == '.' || c == '!' || c == '?':
			j := i + 1
			for j < len(s) && (s[j] == '"' || s[j] == '\'' || s[j] == ')' || s[j] == '.' || s[j] == '!' || s[j] == '?') {
				j++
			}
			k := j
			for k < len(s) && (s[k] == ' ' || s[k] == '\n' || s[k] == '\t') {
				k++
			}
			if k > j {
				return k - i
			}
		case c == 0xe3 && strings.HasPrefix(s[i:], "。"), c == 0xef && (strings.HasPrefix(s[i:], "！") || strings.HasPrefix(s[i:], "？")):
			return 3
		}
		return 0
	})
}

func words(s string) []string {
	return after(s, func(i int) int {
		n := 0
		for i+n < len(s) && (s[i+n] == ' ' || s[i+n] == '\n' || s[i+n] == '\t') {
			n++
		}
		return n
	})
}

// runes cuts text without any boundary: the first slice measures at most
// first, the others at most limit. It halves until a slice fits, so that its
// cost stays near linear.
func (k *cutter) runes(s string, first, limit int) []string {
	var out []string
	room := first
	for s != "" {
		n := min(len(s), room*bytesPerToken)
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		for n > utf8.UTFMax && k.measure(s[:n]) > room {
			n /= 2
			for !utf8.RuneStart(s[n]) {
				n--
			}
		}
		if n <= 0 {
			_, n = utf8.DecodeRuneInString(s)
		}
		out = append(out, s[:n])
		s = s[n:]
		room = limit
	}
	return out
}
