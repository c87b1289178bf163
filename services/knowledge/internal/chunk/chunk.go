package chunk

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

// Counter counts tokens as the embedding model does, without the marks that
// the model puts at the ends.
type Counter interface {
	Count(text string) int
}

// Config bounds the chunks. The zero value of a field takes its default.
type Config struct {
	Target  int // tokens of a chunk with its prefix; 220
	Least   int // tokens below which a chunk is joined with the next section; 80
	Overlap int // most tokens repeated where one block is cut in two; 30
	Prefix  int // most tokens of title and heading path; 48
	Chunks  int // most chunks of a document; 30000
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		v   *int
		def int
	}{{&c.Target, 220}, {&c.Least, 80}, {&c.Overlap, 30}, {&c.Prefix, 48}, {&c.Chunks, 30000}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	c.Target = max(c.Target, 32)
	c.Prefix = min(c.Prefix, c.Target/3)
	c.Overlap = min(c.Overlap, c.Target/4)
	return c
}

// Chunk is one passage.
type Chunk struct {
	Text   string
	Path   []string // headings or declarations that enclose all of it, outermost first
	Symbol string   // of source code: the declarations in it, separated by blanks
	Kind   extract.BlockKind
	Line   int // first line in the document, from 1; 0 when unknown
	Page   int // page or slide where it begins, from 1; 0 when there are none
	Tokens int // of the text with its prefix
	// Overlap is the number of bytes at the start of Text that repeat the end
	// of the chunk before, or the head of a table.
	Overlap int
}

// Prefix is what stands before the text of a chunk when it is embedded: title
// and heading path. A path that begins with the title does not repeat it.
func Prefix(title string, path []string) string {
	parts := make([]string, 0, len(path)+1)
	if title != "" {
		parts = append(parts, title)
	}
	for i, p := range path {
		if i == 0 && p == title {
			continue
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, " > ")
}

// Embedded is the text that the model is given for a chunk.
func (c Chunk) Embedded(title string) string {
	if p := Prefix(title, c.Path); p != "" {
		return p + "\n" + c.Text
	}
	return c.Text
}

// bytesPerToken bounds a chunk by length where counting tokens does not: a
// tokenizer may call a very long word one unknown token.
const bytesPerToken = 12

// Cut cuts t. It stops with ctx's error when ctx ends, and refuses a document
// of more than c.Chunks chunks.
func Cut(ctx context.Context, t *extract.Text, count Counter, c Config) ([]Chunk, error) {
	k := &cutter{c: c.withDefaults(), count: count, title: t.Title, prefixes: map[string]int{}}
	for i, b := range t.Blocks {
		if i%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		k.block(ctx, b)
		if len(k.out) > k.c.Chunks {
			return nil, errs.Newf(errs.TooLarge, "the document has more than %d chunks", k.c.Chunks)
		}
	}
	k.close()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(k.out) > k.c.Chunks {
		return nil, errs.Newf(errs.TooLarge, "the document has more than %d chunks", k.c.Chunks)
	}
	return k.out, nil
}

// piece is a block, or a part of one that was too long.
type piece struct {
	extract.Block
	tokens  int
	overlap int // bytes, see Chunk.Overlap
	part    bool
}

type cutter struct {
	c        Config
	count    Counter
	title    string
	prefixes map[string]int
	cur      []piece
	tokens   int
	out      []Chunk
}

func (k *cutter) measure(s string) int {
	return max(k.count.Count(s), (len(s)+bytesPerToken-1)/bytesPerToken)
}

// room is the number of tokens left for text below path.
func (k *cutter) room(path []string) int {
	key := strings.Join(path, "\x00")
	n, ok := k.prefixes[key]
	if !ok {
		n = min(k.measure(Prefix(k.title, path)), k.c.Prefix)
		if len(k.prefixes) < 4096 {
			k.prefixes[key] = n
		}
	}
	return k.c.Target - n
}

func (k *cutter) block(ctx context.Context, b extract.Block) {
	p := piece{Block: b, tokens: k.measure(b.Text)}
	room := k.room(b.Path)
	if p.tokens <= room {
		k.add(p)
		return
	}
	// A short beginning, such as a heading, goes with the first part.
	if k.tokens >= k.c.Least || (len(k.cur) > 0 && !related(k.cur[0].Path, b.Path)) {
		k.close() // keeps headings back
	}
	first := room - k.tokens
	line := b.Line
	for _, part := range k.split(ctx, b, first, room) {
		q := piece{Block: b, tokens: k.measure(part.text), overlap: part.overlap, part: true}
		q.Text = part.text
		q.Line = line
		if line > 0 {
			line += strings.Count(part.text[part.overlap:], "\n") + part.gap
		}
		k.add(q)
	}
}

// add puts a piece into the chunk at hand, or closes that and begins another.
func (k *cutter) add(p piece) {
	if len(k.cur) > 0 {
		path := common(k.cur[0].Path, p.Path)
		full := k.tokens+p.tokens > k.room(path)
		same := slices.Equal(k.cur[len(k.cur)-1].Path, p.Path)
		// A new section begins a new chunk unless the one at hand is too
		// small to be of use; parts of a long block stand alone.
		switch {
		case full, p.part && p.overlap > 0, !same && k.tokens >= k.c.Least && !k.onlyHeadings():
			k.close()
		}
	}
	k.cur = append(k.cur, p)
	k.tokens += p.tokens
}

func (k *cutter) onlyHeadings() bool {
	return !slices.ContainsFunc(k.cur, func(p piece) bool { return p.Kind != extract.Heading })
}

// close makes a chunk of the pieces at hand. Headings at its end begin the
// next one.
func (k *cutter) close() {
	pieces := k.cur
	k.cur, k.tokens = nil, 0
	n := len(pieces)
	for n > 0 && pieces[n-1].Kind == extract.Heading {
		n--
	}
	if n == 0 { // headings alone: a document that ends so
		n = len(pieces)
	}
	if n == 0 {
		return
	}
	for _, p := range pieces[n:] {
		k.cur = append(k.cur, p)
		k.tokens += p.tokens
	}
	k.emit(pieces[:n])
}

func (k *cutter) emit(pieces []piece) {
	c := Chunk{Path: pieces[0].Path, Line: pieces[0].Line, Page: pieces[0].Page, Overlap: pieces[0].overlap, Kind: pieces[0].Kind}
	texts := make([]string, len(pieces))
	var symbols []string
	for i, p := range pieces {
		texts[i] = p.Text
		c.Path = common(c.Path, p.Path)
		if c.Kind == extract.Heading {
			c.Kind = p.Kind
		}
		if p.Kind == extract.Source && len(p.Path) > 0 {
			if s := strings.Join(p.Path, "."); len(symbols) == 0 || symbols[len(symbols)-1] != s {
				symbols = append(symbols, s)
			}
		}
	}
	c.Text = strings.Join(texts, "\n\n")
	c.Path = slices.Clone(c.Path)
	c.Symbol = strings.Join(symbols, " ")
	c.Tokens = min(k.measure(Prefix(k.title, c.Path)), k.c.Prefix) + k.measure(c.Text)
	k.out = append(k.out, c)
}

func common(a, b []string) []string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// related reports whether one path leads to the other.
func related(a, b []string) bool {
	n := len(common(a, b))
	return n == len(a) || n == len(b)
}

// String is for logs: place and size, not content.
func (c Chunk) String() string {
	return fmt.Sprintf("chunk at line %d, %d tokens, %s", c.Line, c.Tokens, strings.Join(c.Path, " > "))
}
