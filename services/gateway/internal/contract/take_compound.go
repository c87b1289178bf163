package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func (s *schema) takeArray(dst []byte, v []any, at *loc, f *faults) []byte {
	n := uint64(len(v))
	if n < s.minItems {
		f.add(at, "too_short", fmt.Sprintf("List should have at least %d items, not %d", s.minItems, n), nil,
			map[string]any{"field_type": "List", "min_length": s.minItems, "actual_length": n})
	}
	if s.maxItems != nil && n > *s.maxItems {
		f.add(at, "too_long", fmt.Sprintf("List should have at most %d items, not %d", *s.maxItems, n), nil,
			map[string]any{"field_type": "List", "max_length": *s.maxItems, "actual_length": n})
		return dst
	}
	var seen map[string]bool
	if s.uniqueItem {
		seen = make(map[string]bool, len(v))
	}
	dst = append(dst, '[')
	for i, item := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		here := loc{up: at, index: i}
		began := len(dst)
		if s.items != nil {
			dst = s.items.take(dst, item, &here, f)
		} else {
			dst = appendFree(dst, item, &here, f)
		}
		if s.uniqueItem {
			if seen[string(dst[began:])] {
				f.add(&here, "unique_items", "Input should not repeat an item", nil, nil)
			}
			seen[string(dst[began:])] = true
		}
	}
	return append(dst, ']')
}

func (s *schema) takeObject(dst []byte, v map[string]any, at *loc, f *faults) []byte {
	s.checkSize(v, at, f)
	dst = append(dst, '{')
	first := true
	member := func(name string) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, name)
		dst = append(dst, ':')
	}
	for i := range s.props {
		p := &s.props[i]
		value, sent := v[p.name]
		switch {
		case sent:
			member(p.name)
			here := loc{up: at, name: p.name}
			dst = p.schema.take(dst, value, &here, f)
		case p.required:
			here := loc{up: at, name: p.name}
			f.add(&here, "missing", "Field required", nil, nil)
		case p.schema.def != nil:
			member(p.name)
			dst = append(dst, p.schema.def...)
		}
	}
	for _, name := range s.required {
		if _, sent := v[name]; !sent {
			here := loc{up: at, name: name}
			f.add(&here, "missing", "Field required", nil, nil)
		}
	}
	for _, name := range s.undeclared(v) {
		here := loc{up: at, name: name}
		if !s.open {
			f.extra(&here)
			continue
		}
		checkText(name, &here, f)
		member(name)
		if s.extraOf != nil {
			dst = s.extraOf.take(dst, v[name], &here, f)
		} else {
			dst = appendFree(dst, v[name], &here, f)
		}
	}
	return append(dst, '}')
}

func (s *schema) checkSize(v map[string]any, at *loc, f *faults) {
	n := uint64(len(v))
	if n < s.minProps {
		f.add(at, "too_short", fmt.Sprintf("Dictionary should have at least %d items, not %d", s.minProps, n), nil, nil)
	}
	if s.maxProps != nil && n > *s.maxProps {
		f.add(at, "too_long", fmt.Sprintf("Dictionary should have at most %d items, not %d", *s.maxProps, n), nil, nil)
	}
}

// undeclared lists the other members in a stable order.
func (s *schema) undeclared(v map[string]any) []string {
	var names []string
	for name := range v {
		_, declared := slices.BinarySearchFunc(s.props, name, func(p property, n string) int {
			return strings.Compare(p.name, n)
		})
		if !declared {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// appendFree appends a value that no schema describes.
func appendFree(dst []byte, v any, at *loc, f *faults) []byte {
	checkFree(v, at, f)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		f.add(at, "value_error", "Input cannot be read", nil, nil)
		return dst
	}
	return append(dst, bytes.TrimRight(b.Bytes(), "\n")...)
}

func checkFree(v any, at *loc, f *faults) {
	switch v := v.(type) {
	case string:
		checkText(v, at, f)
	case []any:
		for i, item := range v {
			here := loc{up: at, index: i}
			checkFree(item, &here, f)
		}
	case map[string]any:
		for name, item := range v {
			here := loc{up: at, name: name}
			checkText(name, &here, f)
			checkFree(item, &here, f)
		}
	}
}
