package events

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	federationv1 "github.com/commandcenter/commandcenter/proto-events/federation/v1"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	optionsv1 "github.com/commandcenter/commandcenter/proto-events/options/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"
)

// Any stands in [Description.Service] for "any service may say it": the message
// has a field "service" that names the one that does.
const Any = "*"

// files are the contracts. A new .proto file gets a line here; a test compares
// the list with the folders.
func files() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		authv1.File_auth_v1_auth_events_proto,
		authv1.File_auth_v1_auth_calls_proto,
		federationv1.File_federation_v1_federation_events_proto,
		ingestionv1.File_ingestion_v1_ingestion_events_proto,
		knowledgev1.File_knowledge_v1_knowledge_events_proto,
		knowledgev1.File_knowledge_v1_knowledge_calls_proto,
		platformv1.File_platform_v1_platform_events_proto,
		platformv1.File_platform_v1_platform_calls_proto,
		researchv1.File_research_v1_research_events_proto,
		researchv1.File_research_v1_research_calls_proto,
	}
}

// Description is what a message declares about itself as a fact.
type Description struct {
	Service   string                // who says it; Any when any service may
	Noun      string                // what it is about, singular
	Fact      string                // what happened, in the past tense
	Version   int                   // of the message's form, from 1
	Consumers []string              // services with a durable consumer
	Followers []string              // services of which every replica hears it, without durability
	Public    bool                  // other teams may be granted it
	Instance  bool                  // it is about the instance and no project
	Name      protoreflect.FullName // of the message; the CloudEvents type
	Type      func() proto.Message  // a new, empty message
}

// CallDescription is what a request message declares about itself as a question
// between services.
type CallDescription struct {
	Service string                // who answers; Any when every service does that holds rows of projects
	Call    string                // lowerCamelCase
	Callers []string              // who may ask; Any for every service
	Name    protoreflect.FullName // of the request message
	Answer  protoreflect.FullName // of the response message
	Request func() proto.Message  // a new, empty request
	Reply   func() proto.Message  // a new, empty response
}

type catalogue struct {
	facts  []Description
	calls  []CallDescription
	byName map[protoreflect.FullName]int // index into facts
	called map[protoreflect.FullName]int // index into calls
}

var loaded = sync.OnceValue(func() *catalogue {
	c := &catalogue{byName: map[protoreflect.FullName]int{}, called: map[protoreflect.FullName]int{}}
	for _, f := range files() {
		for i := range f.Messages().Len() {
			c.add(f.Messages().Get(i))
		}
	}
	slices.SortFunc(c.facts, func(a, b Description) int { return strings.Compare(a.ID(), b.ID()) })
	slices.SortFunc(c.calls, func(a, b CallDescription) int {
		return strings.Compare(a.Service+"."+a.Call, b.Service+"."+b.Call)
	})
	for i, d := range c.facts {
		c.byName[d.Name] = i
	}
	for i, d := range c.calls {
		c.called[d.Name] = i
	}
	return c
})

func (c *catalogue) add(m protoreflect.MessageDescriptor) {
	options, ok := m.Options().(*descriptorpb.MessageOptions)
	if !ok || options == nil {
		return
	}
	if proto.HasExtension(options, optionsv1.E_Event) {
		if e, ok := proto.GetExtension(options, optionsv1.E_Event).(*optionsv1.Event); ok {
			c.facts = append(c.facts, Description{
				Service: e.GetService(), Noun: e.GetNoun(), Fact: e.GetFact(), Version: int(e.GetVersion()),
				Consumers: e.GetConsumers(), Followers: e.GetFollowers(), Public: e.GetPublic(), Instance: e.GetInstance(),
				Name: m.FullName(), Type: maker(m.FullName()),
			})
		}
	}
	if proto.HasExtension(options, optionsv1.E_Call) {
		if q, ok := proto.GetExtension(options, optionsv1.E_Call).(*optionsv1.Call); ok {
			answer := protoreflect.FullName(q.GetAnswer())
			c.calls = append(c.calls, CallDescription{
				Service: q.GetService(), Call: q.GetName(), Callers: q.GetCallers(),
				Name: m.FullName(), Answer: answer, Request: maker(m.FullName()), Reply: maker(answer),
			})
		}
	}
}

// maker returns a constructor of the named message; one of a name that is not
// linked in yields nil, which the tests of this package rule out.
func maker(name protoreflect.FullName) func() proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return func() proto.Message { return nil }
	}
	return func() proto.Message { return t.New().Interface() }
}

// Catalogue lists every fact, by service, noun, fact and version.
func Catalogue() []Description { return slices.Clone(loaded().facts) }

// Calls lists every question between services, by service and name.
func Calls() []CallDescription { return slices.Clone(loaded().calls) }

// Describe returns what m declares. For a fact that any service may say, the
// description of a filled message names the service in m; that of an empty one
// says [Any]. It fails for nil and for a message that is no fact.
func Describe(m proto.Message) (Description, error) {
	if m == nil {
		return Description{}, fmt.Errorf("describe an event: no message")
	}
	r := m.ProtoReflect()
	c := loaded()
	i, ok := c.byName[r.Descriptor().FullName()]
	if !ok {
		return Description{}, fmt.Errorf("describe %s: it declares no event", r.Descriptor().FullName())
	}
	d := c.facts[i]
	if d.Service == Any && r.IsValid() {
		if said := r.Get(r.Descriptor().Fields().ByName("service")).String(); said != "" {
			return d.By(said), nil
		}
	}
	return d, nil
}

// DescribeCall returns what the request m declares. It fails for nil and for a
// message that is no question.
func DescribeCall(m proto.Message) (CallDescription, error) {
	if m == nil {
		return CallDescription{}, fmt.Errorf("describe a call: no message")
	}
	c := loaded()
	i, ok := c.called[m.ProtoReflect().Descriptor().FullName()]
	if !ok {
		return CallDescription{}, fmt.Errorf("describe %s: it declares no call", m.ProtoReflect().Descriptor().FullName())
	}
	return c.calls[i], nil
}

// By narrows a fact that any service may say to the one that service says. Of
// another fact it returns d itself.
func (d Description) By(service string) Description {
	if d.Service == Any {
		d.Service = service
	}
	return d
}

// ID is the fact without project: "knowledge.document.indexed.v1". It names
// durables, schemas and golden files; those of [Any] start with "any".
func (d Description) ID() string {
	service := d.Service
	if service == Any {
		service = "any"
	}
	return fmt.Sprintf("%s.%s.%s.v%d", service, d.Noun, d.Fact, d.Version)
}

// Subject is where the fact of a project is said: project is a token such as
// "p42" or "instance", or "*" for a filter over all of them. The subject of a
// fact of [Any] is a filter as well; see [Description.By]. That of an instance has
// one subject, whatever the project.
func (d Description) Subject(project string) string {
	if d.Instance {
		project = "instance"
	}
	return fmt.Sprintf("evt.%s.%s.%s.%s.v%d", project, d.Service, d.Noun, d.Fact, d.Version)
}

// Subject is where the question is asked.
func (d CallDescription) Subject() string { return "req.instance." + d.Service + "." + d.Call }

// SaidBy lists the facts that service may say, each narrowed to it.
func SaidBy(service string) []Description {
	var out []Description
	for _, d := range loaded().facts {
		if d.Service == service || d.Service == Any {
			out = append(out, d.By(service))
		}
	}
	return out
}

// ConsumedBy lists the facts for which service has a durable consumer.
func ConsumedBy(service string) []Description {
	return selected(func(d Description) bool { return slices.Contains(d.Consumers, service) })
}

// FollowedBy lists the facts that every replica of service hears without
// durability.
func FollowedBy(service string) []Description {
	return selected(func(d Description) bool { return slices.Contains(d.Followers, service) })
}

func selected(want func(Description) bool) []Description {
	var out []Description
	for _, d := range loaded().facts {
		if want(d) {
			out = append(out, d)
		}
	}
	return out
}
