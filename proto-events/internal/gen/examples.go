package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	events "github.com/commandcenter/commandcenter/proto-events"
)

// addExamples writes the golden example of each fact that has none. It never
// touches one that is there: a changed example would hide that old facts can no
// longer be read. A .json written by hand gets its .hex.
func addExamples(root string) error {
	for _, d := range events.Catalogue() {
		if err := addExample(filepath.Join(root, "golden", d.ID()), d.Type()); err != nil {
			return fmt.Errorf("write the example of %s: %w", d.Name, err)
		}
	}
	return nil
}

func addExample(path string, m proto.Message) error {
	text, err := os.ReadFile(path + ".json")
	if err == nil {
		err = events.Unmarshal(text, events.JSON, m)
	} else if errors.Is(err, fs.ErrNotExist) {
		fill(m.ProtoReflect())
		if text, err = events.Marshal(m); err == nil {
			err = replace(path+".json", append(text, '\n'))
		}
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(path + ".hex"); err == nil {
		return nil
	}
	binary, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err
	}
	return replace(path+".hex", []byte(hex.EncodeToString(binary)+"\n"))
}

// fill gives every field a value that differs from its default and from its
// neighbours.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.IsList() {
			l := m.Mutable(f).List()
			if f.Kind() == protoreflect.MessageKind {
				fill(l.AppendMutable().Message())
			} else {
				l.Append(sample(f))
			}
			continue
		}
		if f.Kind() == protoreflect.MessageKind {
			if f.Message().FullName() == "google.protobuf.Timestamp" {
				seconds := f.Message().Fields().ByName("seconds")
				m.Mutable(f).Message().Set(seconds, protoreflect.ValueOfInt64(1767225600)) // 2026-01-01T00:00:00Z
				continue
			}
			if s, ok := m.Mutable(f).Message().Interface().(*structpb.Struct); ok {
				s.Fields = map[string]*structpb.Value{"title": structpb.NewStringValue("title"), "total": structpb.NewNumberValue(2.5)}
				continue
			}
			fill(m.Mutable(f).Message())
			continue
		}
		m.Set(f, sample(f))
	}
}

func sample(f protoreflect.FieldDescriptor) protoreflect.Value {
	n := int32(f.Number())
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		if f.Name() == "project_id" {
			return protoreflect.ValueOfInt32(42)
		}
		return protoreflect.ValueOfInt32(n)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n)) //nolint:gosec // G115: a small number
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 2)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) / 2)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{byte(n), 0xff}) //nolint:gosec // G115: a small number
	default:
		return protoreflect.ValueOfString(text(string(f.Name())))
	}
}

// text is a likely value of a field of that name; "example <name>" when there
// is none.
func text(field string) string {
	likely := map[string]string{
		"document_id": "17", "membership_id": "42:7", "session_id": "6f3c2b1e-7a54-4c0e-9d51-0b9a3f2e8c11",
		"instance_id": "north-hub", "service": "knowledge", "role": "member", "reason": "logout", "status": "online",
		"previous_status": "offline", "hub_url": "https://north.example.org", "filename": "guide.md",
		"title": "Guide", "content_type": "text/markdown", "collection": "default", "category": "docs",
		"sha256":          "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		"embedding_model": "all-MiniLM-L6-v2", "name": "Radar",
	}
	if s, ok := likely[field]; ok {
		return s
	}
	return "example " + field
}
