package source

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Digest is the SHA-256 of a content in lower-case hex.
func Digest(b []byte) string { return digest(b) }

// Bounds of what people say.
const (
	maxName  = 255
	maxCron  = 100
	maxWord  = 100
	maxItems = 10_000
)

type faults []errs.Field

func (f *faults) add(typ, format string, args []any, loc ...any) {
	*f = append(*f, errs.Field{Type: typ, Loc: append([]any{"body"}, loc...), Msg: fmt.Sprintf(format, args...)})
}

func (f *faults) text(s string, least, most int, loc ...any) {
	n := utf8.RuneCountInString(s)
	name := loc[len(loc)-1]
	switch {
	case n < least:
		f.add("string_too_short", "%v must not be empty", []any{name}, loc...)
	case n > most:
		f.add("string_too_long", "%v has at most %d characters", []any{name, most}, loc...)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		f.add("string_pattern_mismatch", "%v has a character that no text of one line has", []any{name}, loc...)
	}
}

func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &errs.Error{Kind: errs.Invalid, Msg: f[0].Msg, Fields: f}
}

// Normalise cuts blanks off and puts the address into its plain form. Then it says
// of each field that cannot be what is wrong with it. known says which kinds there
// are.
func (d *Draft) Normalise(known func(Kind) bool) error {
	var f faults
	for _, s := range []*string{&d.Name, &d.URL, &d.Path, &d.Schedule, &d.Config.Collection, &d.Config.Category, &d.Config.Language} {
		*s = strings.TrimSpace(*s)
	}
	f.text(d.Name, 1, maxName, "name")
	if !known(d.Kind) {
		f.add("enum", "there are no sources of type %.50q", []any{d.Kind}, "type")
	}
	if len(d.Schedule) > maxCron {
		f.add("string_too_long", "schedule has at most %d characters", []any{maxCron}, "schedule")
	} else if err := CheckSchedule(d.Schedule); err != nil {
		f.add("value_error", "%s", []any{err.Error()}, "schedule")
	}
	if d.Priority < 1 || d.Priority > 10 {
		f.add("out_of_range", "priority is from 1 to 10", nil, "priority")
	}
	d.place(&f)
	d.Config.check(&f)
	return f.err()
}

// searchHN is where people search Hacker News.
const searchHN = "https://hn.algolia.com/?query="

// place checks where the source is, as its kind has it.
func (d *Draft) place(f *faults) {
	if d.Kind == Folder {
		if d.URL != "" {
			f.add("value_error", "a source of type %s has a path and no url", []any{d.Kind}, "url")
		}
		if !strings.HasPrefix(d.Path, "/") || len(d.Path) > maxPlace || strings.ContainsFunc(d.Path, unicode.IsControl) {
			f.add("value_error", "a source of type %s has a path, from the root of the machine on", []any{d.Kind}, "path")
		}
		d.Path = path.Clean(d.Path)
		return
	}
	if d.Kind == HackerNews {
		if d.URL != "" && !strings.HasPrefix(d.URL, searchHN) || d.Path != "" {
			f.add("value_error", "a source of type %s has keywords, and neither url nor path", []any{d.Kind}, "url")
		}
		if len(d.Config.Keywords) == 0 || len(d.Config.Keywords) > 20 {
			f.add("missing", "a source of type %s has 1 to 20 keywords", []any{d.Kind}, "config", "keywords")
		}
		for i, k := range d.Config.Keywords {
			d.Config.Keywords[i] = strings.Join(strings.Fields(strings.ReplaceAll(k, `"`, " ")), " ")
			f.text(d.Config.Keywords[i], 1, maxWord, "config", "keywords")
		}
		d.URL = searchHN + url.QueryEscape(strings.Join(d.Config.Keywords, " ")) // for people
		return
	}
	if d.Kind != Feed && d.Kind != Site {
		return
	}
	if d.Path != "" {
		f.add("value_error", "a source of type %s has a url and no path", []any{d.Kind}, "path")
	}
	u, err := egress.Parse(d.URL)
	if d.URL == "" {
		f.add("missing", "a source of type %s has a url", []any{d.Kind}, "url")
	} else if err != nil {
		f.add("url_parsing", "url: %s", []any{errs.As(err).Msg}, "url")
	} else {
		d.URL = u.String()
	}
}

func (c Config) check(f *faults) {
	f.text(c.Collection, 0, maxWord, "config", "collection")
	f.text(c.Category, 0, maxWord, "config", "category")
	if c.Language != "" && (len(c.Language) != 2 || strings.Trim(c.Language, "abcdefghijklmnopqrstuvwxyz") != "") {
		f.add("string_pattern_mismatch", "language is two letters of ISO 639-1, such as en", nil, "config", "language")
	}
	if c.Technology < 0 || c.Technology > 1<<31-1 {
		f.add("out_of_range", "technology_id is the id of a technology", nil, "config", "technology_id")
	}
	if c.MinPoints < 0 || c.MinPoints > 1_000_000 || c.MinComments < 0 || c.MinComments > 1_000_000 {
		f.add("out_of_range", "min_points and min_comments are not below 0", nil, "config", "min_points")
	}
	for name, list := range map[string][]string{"patterns": c.Patterns, "ignore": c.Ignore} {
		if len(list) > 100 {
			f.add("too_long", "%s has at most 100 entries", []any{name}, "config", name)
		}
		for _, p := range list {
			if len(p) > 200 || p == "" || !doublestar.ValidatePattern(p) {
				f.add("value_error", "%.50q is no glob", []any{p}, "config", name)
			}
		}
	}
	if c.MaxDepth < 0 || c.MaxDepth > 100 {
		f.add("out_of_range", "max_depth is from 1 to 100", nil, "config", "max_depth")
	}
	if c.MaxItems < 0 || c.MaxItems > maxItems {
		f.add("out_of_range", "max_items is from 1 to %d", []any{maxItems}, "config", "max_items")
	}
}

// Check says what is wrong with c.
func (c Credentials) Check() error {
	var f faults
	for name, s := range map[string]string{"username": c.Username, "password": c.Password, "token": c.Token} {
		f.text(s, 0, 1000, "credentials", name)
	}
	if c.Token != "" && (c.Username != "" || c.Password != "") {
		f.add("value_error", "a username with its password, or a token", nil, "credentials")
	}
	if c.Password != "" && c.Username == "" {
		f.add("missing", "a password belongs to a username", nil, "credentials", "username")
	}
	return f.err()
}
