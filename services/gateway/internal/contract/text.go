package contract

import (
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// checkText refuses NUL, which no text column can hold.
func checkText(v string, at *loc, f *faults) {
	if strings.IndexByte(v, 0) >= 0 {
		f.add(at, "string_nul", "Input should not contain the character NUL", nil, nil)
	}
}

func (s *schema) takeString(dst []byte, v string, at *loc, f *faults) []byte {
	checkText(v, at, f)
	if s.minLen > 0 || s.maxLen != nil {
		s.checkLength(v, at, f)
	}
	if s.pattern != nil && !s.pattern.MatchString(v) {
		f.add(at, "string_pattern_mismatch", "Input should match the pattern "+s.pattern.String(), s.shown(v),
			map[string]any{"pattern": s.pattern.String()})
	}
	switch s.format {
	case "date-time":
		t, err := dateTime(v)
		if err != nil {
			f.add(at, "datetime_parsing", "Input should be a valid datetime, such as 2006-01-02T15:04:05Z", s.shown(v), nil)
			return dst
		}
		v = t.UTC().Format(time.RFC3339Nano)
	case "date":
		if _, err := time.Parse(time.DateOnly, v); err != nil {
			f.add(at, "date_parsing", "Input should be a valid date, such as 2006-01-02", s.shown(v), nil)
		}
	case "email":
		if !email(v) {
			f.add(at, "value_error", "value is not a valid email address", s.shown(v), nil)
		}
	case "uuid":
		if _, err := uuid.Parse(v); err != nil || len(v) != 36 {
			f.add(at, "uuid_parsing", "Input should be a valid UUID", s.shown(v), nil)
		}
	case "uri":
		if u, err := url.Parse(v); err != nil || !u.IsAbs() {
			f.add(at, "url_parsing", "Input should be a valid URL", s.shown(v), nil)
		}
	}
	return appendString(dst, v)
}

func (s *schema) checkLength(v string, at *loc, f *faults) {
	// Bytes bound runes from above: the count is needed for few strings.
	n := uint64(len(v))
	if n >= s.minLen && (s.maxLen == nil || n <= *s.maxLen) && s.minLen <= 1 {
		return
	}
	n = uint64(utf8.RuneCountInString(v)) //nolint:gosec // G115: not below 0
	if n < s.minLen {
		f.add(at, "string_too_short", fmt.Sprintf("String should have at least %d %s", s.minLen, characters(s.minLen)), s.shown(v),
			map[string]any{"min_length": s.minLen})
	}
	if s.maxLen != nil && n > *s.maxLen {
		f.add(at, "string_too_long", fmt.Sprintf("String should have at most %d %s", *s.maxLen, characters(*s.maxLen)), s.shown(v),
			map[string]any{"max_length": *s.maxLen})
	}
}

func characters(n uint64) string {
	if n == 1 {
		return "character"
	}
	return "characters"
}

// dateTime reads RFC 3339; without an offset the time is UTC, as the first
// clients of this interface send it, and a bare day is its midnight.
func dateTime(v string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, v)
	if err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", time.DateTime, time.DateOnly} {
		if t, other := time.Parse(layout, v); other == nil {
			return t, nil
		}
	}
	return t, err
}

func email(v string) bool {
	v = strings.TrimSpace(v)
	a, err := mail.ParseAddress(v)
	if err != nil || a.Name != "" || a.Address != v {
		return false
	}
	at := strings.LastIndexByte(v, '@')
	domain := v[at+1:]
	dotted := strings.Contains(domain, ".") && !strings.HasSuffix(domain, ".")
	return at <= 64 && len(v) <= 254 && (dotted || domain == "localhost")
}

const hex = "0123456789abcdef"

// appendString appends v as a JSON string. Invalid UTF-8 was replaced or
// refused before, when the request was decoded.
func appendString(dst []byte, v string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, v[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		from = i + 1
	}
	dst = append(dst, v[from:]...)
	return append(dst, '"')
}
