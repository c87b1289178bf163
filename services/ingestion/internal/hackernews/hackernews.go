package hackernews

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"math/bits"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/feed"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// Public is the address of the search of Hacker News.
const Public = "https://hn.algolia.com/api/v1"

// The bounds of a run.
const (
	window    = 7 * 24 * time.Hour // in which stories are looked for
	every     = 3 * time.Hour
	perWord   = 100 // stories of one word
	minPoints = 20  // where a source says nothing
	mostTold  = 40  // comments of a story
)

// Reader asks the search at an address.
type Reader struct {
	Client *egress.Client
	API    string
	Now    func() time.Time
}

// story is a hit of the search.
type story struct {
	ID       string `json:"objectID"`
	Title    string `json:"title"`
	URL      string `json:"url"`
	Author   string `json:"author"`
	Points   int    `json:"points"`
	Comments int    `json:"num_comments"`
	Text     string `json:"story_text"`
	At       int64  `json:"created_at_i"`
}

// item is a story with what was said of it.
type item struct {
	Author   string `json:"author"`
	Text     string `json:"text"`
	Children []item `json:"children"`
}

// Fetch is the visit of a source, see [source.Kinds]: stories of the last week that
// name one of its words and have enough points and comments. One is read anew when
// the talk of it has doubled.
func (r *Reader) Fetch(ctx context.Context, v source.Visit) (source.Report, error) {
	c := v.Source.Config
	out := source.Report{Every: every}
	seen := map[string]bool{}
	found := 0
	for n, word := range c.Keywords {
		v.Tell(n, 0, "looking for "+word)
		q := url.Values{
			"query": {`"` + word + `"`}, "tags": {"story"}, "hitsPerPage": {strconv.Itoa(perWord)},
			"numericFilters": {fmt.Sprintf("points>=%d,num_comments>=%d,created_at_i>%d", cmp.Or(c.MinPoints, minPoints), c.MinComments, r.Now().Add(-window).Unix())},
		}
		var page struct {
			Hits []story `json:"hits"`
		}
		if err := r.get(ctx, "/search_by_date?"+q.Encode(), &page, &out.Bytes); err != nil {
			return out, err
		}
		for _, s := range page.Hits {
			if id, err := strconv.ParseInt(s.ID, 10, 64); err != nil || id < 1 || seen[s.ID] || s.Title == "" {
				continue
			}
			if c.MaxItems > 0 && found == c.MaxItems {
				break
			}
			seen[s.ID] = true
			found++
			if err := r.take(ctx, v, s, &out.Bytes); err != nil {
				return out, err
			}
		}
	}
	out.Note = fmt.Sprintf("stories of the last week: %d", found)
	return out, nil
}

// take takes a story, with the talk of it where that is wanted.
func (r *Reader) take(ctx context.Context, v source.Visit, s story, read *int64) error {
	mark := fmt.Sprintf("%s %s %d %d %t", s.Title, s.URL, bits.Len(uint(max(s.Points, 0))), bits.Len(uint(max(s.Comments, 0))), v.Source.Config.FullText)
	if v.Mark(s.ID) == mark {
		return v.Same(ctx, s.ID)
	}
	at := "https://news.ycombinator.com/item?id=" + s.ID
	var b strings.Builder
	fmt.Fprintf(&b, "<h1>%s</h1><p>%d points and %d comments on Hacker News, posted by %s.</p>", html.EscapeString(s.Title), s.Points, s.Comments, html.EscapeString(s.Author))
	if u, err := egress.Parse(s.URL); err == nil {
		fmt.Fprintf(&b, "<p><a href=%q>%s</a></p>", u.String(), html.EscapeString(u.String()))
	}
	if s.Text != "" {
		fmt.Fprintf(&b, "<div>%s</div>", s.Text)
	}
	if v.Source.Config.FullText && s.Comments > 0 {
		var x item
		if err := r.get(ctx, "/items/"+s.ID, &x, read); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			v.Failed(s.ID, err)
			return nil
		}
		b.WriteString("<h2>Comments</h2>")
		left := mostTold
		talk(&b, x.Children, &left, 0)
	}
	return v.Take(ctx, source.Document{
		Key: s.ID, Mark: mark, Place: source.Place(at), URL: at, Title: s.Title, Author: s.Author, Published: time.Unix(s.At, 0).UTC(), ContentType: "text/html", Typed: true, Content: []byte(b.String()),
	})
}

// talk writes comments, of which so many are left.
func talk(b *strings.Builder, all []item, left *int, depth int) {
	for _, c := range all {
		if *left == 0 || depth > 10 {
			return
		}
		if c.Text != "" {
			*left--
			fmt.Fprintf(b, "<p><b>%s</b>: %s</p>", html.EscapeString(c.Author), c.Text)
		}
		talk(b, c.Children, left, depth+1)
	}
}

func (r *Reader) get(ctx context.Context, path string, into any, read *int64) error {
	a, err := r.Client.Get(ctx, strings.TrimSuffix(r.API, "/")+path, http.Header{"Accept": {"application/json"}}, nil)
	*read += int64(len(a.Body))
	if err != nil {
		return err
	}
	if err := feed.Status(a, r.Now()); err != nil {
		return err
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		return errs.Newf(errs.Upstream, "the search answers what cannot be read: %.100s", err.Error())
	}
	return nil
}
