package feed

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"codeberg.org/readeck/go-readability/v2"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// Reader reads feeds.
type Reader struct {
	Client *egress.Client
	Now    func() time.Time
}

// mostItems of a feed are taken by one run.
const mostItems = 500

const accept = "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, application/json;q=0.9, text/xml;q=0.9, */*;q=0.5"

// state is what a visit leaves for the next one.
type state struct {
	ETag     string         `json:"etag,omitempty"`
	Modified string         `json:"last_modified,omitempty"`
	Every    time.Duration  `json:"every,omitempty"`
	Hours    []int          `json:"skip_hours,omitempty"`
	Days     []time.Weekday `json:"skip_days,omitempty"`
}

// Secret are the headers of credentials.
func Secret(c source.Credentials) http.Header {
	h := http.Header{}
	switch {
	case c.Token != "":
		h.Set("Authorization", "Bearer "+c.Token)
	case c.Username != "":
		r := http.Request{Header: h}
		r.SetBasicAuth(c.Username, c.Password)
	}
	return h
}

// Status is the failure of an answer that is no success; nil for one that is.
func Status(a egress.Answer, now time.Time) error {
	if a.Status == http.StatusOK {
		return nil
	}
	err := errs.Newf(errs.Upstream, "%s answers %d %s", hostOf(a.URL), a.Status, http.StatusText(a.Status))
	if at := retryAfter(a.Header.Get("Retry-After"), now); !at.IsZero() && (a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable) {
		return &source.RetryAfter{Err: err, At: at}
	}
	return err
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "it"
	}
	return u.Host
}

func retryAfter(s string, now time.Time) time.Time {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return now.Add(time.Duration(min(n, 7*24*3600)) * time.Second)
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return time.Time{}
	}
	return at
}

// Fetch is the visit of a feed, see [source.Kinds].
func (r *Reader) Fetch(ctx context.Context, v source.Visit) (source.Report, error) {
	var was state
	if len(v.Source.State) > 0 {
		if err := json.Unmarshal(v.Source.State, &was); err != nil {
			was = state{}
		}
	}
	h := http.Header{"Accept": {accept}}
	if was.ETag != "" {
		h.Set("If-None-Match", was.ETag)
	}
	if was.Modified != "" {
		h.Set("If-Modified-Since", was.Modified)
	}
	v.Tell(0, 0, "asking "+hostOf(v.Source.URL))
	a, err := r.Client.Get(ctx, v.Source.URL, h, Secret(v.Credentials))
	out := source.Report{Bytes: int64(len(a.Body)), Moved: a.Moved, Every: max(was.Every, fresh(a.Header)), Shift: was.shift}
	switch {
	case err != nil:
		return out, err
	case a.Status == http.StatusNotModified:
		out.Hollow, out.Note = true, "not modified"
		return out, nil
	case a.Status == http.StatusGone:
		out.Gone = true
		return out, errs.New(errs.Invalid, "the feed is gone for good (410): the source was disabled")
	}
	if err := Status(a, r.Now()); err != nil {
		return out, err
	}
	f, err := Parse(a.Body, a.Header.Get("Content-Type"), a.URL)
	if err != nil {
		return out, err
	}
	is := state{ETag: validator(a.Header.Get("ETag")), Modified: validator(a.Header.Get("Last-Modified")), Every: f.Every, Hours: f.SkipHours, Days: f.SkipDays}
	out.Every, out.Shift = max(is.Every, fresh(a.Header)), is.shift
	if out.State, err = json.Marshal(is); err != nil {
		return out, err
	}
	out.Note = cmp.Or(f.Title, hostOf(a.URL)) + ", " + f.Format
	if f.Cut {
		out.Note += ", cut off"
	}
	err = r.items(ctx, v, f, &out)
	return out, err
}

func (s state) shift(t time.Time) time.Time { return Allowed(t, s.Hours, s.Days) }

// validator is a header that is sent back, unless it is longer than any is.
func validator(s string) string {
	if len(s) > 1000 {
		return ""
	}
	return s
}

// fresh is for how long an answer need not be asked for again, by its server.
func fresh(h http.Header) time.Duration {
	for d := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		if s, ok := strings.CutPrefix(strings.TrimSpace(strings.ToLower(d)), "max-age="); ok {
			if n, err := strconv.Atoi(s); err == nil && n > 0 {
				return time.Duration(min(n, 24*3600)) * time.Second
			}
		}
	}
	return 0
}

// items takes the entries of a feed, the first one first.
func (r *Reader) items(ctx context.Context, v source.Visit, f Parsed, out *source.Report) error {
	most := mostItems
	if n := v.Source.Config.MaxItems; n > 0 {
		most = n
	}
	if len(f.Items) > most {
		out.Note += fmt.Sprintf(", the first %d of %d entries", most, len(f.Items))
		f.Items = f.Items[:most]
	}
	shared := map[string]int{}
	for _, i := range f.Items {
		shared[source.Place(i.Link)]++
	}
	own := map[string]bool{"": true, source.Place(f.Link): true, source.Place(v.Source.URL): true}
	seen := map[string]bool{}
	for n, i := range f.Items {
		d, ok := document(i, v.Source)
		if !ok || seen[d.Key] {
			continue
		}
		seen[d.Key] = true
		if d.Place = source.Place(i.Link); own[d.Place] || shared[d.Place] > 1 {
			d.Place = source.Below(cmp.Or(d.Place, source.Place(v.Source.URL)), d.Key)
		}
		if v.Mark(d.Key) == d.Mark {
			if err := v.Same(ctx, d.Key); err != nil {
				return err
			}
			continue
		}
		v.Tell(n, len(f.Items), d.Title)
		if v.Source.Config.FullText && i.Link != "" {
			read, err := r.article(ctx, i.Link, &d)
			out.Bytes += read
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil && len(d.Content) == 0 {
				v.Failed(d.Key, err)
				continue
			}
		}
		if len(d.Content) == 0 { // the title is what there is
			d.Content, d.ContentType = []byte(d.Title), "text/plain"
		}
		if err := v.Take(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// document is an entry as a document, without its place; false for one that says
// nothing.
func document(i Item, s source.Source) (source.Document, bool) {
	d := source.Document{URL: i.Link, Title: i.Title, Author: i.Author, Published: i.Published, Content: []byte(i.Content), ContentType: "text/plain", Typed: true}
	if i.HTML {
		d.ContentType = "text/html"
	}
	if d.Title == "" {
		d.Title = line(i.Content)
		if r := []rune(d.Title); len(r) > 80 {
			d.Title = string(r[:79]) + "…"
		}
	}
	if d.Title == "" {
		d.Title = i.Link
	}
	d.Key = cmp.Or(i.GUID, i.Link, source.Digest([]byte(i.Title+"\n"+i.Content)))
	if len(d.Key) > 500 {
		d.Key = source.Digest([]byte(d.Key))
	}
	d.Mark = source.Digest(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%t", i.Link, i.Title, i.Content, s.Config.FullText))
	return d, d.Title != ""
}

// article reads the page of an entry, and makes its main text the content of d,
// where there is more of it than the feed has.
func (r *Reader) article(ctx context.Context, address string, d *source.Document) (read int64, err error) {
	a, err := r.Client.Get(ctx, address, http.Header{"Accept": {"text/html, application/xhtml+xml;q=0.9, */*;q=0.1"}}, nil)
	if err != nil {
		return 0, err
	}
	read = int64(len(a.Body))
	if err := Status(a, r.Now()); err != nil {
		return read, err
	}
	if t := a.Header.Get("Content-Type"); !strings.Contains(t, "html") {
		return read, errs.Newf(errs.Invalid, "its page is %.50q, and no HTML", t)
	}
	text, err := Main(a.Body, a.Header.Get("Content-Type"), a.URL)
	if err != nil {
		return read, err
	}
	if len(text) > len(d.Content) {
		d.Content, d.ContentType = text, "text/html"
	}
	return read, nil
}

// Main is the main text of a page as HTML.
func Main(page []byte, contentType, address string) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, errs.New(errs.Invalid, "its page cannot be read")
		}
	}()
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	text, err := pageInUTF8(page, contentType)
	if err != nil {
		return nil, err
	}
	a, err := readability.FromReader(bytes.NewReader(text), u)
	if err != nil {
		return nil, errs.Newf(errs.Invalid, "its page has no main text: %.100s", err.Error())
	}
	var b bytes.Buffer
	if err := a.RenderHTML(&b); err != nil {
		return nil, errs.Newf(errs.Invalid, "its page has no main text: %.100s", err.Error())
	}
	return b.Bytes(), nil
}
