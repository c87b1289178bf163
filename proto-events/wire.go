package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// The content types of a fact. A message without one is JSON.
const (
	JSON     = "application/json"
	Protobuf = "application/protobuf"
)

// Marshal writes m as proto3 JSON, content type [JSON]: names as in the .proto
// file, every field present (defaults as they are, messages that are not set as
// null), one line. Equal messages give equal bytes within one build; compare
// values, not bytes, across builds.
func Marshal(m proto.Message) ([]byte, error) {
	if m == nil {
		return nil, fmt.Errorf("write an event: no message")
	}
	name := m.ProtoReflect().Descriptor().FullName()
	loose, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	// protojson varies its spaces on purpose.
	var out bytes.Buffer
	out.Grow(len(loose))
	if err := json.Compact(&out, loose); err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// Unmarshal reads data into m, whose fields it replaces. contentType decides:
// binary for application/protobuf, application/x-protobuf and
// application/vnd.google.protobuf; JSON for application/json, any +json and the
// empty string; anything else is an error. Unknown fields are ignored.
func Unmarshal(data []byte, contentType string, m proto.Message) error {
	if m == nil {
		return fmt.Errorf("read an event: no message")
	}
	name := m.ProtoReflect().Descriptor().FullName()
	binary, err := isBinary(contentType)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if binary {
		err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
	} else {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func isBinary(contentType string) (bool, error) {
	// The two that our own services write need no parsing.
	switch contentType {
	case "", JSON:
		return false, nil
	case Protobuf:
		return true, nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false, fmt.Errorf("content type %q: %w", contentType, err)
	}
	switch media {
	case JSON:
		return false, nil
	case Protobuf, "application/x-protobuf", "application/vnd.google.protobuf":
		return true, nil
	}
	if len(media) > 5 && media[len(media)-5:] == "+json" {
		return false, nil
	}
	return false, fmt.Errorf("content type %q: want %s or %s", contentType, JSON, Protobuf)
}
