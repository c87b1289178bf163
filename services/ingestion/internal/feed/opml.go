package feed

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"

	"golang.org/x/net/html/charset"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// Outline is a feed in a list of feeds.
type Outline struct {
	Name     string
	URL      string
	Category string // the folders that it is in, joined by " / "
}

// The bounds of a list.
const (
	mostOutlines = source.MaxPerProject
	deepest      = 20
)

type outline struct {
	Text     string    `xml:"text,attr"`
	Title    string    `xml:"title,attr,omitempty"`
	Type     string    `xml:"type,attr,omitempty"`
	XMLURL   string    `xml:"xmlUrl,attr,omitempty"`
	Category string    `xml:"category,attr,omitempty"`
	Outlines []outline `xml:"outline"`
}

type opml struct {
	XMLName xml.Name `xml:"opml"`
	Version string   `xml:"version,attr"`
	Head    struct {
		Title string `xml:"title"`
	} `xml:"head"`
	Body struct {
		Outlines []outline `xml:"outline"`
	} `xml:"body"`
}

// ReadOPML reads a list of feeds, each address once. What is no feed is left out.
func ReadOPML(text []byte) ([]Outline, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = false
	d.Entity = xml.HTMLEntity
	d.CharsetReader = func(label string, in io.Reader) (io.Reader, error) { return charset.NewReaderLabel(label, in) }
	if err := shallow(text); err != nil {
		return nil, err
	}
	var o opml
	if err := d.Decode(&o); err != nil {
		return nil, errs.InvalidField("value_error", "this is no OPML: "+clip(err.Error(), 200), "body", "opml")
	}
	var out []Outline
	seen := map[string]bool{}
	var walk func(all []outline, folder string)
	walk = func(all []outline, folder string) {
		for _, x := range all {
			name := line(x.Title)
			if name == "" {
				name = line(x.Text)
			}
			if x.XMLURL == "" {
				inner := name
				if folder != "" && name != "" {
					inner = folder + " / " + name
				} else if name == "" {
					inner = folder
				}
				walk(x.Outlines, inner)
				continue
			}
			u, err := egress.Parse(x.XMLURL)
			if err != nil || seen[u.String()] {
				continue
			}
			seen[u.String()] = true
			if name == "" {
				name = u.Host
			}
			out = append(out, Outline{Name: clip(name, 255), URL: u.String(), Category: clip(folder, 100)})
			walk(x.Outlines, folder)
		}
	}
	walk(o.Body.Outlines, "")
	if len(out) > mostOutlines {
		return nil, errs.InvalidField("too_long", "a list has at most 1000 feeds", "body", "opml")
	}
	return out, nil
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// shallow refuses a list that is nested more deeply than anybody's.
func shallow(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = false
	d.Entity = xml.HTMLEntity
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	depth := 0
	for {
		t, err := d.RawToken()
		if err != nil {
			return nil //nolint:nilerr // the reading says what
		}
		switch t.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
		if depth > deepest {
			return errs.InvalidField("too_long", "folders are at most 20 deep", "body", "opml")
		}
	}
}

// WriteOPML writes feeds as a list, by category.
func WriteOPML(title string, all []source.Source) ([]byte, error) {
	o := opml{Version: "2.0"}
	o.Head.Title = title
	folder := map[string]int{}
	for _, s := range all {
		if s.Kind != source.Feed {
			continue
		}
		x := outline{Text: s.Name, Title: s.Name, Type: "rss", XMLURL: s.URL}
		c := s.Config.Category
		if c == "" {
			o.Body.Outlines = append(o.Body.Outlines, x)
			continue
		}
		i, ok := folder[c]
		if !ok {
			i = len(o.Body.Outlines)
			folder[c] = i
			o.Body.Outlines = append(o.Body.Outlines, outline{Text: c})
		}
		o.Body.Outlines[i].Outlines = append(o.Body.Outlines[i].Outlines, x)
	}
	var b strings.Builder
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	if err := e.Encode(o); err != nil {
		return nil, err
	}
	return []byte(b.String() + "\n"), nil
}
