package events_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	events "github.com/commandcenter/commandcenter/proto-events"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

func TestHeadersCarryTheCloudEventsAttributes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.FixedZone("", 3600))
	m := &knowledgev1.DocumentIndexed{ProjectId: 42, DocumentId: "17", Version: 3}
	h, err := events.Headers(m, "id-1", events.Source("north", "knowledge"), at)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"ce-specversion": "1.0", "ce-id": "id-1", "ce-source": "/commandcenter/north/knowledge",
		"ce-type": "commandcenter.knowledge.v1.DocumentIndexed", "ce-subject": "17", "ce-time": "2026-03-01T11:00:00.000005Z",
		"ce-dataschema": "urn:commandcenter:event:knowledge.document.indexed.v1", "ce-projectid": "42",
		"ce-aggregateversion": "3", "content-type": "application/json",
	}
	got := map[string]string{}
	for k, v := range h {
		got[k] = strings.Join(v, "|")
	}
	if !maps.Equal(got, want) {
		t.Errorf("headers %v, want %v", got, want)
	}
	a, err := events.ParseAttributes(h)
	if err != nil || a.ID != "id-1" || !a.Time.Equal(at) || a.Version != "3" || a.Project != "42" || a.ContentType != events.JSON {
		t.Errorf("read back %+v, %v", a, err)
	}
}

func TestAttributesSurviveCharactersThatAHeaderCannotHold(t *testing.T) {
	t.Parallel()
	want := events.Attributes{ID: "50% \"é\"\r\nx", Source: "/a", Type: "t", Subject: "größe", ContentType: events.Protobuf}
	h := want.Header()
	for name, v := range h {
		for _, c := range []byte(v[0]) {
			if c < ' ' || c > '~' {
				t.Errorf("%s holds %q", name, v[0])
			}
		}
	}
	if got, err := events.ParseAttributes(h); err != nil || got != want {
		t.Errorf("read back %+v, %v", got, err)
	}
}

func TestNamesOfHeadersAreReadInAnyCase(t *testing.T) {
	t.Parallel()
	a, err := events.ParseAttributes(map[string][]string{
		"Ce-Specversion": {"1.1"}, "CE-ID": {"100%"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}, "Content-Type": {"x/y"}, "Empty": nil,
	})
	if err != nil || a.ID != "100%" || a.ContentType != "x/y" {
		t.Errorf("read %+v, %v", a, err)
	}
}

func TestAHeaderThatIsNoCloudEventIsRefused(t *testing.T) {
	t.Parallel()
	good := map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/s"}, "ce-type": {"t"}}
	if _, err := events.ParseAttributes(good); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"ce-specversion": "0.3", "ce-id": "", "ce-source": "", "ce-type": "", "ce-time": "yesterday"} {
		bad := maps.Clone(good)
		bad[name] = []string{value}
		if _, err := events.ParseAttributes(bad); err == nil {
			t.Errorf("%s: %q was accepted", name, value)
		}
	}
}

func TestAFactIsNotSaidWithoutIdSourceOrService(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	if _, err := events.Headers(&knowledgev1.DocumentIndexed{}, "", "/s", now); err == nil {
		t.Error("no id: no error")
	}
	if _, err := events.Headers(&knowledgev1.DocumentIndexed{}, "1", "", now); err == nil {
		t.Error("no source: no error")
	}
	if _, err := events.Headers(&platformv1.ProjectPurged{}, "1", "/s", now); err == nil {
		t.Error("nobody purged: no error")
	}
	if _, err := events.Headers(timestamppb.Now(), "1", "/s", now); err == nil {
		t.Error("a timestamp is no fact: no error")
	}
	if got := events.Source("", "auth"); got != "/commandcenter/auth" {
		t.Errorf("source without an instance: %s", got)
	}
}
