package events_test

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	events "github.com/commandcenter/commandcenter/proto-events"
	federationv1 "github.com/commandcenter/commandcenter/proto-events/federation/v1"
	"github.com/commandcenter/commandcenter/proto-events/golden"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

// byID finds the fact that an example is of.
func byID(id string) (events.Description, bool) {
	for _, d := range events.Catalogue() {
		if d.ID() == id {
			return d, true
		}
	}
	return events.Description{}, false
}

func TestWhatWasOnceSaidIsStillReadWithTheSameValues(t *testing.T) {
	t.Parallel()
	examples, err := fs.Glob(golden.Files, "*.json")
	if err != nil || len(examples) < len(events.Catalogue()) {
		t.Fatalf("%d examples for %d facts: run make gen (%v)", len(examples), len(events.Catalogue()), err)
	}
	for _, name := range examples {
		id := strings.TrimSuffix(name, ".json")
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			d, ok := byID(id)
			if !ok {
				t.Fatalf("the fact %s is gone; streams still hold it", id)
			}
			text, err := golden.Files.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			m := d.Type()
			if err := events.Unmarshal(text, "", m); err != nil {
				t.Fatal(err)
			}
			again, err := events.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			want, got := values(t, text), values(t, again)
			for field, value := range want {
				if !reflect.DeepEqual(got[field], value) {
					t.Errorf("%s was %v and is read as %v", field, value, got[field])
				}
			}
			sameInBinary(t, id, d, m)
		})
	}
}

func sameInBinary(t *testing.T, id string, d events.Description, want proto.Message) {
	t.Helper()
	text, err := golden.Files.ReadFile(id + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	m := d.Type()
	if err := events.Unmarshal(data, events.Protobuf, m); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(m, want) {
		t.Errorf("binary says %v, JSON says %v", m, want)
	}
}

func values(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryFieldOfEveryFactIsWrittenEvenWhenItIsZero(t *testing.T) {
	t.Parallel()
	for _, d := range events.Catalogue() {
		data, err := events.Marshal(d.Type())
		if err != nil {
			t.Fatal(err)
		}
		got := values(t, data)
		fields := d.Type().ProtoReflect().Descriptor().Fields()
		if len(got) != fields.Len() {
			t.Errorf("%s has %d fields and writes %s", d.Name, fields.Len(), data)
		}
		for i := range fields.Len() {
			if _, ok := got[string(fields.Get(i).Name())]; !ok {
				t.Errorf("%s: %s is missing in %s", d.Name, fields.Get(i).Name(), data)
			}
		}
	}
}

func TestTheSameMessageIsWrittenInTheSameBytes(t *testing.T) {
	t.Parallel()
	m := &federationv1.InstanceStatusChanged{InstanceId: "north", LastHeartbeatAt: timestamppb.New(time.Unix(1, 0))}
	first, err := events.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"project_id":0,"instance_id":"north","version":0,"status":"","previous_status":"","hub_url":"","last_heartbeat_at":"1970-01-01T00:00:01Z"}`
	if string(first) != want {
		t.Errorf("wrote %s, want %s", first, want)
	}
}

func TestAReaderIgnoresFieldsThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	var m knowledgev1.DocumentDeleted
	if err := events.Unmarshal([]byte(`{"project_id":3,"newer":{"a":[1]},"document_id":"9"}`), "application/cloudevents+json; charset=utf-8", &m); err != nil {
		t.Fatal(err)
	}
	if m.GetProjectId() != 3 || m.GetDocumentId() != "9" {
		t.Errorf("read %v", &m)
	}
}

func TestTheContentTypeChoosesTheForm(t *testing.T) {
	t.Parallel()
	want := &knowledgev1.DocumentDeleted{ProjectId: 3, DocumentId: "9"}
	binary, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, contentType := range []string{events.Protobuf, "application/x-protobuf", "application/vnd.google.protobuf; messageType=x"} {
		var got knowledgev1.DocumentDeleted
		if err := events.Unmarshal(binary, contentType, &got); err != nil || !proto.Equal(&got, want) {
			t.Errorf("%s: %v, %v", contentType, &got, err)
		}
	}
	var got knowledgev1.DocumentDeleted
	if err := events.Unmarshal([]byte(`{}`), "application/json; charset=utf-8", &got); err != nil {
		t.Errorf("JSON with a parameter: %v", err)
	}
}

func TestWhatCannotBeReadIsAnErrorThatNamesTheFact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ data, contentType string }{
		{`{"project_id":"many"}`, ""},
		{`nonsense`, events.JSON},
		{"\xff\xff", events.Protobuf},
		{`{}`, "text/csv"},
		{`{}`, "/;;"},
	} {
		err := events.Unmarshal([]byte(c.data), c.contentType, &knowledgev1.DocumentDeleted{})
		if err == nil || !strings.Contains(err.Error(), "commandcenter.knowledge.v1.DocumentDeleted") {
			t.Errorf("%q as %q: %v", c.data, c.contentType, err)
		}
	}
	if err := events.Unmarshal(nil, "", nil); err == nil {
		t.Error("no message: no error")
	}
	if _, err := events.Marshal(nil); err == nil {
		t.Error("no message: no error")
	}
	if _, err := events.Marshal(&knowledgev1.DocumentFailed{Detail: "\xff"}); err == nil {
		t.Error("text that is not UTF-8: no error")
	}
}

func TestTheAggregateIsFieldTwoElseTheProject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		m    proto.Message
		want events.Key
	}{
		{&knowledgev1.DocumentIndexed{ProjectId: 42, DocumentId: "17", Version: 3}, events.Key{Project: 42, ID: "17", Version: 3}},
		{&platformv1.ProjectPurged{ProjectId: 42, Version: 9, Service: "knowledge"}, events.Key{Project: 42, ID: "42", Version: 9}},
	} {
		if got, err := events.Aggregate(c.m); err != nil || got != c.want {
			t.Errorf("aggregate %v, %v; want %v", got, err, c.want)
		}
	}
	for _, d := range events.Catalogue() {
		m := d.Type()
		m.ProtoReflect().Set(m.ProtoReflect().Descriptor().Fields().ByNumber(1), protoreflect.ValueOfInt32(8))
		if got, err := events.Aggregate(m); err != nil || got.Project != 8 {
			t.Errorf("%s: %v, %v", d.Name, got, err)
		}
	}
}

func TestExamplesFillOnlyFacts(t *testing.T) {
	t.Parallel()
	m := &platformv1.ProjectPurged{Service: "auth"}
	if err := golden.Fill(m); err != nil || m.GetService() != "knowledge" || m.GetProjectId() != 42 {
		t.Errorf("filled %v, %v", m, err)
	}
	if err := golden.Fill(timestamppb.Now()); err == nil {
		t.Error("a timestamp is no fact")
	}
}
