package contract

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// maxFaults bounds what one answer lists: a body of a thousand wrong items
// does not earn an answer of a megabyte.
const maxFaults = 50

// faults collects what is wrong with a request.
type faults struct {
	list []errs.Field
}

// loc is a path into the request, built on the stack while descending.
type loc struct {
	up    *loc
	name  string
	index int // when name is empty
}

func (l *loc) path() []any {
	n := 0
	for at := l; at != nil; at = at.up {
		n++
	}
	out := make([]any, n)
	for at := l; at != nil; at = at.up {
		n--
		if at.name != "" {
			out[n] = at.name
		} else {
			out[n] = at.index
		}
	}
	return out
}

func (f *faults) add(at *loc, typ, msg string, input any, ctx map[string]any) {
	if len(f.list) < maxFaults {
		f.list = append(f.list, errs.Field{Type: typ, Loc: at.path(), Msg: msg, Input: shorten(input), Ctx: ctx})
	}
}

// extra refuses what at names, which the contract does not.
func (f *faults) extra(at *loc) {
	f.add(&loc{up: at.up, name: short(strings.ToValidUTF8(at.name, "\uFFFD"))}, "extra_forbidden", "Extra inputs are not permitted", nil, nil)
}

// shorten keeps scalars that are short enough to be of help to the caller.
func shorten(input any) any {
	switch v := input.(type) {
	case nil, bool, json.Number:
		return v
	case string:
		return short(v)
	}
	return nil
}

func short(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// take checks v and appends its rebuilt JSON to dst. After a fault the bytes
// mean nothing and must not be used.
func (s *schema) take(dst []byte, v any, at *loc, f *faults) []byte {
	if v == nil {
		if s.nullable || s.unconstrained() {
			return append(dst, "null"...)
		}
		if s.kind != 0 || len(s.any)+len(s.one) == 0 {
			s.wrongType(v, at, f)
			return dst
		}
	}
	if len(s.any)+len(s.one) > 0 {
		return s.choose(dst, v, at, f)
	}
	began := len(dst)
	switch v := v.(type) {
	case string:
		if !s.allows(kString) {
			s.wrongType(v, at, f)
			return dst
		}
		dst = s.takeString(dst, v, at, f)
	case json.Number:
		if !s.allows(kNumber | kInteger) {
			s.wrongType(v, at, f)
			return dst
		}
		dst = s.takeNumber(dst, v, at, f)
	case bool:
		if !s.allows(kBoolean) {
			s.wrongType(v, at, f)
			return dst
		}
		dst = strconv.AppendBool(dst, v)
	case []any:
		if !s.allows(kArray) {
			s.wrongType(v, at, f)
			return dst
		}
		dst = s.takeArray(dst, v, at, f)
	case map[string]any:
		if !s.allows(kObject) {
			s.wrongType(v, at, f)
			return dst
		}
		dst = s.takeObject(dst, v, at, f)
	}
	switch {
	case s.opID:
		s.checkOperationID(v, at, f)
	case s.enum != nil:
		s.checkEnum(dst[began:], v, at, f)
	}
	if s.not != nil {
		var refused faults
		if s.not.take(nil, v, at, &refused); len(refused.list) == 0 {
			f.add(at, "value_error", "Input is of a form that is not allowed", s.shown(v), nil)
		}
	}
	return dst
}

func (s *schema) allows(k kind) bool { return s.kind == 0 || s.kind&k != 0 }

func (s *schema) unconstrained() bool {
	return s.kind == 0 && len(s.any)+len(s.one) == 0 && s.enum == nil && len(s.props) == 0 && s.not == nil
}

// shown is the input as an answer may repeat it.
func (s *schema) shown(v any) any {
	if s.secret {
		return nil
	}
	return v
}

func (s *schema) wrongType(v any, at *loc, f *faults) {
	typ, msg := "value_error", "Input should not be null"
	switch {
	case s.kind&kString != 0:
		typ, msg = "string_type", "Input should be a valid string"
	case s.kind&kInteger != 0:
		typ, msg = "int_type", "Input should be a valid integer"
	case s.kind&kNumber != 0:
		typ, msg = "float_type", "Input should be a valid number"
	case s.kind&kBoolean != 0:
		typ, msg = "bool_type", "Input should be a valid boolean"
	case s.kind&kArray != 0:
		typ, msg = "list_type", "Input should be a valid list"
	case s.kind&kObject != 0:
		typ, msg = "dict_type", "Input should be a valid dictionary"
	}
	f.add(at, typ, msg, s.shown(v), nil)
}

func (s *schema) checkEnum(rebuilt []byte, v any, at *loc, f *faults) {
	for _, e := range s.enum {
		if e == string(rebuilt) {
			return
		}
	}
	f.add(at, "enum", "Input should be "+s.enumText, s.shown(v), map[string]any{"expected": s.enumText})
}

// choose takes v by the branches of anyOf or oneOf. It reports the faults of
// the branch of the right type, so that the caller reads about a field and not
// about the form of the schema.
func (s *schema) choose(dst []byte, v any, at *loc, f *faults) []byte {
	began, matches := len(dst), 0
	out := dst
	var best []errs.Field
	branches := s.any
	if len(s.one) > 0 {
		branches = s.one
	}
	for _, b := range branches {
		var mine faults
		got := b.take(dst[:began:began], v, at, &mine)
		if len(mine.list) > 0 {
			if best == nil || b.allowsValue(v) {
				best = mine.list
			}
			continue
		}
		if matches++; matches == 1 {
			out = got
		}
		if len(s.one) == 0 {
			break
		}
	}
	switch {
	case matches == 0:
		for _, field := range best {
			if len(f.list) < maxFaults {
				f.list = append(f.list, field)
			}
		}
	case matches > 1:
		f.add(at, "value_error", "Input fits more than one of the allowed forms", s.shown(v), nil)
	}
	return out
}

func (s *schema) allowsValue(v any) bool {
	switch v.(type) {
	case nil:
		return s.nullable
	case string:
		return s.allows(kString)
	case json.Number:
		return s.allows(kNumber | kInteger)
	case bool:
		return s.allows(kBoolean)
	case []any:
		return s.allows(kArray)
	}
	return s.allows(kObject)
}

func (s *schema) takeNumber(dst []byte, v json.Number, at *loc, f *faults) []byte {
	x, err := v.Float64()
	if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
		f.add(at, "finite_number", "Input should be a finite number", nil, nil)
		return dst
	}
	began := len(dst)
	if s.kind&kInteger != 0 && s.kind&kNumber == 0 {
		n, ok := integer(string(v), x)
		switch {
		case !ok && x == math.Trunc(x):
			f.add(at, "int_parsing_size", "Integer is too large", s.shown(v), nil)
			return dst
		case !ok:
			f.add(at, "int_from_float", "Input should be a valid integer, got a number with a fractional part", s.shown(v), nil)
			return dst
		case s.format == "int32" && (n < math.MinInt32 || n > math.MaxInt32):
			f.add(at, "int_parsing_size", "Integer is too large", s.shown(v), nil)
			return dst
		}
		dst = strconv.AppendInt(dst, n, 10)
	} else {
		dst = append(dst, v...)
	}
	s.checkRange(dst[began:], x, at, f)
	return dst
}

// integer reads a whole number in any JSON spelling of it: 3, 3.0, 3e2.
func integer(text string, x float64) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	if x != math.Trunc(x) || math.Abs(x) > 1<<53 {
		return 0, false
	}
	return int64(x), true
}

func (s *schema) checkRange(text []byte, x float64, at *loc, f *faults) {
	input := json.Number(text)
	bound := func(typ, words, key string, limit float64) {
		l := json.Number(strconv.FormatFloat(limit, 'f', -1, 64))
		f.add(at, typ, "Input should be "+words+" "+string(l), s.shown(input), map[string]any{key: l})
	}
	if s.min != nil {
		switch {
		case s.minOpen && x <= *s.min:
			bound("greater_than", "greater than", "gt", *s.min)
		case x < *s.min:
			bound("greater_than_equal", "greater than or equal to", "ge", *s.min)
		}
	}
	if s.max != nil {
		switch {
		case s.maxOpen && x >= *s.max:
			bound("less_than", "less than", "lt", *s.max)
		case x > *s.max:
			bound("less_than_equal", "less than or equal to", "le", *s.max)
		}
	}
	if s.multiple != nil {
		if q := x / *s.multiple; math.Abs(q-math.Round(q)) > 1e-9 {
			bound("multiple_of", "a multiple of", "multiple_of", *s.multiple)
		}
	}
}
