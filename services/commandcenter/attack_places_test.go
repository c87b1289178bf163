package main_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// textPlace puts a text into a copy of a value.
type textPlace func(v any, text string) any

// textsIn are all places of a schema that take text, wherever they are: fields,
// elements of lists, and names of fields that nobody has declared.
func textsIn(s *openapi3.Schema, depth int) (all []textPlace) {
	switch {
	case s == nil || depth > 4 || s.Format == "binary":
		return nil
	case s.Type.Is("object"):
		for _, name := range sortedNames(s.Properties) {
			prop := s.Properties[name].Value
			for _, in := range textsIn(prop, depth+1) {
				all = append(all, func(v any, text string) any {
					m := copied(v)
					if m[name] == nil {
						m[name] = sampleOf(prop, depth+1)
					}
					m[name] = in(m[name], text)
					return m
				})
			}
		}
		return append(all, func(v any, text string) any {
			m := copied(v)
			m[text] = text
			return m
		})
	case s.Type.Is("array") && s.Items != nil:
		for _, in := range textsIn(s.Items.Value, depth+1) {
			all = append(all, func(_ any, text string) any { return []any{in(sampleOf(s.Items.Value, depth+1), text)} })
		}
		return all
	case s.Type.Is("string"):
		return []textPlace{func(_ any, text string) any { return text }}
	}
	return nil
}

func copied(v any) map[string]any {
	m, _ := v.(map[string]any)
	if m = maps.Clone(m); m == nil {
		m = map[string]any{}
	}
	return m
}

// bare is a value of an object with what has to be there and no more: null, where
// that will do.
func bare(s *openapi3.Schema) map[string]any {
	out := map[string]any{}
	names := slices.Clone(s.Required)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) { // which one does not matter
		if uint64(len(names)) < s.MinProps && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if prop := s.Properties[name]; prop != nil && prop.Value.Format != "binary" {
			if out[name] = sampleOf(prop.Value, 1); prop.Value.Nullable {
				out[name] = nil
			}
		}
	}
	return out
}

func or(s, without string) string {
	if s == "" {
		return without
	}
	return s
}

func TestEveryTextOfABodyIsFound(t *testing.T) {
	t.Parallel()
	text := openapi3.NewStringSchema()
	s := openapi3.NewObjectSchema().WithProperty("a", text).WithProperty("n", openapi3.NewIntegerSchema()).
		WithProperty("list", openapi3.NewArraySchema().WithItems(text)).
		WithProperty("deep", openapi3.NewObjectSchema().WithProperty("b", text))
	var got []string
	for _, in := range textsIn(s, 0) {
		got = append(got, fmt.Sprint(in(map[string]any{"n": 1}, "!")))
	}
	slices.Sort(got)
	want := []string{"map[!:! n:1]", "map[a:! n:1]", "map[deep:map[!:! b:sample] n:1]", "map[deep:map[b:!] n:1]", "map[list:[!] n:1]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
