package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxDepth bounds the descent into a tree; what lies deeper is taken as text
// of the level above.
const maxDepth = 400

// html renders the visible text of a page. Scripts, styles and templates are
// not text; everything else is, in document order.
func (t *Text) html(ctx context.Context, src string) error {
	root, err := html.Parse(&cancellable{ctx: ctx, r: strings.NewReader(src)})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil { // nested deeper than the parser goes along
		return t.tagless(ctx, src)
	}
	w := &page{t: t, ctx: ctx}
	w.walk(root, 0)
	w.flush(Paragraph)
	if t.Title == "" {
		t.Title = w.h1
	}
	return ctx.Err()
}

// tagless reads a page whose tree cannot be built: the text between the tags,
// cut at the tags of blocks.
func (t *Text) tagless(ctx context.Context, src string) error {
	z := html.NewTokenizer(&cancellable{ctx: ctx, r: strings.NewReader(src)})
	var b strings.Builder
	skip := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			t.add(Paragraph, tidy(b.String()), nil, 0)
			if err := z.Err(); !errors.Is(err, io.EOF) {
				return fmt.Errorf("read html: %w", err)
			}
			return nil
		case html.TextToken:
			if !skip {
				b.Write(z.Text())
			}
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			tag := atom.Lookup(name)
			skip = (tag == atom.Script || tag == atom.Style) && !skip
			switch tag {
			case atom.P, atom.Div, atom.Li, atom.Tr, atom.Td, atom.Section, atom.Br, atom.H1, atom.H2, atom.H3, atom.Pre:
				if b.Len() > 0 {
					t.add(Paragraph, tidy(b.String()), nil, 0)
					b.Reset()
				}
			}
		}
	}
}

// cancellable ends a parse with its context: the parser itself cannot be
// interrupted.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// page writes blocks while it walks the tree.
type page struct {
	t   *Text
	ctx context.Context // of the one walk; the page does not outlive it
	o   outline
	buf strings.Builder
	h1  string
	pre int
}

func (w *page) flush(kind BlockKind) {
	text := w.buf.String()
	w.buf.Reset()
	if kind == Paragraph || kind == Heading {
		text = tidy(text)
	}
	w.t.add(kind, text, w.o.names, 0)
}

// tidy folds runs of blanks and empty lines, which mean nothing in HTML.
func tidy(s string) string {
	var b strings.Builder
	for l := range strings.Lines(s) {
		if l = strings.Join(strings.Fields(l), " "); l != "" {
			b.WriteString(l)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (w *page) children(n *html.Node, depth int) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		w.walk(c, depth)
	}
}

func (w *page) walk(n *html.Node, depth int) {
	if w.ctx.Err() != nil {
		return
	}
	if depth > maxDepth {
		w.buf.WriteString(flat(n))
		return
	}
	switch n.Type {
	case html.TextNode:
		if w.pre > 0 {
			w.buf.WriteString(n.Data)
		} else {
			w.buf.WriteString(spaced(n.Data))
		}
		return
	case html.ElementNode:
	default:
		w.children(n, depth+1)
		return
	}
	switch n.DataAtom {
	case atom.Script, atom.Style, atom.Template, atom.Noscript, atom.Svg, atom.Math, atom.Iframe, atom.Object:
	case atom.Title:
		if title := oneLine(flat(n), 512); w.t.Title == "" && title != "" {
			w.t.Title = title
			return
		}
		w.block(Paragraph, n, depth)
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		w.flush(Paragraph)
		name := oneLine(flat(n), 1024)
		level := int(n.Data[1] - '0')
		if level == 1 && w.h1 == "" {
			w.h1 = name
		}
		w.o.open(level, name)
		w.buf.WriteString(strings.Repeat("#", level) + " ")
		if name == "" {
			w.buf.Reset()
		}
		w.children(n, depth+1)
		w.flush(Heading)
	case atom.Pre:
		w.flush(Paragraph)
		w.pre++
		w.children(n, depth+1)
		w.pre--
		w.flush(Source)
	case atom.Table:
		w.flush(Paragraph)
		w.table(n, depth)
	case atom.Ul, atom.Ol, atom.Dl:
		w.flush(Paragraph)
		w.list(n, depth, 0)
		w.flush(List)
	case atom.Blockquote:
		w.block(Quote, n, depth)
	case atom.Br:
		w.buf.WriteByte('\n')
	case atom.Img:
		if alt := attr(n, "alt"); alt != "" {
			w.buf.WriteString(" " + oneLine(alt, 1024) + " ")
		}
	case atom.P, atom.Div, atom.Section, atom.Article, atom.Main, atom.Header, atom.Footer, atom.Nav, atom.Aside, atom.Form,
		atom.Figure, atom.Figcaption, atom.Fieldset, atom.Details, atom.Summary, atom.Address, atom.Hr, atom.Body, atom.Head, atom.Option, atom.Textarea, atom.Button:
		w.block(Paragraph, n, depth)
	default:
		w.children(n, depth+1)
	}
}

func (w *page) block(kind BlockKind, n *html.Node, depth int) {
	w.flush(Paragraph)
	w.children(n, depth+1)
	w.flush(kind)
}

// list writes one line per item, nested lists indented. Blocks inside an item
// become text of the item.
func (w *page) list(n *html.Node, depth, level int) {
	number := 0
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		switch {
		case c.Type == html.TextNode:
			w.buf.WriteString(spaced(c.Data))
			continue
		case c.Type != html.ElementNode || c.DataAtom == atom.Script || c.DataAtom == atom.Style:
			continue
		}
		mark := "- "
		if n.DataAtom == atom.Ol {
			number++
			mark = fmt.Sprintf("%d. ", number)
		}
		var nested []*html.Node
		text := flatBut(c, func(d *html.Node) bool {
			if d.DataAtom == atom.Ul || d.DataAtom == atom.Ol {
				nested = append(nested, d)
				return true
			}
			return false
		})
		if text = oneLine(text, 1<<30); text != "" {
			w.buf.WriteString(strings.Repeat("  ", min(level, 8)) + mark + text + "\n")
		}
		for _, d := range nested {
			if depth+level < maxDepth {
				w.list(d, depth, level+1)
			} else {
				w.buf.WriteString(flat(d) + "\n")
			}
		}
	}
}

// table writes a row a line, cells between bars, the first row ruled off as a
// heading when it is one.
func (w *page) table(n *html.Node, depth int) {
	rows := 0
	var walk func(*html.Node, int)
	walk = func(n *html.Node, d int) {
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			switch {
			case c.Type == html.TextNode:
				w.buf.WriteString(strings.TrimSpace(spaced(c.Data)))
			case c.DataAtom == atom.Tr:
				var cells []string
				head := true
				for cell := c.FirstChild; cell != nil; cell = cell.NextSibling {
					text := oneLine(flat(cell), 1<<30)
					if cell.Type == html.ElementNode {
						head = head && cell.DataAtom == atom.Th
						cells = append(cells, text)
					} else if text != "" {
						cells = append(cells, text)
					}
				}
				if len(cells) == 0 {
					continue
				}
				w.buf.WriteString("| " + strings.Join(cells, " | ") + " |\n")
				if rows++; rows == 1 && head {
					w.buf.WriteString("|" + strings.Repeat(" --- |", len(cells)) + "\n")
				}
			case c.Type == html.ElementNode && c.DataAtom != atom.Script && c.DataAtom != atom.Style:
				if c.DataAtom == atom.Caption || d > maxDepth {
					w.buf.WriteString(oneLine(flat(c), 1<<30) + "\n")
					continue
				}
				walk(c, d+1)
			}
		}
	}
	walk(n, depth)
	w.flush(Table)
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// spaced turns each run of blanks into one space, keeping those at the ends,
// since they separate words of neighbouring elements.
func spaced(s string) string {
	if strings.TrimSpace(s) == "" {
		if s == "" {
			return ""
		}
		return " "
	}
	out := strings.Join(strings.Fields(s), " ")
	if strings.ContainsAny(s[:1], " \t\n") {
		out = " " + out
	}
	if strings.ContainsAny(s[len(s)-1:], " \t\n") {
		out += " "
	}
	return out
}

// flat is the text below n, without structure.
func flat(n *html.Node) string { return flatBut(n, func(*html.Node) bool { return false }) }

// flatBut is flat without the subtrees that leave claims. It walks without
// recursion: a tree may be as deep as it likes.
func flatBut(n *html.Node, leave func(*html.Node) bool) string {
	var b strings.Builder
	for c := n; c != nil; {
		descend := true
		switch {
		case c.Type == html.TextNode:
			b.WriteString(c.Data)
		case c.Type == html.ElementNode:
			switch c.DataAtom {
			case atom.Script, atom.Style, atom.Template, atom.Noscript, atom.Svg, atom.Math, atom.Iframe, atom.Object:
				descend = false
			case atom.Br, atom.P, atom.Div, atom.Li, atom.Tr, atom.Td, atom.Th, atom.Dd, atom.Dt, atom.Pre,
				atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
				b.WriteByte(' ')
			case atom.Img:
				b.WriteString(" " + attr(c, "alt") + " ")
			}
			if c != n && leave(c) {
				descend = false
				b.WriteByte(' ')
			}
		}
		if descend && c.FirstChild != nil {
			c = c.FirstChild
			continue
		}
		for c != nil && c != n && c.NextSibling == nil {
			c = c.Parent
		}
		if c == nil || c == n {
			break
		}
		c = c.NextSibling
	}
	return b.String()
}
