package events_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	federationv1 "github.com/commandcenter/commandcenter/proto-events/federation/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

func TestEveryContractFileIsInTheCatalogue(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("*/v*/*.proto")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no .proto files: %v", err)
	}
	linked := map[string]int{}
	for _, d := range events.Catalogue() {
		linked[d.Type().ProtoReflect().Descriptor().ParentFile().Path()]++
	}
	for _, c := range events.Calls() {
		linked[c.Request().ProtoReflect().Descriptor().ParentFile().Path()]++
	}
	for _, p := range paths {
		if !strings.HasPrefix(p, "options/") && linked[filepath.ToSlash(p)] == 0 {
			t.Errorf("%s declares nothing that the catalogue lists: add its file descriptor to files()", p)
		}
	}
}

func TestEveryFactKeepsTheRulesOfTheCatalogue(t *testing.T) {
	t.Parallel()
	word := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	seen := map[string]protoreflect.FullName{}
	for _, d := range events.Catalogue() {
		m := d.Type().ProtoReflect().Descriptor()
		if d.Service != events.Any && !word.MatchString(d.Service) || !word.MatchString(d.Noun) || !word.MatchString(d.Fact) || d.Version < 1 {
			t.Errorf("%s: service %q, noun %q, fact %q, version %d", d.Name, d.Service, d.Noun, d.Fact, d.Version)
		}
		if other, twice := seen[d.ID()]; twice {
			t.Errorf("%s and %s are both %s", d.Name, other, d.ID())
		}
		seen[d.ID()] = d.Name
		wantPackage := "commandcenter." + d.Service + "."
		if d.Service == events.Any {
			wantPackage = "commandcenter.platform."
			if f := m.Fields().ByName("service"); f == nil || f.Kind() != protoreflect.StringKind {
				t.Errorf("%s may be said by any service and has no string field \"service\"", d.Name)
			}
		}
		if !strings.HasPrefix(string(d.Name), wantPackage) {
			t.Errorf("%s is said by %s: want a package %s*", d.Name, d.Service, wantPackage)
		}
		for number, want := range map[protoreflect.FieldNumber]protoreflect.Name{1: "project_id", 3: "version"} {
			if f := m.Fields().ByNumber(number); f == nil || f.Name() != want || f.Kind() != protoreflect.Int32Kind {
				t.Errorf("%s: field %d is not int32 %s", d.Name, number, want)
			}
		}
		if f := m.Fields().ByNumber(2); f != nil {
			if !strings.HasSuffix(string(f.Name()), "_id") || f.Kind() != protoreflect.StringKind && f.Kind() != protoreflect.Int32Kind {
				t.Errorf("%s: field 2 identifies the aggregate: want string or int32 <noun>_id, got %s %s", d.Name, f.Kind(), f.Name())
			}
		}
		for _, who := range slices.Concat(d.Consumers, d.Followers) {
			if !word.MatchString(who) {
				t.Errorf("%s: consumer %q", d.Name, who)
			}
		}
		noWideNumbers(t, m)
	}
}

// noWideNumbers refuses kinds that JSON readers round or see as strings.
func noWideNumbers(t *testing.T, m protoreflect.MessageDescriptor) {
	t.Helper()
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		switch f.Kind() {
		case protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.Sint64Kind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
			t.Errorf("%s is %s: JSON has no such number; use int32 or a documented string", f.FullName(), f.Kind())
		case protoreflect.MessageKind:
			if !strings.HasPrefix(string(f.Message().FullName()), "google.protobuf.") {
				noWideNumbers(t, f.Message())
			}
		case protoreflect.EnumKind:
			t.Errorf("%s is an enum: a reader that is older refuses new values; use a documented string", f.FullName())
		}
	}
}

func TestEveryCallHasAnAnswerThatIsLinkedIn(t *testing.T) {
	t.Parallel()
	for _, c := range events.Calls() {
		if _, err := protoregistry.GlobalTypes.FindMessageByName(c.Answer); err != nil {
			t.Errorf("%s: answer %s: %v", c.Name, c.Answer, err)
			continue
		}
		if c.Reply().ProtoReflect().Descriptor().FullName() != c.Answer || c.Request().ProtoReflect().Descriptor().FullName() != c.Name {
			t.Errorf("%s: constructors make other messages", c.Name)
		}
		home := c.Service
		if home == events.Any {
			home = "platform"
		}
		if len(c.Callers) == 0 || !strings.HasPrefix(string(c.Name), "commandcenter."+home+".") {
			t.Errorf("%s: answered by %q, asked by %q", c.Name, c.Service, c.Callers)
		}
		if got, err := events.DescribeCall(c.Request()); err != nil || got.Subject() != "req.instance."+c.Service+"."+c.Call {
			t.Errorf("DescribeCall(%s) = %s, %v", c.Name, got.Subject(), err)
		}
	}
}

func TestASubjectNamesProjectServiceNounFactAndVersion(t *testing.T) {
	t.Parallel()
	d, err := events.Describe(&knowledgev1.DocumentIndexed{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.Subject("p42"), "evt.p42.knowledge.document.indexed.v1"; got != want {
		t.Errorf("subject %q, want %q", got, want)
	}
	if got, want := d.ID(), "knowledge.document.indexed.v1"; got != want {
		t.Errorf("id %q, want %q", got, want)
	}
	if d.By("gateway").Service != "knowledge" {
		t.Error("By changed who says a fact that has one sayer")
	}
}

func TestAFactOfAnyServiceIsNarrowedByItsField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		m    proto.Message
		want string
	}{
		{&platformv1.ProjectPurged{Service: "knowledge"}, "evt.p7.knowledge.project.purged.v1"},
		{&platformv1.ProjectPurged{}, "evt.p7.*.project.purged.v1"},
		{(*platformv1.ProjectPurged)(nil), "evt.p7.*.project.purged.v1"},
		{&federationv1.InstanceRemoved{}, "evt.instance.federation.instance.removed.v1"}, // of no project
	} {
		d, err := events.Describe(c.m)
		if err != nil || d.Subject("p7") != c.want {
			t.Errorf("subject %q, %v; want %q", d.Subject("p7"), err, c.want)
		}
	}
}

func TestAMessageThatDeclaresNothingIsRefused(t *testing.T) {
	t.Parallel()
	for _, m := range []proto.Message{nil, timestamppb.Now(), &authv1.ResolveAccessRequest{}} {
		if d, err := events.Describe(m); err == nil {
			t.Errorf("Describe(%T) = %s", m, d.ID())
		}
		if _, err := events.Aggregate(m); err == nil {
			t.Errorf("Aggregate(%T) gave no error", m)
		}
	}
	for _, m := range []proto.Message{nil, &authv1.ProjectCreated{}} {
		if _, err := events.DescribeCall(m); err == nil {
			t.Errorf("DescribeCall(%T) gave no error", m)
		}
	}
}

func TestEachServiceFindsWhatItSaysConsumesAndFollows(t *testing.T) {
	t.Parallel()
	ids := func(all []events.Description) []string {
		var out []string
		for _, d := range all {
			out = append(out, d.ID())
		}
		return out
	}
	if got := ids(events.SaidBy("knowledge")); !slices.Contains(got, "knowledge.document.indexed.v1") || !slices.Contains(got, "knowledge.project.purged.v1") ||
		slices.Contains(got, "auth.project.created.v1") {
		t.Errorf("knowledge says %v", got)
	}
	if got := ids(events.ConsumedBy("auth")); !slices.Equal(got, []string{"any.call.recorded.v1", "any.project.purged.v1"}) {
		t.Errorf("auth consumes %v", got)
	}
	if got := ids(events.FollowedBy("knowledge")); !slices.Contains(got, "knowledge.document.deleted.v1") {
		t.Errorf("knowledge follows %v", got)
	}
}

func TestTheCatalogueCannotBeChangedFromOutside(t *testing.T) {
	t.Parallel()
	events.Catalogue()[0] = events.Description{}
	events.Calls()[0] = events.CallDescription{}
	if events.Catalogue()[0].Name == "" || events.Calls()[0].Name == "" {
		t.Error("a caller's change reached the catalogue")
	}
}

func TestTheModuleImportsNothingButProtobuf(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(strings.TrimPrefix(line, "require"))
		if len(fields) >= 2 && strings.HasPrefix(fields[1], "v") && fields[0] != "google.golang.org/protobuf" {
			t.Errorf("go.mod requires %s: another team would get it with the contracts", fields[0])
		}
	}
}
