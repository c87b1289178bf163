package site_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/site"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// host serves pages by their path, with ETags, and counts.
type host struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]string
	hits  map[string]int
	sent  int
	fail  map[string]int // path, status
}

func newHost(t *testing.T, pages map[string]string) *host {
	t.Helper()
	h := &host{pages: pages, hits: map[string]int{}, fail: map[string]int{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.hits[r.URL.Path]++
		if s := h.fail[r.URL.Path]; s != 0 {
			w.WriteHeader(s)
			return
		}
		text, ok := h.pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		tag := `"` + source.Digest([]byte(text))[:12] + `"`
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if strings.HasSuffix(r.URL.Path, ".txt") || strings.HasSuffix(r.URL.Path, ".md") {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		n, _ := w.Write([]byte(strings.ReplaceAll(text, "HERE", "http://"+r.Host)))
		h.sent += n
	}))
	t.Cleanup(h.Close)
	return h
}

// shelf is what visits of a site took.
type shelf struct {
	marks  map[string]string
	docs   map[string]source.Document // by place
	taken  int
	same   int
	failed []string
	report source.Report
}

func (s *shelf) visit(t *testing.T, x source.Source) error {
	t.Helper()
	c := egress.New(egress.Config{Policy: egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	defer c.Close()
	if s.marks == nil {
		s.marks, s.docs = map[string]string{}, map[string]source.Document{}
	}
	s.taken, s.same, s.failed = 0, 0, nil
	var err error
	s.report, err = (&site.Crawler{Client: c, Now: time.Now}).Fetch(t.Context(), source.Visit{
		Source: x, Mark: func(k string) string { return s.marks[k] }, Known: func() []string { return slices.Sorted(maps.Keys(s.marks)) }, Tell: func(int, int, string) {},
		Same: func(_ context.Context, keys ...string) error { s.same += len(keys); return nil },
		Take: func(_ context.Context, d source.Document) error {
			s.taken++
			s.marks[d.Key], s.docs[d.Place] = d.Mark, d
			return nil
		},
		Failed: func(key string, why error) { s.failed = append(s.failed, key+": "+why.Error()) },
	})
	return err
}

func of(address string) source.Source {
	return source.Source{Draft: source.Draft{Kind: source.Site, URL: address}}
}

func doc(title string, links ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<html><head><title>%s | Docs</title></head><body><nav><a href='/docs/'>home</a></nav><main><h1>%s</h1><p>What %s is about, in some words that fill a page.</p>", title, title, title)
	for _, l := range links {
		fmt.Fprintf(&b, "<a href='%s'>x</a>", l)
	}
	return b.String() + "</main><footer>(c)</footer></body></html>"
}

func TestASiteOfAThousandPagesIsReadWholeAndThenOnlyWhatHasChanged(t *testing.T) {
	t.Parallel()
	pages := map[string]string{"/robots.txt": "User-agent: *\nDisallow: /docs/private/\nSitemap: /docs/sitemap.xml\n", "/docs/": doc("start", "/docs/p1", "/docs/p2#x", "/docs/private/a", "/blog/", "https://elsewhere.example/", "/docs/logo.png")}
	for i := 1; i < 1000; i++ { // a tree of three, with links across and back
		pages[fmt.Sprintf("/docs/p%d", i)] = doc(fmt.Sprint("page ", i), fmt.Sprintf("/docs/p%d", i*3), fmt.Sprintf("p%d?utm_source=nav", i*3+1), fmt.Sprintf("./p%d#part", i*3+2), "/docs/", fmt.Sprintf("/docs/p%d", (i*7)%1000))
	}
	pages["/docs/private/a"], pages["/blog/"] = doc("private"), doc("blog")
	pages["/docs/sitemap.xml"] = `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>HERE/docs/p999</loc></url><url><loc>https://elsewhere.example/a</loc></url></urlset>`
	delete(pages, "/docs/p0")
	h := newHost(t, pages)
	x := of(h.URL + "/docs/")
	x.Config.MaxDepth, x.Config.MaxItems = 50, 5000
	var s shelf
	if err := s.visit(t, x); err != nil {
		t.Fatal(err)
	}
	if len(s.docs) != 1000 || s.taken != 1000 || len(s.failed) != 0 || !s.report.Whole {
		t.Errorf("%d pages, %d taken, failed %v, %+v", len(s.docs), s.taken, s.failed, s.report)
	}
	for path, n := range h.hits {
		if n > 1 {
			t.Errorf("%s was asked for %d times", path, n)
		}
	}
	if h.hits["/docs/private/a"]+h.hits["/blog/"]+h.hits["/docs/logo.png"] > 0 {
		t.Error("what is forbidden or elsewhere was read")
	}
	d := s.docs[source.Place(h.URL+"/docs/p7")]
	if text := string(d.Content); d.Title != "page 7" || !strings.Contains(text, "What page 7 is about") || strings.Contains(text, "(c)") || strings.Contains(text, "home") {
		t.Errorf("%+v", d)
	}
	first := h.sent
	h.sent = 0
	if err := s.visit(t, x); err != nil || s.taken != 0 || s.same != 1000 {
		t.Errorf("again: %d taken, %d the same, %v", s.taken, s.same, err)
	}
	t.Logf("1000 pages, %d bytes; unchanged %d bytes", first, h.sent)
	if h.sent*50 > first {
		t.Errorf("unchanged, %d of %d bytes were sent", h.sent, first)
	}
	h.mu.Lock()
	pages["/docs/p5"], pages["/docs/p6"] = doc("page 5, anew", "/docs/new"), "-> /docs/new"
	pages["/docs/new"] = doc("new")
	delete(pages, "/docs/p998")
	h.mu.Unlock()
	if err := s.visit(t, x); err != nil || s.taken != 2 || s.same != 997 {
		t.Errorf("changed: %d taken, %d the same, %v", s.taken, s.same, err)
	}
}

func TestWhatAPageSaysOfItselfIsHeeded(t *testing.T) {
	t.Parallel()
	h := newHost(t, map[string]string{
		"/":     doc("start", "/copy", "/hidden", "/dead-end", "/old", "/away", "/broken", "/gone", "/plain.md"),
		"/copy": `<html><head><link rel="canonical" href="/original"></head><body><main>a copy</main></body></html>`, "/original": doc("original"),
		"/hidden": `<html><head><meta name="robots" content="noindex"></head><body><main>hidden <a href="/behind">x</a></main></body></html>`, "/behind": doc("behind"),
		"/dead-end": `<html><head><meta name="robots" content="nofollow"></head><body><main>end <a href="/never">x</a></main></body></html>`, "/never": doc("never"),
		"/old": "-> /original", "/away": "-> https://127.0.0.1:1/", "/plain.md": "# plain",
	})
	h.fail["/broken"] = 500
	var s shelf
	if err := s.visit(t, of(h.URL+"/")); err != nil {
		t.Fatal(err)
	}
	want := []string{"", "/behind", "/dead-end", "/original", "/plain.md"}
	for i, p := range want {
		want[i] = source.Place(h.URL + p)
	}
	if got := slices.Sorted(maps.Keys(s.docs)); !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if len(s.failed) != 2 { // broken, away
		t.Errorf("failed %v", s.failed)
	}
	few := of(h.URL + "/")
	few.Config.MaxItems = 2
	var t2 shelf
	if err := t2.visit(t, few); err != nil || t2.report.Whole || !strings.Contains(t2.report.Note, "more") {
		t.Errorf("two pages: %+v, %v", t2.report, err)
	}
	h.fail["/robots.txt"] = 503
	if err := s.visit(t, of(h.URL+"/")); err == nil {
		t.Error("rules that cannot be read: no error")
	}
	h.fail["/robots.txt"], h.fail["/"] = 404, 500
	if err := s.visit(t, of(h.URL+"/")); err == nil {
		t.Error("a first page that fails: no error")
	}
	h.mu.Lock()
	delete(h.fail, "/robots.txt")
	h.pages["/robots.txt"] = "User-agent: CommandCenter/2.0\nDisallow: /\n\nUser-agent: *\nAllow: /\n"
	h.mu.Unlock()
	if err := s.visit(t, of(h.URL+"/")); err == nil || !strings.Contains(err.Error(), "robots.txt") {
		t.Errorf("not allowed: %v", err)
	}
}
