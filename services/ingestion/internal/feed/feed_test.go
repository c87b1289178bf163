package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/feed"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

var now = time.Date(2026, 11, 1, 2, 30, 0, 0, time.UTC) // a Sunday

// site serves pages by their path.
func site(t *testing.T, pages map[string]string, special func(w http.ResponseWriter, r *http.Request) bool) (address string, r *feed.Reader) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if special != nil && special(w, r) {
			return
		}
		page, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.Contains(page, "<html") {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		}
		_, _ = w.Write([]byte(strings.ReplaceAll(page, "HERE", "http://"+r.Host)))
	}))
	t.Cleanup(s.Close)
	x := egress.New(egress.Config{Policy: egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	t.Cleanup(x.Close)
	return s.URL, &feed.Reader{Client: x, Now: func() time.Time { return now }}
}

// fetched is a visit with what it took.
type fetched struct {
	docs   []source.Document
	same   []string
	failed []string
	report source.Report
}

func visit(t *testing.T, r *feed.Reader, x source.Source, c source.Credentials, marks map[string]string) (out fetched, err error) {
	t.Helper()
	out.report, err = r.Fetch(t.Context(), source.Visit{
		Source: x, Credentials: c, Mark: func(key string) string { return marks[key] }, Tell: func(int, int, string) {},
		Same:   func(_ context.Context, keys ...string) error { out.same = append(out.same, keys...); return nil },
		Take:   func(_ context.Context, d source.Document) error { out.docs = append(out.docs, d); return nil },
		Failed: func(key string, why error) { out.failed = append(out.failed, key+": "+why.Error()) },
	})
	return out, err
}

func of(address string) source.Source {
	return source.Source{Draft: source.Draft{Kind: source.Feed, URL: address}}
}

func item(title, link, text string) string {
	return fmt.Sprintf("<item><title>%s</title><link>%s</link><description>%s</description></item>", title, link, text)
}

func TestThePageOfAnEntryIsReadWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	para := strings.Repeat("<p>The garbage collector of the language does its work beside the program, which is stopped for a moment only, and this goes on for a while.</p>", 8)
	address, r := site(t, map[string]string{
		"/feed": `<rss version="2.0"><channel><title>N</title><link>https://example.com/</link>` + item("whole", "HERE/a", "short") + item("missing", "HERE/gone", "all there is") + item("file", "HERE/file", "") +
			item("bare", "", "no link") + item("home", "https://example.com/", "the feed's own page") + item("twice", "https://example.com/t", "one") + `<item><guid>g2</guid><title>twice</title><link>https://example.com/t</link><description>two</description></item></channel></rss>`,
		"/a":    `<html><head><title>x</title></head><body><nav><a href="/">home</a></nav><article><h1>whole</h1>` + para + `</article><script>alert(1)</script></body></html>`,
		"/file": "not a page",
	}, nil)
	x := of(address + "/feed")
	x.Config.FullText = true
	got, err := visit(t, r, x, source.Credentials{}, nil)
	if err != nil || len(got.docs) != 6 {
		t.Fatalf("%d documents, %v, failed %v", len(got.docs), err, got.failed)
	}
	whole := got.docs[0]
	if text := string(whole.Content); !strings.Contains(text, "garbage collector") || strings.Contains(text, "alert") || strings.Contains(text, "home") || whole.ContentType != "text/html" || !whole.Typed {
		t.Errorf("the page: %s", text)
	}
	if d := got.docs[1]; string(d.Content) != "all there is" {
		t.Errorf("without its page: %+v", d)
	}
	if len(got.failed) != 1 || !strings.Contains(got.failed[0], "no HTML") {
		t.Errorf("failed %v", got.failed)
	}
	places := map[string]bool{}
	for _, d := range got.docs {
		if places[d.Place] || d.Place == "" || d.Key == "" || d.Mark == "" {
			t.Errorf("place %q, key %q", d.Place, d.Key)
		}
		places[d.Place] = true
	}
	marks := map[string]string{}
	for _, d := range got.docs {
		marks[d.Key] = d.Mark
	}
	if again, err := visit(t, r, x, source.Credentials{}, marks); err != nil || len(again.docs) != 0 || len(again.same) != 6 {
		t.Errorf("again: %d documents, %v the same, %v", len(again.docs), again.same, err)
	}
	x.Config = source.Config{MaxItems: 2}
	if few, err := visit(t, r, x, source.Credentials{}, nil); err != nil || len(few.docs) != 2 || !strings.Contains(few.report.Note, "first 2 of 7") || string(few.docs[0].Content) != "short" {
		t.Errorf("two: %+v, %v", few, err)
	}
}

func TestAFeedIsAskedAsItWantsToBe(t *testing.T) {
	t.Parallel()
	var asked []http.Header
	text := rss(entries("utf-8"), func(e entry) string { return item("x"+e.id, link(e), "t") })
	address, r := site(t, nil, func(w http.ResponseWriter, r *http.Request) bool {
		asked = append(asked, r.Header)
		switch r.URL.Path {
		case "/feed":
			if r.Header.Get("If-Modified-Since") != "" {
				w.WriteHeader(http.StatusNotModified)
				return true
			}
			w.Header().Set("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT")
			w.Header().Set("Cache-Control", "public, max-age=7200")
			_, _ = w.Write([]byte(text))
		case "/busy":
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/until":
			w.Header().Set("Retry-After", now.Add(time.Hour).Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/page":
			_, _ = w.Write([]byte("<!doctype html><html><body>hello</body></html>"))
		case "/text":
			_, _ = w.Write([]byte("hello"))
		default:
			w.WriteHeader(http.StatusTeapot)
		}
		return true
	})
	x := of(address + "/feed")
	got, err := visit(t, r, x, source.Credentials{Token: "t"}, nil)
	if err != nil || len(got.docs) != 24 || got.report.Every != 2*time.Hour || asked[0].Get("Authorization") != "Bearer t" {
		t.Fatalf("%d documents, every %s, %v", len(got.docs), got.report.Every, err)
	}
	// Sunday is no day of the feed, 3 and 4 are no hours of it.
	if at := got.report.Shift(now); at != time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC) {
		t.Errorf("put off to %s", at)
	}
	if at := got.report.Shift(now.Add(25 * time.Hour)); at != time.Date(2026, 11, 2, 5, 0, 0, 0, time.UTC) {
		t.Errorf("put off to %s", at)
	}
	if all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}; feed.Allowed(now, all, nil) != now {
		t.Error("a feed that may never be read is read")
	}
	x.State = got.report.State
	if again, err := visit(t, r, x, source.Credentials{Username: "u", Password: "p"}, nil); err != nil || !again.report.Hollow || again.report.Note != "not modified" || again.report.Shift(now) == now {
		t.Errorf("again: %+v %v", again.report, err)
	}
	x.State = json.RawMessage(`[]`)
	if again, err := visit(t, r, x, source.Credentials{}, nil); err != nil || len(again.docs) != 24 {
		t.Errorf("with a state that is none: %v", err)
	}
	for path, after := range map[string]time.Duration{"/busy": 10 * time.Minute, "/until": time.Hour} {
		_, err := visit(t, r, of(address+path), source.Credentials{}, nil)
		if wait := (*source.RetryAfter)(nil); !errors.As(err, &wait) || wait.At != now.Add(after) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if got, err := visit(t, r, of(address+"/gone"), source.Credentials{}, nil); err == nil || !got.report.Gone {
		t.Errorf("gone: %+v %v", got.report, err)
	}
	for path, want := range map[string]string{"/page": "discovery", "/text": "no RSS", "/tea": "418"} {
		if _, err := visit(t, r, of(address+path), source.Credentials{}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := visit(t, r, of("http://10.0.0.1/"), source.Credentials{}, nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a private address: %v", err)
	}
}

func TestTheFeedsOfAPageAreFound(t *testing.T) {
	t.Parallel()
	one := `<rss version="2.0"><channel><title>One</title>` + item("a", "https://example.com/a", "x") + `</channel></rss>`
	address, r := site(t, map[string]string{
		"/feed": one, "/named": `<html><head><base href="/deep/"><link rel="alternate" type="application/rss+xml" href="../one.rss"><link rel="alternate" type="application/atom+xml; charset=utf-8" href="/missing"><link rel="stylesheet" href="/x.css"></head><body><a href="/two.atom">two</a><a href="mailto:x">m</a></body></html>`,
		"/one.rss": one, "/two.atom": atom(nil, nil), "/silent": "<html><body>hello</body></html>", "/blog/": "<html><body>hello</body></html>", "/blog/feed": one,
	}, nil)
	for path, want := range map[string][]string{"/feed": {"/feed"}, "/named": {"/one.rss", "/two.atom"}, "/silent": {"/feed"}, "/blog/": {"/feed", "/blog/feed"}} {
		found, err := r.Discover(t.Context(), address+path)
		if err != nil || len(found) != len(want) {
			t.Errorf("%s: %+v %v", path, found, err)
			continue
		}
		for i, c := range found {
			if c.Draft.URL != address+want[i] || c.Draft.Name == "" || c.Why == "" || c.Draft.Kind != source.Feed {
				t.Errorf("%s: %+v, want %s", path, c, want[i])
			}
		}
	}
	for _, bad := range []string{address + "/none", "http://10.0.0.1/", "ftp://example.com/"} {
		if _, err := r.Discover(t.Context(), bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestAListOfFeedsComesInAndGoesOut(t *testing.T) {
	t.Parallel()
	got, err := feed.ReadOPML([]byte(`<?xml version="1.0" encoding="iso-8859-1"?><opml version="1.0"><head><title>x</title></head><body>
		<outline text="Tech" title="Tech"><outline text="Go &amp; co" type="rss" xmlUrl="https://go.dev/feed"/><outline text="deep"><outline xmlUrl="http://Example.com/feed#x"/></outline></outline>
		<outline text="again" xmlUrl="https://go.dev/feed"/><outline text="bad" xmlUrl="file:///etc/passwd"/><outline text="caf` + "\xe9" + `" xmlUrl="https://cafe.example/"/></body></opml>`))
	want := []feed.Outline{{"Go & co", "https://go.dev/feed", "Tech"}, {"example.com", "http://example.com/feed", "Tech / deep"}, {"café", "https://cafe.example/", ""}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, %v", got, err)
	}
	var all []source.Source
	for _, o := range got {
		all = append(all, source.Source{Draft: source.Draft{Kind: source.Feed, Name: o.Name, URL: o.URL, Config: source.Config{Category: o.Category}}})
	}
	text, err := feed.WriteOPML("mine", append(all, source.Source{Draft: source.Draft{Kind: "other"}}))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := feed.ReadOPML(text); err != nil || fmt.Sprint(back) != fmt.Sprint(want) {
		t.Errorf("%s\nis read as %q, %v", text, back, err)
	}
	many := "<opml><body>" + strings.Repeat("<outline text='x'>", 30) + strings.Repeat("</outline>", 30) + "</body></opml>"
	var most strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&most, "<outline xmlUrl='https://example.com/%d'/>", i)
	}
	for _, bad := range []string{"", "hello", "<html></html>", many, "<opml><body>" + most.String() + "</body></opml>"} {
		if _, err := feed.ReadOPML([]byte(bad)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}
