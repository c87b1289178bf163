package extract

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Bounds of what a compressed document may unpack to. They are far above what
// people write and far below what hurts.
const (
	maxParts    = 20_000    // files in the archive
	maxUnpacked = 256 << 20 // bytes of all parts that are read, together
	maxRatio    = 200       // unpacked to packed, of parts above maxSmall
	maxSmall    = 1 << 20   // bytes of a part that may be compressed to any ratio
	maxText     = 64 << 20  // bytes of text that a document may hold
	maxXMLDepth = 512       // elements within each other
	maxToken    = 1 << 20   // bytes of one tag with its attributes, or of one run of text
)

// damaged is the refusal of a document whose bytes are not what its format says.
func damaged(f Format, why error) error {
	return errs.Wrap(errs.Invalid, why, fmt.Sprintf("the document cannot be read as %s: it is damaged, or protected by a password", f.Kind.name()))
}

// tooMuch is the refusal of a document that is small on the wire and huge when
// unpacked.
func tooMuch(what string) error {
	return errs.Newf(errs.TooLarge, "the document unpacks to more than is read here (%s)", what)
}

// archive is an office document: a ZIP file of XML parts (ECMA-376, part 2).
type archive struct {
	f     Format
	parts map[string]*zip.File
	left  *budget
}

// directory begins each entry of an archive's directory. They are counted before
// the archive is opened, since each becomes a structure of some size, and the number
// that the archive states need not be true.
var directory = []byte("PK\x01\x02")

func openArchive(f Format, data []byte, left *budget) (*archive, error) {
	if n := bytes.Count(data, directory); n > maxParts {
		return nil, tooMuch(fmt.Sprintf("%d files in the archive", n))
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, damaged(f, err)
	}
	a := &archive{f: f, parts: make(map[string]*zip.File, len(z.File)), left: left}
	for _, p := range z.File {
		// Names are compared without case (ECMA-376 part 2, 6.2.2); of two of the
		// same name the first counts.
		name := partName(p.Name)
		if _, ok := a.parts[name]; !ok {
			a.parts[name] = p
		}
	}
	return a, nil
}

func partName(s string) string {
	return strings.ToLower(strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(s, `\`, "/")), "/"))
}

// fits checks what the archive says of itself, for a library that unpacks it
// on its own; what unpacks to more than it says is refused there.
func (a *archive) fits() error {
	for name, p := range a.parts {
		n := p.UncompressedSize64
		if n > maxSmall && n > maxRatio*max(p.CompressedSize64, 1) {
			return tooMuch(name + " is compressed more than 200 to 1")
		}
		if err := a.left.unpack(int64(min(n, maxUnpacked+1))); err != nil {
			return err
		}
	}
	return nil
}

// tokens is a reader that fails when a parser takes more than maxToken bytes for
// one token, which it keeps in memory many times its size.
type tokens struct {
	r     io.Reader
	since int // bytes that were read since the last token
}

var errLongToken = errors.New("one tag, or one run of text, is too long")

func (t *tokens) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if t.since += n; t.since > maxToken {
		return 0, errLongToken
	}
	return n, err
}

// errNoPart says that the archive lacks a part; most are optional.
var errNoPart = errors.New("no such part")

// part walks the XML of a part. Elements are given to visit one after the
// other; visit says io.EOF to end the walk early.
func (a *archive) part(ctx context.Context, name string, visit func(xml.Token) error) error {
	p, ok := a.parts[partName(name)]
	if !ok {
		return fmt.Errorf("%s: %w", name, errNoPart)
	}
	if n := p.UncompressedSize64; n > maxSmall && n > maxRatio*max(p.CompressedSize64, 1) {
		return tooMuch(name + " is compressed more than 200 to 1")
	}
	r, err := p.Open()
	if err != nil {
		return damaged(a.f, err)
	}
	defer r.Close() //nolint:errcheck // of a reader over memory
	in := &io.LimitedReader{R: r, N: max(a.left.unpacked, 0) + 1}
	pace := &tokens{r: &cancellable{ctx: ctx, r: in}}
	d := xml.NewDecoder(pace)
	d.Strict = false
	d.CharsetReader = charsetReader
	defer func() { a.left.unpacked = in.N - 1 }()
	for depth := 0; ; {
		t, err := d.RawToken()
		pace.since = 0
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errLongToken):
			return tooMuch(fmt.Sprintf("one tag or text of %d MiB", maxToken>>20))
		case in.N <= 0:
			return tooMuch(fmt.Sprintf("%d MiB", maxUnpacked>>20))
		case err != nil:
			return damaged(a.f, err)
		}
		switch t.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
		if depth > maxXMLDepth {
			return tooMuch(fmt.Sprintf("%d elements within each other", maxXMLDepth))
		}
		if err := visit(t); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// optional walks a part that a document need not have.
func (a *archive) optional(ctx context.Context, name string, visit func(xml.Token) error) error {
	if err := a.part(ctx, name, visit); err != nil && !errors.Is(err, errNoPart) {
		return err
	}
	return nil
}

// relation is a reference of a part to another one.
type relation struct{ kind, target string }

// relations are the references of a part by their ids. Kind is the last
// element of the relation's type, the target a name in the archive. What lies
// outside of the archive is not among them.
func (a *archive) relations(ctx context.Context, of string) (map[string]relation, error) {
	dir, base := path.Split(of)
	out := map[string]relation{}
	err := a.optional(ctx, dir+"_rels/"+base+".rels", func(t xml.Token) error {
		e, ok := t.(xml.StartElement)
		if !ok || e.Name.Local != "Relationship" || attribute(e, "TargetMode") == "External" {
			return nil
		}
		target := attribute(e, "Target")
		if !strings.HasPrefix(target, "/") {
			target = dir + target
		}
		out[attribute(e, "Id")] = relation{kind: path.Base(attribute(e, "Type")), target: partName(target)}
		return nil
	})
	return out, err
}

// title is the title among the document's properties.
func (a *archive) title(ctx context.Context) (string, error) {
	var title strings.Builder
	in := false
	err := a.optional(ctx, "docProps/core.xml", func(t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			in = t.Name.Local == "title"
		case xml.EndElement:
			in = false
		case xml.CharData:
			if in && title.Len() < 4096 {
				title.Write(t)
			}
		}
		return nil
	})
	return title.String(), err
}

// attribute is an attribute by its local name, whatever its namespace.
func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// officeKind finds which office document an archive is; "" for another one.
func officeKind(data []byte) Kind {
	if bytes.Count(data, directory) > maxParts {
		return ""
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return ""
	}
	var found Kind
	for _, p := range z.File {
		switch partName(p.Name) {
		case "word/document.xml":
			found = Word
		case "ppt/presentation.xml":
			found = Slides
		case "xl/workbook.xml", "xl/workbook.bin":
			found = Sheet
		}
	}
	return found
}

// readable reports whether the bytes are a whole ZIP archive.
func readable(data []byte) bool {
	_, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	return err == nil
}

// grid collects a table and writes it as a GitHub table, which keeps what
// belongs to a row together and is cut with its head repeated.
type grid struct {
	rows [][]string
	size int
}

// maxPadded is the width up to which short rows are filled up. In a wider table
// one long row would make all others as long; readers of such tables take a row
// that ends early.
const maxPadded = 32

func (g *grid) row(cells []string) {
	for len(cells) > 0 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	if len(cells) == 0 {
		return
	}
	for _, c := range cells {
		g.size += len(c) + 3
	}
	g.rows = append(g.rows, cells)
}

func (g *grid) String() string {
	width := 0
	for _, r := range g.rows {
		width = max(width, len(r))
	}
	switch {
	case width == 0:
		return ""
	case width == 1: // a frame around text, not a table
		var b strings.Builder
		for _, r := range g.rows {
			b.WriteString(r[0] + "\n")
		}
		return b.String()
	}
	var b strings.Builder
	b.Grow(g.size + len(g.rows)*4)
	for i, r := range g.rows {
		b.WriteByte('|')
		columns := max(len(r), min(width, maxPadded))
		if i == 0 {
			columns = width
		}
		for c := range columns {
			cell := ""
			if c < len(r) {
				cell = strings.ReplaceAll(strings.Join(strings.Fields(r[c]), " "), "|", `\|`)
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteByte('\n')
		if i == 0 {
			b.WriteString("|" + strings.Repeat(" --- |", width) + "\n")
		}
	}
	return b.String()
}
