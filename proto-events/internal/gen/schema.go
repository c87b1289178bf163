package main

import (
	"math"

	"google.golang.org/protobuf/reflect/protoreflect"

	events "github.com/commandcenter/commandcenter/proto-events"
)

// schemaOf is the JSON Schema of a fact as it is written. Only what every
// version of the form has had is required: a reader that replays meets facts
// that are older than the newest field.
func schemaOf(d events.Description, said *comments) object {
	m := d.Type().ProtoReflect().Descriptor()
	s := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", d.Schema()},
		{"title", string(m.Name())},
		{"description", said.message(m)},
	}
	return append(s, body(m, said)...)
}

func body(m protoreflect.MessageDescriptor, said *comments) object {
	properties := object{}
	required := list{}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		properties = append(properties, member{string(f.Name()), fieldSchema(f, said)})
		if f.Number() <= 3 {
			required = append(required, string(f.Name()))
		}
	}
	return object{
		{"type", "object"},
		{"properties", properties},
		{"required", required},
		{"additionalProperties", true},
	}
}

func fieldSchema(f protoreflect.FieldDescriptor, said *comments) object {
	s := object{}
	if text := said.field(f); text != "" {
		s = append(s, member{"description", text})
	}
	if f.IsList() {
		return append(s, member{"type", "array"}, member{"items", kindSchema(f, said)})
	}
	return append(s, kindSchema(f, said)...)
}

func kindSchema(f protoreflect.FieldDescriptor, said *comments) object {
	switch f.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return object{{"type", "integer"}, {"minimum", math.MinInt32}, {"maximum", math.MaxInt32}}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return object{{"type", "integer"}, {"minimum", 0}, {"maximum", math.MaxUint32}}
	case protoreflect.BoolKind:
		return object{{"type", "boolean"}}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return object{{"type", "number"}}
	case protoreflect.BytesKind:
		return object{{"type", "string"}, {"contentEncoding", "base64"}}
	case protoreflect.MessageKind:
		if f.Message().FullName() == "google.protobuf.Timestamp" {
			if f.IsList() {
				return object{{"type", "string"}, {"format", "date-time"}}
			}
			return object{{"type", list{"string", "null"}}, {"format", "date-time"}}
		}
		if f.Message().FullName() == "google.protobuf.Struct" { // any JSON object
			return object{{"type", list{"object", "null"}}}
		}
		return body(f.Message(), said)
	default: // strings; 64-bit numbers are written as strings and ruled out by a test
		return object{{"type", "string"}}
	}
}
