package extract

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxSlides bounds how many slides are read.
const maxSlides = 5000

// slides reads a PresentationML document (ECMA-376, part 1, 19): every slide in
// the order of the show under its title, with its tables and speaker's notes.
func (t *Text) slides(ctx context.Context, data []byte) error {
	a, err := openArchive(t.Format, data, t.left)
	if err != nil {
		return err
	}
	if t.Title, err = a.title(ctx); err != nil {
		return err
	}
	rel, err := a.relations(ctx, "ppt/presentation.xml")
	if err != nil {
		return err
	}
	var show []string
	err = a.part(ctx, "ppt/presentation.xml", func(tok xml.Token) error {
		e, ok := tok.(xml.StartElement)
		if !ok || e.Name.Local != "sldId" {
			return nil
		}
		for _, at := range e.Attr { // r:id beside the slide's own id
			if r, ok := rel[at.Value]; ok && at.Name.Space != "" && r.kind == "slide" {
				show = append(show, r.target)
			}
		}
		if len(show) > maxSlides {
			return tooMuch(fmt.Sprintf("%d slides", maxSlides))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, name := range show {
		if err := t.slide(ctx, a, name, i+1); err != nil {
			return err
		}
		if err := t.left.keep(0); err != nil {
			return err
		}
	}
	return nil
}

func (t *Text) slide(ctx context.Context, a *archive, name string, number int) error {
	s := &slide{}
	if err := a.optional(ctx, name, s.token); err != nil {
		return err
	}
	title := oneLine(s.title, 200)
	if title == "" {
		title = fmt.Sprintf("Slide %d", number)
	} else if t.Title == "" && number == 1 {
		t.Title = title
	}
	path := []string{title}
	t.page = number
	defer func() { t.page = 0 }()
	t.add(Heading, title, path, 0)
	for _, b := range s.blocks {
		t.add(b.Kind, b.Text, path, 0)
	}
	rel, err := a.relations(ctx, name)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(rel)) {
		switch r := rel[id]; r.kind {
		case "notesSlide":
			n := &slide{notes: true}
			if err := a.optional(ctx, r.target, n.token); err != nil {
				return err
			}
			for _, b := range n.blocks {
				t.add(Quote, b.Text, path, 0)
			}
		case "diagramData":
			d := &slide{notes: true}
			if err := a.optional(ctx, r.target, d.token); err != nil {
				return err
			}
			t.add(List, d.shape.String(), path, 0)
		}
	}
	return nil
}

// slide walks the shapes of a slide.
type slide struct {
	notes  bool
	title  string
	blocks []Block

	skip    int
	text    bool
	holder  string // type of the placeholder that the shape fills
	para    strings.Builder
	shape   strings.Builder
	bullets int
	table   *grid
	cells   []string
}

func (s *slide) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.StartElement:
		if s.skip > 0 || t.Name.Local == "Fallback" {
			s.skip++
			return nil
		}
		switch t.Name.Local {
		case "sp":
			s.holder = ""
		case "ph":
			if s.holder = attribute(t, "type"); s.holder == "" {
				s.holder = "body"
			}
		case "t":
			s.text = true
		case "br":
			s.para.WriteByte('\n')
		case "tbl":
			s.table = &grid{}
		}
	case xml.EndElement:
		if s.skip > 0 {
			s.skip--
			return nil
		}
		s.close(t.Name.Local)
	case xml.CharData:
		if s.skip == 0 && s.text {
			s.para.Write(t)
			if s.para.Len()+s.shape.Len() > maxText {
				return tooMuch("one shape")
			}
		}
	}
	return nil
}

func (s *slide) close(name string) {
	switch name {
	case "t":
		s.text = false
	case "p":
		if text := strings.TrimSpace(s.para.String()); text != "" {
			s.shape.WriteString(text + "\n")
			s.bullets++
		}
		s.para.Reset()
	case "tc":
		s.cells = append(s.cells, strings.TrimSpace(s.shape.String()))
		s.shape.Reset()
		s.bullets = 0
	case "tr":
		if s.table != nil {
			s.table.row(s.cells)
		}
		s.cells = nil
	case "tbl":
		if s.table != nil {
			s.blocks = append(s.blocks, Block{Kind: Table, Text: s.table.String()})
		}
		s.table = nil
	case "sp":
		s.end()
	}
}

// end closes a shape. The number of a slide and the date on it are no text of
// the document, and the picture of the slide on its notes has none.
func (s *slide) end() {
	text, n := strings.TrimSpace(s.shape.String()), s.bullets
	s.shape.Reset()
	s.bullets = 0
	switch {
	case text == "", s.holder == "sldNum", s.holder == "dt", s.holder == "sldImg":
	case (s.holder == "title" || s.holder == "ctrTitle") && s.title == "" && !s.notes:
		s.title = text
	case n > 1:
		s.blocks = append(s.blocks, Block{Kind: List, Text: text})
	default:
		s.blocks = append(s.blocks, Block{Kind: Paragraph, Text: text})
	}
}
