package mcp

import (
	"maps"

	"github.com/getkin/kin-openapi/openapi3"
)

// maxDepth is how deep a schema is described; what lies deeper may be anything.
const maxDepth = 12

// jsonSchema writes a schema of OpenAPI 3.0 as JSON Schema 2020-12 with its
// references put in. What a model cannot use, such as examples of vendors, is
// left out; the edge validates by the contract itself.
func jsonSchema(ref *openapi3.SchemaRef, depth int) map[string]any {
	out := map[string]any{}
	if ref == nil || ref.Value == nil || depth > maxDepth {
		return out
	}
	s := ref.Value
	if s.Type != nil {
		switch types := s.Type.Slice(); {
		case s.Nullable:
			out["type"] = append(append([]string{}, types...), "null")
		case len(types) == 1:
			out["type"] = types[0]
		}
	}
	if s.Description != "" {
		out["description"] = s.Description
	}
	if s.Format != "" {
		out["format"] = s.Format
	}
	if s.Default != nil {
		out["default"] = s.Default
	}
	if len(s.Enum) > 0 {
		values := append([]any{}, s.Enum...)
		if s.Nullable {
			values = append(values, nil)
		}
		out["enum"] = values
	}
	maps.Copy(out, bounds(s))
	if s.Items != nil {
		out["items"] = jsonSchema(s.Items, depth+1)
	}
	if len(s.Properties) > 0 {
		members := map[string]any{}
		for name, p := range s.Properties {
			members[name] = jsonSchema(p, depth+1)
		}
		out["properties"] = members
	}
	if len(s.Required) > 0 {
		out["required"] = s.Required
	}
	if s.AdditionalProperties.Schema != nil {
		out["additionalProperties"] = jsonSchema(s.AdditionalProperties.Schema, depth+1)
	}
	for word, of := range map[string]openapi3.SchemaRefs{"anyOf": s.AnyOf, "oneOf": s.OneOf, "allOf": s.AllOf} {
		var list []any
		for _, r := range of {
			list = append(list, jsonSchema(r, depth+1))
		}
		if len(list) > 0 {
			out[word] = list
		}
	}
	return out
}

func bounds(s *openapi3.Schema) map[string]any {
	out := map[string]any{}
	if s.Min != nil {
		out["minimum"] = *s.Min
	}
	if s.Max != nil {
		out["maximum"] = *s.Max
	}
	if s.MinLength > 0 {
		out["minLength"] = s.MinLength
	}
	if s.MaxLength != nil {
		out["maxLength"] = *s.MaxLength
	}
	if s.MinItems > 0 {
		out["minItems"] = s.MinItems
	}
	if s.MaxItems != nil {
		out["maxItems"] = *s.MaxItems
	}
	if s.Pattern != "" {
		out["pattern"] = s.Pattern
	}
	return out
}
