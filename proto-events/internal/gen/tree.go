package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// object is a JSON or YAML mapping whose keys keep their order, so that the
// files read as they were meant.
type object []member

type member struct {
	key   string
	value any // string, bool, int, object or list
}

type list []any

// renderJSON writes v with two spaces of indent and no final newline.
func renderJSON(v any) string {
	var b strings.Builder
	writeJSON(&b, v, "")
	return b.String()
}

func writeJSON(b *strings.Builder, v any, indent string) {
	inner := indent + "  "
	switch v := v.(type) {
	case object:
		b.WriteString("{")
		for i, m := range v {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString("\n" + inner + quote(m.key) + ": ")
			writeJSON(b, m.value, inner)
		}
		if len(v) > 0 {
			b.WriteString("\n" + indent)
		}
		b.WriteString("}")
	case list:
		b.WriteString("[")
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeJSON(b, e, inner)
		}
		b.WriteString("]")
	default:
		b.WriteString(scalar(v))
	}
}

// renderYAML writes v as block YAML; strings are double-quoted, which YAML reads
// as JSON does.
func renderYAML(v object) string {
	var b strings.Builder
	writeYAML(&b, v, "")
	return b.String()
}

func writeYAML(b *strings.Builder, v object, indent string) {
	for _, m := range v {
		b.WriteString(indent + yamlKey(m.key) + ":")
		switch value := m.value.(type) {
		case object:
			if len(value) == 0 {
				b.WriteString(" {}\n")
				continue
			}
			b.WriteString("\n")
			writeYAML(b, value, indent+"  ")
		case list:
			writeYAMLList(b, value, indent)
		default:
			b.WriteString(" " + scalar(value) + "\n")
		}
	}
}

func writeYAMLList(b *strings.Builder, v list, indent string) {
	if len(v) == 0 {
		b.WriteString(" []\n")
		return
	}
	b.WriteString("\n")
	for _, e := range v {
		o, ok := e.(object)
		if !ok {
			b.WriteString(indent + "  - " + scalar(e) + "\n")
			continue
		}
		var item strings.Builder
		writeYAML(&item, o, indent+"    ")
		b.WriteString(indent + "  - " + strings.TrimPrefix(item.String(), indent+"    "))
	}
}

// yamlKey quotes a key unless it is plainly a word.
func yamlKey(s string) string {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-' {
			return quote(s)
		}
	}
	return s
}

func scalar(v any) string {
	if s, ok := v.(string); ok {
		return quote(s)
	}
	return fmt.Sprint(v)
}

func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""` // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}
