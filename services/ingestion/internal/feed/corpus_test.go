package feed_test

import (
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/unicode"

	"github.com/commandcenter/commandcenter/pkg/egress"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/feed"
)

// entry is what a feed of the corpus says, and what is to be read of it.
type entry struct {
	id, title, content string
	at                 time.Time
}

// words are texts that a code page can say.
var words = map[string][]string{
	"utf-8":  {"Grüße aus Köln", "日本語の見出し", "Привет, мир", "naïve café — “quoted”", "😀 emoji", "a < b & c > d", "ünïcödé", "plain"},
	"utf-16": {"Grüße aus Köln", "日本語の見出し", "Привет, мир", "a < b & c"}, "iso-8859-1": {"Grüße aus Köln", "naïve café", "a & b"}, "windows-1252": {"“Smart” quotes — dash", "naïve café"},
	"windows-1251": {"Привет, мир", "Новости дня"}, "koi8-r": {"Привет, мир", "Новости"}, "shift_jis": {"日本語の見出し", "ニュース"}, "euc-jp": {"日本語の見出し"}, "gb18030": {"中文标题", "新闻"}, "big5": {"中文標題"}, "iso-8859-2": {"Zażółć gęślą jaźń"}, "euc-kr": {"한국어 제목"},
}

func entries(enc string) []entry {
	var out []entry
	for i := range 24 {
		w := words[enc][i%len(words[enc])]
		out = append(out, entry{
			id: fmt.Sprintf("tag:example.com,2026:%d", i), title: fmt.Sprintf("%s %d", w, i), content: fmt.Sprintf("<p>%s, in <b>words</b> of number %d.</p>", html.EscapeString(w), i),
			at: time.Date(2026, time.Month(1+i%12), 1+i, i%24, 7, 9, 0, time.UTC),
		})
	}
	return out
}

// dialects write a feed; each is a way in which feeds are written.
var dialects = map[string]func(es []entry) string{
	"rss 2.0": func(es []entry) string {
		return rss(es, func(e entry) string {
			return fmt.Sprintf(`<item><title>%s</title><link>%s</link><guid isPermaLink="false">%s</guid><pubDate>%s</pubDate><description>%s</description></item>`,
				html.EscapeString(e.title), link(e), e.id, e.at.Format(time.RFC1123Z), html.EscapeString(e.content))
		})
	},
	"rss 2.0, CDATA and content:encoded": func(es []entry) string {
		return rss(es, func(e entry) string {
			return fmt.Sprintf(`<item><title><![CDATA[%s]]></title><link> %s </link><guid>%s</guid><dc:date>%s</dc:date><dc:creator>Ann</dc:creator><description>short</description><content:encoded><![CDATA[%s]]></content:encoded></item>`,
				html.EscapeString(e.title), link(e), link(e), e.at.Format(time.RFC3339), e.content)
		})
	},
	"rss 2.0, links as guids": func(es []entry) string {
		return rss(es, func(e entry) string {
			return fmt.Sprintf("\n <item>\n  <guid isPermaLink=\"true\">%s</guid>\n  <title>%s</title>\n  <pubDate>%s</pubDate>\n  <description><![CDATA[%s]]></description>\n </item>",
				link(e), html.EscapeString(e.title), e.at.Format("Mon, 2 Jan 2006 15:04:05 MST"), e.content)
		})
	},
	"rss 2.0, relative links": func(es []entry) string {
		return rss(es, func(e entry) string {
			return fmt.Sprintf(`<item><title>%s</title><link>%s</link><pubDate>%s</pubDate><description>%s</description></item>`,
				html.EscapeString(e.title), strings.TrimPrefix(link(e), "https://example.com"), e.at.Format("02 Jan 2006 15:04:05 -0700"), html.EscapeString(e.content))
		})
	},
	"rss 0.91": func(es []entry) string {
		return strings.Replace(dialects2["rss"](es), `version="2.0"`, `version="0.91"`, 1)
	},
	"rss 1.0": func(es []entry) string {
		var b strings.Builder
		b.WriteString(`<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://example.com/"><title>News</title><link>https://example.com/</link></channel>`)
		for _, e := range es {
			fmt.Fprintf(&b, `<item rdf:about="%s"><title>%s</title><link>%s</link><dc:date>%s</dc:date><description>%s</description></item>`, link(e), html.EscapeString(e.title), link(e), e.at.Format(time.RFC3339), html.EscapeString(e.content))
		}
		return b.String() + `</rdf:RDF>`
	},
	"atom 1.0": func(es []entry) string {
		return atom(es, func(e entry) string {
			return fmt.Sprintf(`<entry><id>%s</id><title>%s</title><link rel="alternate" href="%s"/><link rel="edit" href="https://example.com/edit"/><published>%s</published><updated>%s</updated><author><name>Ann</name></author><content type="html">%s</content></entry>`,
				e.id, html.EscapeString(e.title), link(e), e.at.Format(time.RFC3339), e.at.Add(time.Hour).Format(time.RFC3339), html.EscapeString(e.content))
		})
	},
	"atom 1.0, xhtml": func(es []entry) string {
		return atom(es, func(e entry) string {
			return fmt.Sprintf(`<entry><id>%s</id><title type="html">%s</title><link href="%s"/><updated>%s</updated><content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">%s</div></content></entry>`,
				e.id, html.EscapeString(html.EscapeString(e.title)), link(e), e.at.Format("2006-01-02T15:04:05.000-07:00"), e.content)
		})
	},
	"atom 1.0, summaries": func(es []entry) string {
		return atom(es, func(e entry) string {
			return fmt.Sprintf(`<entry><id>%s</id><title><![CDATA[%s]]></title><link href="%s" rel="alternate" type="text/html"/><updated>%s</updated><summary type="html"><![CDATA[%s]]></summary></entry>`,
				e.id, html.EscapeString(e.title), link(e), e.at.Format(time.RFC3339), e.content)
		})
	},
}

// dialects2 are what dialects are made of.
var dialects2 = map[string]func(es []entry) string{
	"rss": func(es []entry) string {
		return rss(es, func(e entry) string {
			return fmt.Sprintf(`<item><title>%s</title><link>%s</link><pubDate>%s</pubDate><description>%s</description></item>`, html.EscapeString(e.title), link(e), e.at.Format(time.RFC822Z), html.EscapeString(e.content))
		})
	},
}

func link(e entry) string {
	return "https://example.com/posts/" + strings.ReplaceAll(strings.TrimPrefix(e.id, "tag:"), ":", "-")
}

func rss(es []entry, item func(entry) string) string {
	var b strings.Builder
	b.WriteString(`<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>News</title><link>https://example.com/</link><description>d</description><ttl>90</ttl><skipHours><hour>3</hour><hour>4</hour></skipHours><skipDays><day>Sunday</day></skipDays>`)
	for _, e := range es {
		b.WriteString(item(e))
	}
	return b.String() + `</channel></rss>`
}

func atom(es []entry, item func(entry) string) string {
	var b strings.Builder
	b.WriteString(`<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><id>urn:x</id><link href="https://example.com/"/><link rel="self" href="https://example.com/feed"/><updated>2026-01-01T00:00:00Z</updated>`)
	for _, e := range es {
		b.WriteString(item(e))
	}
	return b.String() + `</feed>`
}

func jsonFeed(es []entry) string {
	var items []map[string]any
	for _, e := range es {
		items = append(items, map[string]any{"id": e.id, "url": link(e), "title": e.title, "content_html": e.content, "date_published": e.at.Format(time.RFC3339), "authors": []any{map[string]any{"name": "Ann"}}})
	}
	b, err := json.Marshal(map[string]any{"version": "https://jsonfeed.org/version/1.1", "title": "News", "home_page_url": "https://example.com/", "items": items})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// served is one feed as a server sends it.
type served struct {
	name, kind string
	body       []byte
	want       []entry
}

func encoded(t *testing.T, enc, text string) []byte {
	t.Helper()
	e, _ := charset.Lookup(enc)
	out, err := e.NewEncoder().String(text)
	if err != nil {
		t.Fatalf("%s: %v", enc, err)
	}
	return []byte(out)
}

// corpus are well-formed feeds: each dialect in each encoding, said in each way.
func corpus(t *testing.T) []served {
	t.Helper()
	var out []served
	for name, write := range dialects {
		for enc := range words {
			es := entries(enc)
			text := write(es)
			decl := fmt.Sprintf("<?xml version=\"1.0\" encoding=%q?>\n", enc)
			switch enc {
			case "utf-8":
				out = append(out, served{name + ", utf-8", "application/xml", []byte(decl + text), es}, served{name + ", utf-8 without a word", "text/xml; charset=iso-8859-1", []byte(text), es},
					served{name + ", utf-8 with its mark", "application/rss+xml", []byte("\ufeff" + decl + text), es}, served{name + ", blanks before", "", []byte("\n\n  " + decl + text), es})
			case "utf-16":
				for kind, order := range map[string]unicode.Endianness{"LE": unicode.LittleEndian, "BE": unicode.BigEndian} {
					b, err := unicode.UTF16(order, unicode.UseBOM).NewEncoder().String(decl + text)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, served{name + ", utf-16" + kind, "application/xml", []byte(b), es})
				}
			default:
				out = append(out, served{name + ", " + enc, "application/xml", encoded(t, enc, decl+text), es}, served{name + ", " + enc + " by the server", "text/xml; charset=" + enc, encoded(t, enc, text), es})
			}
		}
	}
	return append(out, served{"json", "application/feed+json", []byte(jsonFeed(entries("utf-8"))), entries("utf-8")},
		served{"json 1.0", "application/json", []byte(strings.Replace(jsonFeed(entries("utf-8")), "version/1.1", "version/1", 1)), entries("utf-8")})
}

func TestWellFormedFeedsAreReadAsTheyAreMeant(t *testing.T) {
	t.Parallel()
	all := corpus(t)
	var right, wrong int
	byPath := map[string]served{}
	for i, c := range all {
		byPath[fmt.Sprintf("/%d", i)] = c
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := byPath[r.URL.Path]
		w.Header()["Content-Type"] = []string{c.kind}
		_, _ = w.Write(c.body)
	}))
	defer server.Close()
	x := egress.New(egress.Config{Policy: egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	defer x.Close()
	for i, c := range all {
		a, err := x.Get(t.Context(), fmt.Sprintf("%s/%d", server.URL, i), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := feed.Parse(a.Body, a.Header.Get("Content-Type"), "https://example.com/feed")
		if err != nil || f.Cut || f.Title != "News" {
			t.Errorf("%s: %+v %v", c.name, f.Title, err)
			wrong += len(c.want)
			continue
		}
		for n, e := range c.want {
			if n >= len(f.Items) {
				wrong++
				continue
			}
			got := f.Items[n]
			at := e.at
			if strings.HasPrefix(c.name, "rss 0.91") {
				at = at.Truncate(time.Minute) // the dialect has no seconds
			}
			if got.Title != e.title || got.Link != link(e) || !got.Published.Equal(at) || !strings.Contains(got.Content, e.content) {
				wrong++
				if wrong < 10 {
					t.Errorf("%s, %d: %+v, want %+v at %s", c.name, n, got, e, link(e))
				}
				continue
			}
			right++
		}
	}
	t.Logf("%d feeds, %d entries right, %d wrong", len(all), right, wrong)
	if wrong*100 > right+wrong {
		t.Errorf("%d of %d entries are wrong", wrong, right+wrong)
	}
}

func TestABrokenFeedYieldsWhatCanBeReadAndStopsNobody(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // G404: the same feeds in each run
	begin, read, tried := time.Now(), 0, 0
	parse := func(body []byte) {
		tried++
		f, err := feed.Parse(body, "application/xml", "https://example.com/feed")
		if err == nil {
			read += len(f.Items)
		}
	}
	for name, write := range dialects {
		text := []byte(`<?xml version="1.0"?>` + write(entries("utf-8")))
		f, err := feed.Parse(text[:len(text)*2/3], "", "https://example.com/feed")
		if err != nil || len(f.Items) < 8 || !f.Cut {
			t.Errorf("%s, cut off: %d entries, %v", name, len(f.Items), err)
		}
		for n := range 40 {
			parse(text[:len(text)*n/40])
			mad := append([]byte{}, text...)
			for range 1 + n {
				mad[chance.IntN(len(mad))] = byte(chance.IntN(256))
			}
			parse(mad)
		}
	}
	for _, s := range []string{
		"", " ", "<", "<rss", "<rss>", "<rss version='2.0'><channel><item><title>a</title></item>", "{", "[]", `{"version":"https://jsonfeed.org/version/1"`, `{"version":1,"items":{}}`, "\xff\xfe", "\x00", "plain text",
		"<feed xmlns='http://www.w3.org/2005/Atom'>", strings.Repeat("<a>", 50_000), "<rss><channel>" + strings.Repeat("<item>", 20_000), "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><rss><channel><title>&b;&nbsp;&bogus;</title></channel></rss>",
		`<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss version="2.0"><channel><title>&x;</title><item><title>&x;</title><link>https://example.com/</link></item></channel></rss>`,
		"<rss version='2.0'><channel><item><title>a \x01\x02 b</title><link>https://example.com/1</link></item></channel></rss>", "<rss version='2.0'><channel><item><title>a & b &copy; c</title><link>https://example.com/?a=1&b=2</link></item></channel></rss>",
	} {
		parse([]byte(s))
		if f, err := feed.Parse([]byte(s), "", ""); err == nil {
			for _, i := range f.Items {
				if strings.Contains(i.Title+i.Content+f.Title, "root:") {
					t.Errorf("a file of this machine was read: %q", i.Title)
				}
			}
		}
	}
	t.Logf("%d broken feeds in %s, %d entries read", tried, time.Since(begin), read)
	if time.Since(begin) > time.Minute {
		t.Errorf("%d broken feeds took %s", tried, time.Since(begin))
	}
}
