package events

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The numbers of the fields that every fact has.
const (
	projectField   = 1
	aggregateField = 2
	versionField   = 3
)

// Key says which thing a fact is about, and at which of its versions.
type Key struct {
	Project int32  // 0 for the instance
	ID      string // of the aggregate; the decimal project when the fact is about the project
	Version int32  // a fact with a lower one than the reader has is old news
}

// Aggregate returns what m is about. It fails for a message that is no fact.
func Aggregate(m proto.Message) (Key, error) {
	if _, err := Describe(m); err != nil {
		return Key{}, err
	}
	r := m.ProtoReflect()
	fields := r.Descriptor().Fields()
	project, version := fields.ByNumber(projectField), fields.ByNumber(versionField)
	if project == nil || version == nil {
		return Key{}, fmt.Errorf("aggregate of %s: no project_id or version", r.Descriptor().FullName())
	}
	k := Key{Project: int32Of(r, project), Version: int32Of(r, version)}
	switch id := fields.ByNumber(aggregateField); {
	case id == nil:
		k.ID = strconv.FormatInt(int64(k.Project), 10)
	case id.Kind() == protoreflect.StringKind:
		k.ID = r.Get(id).String()
	default:
		k.ID = strconv.FormatInt(r.Get(id).Int(), 10)
	}
	return k, nil
}

// int32Of reads a field that the contract test holds to int32.
func int32Of(r protoreflect.Message, f protoreflect.FieldDescriptor) int32 {
	return int32(r.Get(f).Int()) //nolint:gosec // G115: see above
}
