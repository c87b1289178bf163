package feed

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

func pageInUTF8(page []byte, contentType string) ([]byte, error) {
	r, err := charset.NewReader(bytes.NewReader(page), contentType)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// Candidate is a source that discovery found.
type Candidate struct {
	Draft source.Draft
	Items int    // that it has at the moment
	IsIt  bool   // the address is that of the source itself
	Why   string // it was found: it is a feed, the page names it, it is at a usual place
}

// The bounds of discovery.
const (
	mostNamed = 8 // feeds that a page names are looked at
	mostFound = 5 // are returned
)

// usual are the places of feeds of pages that name none.
var usual = []string{"/feed", "/rss.xml", "/atom.xml", "/index.xml", "/feed.xml", "/feed.json"}

// Discover finds the feeds of an address: it is one, its page names some, or they
// are at usual places.
func (r *Reader) Discover(ctx context.Context, address string) ([]Candidate, error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := egress.Parse(address)
	if err != nil {
		return nil, err
	}
	a, err := r.Client.Get(ctx, u.String(), http.Header{"Accept": {accept}}, nil)
	if err != nil {
		return nil, err
	}
	if err := Status(a, r.Now()); err != nil {
		return nil, err
	}
	if f, err := Parse(a.Body, a.Header.Get("Content-Type"), a.URL); err == nil {
		at := u.String()
		if a.Moved != "" {
			at = a.Moved
		}
		c := candidate(f, at, "it is a feed")
		c.IsIt = true
		return []Candidate{c}, nil
	}
	base, err := url.Parse(a.URL)
	if err != nil {
		return nil, err
	}
	page, err := pageInUTF8(a.Body, a.Header.Get("Content-Type"))
	if err != nil {
		return nil, errs.New(errs.Invalid, "the page cannot be read")
	}
	if out := r.look(ctx, named(page, base), "the page names it"); len(out) > 0 {
		return out, nil
	}
	var places []string
	for _, p := range usual {
		places = append(places, base.Scheme+"://"+base.Host+p)
		if dir := strings.TrimSuffix(base.Path, "/"); dir != "" && strings.Count(dir, "/") == 1 {
			places = append(places, base.Scheme+"://"+base.Host+dir+p)
		}
	}
	return r.look(ctx, places, "it is at a usual place"), nil
}

func candidate(f Parsed, at, why string) Candidate {
	name := f.Title
	if name == "" {
		name = hostOf(at)
	}
	if r := []rune(name); len(r) > 255 {
		name = string(r[:255])
	}
	return Candidate{Draft: source.Draft{Kind: source.Feed, Name: name, URL: at, Priority: 5, Enabled: true}, Items: len(f.Items), Why: why}
}

// look returns those of some addresses at which there is a feed.
func (r *Reader) look(ctx context.Context, all []string, why string) []Candidate {
	var out []Candidate
	for _, at := range all[:min(len(all), mostNamed)] {
		a, err := r.Client.Get(ctx, at, http.Header{"Accept": {accept}}, nil)
		if err != nil || a.Status != http.StatusOK {
			continue
		}
		f, err := Parse(a.Body, a.Header.Get("Content-Type"), a.URL)
		if err != nil {
			continue
		}
		if out = append(out, candidate(f, at, why)); len(out) == mostFound {
			break
		}
	}
	return out
}

// named are the feeds that a page names: in links of its head, then in its text.
func named(page []byte, base *url.URL) []string {
	var head, text []string
	seen := map[string]bool{}
	z := html.NewTokenizer(bytes.NewReader(page))
	for z.Next() != html.ErrorToken {
		t := z.Token()
		if t.Type != html.StartTagToken && t.Type != html.SelfClosingTagToken {
			continue
		}
		attr := map[string]string{}
		for _, a := range t.Attr {
			attr[a.Key] = a.Val
		}
		if t.Data == "base" && attr["href"] != "" {
			if b, err := base.Parse(attr["href"]); err == nil {
				base = b
			}
		}
		at := absolute(base, attr["href"])
		if at == "" || seen[at] {
			continue
		}
		switch {
		case t.Data == "link" && strings.Contains(strings.ToLower(attr["rel"]), "alternate") && feedType(attr["type"]):
			head = append(head, at)
		case t.Data == "a" && feedName(at):
			text = append(text, at)
		default:
			continue
		}
		seen[at] = true
	}
	return append(head, text...)
}

func feedType(s string) bool {
	s, _, _ = strings.Cut(strings.ToLower(s), ";")
	switch strings.TrimSpace(s) {
	case "application/rss+xml", "application/atom+xml", "application/feed+json", "application/rdf+xml", "text/xml", "application/xml":
		return true
	}
	return false
}

// feedName says whether an address looks like that of a feed.
func feedName(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	p := strings.ToLower(strings.TrimSuffix(u.Path, "/"))
	last := p[strings.LastIndexByte(p, '/')+1:]
	switch last {
	case "feed", "rss", "atom", "rss.xml", "atom.xml", "feed.xml", "index.xml", "feed.json", "index.rdf":
		return true
	}
	return strings.HasSuffix(last, ".rss") || strings.HasSuffix(last, ".atom")
}
