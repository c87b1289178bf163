package site

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/feed"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// agent is the product token for which a robots.txt has rules.
const agent = "commandcenter"

// The bounds of a crawl, where a source says nothing.
const (
	depth     = 5
	mostPages = 1000
	every     = 24 * time.Hour // between two crawls
)

// Crawler reads sites.
type Crawler struct {
	Client *egress.Client
	Now    func() time.Time
}

// crawl is one reading of a site.
type crawl struct {
	*Crawler
	v      source.Visit
	start  *url.URL
	dir    string // below which pages are
	secret http.Header
	rules  rules
	queue  []step
	seen   map[string]bool // was in the queue
	places map[string]bool // that were taken
	bytes  int64
	cut    bool // there are more pages than may be read
}

type step struct {
	at    string
	depth int
}

// mark is what is kept of a page, to tell whether it has changed.
type mark struct {
	depth          int
	etag, modified string
	sum            string
}

func (m mark) String() string {
	return fmt.Sprintf("%d\x1f%s\x1f%s\x1f%s", m.depth, m.etag, m.modified, m.sum)
}

func parseMark(s string) (m mark, ok bool) {
	p := strings.Split(s, "\x1f")
	if len(p) != 4 {
		return m, false
	}
	n, err := strconv.Atoi(p[0])
	return mark{n, p[1], p[2], p[3]}, err == nil
}

// Fetch is the visit of a site, see [source.Kinds]: every page of the host below
// the address's folder that links lead to or a sitemap names, as its robots.txt
// allows. A page that was read before is asked whether it has changed.
func (c *Crawler) Fetch(ctx context.Context, v source.Visit) (source.Report, error) {
	start, err := egress.Parse(v.Source.URL)
	if err != nil {
		return source.Report{}, err
	}
	x := &crawl{Crawler: c, v: v, start: start, dir: folderOf(start), secret: feed.Secret(v.Credentials), seen: map[string]bool{}, places: map[string]bool{}}
	if err := x.robots(ctx); err != nil {
		return source.Report{Every: every, Bytes: x.bytes}, err
	}
	first := source.Address(start.String())
	if !x.rules.allows(start) {
		return source.Report{Every: every}, errs.New(errs.Invalid, "the robots.txt of the site does not allow this page")
	}
	x.add(first, 0)
	for _, at := range v.Known() {
		m, _ := parseMark(v.Mark(at))
		x.add(at, m.depth)
	}
	maps := x.rules.sitemaps
	if len(maps) == 0 {
		maps = []string{"/sitemap.xml"}
	}
	for _, at := range x.sitemaps(ctx, maps) {
		x.add(resolve(start, at), 1)
	}
	most := cmp.Or(v.Source.Config.MaxItems, mostPages)
	read := 0
	for ; len(x.queue) > 0; read++ {
		if read == most {
			x.cut = true
			break
		}
		s := x.queue[0]
		x.queue = x.queue[1:]
		v.Tell(read, min(read+1+len(x.queue), most), s.at)
		if err := x.page(ctx, s); err != nil {
			return source.Report{Every: every, Bytes: x.bytes}, err
		}
	}
	r := source.Report{Every: every, Bytes: x.bytes, Whole: !x.cut, Note: fmt.Sprintf("%s, %d pages", start.Host, read)}
	if x.cut {
		r.Note += fmt.Sprintf(", and at least %d more", len(x.queue))
	}
	return r, ctx.Err()
}

// folderOf is the path below which pages belong to a site that begins at u.
func folderOf(u *url.URL) string {
	p := cmp.Or(u.Path, "/")
	if last := path.Base(p); !strings.HasSuffix(p, "/") && !strings.Contains(last, ".") {
		return p
	}
	return p[:strings.LastIndexByte(p, '/')+1]
}

// within says whether an address belongs to the site.
func (x *crawl) within(u *url.URL) bool {
	p := cmp.Or(u.Path, "/")
	return u.Host == x.start.Host && (strings.HasPrefix(p, x.dir) && (strings.HasSuffix(x.dir, "/") || len(p) == len(x.dir) || p[len(x.dir)] == '/'))
}

// add puts an address into the queue, once.
func (x *crawl) add(at string, depth int) {
	if at == "" || x.seen[at] {
		return
	}
	u, err := url.Parse(at)
	if err != nil || !x.within(u) || !x.rules.allows(u) || other(u.Path) {
		return
	}
	x.seen[at] = true
	x.queue = append(x.queue, step{at, depth})
}

// other says whether the name of a file is of something that is not read.
func other(p string) bool {
	return slices.Contains([]string{
		".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".css", ".js", ".mjs", ".map", ".woff", ".woff2", ".ttf", ".mp4", ".webm", ".mp3", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".exe", ".dmg",
		".deb", ".rpm", ".iso", ".wasm", ".json", ".xml", ".rss", ".atom",
	}, strings.ToLower(path.Ext(p)))
}

// robots reads the rules of the site. One that has none allows everything; one that
// cannot say is not read (RFC 9309, 2.3.1).
func (x *crawl) robots(ctx context.Context) error {
	a, err := x.Client.Get(ctx, x.start.Scheme+"://"+x.start.Host+"/robots.txt", nil, x.secret)
	if err != nil {
		return err
	}
	x.bytes += int64(len(a.Body))
	switch {
	case a.Status == http.StatusOK:
		x.rules = parseRobots(a.Body)
	case a.Status >= 500 || a.Status == http.StatusTooManyRequests:
		if err := feed.Status(a, x.Now()); err != nil {
			return fmt.Errorf("robots.txt: %w", err)
		}
	}
	return nil
}

// page reads one page. What is wrong with it is no fault of the site, unless it is
// the first one.
func (x *crawl) page(ctx context.Context, s step) error {
	if x.rules.delay > 0 {
		defer x.Client.Pause(x.start.Host, x.rules.delay)
	}
	was, known := parseMark(x.v.Mark(s.at))
	h := http.Header{"Accept": {"text/html, application/xhtml+xml, text/markdown;q=0.9, text/plain;q=0.8, application/pdf;q=0.7"}}
	if known && was.etag != "" {
		h.Set("If-None-Match", was.etag)
	}
	if known && was.modified != "" {
		h.Set("If-Modified-Since", was.modified)
	}
	a, err := x.Client.Get(ctx, s.at, h, x.secret)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	x.bytes += int64(len(a.Body))
	switch {
	case err == nil && a.Status == http.StatusNotModified:
		return x.v.Same(ctx, s.at)
	case err == nil && (a.Status == http.StatusNotFound || a.Status == http.StatusGone) && s.depth > 0:
		return nil // it is not there any more
	case err == nil:
		err = feed.Status(a, x.Now())
	}
	if err != nil && s.depth == 0 && s.at == source.Address(x.start.String()) {
		return err
	}
	if err != nil {
		x.v.Failed(s.at, err)
		return nil
	}
	return x.take(ctx, s, was, a)
}

// take keeps what was answered, and follows its links.
func (x *crawl) take(ctx context.Context, s step, was mark, a egress.Answer) error {
	at, err := url.Parse(source.Address(a.URL))
	if err != nil || !x.within(at) {
		return nil //nolint:nilerr // it leads elsewhere
	}
	if to := at.String(); to != s.at {
		if x.seen[to] { // by another name
			return nil
		}
		x.seen[to] = true
	}
	d := source.Document{Key: s.at, URL: at.String(), Place: source.Place(at.String()), Content: a.Body, Typed: true}
	kind, _, _ := strings.Cut(strings.ToLower(a.Header.Get("Content-Type")), ";")
	switch kind = strings.TrimSpace(kind); kind {
	case "text/html", "application/xhtml+xml":
		p, err := parsePage(a.Body, a.Header.Get("Content-Type"), at)
		if err != nil {
			x.v.Failed(s.at, err)
			return nil
		}
		if !p.noFollow && s.depth < cmp.Or(x.v.Source.Config.MaxDepth, depth) {
			for _, l := range p.links {
				x.add(l, s.depth+1)
			}
		}
		if c, err := url.Parse(p.canonical); err == nil && p.canonical != "" && p.canonical != at.String() && x.within(c) && source.Place(p.canonical) != d.Place {
			x.add(p.canonical, s.depth) // that is where it is
			return nil
		}
		if p.noIndex || len(bytes.TrimSpace(p.main)) == 0 {
			return nil
		}
		d.Title, d.Content, d.ContentType = clip(cmp.Or(p.title, at.Path)), p.main, "text/html"
	case "text/markdown", "text/plain", "application/pdf":
		d.ContentType, d.Title = kind, ""
	default:
		return nil
	}
	if x.places[d.Place] {
		return nil
	}
	x.places[d.Place] = true
	m := mark{s.depth, header(a.Header.Get("ETag")), header(a.Header.Get("Last-Modified")), source.Digest(d.Content)}
	d.Mark = m.String()
	if was.sum == m.sum && was == m {
		return x.v.Same(ctx, s.at)
	}
	return x.v.Take(ctx, d)
}

func clip(s string) string {
	if r := []rune(s); len(r) > 500 {
		return string(r[:499]) + "…"
	}
	return s
}

// header is a header that is sent back, unless it is longer than any is.
func header(s string) string {
	if len(s) > 500 || strings.ContainsRune(s, 0x1f) {
		return ""
	}
	return s
}
