package feed

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmcdole/gofeed"
	"github.com/mmcdole/gofeed/rss"
	"golang.org/x/net/html"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Parsed is what a feed says.
type Parsed struct {
	Format string // rss 2.0, atom 1.0, json 1.1
	Title  string
	Link   string // its page; "" when it does not say
	Cut    bool   // its end was missing
	Items  []Item

	Every     time.Duration // for which it says that it need not be read again; 0 when it does not say
	SkipHours []int         // in UTC, in which it is not to be read
	SkipDays  []time.Weekday
}

// Item is an entry of a feed.
type Item struct {
	GUID      string
	Link      string // absolute; "" when it has none
	Title     string
	Author    string
	Published time.Time // zero when it does not say
	Content   string
	HTML      bool // Content is HTML, else plain text
}

// errNoFeed says that something is no feed.
var errNoFeed = errs.New(errs.Invalid, "this is no RSS, Atom or JSON feed")

// errPage says that it is a page.
var errPage = errs.New(errs.Invalid, "this is a page and no feed: discovery finds the feeds that it names")

// Parse reads a feed that was found at an address, with the type that the server
// told. What can be read of a broken one is.
func Parse(body []byte, contentType, address string) (Parsed, error) {
	text := inUTF8(body, contentType)
	p := gofeed.NewParser()
	p.KeepOriginalFeed = true
	f, err := read(p, text)
	cut := false
	if err != nil || f == nil {
		if whole, ok := mend(text); ok {
			f, err = read(p, whole)
			cut = err == nil
		}
	}
	switch {
	case errors.Is(err, gofeed.ErrFeedTypeNotDetected) && looksLikePage(text):
		return Parsed{}, errPage
	case errors.Is(err, gofeed.ErrFeedTypeNotDetected), err == nil && f == nil:
		return Parsed{}, errNoFeed
	case err != nil:
		return Parsed{}, errs.Newf(errs.Invalid, "the feed is broken: %.300s", err.Error())
	}
	base, err := url.Parse(address)
	if err != nil {
		base = &url.URL{}
	}
	out := Parsed{Format: strings.TrimSpace(f.FeedType + " " + f.FeedVersion), Title: line(f.Title), Link: absolute(base, f.Link), Cut: cut}
	if u, err := url.Parse(out.Link); err == nil && u.Host != "" {
		base = u
	}
	for _, i := range f.Items {
		if i != nil {
			out.Items = append(out.Items, itemOf(i, base))
		}
	}
	if r, ok := f.OriginalFeed().(*rss.Feed); ok {
		out.pace(r, f)
	}
	return out, nil
}

// read is gofeed's reading; a panic of it is a fault of the feed.
func read(p *gofeed.Parser, text []byte) (f *gofeed.Feed, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, fmt.Errorf("it cannot be read: %v", r)
		}
	}()
	return p.Parse(bytes.NewReader(text))
}

var ends = regexp.MustCompile(`(?i)</(item|entry)\s*>`)

// mend closes a feed that ends in the middle after its last whole entry.
func mend(text []byte) ([]byte, bool) {
	all := ends.FindAllSubmatchIndex(text, -1)
	if len(all) == 0 {
		return nil, false
	}
	last := all[len(all)-1]
	out := slices.Clone(text[:last[1]])
	head := bytes.ToLower(text[:min(len(text), 4096)])
	switch {
	case strings.EqualFold(string(text[last[2]:last[3]]), "entry"):
		return append(out, "</feed>"...), true
	case bytes.Contains(head, []byte("<rdf:rdf")):
		return append(out, "</rdf:RDF>"...), true
	}
	return append(out, "</channel></rss>"...), true
}

func looksLikePage(text []byte) bool {
	head := bytes.ToLower(text[:min(len(text), 2048)])
	return bytes.Contains(head, []byte("<html")) || bytes.Contains(head, []byte("<!doctype html"))
}

func itemOf(i *gofeed.Item, base *url.URL) Item {
	out := Item{GUID: strings.TrimSpace(i.GUID), Title: line(i.Title), Link: absolute(base, i.Link)}
	if out.Link == "" && strings.HasPrefix(out.GUID, "http") {
		out.Link = absolute(base, out.GUID)
	}
	out.Content = i.Content
	if strings.TrimSpace(out.Content) == "" {
		out.Content = i.Description
	}
	out.Content = strings.TrimSpace(strings.ToValidUTF8(out.Content, ""))
	out.HTML = strings.ContainsAny(out.Content, "<&")
	var names []string
	for _, a := range i.Authors {
		if a != nil && line(a.Name) != "" {
			names = append(names, line(a.Name))
		}
	}
	out.Author = strings.Join(names, ", ")
	for _, t := range []*time.Time{i.PublishedParsed, i.UpdatedParsed} {
		if t != nil && t.Year() >= 1970 && t.Year() < 10_000 {
			out.Published = t.UTC()
			break
		}
	}
	return out
}

// absolute is an address of the web, seen from a base; "" when it is none.
func absolute(base *url.URL, s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	if !u.IsAbs() {
		u = base.ResolveReference(u)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return u.String()
}

// line is a text of HTML or none on one line.
func line(s string) string {
	if strings.ContainsAny(s, "<&") {
		var b strings.Builder
		z := html.NewTokenizer(strings.NewReader(s))
		for z.Next() != html.ErrorToken {
			if t := z.Token(); t.Type == html.TextToken {
				b.WriteString(t.Data)
			}
		}
		s = b.String()
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if r := []rune(s); len(r) > 500 {
		s = string(r[:499]) + "…"
	}
	return s
}

// pace is when the feed wants to be read.
func (p *Parsed) pace(r *rss.Feed, f *gofeed.Feed) {
	if n, err := strconv.Atoi(strings.TrimSpace(r.TTL)); err == nil && n > 0 {
		p.Every = time.Duration(min(n, 7*24*60)) * time.Minute
	}
	if sy := f.Extensions["sy"]; p.Every == 0 && sy != nil {
		p.Every = syndication(text(sy["updatePeriod"]), text(sy["updateFrequency"]))
	}
	for _, h := range r.SkipHours {
		if n, err := strconv.Atoi(strings.TrimSpace(h)); err == nil && n >= 0 && n <= 24 && !slices.Contains(p.SkipHours, n%24) {
			p.SkipHours = append(p.SkipHours, n%24)
		}
	}
	for _, d := range r.SkipDays {
		for w := time.Sunday; w <= time.Saturday; w++ {
			if strings.EqualFold(strings.TrimSpace(d), w.String()) && !slices.Contains(p.SkipDays, w) {
				p.SkipDays = append(p.SkipDays, w)
			}
		}
	}
}

// syndication is how often a feed changes, in the words of RSS 1.0.
func syndication(period, frequency string) time.Duration {
	d := map[string]time.Duration{"hourly": time.Hour, "daily": 24 * time.Hour, "weekly": 7 * 24 * time.Hour}[strings.ToLower(period)]
	if n, err := strconv.Atoi(frequency); err == nil && n > 0 {
		d /= time.Duration(n)
	}
	return d
}

// Allowed is the first time from t on at which a feed may be read, by its hours and
// days; t itself where they leave none.
func Allowed(t time.Time, hours []int, days []time.Weekday) time.Time {
	at := t.UTC()
	for range 8 * 24 {
		if !slices.Contains(hours, at.Hour()) && !slices.Contains(days, at.Weekday()) {
			return at
		}
		at = at.Truncate(time.Hour).Add(time.Hour)
	}
	return t
}
