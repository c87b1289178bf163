package feed

import (
	"bytes"
	"mime"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
)

var declared = regexp.MustCompile(`^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._:-]+)["'][^>]*\?>`)

// inUTF8 turns a feed into UTF-8, whatever it says it is in. What it says of its
// encoding goes: it would not be true any more.
func inUTF8(body []byte, contentType string) []byte {
	switch {
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		body = body[3:]
	case bytes.HasPrefix(body, []byte("\xff\xfe")), bytes.HasPrefix(body, []byte("\xfe\xff")):
		body = convert(unicode.UTF16(unicode.BigEndian, unicode.UseBOM), body)
	case bytes.HasPrefix(body, []byte("<\x00?\x00")), bytes.HasPrefix(body, []byte("<\x00r\x00")):
		body = convert(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), body)
	case bytes.HasPrefix(body, []byte("\x00<\x00?")), bytes.HasPrefix(body, []byte("\x00<\x00r")):
		body = convert(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), body)
	default:
		body = convert(encodingOf(body, contentType), body)
	}
	if m := declared.FindIndex(body); m != nil {
		body = body[m[1]:]
	}
	return plain(body)
}

// encodingOf is the encoding of a text without a mark; nil for UTF-8. What the text
// says goes before what the server says, which often does not know. Neither is
// believed of what is UTF-8, which nothing else is by chance.
func encodingOf(body []byte, contentType string) encoding.Encoding {
	if utf8.Valid(body) && bytes.IndexByte(body, 0x1b) < 0 {
		return nil
	}
	var names []string
	if m := declared.FindSubmatch(body[:min(len(body), 1024)]); m != nil {
		names = append(names, string(m[1]))
	}
	if _, p, err := mime.ParseMediaType(contentType); err == nil {
		names = append(names, p["charset"])
	}
	for _, n := range append(names, "windows-1252") {
		if e, name := charset.Lookup(n); e != nil && name != "utf-8" {
			return e
		}
	}
	return nil
}

func convert(e encoding.Encoding, body []byte) []byte {
	if e == nil {
		return body
	}
	out, err := e.NewDecoder().Bytes(body)
	if err != nil {
		return body
	}
	return out
}

// plain leaves out what XML has no place for: bytes that are no UTF-8, most
// control characters, and what comes before the beginning.
func plain(body []byte) []byte {
	out := []byte(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return -1
		}
		return r
	}, string(bytes.ToValidUTF8(body, []byte("\uFFFD")))))
	if i := bytes.IndexAny(out, "<{"); i > 0 {
		out = out[i:]
	}
	return out
}
