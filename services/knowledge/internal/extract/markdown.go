package extract

import (
	"context"
	"regexp"
	"sort"
	"strings"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// blocksOnly knows the block structure of CommonMark and nothing of inlines:
// the text is kept as written, so emphasis and links need no tree, and the
// inline parsers are where hostile input costs more than linear time.
var blocksOnly = parser.NewParser(parser.WithBlockParsers(parser.DefaultBlockParsers()...))

// maxNesting is the number of leading container marks (quotes, list items) in
// one line above which a document is read as plain text: the parser's cost
// grows with the nesting of every line.
const maxNesting = 32

// markdown cuts src at the starts of its top-level blocks. Each block reaches
// to the start of the next one, so no line can be lost, whatever the parser
// makes of it.
func (t *Text) markdown(ctx context.Context, src string) error {
	body, line := src, 1
	if front, rest, ok := frontMatter(src); ok {
		t.Title = metaTitle(front)
		t.add(Meta, front, nil, 1)
		line += strings.Count(front, "\n")
		body = rest
	}
	if deeplyNested(body) {
		return t.plain(ctx, src)
	}
	doc := blocksOnly.Parse(text.NewReader([]byte(body)))
	if err := ctx.Err(); err != nil {
		return err
	}
	cuts := topLevel(doc, body)
	var o outline
	at, atLine := 0, line
	for i, c := range cuts {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		end := len(body)
		if i+1 < len(cuts) {
			end = cuts[i+1].start
		}
		if c.start > at { // what no block claims, such as a comment before the first one
			t.add(Paragraph, body[at:c.start], o.names, atLine)
			atLine += strings.Count(body[at:c.start], "\n")
		}
		if c.level > 0 {
			o.open(c.level, c.heading)
			if t.Title == "" && c.level == 1 {
				t.Title = c.heading
			}
		}
		kind := c.kind
		if kind == Paragraph && isTable(body[c.start:end]) {
			kind = Table
		}
		t.add(kind, body[c.start:end], o.names, atLine)
		atLine += strings.Count(body[c.start:end], "\n")
		at = end
	}
	t.add(Paragraph, body[at:], o.names, atLine)
	return nil
}

type cut struct {
	start   int // offset of the first byte of the block's first line
	kind    BlockKind
	level   int    // of a heading, else 0
	heading string // its text
}

func topLevel(doc ast.Node, body string) []cut {
	var cuts []cut
	for n := doc.FirstChild(); n != nil; n = n.NextSibling() {
		pos := n.Pos()
		if pos < 0 || pos > len(body) {
			continue // stays with the block before it
		}
		c := cut{start: strings.LastIndexByte(body[:pos], '\n') + 1, kind: blockKind(n)}
		if h, ok := n.(*ast.Heading); ok {
			var b strings.Builder
			for i := range h.Lines().Len() {
				seg := h.Lines().At(i)
				b.WriteString(body[seg.Start:seg.Stop] + " ")
			}
			c.level, c.heading = h.Level, plainInline(b.String())
		}
		cuts = append(cuts, c)
	}
	sort.SliceStable(cuts, func(i, j int) bool { return cuts[i].start < cuts[j].start })
	return cuts
}

func blockKind(n ast.Node) BlockKind {
	switch n.Kind() {
	case ast.KindHeading:
		return Heading
	case ast.KindList:
		return List
	case ast.KindCodeBlock, ast.KindFencedCodeBlock:
		return Source
	case ast.KindBlockquote:
		return Quote
	}
	return Paragraph
}

var tableRule = regexp.MustCompile(`^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$`)

// isTable reports whether the second line is the rule of a GitHub table.
func isTable(s string) bool {
	first, rest, ok := strings.Cut(s, "\n")
	second, _, _ := strings.Cut(rest, "\n")
	return ok && strings.Contains(first, "|") && strings.Contains(second, "-") && len(second) < 4096 && tableRule.MatchString(second)
}

func frontMatter(src string) (front, rest string, ok bool) {
	if !strings.HasPrefix(src, "---\n") {
		return "", "", false
	}
	end := strings.Index(src[4:], "\n---\n")
	if end < 0 || end > 16<<10 {
		return "", "", false
	}
	end += 4 + len("\n---\n")
	return src[:end], src[end:], true
}

func metaTitle(front string) string {
	for l := range strings.Lines(front) {
		if v, ok := strings.CutPrefix(l, "title:"); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

func deeplyNested(s string) bool {
	for l := range strings.Lines(s) {
		marks := 0
		for i := 0; i < len(l); i++ {
			switch c := l[i]; {
			case c == '>' || c == '-' || c == '*' || c == '+':
				if c != '>' && (i+1 >= len(l) || l[i+1] != ' ') {
					i = len(l) // a rule or emphasis, not a list item
					continue
				}
				marks++
			case c == ' ' || c == '\t' || (c >= '0' && c <= '9') || c == '.':
			default:
				i = len(l)
			}
		}
		if marks > maxNesting {
			return true
		}
	}
	return false
}

var (
	inlineLink = regexp.MustCompile(`!?\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])`)
	inlineMark = strings.NewReplacer("**", "", "__", "", "`", "", "~~", "")
)

// plainInline drops the inline marks of a heading.
func plainInline(s string) string {
	if len(s) > 1024 {
		return oneLine(s, 1024)
	}
	s = inlineLink.ReplaceAllString(s, "$1")
	s = inlineMark.Replace(s)
	s = oneLine(s, 1024)
	if len(s) > 2 && s[0] == '*' && s[len(s)-1] == '*' {
		s = s[1 : len(s)-1]
	}
	return s
}
