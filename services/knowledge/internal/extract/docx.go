package extract

import (
	"context"
	"encoding/xml"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// word reads a WordprocessingML document (ECMA-376, part 1, 17): its body, then
// what stands around it: headers, footers, footnotes, endnotes, comments.
// Deleted text of tracked changes, field codes and the fallback copies of
// drawings are not what a reader sees and are left out.
func (t *Text) word(ctx context.Context, data []byte) error {
	a, err := openArchive(t.Format, data, t.left)
	if err != nil {
		return err
	}
	if t.Title, err = a.title(ctx); err != nil {
		return err
	}
	levels, lists, err := a.styles(ctx)
	if err != nil {
		return err
	}
	rel, err := a.relations(ctx, "word/document.xml")
	if err != nil {
		return err
	}
	w := &story{t: t, levels: levels, lists: lists}
	if err := a.part(ctx, "word/document.xml", w.token); err != nil {
		return err
	}
	w.end()
	if t.Title == "" {
		t.Title = w.first
	}
	around := map[string]string{"header": "Header", "footer": "Footer", "footnotes": "Footnotes", "endnotes": "Endnotes", "comments": "Comments"}
	var names []string
	for _, r := range rel {
		if around[r.kind] != "" && !slices.Contains(names, r.target) {
			names = append(names, r.target)
		}
	}
	sort.Strings(names)
	seen := map[string]bool{}
	for _, name := range names {
		var aside Text
		s := &story{t: &aside}
		if err := a.optional(ctx, name, s.token); err != nil {
			return err
		}
		s.end()
		for _, b := range aside.Blocks {
			if !seen[b.Text] { // sections of a document often have the same header
				seen[b.Text] = true
				t.add(b.Kind, b.Text, nil, 0)
			}
		}
	}
	return nil
}

// styles gives the outline level of each style that has one, from 1, and the
// styles of items of lists.
func (a *archive) styles(ctx context.Context) (levels map[string]int, lists map[string]bool, err error) {
	levels, lists = map[string]int{}, map[string]bool{}
	style := ""
	err = a.optional(ctx, "word/styles.xml", func(t xml.Token) error {
		e, ok := t.(xml.StartElement)
		if !ok {
			return nil
		}
		switch e.Name.Local {
		case "style":
			style = attribute(e, "styleId")
		case "name":
			switch n := strings.ToLower(attribute(e, "val")); {
			case n == "title":
				levels[style] = 1
			case strings.HasPrefix(n, "heading "):
				if l, err := strconv.Atoi(n[len("heading "):]); err == nil && l >= 1 && l <= 9 {
					levels[style] = l
				}
			}
		case "numPr":
			lists[style] = true
		case "outlineLvl":
			if l, err := strconv.Atoi(attribute(e, "val")); err == nil && l >= 0 && l < 9 && levels[style] == 0 {
				levels[style] = l + 1
			}
		}
		return nil
	})
	return levels, lists, err
}

// story walks the paragraphs and tables of a part.
type story struct {
	t      *Text
	levels map[string]int
	lists  map[string]bool
	o      outline
	first  string // first heading

	skip  int // depth within an element that is not read; 0 outside
	text  bool
	para  strings.Builder
	level int
	list  bool
	items []string // of the list at hand

	tables []*grid // open tables, outermost first
	deeper int     // open tables below those that are kept
	cells  [][]string
	cell   []*strings.Builder
}

// unread are elements whose content a reader does not see, or sees elsewhere.
var unread = map[string]bool{"del": true, "moveFrom": true, "instrText": true, "delText": true, "Fallback": true, "delInstrText": true, "sectPrChange": true, "pPrChange": true, "rPrChange": true}

func (s *story) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.StartElement:
		if s.skip > 0 || unread[t.Name.Local] {
			s.skip++
			return nil
		}
		s.start(t)
	case xml.EndElement:
		if s.skip > 0 {
			s.skip--
			return nil
		}
		s.close(t.Name.Local)
		if s.t.left != nil && s.t.left.text < 0 {
			return s.t.left.keep(0)
		}
	case xml.CharData:
		if s.skip == 0 && s.text {
			s.para.Write(t)
			if s.para.Len() > maxText {
				return tooMuch("one paragraph")
			}
		}
	}
	return nil
}

func (s *story) start(e xml.StartElement) {
	switch e.Name.Local {
	case "t":
		s.text = true
	case "tab":
		s.para.WriteByte('\t')
	case "br", "cr":
		s.para.WriteByte('\n')
	case "noBreakHyphen":
		s.para.WriteByte('-')
	case "pStyle":
		style := attribute(e, "val")
		s.level, s.list = s.levels[style], s.list || s.lists[style]
	case "outlineLvl":
		if l, err := strconv.Atoi(attribute(e, "val")); err == nil && l >= 0 && l < 9 {
			s.level = l + 1
		}
	case "numPr":
		s.list = true
	case "tbl":
		s.flushList()
		if len(s.tables) == maxDepth {
			s.deeper++
		} else {
			s.tables = append(s.tables, &grid{})
			s.cells = append(s.cells, nil)
			s.cell = append(s.cell, &strings.Builder{})
		}
	}
}

func (s *story) close(name string) {
	switch name {
	case "t":
		s.text = false
	case "p":
		s.paragraph()
	case "tc":
		if n := len(s.tables) - 1; n >= 0 && s.deeper == 0 {
			s.cells[n] = append(s.cells[n], strings.TrimSpace(s.cell[n].String()))
			s.cell[n].Reset()
		}
	case "tr":
		if n := len(s.tables) - 1; n >= 0 && s.deeper == 0 {
			s.tables[n].row(s.cells[n])
			s.cells[n] = nil
		}
	case "tbl":
		if s.deeper > 0 {
			s.deeper--
		} else {
			s.table()
		}
	}
}

// paragraph ends the paragraph at hand.
func (s *story) paragraph() {
	text, level, list := strings.TrimSpace(s.para.String()), s.level, s.list
	s.para.Reset()
	s.level, s.list = 0, false
	if n := len(s.cell) - 1; n >= 0 {
		s.cell[n].WriteString(text + "\n")
		return
	}
	switch {
	case text == "":
	case level > 0:
		s.flushList()
		s.o.open(level, text)
		if s.first == "" {
			s.first = text
		}
		s.t.add(Heading, text, s.o.names, 0)
	case list:
		s.items = append(s.items, "- "+text)
	default:
		s.flushList()
		s.t.add(Paragraph, text, s.o.names, 0)
	}
}

func (s *story) flushList() {
	s.t.add(List, strings.Join(s.items, "\n"), s.o.names, 0)
	s.items = nil
}

// table ends the innermost table; one within a cell becomes text of the cell.
func (s *story) table() {
	n := len(s.tables) - 1
	if n < 0 {
		return
	}
	if rest := strings.TrimSpace(s.cell[n].String()); rest != "" { // of a document that stops here
		s.cells[n] = append(s.cells[n], rest)
	}
	if len(s.cells[n]) > 0 {
		s.tables[n].row(s.cells[n])
	}
	g := s.tables[n]
	s.tables, s.cells, s.cell = s.tables[:n], s.cells[:n], s.cell[:n]
	if n > 0 {
		for _, r := range g.rows {
			s.cell[n-1].WriteString(strings.Join(r, " ") + "\n")
		}
		return
	}
	s.t.add(Table, g.String(), s.o.names, 0)
}

// end writes what is still open, in a document that stops in the middle.
func (s *story) end() {
	s.paragraph()
	for len(s.tables) > 0 {
		s.table()
	}
	s.flushList()
}
