package site

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html/charset"
)

// Bounds of sitemaps.
const (
	mostMaps     = 50     // files of one site
	mostInMaps   = 50_000 // addresses
	mostUnpacked = 10 << 20
)

// sitemaps are the addresses that sitemaps list, indexes of sitemaps followed.
func (c *crawl) sitemaps(ctx context.Context, all []string) []string {
	var out []string
	seen := map[string]bool{}
	for i := 0; i < len(all) && i < mostMaps && len(out) < mostInMaps && ctx.Err() == nil; i++ {
		at := resolve(c.start, all[i])
		u, err := url.Parse(at)
		if at == "" || seen[at] || err != nil || u.Host != c.start.Host {
			continue
		}
		seen[at] = true
		a, err := c.Client.Get(ctx, at, http.Header{"Accept": {"application/xml, text/xml, text/plain;q=0.5"}}, c.secret)
		if err != nil || a.Status != http.StatusOK {
			continue
		}
		c.bytes += int64(len(a.Body))
		pages, maps := readSitemap(a.Body)
		out, all = append(out, pages...), append(all, maps...)
	}
	return out[:min(len(out), mostInMaps)]
}

// readSitemap reads one: XML, an address a line, and either packed.
func readSitemap(body []byte) (pages, maps []string) {
	if bytes.HasPrefix(body, []byte("\x1f\x8b")) {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, nil
		}
		if body, err = io.ReadAll(io.LimitReader(z, mostUnpacked)); err != nil {
			return nil, nil
		}
	}
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if !bytes.HasPrefix(text, []byte("<")) {
		for l := range strings.Lines(string(text)) {
			pages = append(pages, strings.TrimSpace(l))
		}
		return pages, nil
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = false
	d.CharsetReader = charset.NewReaderLabel
	var parent string
	for {
		t, err := d.Token()
		if err != nil {
			return pages, maps
		}
		e, ok := t.(xml.StartElement)
		switch {
		case !ok:
		case e.Name.Local == "url", e.Name.Local == "sitemap":
			parent = e.Name.Local
		case e.Name.Local == "loc" && strings.Count(e.Name.Space, "image") == 0:
			var at string
			if d.DecodeElement(&at, &e) != nil {
				return pages, maps
			}
			if at = strings.TrimSpace(at); parent == "sitemap" {
				maps = append(maps, at)
			} else {
				pages = append(pages, at)
			}
		}
	}
}
