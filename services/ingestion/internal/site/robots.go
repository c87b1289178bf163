package site

import (
	"bufio"
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// rules are those of a robots.txt for one agent, by RFC 9309.
type rules struct {
	all      []rule
	delay    time.Duration
	sitemaps []string
}

type rule struct {
	pattern string
	allow   bool
}

// mostRobots is how much of a robots.txt is read, in bytes.
const mostRobots = 500 << 10

// longestDelay bounds what a site asks for between two calls.
const longestDelay = 10 * time.Second

// parseRobots reads the rules for this product: those of all groups that name it, else
// those of the groups for everybody.
func parseRobots(text []byte) rules {
	text = bytes.TrimPrefix(text[:min(len(text), mostRobots)], []byte("\xef\xbb\xbf"))
	var own, every rules
	var sitemaps []string
	found, inOwn, inEvery, heading := false, false, false, false
	s := bufio.NewScanner(bytes.NewReader(text))
	s.Buffer(nil, mostRobots+1)
	for s.Scan() {
		line, _, _ := strings.Cut(s.Text(), "#")
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch name {
		case "user-agent":
			if !heading {
				inOwn, inEvery, heading = false, false, true
			}
			token := strings.ToLower(value)
			if i := strings.IndexFunc(token, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r == '-' || r == '_') }); i > 0 {
				token = token[:i]
			}
			inEvery = inEvery || value == "*"
			if token == agent {
				inOwn, found = true, true
			}
		case "allow", "disallow", "crawl-delay":
			heading = false
			for _, g := range []struct {
				in bool
				to *rules
			}{{inOwn, &own}, {inEvery, &every}} {
				if g.in {
					g.to.add(name, value)
				}
			}
		case "sitemap":
			sitemaps = append(sitemaps, value)
		}
	}
	out := every
	if found {
		out = own
	}
	out.sitemaps = sitemaps
	return out
}

func (r *rules) add(name, value string) {
	if name == "crawl-delay" {
		if f, err := strconv.ParseFloat(value, 64); err == nil && f > 0 {
			r.delay = min(time.Duration(min(f, 3600)*float64(time.Second)), longestDelay)
		}
		return
	}
	if value != "" {
		r.all = append(r.all, rule{plain(value), name == "allow"})
	}
}

// plain is a path with what is escaped for no reason unescaped, and the rest in
// capitals.
func plain(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				if c := byte(n); c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
					b.WriteByte(c)
				} else {
					b.WriteString(strings.ToUpper(s[i : i+3]))
				}
				i += 2
				continue
			}
		}
		if s[i] >= 0x80 {
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(s[i]), 16)))
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// allows says whether an address may be read: the longest pattern that fits says
// so, and of two as long the one that allows.
func (r rules) allows(u *url.URL) bool {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	path = plain(path)
	if path == "/robots.txt" {
		return true
	}
	best, allow := -1, true
	for _, x := range r.all {
		if n := len(x.pattern); (n > best || n == best && x.allow) && fits(x.pattern, path) {
			best, allow = n, x.allow
		}
	}
	return allow
}

// fits says whether a path begins with a pattern, in which * is anything and $ at the
// end is the end.
func fits(pattern, path string) bool {
	pattern, end := strings.CutSuffix(pattern, "$")
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(path, parts[0]) {
		return false
	}
	rest := path[len(parts[0]):]
	for i, p := range parts[1:] {
		if end && i == len(parts)-2 {
			return strings.HasSuffix(rest, p)
		}
		at := strings.Index(rest, p)
		if at < 0 {
			return false
		}
		rest = rest[at+len(p):]
	}
	return !end || rest == ""
}
