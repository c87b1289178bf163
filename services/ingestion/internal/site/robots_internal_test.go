package site

import (
	"bytes"
	"compress/gzip"
	"net/url"
	"slices"
	"testing"
	"time"
)

func TestARobotsFileIsReadAsTheStandardHasIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, path string
		want       bool
	}{
		{"", "/x", true},
		{"User-agent: *\nDisallow: /", "/x", false},
		{"User-agent: *\nDisallow:", "/x", true},
		{"user-agent: *\nDISALLOW : /a", "/ab", false},
		{"User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", true},
		{"User-agent: *\nAllow: /p\nDisallow: /", "/page", true},
		{"User-agent: *\nAllow: /folder\nDisallow: /folder", "/folder/page", true},
		{"User-agent: *\nDisallow: /*.htm", "/page.htm", false},
		{"User-agent: *\nAllow: /page\nDisallow: /*.htm", "/page.htm", false},
		{"User-agent: *\nAllow: /$\nDisallow: /", "/", true},
		{"User-agent: *\nAllow: /$\nDisallow: /", "/page", false},
		{"User-agent: *\nDisallow: /fish*.php$", "/fish/salmon.php", false},
		{"User-agent: *\nDisallow: /fish*.php$", "/fish.php?a=1", true},
		{"User-agent: *\nDisallow: /a%3cd", "/a%3Cd", false},
		{"User-agent: *\nDisallow: /%7Ejoe", "/~joe/x", false},
		{"User-agent: other\nDisallow: /", "/x", true},
		{"User-agent: commandcenter\nAllow: /\n\nUser-agent: *\nDisallow: /", "/x", true},
		{"User-agent: a\nUser-agent: CommandCenter/1.0\nDisallow: /x\n", "/x", false},
		{"User-agent: commandcenter\nDisallow: /a\n\nUser-agent: commandcenter\nDisallow: /b", "/b", false},
		{"\xef\xbb\xbfUser-agent: *\r\nDisallow: /a # why\r\n", "/a", false},
		{"User-agent: *\nDisallow: /\n", "/robots.txt", true},
		{"Disallow: /", "/x", true},
	} {
		u, err := url.Parse("https://example.com" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := parseRobots([]byte(c.file)).allows(u); got != c.want {
			t.Errorf("%q allows %s: %v", c.file, c.path, got)
		}
	}
	r := parseRobots([]byte("User-agent: *\nCrawl-delay: 2.5\nSitemap: https://example.com/s.xml\n"))
	if r.delay != 2500*time.Millisecond || !slices.Equal(r.sitemaps, []string{"https://example.com/s.xml"}) {
		t.Errorf("%+v", r)
	}
	if r := parseRobots([]byte("User-agent: *\nCrawl-delay: 9999999999\n")); r.delay != longestDelay {
		t.Errorf("a delay of %s", r.delay)
	}
}

func TestSitemapsAreReadInEachForm(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte("https://example.com/a\nhttps://example.com/b\n"))
	_ = z.Close()
	for name, c := range map[string]struct {
		body        []byte
		pages, maps int
	}{
		"index": {[]byte(`<sitemapindex><sitemap><loc> https://example.com/1.xml </loc></sitemap><sitemap><loc>https://example.com/2.xml</loc></sitemap></sitemapindex>`), 0, 2},
		"pages": {[]byte(`<?xml version="1.0"?><urlset xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><url><loc>https://example.com/1</loc><image:image><image:loc>https://example.com/i.png</image:loc></image:image></url></urlset>`), 1, 0},
		"cut":   {[]byte(`<urlset><url><loc>https://example.com/1</loc></url><url><loc>https://exam`), 1, 0},
		"lines": {[]byte("https://example.com/a\n"), 1, 0}, "packed": {b.Bytes(), 2, 0}, "mad": {[]byte("\x1f\x8bxx"), 0, 0},
	} {
		if pages, maps := readSitemap(c.body); len(pages) != c.pages || len(maps) != c.maps {
			t.Errorf("%s: %q %q", name, pages, maps)
		}
	}
}
