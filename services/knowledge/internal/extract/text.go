package extract

import (
	"context"
	"path"
	"strings"
	"unicode"
)

// BlockKind says what a block is, so that whoever cuts it knows where.
type BlockKind string

// The kinds of block.
const (
	Heading   BlockKind = "heading"
	Paragraph BlockKind = "paragraph"
	List      BlockKind = "list"
	Table     BlockKind = "table"
	Source    BlockKind = "code"
	Quote     BlockKind = "quote"
	Meta      BlockKind = "meta" // front matter
)

// Block is a piece of text that belongs together.
type Block struct {
	Kind BlockKind
	Text string   // never empty, no blank lines at its ends
	Path []string // enclosing headings or declarations, outermost first; of a heading, including itself
	Line int      // of its first line in the document, from 1; 0 when the format has no lines (HTML)
	Page int      // where it begins, a page of a PDF or a slide, from 1; 0 when the format has none
}

// Text is a document that has been read.
type Text struct {
	Title  string // never empty unless the document has neither title nor name
	Format Format
	Blocks []Block
	left   *budget
	page   int // of the blocks that are added, see [Block]
}

// MaxPath is the deepest path of a block; deeper headings and declarations are
// treated as text of the level above.
const MaxPath = 8

// Config is what a [Reader] may use beside memory. The zero value uses nothing.
type Config struct {
	Cache        string // directory for compiled code of the reader of PDFs; "" for none
	OCR          string // path of tesseract, which reads pictures of pages; "" for none
	OCRLanguages string // as in its option -l; "" for its default
}

// Reader reads documents of all formats. It is safe for concurrent use.
type Reader struct {
	c      Config
	pdfium *sandbox
}

// NewReader returns a reader, which holds nothing before it has read its first
// PDF.
func NewReader(c Config) *Reader { return &Reader{c: c, pdfium: &sandbox{}} }

// Extract reads data, whose format [Detect] found. name gives the title to a
// document that states none.
//
// It stops with ctx's error when ctx ends; what a parser does that cannot be
// interrupted is linear in the length of data, and in what it unpacks to.
//
// Errors: errs.Invalid for what is damaged or protected, errs.TooLarge for what
// unpacks to more than is read, errs.Unsupported for pages that are pictures
// where there is no OCR.
func (r *Reader) Extract(ctx context.Context, f Format, name string, data []byte) (*Text, error) {
	return r.extract(ctx, f, name, data, newBudget(), 0)
}

// extract reads data out of what is left of a budget; mails is how many messages
// it lies in.
func (r *Reader) extract(ctx context.Context, f Format, name string, data []byte, left *budget, mails int) (*Text, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := &Text{Format: f, left: left}
	var err error
	switch f.Kind {
	case Markdown, HTML, Code, Plain:
		if data, err = inUTF8(data); err != nil {
			return nil, err
		}
	case Word, Slides, Sheet, PDF, Mail:
	}
	switch f.Kind {
	case Markdown:
		err = t.markdown(ctx, normalise(string(data)))
	case HTML:
		err = t.html(ctx, normalise(string(data)))
	case Code:
		err = t.code(ctx, normalise(string(data)))
	case Word:
		err = t.word(ctx, data)
	case Slides:
		err = t.slides(ctx, data)
	case Sheet:
		err = t.sheets(ctx, data)
	case PDF:
		err = t.pdf(ctx, r, data)
	case Mail:
		err = t.mail(ctx, r, data, mails)
	default:
		err = t.plain(ctx, normalise(string(data)))
	}
	if err == nil && left.text < 0 {
		err = left.keep(0)
	}
	if err != nil {
		return nil, err
	}
	if t.Title = oneLine(t.Title, 512); t.Title == "" {
		t.Title = titleOf(name, f)
	}
	return t, nil
}

// normalise makes line ends \n and drops what nobody reads: the byte order
// mark, form feeds and other control characters.
func normalise(s string) string {
	s = strings.TrimPrefix(s, string(bom))
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		c := s[i]
		clean = c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f)
	}
	if clean {
		return s
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r' || r == '\v' || r == '\f':
			return '\n'
		case r < 0x20 || r == 0x7f:
			return -1
		}
		return r
	}, s)
}

// oneLine folds white space to single spaces and cuts at max runes.
func oneLine(s string, max int) string {
	s = strings.Join(strings.Fields(s), " ")
	n := 0
	for i := range s {
		if n == max {
			return strings.TrimSpace(s[:i])
		}
		n++
	}
	return s
}

// titleOf makes a title of a file name. Source code keeps the whole path,
// which people search for; prose loses its extension.
func titleOf(name string, f Format) string {
	name = strings.ReplaceAll(name, "\\", "/")
	if f.Kind == Code {
		return oneLine(name, 512)
	}
	base := path.Base(name)
	if base == "." || base == "/" {
		return ""
	}
	return oneLine(strings.TrimSuffix(base, path.Ext(base)), 512)
}

// add appends a block unless it is blank; it strips blank lines around text
// and keeps the indentation of the first line.
func (t *Text) add(kind BlockKind, text string, path []string, line int) {
	for {
		first, rest, ok := strings.Cut(text, "\n")
		if !ok || strings.TrimSpace(first) != "" {
			break
		}
		text = rest
		if line > 0 {
			line++
		}
	}
	text = strings.TrimRightFunc(text, unicode.IsSpace)
	if text == "" || strings.TrimSpace(text) == "" {
		return
	}
	t.Blocks = append(t.Blocks, Block{Kind: kind, Text: text, Path: append([]string(nil), path...), Line: line, Page: t.page})
	if t.left != nil {
		t.left.text -= len(text) // asked for by whoever can stop
	}
}

// outline keeps the headings that are open.
type outline struct {
	names  []string
	levels []int
}

// open closes the headings of level and below, and opens name.
func (o *outline) open(level int, name string) {
	for len(o.levels) > 0 && o.levels[len(o.levels)-1] >= level {
		o.levels = o.levels[:len(o.levels)-1]
		o.names = o.names[:len(o.names)-1]
	}
	if name = oneLine(name, 200); name == "" || len(o.names) == MaxPath {
		return
	}
	o.levels = append(o.levels, level)
	o.names = append(o.names, name)
}
