package main

import (
	"strings"

	events "github.com/commandcenter/commandcenter/proto-events"
)

// asyncAPI describes every fact as AsyncAPI 3.0, from the side of who says it.
func asyncAPI(facts []events.Description, said *comments) []byte {
	channels, operations, messages, schemas := object{}, object{}, object{}, object{}
	for _, d := range facts {
		m := d.Type().ProtoReflect().Descriptor()
		name := string(m.Name())
		channel := object{
			{"address", strings.Replace(d.Subject("{project}"), "."+events.Any+".", ".{service}.", 1)},
			{"title", strings.ReplaceAll(d.Noun+" "+d.Fact, "_", " ")},
			{"description", said.message(m)},
			{"parameters", parameters(d)},
			{"messages", object{{name, object{{"$ref", "#/components/messages/" + name}}}}},
			{"x-public", d.Public},
			{"x-instance", d.Instance},
			{"x-consumers", names(d.Consumers)},
			{"x-followers", names(d.Followers)},
		}
		channels = append(channels, member{d.ID(), channel})
		operations = append(operations, member{"say-" + d.ID(), object{
			{"action", "send"},
			{"summary", said.message(m)},
			{"channel", object{{"$ref", "#/channels/" + d.ID()}}},
			{"messages", list{object{{"$ref", "#/channels/" + d.ID() + "/messages/" + name}}}},
			{"tags", list{object{{"name", d.Service}}}},
		}})
		messages = append(messages, member{name, object{
			{"name", string(d.Name)},
			{"title", name},
			{"summary", said.message(m)},
			{"contentType", events.JSON},
			{"headers", object{{"$ref", "#/components/schemas/CloudEvent"}}},
			{"payload", object{{"$ref", "#/components/schemas/" + name}}},
		}})
		schemas = append(schemas, member{name, body(m, said)})
	}
	schemas = append(schemas, member{"CloudEvent", headerSchema()})
	doc := object{
		{"asyncapi", "3.0.0"},
		{"info", object{
			{"title", "CommandCenter events"},
			{"version", "1.0.0"},
			{"description", "Facts that CommandCenter says on NATS JetStream, stream EVENTS. " +
				"Another team hears those with x-public: true of the projects that it was granted. " +
				"CloudEvents 1.0 in binary mode: attributes in headers, the fact as the body."},
			{"license", object{{"name", "Apache-2.0"}, {"url", "https://www.apache.org/licenses/LICENSE-2.0"}}},
		}},
		{"defaultContentType", events.JSON},
		{"servers", object{{"local", object{
			{"host", "127.0.0.1:4222"},
			{"protocol", "nats"},
			{"description", "The server that `commandcenter up` starts."},
		}}}},
		{"channels", channels},
		{"operations", operations},
		{"components", object{{"messages", messages}, {"schemas", schemas}}},
	}
	return []byte("# Code generated from the catalogue by `make gen`. DO NOT EDIT.\n" + renderYAML(doc))
}

func parameters(d events.Description) object {
	p := object{}
	if !d.Instance {
		p = append(p, member{"project", object{{"description", "Token of the project: p42, or instance."}, {"examples", list{"p42", "instance"}}}})
	}
	if d.Service == events.Any {
		p = append(p, member{"service", object{{"description", "The service that says it."}, {"examples", list{"knowledge"}}}})
	}
	return p
}

func headerSchema() object {
	text := func(description string) object { return object{{"type", "string"}, {"description", description}} }
	return object{
		{"type", "object"},
		{"properties", object{
			{events.HeaderSpecVersion, object{{"type", "string"}, {"const", events.SpecVersion}}},
			{events.HeaderID, text("Unique. A fact that comes twice has it twice, also when it was lost to the stream and published again under another Nats-Msg-Id.")},
			{events.HeaderSource, text("Who said it: /commandcenter/<instance>/<service>.")},
			{events.HeaderType, text("Full name of the message.")},
			{events.HeaderSubject, text("Id of the aggregate.")},
			{events.HeaderTime, object{{"type", "string"}, {"format", "date-time"}}},
			{events.HeaderDataSchema, text("URN of the JSON Schema.")},
			{events.HeaderProject, text("The project, decimal; 0 for the instance.")},
			{events.HeaderVersion, text("Version of the aggregate, decimal; drop what is older than what you have.")},
		}},
		{"required", list{events.HeaderSpecVersion, events.HeaderID, events.HeaderSource, events.HeaderType}},
	}
}

func names(services []string) list {
	out := list{}
	for _, s := range services {
		out = append(out, s)
	}
	return out
}
