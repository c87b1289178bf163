package site

import (
	"bytes"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/feed"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// page is what a page says.
type page struct {
	title     string
	main      []byte // its text as HTML
	canonical string // "" when it does not say
	links     []string
	noIndex   bool
	noFollow  bool
}

// mostLinks of a page are followed.
const mostLinks = 2000

// parsePage reads a page that was found at an address.
func parsePage(body []byte, contentType string, at *url.URL) (page, error) {
	r, err := charset.NewReader(bytes.NewReader(body), contentType)
	if err != nil {
		return page{}, err
	}
	doc, err := html.Parse(r)
	if err != nil {
		return page{}, err
	}
	var p page
	base := at
	var best *html.Node
	size := 0
	seen := map[string]bool{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.DataAtom {
		case atom.Title:
			if p.title == "" {
				p.title = textOf(n)
			}
		case atom.Base:
			if b, err := at.Parse(attr(n, "href")); err == nil && b.Host == at.Host {
				base = b
			}
		case atom.Meta:
			if name := strings.ToLower(attr(n, "name")); name == "robots" || name == agent {
				said := strings.ToLower(attr(n, "content"))
				p.noIndex = p.noIndex || strings.Contains(said, "noindex") || strings.Contains(said, "none")
				p.noFollow = p.noFollow || strings.Contains(said, "nofollow") || strings.Contains(said, "none")
			}
		case atom.Link:
			if strings.EqualFold(attr(n, "rel"), "canonical") {
				p.canonical = resolve(base, attr(n, "href"))
			}
		case atom.A, atom.Area:
			if to := resolve(base, attr(n, "href")); to != "" && !seen[to] && len(p.links) < mostLinks && !strings.Contains(strings.ToLower(attr(n, "rel")), "nofollow") {
				seen[to] = true
				p.links = append(p.links, to)
			}
		}
		if n.DataAtom == atom.Main || n.DataAtom == atom.Article || attr(n, "role") == "main" {
			if l := len(textOf(n)); l > size {
				best, size = n, l
			}
		}
	}
	if best == nil {
		p.main, err = feed.Main(body, contentType, at.String())
		if err == nil && len(bytes.TrimSpace(p.main)) > 0 {
			return p, nil
		}
		best = doc
	}
	if h := first(best, atom.H1); h != nil && textOf(h) != "" {
		p.title = textOf(h)
	}
	p.main, err = render(best)
	return p, err
}

func first(n *html.Node, a atom.Atom) *html.Node {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.DataAtom == a {
			return d
		}
	}
	return nil
}

// render is the text of a node without what stands around it on every page.
func render(n *html.Node) ([]byte, error) {
	var drop []*html.Node
	for d := range n.Descendants() {
		switch d.DataAtom {
		case atom.Nav, atom.Footer, atom.Aside, atom.Script, atom.Style, atom.Noscript, atom.Form, atom.Iframe, atom.Svg, atom.Template, atom.Button:
			drop = append(drop, d)
		}
	}
	for _, d := range drop {
		if d.Parent != nil {
			d.Parent.RemoveChild(d)
		}
	}
	var b bytes.Buffer
	err := html.Render(&b, n)
	return b.Bytes(), err
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// resolve is an address of the web in the form in which each page has one; "" for
// anything else.
func resolve(base *url.URL, s string) string {
	u, err := base.Parse(strings.TrimSpace(s))
	if s == "" || err != nil {
		return ""
	}
	return source.Address(u.String())
}
