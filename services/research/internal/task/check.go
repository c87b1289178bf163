package task

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Normalise makes empty texts none, cuts blanks off, and puts times and metadata into one
// form. Then it says of each field that cannot be what is wrong with it.
func (d *Draft) Normalise() error {
	d.Title = strings.TrimSpace(d.Title)
	for _, s := range []**string{&d.Description, &d.Notes, &d.Findings, &d.AssignedTo} {
		if *s == nil {
			continue
		}
		text := strings.TrimSpace(**s)
		if *s = &text; text == "" {
			*s = nil
		}
	}
	if d.DueDate != nil {
		at := d.DueDate.UTC().Truncate(time.Microsecond) // as the database has it
		d.DueDate = &at
	}
	return d.check()
}

func (d *Draft) check() error {
	var fields []errs.Field
	wrong := func(field, typ, format string, args ...any) {
		fields = append(fields, errs.Field{Type: typ, Loc: []any{"body", field}, Msg: fmt.Sprintf(format, args...)})
	}
	if d.Title == "" {
		wrong("title", "string_too_short", "a research task has a title")
	}
	for _, x := range []struct {
		field string
		text  *string
		most  int
	}{
		{"title", &d.Title, maxTitle}, {"description", d.Description, maxText}, {"user_notes", d.Notes, maxText},
		{"findings", d.Findings, maxText}, {"assigned_to", d.AssignedTo, maxTitle},
	} {
		switch {
		case x.text == nil:
		case utf8.RuneCountInString(*x.text) > x.most:
			wrong(x.field, "string_too_long", "%s has at most %d characters", x.field, x.most)
		case strings.ContainsRune(*x.text, 0):
			wrong(x.field, "string_pattern_mismatch", "%s has a character that no text has", x.field)
		}
	}
	if d.Type != Research && d.Type != AdHocHypothesis {
		wrong("task_type", "enum", "task_type is research or ad_hoc_hypothesis")
	}
	for _, x := range []struct {
		field       string
		n           int64
		least, most int64
	}{
		{"technology_id", number(d.TechnologyID, 1), 1, math.MaxInt32}, {"repository_id", number(d.RepositoryID, 1), 1, math.MaxInt32},
		{"estimated_hours", number(d.EstimatedHours, 0), 0, maxHours}, {"actual_hours", number(d.ActualHours, 0), 0, maxHours},
	} {
		if x.n < x.least || x.n > x.most {
			wrong(x.field, "out_of_range", "%s is from %d to %d", x.field, x.least, x.most)
		}
	}
	if d.DueDate != nil && (d.DueDate.Year() < 1970 || d.DueDate.Year() > 9999) {
		wrong("due_date", "out_of_range", "due_date is of a year from 1970 to 9999")
	}
	if err := d.checkMetadata(); err != nil {
		wrong("metadata_", "value_error", "%s", err)
	}
	if len(fields) > 0 {
		return &errs.Error{Kind: errs.Invalid, Msg: fields[0].Msg, Fields: fields}
	}
	return nil
}

// number is what is said, or what is as good as nothing.
func number[N int | int64](n *N, none int64) int64 {
	if n == nil {
		return none
	}
	return int64(*n)
}

// checkMetadata puts the metadata into one form.
func (d *Draft) checkMetadata() error {
	if d.Metadata == nil {
		return nil
	}
	if len(*d.Metadata) > maxMetadata {
		return fmt.Errorf("metadata_ has at most %d bytes", maxMetadata)
	}
	var all map[string]any
	if json.Unmarshal(*d.Metadata, &all) != nil {
		return fmt.Errorf("metadata_ is an object")
	}
	if all == nil {
		d.Metadata = nil
		return nil
	}
	if !plain(all, maxMetadataDepth) {
		return fmt.Errorf("metadata_ is nested at most %d deep, and has no character that no text has", maxMetadataDepth)
	}
	b, err := json.Marshal(all)
	raw := json.RawMessage(b)
	d.Metadata = &raw
	return err
}

// plain reports whether the database keeps a value.
func plain(v any, depth int) bool {
	if depth < 0 {
		return false
	}
	switch x := v.(type) {
	case string:
		return !strings.ContainsRune(x, 0)
	case []any:
		return !slices.ContainsFunc(x, func(v any) bool { return !plain(v, depth-1) })
	case map[string]any:
		for k, v := range x {
			if strings.ContainsRune(k, 0) || !plain(v, depth-1) {
				return false
			}
		}
	}
	return true
}

// Same reports whether two drafts say the same.
func (d Draft) Same(e Draft) bool {
	var ours, theirs any
	for _, x := range []struct {
		from *Draft
		into *any
	}{{&d, &ours}, {&e, &theirs}} {
		if x.from.Metadata != nil {
			_ = json.Unmarshal(*x.from.Metadata, x.into) // it has been checked
			x.from.Metadata = nil
		}
		if x.from.DueDate != nil {
			at := x.from.DueDate.UTC().Truncate(time.Microsecond)
			x.from.DueDate = &at
		}
	}
	return reflect.DeepEqual(ours, theirs) && reflect.DeepEqual(d, e)
}

// same reports whether two states are.
func (s State) same(t State) bool {
	at := func(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }
	return s.Status == t.Status && s.Progress == t.Progress && at(s.StartedAt, t.StartedAt) && at(s.CompletedAt, t.CompletedAt)
}

// Same reports whether two tasks say the same and stand at the same place.
func (t Task) Same(u Task) bool { return t.Draft.Same(u.Draft) && t.same(u.State) }

// ParseTime reads a time as RFC 3339 has it; without a zone it is of UTC, and a day is its
// beginning.
func ParseTime(s string) (time.Time, error) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(form, strings.TrimSpace(s)); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no day (2026-01-31) and no time (2026-01-31T12:00:00Z)", s)
}
